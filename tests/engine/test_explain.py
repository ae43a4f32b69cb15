"""What alerts tell beyond their rule: a text that a label wants with every one of them, and the drugs they rest on."""

from __future__ import annotations

from collections import Counter
from functools import cache

from safety_service.cases import DAY_0, read_cases
from safety_service.domain import (
    Alert,
    CheckRequest,
    Completeness,
    Decision,
    Listed,
    Medication,
    MedicationRecord,
    Patient,
    Prescription,
    RecordStatus,
    Role,
    to_day,
)
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import load_knowledge

START = to_day(DAY_0)


@cache
def knowledge() -> Knowledge:
    return load_knowledge()


def test_every_alert_on_dantrolene_tells_the_risk_and_where_it_stands_and_no_other_does() -> None:
    told = knowledge().lines["dantrolene"].told_with_every_alert
    assert told is not None
    rules: Counter[str] = Counter()
    cases = read_cases()
    about = [case for case in cases if "dantrolene" in f"{case.row.drug} {case.row.meds}"]
    for case in (*about, *cases[::25]):
        for alert in check(knowledge(), case.request).alerts:
            is_dantrolene = alert.subject == "dantrolene"
            assert (told.says in alert.message) is is_dantrolene, (case.id, alert.rule_id)
            assert (told.citation in alert.citations) is is_dantrolene, (case.id, alert.rule_id)
            assert alert.message.count(told.says) == is_dantrolene
            rules[alert.rule_id] += is_dantrolene
    assert len(+rules) > 15  # rules that spoke on dantrolene


def ended(drug: str, days_before: int, id: str) -> MedicationRecord:
    return MedicationRecord(
        Medication(text=drug), status=RecordStatus.STOPPED, start=START - 60, end=START - days_before, id=id
    )


def checked(*records: MedicationRecord) -> Decision:
    order = Prescription(Medication(text="cyclobenzaprine 10 mg tablet"), start=START, days_supply=7, refills=0)
    return check(knowledge(), CheckRequest(order, Patient(medications=Listed(records, Completeness.COMPLETE)), START))


def maoi_alert(*records: MedicationRecord) -> Alert:
    rule = "contraindication.cyclobenzaprine.maoi"
    (alert,) = [each for each in checked(*records).alerts if each.rule_id == rule]
    return alert


def test_a_drug_that_ended_is_named_with_its_record() -> None:
    alert = maoi_alert(
        ended("phenelzine", 40, "long-ago"), ended("sertraline", 3, "other"), ended("linezolid", 10, "last")
    )
    assert alert.facts[0].evidence == ("last",)
    assert [(each.reference, each.display) for each in alert.implicated if each.role is Role.CO_AGENT] == [
        ("last", "linezolid")
    ]


def test_drugs_that_ended_on_one_day_are_both_named() -> None:
    alert = maoi_alert(ended("phenelzine", 10, "one"), ended("linezolid", 10, "two"))
    assert alert.facts[0].evidence == ("one", "two")
    assert "phenelzine + linezolid" in alert.title


def test_the_fingerprint_tells_which_drug_ended() -> None:
    assert maoi_alert(ended("phenelzine", 10, "a")).fingerprint != maoi_alert(ended("linezolid", 10, "a")).fingerprint
