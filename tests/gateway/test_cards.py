"""What becomes of a decision: cards with their text, change and links, and nothing of a sender's markup."""

import re
from typing import Any

import pytest

from safety_service.domain import Suggestion
from safety_service.gateway.cards import suggested
from safety_service.gateway.markdown import plain
from tests.gateway.calls import alerts_of, call, decision_of, order, rules_of
from tests.gateway.fhir.test_people import FAILED, bundle, condition, lab, statement

KEY = "org.example.medsafety"
CARD = "0a278227-f6eb-5998-80c7-0ca6f342ccf4"
COMPLETE = {"medications": None, "dispenses": None, "statements": None, "conditions": None, "allergies": None}


def long_course(**members: Any) -> dict[str, Any]:
    """14 days and a refill: 28 days, with a sig, a quantity and bounds."""
    return order(
        dosageInstruction=[
            {
                "text": "1 tab PO TID for spasm, with food",
                "timing": {
                    "repeat": {"frequency": 3, "period": 1, "periodUnit": "d",
                               "boundsPeriod": {"start": "2026-11-25", "end": "2026-12-22"}}
                },
                "asNeededBoolean": False,
                "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "tablet"}}],
            }
        ],
        dispenseRequest={
            "numberOfRepeatsAllowed": 1,
            "quantity": {"value": 84, "unit": "tablet"},
            "expectedSupplyDuration": {"value": 28, "unit": "days", "code": "d"},
        },
        **members,
    )  # fmt: skip


def card_of(answer: dict[str, Any], rule: str) -> dict[str, Any]:
    return next(
        card
        for card in answer["cards"]
        if rule in [alert["ruleId"] for alert in card["extension"][KEY].get("alerts", ())]
    )


def test_the_card_of_an_alert(answered: Any) -> None:
    card = card_of(answered(call(long_course())), "duration.course")
    assert card["summary"] == "56 days planned; labelled for two or three weeks"
    assert card["indicator"] == "warning"
    assert "28 d x (1 + 1 refill) = 56 d" in card["detail"]
    assert "**Do:**" in card["detail"]
    assert "Label, not recommended" in card["detail"]
    assert card["source"]["url"].startswith("https://dailymed.nlm.nih.gov/")
    assert "not reviewed" in card["source"]["label"]
    assert card["source"]["topic"]["code"] == "duration"
    assert card["links"][0]["url"].startswith("https://gateway.example.org/options/")
    urls = [each["url"] for each in card["links"]]
    (rules,) = [each for each in urls if each.startswith("https://gateway.example.org/rules?ids=")]
    assert "duration.course" in rules
    assert "https://gateway.example.org/medications/cyclobenzaprine-ir" in urls
    assert all({"code", "system", "display"} <= set(each) for each in card["overrideReasons"])
    told = card["extension"][KEY]
    assert told["associated"] == ["MedicationRequest/mr1"]
    assert told["severity"] == "SEVERITY_HIGH"
    first = told["alerts"][0]
    assert first["alertId"] == card["uuid"]
    assert (first["severity"], first["durCodes"]) == ("SEVERITY_HIGH", ["MX"])


def test_the_whole_order_is_corrected(answered: Any) -> None:
    sent = long_course(note=[{"text": "kept"}])
    card = card_of(answered(call(sent)), "duration.course")
    assert card["selectionBehavior"] == "at-most-one"
    suggestion = card["suggestions"][0]
    assert suggestion["isRecommended"] is True
    (action,) = suggestion["actions"]
    assert action["type"] == "update"
    changed = action["resource"]
    assert (changed["resourceType"], changed["id"]) == ("MedicationRequest", "mr1")
    before = "Directions before the change, no longer in force: 1 tab PO TID for spasm, with food"
    assert changed["note"] == [{"text": "kept"}, {"text": before}]
    assert changed["medicationCodeableConcept"] == sent["medicationCodeableConcept"]
    request = changed["dispenseRequest"]
    assert request["numberOfRepeatsAllowed"] == 0
    assert request["expectedSupplyDuration"]["value"] == 14
    assert request["quantity"]["value"] == 42
    sig = changed["dosageInstruction"][0]
    assert sig["timing"]["repeat"]["boundsPeriod"] == {"start": "2026-11-25", "end": "2026-12-08"}
    assert "text" not in sig


def test_the_corrected_order_no_longer_fires(answered: Any) -> None:
    card = card_of(answered(call(long_course())), "duration.course")
    changed = card["suggestions"][0]["actions"][0]["resource"]
    assert "duration.course" not in rules_of(answered(call(changed)))


def test_words_of_the_order_as_it_was_do_not_stay_in_it(answered: Any) -> None:
    """Neither the sig nor the narrative nor the name of the timing may tell another order than the structure."""
    sent = long_course(text={"status": "generated", "div": "<div>for 28 days</div>"})
    sig = sent["dosageInstruction"][0]
    sig |= {"patientInstruction": "one three times a day for four weeks"}
    sig["timing"]["code"] = {"text": "TID for 28 days"}
    changed = card_of(answered(call(sent)), "duration.course")["suggestions"][0]["actions"][0]["resource"]
    (note,) = changed.pop("note")
    assert note["text"].endswith("1 tab PO TID for spasm, with food; one three times a day for four weeks")
    assert not any(word in str(changed) for word in ("28 d", "four weeks", "TID"))


def test_words_that_are_all_there_is_are_not_taken_out(answered: Any) -> None:
    """Then there is no update: the order would say less than before. The card says what to change all the same."""
    sent = long_course()
    del sent["dosageInstruction"][0]["timing"], sent["dosageInstruction"][0]["doseAndRate"]
    card = card_of(answered(call(sent)), "duration.course")
    assert "**Change:**" in card["detail"]
    assert "suggestions" not in card


def test_refills_alone_leave_the_words(answered: Any) -> None:
    sent = long_course()
    sent["dispenseRequest"]["expectedSupplyDuration"]["value"] = 14
    sent["dispenseRequest"]["quantity"]["value"] = 42
    sent["dosageInstruction"][0]["timing"]["repeat"].pop("boundsPeriod")
    card = card_of(answered(call(sent)), "duration.course")
    changed = card["suggestions"][0]["actions"][0]["resource"]
    assert changed["dispenseRequest"]["numberOfRepeatsAllowed"] == 0
    assert changed["dosageInstruction"] == sent["dosageInstruction"]


def test_an_order_without_id_cannot_be_updated(answered: Any) -> None:
    card = card_of(answered(call(long_course(id=None))), "duration.course")
    assert "suggestions" not in card
    assert "selectionBehavior" not in card
    assert "**Change:**" in card["detail"]
    assert card["extension"][KEY]["associated"] == ["context.draftOrders.entry[0].resource"]


def test_an_unknown_quantity_does_not_stay_beside_new_days(answered: Any) -> None:
    sent = long_course()
    sent["dispenseRequest"]["quantity"] = {"value": 85, "unit": "tablet"}
    changed = card_of(answered(call(sent)), "duration.course")["suggestions"][0]["actions"][0]["resource"]
    assert "quantity" not in changed["dispenseRequest"]


def test_a_course_at_the_end_of_the_calendar_can_be_corrected() -> None:
    """Found by random change: the last day there is, and a proposal of days."""
    sent = long_course()
    sent["dosageInstruction"][0]["timing"]["repeat"]["boundsPeriod"] = {"start": "9999-12-31", "end": "9999-12-31"}
    days = Suggestion("prescription.days_supply", "28", "14", "d", "28 -> 14 days")
    (made,) = suggested(sent, (days,), (days,), CARD)
    repeat = made["actions"][0]["resource"]["dosageInstruction"][0]["timing"]["repeat"]
    assert repeat["boundsPeriod"] == {"start": "9999-12-31"}


EVIL = [
    "<script>alert(1)</script>",
    "[click](https://evil.example)",
    "![x](https://evil.example/x.png)",
    "https://evil.example www.evil.example a@evil.example",
    "# heading\n\n- list\n1. one",
    "`code` **bold** _it_ ~~gone~~ | a | b |",
    "<img src=x onerror=alert(1)>",
    "&lt;script&gt;",
    "\\[x](y)",
]


@pytest.mark.parametrize("evil", EVIL)
def test_what_was_sent_is_harmless_in_a_card(evil: str, answered: Any) -> None:
    name = f"Zzzz {evil}"
    sent = call(
        order(medicationCodeableConcept={"text": name}),
        order(id="mr2"),
        prefetch={"statements": bundle(statement(evil, id=evil)), evil: "junk", "conditions": bundle(condition(evil))},
    )
    for card in answered(sent)["cards"]:
        detail = card["detail"]
        assert not re.search(r"<(?!br)", detail), detail
        assert not re.search(r"(?<!\\)\]\(", detail), detail
        assert not re.search(r"(?<!\\)`|(?<!\\)\|", detail), detail
        assert not re.search(r"://(?!dailymed|www\.fda)", detail.replace("\\:", "")), detail


@pytest.mark.parametrize(
    ("sent", "expected"),
    [("a\n\n# b", "a # b"), ("# b", "\\# b"), ("1. x", "1\\. x"), ("<b>", "&lt;b&gt;"), ("a*b*", "a\\*b\\*"),
     ("http://x", "http\\://x"), ("www.x", "www\\.x"), ("a@b", "a\\@b"), ("10 mg > 5 mg", "10 mg &gt; 5 mg"),
     ("14 d x (1 + 1) = 28 d", "14 d x (1 + 1) = 28 d"), ("- x", "\\- x"), ("a - b", "a - b")],
)  # fmt: skip
def test_plain(sent: str, expected: str) -> None:
    assert plain(sent) == expected


def test_what_is_not_known_is_said(answered: Any) -> None:
    answer = answered(call(order()))
    last = answer["cards"][-1]
    assert last["extension"][KEY]["notChecked"] is True
    assert last["indicator"] == "info"
    assert "checks not done" in last["summary"]
    assert "**alcohol use**" in last["detail"]
    assert decision_of(answer)["overall"] == "OVERALL_INCOMPLETE"
    assert "complete" not in decision_of(answer)


def test_a_medication_that_is_not_recognised_is_said(answered: Any) -> None:
    (card,) = answered(call(order(medicationCodeableConcept={"text": "zzzz"})))["cards"]
    assert "not recognised" in card["summary"]


def test_an_order_without_medication_is_said(answered: Any) -> None:
    (card,) = answered(call(order(medicationCodeableConcept=None)))["cards"]
    assert "not checked" in card["summary"]


def test_what_has_nothing_to_do_with_us_has_no_card(answered: Any) -> None:
    digoxin = order(medicationCodeableConcept={"text": "digoxin 0.25 mg oral tablet"})
    assert answered(call(digoxin, prefetch=COMPLETE))["cards"] == []
    nutrition = {"resourceType": "NutritionOrder", "id": "n1", "status": "draft"}
    assert answered(call(nutrition)) == {"cards": []}


def test_mistakes_and_bans_are_no_orders(answered: Any) -> None:
    assert answered(call(order(status="entered-in-error"))) == {"cards": []}
    assert answered(call(order(doNotPerform=True))) == {"cards": []}


def oxycodone(**members: Any) -> dict[str, Any]:
    return order(id="mr2", medicationCodeableConcept={"text": "oxycodone hydrochloride 5 MG Oral Tablet"}, **members)


def test_orders_of_one_call_are_seen_together(answered: Any) -> None:
    assert "sedation.opioid" not in rules_of(answered(call(order())))
    answer = answered(call(order(), oxycodone()))
    opioid = [each for each in rules_of(answer) if each == "sedation.opioid"]
    assert len(opioid) == 2  # of either order: the relaxant, and the opioid beside it
    associated = {each["extension"][KEY]["associated"][0] for each in answer["cards"]}
    assert associated == {"MedicationRequest/mr1", "MedicationRequest/mr2"}


def test_only_what_is_selected_is_decided_on_and_the_rest_counts(answered: Any) -> None:
    body = call(order(), oxycodone(), hook="order-select")
    body["context"]["selections"] = ["MedicationRequest/mr1"]
    answer = answered(body)
    assert "sedation.opioid" in rules_of(answer)
    assert {each["extension"][KEY]["associated"][0] for each in answer["cards"]} == {"MedicationRequest/mr1"}
    body["context"]["selections"] = ["MedicationRequest/other"]
    assert len(answered(body)["extension"][KEY]["decisions"]) == 2  # rather all than none


def test_history_in_prefetch_changes_the_answer(answered: Any) -> None:
    opioid = statement("oxycodone", effectivePeriod={"start": "2026-11-01"})
    assert "sedation.opioid" in rules_of(answered(call(order(), prefetch={"statements": bundle(opioid)})))


def test_the_order_itself_among_the_medications_is_not_counted_twice(answered: Any) -> None:
    held = order(status="active")
    twice = answered(call(order(), prefetch={**COMPLETE, "medications": bundle(held)}))
    once = answered(call(order(), prefetch=COMPLETE))
    assert rules_of(twice) == rules_of(once)


def test_failed_is_not_none(answered: Any) -> None:
    """No opioid on a list that could not be read is not "no opioid"."""
    none = decision_of(answered(call(order(), prefetch=COMPLETE)))
    failed = decision_of(answered(call(order(), prefetch={**COMPLETE, "statements": FAILED})))

    def open_rules(decision: dict[str, Any]) -> set[str]:
        return {each["ruleId"] for each in decision["checks"] if each["status"] == "CHECK_STATUS_NOT_EVALUATED"}

    assert "sedation.opioid" not in open_rules(none)
    assert "sedation.opioid" in open_rules(failed)
    assert {"path": "prefetch.statements", "reason": "the client could not read it: an OperationOutcome was sent"} in (
        failed["notProcessed"]
    )


def test_what_was_not_used_is_named_by_its_place(answered: Any) -> None:
    bad = statement("zzzz")
    decision = decision_of(
        answered(
            call(
                order(),
                prefetch={
                    "statements": bundle(statement("oxycodone"), bad),
                    "liver": bundle(lab("1742-6", 9, "furlong")),
                },
            )
        )
    )
    paths = [each["path"] for each in decision["notProcessed"]]
    assert "prefetch.statements.entry[1].resource.medication" in paths


def test_impossible_values_are_unknown_and_the_rest_is_checked(answered: Any) -> None:
    sent = long_course()
    sent["dosageInstruction"][0]["doseAndRate"] = [{"doseQuantity": {"value": 1e9, "unit": "mg"}}]
    answer = answered(call(sent))
    assert "duration.course" in rules_of(answer)
    paths = [each["path"] for each in decision_of(answer)["notProcessed"]]
    assert "context.draftOrders.entry[0].resource.dose_quantity.value" in paths


def test_another_patient_in_the_order_is_said(answered: Any) -> None:
    answer = answered(call(order(subject={"reference": "Patient/p2"})))
    paths = [each["path"] for each in decision_of(answer)["notProcessed"]]
    assert "context.draftOrders.entry[0].resource.subject" in paths


def test_a_type_before_the_patient_id_is_taken_off(answered: Any) -> None:
    body = call(order())
    body["context"]["patientId"] = "Patient/p1"
    plain_id = answered(call(order()))
    typed = answered(body)
    fingerprints = [[each["fingerprint"] for each in alerts_of(answer)] for answer in (plain_id, typed)]
    assert fingerprints[0] == fingerprints[1]


def test_the_day_of_the_decision(answered: Any) -> None:
    """A call is decided for today; what is dated tomorrow here is today east of here."""
    assert decision_of(answered(call(order(authoredOn="2026-10-01"))))["asOf"]["day"] == 25
    assert decision_of(answered(call(order(authoredOn="2026-11-26T08:00:00+13:00"))))["asOf"]["day"] == 26
    assert decision_of(answered(call(order(authoredOn="2027-11-26"))))["asOf"]["day"] == 25


def article() -> dict[str, Any]:
    """The article's case as a call: what FHIR has no code for is stated in the extension."""
    icd = "http://hl7.org/fhir/sid/icd-10-cm"

    def problem(code: str) -> dict[str, Any]:
        return {**condition(code), "onsetDateTime": "2026-03-02", "recordedDate": "2026-04-13"}

    opioid = {
        **oxycodone(status="active", authoredOn="2026-10-26"),
        "id": "order-0",
        "dosageInstruction": [{"asNeededBoolean": True}],
    }
    return call(
        order(
            authoredOn="2026-11-02",
            reasonCode=[
                {"coding": [{"system": icd, "code": "M54.50"}]},
                {"coding": [{"system": icd, "code": "M62.830"}]},
            ],
            dispenseRequest={
                "numberOfRepeatsAllowed": 1,
                "quantity": {"value": 42, "unit": "tablet"},
                "expectedSupplyDuration": {"value": 14, "unit": "days", "code": "d"},
            },
        ),
        prefetch={
            "patient": {"resourceType": "Patient", "id": "p1", "birthDate": "1958-05-05"},
            "conditions": bundle(problem("M54.50"), problem("M62.830"), problem("G89.29")),
            "medications": bundle(opioid),
            "dispenses": None,
            "statements": None,
            "procedures": None,
            "referrals": None,
        },
        extension={
            KEY: {"patient": {"hepatic": {"grade": "HEPATIC_GRADE_MILD"}, "drivesOrOperatesMachinery": "ANSWER_YES"}}
        },
    )


def test_the_article_case(answered: Any) -> None:
    """One card of the order and one of the opioid; what several reasons propose is one change of the whole order."""
    answer = answered(article())
    own, opioid, unchecked = answer["cards"]
    rules = [[each["ruleId"] for each in card["extension"][KEY].get("alerts", ())] for card in answer["cards"]]
    assert rules == [
        [
            "duration.course",
            "hepatic.start-dose",
            "age.beers-relaxant",
            "age.ir-elderly-start",
            "sedation.safety-critical-task",
            "sedation.counsel",
            "pathway.first-line",
        ],
        ["sedation.opioid"],
        [],
    ]
    assert [each["display"] for each in opioid["extension"][KEY]["partners"]] == ["oxycodone"]
    assert unchecked["extension"][KEY]["notChecked"] is True
    (suggestion,) = own["suggestions"]
    assert suggestion["label"] == "refills 1 -> 0; dose 10 -> 5 mg, titrate slowly; consider less often"
    assert suggestion["isRecommended"] is True
    assert "suggestions" not in opioid
    changed = suggestion["actions"][0]["resource"]
    assert changed["dispenseRequest"]["numberOfRepeatsAllowed"] == 0
    dose = changed["dosageInstruction"][0]["doseAndRate"][0]["doseQuantity"]
    assert dose == {"value": 5, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}
    assert "quantity" not in changed["dispenseRequest"]  # 42 tablets are not 14 days any more


def test_nothing_is_said_twice_in_a_card(answered: Any) -> None:
    detail = answered(article())["cards"][0]["detail"]
    said = [each for each in detail.split("\n\n") if not each.startswith("**Source:")]
    assert len(said) == len(set(said))
    assert "#### High" in detail
    assert detail.index("#### High") < detail.index("#### Moderate") < detail.index("#### Low")
    assert detail.count("Cyclobenzaprine hydrochloride tablets, prescribing information") == 1


def test_changes_of_other_cards_are_offered_together() -> None:
    """An update holds the whole order: the second of two would undo the first."""
    resource = long_course()
    dose = Suggestion("prescription.dose_quantity", "10", "5", "mg", "dose 10 -> 5 mg")
    refills = Suggestion("prescription.refills", "1", "0", "", "refills 1 -> 0")
    made = [suggested(resource, (each,), (dose, refills), CARD) for each in (dose, refills)]
    assert [[each["label"] for each in some] for some in made] == [
        ["All: dose 10 -> 5 mg; refills 1 -> 0", "dose 10 -> 5 mg"],
        ["All: dose 10 -> 5 mg; refills 1 -> 0", "refills 1 -> 0"],
    ]
    assert [each.get("isRecommended", False) for each in made[0]] == [True, False]
    assert made[0][1]["actions"][0]["resource"]["dispenseRequest"]["numberOfRepeatsAllowed"] == 1


def test_what_is_stated_wrongly_is_named(client: Any) -> None:
    stated = {"hepatic": {"grade": "MILD"}, "drives": "yes", "conditions": {}}
    response = client.post("/cds-services/muscle-relaxant-safety", json=call(extension={KEY: {"patient": stated}}))
    assert response.status_code == 400
    assert [each["expression"][0] for each in response.json()["issue"]] == [
        f"extension.{KEY}.patient.hepatic.grade",
        f"extension.{KEY}.patient.drives",
    ]
    for wrong in ({KEY: 7}, {KEY: {"patient": {"conditions": {"completeness": "COMPLETENESS_COMPLETE"}}}}):
        response = client.post("/cds-services/muscle-relaxant-safety", json=call(extension=wrong))
        assert response.status_code == 400
