"""What FHIR has no place for is stated in the extension; what it has a place for is read from there."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from starlette.testclient import TestClient

from safety_service.gateway.app import Gateway, application
from safety_service.gateway.feedback import Feedback
from safety_service.gateway.overridden import Overridden
from tests.gateway.calls import SERVICE, alerts_of, call, decision_of, order, rules_of
from tests.gateway.test_cards import card_of, long_course
from tests.gateway.test_fhir_check import PATH, answer, of_type, parameters, rules
from tests.gateway.test_http import members

KEY = "org.example.medsafety"
COURSE = "http://terminology.hl7.org/CodeSystem/medicationrequest-course-of-therapy"
BACLOFEN = {"medicationCodeableConcept": {"text": "baclofen 10 MG Oral Tablet"}}


def stating(*orders: dict[str, Any], **held: Any) -> dict[str, Any]:
    return call(*orders, extension={KEY: held})


def of_mr1(**facts: Any) -> dict[str, Any]:
    return {"prescriptions": {"MedicationRequest/mr1": facts}}


def fired_or_open(answered: dict[str, Any]) -> set[str]:
    return {*rules_of(answered), *(each["ruleId"] for each in decision_of(answered).get("checks", ()))}


def withdrawal(answered: dict[str, Any]) -> set[str]:
    return {each for each in rules_of(answered) if each.startswith("withdrawal.")}


def test_the_last_order_and_a_taper_are_stated(answered: Any) -> None:
    last, not_tapering = {"lastOrder": "ANSWER_YES"}, {"tapering": "ANSWER_NO"}
    assert withdrawal(answered(stating(order(**BACLOFEN)))) == set()
    assert withdrawal(answered(stating(order(**BACLOFEN), **of_mr1(**last, **not_tapering)))) != set()
    assert withdrawal(answered(stating(order(**BACLOFEN), **of_mr1(**last, tapering="ANSWER_YES")))) == set()
    other = {"prescriptions": {"MedicationRequest/mr9": {**last, **not_tapering}}}
    assert withdrawal(answered(stating(order(**BACLOFEN), **other))) == set()


def test_fhir_says_that_a_course_ends_with_the_order(answered: Any) -> None:
    def course(
        code: str, system: str = "http://terminology.hl7.org/CodeSystem/medicationrequest-course-of-therapy"
    ) -> Any:
        return order(**BACLOFEN, courseOfTherapyType={"coding": [{"system": system, "code": code}]})

    stated = of_mr1(tapering="ANSWER_NO")
    assert withdrawal(answered(stating(course("acute"), **stated))) != set()
    assert withdrawal(answered(stating(course("continuous"), **stated))) == set()
    assert withdrawal(answered(stating(course("acute", "https://other.example.org"), **stated))) == set()
    # what is stated counts before what is read
    assert (
        withdrawal(answered(stating(course("acute"), **of_mr1(tapering="ANSWER_NO", lastOrder="ANSWER_NO")))) == set()
    )


def test_steps_that_go_down_are_a_taper(answered: Any) -> None:
    def steps(first: float, second: float) -> Any:
        def step(number: int, value: float) -> dict[str, Any]:
            repeat = {"frequency": 3, "period": 1, "periodUnit": "d", "boundsDuration": {"value": 5, "code": "d"}}
            amount = {"doseQuantity": {"value": value, "unit": "mg"}}
            return {"sequence": number, "timing": {"repeat": repeat}, "doseAndRate": [amount]}

        return order(**BACLOFEN, dosageInstruction=[step(1, first), step(2, second)])

    last = of_mr1(lastOrder="ANSWER_YES")
    down = answered(stating(steps(10, 5), **last))
    assert withdrawal(down) == set()
    assert "taper" in str(decision_of(down)["said"])
    assert {each for each in fired_or_open(down) if each.startswith("withdrawal.")} == set()
    up = answered(stating(steps(5, 10), **last))
    assert {each for each in fired_or_open(up) if each.startswith("withdrawal.")} != set()


def test_the_most_of_a_day_limits_the_day(answered: Any) -> None:
    """Twelve tablets of 10 mg a day are above the limit; at most three of them are not."""
    sig = order()["dosageInstruction"][0] | {"timing": {"repeat": {"frequency": 12, "period": 1, "periodUnit": "d"}}}
    sig |= {"asNeededBoolean": True}
    above = answered(call(order(dosageInstruction=[sig])))
    assert any(each.startswith("dose.") for each in rules_of(above))
    ratio = {"numerator": {"value": 3, "unit": "tablet"}, "denominator": {"value": 1, "code": "d"}}
    held = decision_of(answered(call(order(dosageInstruction=[{**sig, "maxDosePerPeriod": ratio}]))))
    assert held["normalizedOrder"]["dailyDoseHighMg"] == 30
    assert decision_of(above)["normalizedOrder"]["dailyDoseHighMg"] == 120


# --- the last dose -----------------------------------------------------------------------------------------------


def replacing(prior: dict[str, Any], **members: Any) -> dict[str, Any]:
    told = order(priorPrescription={"reference": "#prior"}, contained=[prior], **members)
    return stating(told, patient={"hepatic": {"grade": "HEPATIC_GRADE_MILD"}})


def last_dose(answered: dict[str, Any]) -> set[str]:
    return {
        fact["value"]
        for alert in alerts_of(answered)
        for fact in alert.get("facts", ())
        if fact["name"] == "last_dose_mg"
    }


def test_the_order_that_is_replaced_tells_the_last_dose(answered: Any) -> None:
    """One tablet of 5 mg before is 5 mg, whatever one tablet holds now."""
    five = order(id="prior", medicationCodeableConcept={"text": "cyclobenzaprine hydrochloride 5 MG Oral Tablet"})
    given = answered(replacing(five))
    assert "5 mg was taken as the last dose" in str(decision_of(given)["said"])
    assert last_dose(given) == {"5"}


@pytest.mark.parametrize(
    "prior",
    [
        order(id="prior", **BACLOFEN),
        order(id="prior", dosageInstruction=None),
        order(id="prior", medicationCodeableConcept={"text": "cyclobenzaprine"}),  # one tablet of it may be anything
        {"resourceType": "Medication", "id": "prior"},
    ],
)
def test_what_does_not_tell_the_last_dose(prior: dict[str, Any], answered: Any) -> None:
    assert last_dose(answered(replacing(prior))) == set()


def test_the_last_dose_may_be_stated(answered: Any) -> None:
    body = replacing({"resourceType": "Medication", "id": "prior"})
    body["extension"][KEY]["prescriptions"] = {"MedicationRequest/mr1": {"lastDose": {"value": 5, "unit": "mg"}}}
    assert last_dose(answered(body)) == {"5"}


# --- what was overridden before ----------------------------------------------------------------------------------


def interrupting(answered: dict[str, Any]) -> dict[str, bool]:
    return {each["ruleId"]: each.get("interruptive", False) for each in alerts_of(answered)}


def mark_of(answered: dict[str, Any], rule: str = "duration.course") -> str:
    (mark,) = (each["fingerprint"] for each in alerts_of(answered) if each["ruleId"] == rule)
    return str(mark)


@pytest.fixture
def own(gateway: Gateway) -> Any:
    """A gateway that remembers nothing of other tests."""
    client = TestClient(application(replace(gateway, overridden=Overridden())))

    def post(body: Any, path: str = SERVICE) -> Any:
        response = client.post(path, json=body)
        assert response.status_code == 200, response.text
        return response.json()

    return post


def overriding(card: str, outcome: str = "overridden") -> dict[str, Any]:
    reason = {"code": "risk-benefit-ratio", "system": "x", "display": "Benefit <b>outweighs</b>"}
    told: dict[str, Any] = {"card": card, "outcome": outcome, "outcomeTimestamp": "2026-11-25T10:05:31Z"}
    if outcome == "overridden":
        told["overrideReason"] = {"reason": reason, "userComment": "seen"}
    else:
        told["acceptedSuggestions"] = [{"id": "x"}]
    return {"feedback": [told]}


def test_feedback_quiets_the_same_alert_of_the_same_patient(own: Any) -> None:
    before = own(call(long_course(), hook="order-select"))
    assert interrupting(before)["duration.course"]
    own(overriding(card_of(before, "duration.course")["uuid"].upper()), f"{SERVICE}/feedback")
    after = own(call(long_course()))
    assert not interrupting(after)["duration.course"]
    (alert,) = (each for each in alerts_of(after) if each["ruleId"] == "duration.course")
    assert alert["overriddenBefore"]["reason"] == "Benefit <b>outweighs</b>; seen"
    detail = card_of(after, "duration.course")["detail"]
    assert "**Overridden before:** on 2026-11-25; Benefit &lt;b&gt;outweighs" in detail
    assert set(rules_of(after)) == set(rules_of(before))  # quieter, never gone
    another = call(long_course(subject={"reference": "Patient/p2"}))
    another["context"]["patientId"] = "p2"
    assert interrupting(own(another))["duration.course"]


def test_a_suggestion_that_is_accepted_takes_the_override_back(own: Any) -> None:
    card = card_of(own(call(long_course())), "duration.course")["uuid"]
    own(overriding(card), f"{SERVICE}/feedback")
    own(overriding(card, "accepted"), f"{SERVICE}/feedback")
    assert interrupting(own(call(long_course())))["duration.course"]


def test_feedback_of_one_client_says_nothing_for_another() -> None:
    kept = Overridden(most_cards=2, most_patients=2)
    said = Feedback("card", "overridden", (), None, "", "")
    kept.shown(("one", "p1"), [("card", ("f1", "f2"))])
    kept.told("two", [said], date(2026, 11, 25))
    assert kept.before(("one", "p1")) == []
    kept.told("one", [said], date(2026, 11, 25))
    assert [each.fingerprint for each in kept.before(("one", "p1"))] == ["f1", "f2"]
    assert kept.before(("two", "p1")) == kept.before(("one", "p2")) == []


def test_the_oldest_are_forgotten() -> None:
    kept = Overridden(most_cards=2, most_patients=2)
    for i in range(5):
        kept.shown(("", f"p{i}"), [(f"card{i}", (f"f{i}",))])
        kept.told("", [Feedback(f"card{i}", "overridden", (), None, "", "")], date(2026, 11, 25))
    assert [len(kept.before(("", f"p{i}"))) for i in range(5)] == [0, 0, 0, 1, 1]
    kept.told("", [Feedback("card0", "overridden", (), None, "", "")], date(2026, 11, 25))  # a card long gone
    assert kept.before(("", "p0")) == []


def test_a_client_may_keep_them_itself(own: Any) -> None:
    (mark,) = (
        each["fingerprint"] for each in alerts_of(own(call(long_course()))) if each["ruleId"] == "duration.course"
    )
    on = {"year": 2026, "month": 11, "day": 20}
    told = [{"fingerprint": mark, "overriddenOn": on, "reason": "asked"}]
    after = own(stating(long_course(), priorOverrides=told))
    assert not interrupting(after)["duration.course"]
    told[0]["overriddenOn"] = {"year": 2027, "month": 1, "day": 1}
    later = own(stating(long_course(), priorOverrides=told))
    assert interrupting(later)["duration.course"]
    assert "after as_of" in decision_of(later)["conflicts"][0]


@pytest.mark.parametrize(
    ("held", "member"),
    [
        ({"prescriptions": []}, "prescriptions"),
        (of_mr1(lastOrder="YES"), "prescriptions.MedicationRequest/mr1.last_order"),
        (of_mr1(refills=1), "prescriptions.MedicationRequest/mr1.refills"),
        ({"priorOverrides": {}}, "priorOverrides"),
        ({"priorOverrides": [{"reason": "x"}]}, "priorOverrides[0].fingerprint"),
        ({"priorOverrides": [{"fingerprint": "x" * 300}]}, "priorOverrides[0].fingerprint"),
        ({"priorOverrides": [{"fingerprint": "x", "overriddenOn": {"year": 2026, "month": 2, "day": 30}}]},
         "priorOverrides[0].overridden_on"),
        ({"priorOverrides": [{"fingerprint": "x"}] * 501}, "priorOverrides"),
    ],
)  # fmt: skip
def test_what_is_stated_wrongly_is_named(held: dict[str, Any], member: str, client: TestClient) -> None:
    assert members(client.post(SERVICE, json=stating(**held))) == [f"extension.{KEY}.{member}"]


# --- $check ------------------------------------------------------------------------------------------------------


def test_check_takes_the_same(client: TestClient) -> None:
    facts = {"prescription.lastOrder": "ANSWER_YES", "prescription.tapering": "ANSWER_NO"}
    assert any(
        each.startswith("withdrawal.") for each in rules(answer(client, parameters(order(**BACLOFEN), facts=facts)))
    )
    found = answer(client, parameters(order(**BACLOFEN)))
    assert not any(each.startswith("withdrawal.") for each in rules(found))
    assert of_type(found, "DetectedIssue")


def overridden(*parts: dict[str, Any]) -> dict[str, Any]:
    body = parameters(long_course())
    body["parameter"].append({"name": "overridden", "part": list(parts)})
    return body


def test_check_takes_what_was_overridden(client: TestClient, answered: Any) -> None:
    (mark,) = (
        each["fingerprint"] for each in alerts_of(answered(call(long_course()))) if each["ruleId"] == "duration.course"
    )
    parts = ({"name": "fingerprint", "valueString": mark}, {"name": "overriddenOn", "valueDate": "2026-11-20"})
    response = client.post(PATH, json=overridden(*parts))
    assert response.status_code == 200
    assert "2026-11-20" in response.text


@pytest.mark.parametrize(
    ("body", "member"),
    [
        (overridden({"name": "reason", "valueString": "x"}), "overridden[0].fingerprint"),
        (overridden({"name": "overriddenOn", "valueDate": "2026-11"}), "parameter[1].part"),
        (parameters(order(), order(id="mr2"), facts={"prescription.lastOrder": "ANSWER_YES"}), "facts.prescription"),
        (parameters(facts={"prescription.refills": "1"}), "facts.prescription.refills"),
    ],
)
def test_check_names_what_is_wrong(body: Any, member: str, client: TestClient) -> None:
    assert members(client.post(PATH, json=body)) == [member]
