"""Rule text to tree: a small, whitelisted part of Python's expressions, checked against the vocabulary.

Nothing of the text is ever executed. A wrong name, type or unit is an error that names the nearest right one.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from safety_service.rules.tree import (
    And,
    Compare,
    Constant,
    FactRef,
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
from safety_service.rules.vocabulary import FACTS, HIGHEST, LIMITS, LOWEST, YES, Fact, Limit, Type, Unit


class RuleTextError(ValueError):
    """The text is not a condition of this language; `column` is where in the text (from 1)."""

    def __init__(self, reason: str, column: int = 1) -> None:
        super().__init__(reason)
        self.column = column


@dataclass(frozen=True, slots=True)
class Names:
    """What a text may name: facts, limits of a drug, numbers of the policy."""

    facts: Mapping[str, Fact] = field(default_factory=lambda: FACTS)
    limits: Mapping[str, Limit] = field(default_factory=lambda: LIMITS)
    policy: Mapping[str, Unit] = field(default_factory=dict)


_OPERATORS: dict[type[ast.cmpop], Operator] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}


def parse(text: str, names: Names) -> Tree:
    """The tree of a condition such as `hepatic_grade == 'mild' and single_dose_mg > drug.hepatic.mild_start_mg`.

    Raises RuleTextError with the reason and the column.
    """
    try:
        return _tree(ast.parse(text.strip(), mode="eval").body, names)
    except SyntaxError as error:
        raise RuleTextError(f"not an expression: {error.msg}", error.offset or 1) from None
    except (RecursionError, MemoryError):
        raise RuleTextError("nested too deeply") from None


def _tree(node: ast.expr, names: Names) -> Tree:
    match node:
        case ast.BoolOp(op=ast.And(), values=values):
            return And(tuple(_tree(value, names) for value in values))
        case ast.BoolOp(op=ast.Or(), values=values):
            return Or(tuple(_tree(value, names) for value in values))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return Not(_tree(operand, names))
        case ast.Constant(value=bool(value)):
            return Constant(value)
        case ast.Call(func=ast.Name(id="known"), args=[part], keywords=[]):
            return Known(_tree(part, names))
        case ast.Call(func=ast.Name(id="fired"), args=[ast.Constant(value=str(rule_id))], keywords=[]):
            return Fired(rule_id)
        case ast.Call(func=ast.Name(id="stated"), args=[ast.Attribute() as limit_node], keywords=[]):
            return Stated(_limit(limit_node, names).name)
        case ast.Call(func=ast.Name(id="unstated"), args=[ast.Attribute() as limit_node], keywords=[]):
            return Unstated(_limit(limit_node, names).name)
        case ast.Name(id=name):
            fact = _fact(node, name, names)
            if fact.type is not Type.YES_NO:
                raise _error(node, f"{name} is a {fact.type.value}: compare it")
            return OneOf(name, YES)
        case ast.Attribute():
            limit = _limit(node, names)
            if limit.type is not Type.FLAG:
                raise _error(node, f"{limit.name} is a {limit.type.value}: compare it with a fact")
            return Stated(limit.name)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            sides = [left, *comparators]
            parts = tuple(_comparison(sides[i], op, sides[i + 1], names) for i, op in enumerate(ops))
            return parts[0] if len(parts) == 1 else And(parts)
        case _:
            raise _error(node, f"{ast.unparse(node)!r} is not part of the rule language")


def _comparison(left: ast.expr, op: ast.cmpop, right: ast.expr, names: Names) -> Tree:
    choice = _choice_fact(left, names)
    if choice is not None:
        return _membership(choice, op, right, names)
    operator = _OPERATORS.get(type(op))
    if operator is None:
        raise _error(left, "numbers are compared with < <= > >= == !=")
    units = {unit for unit in (_unit(left, names), _unit(right, names)) if unit is not None}
    if len(units) > 1:
        raise _error(left, "units differ: " + " and ".join(sorted(unit.value for unit in units)))
    if not units:
        raise _error(left, "a comparison needs a fact")
    unit = units.pop()
    sides = _operand(left, unit, names), _operand(right, unit, names)
    if not any(isinstance(side, FactRef) for side in sides):
        raise _error(left, "a comparison needs a fact")
    return Compare(operator, *sides)


def _choice_fact(node: ast.expr, names: Names) -> Fact | None:
    if not isinstance(node, ast.Name):
        return None
    fact = _fact(node, node.id, names)
    if fact.type is Type.YES_NO:
        raise _error(node, f"{fact.name} is a yes/no fact: write it alone or after 'not'")
    return fact if fact.type is Type.CHOICE else None


def _membership(fact: Fact, op: ast.cmpop, right: ast.expr, names: Names) -> Tree:
    match op, right:
        case ast.Eq() | ast.NotEq(), ast.Constant(value=str(value)):
            tree: Tree = OneOf(fact.name, _mask(fact, [value], right))
        case ast.In() | ast.NotIn(), ast.Tuple(elts=elements):
            values = [e.value for e in elements if isinstance(e, ast.Constant) and isinstance(e.value, str)]
            if len(values) != len(elements):
                raise _error(right, "a set holds quoted values only")
            tree = OneOf(fact.name, _mask(fact, values, right))
        case ast.In() | ast.NotIn(), ast.Attribute():
            limit = _limit(right, names)
            if limit.values != fact.values:
                raise _error(right, f"{limit.name} does not hold values of {fact.name}")
            tree = OneOfLimit(fact.name, limit.name)
        case _:
            raise _error(right, f"{fact.name} is compared by ==, != or in ('a', 'b')")
    return Not(tree) if isinstance(op, ast.NotEq | ast.NotIn) else tree


def _mask(fact: Fact, values: Iterable[str], node: ast.expr) -> int:
    mask = 0
    for value in values:
        if value not in fact.values:
            raise _error(node, f"{fact.name} is never {value!r}{_nearest(value, fact.values)}")
        mask |= 1 << fact.values.index(value)
    return mask


def _unit(node: ast.expr, names: Names) -> Unit | None:
    match node:
        case ast.Name(id=name):
            fact = _fact(node, name, names)
            if fact.type is not Type.NUMBER:
                raise _error(node, f"{name} is not a number")
            return fact.unit
        case ast.Attribute():
            limit = _limit(node, names)
            if limit.type is not Type.NUMBER:
                raise _error(node, f"{limit.name} is not a number")
            return limit.unit
        case _:
            return None


def _operand(node: ast.expr, unit: Unit, names: Names) -> Operand:
    match node:
        case ast.Name(id=name):
            return FactRef(name)
        case ast.Attribute():
            return LimitRef(_limit(node, names).name)
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            if not LOWEST < value * unit.scale < HIGHEST:
                raise _error(node, f"{value} {unit.value} is beyond what the service counts")
            held = Fraction(repr(value)) * unit.scale  # as written: 16.1 x 1000 is not 16100 in binary
            if held.denominator != 1:
                raise _error(node, f"{value} {unit.value} is finer than the service counts")
            return Number(int(held))
        case _:
            raise _error(node, f"{ast.unparse(node)!r} is not a number, fact or limit")


def _fact(node: ast.expr, name: str, names: Names) -> Fact:
    fact = names.facts.get(name)
    if fact is None:
        raise _error(node, f"no fact is called {name!r}{_nearest(name, names.facts)}")
    return fact


def _limit(node: ast.expr, names: Names) -> Limit:
    dotted = ast.unparse(node)
    space, _, name = dotted.partition(".")
    if space == "drug" and name in names.limits:
        limit = names.limits[name]
        return Limit(dotted, limit.type, limit.doc, limit.unit, limit.values)
    if space == "policy" and name in names.policy:
        return Limit(dotted, Type.NUMBER, "policy", names.policy[name])
    known = [f"drug.{each}" for each in names.limits] + [f"policy.{each}" for each in names.policy]
    raise _error(node, f"no limit is called {dotted!r}{_nearest(dotted, known)}")


def _nearest(name: str, among: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(among), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _error(node: ast.expr, reason: str) -> RuleTextError:
    return RuleTextError(reason, node.col_offset + 1)
