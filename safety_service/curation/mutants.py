"""Every small wrong turn a rule could take: an operator, a threshold, an `and`, a `not`, a part or a clause lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeVar

from safety_service.curation.doses import step_down, step_up
from safety_service.curation.written import Proposal, WrittenRule, conditions_of, in_words
from safety_service.knowledge.knowledge import Line
from safety_service.rules.tree import (
    And,
    Compare,
    Constant,
    FactRef,
    Known,
    LimitRef,
    Not,
    Number,
    OneOf,
    OneOfLimit,
    Operand,
    Operator,
    Or,
    Tree,
)
from safety_service.rules.vocabulary import FACTS, LIMITS, Limit, Type, Unit

# The boundary moved, then the comparison turned round.
_OPERATORS: Mapping[Operator, tuple[Operator, Operator]] = {
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "==": (">=", "!="),
    "!=": (">=", "=="),
}
T = TypeVar("T")

UP, DOWN = " + 1 step", " - 1 step"  # at the end of a limit's name: its next value


class Turned(NamedTuple):
    """A rule with one thing wrong. `clause` is counted from 0, -1 is the rule as a whole; `change` is in words."""

    rule: WrittenRule
    clause: int
    change: str


def turned(rule: WrittenRule) -> Iterator[Turned]:
    """Every wrong form of a rule's conditions, and the rule without each of its parts."""
    if rule.applies is not None:
        yield Turned(rule._replace(applies=None), -1, "applies dropped")
        for what, tree in _wrong(rule.applies):
            yield Turned(rule._replace(applies=tree), -1, f"applies: {what}")
    for at, when in enumerate(rule.clauses):
        # a clause that is never true keeps the places of the others
        yield Turned(rule._replace(clauses=_with(rule.clauses, at, Constant(False))), at, "clause dropped")
        for what, tree in _wrong(when):
            yield Turned(rule._replace(clauses=_with(rule.clauses, at, tree)), at, what)
        for number, proposal in enumerate(rule.proposals[at]):
            for what, other in _wrong_proposals(proposal):
                own = (*rule.proposals[at][:number], *other, *rule.proposals[at][number + 1 :])
                yield Turned(
                    rule._replace(proposals=_with(rule.proposals, at, own)), at, f"suggestion {number + 1}: {what}"
                )
    for absorbed in rule.absorbs:
        left = tuple(each for each in rule.absorbs if each != absorbed)
        yield Turned(rule._replace(absorbs=left), -1, f"no longer absorbs {absorbed}")


def _with(parts: tuple[T, ...], at: int, part: T) -> tuple[T, ...]:
    return (*parts[:at], part, *parts[at + 1 :])


def _wrong_proposals(proposal: Proposal) -> Iterator[tuple[str, tuple[Proposal, ...]]]:
    yield "dropped", ()
    if proposal.when is not None:
        yield "its condition dropped", (proposal._replace(when=None),)
        for what, tree in _wrong(proposal.when):
            yield what, (proposal._replace(when=tree),)
    if isinstance(proposal.to, int):
        for to in (proposal.to + 1, proposal.to - 1):
            yield f"to {proposal.to} -> {to}", (proposal._replace(to=to),)


def _wrong(tree: Tree) -> Iterator[tuple[str, Tree]]:
    """Each tree that differs from `tree` in one place, with what was done in words."""
    match tree:
        case Compare(operator, left, right):
            for wrong in _OPERATORS[operator]:
                yield _told(tree, Compare(wrong, left, right))
            if isinstance(left, FactRef):
                for moved in _moved(right, FACTS[left.name].unit):
                    yield _told(tree, Compare(operator, left, moved))
        case OneOf(fact, mask, limit):
            yield _told(tree, Not(tree))
            if FACTS[fact].type is Type.CHOICE:
                for i in range(len(FACTS[fact].values)):
                    if mask ^ 1 << i:
                        yield _told(tree, OneOf(fact, mask ^ 1 << i, limit))
        case OneOfLimit():
            yield _told(tree, Not(tree))
        case Constant(value):
            yield _told(tree, Constant(not value))
        case Not(part):
            yield _told(tree, part)
            for what, other in _wrong(part):
                yield what, Not(other)
        case Known(part):
            yield _told(tree, part)
            for what, other in _wrong(part):
                yield what, Known(other)
        case And(parts) | Or(parts):
            swapped: Tree = Or(parts) if isinstance(tree, And) else And(parts)
            yield _told(tree, swapped)
            for at, part in enumerate(parts):
                left_over = (*parts[:at], *parts[at + 1 :])
                rest = type(tree)(left_over) if len(left_over) > 1 else left_over[0]
                yield f"{in_words(part)!r} dropped", rest
            for at, part in enumerate(parts):
                for what, other in _wrong(part):
                    yield what, type(tree)(_with(parts, at, other))


def _told(old: Tree, new: Tree) -> tuple[str, Tree]:
    return f"{in_words(old)} -> {in_words(new)}", new


def _moved(threshold: Operand, unit: Unit) -> Iterator[Operand]:
    match threshold:
        case Number(value, ""):
            yield Number(value + unit.scale)
            yield Number(value - unit.scale)
        case LimitRef(name):
            yield LimitRef(name + UP)
            yield LimitRef(name + DOWN)


# --- limits ------------------------------------------------------------------------------------------------------


def stepped(limits: Mapping[str, int], compared: Mapping[str, tuple[str, ...]], line: Line | None) -> dict[str, int]:
    """The limits, and of each that a number fact is compared with (`compared`), the next values up and down."""
    found = dict(limits)
    for name, facts in compared.items():
        if name in limits and facts:
            found[name + UP] = min(step_up(line, fact, limits[name]) for fact in facts)
            found[name + DOWN] = max(step_down(line, fact, limits[name]) for fact in facts)
    return found


def compared_with(rules: Mapping[str, WrittenRule]) -> dict[str, tuple[str, ...]]:
    """By limit: the number facts that rules compare with it."""
    found: dict[str, dict[str, None]] = {}

    def walk(tree: Tree) -> None:
        match tree:
            case Compare(_, FactRef(fact), LimitRef(limit)) | Compare(_, LimitRef(limit), FactRef(fact)):
                found.setdefault(limit, {})[fact] = None
            case And(parts) | Or(parts):
                for part in parts:
                    walk(part)
            case Not(part) | Known(part):
                walk(part)

    for rule in rules.values():
        for each in conditions_of(rule):
            walk(each)
    return {limit: tuple(facts) for limit, facts in found.items()}


def other_values(name: str, stepped_limits: Mapping[str, int]) -> Iterator[tuple[str, int | None]]:
    """Every wrong value of one limit (full name), with what was done in words; None: the limit is not stated at all."""
    short = name.removeprefix("drug.")
    limit: Limit | None = LIMITS.get(short) if name.startswith("drug.") else None
    held = stepped_limits[name]
    if limit is not None and limit.type is Type.CHOICE:
        for i, value in enumerate(limit.values):
            left = held ^ 1 << i
            if left:
                yield f"{value!r} {'dropped' if held >> i & 1 else 'added'}", left
    for suffix in (UP, DOWN):
        moved = stepped_limits.get(name + suffix)
        if moved is not None:
            scale = limit.unit.scale if limit is not None else 1
            yield f"{held / scale:g} -> {moved / scale:g}", moved
    if limit is not None:
        yield "not stated", None
