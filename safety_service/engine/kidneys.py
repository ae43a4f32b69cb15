"""How well the kidneys work: clearance or eGFR as sent, and what a coded stage or dialysis leaves possible."""

from __future__ import annotations

from safety_service.domain import Answer, CheckRequest, Renal
from safety_service.engine.history import sets_mask
from safety_service.engine.problems import Problems
from safety_service.knowledge.knowledge import Knowledge, Line
from safety_service.rules.vocabulary import HIGHEST, put_number

FACTS_OF_KIDNEYS = ("renal_clearance", "renal_lowest")


def put_kidneys(
    knowledge: Knowledge,
    request: CheckRequest,
    problems: Problems,
    values: list[int],
    why: dict[str, tuple[str, str]],
    evidence: dict[str, tuple[str, ...]],
    conflicts: list[str],
) -> None:
    """Sets `renal_clearance` (creatinine clearance, else eGFR) and `renal_lowest` (the lower of both), whole mL/min.

    Without a number a coded stage bounds the latter, by policy: stage 3 lies between the two limits, stage 4 and above
    and dialysis below the lower one. It says nothing of a clearance in mL/min, which is asked for. Where a number and a
    code or dialysis contradict each other, any of them says impaired: the lower counts. Only a clearance above what the
    code leaves possible stays open between the two.
    """
    renal = request.patient.renal
    sent = [int(each) for each in (renal.crcl, renal.egfr) if each is not None]
    severe = sets_mask(knowledge, ("kidney-severe",))
    moderate = sets_mask(knowledge, ("kidney-moderate",))
    unstaged = sets_mask(knowledge, ("kidney-unstaged",))
    codes = tuple(code for bits, code in problems.codes if bits & (severe | moderate | unstaged))
    if codes:
        evidence.update(dict.fromkeys(FACTS_OF_KIDNEYS, codes))
    coded = _coded(knowledge, renal.dialysis, problems.now, severe, moderate)
    if not sent:
        reason = "renal disease is coded, its clearance is not sent" if codes else "not sent"
        for name, field, bounds in (
            ("renal_clearance", "crcl", None),
            ("renal_lowest", "egfr", coded),
        ):
            put_number(values, name, *(bounds or (0, HIGHEST)))
            why[name] = (f"patient.renal.{field}", f"{reason}: send creatinine clearance or eGFR")
        return
    clearance, lowest = sent[0], min(sent)
    least, most = coded or (0, HIGHEST)
    if clearance > most:
        put_number(values, "renal_clearance", least, clearance)
        why["renal_clearance"] = ("patient.renal", "the coded stage or dialysis says less than the number sent")
    else:
        put_number(values, "renal_clearance", clearance, clearance)
    if lowest > most:
        put_number(values, "renal_lowest", least, most)
    else:
        put_number(values, "renal_lowest", lowest, lowest)
    if not least <= lowest <= most:
        conflicts.append("renal function as sent and the coded stage or dialysis disagree: the worse of them counts")


def clearance_notes(line: Line, renal: Renal) -> tuple[str, ...]:
    """What is told where the label asks for creatinine clearance and eGFR stood in for it."""
    asked = "renal.caution_below" in line.statements
    stood_in = renal.crcl is None and renal.egfr is not None
    return ("no creatinine clearance was sent: eGFR was used for it",) if asked and stood_in else ()


def _coded(knowledge: Knowledge, dialysis: Answer, now: int, severe: int, moderate: int) -> tuple[int, int] | None:
    """Least and most clearance that dialysis or a coded stage leaves possible."""
    severe_below = knowledge.policy_numbers["policy.renal.severe_below"]
    moderate_below = knowledge.policy_numbers["policy.renal.moderate_below"]
    if dialysis is Answer.YES or now & severe:
        return 0, severe_below - 1
    return (severe_below, moderate_below - 1) if now & moderate else None
