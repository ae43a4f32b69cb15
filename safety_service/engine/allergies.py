"""Which drugs the patient is listed as allergic to, or intolerant of."""

from __future__ import annotations

from typing import NamedTuple

from safety_service.domain import CheckRequest, ConditionStatus, MatchedBy, NotProcessed
from safety_service.engine.history import recognised
from safety_service.engine.problems import COUNTING, NEVER
from safety_service.knowledge.knowledge import Knowledge, Line
from safety_service.rules.vocabulary import EITHER, NO, SLOTS, YES

CARBAMATES = "carbamate"


class Allergen(NamedTuple):
    """One active entry: its ingredients, its classes, the ATC codes it was given by, how to refer to it."""

    ingredients: frozenset[str]
    bits: int
    atc: tuple[str, ...]
    reference: str


class Allergies(NamedTuple):
    """The active entries; `complete` says whether "in none" can be believed."""

    entries: tuple[Allergen, ...]
    complete: bool


NO_ALLERGIES = Allergies((), False)


def read_allergies(knowledge: Knowledge, request: CheckRequest, not_processed: list[NotProcessed]) -> Allergies:
    """Raises nothing; a substance that is not recognised goes to `not_processed` and keeps "in none" open."""
    listed = request.patient.allergies
    complete = listed.is_complete
    entries: list[Allergen] = []
    for i, each in enumerate(listed.items):
        if each.status in NEVER or each.status not in (*COUNTING, ConditionStatus.UNSPECIFIED):
            continue
        path = f"patient.allergies.items[{i}]"
        resolution = recognised(knowledge.names, each.substance)
        if resolution.matched_by is MatchedBy.NONE or resolution.unrecognised:
            complete = False
            reason = resolution.why_not or f"not recognised beside the rest: {', '.join(resolution.unrecognised)}"
            not_processed.append(NotProcessed(f"{path}.substance", reason))
        bits = 0
        for name in resolution.names:
            bits |= knowledge.drugs.of_ingredient(name, "")
        for code in resolution.classes_atc:
            bits |= knowledge.drugs.of_atc(code)
        if resolution.names or resolution.classes_atc:
            entries.append(Allergen(frozenset(resolution.names), bits, tuple(resolution.classes_atc), each.id or path))
    return Allergies(tuple(entries), complete)


def put_allergies(
    knowledge: Knowledge, allergies: Allergies, line: Line, values: list[int]
) -> dict[str, tuple[str, ...]]:
    """Sets the facts about allergies for the drug of `line`; returns the entries behind each."""
    otherwise = NO if allergies.complete else EITHER
    own: list[str] = []
    may = False
    for each in allergies.entries:
        if line.ingredient in each.ingredients or any(code in line.file.atc for code in each.atc):
            own.append(each.reference)
        else:  # an allergy to a class that holds the drug
            may |= any(full.startswith(code) for code in each.atc for full in line.file.atc)
    carbamate = knowledge.drugs.bit(CARBAMATES)
    cousins = [
        each.reference for each in allergies.entries if each.bits & carbamate and each.ingredients != {line.ingredient}
    ]
    values[SLOTS["allergy_to_drug"]] = YES if own else EITHER if may else otherwise
    values[SLOTS["allergy_to_carbamate"]] = YES if cousins else otherwise
    values[SLOTS["any_drug_allergy"]] = YES if allergies.entries else otherwise
    return {
        "allergy_to_drug": tuple(own),
        "allergy_to_carbamate": tuple(cousins),
        "any_drug_allergy": tuple(each.reference for each in allergies.entries),
    }
