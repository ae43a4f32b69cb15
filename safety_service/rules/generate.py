"""Generated form of many conditions: one flat Python function that answers them all on one list of facts.

Each condition is written twice, on two rails: `definitely` (true whatever the open facts are) and `possibly` (true for
some value of them). Unknown is possibly and not definitely; `not` swaps the rails. Most conditions end at the first
false test of their `possibly` rail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

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
)
from safety_service.rules.vocabulary import FACTS, SLOTS

MOST_CONDITIONS = 250  # more than any drug should need: a sign that rules were meant to be told apart otherwise

Masks: TypeAlias = tuple[int, int, int]
Answerer: TypeAlias = Callable[[Sequence[int]], Masks]


@dataclass(frozen=True, slots=True)
class Condition:
    """`when`, asked only where `applies` holds (None: always)."""

    when: Tree
    applies: Tree | None = None


def generate(conditions: Sequence[Condition], name: str) -> tuple[Answerer, str]:
    """A function from facts to (true, unknown, not applicable) bit masks, bit i for `conditions[i]`, and its source.

    Raises ValueError for more than `MOST_CONDITIONS`.
    """
    refuse_too_many(conditions, name)
    source = python_source(conditions)
    scope: dict[str, Answerer] = {}
    exec(compile(source, f"<generated rules of {name}>", "exec"), {"__builtins__": {}}, scope)  # our own trees only
    return scope["answer"], source


def refuse_too_many(conditions: Sequence[Condition], name: str) -> None:
    """Raises ValueError for more than `MOST_CONDITIONS`."""
    if len(conditions) > MOST_CONDITIONS:
        raise ValueError(f"{name}: {len(conditions)} conditions; at most {MOST_CONDITIONS} are taken")


def python_source(conditions: Sequence[Condition]) -> str:
    """The text of the generated function."""
    lines = ["def answer(v):", "    t = u = n = 0"]
    groups: dict[Tree | None, list[int]] = {}
    for i, condition in enumerate(conditions):
        groups.setdefault(condition.applies, []).append(i)
    for applies, members in groups.items():
        if applies is None:
            lines += _conditions(conditions, members, "    ")
        else:
            lines.append(f"    if {possibly(applies)}:")
            lines += _conditions(conditions, members, "        ")
            lines += ["    else:", f"        n |= {sum(1 << i for i in members)}"]
    lines.append("    return t, u, n")
    return "\n".join(lines) + "\n"


def _conditions(conditions: Sequence[Condition], which: Sequence[int], pad: str) -> list[str]:
    """Conditions that begin with the same test share it: most end there."""
    groups: dict[str, list[int]] = {}
    for i in which:
        groups.setdefault(possibly(_parts(conditions[i].when)[0]), []).append(i)
    lines = []
    for first, members in groups.items():
        lines.append(f"{pad}if {first}:")
        for i in members:
            lines += _condition(conditions[i], 1 << i, pad + "    ")
    return lines


def _condition(condition: Condition, bit: int, pad: str) -> list[str]:
    """What is left of one condition once its first test is possibly true."""
    sure = definitely(condition.when)
    if condition.applies is not None:
        sure = _join(" and ", [definitely(condition.applies), sure])
    lines = []
    rest = _parts(condition.when)[1:]
    if rest:
        lines.append(f"{pad}if {_join(' and ', [possibly(part) for part in rest])}:")
        pad += "    "
    return [*lines, f"{pad}if {sure}:", f"{pad}    t |= {bit}", f"{pad}else:", f"{pad}    u |= {bit}"]


def _parts(tree: Tree) -> tuple[Tree, ...]:
    return tree.parts if isinstance(tree, And) and tree.parts else (tree,)


def definitely(tree: Tree) -> str:
    """Python text that is true exactly when the meaning is TRUE."""
    match tree:
        case Constant(value):
            return str(value)
        case OneOf(fact, mask, _):
            others = FACTS[fact].everything & ~mask
            return f"not v[{SLOTS[fact]}] & {others}" if others else "True"
        case Compare(operator, left, right):
            (low, high), (other_low, other_high) = _ends(left), _ends(right)
            match operator:
                case "<" | "<=":
                    return f"{high} {operator} {other_low}"
                case ">" | ">=":
                    return f"{low} {operator} {other_high}"
                case "==":
                    return _same(low, high, other_low, other_high)
                case "!=":
                    return f"({high} < {other_low} or {low} > {other_high})"
        case And(parts):
            return _join(" and ", [definitely(part) for part in parts])
        case Or(parts):
            return _join(" or ", [definitely(part) for part in parts])
        case Not(part):
            return f"not ({possibly(part)})"
        case Known(part):
            return definitely(part)
    raise TypeError(f"not specialised: {tree!r}")


def possibly(tree: Tree) -> str:
    """Python text that is true exactly when the meaning is TRUE or UNKNOWN."""
    match tree:
        case Constant(value):
            return str(value)
        case OneOf(fact, mask, _):
            return f"v[{SLOTS[fact]}] & {mask}"
        case Compare(operator, left, right):
            (low, high), (other_low, other_high) = _ends(left), _ends(right)
            match operator:
                case "<" | "<=":
                    return f"{low} {operator} {other_high}"
                case ">" | ">=":
                    return f"{high} {operator} {other_low}"
                case "==":
                    return f"({low} <= {other_high} and {high} >= {other_low})"
                case "!=":
                    return f"not ({_same(low, high, other_low, other_high)})"
        case And(parts):
            return _join(" and ", [possibly(part) for part in parts])
        case Or(parts):
            return _join(" or ", [possibly(part) for part in parts])
        case Not(part):
            return f"not ({definitely(part)})"
        case Known(part):
            return definitely(part)
    raise TypeError(f"not specialised: {tree!r}")


def _ends(operand: Operand) -> tuple[str, str]:
    match operand:
        case FactRef(name):
            at = SLOTS[name]
            return f"v[{at}]", f"v[{at + 1}]"
        case Number(value, _):
            return str(value), str(value)
    raise TypeError(f"not specialised: {operand!r}")


def _same(*ends: str) -> str:
    texts = dict.fromkeys(ends)
    return " == ".join(texts) if len(texts) > 1 else "True"


def _join(word: str, texts: Sequence[str]) -> str:
    return "(" + word.join(f"({text})" for text in texts) + ")" if texts else str(word == " and ")
