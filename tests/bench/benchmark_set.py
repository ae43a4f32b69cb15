"""What is measured: every case of `rules_data/cases`, as facts for the rules and as requests for the server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from safety_service.cases import Case
from safety_service.engine.check import interpreted
from safety_service.engine.facts import candidate_lines, line_facts, read_order
from safety_service.engine.history import read_history, recognised
from safety_service.engine.patient import patient_facts
from safety_service.knowledge.knowledge import Knowledge, Line
from safety_service.rules.tree import facts_of
from safety_service.rules.vocabulary import FACTS, SLOTS, Type, unknown_facts
from tests.equivalence.cel_text import is_partly_known


@dataclass(frozen=True, slots=True)
class FactCase:
    """The facts of one case for one product line it can be."""

    case: str
    line: Line
    values: list[int]


def fact_cases(knowledge: Knowledge, cases: Iterable[Case]) -> Iterator[FactCase]:
    """The facts that the engine asks its rules with. A case whose order holds no relaxant has none."""
    for each in cases:
        request = each.request
        order = read_order(knowledge, request, recognised(knowledge.names, request.prescription.medication))
        history = read_history(knowledge, request)
        patient = patient_facts(knowledge, request, order.start)
        lines = candidate_lines(knowledge, order)
        for line in lines:
            facts = line_facts(knowledge, order, history, patient, line, len(lines) > 1)
            yield FactCase(each.id, line, facts.values)


def named_facts(line: Line) -> tuple[str, ...]:
    """The facts that the live rules of a line name, in the vocabulary's order."""
    named: set[str] = set()
    for live in line.program.rules:
        named |= facts_of(live.applies) if live.applies is not None else set()
        named.update(*(facts_of(clause.when) for clause in live.clauses))
    return tuple(name for name in FACTS if name in named)


def without_part_knowledge(each: FactCase) -> FactCase | None:
    """The case with its partly known facts taken as not known at all; None when that would change an answer."""
    values = list(each.values)
    nothing = unknown_facts()
    for name in named_facts(each.line):
        if is_partly_known(name, values):
            at = SLOTS[name]
            end = at + 2 if FACTS[name].type is Type.NUMBER else at + 1
            values[at:end] = nothing[at:end]
    if values == each.values:
        return each
    program = each.line.program
    same = interpreted(program, values) == interpreted(program, each.values)
    return FactCase(each.case, each.line, values) if same else None
