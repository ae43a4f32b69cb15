"""What a larger catalogue costs, and what a table of prescriptions costs in NumPy columns.

Sets of 35 and 200 rules are made from the rules of today that some label is silent on: each made rule speaks on the
same product lines as its model and has its form, but asks other facts of the same types. Its thresholds stand among the
values that the cases have of these facts, and no two of a line are equal. So a set keeps the catalogue's distribution
over the drugs, and its rules share no more than chance lets them.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

import numpy as np

from safety_service.knowledge.knowledge import Knowledge, Program
from safety_service.rules.columns import generate_columns, row_masks
from safety_service.rules.generate import Answerer, Condition, generate
from safety_service.rules.tree import And, Compare, FactRef, Known, Not, Number, OneOf, Operand, Or, Tree
from safety_service.rules.vocabulary import FACTS, SLOTS, Type
from tests.bench.against_cel import AnswersDifferError
from tests.bench.benchmark_set import FactCase
from tests.bench.clock import interleaved
from tests.bench.figures import Figure, Goal, Row

FEW, MANY = 35, 200
GOAL = Goal(required=7, at_most=True)
ROWS = 200_000
SEED = 200

Rules: TypeAlias = list[list[Condition]]  # those that speak on a line, each with its clauses


@dataclass(frozen=True, slots=True)
class Growth:
    """`lines`: product line, live rules and clauses in the small set, then in the large one. `models`: how many."""

    rows: list[Row]
    lines: list[tuple[str, ...]]
    models: int


def measure(knowledge: Knowledge, facts: Sequence[FactCase], passes: int, rounds: int) -> Growth:
    """Time both sets on every case, and a table on one line. Raises AnswersDifferError."""
    models = _models(knowledge)
    sets = {count: _rule_set(knowledge, models, facts, count) for count in (FEW, MANY)}
    programs = {
        count: {line: generate(_conditions(rules), line)[0] for line, rules in made.items()}
        for count, made in sets.items()
    }
    asked = [_ask([(programs[count][each.line.id], each.values) for each in facts]) for count in (FEW, MANY)]
    few, many = ([seconds / len(facts) * 1e6 for seconds in each] for each in interleaved(asked, passes))
    rows = [
        Row(f"time per prescription, {MANY} rules / {FEW} rules", Figure.ratio(many, few), "x", GOAL),
        Row(f"  {FEW} rules", Figure.of(few), "us CPU"),
        Row(f"  {MANY} rules", Figure.of(many), "us CPU"),
    ]
    line = max(knowledge.lines.values(), key=lambda each: sum(fact.line is each for fact in facts))
    own = [each.values for each in facts if each.line is line]
    for name, conditions in (
        ("rules of today", _conditions(_of_program(line.program).values())),
        (f"{MANY} rules", _conditions(sets[MANY][line.id])),
    ):
        rows += _table(f"{line.id}, {name}", conditions, own, rounds)
    counts = [
        (line, *(str(n) for made in sets.values() for n in (len(made[line]), len(_conditions(made[line])))))
        for line in knowledge.lines
    ]
    return Growth(rows, counts, len(models))


# --- rule sets ---------------------------------------------------------------------------------------------------


def _of_program(program: Program) -> dict[str, list[Condition]]:
    return {live.rule.id: [Condition(each.when, live.applies) for each in live.clauses] for live in program.rules}


def _models(knowledge: Knowledge) -> list[Mapping[str, list[Condition]]]:
    """For each rule that is live on some lines but not on all: its clauses by line."""
    found: dict[str, dict[str, list[Condition]]] = defaultdict(dict)
    for line in knowledge.lines.values():
        for rule_id, clauses in _of_program(line.program).items():
            found[rule_id][line.id] = clauses
    return [by_line for by_line in found.values() if len(by_line) < len(knowledge.lines)]


def _rule_set(
    knowledge: Knowledge, models: Sequence[Mapping[str, list[Condition]]], facts: Sequence[FactCase], count: int
) -> dict[str, Rules]:
    rng = Random(SEED)
    thresholds = {line: _Thresholds(rng, facts) for line in knowledge.lines}
    made: dict[str, Rules] = {line: [] for line in knowledge.lines}
    for model in itertools.islice(_in_turn(rng, models), count):
        others = _other_facts(rng)
        for line, clauses in model.items():
            number = thresholds[line].next
            made[line].append(
                [
                    Condition(
                        _retold(each.when, others, number),
                        None if each.applies is None else _retold(each.applies, others, number),
                    )
                    for each in clauses
                ]
            )
    return made


def _in_turn(rng: Random, models: Sequence[Mapping[str, list[Condition]]]) -> Iterator[Mapping[str, list[Condition]]]:
    while True:
        yield from rng.sample(models, len(models))


def _other_facts(rng: Random) -> dict[str, str]:
    """For each fact another of its type and width."""
    alike: dict[tuple[Type, int], list[str]] = defaultdict(list)
    for name, fact in FACTS.items():
        alike[fact.type, fact.everything].append(name)
    return {
        name: other
        for names in alike.values()
        for name, other in zip(names, rng.sample(names, len(names)), strict=True)
    }


class _Thresholds:
    """Numbers among those that the cases have of a fact, none of them twice."""

    def __init__(self, rng: Random, facts: Sequence[FactCase]) -> None:
        self._rng = rng
        self._seen: dict[str, list[int]] = defaultdict(list)
        self._used: set[int] = set()
        for name in (name for name, fact in FACTS.items() if fact.type is Type.NUMBER):
            at = SLOTS[name]
            self._seen[name] = [each.values[at] for each in facts if each.values[at] == each.values[at + 1]] or [0]

    def next(self, fact: str) -> int:
        number = self._rng.choice(self._seen[fact])
        while number in self._used:
            number += 1
        self._used.add(number)
        return number


def _retold(tree: Tree, others: Mapping[str, str], number: Callable[[str], int]) -> Tree:
    def walk(part: Tree) -> Tree:
        match part:
            case Compare(sign, left, right):
                named = [others[side.name] for side in (left, right) if isinstance(side, FactRef)]
                return Compare(sign, end(left, named[0]), end(right, named[0]))
            case OneOf(fact, mask, _):
                return OneOf(others[fact], mask)
            case And(parts):
                return And(tuple(map(walk, parts)))
            case Or(parts):
                return Or(tuple(map(walk, parts)))
            case Not(inner):
                return Not(walk(inner))
            case Known(inner):
                return Known(walk(inner))
        return part

    def end(side: Operand, fact: str) -> Operand:
        return FactRef(others[side.name]) if isinstance(side, FactRef) else Number(number(fact))

    return walk(tree)


def _conditions(rules: Iterable[list[Condition]]) -> list[Condition]:
    return [each for clauses in rules for each in clauses]


def _ask(asked: Sequence[tuple[Answerer, list[int]]]) -> Callable[[], None]:
    def once() -> None:
        for answer, values in asked:
            answer(values)

    return once


# --- a table of prescriptions ------------------------------------------------------------------------------------


def _table(name: str, conditions: Sequence[Condition], own: Sequence[list[int]], rounds: int) -> list[Row]:
    """The cases of a line drawn at random: a list of facts for each row, and the same as columns."""
    lists = Random(SEED).choices(own, k=ROWS)
    table = np.array(lists, np.int32).T.copy()
    by_row, _ = generate(conditions, name)
    by_column, _ = generate_columns(conditions, name)
    for row, (values, *masks) in enumerate(zip(lists, *map(row_masks, by_column(table)), strict=True)):
        if by_row(values) != tuple(masks):
            raise AnswersDifferError(f"{name}, row {row}: function {by_row(values)}, columns {tuple(masks)}")

    def function() -> None:
        for values in lists:
            by_row(values)

    times = interleaved([function, lambda: by_column(table)], rounds)
    one, other = ([seconds / ROWS * 1e9 for seconds in each] for each in times)
    return [
        Row(f"{ROWS:,} rows of {name}: function / columns", Figure.ratio(one, other), "x"),
        Row("  a row by the function", Figure.of(one), "ns CPU"),
        Row("  a row in columns", Figure.of(other), "ns CPU"),
    ]
