"""What the drug is ordered for: relaxant or not, exempt from day limits or not, and for which complaint."""

from __future__ import annotations

from typing import NamedTuple

from safety_service.domain import CheckRequest
from safety_service.engine.history import indication_classes, sets_mask
from safety_service.engine.problems import Problems
from safety_service.knowledge.knowledge import Knowledge, Line
from safety_service.rules.vocabulary import EITHER, NO, SLOTS, YES

_SPASTICITY = ("spasticity",)
_SPASTICITY_BY_INDICATION = ("spasticity", "spasticity-diazepam")
_MUSCLE = ("back-pain", "muscle-spasm")
_PURPOSES = (
    ("for_spasm_or_back_pain", _MUSCLE),
    ("for_low_back_pain", ("low-back-pain",)),
    ("for_stroke_palsy_or_parkinson", ("stroke", "cerebral-palsy", "parkinson")),
    ("acute_spasm_coded", ("acute-spasm",)),
)


class Use(NamedTuple):
    """`relaxant` and `exempt` are yes/no masks; `conflict` is what to tell when the problem list had to speak."""

    relaxant: int
    exempt: int
    conflict: str = ""


def put_use(knowledge: Knowledge, request: CheckRequest, problems: Problems, line: Line, values: list[int]) -> Use:
    """Sets the facts about the purpose of the order and returns how it counts for the day limits.

    An order without an indication is for something that is not known. Only spasticity on the problem list is then taken
    as its purpose, for a drug of which spasticity is a labelled use or a known misuse.
    """
    indications = request.prescription.indications
    bits, may_bits = indication_classes(knowledge, indications)
    if not indications:
        may_bits = -1
    by_indication = line.file.relaxant == "by-indication"
    labelled = by_indication or "indication.spasticity" in line.statements
    spasticity = sets_mask(knowledge, _SPASTICITY_BY_INDICATION if by_indication else _SPASTICITY)
    from_problems = not indications and bool(problems.now & spasticity)
    for_spasticity = YES if bits & spasticity or from_problems else EITHER if may_bits & spasticity else NO
    values[SLOTS["for_spasticity"]] = for_spasticity
    for name, sets in _PURPOSES:
        mask = sets_mask(knowledge, sets)
        values[SLOTS[name]] = YES if bits & mask else EITHER if may_bits & mask else NO
    relaxant = YES
    if by_indication and for_spasticity != YES:
        muscle = sets_mask(knowledge, _MUSCLE)
        relaxant = YES if bits & muscle else EITHER if may_bits & (muscle | spasticity) else NO
    exempt = for_spasticity if labelled else NO
    conflict = ""
    if from_problems and (labelled or "indication.not_effective_spasticity" in line.statements):
        conflict = "no indication was sent: spasticity on the problem list was taken as the indication"
    values[SLOTS["relaxant_use"]] = relaxant
    values[SLOTS["exempt_antispastic"]] = exempt
    return Use(relaxant, exempt, conflict)
