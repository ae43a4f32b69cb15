"""The problem list: each fact against its definition, read off the value-set files; what is told of what stays open."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safety_service.domain import (
    CheckRequest,
    Coding,
    Completeness,
    Condition,
    ConditionStatus,
    Listed,
    Medication,
    NotProcessed,
    Patient,
    Prescription,
)
from safety_service.engine.check import check
from safety_service.engine.problems import (
    Problems,
    evidence_of,
    put_conditions,
    put_myocardial_infarction,
    read_problems,
)
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import load_knowledge
from safety_service.rules.vocabulary import CONDITIONS, EITHER, HIGHEST, NO, SLOTS, YES, condition_fact, unknown_facts

ICD = "http://hl7.org/fhir/sid/icd-10-cm"
SNOMED = "http://snomed.info/sct"
TODAY = 1000
COMPLETE = Completeness.COMPLETE
Status = ConditionStatus


@cache
def knowledge() -> Knowledge:
    return load_knowledge()


def coded(code: str, status: Status = Status.UNSPECIFIED, onset: int | None = None, id: str = "") -> Condition:
    return Condition((Coding(ICD, code),), status=status, onset=onset, id=id)


def complete(*items: Condition) -> Listed[Condition]:
    return Listed(items, COMPLETE)


def read(listed: Listed[Condition]) -> tuple[Problems, list[NotProcessed]]:
    not_processed: list[NotProcessed] = []
    return read_problems(knowledge(), listed, TODAY, not_processed), not_processed


def facts(listed: Listed[Condition], start: int = TODAY) -> dict[str, int]:
    """Every fact about a condition, and the bounds of the days since an infarction."""
    problems, _ = read(listed)
    values = unknown_facts()
    put_conditions(knowledge(), problems, values, {})
    put_myocardial_infarction(knowledge(), listed, problems, TODAY, start, values)
    found = {name: values[SLOTS[name]] for name in DEFINED}
    at = SLOTS["days_since_myocardial_infarction"]
    return found | {"fewest": values[at], "most": values[at + 1]}


# --- the definition ----------------------------------------------------------------------------------------------

DEFINED = {condition_fact(each): each for each in CONDITIONS} | {
    "had_porphyria_acute_intermittent": "porphyria-acute-intermittent",
    "had_anemia_tendency": "anemia-tendency",
    "had_substance_use_disorder": "substance-use-disorder",
    "had_urinary_retention": "urinary-retention",
}
OPEN = {  # codes of the second set may be the condition of the first
    "porphyria-acute-intermittent": "porphyria-unspecified",
    "anemia-tendency": "anemia-other",
    "glaucoma-acute-angle-closure": "glaucoma-unspecified",
    "severe-heart-disease": "heart-failure",
}
COUNT_NOW = {Status.UNSPECIFIED, Status.ACTIVE, Status.RECURRENCE, Status.RELAPSE}
COUNT_NEVER = {Status.REFUTED, Status.ENTERED_IN_ERROR}


@cache
def prefixes(set_id: str) -> frozenset[str]:
    (found,) = [each for each in knowledge().condition_sets if each.id == set_id]
    return frozenset(row.code.replace(".", "") for row in found.icd10cm)


@cache
def snomed(set_id: str) -> frozenset[str]:
    (found,) = [each for each in knowledge().condition_sets if each.id == set_id]
    return frozenset(row.code for row in found.snomed)


def in_set(set_id: str, condition: Condition) -> bool:
    return coded_in(set_id, condition.codings)


@cache
def coded_in(set_id: str, codings: tuple[Coding, ...]) -> bool:
    for coding in codings:
        if coding.system == SNOMED and coding.code in snomed(set_id):
            return True
        if coding.system == ICD and any(coding.code.replace(".", "").startswith(each) for each in prefixes(set_id)):
            return True
    return False


@cache
def short_in(set_id: str, codings: tuple[Coding, ...]) -> bool:
    """The one code of a condition covers more than the set does."""
    code = codings[0].code.replace(".", "") if codings else "-"
    return not coded_in(set_id, codings) and any(each.startswith(code) for each in prefixes(set_id))


@cache
def known_codes() -> frozenset[str]:
    return frozenset().union(*(snomed(each.id) for each in knowledge().condition_sets))


def recognised(condition: Condition) -> bool:
    return any(coding.system == ICD or coding.code in known_codes() for coding in condition.codings)


def defined(name: str, listed: Listed[Condition]) -> int:
    set_id = DEFINED[name]
    known = [c for c in listed.items if c.status not in COUNT_NEVER and (c.recorded_on or 0) <= TODAY]
    counting = known if name.startswith("had_") else [c for c in known if c.status in COUNT_NOW]
    if set_id == "peptic-ulcer-stenosing":
        ulcer = any(in_set("peptic-ulcer", c) for c in counting)
        if ulcer and any(in_set("gastric-obstruction", c) for c in counting):
            return YES
        may_be = ulcer
    else:
        if any(in_set(set_id, c) for c in counting):
            return YES
        may_be = set_id in OPEN and any(in_set(OPEN[set_id], c) for c in counting)
        may_be |= any(short_in(set_id, c.codings) for c in counting)
    if may_be or listed.completeness is not COMPLETE or not all(map(recognised, counting)):
        return EITHER
    return NO


CODES = """
    E05.90 E06 E06.2 E06.3 I48.91 I47.10 I44.2 I45 I50.9 I50.84 I50.8 I50 I11 I11.0 I11.9 I13 I25.2 I25.10 I21.4
    I22.0 R00.0 R00 D59.0 D50.9 D64.9 D57 D57.3 H40 H40.0 H40.031 H40.051 H40.1131 H40.2 H40.20X0 H40.211 H40.2210
    H40.9 K31 K31.1 K31.5 K25.9 K28.9 K29.70 N40.1 N32 N32.0 K22 K22.0 R33.9 R39.11 G70 G70.00 G70.80 G40.909 R56
    F20.9 F32 F10.251 F11.21 F17.210 G90 G90.4 J44.9 J96.11 J95 G47 G47.33 E80 E80.2 E80.20 E80.21 E80.29 Z51 Z51.5
    I10 M54.50
""".split()
CODINGS = st.one_of(
    st.sampled_from(CODES).map(lambda code: (Coding(ICD, code),)),
    st.sampled_from(["84114007", "392291006", "30041005", "267064002", "22298006", "38341003"]).map(
        lambda code: (Coding(SNOMED, code),)
    ),
    st.just(()),
)
ENTRIES = st.builds(
    Condition,
    codings=CODINGS,
    text=st.just("words"),
    status=st.sampled_from(list(Status)),
    onset=st.sampled_from([None, TODAY - 400, TODAY - 28, TODAY]),
    recorded_on=st.sampled_from([None, None, TODAY - 5, TODAY, TODAY + 1]),
)
LISTS = st.builds(
    lambda items, completeness: Listed(tuple(items), completeness),
    st.lists(ENTRIES, max_size=4),
    st.sampled_from([COMPLETE, COMPLETE, Completeness.PARTIAL, Completeness.UNKNOWN]),
)


@given(LISTS)
def test_every_condition_is_what_its_definition_says(listed: Listed[Condition]) -> None:
    found = facts(listed)
    assert {name: found[name] for name in DEFINED} == {name: defined(name, listed) for name in DEFINED}


@given(LISTS, ENTRIES)
def test_one_entry_more_never_takes_a_yes_back(listed: Listed[Condition], more: Condition) -> None:
    before, after = facts(listed), facts(Listed((*listed.items, more), listed.completeness))
    assert [name for name in DEFINED if before[name] == YES != after[name]] == []


@given(LISTS, st.integers(TODAY - 10, TODAY + 30))
def test_days_since_the_infarction_are_what_the_definition_says(listed: Listed[Condition], start: int) -> None:
    known = [c for c in listed.items if c.status not in COUNT_NEVER and (c.recorded_on or 0) <= TODAY]
    infarctions = [c for c in known if in_set("myocardial-infarction", c)]
    dated = [max(0, start - c.onset) for c in infarctions if c.onset is not None]
    open_ended = len(dated) < len(infarctions) or listed.completeness is not COMPLETE or not all(map(recognised, known))
    found = facts(listed, start)
    assert found["most"] == min(dated, default=HIGHEST)
    assert found["fewest"] == (0 if open_ended else min(dated, default=HIGHEST))


# --- what is told ------------------------------------------------------------------------------------------------


def test_a_condition_that_is_not_recognised_is_named_by_its_place() -> None:
    words = Condition(text="heart trouble")
    over = Condition(text="heart trouble", status=Status.RESOLVED)
    refuted = Condition(text="heart trouble", status=Status.REFUTED)
    problems, told = read(complete(coded("I10"), words, refuted, over))
    assert [each.path for each in told] == ["patient.conditions.items[1]", "patient.conditions.items[3]"]
    assert "heart trouble" not in "".join(each.reason for each in told)
    assert (problems.complete, problems.complete_ever) == (False, False)


def test_what_is_over_and_not_recognised_leaves_only_the_past_open() -> None:
    problems, _ = read(complete(Condition(text="something", status=Status.RESOLVED)))
    assert (problems.complete, problems.complete_ever) == (True, False)
    found = facts(complete(Condition(text="something", status=Status.RESOLVED)))
    assert (found["has_heart_failure"], found["had_urinary_retention"]) == (NO, EITHER)


def test_one_known_code_is_enough_to_recognise_a_condition() -> None:
    both = Condition((Coding(SNOMED, "38341003"), Coding(ICD, "I50.9")))
    problems, told = read(complete(both))
    assert problems.complete
    assert not told
    assert facts(complete(both))["has_heart_failure"] == YES


def test_a_longer_code_beside_a_short_one_settles_it() -> None:
    both = Condition((Coding(ICD, "I11"), Coding(ICD, "I11.9")))
    assert facts(complete(coded("I11")))["has_heart_failure"] == EITHER
    assert facts(complete(both))["has_heart_failure"] == NO


@pytest.mark.parametrize(
    ("fact", "codes", "evidence"),
    [
        ("has_heart_failure", ["I50.9", "I10", "I11.0"], ("I50.9", "I11.0")),
        ("has_peptic_ulcer_stenosing", ["K25.9", "I10", "K31.5"], ("K25.9", "K31.5")),
        ("had_porphyria_acute_intermittent", ["E80.21"], ("E80.21",)),
        ("days_since_myocardial_infarction", ["I21.4", "I25.2"], ("I21.4",)),
        ("age_years", ["I50.9"], ()),
    ],
)
def test_a_fact_names_the_codes_it_rests_on(fact: str, codes: list[str], evidence: tuple[str, ...]) -> None:
    problems, _ = read(complete(*map(coded, codes)))
    assert evidence_of(knowledge(), problems, fact) == evidence


def test_the_past_is_evidence_only_for_what_asks_of_the_past() -> None:
    problems, _ = read(complete(coded("R33.8", Status.RESOLVED), coded("I50.9", Status.RESOLVED)))
    assert evidence_of(knowledge(), problems, "had_urinary_retention") == ("R33.8",)
    assert evidence_of(knowledge(), problems, "has_heart_failure") == ()


def test_a_code_that_may_be_it_says_so() -> None:
    problems, _ = read(complete(coded("E80.20", Status.RESOLVED), coded("K25.9"), coded("I50.9", Status.RESOLVED)))
    why: dict[str, tuple[str, str]] = {}
    put_conditions(knowledge(), problems, unknown_facts(), why)
    told = ("patient.conditions", "the code does not tell whether it is this condition")
    assert why == {"had_porphyria_acute_intermittent": told, "has_peptic_ulcer_stenosing": told}


@pytest.mark.parametrize(
    ("listed", "fact", "told"),
    [
        (Listed(), "has_heart_failure", "the problem list was not sent"),
        (Listed((coded("I10"),)), "has_heart_failure", "the problem list is not marked complete"),
        (complete(Condition(text="words")), "has_heart_failure", "a condition on the list was not recognised"),
        (complete(coded("I11")), "has_heart_failure", "a code on the list is too short to tell"),
        (complete(coded("I21.4")), "days_since_myocardial_infarction", "the onset of the infarction was not sent"),
    ],
)
def test_what_to_send_is_told(listed: Listed[Condition], fact: str, told: str) -> None:
    order = Prescription(Medication(text="cyclobenzaprine 10 mg tablet"), start=TODAY)
    decision = check(knowledge(), CheckRequest(order, Patient(conditions=listed), TODAY))
    missing = {each.fact: each for answer in decision.checks for each in answer.missing}
    assert missing[fact].path == "patient.conditions"
    assert told in missing[fact].why
