"""FHIR in, FHIR out: the same alerts as in the cards, and what is missing as data requirements."""

import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.gateway.calls import assert_nothing_empty, call, order, rules_of
from tests.gateway.fhir.test_people import FAILED, bundle, statement

PATH = "/fhir/$check"
FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


def parameters(*orders: dict[str, Any], facts: dict[str, Any] | None = None, **prefetch: Any) -> dict[str, Any]:
    held: list[dict[str, Any]] = [{"name": "order", "resource": each} for each in orders or (order(),)]
    held += [{"name": name, **({} if sent is None else {"resource": sent})} for name, sent in prefetch.items()]
    if facts:
        parts = [{"name": name, "valueCode": value} for name, value in facts.items()]
        held.append({"name": "facts", "part": parts})
    return {"resourceType": "Parameters", "parameter": held}


def answer(client: TestClient, body: Any) -> list[dict[str, Any]]:
    response = client.post(PATH, json=body, headers={"Content-Type": "application/fhir+json"})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/fhir+json"
    made = response.json()
    assert (made["resourceType"], made["type"]) == ("Bundle", "collection")
    assert_nothing_empty({"entry": made["entry"]})
    found = [each["resource"] for each in made["entry"]]
    assert all(FHIR_ID.fullmatch(each["id"]) for each in found)
    assert [each["fullUrl"] for each in made["entry"]] == [f"urn:uuid:{each['id']}" for each in found]
    return found


def of_type(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in found if each["resourceType"] == kind]


def rules(found: list[dict[str, Any]]) -> list[str]:
    return [each["detail"].splitlines()[-1].split()[1] for each in of_type(found, "DetectedIssue")]


def test_an_issue_for_each_alert_of_the_cards(client: TestClient, answered: Any) -> None:
    opioid = {"statements": bundle(statement("oxycodone", effectivePeriod={"start": "2026-11-01"}))}
    found = answer(client, parameters(**opioid))
    assert sorted(rules(found)) == sorted(rules_of(answered(call(prefetch=opioid))))
    assert "sedation.opioid" in rules(found)
    issue = of_type(found, "DetectedIssue")[0]
    assert issue["implicated"][0]["reference"] == "MedicationRequest/mr1"
    assert issue["patient"] == {"identifier": {"value": "p1"}}


def test_guidance_asks_for_what_is_missing(client: TestClient) -> None:
    (guidance,) = of_type(answer(client, parameters()), "GuidanceResponse")
    assert guidance["status"] == "data-required"
    assert guidance["requestIdentifier"] == {"value": "MedicationRequest/mr1"}
    ids = [each["id"] for each in guidance["dataRequirement"]]
    assert "patient.hepatic.grade" in ids
    facts = {"hepatic.grade": "HEPATIC_GRADE_NONE", "alcoholUse": "ANSWER_NO"}
    (guidance,) = of_type(answer(client, parameters(facts=facts)), "GuidanceResponse")
    left = [each["id"] for each in guidance["dataRequirement"]]
    assert set(ids) - set(left) == {"patient.hepatic.grade", "patient.alcohol_use"}


def test_facts_change_the_answer(client: TestClient) -> None:
    mild = {"hepatic.grade": "HEPATIC_GRADE_MILD"}
    assert "hepatic.mild-caution" not in rules(answer(client, parameters()))
    found = rules(answer(client, parameters(facts=mild)))
    assert any(each.startswith("hepatic.") for each in found)


def test_several_orders_are_seen_together(client: TestClient) -> None:
    oxycodone = order(id="mr2", medicationCodeableConcept={"text": "oxycodone hydrochloride 5 MG Oral Tablet"})
    found = answer(client, parameters(order(), oxycodone))
    assert rules(found).count("sedation.opioid") == 2
    said = [each["requestIdentifier"]["value"] for each in of_type(found, "GuidanceResponse")]
    assert said == ["MedicationRequest/mr1", "MedicationRequest/mr2"]
    assert len({each["id"] for each in found}) == len(found)


def test_none_and_failed_are_not_the_same(client: TestClient) -> None:
    """A name without a resource says that there is none; an OperationOutcome, that nobody knows."""
    lists = {"medications": None, "dispenses": None}
    none = of_type(answer(client, parameters(**lists, statements=None)), "GuidanceResponse")[0]
    failed = of_type(answer(client, parameters(**lists, statements=FAILED)), "GuidanceResponse")[0]
    assert "patient.medications" not in [each["id"] for each in none["dataRequirement"]]
    assert "patient.medications" in [each["id"] for each in failed["dataRequirement"]]


def test_an_order_without_medication_is_an_outcome(client: TestClient) -> None:
    (outcome,) = answer(client, parameters(order(medicationCodeableConcept=None)))
    assert outcome["resourceType"] == "OperationOutcome"
    assert outcome["issue"][0]["code"] == "required"


@pytest.mark.parametrize(
    ("body", "member"),
    [
        ([], "resourceType"),
        ({"resourceType": "Bundle"}, "resourceType"),
        ({"resourceType": "Parameters"}, "parameter"),
        ({"resourceType": "Parameters", "parameter": []}, "parameter"),
        ({"resourceType": "Parameters", "parameter": [7]}, "parameter[0].name"),
        (parameters(zzz=None), "parameter[1].name"),
        (parameters(patient={"id": "p1"}), "parameter[1].resource"),
        (parameters({"resourceType": "Observation"}), "parameter[0].resource"),
        (parameters(order(status="entered-in-error")), "parameter"),
        (parameters(facts={"hepatic.grade": "MILD"}), "facts.hepatic.grade"),
        (parameters(facts={"hepatic": "x", "hepatic.grade": "y"}), "parameter[1].part[1]"),
        (parameters(facts={"a..b": "x"}), "parameter[1].part[0]"),
        ({"resourceType": "Parameters", "parameter": [{"name": "facts"}]}, "parameter[0].part"),
    ],
)
def test_what_is_wrong_is_named(body: Any, member: str, client: TestClient) -> None:
    response = client.post(PATH, json=body)
    assert response.status_code == 400
    assert response.json()["issue"][0]["expression"] == [member]
