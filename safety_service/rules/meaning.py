"""What a condition means: Kleene logic over facts of which perhaps only bounds are known.

This interpreter is the definition. Every generated form is held to it by tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from safety_service.rules.tree import (
    And,
    Compare,
    Constant,
    FactRef,
    Known,
    Not,
    Number,
    OneOf,
    Operand,
    Operator,
    Or,
    Tree,
)
from safety_service.rules.vocabulary import SLOTS


class Truth(IntEnum):
    FALSE = 0
    TRUE = 1
    UNKNOWN = 2


def meaning(tree: Tree, facts: Sequence[int]) -> Truth:
    """TRUE or FALSE when every possible value of the facts, each taken apart, says so; else UNKNOWN.

    Raises TypeError for a tree that still names limits or other rules: specialise it first.
    """
    match tree:
        case Constant(value):
            return Truth(value)
        case OneOf(fact, mask, _):
            possible = facts[SLOTS[fact]]
            if not possible & mask:
                return Truth.FALSE
            return Truth.TRUE if possible | mask == mask else Truth.UNKNOWN
        case Compare(operator, left, right):
            return _compare(operator, *bounds(left, facts), *bounds(right, facts))
        case And(parts):
            answers = {meaning(part, facts) for part in parts}
            return Truth.FALSE if Truth.FALSE in answers else max(answers, default=Truth.TRUE)
        case Or(parts):
            answers = {meaning(part, facts) for part in parts}
            return Truth.TRUE if Truth.TRUE in answers else max(answers, default=Truth.FALSE)
        case Not(part):
            return _NOT[meaning(part, facts)]
        case Known(part):
            return Truth(meaning(part, facts) is Truth.TRUE)
        case _:
            raise TypeError(f"not specialised: {tree!r}")


_NOT = {Truth.TRUE: Truth.FALSE, Truth.FALSE: Truth.TRUE, Truth.UNKNOWN: Truth.UNKNOWN}


def _compare(operator: Operator, low: int, high: int, other_low: int, other_high: int) -> Truth:
    match operator:
        case "<":
            return _less(low, high, other_low, other_high)
        case ">":
            return _less(other_low, other_high, low, high)
        case ">=":
            return _NOT[_less(low, high, other_low, other_high)]
        case "<=":
            return _NOT[_less(other_low, other_high, low, high)]
        case "==":
            return _equal(low, high, other_low, other_high)
        case "!=":
            return _NOT[_equal(low, high, other_low, other_high)]


def _less(low: int, high: int, other_low: int, other_high: int) -> Truth:
    if high < other_low:
        return Truth.TRUE
    return Truth.FALSE if low >= other_high else Truth.UNKNOWN


def _equal(low: int, high: int, other_low: int, other_high: int) -> Truth:
    if high < other_low or low > other_high:
        return Truth.FALSE
    return Truth.TRUE if low == high == other_low == other_high else Truth.UNKNOWN


def bounds(operand: Operand, facts: Sequence[int]) -> tuple[int, int]:
    """Lowest and highest value of an operand; equal when it is known."""
    match operand:
        case Number(value, _):
            return value, value
        case FactRef(name):
            at = SLOTS[name]
            return facts[at], facts[at + 1]
        case _:
            raise TypeError(f"not specialised: {operand!r}")


def open_facts(tree: Tree, facts: Sequence[int]) -> tuple[str, ...]:
    """The facts that keep an UNKNOWN condition open, in the order the text names them. Empty when it is not."""
    found: dict[str, None] = {}

    def collect(part: Tree) -> None:
        if meaning(part, facts) is not Truth.UNKNOWN:
            return
        match part:
            case OneOf(fact, _, _):
                found[fact] = None
            case Compare(_, left, right):
                for side in (left, right):
                    low, high = bounds(side, facts)
                    if isinstance(side, FactRef) and low != high:
                        found[side.name] = None
            case And(parts) | Or(parts):
                for each in parts:
                    collect(each)
            case Not(inner):
                collect(inner)

    collect(tree)
    return tuple(found)


def reasons(tree: Tree, facts: Sequence[int]) -> tuple[Compare | OneOf, ...]:
    """The comparisons that make a TRUE condition true, in the order the text names them."""
    found: list[Compare | OneOf] = []

    def collect(part: Tree, wanted: Truth) -> None:
        if meaning(part, facts) is not wanted:
            return
        match part:
            case Compare() | OneOf():
                found.append(part)
            case And(parts) | Or(parts):
                for each in parts:
                    collect(each, wanted)
            case Not(inner):
                collect(inner, _NOT[wanted])
            case Known(inner):
                collect(inner, wanted)

    collect(tree, Truth.TRUE)
    return tuple(found)
