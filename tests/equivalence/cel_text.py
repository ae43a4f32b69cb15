"""Conditions for an engine that is not ours, of the Common Expression Language: a referee here, a peer in `make bench`.

A fact of which nothing is known is not given to that engine, so naming it is an error; `&&` and `||` absorb an error
that the other side outvotes. That is Kleene logic with "error" for "unknown".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import cel

from safety_service.rules.meaning import Truth
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
    Or,
    Tree,
    facts_of,
)
from safety_service.rules.vocabulary import FACTS, HIGHEST, LOWEST, NO, SLOTS, YES, Type

Value: TypeAlias = int | str | bool


def cel_text(tree: Tree) -> str:
    """Text that is true or false as the meaning is, and an error where that is UNKNOWN.

    Raises TypeError for a tree that still names limits or other rules.
    """
    match tree:
        case Constant(value):
            return _constant(value)
        case OneOf(fact, mask, _):
            return _one_of(fact, mask)
        case Compare(operator, left, right):
            return f"{_operand(left)} {operator} {_operand(right)}"
        case And(parts):
            return _join(" && ", [cel_text(part) for part in parts])
        case Or(parts):
            return _join(" || ", [cel_text(part) for part in parts])
        case Not(part):
            return f"!({cel_text(part)})"
        case Known(part):
            return _surely(part, True)
    raise TypeError(f"not specialised: {tree!r}")


def cel_facts(names: Iterable[str], guarded: Iterable[str], values: Sequence[int]) -> dict[str, Value]:
    """The facts `names` as variables, those of which nothing is known left out; `guarded` ones with a flag beside them.

    Raises ValueError for a fact that is partly known: there is no way to say that.
    """
    facts: dict[str, Value] = {}
    for name in names:
        if is_open(name, values):
            continue
        if is_partly_known(name, values):
            raise ValueError(f"{name} is partly known")
        held = values[SLOTS[name]]
        match FACTS[name].type:
            case Type.NUMBER:
                facts[name] = held
            case Type.YES_NO:
                facts[name] = held == YES
            case _:
                facts[name] = FACTS[name].values[held.bit_length() - 1]
    return facts | {_flag(name): name in facts for name in guarded}


def cel_truth(program: cel.Program, context: cel.Context) -> Truth:
    """What the engine answers; UNKNOWN where it misses a fact. Raises RuntimeError for any other error of it."""
    try:
        answer = program.execute(context)
    except RuntimeError as error:
        if not str(error).startswith("Undefined variable"):
            raise
        return Truth.UNKNOWN
    if not isinstance(answer, bool):
        raise RuntimeError(f"neither true nor false: {answer!r}")
    return Truth(answer)


def is_open(name: str, values: Sequence[int]) -> bool:
    """Nothing is known of the fact."""
    at = SLOTS[name]
    if FACTS[name].type is Type.NUMBER:
        return values[at] == LOWEST and values[at + 1] == HIGHEST
    return values[at] == FACTS[name].everything


def is_partly_known(name: str, values: Sequence[int]) -> bool:
    """Something is known of the fact, but more than one value is left."""
    at = SLOTS[name]
    if is_open(name, values):
        return False
    return values[at] != values[at + 1] if FACTS[name].type is Type.NUMBER else values[at].bit_count() != 1


def guarded_facts(tree: Tree) -> frozenset[str]:
    """The facts inside `known(...)`."""
    match tree:
        case Known(part):
            return facts_of(part)
        case And(parts) | Or(parts):
            return frozenset().union(*(guarded_facts(part) for part in parts))
        case Not(part):
            return guarded_facts(part)
        case _:
            return frozenset()


def _surely(tree: Tree, wanted: bool) -> str:
    """Text that is true when the meaning is definitely `wanted`, otherwise false; never an error."""
    match tree:
        case And(parts):
            return _join(" && " if wanted else " || ", [_surely(part, wanted) for part in parts])
        case Or(parts):
            return _join(" || " if wanted else " && ", [_surely(part, wanted) for part in parts])
        case Not(part):
            return _surely(part, not wanted)
        case Known(part):
            return _surely(part, True) if wanted else f"!({_surely(part, True)})"
        case _:
            text = cel_text(tree) if wanted else f"!({cel_text(tree)})"
            named = () if cel_text(tree) in map(_constant, (True, False)) else sorted(facts_of(tree))
            return _join(" && ", [*map(_flag, named), text])


def _one_of(fact: str, mask: int) -> str:
    described = FACTS[fact]
    mask &= described.everything
    if mask in (0, described.everything):
        return _constant(mask != 0)
    if described.type is Type.YES_NO:
        return {YES: fact, NO: f"!{fact}"}[mask]
    values = [f"'{value}'" for i, value in enumerate(described.values) if mask >> i & 1]
    return f"{fact} in [{', '.join(values)}]"


def _operand(operand: Operand) -> str:
    match operand:
        case FactRef(name):
            return name
        case Number(value, _):
            return str(value)
    raise TypeError(f"not specialised: {operand!r}")


def _constant(value: bool) -> str:
    return "true" if value else "false"


def _flag(fact: str) -> str:
    return f"{fact}_is_known"


def _join(sign: str, texts: Sequence[str]) -> str:
    if not texts:
        return _constant(sign == " && ")
    return texts[0] if len(texts) == 1 else "(" + sign.join(f"({text})" for text in texts) + ")"
