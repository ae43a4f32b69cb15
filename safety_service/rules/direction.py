"""Which way a limit is stricter: read off the comparisons of the rules, so that no second list can disagree."""

from __future__ import annotations

from typing import Final

from safety_service.rules.tree import (
    And,
    Compare,
    Constant,
    Fired,
    Known,
    LimitRef,
    Not,
    Number,
    OneOf,
    OneOfLimit,
    Operand,
    Operator,
    Or,
    Stated,
    Tree,
    Unstated,
)

UP: Final = 1
DOWN: Final = -1
NOWHERE: Final[frozenset[int]] = frozenset()
ONLY_UP: Final = frozenset({UP})
ONLY_DOWN: Final = frozenset({DOWN})
BOTH: Final = frozenset({UP, DOWN})

# Where the limit stands on the right of a fact.
_RIGHT: dict[Operator, frozenset[int]] = {
    "<": ONLY_UP,
    "<=": ONLY_UP,
    ">": ONLY_DOWN,
    ">=": ONLY_DOWN,
    "==": BOTH,
    "!=": BOTH,
}


def directions(tree: Tree, limit: str) -> frozenset[int]:
    """The ways to move a number limit (by full name) that may make the condition hold more often.

    Only UP: raising it never turns true into unknown or false, nor unknown into false; lowering it may. Only DOWN: the
    other way round. BOTH: it depends on the facts. Nowhere: the condition does not compare the limit.
    """
    match tree:
        case Compare(operator, left, right):
            return (_RIGHT[operator] if _is(right, limit) else NOWHERE) | (
                opposite(_RIGHT[operator]) if _is(left, limit) else NOWHERE
            )
        case And(parts) | Or(parts):
            return NOWHERE.union(*(directions(part, limit) for part in parts))
        case Not(part):
            return opposite(directions(part, limit))
        case Known(part):
            return directions(part, limit)
        case Fired():
            raise TypeError(f"not specialised: {tree!r}")
        case OneOf() | OneOfLimit() | Stated() | Unstated() | Constant():
            return NOWHERE


def opposite(ways: frozenset[int]) -> frozenset[int]:
    """The ways that make the contrary hold more often."""
    return frozenset(-each for each in ways)


def _is(side: Operand, limit: str) -> bool:
    match side:
        case Number(_, name) | LimitRef(name):
            return name == limit
    return False
