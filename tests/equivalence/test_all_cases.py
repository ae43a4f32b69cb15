"""All that the cases ask: interpreter, generated function, columns, and a CEL engine that knows nothing of ours.

The engine is given the same trees as text. What it cannot be told is a fact of which something is known but not all
(two grades are left, at least ten days): it then counts as not known. Where the interpreter says that this would change
an answer, the answer is left out, and counted under the fact. Run with `-s` to see the tables.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from random import Random

import cel
import numpy as np
import pytest

from safety_service.cases import read_cases
from safety_service.engine import check as engine
from safety_service.engine.check import interpreted
from safety_service.engine.facts import LineFacts
from safety_service.knowledge.knowledge import Knowledge, Program
from safety_service.knowledge.load import load_knowledge
from safety_service.rules.columns import generate_columns, row_masks
from safety_service.rules.generate import Condition
from safety_service.rules.meaning import Truth, meaning
from safety_service.rules.tree import And, Compare, Known, Not, OneOf, Operator, Or, Tree, facts_of
from safety_service.rules.vocabulary import FACTS, SLOTS, Type, unknown_facts
from tests.equivalence.cel_text import cel_facts, cel_text, cel_truth, guarded_facts, is_partly_known
from tests.rules.random_rules import random_facts, random_tree

MOST_LEFT_OUT = 0.01  # of the answers: what the referee was not asked


@cache
def knowledge() -> Knowledge:
    return load_knowledge()


@cache
def asked() -> dict[Program, list[tuple[str, list[int]]]]:
    """For each program the cases (a case may ask several) and the facts it was asked with."""
    found: dict[Program, list[tuple[str, list[int]]]] = defaultdict(list)
    ask = engine.ask
    with pytest.MonkeyPatch.context() as patch:
        for case in read_cases():

            def recording(program: Program, facts: LineFacts, case_id: str = case.id) -> engine.Spoken:
                found[program].append((case_id, list(facts.values)))
                return ask(program, facts)

            patch.setattr(engine, "ask", recording)
            engine.check(knowledge(), case.request)
    return found


def name_of(program: Program) -> str:
    line = knowledge().lines.get(program.subject)
    return program.subject + " as partner" * (line is not None and program is line.pair_program) or "any order"


def test_the_cases_ask_every_program() -> None:
    lines = knowledge().lines.values()
    silent = {name_of(each) for each in (*(line.program for line in lines), knowledge().any_order)} - {
        name_of(each) for each in asked()
    }
    assert not silent
    cases = {case_id for facts in asked().values() for case_id, _ in facts}
    assert cases == {case.id for case in read_cases()}


def test_function_and_columns_answer_every_case_as_the_interpreter() -> None:
    answers = 0
    for program, facts in asked().items():
        conditions = [Condition(clause.when, live.applies) for live in program.rules for clause in live.clauses]
        answer_table, _ = generate_columns(conditions, program.subject)
        table = np.array([values for _, values in facts], np.int32).T
        by_columns = zip(*map(row_masks, answer_table(table)), strict=True)
        for (case_id, values), in_columns in zip(facts, by_columns, strict=True):
            right = interpreted(program, values)
            assert program.answer(values) == right, (case_id, program.subject)
            assert in_columns == right, (case_id, program.subject)
            answers += len(conditions)
    print(f"\n{answers:,} answers of clauses, alike in three forms")
    assert answers > 10_000


# --- the referee -------------------------------------------------------------------------------------------------


class Referee:
    """The clauses of a program for the CEL engine: whether each applies, and whether it holds as well."""

    def __init__(self, program: Program, changed: Callable[[Tree], Tree] = lambda tree: tree) -> None:
        clauses = [(live.applies, changed(clause.when)) for live in program.rules for clause in live.clauses]
        self.trees = [when if applies is None else And((applies, when)) for applies, when in clauses]
        self.names = [facts_of(tree) for tree in self.trees]
        self._applies = [None if applies is None else cel.compile(cel_text(applies)) for applies, _ in clauses]
        self._holds = [cel.compile(cel_text(tree)) for tree in self.trees]
        self._guarded: frozenset[str] = frozenset().union(*map(guarded_facts, self.trees))
        self._all_names: frozenset[str] = frozenset().union(*self.names)

    def truths(self, values: list[int]) -> list[Truth | None]:
        """One for each clause; None where it does not apply. Raises ValueError for a fact that is partly known."""
        context = cel.Context(cel_facts(self._all_names, self._guarded, values))
        return [
            None if applies is not None and cel_truth(applies, context) is Truth.FALSE else cel_truth(holds, context)
            for applies, holds in zip(self._applies, self._holds, strict=True)
        ]


def truths_of(masks: tuple[int, int, int], count: int) -> list[Truth | None]:
    true, unknown, silent = masks
    return [
        None if silent >> i & 1 else Truth.TRUE if true >> i & 1 else Truth.UNKNOWN if unknown >> i & 1 else Truth.FALSE
        for i in range(count)
    ]


def without_part_knowledge(values: list[int]) -> list[int]:
    """What is partly known taken as not known at all."""
    told, nothing = list(values), unknown_facts()
    for name, fact in FACTS.items():
        if is_partly_known(name, values):
            end = SLOTS[name] + (2 if fact.type is Type.NUMBER else 1)
            told[SLOTS[name] : end] = nothing[SLOTS[name] : end]
    return told


@dataclass
class Report:
    """`seen`: answers alike; `different`: where they are not; `left_out`: answers by the partly known facts of them."""

    seen: Counter[Truth | None] = field(default_factory=Counter)
    different: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def compared(changed: Callable[[Tree], Tree] = lambda tree: tree) -> Report:
    """All cases put to both, the engine with every clause `changed`."""
    report = Report()
    for program, facts in asked().items():
        referee = Referee(program, changed)
        count = len(referee.trees)
        for case_id, values in facts:
            told = without_part_knowledge(values)
            right = truths_of(interpreted(program, values), count)
            sayable = truths_of(interpreted(program, told), count)
            for i, given in enumerate(referee.truths(told)):
                if right[i] is not sayable[i]:
                    open_ = sorted(name for name in referee.names[i] if is_partly_known(name, values))
                    report.left_out[" and ".join(open_)] += 1
                elif given is not right[i]:
                    report.different.append(f"{case_id}, {name_of(program)}: {cel_text(referee.trees[i])}")
                else:
                    report.seen[given] += 1
    return report


def test_a_cel_engine_answers_every_case_as_the_interpreter(capsys: pytest.CaptureFixture[str]) -> None:
    report = compared()
    total, left_out = report.seen.total(), report.left_out.total()
    names = {Truth.TRUE: "true", Truth.FALSE: "false", Truth.UNKNOWN: "unknown", None: "not applicable"}
    with capsys.disabled():
        answers = ", ".join(f"{report.seen[truth]:,} {name}" for truth, name in names.items())
        partly_known = ", ".join(f"{name} {count}" for name, count in report.left_out.most_common())
        print(f"\nA CEL engine gives the same {total:,} answers of clauses: {answers}.")
        print(f"It was not asked for {left_out}, since it cannot be told what is partly known: {partly_known}.")
    assert not report.different, "\n".join(report.different)
    assert min(report.seen[truth] for truth in names) > 50
    assert left_out <= MOST_LEFT_OUT * total


def boundary_moved(tree: Tree) -> Tree:
    moved: dict[Operator, Operator] = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
    return Compare(moved[tree.operator], tree.left, tree.right) if isinstance(tree, Compare) else tree


def yes_for_no(tree: Tree) -> Tree:
    return OneOf(tree.fact, tree.mask ^ FACTS[tree.fact].everything) if isinstance(tree, OneOf) else tree


def or_for_and(tree: Tree) -> Tree:
    return Or(tree.parts) if isinstance(tree, And) else tree


def and_for_or(tree: Tree) -> Tree:
    return And(tree.parts) if isinstance(tree, Or) else tree


def not_forgotten(tree: Tree) -> Tree:
    return tree.part if isinstance(tree, Not) else tree


def known_forgotten(tree: Tree) -> Tree:
    return tree.part if isinstance(tree, Known) else tree


@pytest.mark.parametrize("fault", [boundary_moved, yes_for_no, or_for_and, and_for_or, not_forgotten, known_forgotten])
def test_two_readings_of_a_rule_are_told_apart(fault: Callable[[Tree], Tree]) -> None:
    """Equal answers prove nothing if a fault in what either side makes of a tree would not be seen."""

    def everywhere(tree: Tree) -> Tree:
        match tree:
            case And(parts):
                return fault(And(tuple(map(everywhere, parts))))
            case Or(parts):
                return fault(Or(tuple(map(everywhere, parts))))
            case Not(part):
                return fault(Not(everywhere(part)))
            case Known(part):
                return fault(Known(everywhere(part)))
        return fault(tree)

    assert compared(everywhere).different


@pytest.mark.parametrize("trees", [300, pytest.param(10_000, marks=pytest.mark.long)])
def test_a_cel_engine_answers_random_trees_as_the_interpreter(trees: int, seed: int) -> None:
    """Here the interpreter itself is refereed, on more than the rules of today ask of it."""
    rng = Random(seed)
    seen: Counter[Truth] = Counter()
    for _ in range(trees):
        tree = random_tree(rng)
        program = cel.compile(cel_text(tree))
        for _ in range(30):
            values = without_part_knowledge(random_facts(rng))
            given = cel_truth(program, cel.Context(cel_facts(facts_of(tree), guarded_facts(tree), values)))
            assert given is meaning(tree, values), (cel_text(tree), values)
            seen[given] += 1
    assert min(seen[truth] for truth in Truth) > 0.1 * seen.total()
