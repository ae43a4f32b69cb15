"""Which drugs the patient is listed as allergic to, or intolerant of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from safety_service.domain import CheckRequest, Coding, MatchedBy, Medication, NotProcessed
from safety_service.engine.history import SUBSTANCE, recognised
from safety_service.engine.problems import COUNTING
from safety_service.knowledge.knowledge import Knowledge, Line
from safety_service.knowledge.resolve import Resolution
from safety_service.rules.vocabulary import EITHER, NO, SLOTS, YES

CARBAMATES = "carbamate"
RELAXANTS = "M03"  # the ATC group of muscle relaxants


class Allergen(NamedTuple):
    """One active entry: its ingredients, its classes, the ATC codes it was given by, how to refer to it.

    What it may be otherwise, where its codes and texts name different drugs, is in `may_ingredients` and `may_bits`.
    """

    ingredients: frozenset[str]
    bits: int
    atc: tuple[str, ...]
    reference: str
    may_ingredients: frozenset[str] = frozenset()
    may_bits: int = 0


class Allergies(NamedTuple):
    """The active entries; `complete` says whether "in none" can be believed."""

    entries: tuple[Allergen, ...]
    complete: bool


NO_ALLERGIES = Allergies((), False)


def read_allergies(
    knowledge: Knowledge, request: CheckRequest, not_processed: list[NotProcessed], conflicts: list[str]
) -> Allergies:
    """Raises nothing; a substance that is not recognised goes to `not_processed` and keeps "in none" open.

    One whose code and text disagree goes to `conflicts`: it is what the code says, and may be what the text says.
    """
    listed = request.patient.allergies
    complete = listed.is_complete
    entries: list[Allergen] = []
    for i, each in enumerate(listed.items):
        if each.status not in COUNTING:
            continue
        path = f"patient.allergies.items[{i}]"
        resolution = recognised(knowledge.names, each.substance)
        if resolution.matched_by is MatchedBy.NONE or resolution.unrecognised:
            complete = False
            reason = resolution.why_not or f"not recognised beside the rest: {', '.join(resolution.unrecognised)}"
            not_processed.append(NotProcessed(f"{path}.substance", reason))
        otherwise: frozenset[str] = frozenset()
        if resolution.conflict:
            conflicts.append(f"{path}.substance: {resolution.conflict}")
            otherwise = _each_by_itself(knowledge, each.substance) - frozenset(resolution.names)
        bits = _classes(knowledge, resolution.names)
        for code in resolution.classes_atc:
            bits |= knowledge.drugs.of_atc(code)
        if resolution.names or resolution.classes_atc:
            entries.append(
                Allergen(
                    frozenset(resolution.names),
                    bits,
                    tuple(resolution.classes_atc),
                    each.id or path,
                    otherwise,
                    _classes(knowledge, otherwise),
                )
            )
    return Allergies(tuple(entries), complete)


def _each_by_itself(knowledge: Knowledge, substance: Medication) -> frozenset[str]:
    """The ingredients that any code, display or text of the entry names when read alone."""
    alone = [Medication((Coding(each.system, each.code),)) for each in substance.codings]
    texts = (substance.text, *(each.display for each in substance.codings))
    alone += [Medication(text=text) for text in texts if text.strip()]
    return frozenset(name for each in alone for name in recognised(knowledge.names, each).names)


def _classes(knowledge: Knowledge, names: Iterable[str]) -> int:
    bits = 0
    for name in names:
        bits |= knowledge.drugs.of_ingredient(name, "")
    return bits


def put_allergies(
    knowledge: Knowledge, allergies: Allergies, ordered: Resolution, line: Line, values: list[int]
) -> dict[str, tuple[str, ...]]:
    """Sets the facts about allergies for the drug of `line`, ordered as `ordered`; returns the entries behind each."""
    otherwise = NO if allergies.complete else EITHER
    carbamate = knowledge.drugs.bit(CARBAMATES)
    beside = frozenset(ordered.names) - {line.ingredient}
    own: list[str] = []
    cousins: list[str] = []
    others: list[str] = []
    may_be_own = may_be_cousin = may_be_other = False
    for each in allergies.entries:
        if line.ingredient in each.ingredients or any(code in line.file.atc for code in each.atc):
            own.append(each.reference)
        else:
            may_be_own |= line.ingredient in each.may_ingredients or any(_holds(code, line) for code in each.atc)
        if each.bits & carbamate and each.ingredients != {line.ingredient}:
            cousins.append(each.reference)
        else:
            may_be_cousin |= bool(each.may_bits & carbamate) and each.may_ingredients != {line.ingredient}
            may_be_cousin |= any(knowledge.drugs.left_open(code) & carbamate for code in each.atc)
        if each.ingredients & beside:
            others.append(each.reference)
        may_be_other |= bool(each.may_ingredients & beside)
    values[SLOTS["allergy_to_drug"]] = YES if own else EITHER if may_be_own else otherwise
    values[SLOTS["allergy_to_carbamate"]] = YES if cousins else EITHER if may_be_cousin else otherwise
    values[SLOTS["any_drug_allergy"]] = YES if allergies.entries else otherwise
    other = NO
    if beside or ordered.unrecognised:
        untold = allergies.entries if ordered.unrecognised else [e for e in allergies.entries if not e.ingredients]
        other = YES if others else EITHER if untold or may_be_other else otherwise
    values[SLOTS["allergy_to_other_ingredient"]] = other
    return {
        "allergy_to_drug": tuple(own),
        "allergy_to_carbamate": tuple(cousins),
        "allergy_to_other_ingredient": tuple(others),
        "any_drug_allergy": tuple(each.reference for each in allergies.entries),
    }


def _holds(code: str, line: Line) -> bool:
    """Whether the group of an ATC code holds the drug; one without a code of its own is somewhere in the relaxants'."""
    if line.file.atc:
        return any(full.startswith(code) for full in line.file.atc)
    return len(code) < SUBSTANCE and (code.startswith(RELAXANTS) or RELAXANTS.startswith(code))
