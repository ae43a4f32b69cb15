"""All live rules of a case from ready facts: the generated functions against a CEL engine written in Rust.

The peer gets its programs compiled outside the clock, and its facts as a ready dict: of those alone that the line's
rules name, though ours takes the list of all. What it pays for, as a request would: its own context from that dict, and
a call for each rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cel

from safety_service.knowledge.knowledge import Line, LiveRule, Program
from safety_service.rules.generate import Answerer
from safety_service.rules.meaning import Truth
from safety_service.rules.tree import And, Or, Tree
from safety_service.rules.vocabulary import FACTS
from tests.bench.benchmark_set import FactCase, named_facts, without_part_knowledge
from tests.bench.clock import interleaved
from tests.bench.figures import Figure, Goal, Row
from tests.equivalence.cel_text import Value, cel_facts, cel_text, cel_truth, guarded_facts, is_partly_known

GOAL = Goal(required=20, target=30)
PEER = "common-expression-language"

Ours: TypeAlias = tuple[Answerer, list[int]]
Theirs: TypeAlias = tuple[tuple[cel.Program, ...], dict[str, Value]]


class AnswersDifferError(Exception):
    """The two engines do not answer alike; what they take is then of no interest."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`lines`: product line, live rules, clauses, cases. `unsaid`: cases whose partly known facts decide an answer."""

    rows: list[Row]
    lines: list[tuple[str, ...]]
    cases: int
    unsaid: int
    answers: dict[Truth, int]


def compare(facts: Sequence[FactCase], rounds: int) -> Comparison:
    """Time both engines in turn. Raises AnswersDifferError."""
    said = [each for each in map(without_part_knowledge, facts) if each is not None]
    by_rule = _Peer(_rule_conditions, named_facts)
    by_clause = _Peer(_clause_conditions, named_facts)
    on_all_facts = _Peer(_rule_conditions, lambda _: tuple(FACTS))
    answers = dict.fromkeys(Truth, 0)
    for each in said:
        for truth in _same_answers(each, (by_rule, on_all_facts), by_clause):
            answers[truth] += 1

    ours = [(each.line.program.answer, each.values) for each in said]
    peers = (by_rule, by_clause, on_all_facts)
    asked = [_ask_peer([each.given(case) for case in said]) for each in peers]
    times = interleaved([_ask_ours(ours), *asked], rounds)
    us = [[seconds / len(said) * 1e6 for seconds in engine] for engine in times]
    rows = [
        Row("all live rules of a case, CEL in Rust / ours", Figure.ratio(us[1], us[0]), "x", GOAL),
        Row("  the same, CEL asked for each clause of a rule, as ours tells", Figure.ratio(us[2], us[0]), "x"),
        Row("  the same, CEL given all facts of the case, as ours is", Figure.ratio(us[3], us[0]), "x"),
        Row("  ours", Figure.of(us[0]), "us CPU"),
        Row("  CEL in Rust", Figure.of(us[1]), "us CPU"),
    ]
    lines: list[tuple[str, ...]] = []
    for name, line in {each.line.id: each.line for each in facts}.items():
        kept, all_cases = (sum(each.line.id == name for each in some) for some in (said, facts))
        lines.append((name, str(len(line.program.rules)), str(_clauses(line.program)), f"{kept} of {all_cases}"))
    return Comparison(rows, lines, len(said), len(facts) - len(said), answers)


# --- the peer ----------------------------------------------------------------------------------------------------


class _Peer:
    """The rules of each line as programs of the peer: one for each of `conditions`, given the facts `names`."""

    def __init__(self, conditions: Callable[[Line], list[Tree]], names: Callable[[Line], tuple[str, ...]]) -> None:
        self._conditions = conditions
        self._names = names
        self._programs: dict[str, tuple[tuple[cel.Program, ...], tuple[str, ...], frozenset[str]]] = {}

    def given(self, each: FactCase) -> Theirs:
        """Programs and facts, ready to be asked."""
        line = each.line
        if line.id not in self._programs:
            trees = self._conditions(line)
            programs = tuple(cel.compile(cel_text(tree)) for tree in trees)
            guarded: frozenset[str] = frozenset().union(*map(guarded_facts, trees))
            self._programs[line.id] = programs, self._names(line), guarded
        programs, names, guarded = self._programs[line.id]
        sayable = [name for name in names if not is_partly_known(name, each.values)]
        return programs, cel_facts(sayable, guarded, each.values)

    def answers(self, each: FactCase) -> list[Truth]:
        programs, facts = self.given(each)
        context = cel.Context(facts)
        return [cel_truth(program, context) for program in programs]


def _rule_conditions(line: Line) -> list[Tree]:
    return [
        _where(live, clauses[0] if len(clauses) == 1 else Or(clauses))
        for live in line.program.rules
        for clauses in [tuple(clause.when for clause in live.clauses)]
    ]


def _clause_conditions(line: Line) -> list[Tree]:
    return [_where(live, clause.when) for live in line.program.rules for clause in live.clauses]


def _where(live: LiveRule, when: Tree) -> Tree:
    return when if live.applies is None else And((live.applies, when))


# --- the same answers --------------------------------------------------------------------------------------------


def _same_answers(each: FactCase, by_rule: Iterable[_Peer], by_clause: _Peer) -> list[Truth]:
    """The answer of each rule. Raises AnswersDifferError."""
    program = each.line.program
    true, unknown, _ = program.answer(each.values)
    rules = [_truth(live.mask, true, unknown) for live in program.rules]
    clauses = [_truth(1 << bit, true, unknown) for bit in range(_clauses(program))]
    ids = [live.rule.id for live in program.rules]
    clause_ids = [f"{live.rule.id}[{i}]" for live in program.rules for i in range(len(live.clauses))]
    for names, ours, peer in (*((ids, rules, peer) for peer in by_rule), (clause_ids, clauses, by_clause)):
        for name, own, other in zip(names, ours, peer.answers(each), strict=True):
            if own is not other:
                raise AnswersDifferError(f"{each.case}, {each.line.id}, {name}: ours {own.name}, CEL {other.name}")
    return rules


def _clauses(program: Program) -> int:
    return sum(len(live.clauses) for live in program.rules)


def _truth(mask: int, true: int, unknown: int) -> Truth:
    return Truth.TRUE if true & mask else Truth.UNKNOWN if unknown & mask else Truth.FALSE


# --- the clock ---------------------------------------------------------------------------------------------------


def _ask_ours(asked: list[Ours]) -> Callable[[], None]:
    def once() -> None:
        for answer, values in asked:
            answer(values)

    return once


def _ask_peer(given: list[Theirs]) -> Callable[[], None]:
    asked = [([program.execute for program in programs], facts) for programs, facts in given]

    def once() -> None:
        for executes, facts in asked:
            context = cel.Context(facts)
            answers: list[object] = []
            for execute in executes:
                try:
                    answers.append(execute(context))
                except RuntimeError:  # unknown
                    answers.append(None)

    return once
