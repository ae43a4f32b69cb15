"""The cases reach every answer of every rule and both sides of every threshold, read off the rules themselves.

Only a case that holds counts, and only for the rules that its row names. Run with `-s` to see the tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import pytest

from safety_service.cases import Case, Row, compare, read_cases
from safety_service.domain import CheckStatus
from safety_service.engine import check as engine
from safety_service.engine.facts import LineFacts
from safety_service.knowledge.knowledge import Knowledge, Line, LiveRule, Program
from safety_service.knowledge.load import load_knowledge
from safety_service.rules.meaning import Truth, bounds, meaning
from safety_service.rules.parse import Names, parse
from safety_service.rules.specialise import specialise
from safety_service.rules.tree import And, Compare, Constant, FactRef, Known, Not, Number, Or, Tree, facts_of, limits_of
from safety_service.rules.vocabulary import FACTS, NO, SLOTS, Unit, unknown_facts

# Told by the order itself: these facts are never open.
ALWAYS_KNOWN = ("code_text_conflict", "form_open")
STATUSES = (CheckStatus.FIRED, CheckStatus.PASSED, CheckStatus.NOT_EVALUATED, CheckStatus.NOT_APPLICABLE)

K = TypeVar("K")


@dataclass(frozen=True)
class Asked:
    """One program put to the facts of one case."""

    case: Case
    program: Program
    values: list[int]
    fired: tuple[tuple[LiveRule, int], ...]  # rule, and which of its clauses as the file counts them (from 0)


@cache
def knowledge() -> Knowledge:
    return load_knowledge()


@cache
def asked() -> tuple[Asked, ...]:
    """Every program that the engine asked for a case that holds."""
    found: list[Asked] = []
    seen: list[tuple[Program, LineFacts, engine.Spoken]] = []
    ask: Callable[[Program, LineFacts], engine.Spoken] = engine.ask

    def recording(program: Program, facts: LineFacts) -> engine.Spoken:
        spoken = ask(program, facts)
        seen.append((program, facts, spoken))
        return spoken

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "ask", recording)
        for case in read_cases():
            seen.clear()
            decision = engine.check(knowledge(), case.request)
            if compare(knowledge(), case.row, decision):
                continue
            for program, facts, spoken in seen:
                fired = tuple(
                    (each.rule, written(program, each.rule)[each.rule.clauses.index(each.clause)])
                    for each in spoken.fired
                )
                found.append(Asked(case, program, list(facts.values), fired))
    return tuple(found)


def listed(row: Row) -> dict[CheckStatus, set[str]]:
    """The rules that a row names, by the answer it wants."""
    keys = {
        CheckStatus.FIRED: row.fired,
        CheckStatus.PASSED: row.passed,
        CheckStatus.NOT_EVALUATED: row.not_evaluated,
        CheckStatus.NOT_APPLICABLE: (*row.not_applicable, *row.absorbed),
    }
    return {status: {key.partition("@")[0] for key in given} for status, given in keys.items()}


# --- the rules as they are written -------------------------------------------------------------------------------


@cache
def texts() -> dict[str, tuple[Tree | None, tuple[Tree, ...]]]:
    """Each rule's `applies` and the conditions of its clauses, parsed."""
    units = {unit.value: unit for unit in Unit}
    names = Names(policy={name: units[number.unit] for name, number in knowledge().policy.numbers.items()})
    return {
        rule.id: (
            None if rule.applies is None else parse(rule.applies, names),
            tuple(parse(clause.when, names) for clause in rule.clauses),
        )
        for rule in knowledge().rules
    }


def _condition_of(rule_id: str) -> tuple[Tree, tuple[Tree, ...]]:
    return Or(texts()[rule_id][1]), ()


def written(program: Program, live: LiveRule) -> list[int]:
    """For each live clause of a rule, its place among the clauses of the file."""
    line = knowledge().lines.get(program.subject)
    names = line.limits if line is not None else knowledge().policy_numbers
    limits = dict.fromkeys(names, 1)
    clauses = texts()[live.rule.id][1]
    places = [i for i, each in enumerate(clauses) if specialise(each, limits, _condition_of) is not None]
    assert len(places) == len(live.clauses)
    return places


def leaves(tree: Tree) -> Iterator[Compare]:
    match tree:
        case Compare(_, FactRef(), Number()):
            yield tree
        case And(parts) | Or(parts):
            for part in parts:
                yield from leaves(part)
        case Not(part) | Known(part):
            yield from leaves(part)


def replaced(tree: Tree, leaf: Compare, value: bool) -> Tree:
    match tree:
        case And(parts):
            return And(tuple(replaced(part, leaf, value) for part in parts))
        case Or(parts):
            return Or(tuple(replaced(part, leaf, value) for part in parts))
        case Not(part):
            return Not(replaced(part, leaf, value))
        case Known(part):
            return Known(replaced(part, leaf, value))
    return Constant(value) if tree == leaf else tree


# --- every answer of every rule ----------------------------------------------------------------------------------


def counts() -> tuple[dict[str, dict[CheckStatus, int]], dict[tuple[str, int], int]]:
    """Cases per rule and answer, and per rule and clause that fired."""
    by_status: dict[str, dict[CheckStatus, int]] = defaultdict(lambda: dict.fromkeys(STATUSES, 0))
    for case in {each.case.id: each.case for each in asked()}.values():
        for status, rules in listed(case.row).items():
            for rule_id in rules:
                by_status[rule_id][status] += 1
    by_clause: dict[tuple[str, int], int] = defaultdict(int)
    for each in asked():
        for live, clause in each.fired:
            if live.rule.id in listed(each.case.row)[CheckStatus.FIRED]:
                by_clause[live.rule.id, clause] += 1
    return by_status, by_clause


def programs() -> list[Program]:
    return [*(line.program for line in knowledge().lines.values()), knowledge().any_order]


def can_be_open(rule_id: str) -> bool:
    """Whether the rule is left open on some drug when nothing is known."""
    values = unknown_facts()
    for name in ALWAYS_KNOWN:
        values[SLOTS[name]] = NO
    for program in programs():
        _, unknown, _ = engine.interpreted(program, values)
        if any(unknown & live.mask for live in program.rules if live.rule.id == rule_id):
            return True
    return False


def can_be_silent(rule_id: str) -> bool:
    """Whether some drug's label says nothing, the order can be exempt, or another rule absorbs this one.

    A pair rule of one drug alone is not asked where nobody takes that drug.
    """
    rule = next(each for each in knowledge().rules if each.id == rule_id)
    unsaid = any(each.rule_id == rule_id for program in programs() for each in program.silent)
    any_relaxant = rule.scope == "pair" and rule.drug is None  # a family's rule is asked of its own drug alone
    return unsaid or any_relaxant or any(rule_id in each.absorbs for each in knowledge().rules)


def test_every_answer_of_every_rule_has_a_case() -> None:
    by_status, by_clause = counts()
    gaps: list[str] = []
    print(f"\n{'rule':32} {'fired, by clause':20} {'passed':>8} {'not evaluated':>14} {'not applicable':>15}")
    speaking = {live.rule.id for program in programs() for live in program.rules}
    for rule in knowledge().rules:
        if rule.id not in speaking:  # its drug's file says why; it can only be NOT_APPLICABLE
            gaps += [f"{rule.id}: no case for NOT_APPLICABLE"] * (not by_status[rule.id][CheckStatus.NOT_APPLICABLE])
            continue
        clauses = [by_clause[rule.id, i] for i in range(len(rule.clauses))]
        gaps += [f"{rule.id}: clause {i + 1} has no case in which it fires" for i, n in enumerate(clauses) if not n]
        wanted = {
            CheckStatus.FIRED: True,
            CheckStatus.PASSED: True,
            CheckStatus.NOT_EVALUATED: can_be_open(rule.id),
            CheckStatus.NOT_APPLICABLE: can_be_silent(rule.id),
        }
        shown = {status: str(n) if n or wanted[status] else "-" for status, n in by_status[rule.id].items()}
        print(
            f"{rule.id:32} {' + '.join(map(str, clauses)):20} {shown[CheckStatus.PASSED]:>8} "
            f"{shown[CheckStatus.NOT_EVALUATED]:>14} {shown[CheckStatus.NOT_APPLICABLE]:>15}"
        )
        gaps += [
            f"{rule.id}: no case for {status.name}"
            for status in STATUSES
            if wanted[status] and not by_status[rule.id][status]
        ]
    assert not gaps, "\n".join(gaps)


def test_every_rule_fires_on_every_drug_it_can_speak_on() -> None:
    fired = {
        (each.program.subject, live.rule.id, clause)
        for each in asked()
        for live, clause in each.fired
        if live.rule.id in listed(each.case.row)[CheckStatus.FIRED]
    }
    gaps = [
        f"{program.subject or 'any order'}: {live.rule.id}, clause {clause + 1}"
        for program in programs()
        for live in program.rules
        for clause in written(program, live)
        if (program.subject, live.rule.id, clause) not in fired and live.rule.kind not in SAME_FOR_ALL
    ]
    print(f"\n{len(fired)} clauses of rules fired on a drug")
    assert not gaps, f"{len(gaps)} gaps\n" + "\n".join(gaps)


# Their words and conditions do not depend on the drug.
SAME_FOR_ALL = frozenset({"PRODUCT", "CARE_PATHWAY"})


# --- both sides of every threshold -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Side:
    """`fires` holds values of a fact with which a clause is true, `silent` those that alone keep it from being so."""

    fires: set[tuple[int, Truth]]
    silent: set[tuple[int, Truth]]

    def gap(self) -> int | None:
        """The least distance between a value that fires and one that does not, on either side of the threshold."""
        return min(
            (abs(a - b) for a, side in self.fires for b, other in self.silent if side is not other), default=None
        )


def sides() -> dict[tuple[str, int, str, str], tuple[Side, int]]:
    """By rule, clause, comparison and drug ("" for a number that is the same for all): the sides, the step allowed."""
    found: dict[tuple[str, int, str, str], tuple[Side, int]] = {}
    for program in programs():
        line = knowledge().lines.get(program.subject)
        for live in program.rules:
            for clause, place in zip(live.clauses, written(program, live), strict=True):
                text = texts()[live.rule.id][1][place]
                for leaf in leaves(clause.when):
                    name = threshold(leaf, text)
                    if name is None:
                        continue
                    of_drug = name[1].startswith("drug.") and line is not None
                    key = (live.rule.id, place, " ".join(name), line.id if of_drug and line is not None else "")
                    side, _ = found.setdefault(key, (Side(set(), set()), step(leaf, line)))
                    for each in asked():
                        named = any(live.rule.id in rules for rules in listed(each.case.row).values())
                        if named and each.program.subject == program.subject:
                            put(side, clause.when, live.applies, leaf, each.values)
    return found


def threshold(leaf: Compare, text: Tree) -> tuple[str, str] | None:
    """What is compared with what, if the rule's own text says so (and not a rule that it names)."""
    assert isinstance(leaf.left, FactRef)
    assert isinstance(leaf.right, Number)
    own = leaf.left.name in facts_of(text) and (not leaf.right.limit or leaf.right.limit in limits_of(text))
    return (f"{leaf.left.name} {leaf.operator}", leaf.right.limit or str(leaf.right.value)) if own else None


def step(leaf: Compare, line: Line | None) -> int:
    """One unit; for a dose up to the next possible one, in whole pieces or in halves of those that divide."""
    assert isinstance(leaf.left, FactRef)
    assert isinstance(leaf.right, Number)
    if FACTS[leaf.left.name].unit is not Unit.MG:
        return 1
    assert line is not None
    pieces = [
        round(1000 * mg) // (2 if product.divisible else 1)
        for product in line.file.products
        for mg in product.strengths_mg
    ]
    return min(piece - leaf.right.value % piece for piece in pieces)


def put(side: Side, when: Tree, applies: Tree | None, leaf: Compare, values: list[int]) -> None:
    low, high = bounds(leaf.left, values)
    if low != high or (applies is not None and meaning(applies, values) is not Truth.TRUE):
        return
    truth, here = meaning(when, values), meaning(leaf, values)
    if truth is Truth.TRUE:
        side.fires.add((low, here))
    elif meaning(replaced(when, leaf, here is not Truth.TRUE), values) is Truth.TRUE:
        side.silent.add((low, here))


def test_every_threshold_has_a_case_on_each_side() -> None:
    gaps: list[str] = []
    print()
    for (rule_id, clause, comparison, drug), (side, allowed) in sides().items():
        where = f"{rule_id}, clause {clause + 1}: {comparison}" + f" ({drug})" * bool(drug)
        print(f"{where:110} fires {len(side.fires):3}, does not {len(side.silent):3}")
        gap = side.gap()
        if gap is None or gap > allowed:
            gaps.append(f"{where}: nearest sides {gap} apart, {allowed} wanted")
    assert len(sides()) > 30
    assert not gaps, "\n".join(gaps)
