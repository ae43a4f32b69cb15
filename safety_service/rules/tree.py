"""A rule's condition as a tree: what the text means, with nothing left to look up but facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Operator: TypeAlias = Literal["<", "<=", ">", ">=", "==", "!="]


@dataclass(frozen=True, slots=True)
class FactRef:
    """A number fact."""

    name: str


@dataclass(frozen=True, slots=True)
class Number:
    """A constant in the held unit (micrograms, days). `limit` names where it came from, if from a limit."""

    value: int
    limit: str = ""


@dataclass(frozen=True, slots=True)
class LimitRef:
    """A number still to be looked up: `drug.duration.max_days`, `policy.duration.course_days`."""

    name: str


Operand: TypeAlias = FactRef | Number | LimitRef


@dataclass(frozen=True, slots=True)
class Compare:
    operator: Operator
    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class OneOf:
    """A choice or yes/no fact has one of the values in `mask`. `limit` names a set from a drug's limits."""

    fact: str
    mask: int
    limit: str = ""


@dataclass(frozen=True, slots=True)
class OneOfLimit:
    """As OneOf, the values still to be looked up in a drug's limits."""

    fact: str
    limit: str


@dataclass(frozen=True, slots=True)
class Stated:
    """The drug's file makes this statement."""

    limit: str


@dataclass(frozen=True, slots=True)
class Unstated:
    """The drug's file does not make this statement."""

    limit: str


@dataclass(frozen=True, slots=True)
class Fired:
    """The condition of another rule, whatever absorbs it."""

    rule_id: str


@dataclass(frozen=True, slots=True)
class Constant:
    value: bool


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: Tree


@dataclass(frozen=True, slots=True)
class Known:
    """True when the part is definitely true, otherwise false: never unknown."""

    part: Tree


Tree: TypeAlias = Compare | OneOf | OneOfLimit | Stated | Unstated | Fired | Constant | And | Or | Not | Known


def limits_of(tree: Tree) -> frozenset[str]:
    """The limits (`drug.*`, `policy.*`) a tree mentions, looked up or not."""
    match tree:
        case Compare(_, left, right):
            return frozenset(
                name
                for side in (left, right)
                for name in ([side.name] if isinstance(side, LimitRef) else [getattr(side, "limit", "")])
                if name
            )
        case OneOf(_, _, limit):
            return frozenset({limit} if limit else ())
        case OneOfLimit(_, limit) | Stated(limit) | Unstated(limit):
            return frozenset({limit})
        case And(parts) | Or(parts):
            return frozenset().union(*(limits_of(part) for part in parts))
        case Not(part) | Known(part):
            return limits_of(part)
        case Fired() | Constant():
            return frozenset()


def facts_of(tree: Tree) -> frozenset[str]:
    """The facts a tree mentions."""
    match tree:
        case Compare(_, left, right):
            return frozenset(side.name for side in (left, right) if isinstance(side, FactRef))
        case OneOf(fact, _, _) | OneOfLimit(fact, _):
            return frozenset({fact})
        case And(parts) | Or(parts):
            return frozenset().union(*(facts_of(part) for part in parts))
        case Not(part) | Known(part):
            return facts_of(part)
        case Fired() | Constant() | Stated() | Unstated():
            return frozenset()
