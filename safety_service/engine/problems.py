"""The problem list, read once: which value sets hold a condition that counts, and what of it can be believed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from safety_service.domain import Condition, ConditionStatus, Listed, NotProcessed
from safety_service.engine.history import sets_mask
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.value_sets import ConditionClasses
from safety_service.rules.vocabulary import (
    CONDITIONS,
    CONDITIONS_EVER,
    EITHER,
    HIGHEST,
    NO,
    SLOTS,
    YES,
    condition_fact,
    put_number,
)

COUNTING = (ConditionStatus.UNSPECIFIED, ConditionStatus.ACTIVE, ConditionStatus.RECURRENCE, ConditionStatus.RELAPSE)
NEVER = (ConditionStatus.REFUTED, ConditionStatus.ENTERED_IN_ERROR)
STENOSING_ULCER = "peptic-ulcer-stenosing"  # no code says it: an ulcer with a coded obstruction does, by policy
OBSTRUCTION = "gastric-obstruction"
SET_OF_FACT = {condition_fact(each): each for each in (*CONDITIONS, *CONDITIONS_EVER)}
SINCE_INFARCTION = "days_since_myocardial_infarction"
FROM_PROBLEMS = frozenset({*SET_OF_FACT, SINCE_INFARCTION})  # the facts that `evidence_of` knows
# Sets whose codes do not tell whether the condition is the one that is asked for.
_MAY_BE = {
    "porphyria-acute-intermittent": "porphyria-unspecified",
    "anemia-tendency": "anemia-other",
    "glaucoma-acute-angle-closure": "glaucoma-unspecified",
    "severe-heart-disease": "heart-failure",
    STENOSING_ULCER: "peptic-ulcer",
}


@dataclass(frozen=True, slots=True)
class Problems:
    """The problem list read once: classes of what counts now and ever, and whether "in none" can be believed of each.

    `open_now` and `open_ever` are the classes that a code too short to tell leaves open.
    """

    now: int
    ever: int
    complete: bool
    complete_ever: bool  # a condition that is over and was not recognised leaves the past open, and not the present
    codes: tuple[tuple[int, str], ...]  # (classes, code or id) of each that counts now
    past: tuple[tuple[int, str], ...] = ()  # the same of each that does not
    open_now: int = 0
    open_ever: int = 0

    def has(self, mask: int) -> int:
        return YES if self.now & mask else NO if self.complete and not self.open_now & mask else EITHER

    def had(self, mask: int) -> int:
        return YES if self.ever & mask else NO if self.complete_ever and not self.open_ever & mask else EITHER


NO_PROBLEMS = Problems(0, 0, False, False, ())


def read_problems(
    knowledge: Knowledge, listed: Listed[Condition], as_of: int, not_processed: list[NotProcessed]
) -> Problems:
    """Raises nothing; a condition that is not recognised goes to `not_processed` and keeps "in none" open."""
    now = ever = open_now = open_ever = 0
    complete = complete_ever = listed.is_complete
    codes: list[tuple[int, str]] = []
    past: list[tuple[int, str]] = []
    for i, each in enumerate(listed.items):
        if each.status in NEVER or (each.recorded_on is not None and each.recorded_on > as_of):
            continue
        bits, recognised = knowledge.conditions.of(each.codings)
        left_open = knowledge.conditions.left_open(each.codings)
        ever |= bits
        open_ever |= left_open
        counts = each.status in COUNTING
        if counts:
            now |= bits
            open_now |= left_open
        if bits:
            (codes if counts else past).append((bits, each.codings[0].code if each.codings else each.id))
        if not recognised:
            complete_ever = False
            complete &= not counts
            not_processed.append(
                NotProcessed(
                    f"patient.conditions.items[{i}]",
                    "no ICD-10-CM code, and no SNOMED CT code known here: it could be anything",
                )
            )
    return Problems(now, ever, complete, complete_ever, tuple(codes), tuple(past), open_now, open_ever)


@lru_cache(maxsize=16)
def _condition_slots(classes: ConditionClasses) -> tuple[tuple[int, int, int, bool], ...]:
    """(slot, bits that say yes, bits that leave it open, whether the past counts) of each fact about a condition."""
    return tuple(
        (
            SLOTS[name],
            0 if set_id == STENOSING_ULCER else classes.bit(set_id),
            classes.bit(_MAY_BE[set_id]) if set_id in _MAY_BE else 0,
            set_id in CONDITIONS_EVER,
        )
        for name, set_id in SET_OF_FACT.items()
    )


def put_conditions(
    knowledge: Knowledge, problems: Problems, values: list[int], why: dict[str, tuple[str, str]]
) -> None:
    """Sets the facts `has_...` and `had_...`."""
    for slot, sure, possible, past in _condition_slots(knowledge.conditions):
        listed = problems.ever if past else problems.now
        left_open = problems.open_ever if past else problems.open_now
        otherwise = NO if (problems.complete_ever if past else problems.complete) else EITHER
        values[slot] = YES if listed & sure else EITHER if listed & possible or left_open & sure else otherwise
    conditions = knowledge.conditions
    ulcer, obstruction = conditions.bit(_MAY_BE[STENOSING_ULCER]), conditions.bit(OBSTRUCTION)
    if problems.now & ulcer and problems.now & obstruction:
        values[SLOTS[condition_fact(STENOSING_ULCER)]] = YES
    for set_id, possible_id in _MAY_BE.items():
        past = set_id in CONDITIONS_EVER
        if (problems.ever if past else problems.now) & conditions.bit(possible_id):
            why[condition_fact(set_id)] = ("patient.conditions", "the code does not tell whether it is this condition")


def evidence_of(knowledge: Knowledge, problems: Problems, fact: str) -> tuple[str, ...]:
    """The codes behind a fact of `FROM_PROBLEMS`."""
    if fact == SINCE_INFARCTION:
        mask, past = sets_mask(knowledge, ("myocardial-infarction",)), True
    else:
        set_id = SET_OF_FACT[fact]
        sets = (_MAY_BE[STENOSING_ULCER], OBSTRUCTION) if set_id == STENOSING_ULCER else (set_id,)
        mask, past = sets_mask(knowledge, sets), set_id in CONDITIONS_EVER
    found = (*problems.codes, *problems.past) if past else problems.codes
    return tuple(code for bits, code in found if bits & mask)


def put_myocardial_infarction(
    knowledge: Knowledge, listed: Listed[Condition], problems: Problems, as_of: int, start: int, values: list[int]
) -> None:
    """Sets `days_since_myocardial_infarction`, from the onset of the latest one; a resolved one counts too."""
    mask = sets_mask(knowledge, ("myocardial-infarction",))
    fewest = most = HIGHEST
    for each in listed.items:
        known_later = each.recorded_on is not None and each.recorded_on > as_of
        if each.status in NEVER or known_later or not knowledge.conditions.of(each.codings)[0] & mask:
            continue
        if each.onset is None:
            fewest = 0
        else:
            days = max(0, start - each.onset)
            fewest, most = min(fewest, days), min(most, days)
    put_number(values, SINCE_INFARCTION, fewest if problems.complete_ever else 0, most)
