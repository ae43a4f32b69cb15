"""The FHIR form, held to the rules of R4 that concern it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.type.date_pb2 import Date

from medsafety import CheckPrescriptionRequest, CheckPrescriptionResponse, MedsafetyError, Violation
from medsafety.v1.decision_pb2 import CheckStatus, Decision, Overall
from medsafety.v1.patient_pb2 import Patient
from safety_service.report.fhir import bundle, refusal
from tests.report.hand_made import answer

# Elements of the R4 resources, and their required value sets.
DETECTED_ISSUE = set(
    "resourceType id identifier status code severity patient identifiedDateTime author implicated evidence detail "
    "reference mitigation".split()
)
ISSUE = {"severity", "code", "details", "diagnostics", "expression"}
ISSUE_SEVERITY = {"fatal", "error", "warning", "information"}
ISSUE_CODE = {"invalid", "required", "processing", "exception", "informational", "business-rule", "incomplete"}
DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")

REQUEST = CheckPrescriptionRequest(patient=Patient(id="patient-1"))


def resources(response: CheckPrescriptionResponse) -> list[dict[str, Any]]:
    return [each["resource"] for each in bundle(response, REQUEST)["entry"]]


def values(part: Any) -> Iterator[Any]:
    yield part
    if isinstance(part, dict | list):
        for each in part.values() if isinstance(part, dict) else part:
            yield from values(each)


def test_the_bundle_has_one_issue_per_alert_and_one_outcome() -> None:
    made = bundle(answer(), REQUEST)
    assert (made["resourceType"], made["type"]) == ("Bundle", "collection")
    assert DATE_TIME.fullmatch(made["timestamp"])
    kinds = [each["resource"]["resourceType"] for each in made["entry"]]
    assert kinds == ["DetectedIssue", "DetectedIssue", "GuidanceResponse", "OperationOutcome"]
    ids = [each["resource"]["id"] for each in made["entry"]]
    assert [each["fullUrl"] for each in made["entry"]] == [f"urn:uuid:{each}" for each in ids]
    assert all(map(FHIR_ID.fullmatch, ids))
    assert len(set(ids)) == len(ids)
    assert ids[:2] == list(answer().alert_ids)


def test_an_earlier_override_is_a_mitigation() -> None:
    response = answer()
    first, second = response.decision.alerts
    first.overridden_before.SetInParent()
    second.overridden_before.overridden_on.CopyFrom(Date(year=2026, month=10, day=1))
    second.overridden_before.reason = "one dose only"
    assert [each.get("mitigation") for each in resources(response)] == [
        [{"action": {"text": "Overridden"}}],
        [{"action": {"text": "Overridden: one dose only"}, "date": "2026-10-01"}],
        None,  # guidance
        None,  # outcome
    ]
    assert "mitigation" not in resources(answer())[0]


def test_nothing_in_it_is_empty_and_it_is_plain_json() -> None:
    made = bundle(answer(), CheckPrescriptionRequest())
    assert not [each for each in values(made) if each in ("", None) or each == [] or each == {}]
    assert json.loads(json.dumps(made)) == made


def test_a_detected_issue_has_the_elements_of_r4() -> None:
    first, second, *_ = resources(answer())
    for issue in (first, second):
        assert set(issue) <= DETECTED_ISSUE
        assert "mitigation" not in issue  # that is the pharmacist's act
        assert issue["status"] in {"preliminary", "final"}
        assert issue["patient"] == {"identifier": {"value": "patient-1"}}
        assert DATE_TIME.fullmatch(issue["identifiedDateTime"])
        assert all(set(each) <= {"type", "identifier", "display"} for each in issue["implicated"])
        assert issue["implicated"][0]["identifier"] == {"value": "order-1"}
    assert (first["severity"], second["severity"]) == ("high", "low")
    assert first["code"] == {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "DOSECOND"}],
        "text": "Start at 5 mg, not 10 mg",
    }
    assert second["code"] == {"text": "No first-line option is documented as tried"}  # no code fits
    assert first["implicated"][1]["type"] == "Condition"
    assert first["evidence"][0] == {"code": [{"text": "single_dose_mg = 10 mg"}]}
    assert first["detail"].splitlines() == [
        "10 mg is ordered as a first dose.",
        "Start with 5 mg.",
        "Rule hepatic.start-dose v2",
    ]
    assert first["reference"] == "https://example.org/label-x"
    assert first["author"]["display"].endswith("engine 0.1.0, knowledge 2026.11.0")
    assert first["identifier"][0]["value"] == "f-1"


def test_without_a_pseudonym_no_patient_is_named() -> None:
    issue = bundle(answer(), CheckPrescriptionRequest())["entry"][0]["resource"]
    assert "patient" not in issue


def test_the_outcome_says_what_was_not_decided_and_what_to_send() -> None:
    outcome = resources(answer())[-1]
    for issue in outcome["issue"]:
        assert set(issue) <= ISSUE
        assert issue["severity"] in ISSUE_SEVERITY
        assert issue["code"] in ISSUE_CODE
    told = [(each["severity"], each["details"]["text"]) for each in outcome["issue"]]
    assert told[0] == ("information", "Overall: ALERTS")
    wanted = "sedation.falls v1 not evaluated: send patient.falls (has fallen: not sent)"
    assert ("information", wanted) in told
    assert ("error", "product.route v1 failed: division") in told
    assert ("warning", "patient.medications.items[1] not used: not a drug name we know") in told
    assert ("information", "sedation.counsel suppressed: switched off by policy x 1: no") in told
    assert not [text for _, text in told if "sedation.alcohol" in text]  # it passed


def test_an_answer_without_alerts_is_still_a_bundle() -> None:
    response = CheckPrescriptionResponse(decision_id="x", decision=Decision(overall=Overall.OVERALL_CLEAR))
    guidance, outcome = resources(response)
    assert guidance["status"] == "success"
    assert "dataRequirement" not in guidance
    assert [each["details"]["text"] for each in outcome["issue"]] == ["Overall: CLEAR"]


GUIDANCE = set(
    "resourceType id requestIdentifier moduleCodeableConcept status subject occurrenceDateTime performer "
    "reasonReference evaluationMessage dataRequirement".split()
)


def test_the_guidance_asks_for_the_data_that_is_required() -> None:
    *issues, guidance, outcome = resources(answer())
    assert set(guidance) <= GUIDANCE
    assert guidance["status"] == "data-required"
    assert guidance["subject"] == {"identifier": {"value": "patient-1"}}
    assert DATE_TIME.fullmatch(guidance["occurrenceDateTime"])
    assert [each["reference"] for each in guidance["reasonReference"]] == [f"urn:uuid:{each['id']}" for each in issues]
    assert guidance["evaluationMessage"] == [{"reference": f"urn:uuid:{outcome['id']}"}]
    assert guidance["moduleCodeableConcept"]["coding"][0]["version"] == "2026.11.0"
    wanted = guidance["dataRequirement"]
    assert {"id": "patient.falls", "type": "Any"} in wanted
    assert all(set(each) <= {"id", "type", "mustSupport", "codeFilter"} for each in wanted)


def open_question(path: str) -> CheckPrescriptionResponse:
    response = CheckPrescriptionResponse(decision_id="x", decision=Decision(overall=Overall.OVERALL_INCOMPLETE))
    check = response.decision.checks.add(rule_id="r", rule_version=1, status=CheckStatus.CHECK_STATUS_NOT_EVALUATED)
    check.missing.add(fact="f", path=path, why="f: not sent")
    return response


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("patient.birth_date", {"type": "Patient", "mustSupport": ["birthDate"]}),
        ("patient.renal.egfr", {"type": "Observation", "mustSupport": ["value"]}),
        (
            "prescription.days_supply",
            {"type": "MedicationRequest", "mustSupport": ["dispenseRequest.expectedSupplyDuration"]},
        ),
        ("something.new", {"type": "Any"}),
    ],
)
def test_a_required_fact_has_its_place_in_fhir(path: str, expected: dict[str, Any]) -> None:
    guidance, _ = resources(open_question(path))
    (requirement,) = guidance["dataRequirement"]
    codes = requirement.pop("codeFilter", None)
    assert requirement == {"id": path, **expected}
    if expected["type"] == "Observation":
        assert codes[0]["path"] == "code"
        assert {"system": "http://loinc.org", "code": "98979-8"} in codes[0]["code"]
    else:
        assert codes is None


def test_alerts_and_their_ids_must_match() -> None:
    response = answer()
    del response.alert_ids[1]
    with pytest.raises(ValueError, match="zip"):
        bundle(response, REQUEST)


def test_a_refusal_is_an_outcome_with_every_violation() -> None:
    code = grpc.StatusCode.INVALID_ARGUMENT
    error = MedsafetyError(code, "INVALID_FIELD", "2 values", (Violation("a.b", "above 0"), Violation("c", "required")))
    made = refusal(error)
    assert made["resourceType"] == "OperationOutcome"
    assert [each["details"]["text"] for each in made["issue"]] == ["a.b: above 0", "c: required"]
    plain = refusal(MedsafetyError(grpc.StatusCode.NOT_FOUND, "UNKNOWN_POLICY", "no such policy"))
    assert [each["details"]["text"] for each in plain["issue"]] == ["UNKNOWN_POLICY: no such policy"]
