"""A condition for one drug: its limits become constants, and what the drug's file does not state falls away."""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
    Or,
    Stated,
    Tree,
    Unstated,
)

LimitValue = int  # a number in its held unit, the mask of a set of values, or 1 for a mere statement


def specialise(
    tree: Tree, limits: Mapping[str, LimitValue], condition_of: Callable[[str], tuple[Tree, tuple[Tree, ...]]]
) -> Tree | None:
    """`tree` with `limits` (by full name, `drug.*` and `policy.*`) put in, or None when it says nothing of the drug.

    A part that names a limit the drug does not have says nothing: it drops out of an `or`; an `and`, a `not` or a
    comparison that holds it says nothing as a whole. `condition_of` gives the condition of a rule named by `fired`, and
    those of the rules that would absorb it.
    """

    def walk(part: Tree) -> Tree | None:
        match part:
            case Compare(operator, left, right):
                sides = operand(left), operand(right)
                return None if sides[0] is None or sides[1] is None else Compare(operator, sides[0], sides[1])
            case OneOfLimit(fact, limit):
                return OneOf(fact, limits[limit], limit) if limit in limits else None
            case Stated(limit):
                return Constant(True) if limit in limits else None
            case Unstated(limit):
                return None if limit in limits else Constant(True)
            case Fired(rule_id):
                condition, absorbers = condition_of(rule_id)
                spoken = walk(condition)
                absorbing = tuple(each for each in map(walk, absorbers) if each is not None)
                return And((spoken, *map(Not, absorbing))) if spoken is not None and absorbing else spoken
            case And(parts):
                walked = [walk(each) for each in parts]
                kept = [each for each in walked if each is not None and each != Constant(True)]
                if None in walked:
                    return None
                return Constant(True) if not kept else kept[0] if len(kept) == 1 else And(tuple(kept))
            case Or(parts):
                said = [each for each in map(walk, parts) if each is not None]
                return None if not said else said[0] if len(said) == 1 else Or(tuple(said))
            case Not(inner):
                walked_inner = walk(inner)
                return None if walked_inner is None else Not(walked_inner)
            case Known(inner):
                walked_inner = walk(inner)
                return None if walked_inner is None else Known(walked_inner)
            case OneOf() | Constant():
                return part

    def operand(side: Operand) -> Operand | None:
        if isinstance(side, LimitRef):
            return Number(limits[side.name], side.name) if side.name in limits else None
        return side

    return walk(tree)
