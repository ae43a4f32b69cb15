"""Pregnant or breast-feeding: as coded, else as stated, else open for everyone whom it could concern."""

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
    Sex,
)
from safety_service.engine.pregnancy import put_pregnancy
from safety_service.engine.problems import read_problems
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import load_knowledge
from safety_service.rules.vocabulary import EITHER, HIGHEST, LOWEST, NO, SLOTS, YES, put_number, unknown_facts

MASK = {Answer.YES: YES, Answer.NO: NO}
PREGNANT, LACTATING = "Z33.1", "Z39.1"


class Found(NamedTuple):
    pregnant: int
    lactating: int
    why: dict[str, tuple[str, str]]
    evidence: dict[str, tuple[str, ...]]
    conflicts: list[str]


@cache
def knowledge() -> Knowledge:
    return load_knowledge()


def told(
    patient: Patient,
    age: tuple[int, int] = (30, 30),
    codes: tuple[str, ...] = (),
    status: ConditionStatus = ConditionStatus.ACTIVE,
) -> Found:
    listed = Listed(
        tuple(Condition(codings=(Coding("icd10cm", code),), status=status) for code in codes), Completeness.COMPLETE
    )
    request = CheckRequest(Prescription(Medication()), patient, 20_000)
    problems = read_problems(knowledge(), listed, request.as_of, [])
    values = unknown_facts()
    put_number(values, "age_years", *age)
    found = Found(EITHER, EITHER, {}, {}, [])
    put_pregnancy(knowledge(), request.patient, problems, values, found.why, found.evidence, found.conflicts)
    return found._replace(pregnant=values[SLOTS["pregnant"]], lactating=values[SLOTS["lactating"]])


@pytest.mark.parametrize("sex", Sex)
@pytest.mark.parametrize(
    ("age", "concerned"),
    [
        ((11, 11), False),
        ((12, 12), True),
        ((55, 55), True),
        ((56, 56), False),
        # could be one or the other
        ((11, 12), True),
        ((10, 11), False),
        ((55, 56), True),
        ((56, 57), False),
        ((0, 100), True),
        ((LOWEST, HIGHEST), True),
    ],
)
def test_who_is_asked(sex: Sex, age: tuple[int, int], concerned: bool) -> None:
    found = told(Patient(sex=sex), age)
    asked = concerned and sex is not Sex.MALE
    assert found.pregnant == found.lactating == (EITHER if asked else NO)
    assert set(found.why) == ({"pregnant", "lactating"} if asked else set())


def test_what_is_missing_is_told_with_its_field() -> None:
    found = told(Patient(sex=Sex.FEMALE, pregnant=Answer.NO))
    assert (found.pregnant, found.lactating) == (NO, EITHER)
    assert found.why == {
        "lactating": ("patient.lactating", "not sent, and the patient's age and sex leave it possible")
    }


def test_a_code_says_it_and_is_the_evidence() -> None:
    found = told(Patient(sex=Sex.FEMALE), codes=(PREGNANT, "I10", "Z3A.20"))
    assert (found.pregnant, found.lactating) == (YES, EITHER)
    assert found.evidence == {"pregnant": (PREGNANT, "Z3A.20")}
    assert not found.conflicts
    found = told(Patient(sex=Sex.FEMALE), codes=(LACTATING,))
    assert (found.pregnant, found.lactating) == (EITHER, YES)
    assert found.evidence == {"lactating": (LACTATING,)}


def test_what_no_longer_counts_is_no_evidence() -> None:
    for status in (ConditionStatus.RESOLVED, ConditionStatus.INACTIVE, ConditionStatus.REFUTED):
        found = told(Patient(sex=Sex.FEMALE), codes=(PREGNANT, LACTATING), status=status)
        assert (found.pregnant, found.lactating) == (EITHER, EITHER)
        assert not found.evidence


def test_a_code_against_what_is_stated_is_told() -> None:
    found = told(Patient(sex=Sex.FEMALE, pregnant=Answer.NO, lactating=Answer.NO), codes=(PREGNANT,))
    assert (found.pregnant, found.lactating) == (YES, NO)
    assert found.conflicts == ["not pregnant is stated, but coded: the code was taken"]


@given(
    st.sampled_from(Sex),
    st.tuples(st.integers(0, 100), st.integers(0, 100)),
    st.sampled_from(Answer),
    st.sampled_from(Answer),
    st.sets(st.sampled_from([PREGNANT, LACTATING, "O80", "Z39.2", "Z32.02"])),
)
def test_coded_before_stated_before_asked(
    sex: Sex, ages: tuple[int, int], pregnant: Answer, lactating: Answer, codes: set[str]
) -> None:
    age = min(ages), max(ages)
    found = told(Patient(sex=sex, pregnant=pregnant, lactating=lactating), age, tuple(sorted(codes)))
    possible = sex is not Sex.MALE and any(12 <= each <= 55 for each in range(age[0], age[1] + 1))
    for answer, stated, code, name in (
        (found.pregnant, pregnant, PREGNANT, "pregnant"),
        (found.lactating, lactating, LACTATING, "lactating"),
    ):
        expected = YES if code in codes else MASK.get(stated, EITHER if possible else NO)
        assert answer == expected
        assert (name in found.why) == (expected == EITHER)
        assert (name in found.evidence) == (code in codes)
    disagreeing = (pregnant is Answer.NO and PREGNANT in codes) + (lactating is Answer.NO and LACTATING in codes)
    assert len(found.conflicts) == disagreeing
