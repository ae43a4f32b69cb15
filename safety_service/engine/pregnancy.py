"""Whether the patient is pregnant or breast-feeding: as stated, as coded, or open for whom it could be."""

from __future__ import annotations

from safety_service.domain import Answer, Patient, Sex
from safety_service.engine.history import sets_mask
from safety_service.engine.problems import Problems
from safety_service.knowledge.knowledge import Knowledge
from safety_service.rules.vocabulary import EITHER, NO, SLOTS, YES


def put_pregnancy(
    knowledge: Knowledge,
    patient: Patient,
    problems: Problems,
    values: list[int],
    why: dict[str, tuple[str, str]],
    evidence: dict[str, tuple[str, ...]],
    conflicts: list[str],
) -> None:
    """Sets `pregnant` and `lactating`. What is not stated and not coded is asked for from those it can concern."""
    oldest = values[SLOTS["age_years"] + 1]
    youngest = values[SLOTS["age_years"]]
    from_years = knowledge.policy_numbers["policy.pregnancy.youngest_years"]
    to_years = knowledge.policy_numbers["policy.pregnancy.oldest_years"]
    outside = youngest > to_years or oldest < from_years
    otherwise = NO if patient.sex is Sex.MALE or outside else EITHER
    for name, stated, set_id in (
        ("pregnant", patient.pregnant, "pregnancy"),
        ("lactating", patient.lactating, "lactation"),
    ):
        mask = sets_mask(knowledge, (set_id,))
        answer = {Answer.YES: YES, Answer.NO: NO, Answer.UNKNOWN: otherwise}[stated]
        if problems.now & mask:
            evidence[name] = tuple(code for bits, code in problems.codes if bits & mask)
            if stated is Answer.NO:
                conflicts.append(f"not {name} is stated, but coded: the code was taken")
            answer = YES
        values[SLOTS[name]] = answer
        if answer == EITHER:
            why[name] = (f"patient.{name}", "not sent, and the patient's age and sex leave it possible")
