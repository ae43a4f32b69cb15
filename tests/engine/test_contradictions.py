"""What contradicts itself is unknown: a record that ends before it starts is possibly taken, never surely not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import pytest

from safety_service.domain import (
    CheckRequest,
    CheckStatus,
    Coding,
    Completeness,
    Listed,
    Medication,
    MedicationRecord,
    Patient,
    Prescription,
    RecordKind,
    RecordStatus,
)
from safety_service.engine.check import check
from safety_service.engine.facts import shares
from safety_service.engine.history import Event, read_history
from safety_service.engine.supply import supply
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import load_knowledge

DAY = 20_000
METHOCARBAMOL = Medication(text="methocarbamol 750 mg tablet")
LORAZEPAM = Medication(text="lorazepam 1 mg tablet")
OXYCODONE = MedicationRecord(Medication(text="oxycodone 5 mg tablet"), status=RecordStatus.ACTIVE, start=DAY - 3)
STATUSES = [each for each in RecordStatus if each is not RecordStatus.ENTERED_IN_ERROR]


@cache
def knowledge() -> Knowledge:
    return load_knowledge()


def request(*records: MedicationRecord) -> CheckRequest:
    order = Prescription(METHOCARBAMOL, id="order", ordered_on=DAY, days_supply=7, refills=0)
    return CheckRequest(order, Patient(medications=Listed(records, Completeness.COMPLETE)), DAY)


def event(record: MedicationRecord) -> Event:
    (found,) = read_history(knowledge(), request(record)).events
    return found


@pytest.mark.parametrize("status", STATUSES)
def test_the_possible_days_are_none_of_what_was_never_taken_alone_and_hold_the_sure_ones(status: RecordStatus) -> None:
    days = (None, DAY - 5, DAY - 2, DAY + 5)
    for start, end, known_on, supplied, kind in product(days, days, days[:3], (None, 3), RecordKind):
        record = MedicationRecord(LORAZEPAM, "", kind, status, known_on, start, end, supplied)
        made = event(record)
        assert made.may_start < made.may_end or made.may_start == made.may_end == start == end
        assert made.start >= made.end or made.may_start <= made.start < made.end <= made.may_end


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("start", [DAY - 2, DAY, DAY + 3, DAY + 30])
@pytest.mark.parametrize("before", [1, 2, 40, 400])
def test_a_partner_that_ends_before_it_starts_leaves_every_check_of_it_open(
    status: RecordStatus, start: int, before: int
) -> None:
    record = MedicationRecord(LORAZEPAM, status=status, start=start, end=start - before, days_supply=10)
    answers = {each.rule_id: each.status for each in check(knowledge(), request(OXYCODONE, record)).checks}
    assert answers["sedation.benzodiazepine"] == answers["sedation.triple"] == CheckStatus.NOT_EVALUATED
    assert not shares(event(record), (DAY, DAY + 7, DAY + 7))


def test_a_number_of_refills_below_none_is_not_known() -> None:
    made = supply(Prescription(METHOCARBAMOL, days_supply=10, refills=-2), DAY, None, 365)
    unsaid = supply(Prescription(METHOCARBAMOL, days_supply=10), DAY, None, 365)
    assert (made.course_low, made.course_high) == (unsaid.course_low, unsaid.course_high) == (10, 2**31 - 1)


def test_a_record_with_the_id_of_the_order_is_the_order_only_if_it_is_the_same_drug() -> None:
    oxycodone = replace(OXYCODONE, id="order", status=RecordStatus.ACTIVE)
    methocarbamol = MedicationRecord(METHOCARBAMOL, id="order", start=DAY - 3, days_supply=10)
    assert [each.ingredient for each in read_history(knowledge(), request(oxycodone)).events] == ["oxycodone"]
    assert read_history(knowledge(), request(methocarbamol)).events == ()
    assert {each.rule_id for each in check(knowledge(), request(oxycodone)).alerts} >= {"sedation.opioid"}


@pytest.mark.parametrize("code", ["313782", "no such code"])
def test_a_record_whose_code_and_name_are_of_different_drugs_may_be_either(code: str) -> None:
    coding = Coding("http://www.nlm.nih.gov/research/umls/rxnorm", code)
    both = replace(OXYCODONE, medication=Medication((coding,), "oxycodone 5 mg tablet"))
    decided = check(knowledge(), request(both))
    fired = {each.rule_id for each in decided.alerts}
    left = {each.rule_id for each in decided.checks if each.status is CheckStatus.NOT_EVALUATED}
    assert "sedation.opioid" in (left if code == "313782" else fired)
