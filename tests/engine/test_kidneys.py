"""How well the kidneys work: the number sent, the coded stage, dialysis; the worst where they contradict."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safety_service.domain import (
    Answer,
    CheckRequest,
    Coding,
    Completeness,
    Condition,
    ConditionStatus,
    Listed,
    Medication,
    Patient,
    Prescription,
    Renal,
)
from safety_service.engine.kidneys import FACTS_OF_KIDNEYS, clearance_notes, put_kidneys
from safety_service.engine.problems import read_problems
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import load_knowledge
from safety_service.rules.vocabulary import HIGHEST, SLOTS, unknown_facts

Bounds = tuple[int, int]
OPEN: Bounds = (0, HIGHEST)
SEVERE: Bounds = (0, 29)
MODERATE: Bounds = (30, 59)


class Found(NamedTuple):
    clearance: Bounds
    lowest: Bounds
    why: dict[str, tuple[str, str]]
    evidence: dict[str, tuple[str, ...]]
    conflicts: list[str]


@cache
def knowledge() -> Knowledge:
    return load_knowledge()


def kidneys(renal: Renal, *codes: str, status: ConditionStatus = ConditionStatus.ACTIVE) -> Found:
    listed = Listed(
        tuple(Condition(codings=(Coding("icd10cm", code),), status=status) for code in codes), Completeness.COMPLETE
    )
    request = CheckRequest(Prescription(Medication()), Patient(renal=renal, conditions=listed), 20_000)
    problems = read_problems(knowledge(), listed, request.as_of, [])
    values = unknown_facts()
    found = Found(OPEN, OPEN, {}, {}, [])
    put_kidneys(knowledge(), request, problems, values, found.why, found.evidence, found.conflicts)
    clearance, lowest = ((values[SLOTS[name]], values[SLOTS[name] + 1]) for name in FACTS_OF_KIDNEYS)
    return found._replace(clearance=clearance, lowest=lowest)


def both(found: Found) -> tuple[Bounds, Bounds]:
    return found.clearance, found.lowest


@pytest.mark.parametrize(
    ("renal", "clearance", "lowest"),
    [
        (Renal(crcl=40), 40, 40),
        (Renal(egfr=40), 40, 40),
        (Renal(crcl=40, egfr=55), 40, 40),
        (Renal(crcl=55, egfr=40), 55, 40),
        (Renal(crcl=0), 0, 0),
        # below a limit is below it: whole mL/min are those that were reached
        (Renal(egfr=59.99), 59, 59),
        (Renal(crcl=24.5, egfr=29.9), 24, 24),
        (Renal(egfr=60, dialysis=Answer.NO), 60, 60),
    ],
)
def test_a_number_is_that_number(renal: Renal, clearance: int, lowest: int) -> None:
    found = kidneys(renal)
    assert both(found) == ((clearance, clearance), (lowest, lowest))
    assert not found.why
    assert not found.conflicts
    assert not found.evidence


@pytest.mark.parametrize(
    ("codes", "lowest"),
    [
        ((), OPEN),
        (("N18.30",), MODERATE),
        (("N18.31",), MODERATE),
        (("N18.4",), SEVERE),
        (("N18.6",), SEVERE),
        (("Z99.2",), SEVERE),
        (("N18.32", "N18.4"), SEVERE),
        (("N18.9",), OPEN),
        (("N18.9", "N18.30"), MODERATE),
        (("N18.2",), OPEN),
        (("M54.50",), OPEN),
    ],
)
def test_a_stage_bounds_the_lower_number_and_says_nothing_of_the_clearance(
    codes: tuple[str, ...], lowest: Bounds
) -> None:
    found = kidneys(Renal(), *codes)
    assert both(found) == (OPEN, lowest)
    assert not found.conflicts


def test_dialysis_is_severe_and_not_dialysed_says_nothing() -> None:
    assert both(kidneys(Renal(dialysis=Answer.YES))) == (OPEN, SEVERE)
    assert both(kidneys(Renal(dialysis=Answer.NO))) == (OPEN, OPEN)
    assert both(kidneys(Renal(dialysis=Answer.NO), "N18.4")) == (OPEN, SEVERE)


def test_what_is_missing_is_told_with_its_field() -> None:
    nothing, coded = kidneys(Renal()), kidneys(Renal(), "N18.9")
    for found in (nothing, coded):
        assert found.why["renal_clearance"][0] == "patient.renal.crcl"
        assert found.why["renal_lowest"][0] == "patient.renal.egfr"
    assert nothing.why["renal_lowest"][1] == "not sent: send creatinine clearance or eGFR"
    assert coded.why["renal_lowest"][1].startswith("renal disease is coded, its clearance is not sent")


@pytest.mark.parametrize(
    ("renal", "code", "clearance", "lowest"),
    [
        (Renal(crcl=90), "N18.4", (0, 90), SEVERE),
        (Renal(egfr=30), "N18.4", (0, 30), SEVERE),
        (Renal(egfr=31), "Z99.2", (0, 31), SEVERE),
        (Renal(egfr=55, dialysis=Answer.YES), "M54.50", (0, 55), SEVERE),
        (Renal(egfr=10), "N18.30", (10, 10), (10, 10)),
        (Renal(crcl=28), "N18.32", (28, 28), (28, 28)),
        (Renal(egfr=60), "N18.30", (30, 60), MODERATE),
        (Renal(crcl=45, egfr=20), "N18.30", (45, 45), (20, 20)),
    ],
)
def test_of_a_contradiction_the_worse_counts(renal: Renal, code: str, clearance: Bounds, lowest: Bounds) -> None:
    found = kidneys(renal, code)
    assert both(found) == (clearance, lowest)
    assert found.conflicts == [
        "renal function as sent and the coded stage or dialysis disagree: the worse of them counts"
    ]
    assert "renal_lowest" not in found.why


def test_a_lower_number_that_agrees_is_no_conflict() -> None:
    found = kidneys(Renal(crcl=35, egfr=20), "N18.4")
    assert both(found) == ((0, 35), (20, 20))
    assert not found.conflicts
    assert set(found.why) == {"renal_clearance"}


def test_what_no_longer_counts_is_no_evidence() -> None:
    assert kidneys(Renal(), "N18.4", "I10", "N18.9").evidence == dict.fromkeys(FACTS_OF_KIDNEYS, ("N18.4", "N18.9"))
    for status in (ConditionStatus.RESOLVED, ConditionStatus.INACTIVE, ConditionStatus.REFUTED):
        found = kidneys(Renal(), "N18.4", status=status)
        assert both(found) == (OPEN, OPEN)
        assert not found.evidence


def test_that_egfr_stood_in_is_said_where_the_label_asks_for_the_clearance() -> None:
    for line in knowledge().lines.values():
        asks = line.id == "tizanidine"
        assert bool(clearance_notes(line, Renal(egfr=40))) == asks
        assert not clearance_notes(line, Renal(crcl=40))
        assert not clearance_notes(line, Renal(crcl=40, egfr=40))
        assert not clearance_notes(line, Renal(dialysis=Answer.YES))


NUMBERS = st.none() | st.integers(0, 150).map(float) | st.floats(0, 150)
STAGES = {"N18.30": MODERATE, "N18.32": MODERATE, "N18.4": SEVERE, "N18.5": SEVERE, "Z99.2": SEVERE}


@given(NUMBERS, NUMBERS, st.sampled_from(Answer), st.sets(st.sampled_from([*STAGES, "N18.9", "N18.1", "M54.50"])))
def test_whatever_says_impaired_is_believed(
    crcl: float | None, egfr: float | None, dialysis: Answer, codes: set[str]
) -> None:
    found = kidneys(Renal(egfr, crcl, dialysis), *sorted(codes))
    stages = {STAGES[code] for code in codes if code in STAGES} | ({SEVERE} if dialysis is Answer.YES else set())
    worst = min(stages, default=None)
    sent = [int(each) for each in (crcl, egfr) if each is not None]
    for limit in (30, 60):  # surely below it by any source is below it; nothing else is, and nothing else is open
        low, high = found.lowest
        assert (high < limit) == (min(sent, default=HIGHEST) < limit or (worst or OPEN)[1] < limit)
        assert sent == [] or (high < limit) != (low >= limit)
    if not sent:
        assert found.clearance == OPEN
        assert found.lowest == (worst or OPEN)
    elif worst and sent[0] > worst[1]:
        assert found.clearance == (worst[0], sent[0])
    else:
        assert found.clearance == (sent[0], sent[0])
    assert bool(found.conflicts) == bool(sent and worst and not worst[0] <= min(sent) <= worst[1])
