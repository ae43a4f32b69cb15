"""The rules as their files write them: parsed, for any limits, and as text again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from safety_service.curation.recording import ProgramKey, programs
from safety_service.knowledge.knowledge import Knowledge, LiveRule, Program
from safety_service.knowledge.schema import Rule, SuggestionText
from safety_service.rules.parse import Names, parse
from safety_service.rules.specialise import specialise
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
    Or,
    Tree,
    limits_of,
)
from safety_service.rules.vocabulary import EITHER, FACTS, YES, Type, Unit


class Proposal(NamedTuple):
    """A change that a clause proposes: which of its suggestions (from 0), when, and to what number or limit."""

    number: int
    when: Tree | None
    to: int | str


class WrittenRule(NamedTuple):
    """The conditions of a rule, limits not yet put in. `proposals` are by clause."""

    id: str
    applies: Tree | None
    clauses: tuple[Tree, ...]
    proposals: tuple[tuple[Proposal, ...], ...]
    absorbs: tuple[str, ...]


class ClauseForm(NamedTuple):
    """A clause for one drug; `place` is its place in the file (from 0)."""

    place: int
    when: Tree
    proposals: tuple[Proposal, ...]


class RuleForm(NamedTuple):
    """What is left of a rule for one drug: only the clauses that can speak."""

    applies: Tree | None
    clauses: tuple[ClauseForm, ...]
    absorbs: tuple[str, ...]


class UnlikeWrittenError(Exception):
    """The loaded rules are not what their texts give: the tools would judge something else than what runs."""


def written_rules(knowledge: Knowledge) -> dict[str, WrittenRule]:
    """All rules, by id. Raises UnlikeWrittenError when what was loaded does not follow from the texts."""
    names = rule_names(knowledge)
    found = {
        rule.id: WrittenRule(
            id=rule.id,
            applies=None if rule.applies is None else parse(rule.applies, names),
            clauses=tuple(parse(clause.when, names) for clause in rule.clauses),
            proposals=tuple(
                tuple(_proposal(number, each, names) for number, each in enumerate(clause.suggest))
                for clause in rule.clauses
            ),
            absorbs=rule.absorbs,
        )
        for rule in knowledge.rules
    }
    for key, program in programs(knowledge).items():
        loaded = {live.rule.id: live for live in program.rules}
        for rule_id in rule_ids(program):
            form = rule_form(found, rule_id, held_limits(knowledge, key))
            if not _same(form, loaded.get(rule_id)):
                raise UnlikeWrittenError(f"{rule_id} of {key}: the loaded rule does not follow from its text")
    return found


def rule_names(knowledge: Knowledge) -> Names:
    """What a rule of this knowledge may name."""
    units = {unit.value: unit for unit in Unit}
    return Names(policy={name: units[number.unit] for name, number in knowledge.policy.numbers.items()})


def _proposal(number: int, given: SuggestionText, names: Names) -> Proposal:
    scale = Unit.MG.scale if given.field == "dose" else 1
    to = given.to if isinstance(given.to, str) else round(given.to * scale)
    return Proposal(number, None if given.when is None else parse(given.when, names), to)


def _same(form: RuleForm | None, live: LiveRule | None) -> bool:
    if form is None or live is None:
        return form is None and live is None
    same = (form.applies, form.absorbs) == (live.applies, live.rule.absorbs)
    return same and [(each.when, [(of.when, of.to) for of in each.proposals]) for each in form.clauses] == [
        (each.when, [(of.when, of.to) for of in each.suggest]) for each in live.clauses
    ]


def rule_ids(program: Program) -> tuple[str, ...]:
    """The rules a program answers, those with nothing to say included."""
    return tuple(each.rule.id if isinstance(each, LiveRule) else each.rule_id for each in program.entries)


def held_limits(knowledge: Knowledge, key: ProgramKey) -> Mapping[str, int]:
    """The limits that the rules of a program are specialised with."""
    return knowledge.lines[key.line].held if key.line else knowledge.policy_numbers


def rule_form(rules: Mapping[str, WrittenRule], rule_id: str, limits: Mapping[str, int]) -> RuleForm | None:
    """The rule for one drug, as the loader makes it; None when it has nothing to say there."""
    rule = rules[rule_id]
    condition_of = _conditions(rules)
    applies = None if rule.applies is None else specialise(rule.applies, limits, condition_of)
    if rule.applies is not None and applies is None:
        return None
    clauses = tuple(
        ClauseForm(
            place,
            when,
            tuple(
                Proposal(
                    of.number,
                    None if of.when is None else specialise(of.when, limits, condition_of),
                    limits.get(of.to, 0) if isinstance(of.to, str) else of.to,
                )
                for of in rule.proposals[place]
            ),
        )
        for place, each in enumerate(rule.clauses)
        if (when := specialise(each, limits, condition_of)) is not None
    )
    return RuleForm(applies, clauses, rule.absorbs) if clauses else None


def _conditions(rules: Mapping[str, WrittenRule]) -> Callable[[str], tuple[Tree, tuple[Tree, ...]]]:
    def condition_of(rule_id: str) -> tuple[Tree, tuple[Tree, ...]]:
        absorbers = tuple(_condition(each) for each in rules.values() if rule_id in each.absorbs)
        return _condition(rules[rule_id]), absorbers

    return condition_of


def _condition(rule: WrittenRule) -> Tree:
    any_clause = Or(rule.clauses)
    return any_clause if rule.applies is None else And((rule.applies, any_clause))


def rules_asked(tree: Tree) -> frozenset[str]:
    """The rules a condition names by `fired`."""
    match tree:
        case Fired(rule_id):
            return frozenset({rule_id})
        case And(parts) | Or(parts):
            return frozenset().union(*map(rules_asked, parts))
        case Not(part) | Known(part):
            return rules_asked(part)
    return frozenset()


def conditions_of(rule: WrittenRule) -> Iterator[Tree]:
    """Every condition of a rule: where it applies, its clauses, its proposals."""
    if rule.applies is not None:
        yield rule.applies
    yield from rule.clauses
    yield from (of.when for clause in rule.proposals for of in clause if of.when is not None)


def limits_used(rule: Rule, written: WrittenRule) -> frozenset[str]:
    """The limits and policy numbers that a rule compares, quotes, prints or proposes."""
    used = set().union(*map(limits_of, conditions_of(written)))
    for clause in rule.clauses:
        if isinstance(clause.statement, str):
            used.add(clause.statement)
        texts = (clause.title, clause.says, clause.do, clause.computation or "", *(of.text for of in clause.suggest))
        used.update(*(re.findall(r"\{((?:drug|policy)\.[\w.]+)\}", text) for text in texts))
        used.update(of.to for of in clause.suggest if isinstance(of.to, str))
    return frozenset(used)


def conditions_in(form: RuleForm | None) -> Iterator[Tree]:
    """Every condition that is left of a rule for one drug."""
    if form is None:
        return
    if form.applies is not None:
        yield form.applies
    for each in form.clauses:
        yield each.when
        yield from (of.when for of in each.proposals if of.when is not None)


def leaning_on(rules: Mapping[str, WrittenRule], rule_id: str) -> tuple[str, ...]:
    """The rule and those that change with it: they name it, or a rule it absorbs, by `fired`."""
    concerned = {rule_id}
    while True:
        moved = concerned | {other for each in concerned for other in rules[each].absorbs}
        more = {
            each.id for each in rules.values() if any(rules_asked(part) & moved for part in conditions_of(each))
        } - concerned
        if not more:
            return tuple(each for each in rules if each in concerned)
        concerned |= more


# --- as text -----------------------------------------------------------------------------------------------------


def in_words(tree: Tree, numbers: bool = False) -> str:
    """A condition in the rule language. What came from a limit is written by its name; `numbers`: by value and name."""
    return _Words(numbers).text(tree, 0)


class _Words(NamedTuple):
    numbers: bool

    def text(self, tree: Tree, inside: int) -> str:
        """`inside`: 0 nothing, 1 an `or`, 2 an `and`, 3 a `not`."""
        match tree:
            case Constant(value):
                return str(value)
            case Compare(operator, left, right):
                fact = next((side.name for side in (left, right) if isinstance(side, FactRef)), "")
                return f"{self.operand(left, fact)} {operator} {self.operand(right, fact)}"
            case OneOf(fact, mask, limit):
                if limit and not self.numbers:
                    return f"{fact} in {limit}"
                return _one_of(fact, mask) + (f" [{limit}]" if limit else "")
            case OneOfLimit(fact, limit):
                return f"{fact} in {limit}"
            case Fired(rule_id):
                return f"fired({rule_id!r})"
            case Known(part):
                return f"known({self.text(part, 0)})"
            case Not(part):
                return f"not {self.text(part, 3)}"
            case And(parts):
                return self.joined(" and ", parts, 2, inside)
            case Or(parts):
                return self.joined(" or ", parts, 1, inside)
        return f"{type(tree).__name__.lower()}({tree.limit})"  # stated

    def joined(self, word: str, parts: tuple[Tree, ...], strength: int, inside: int) -> str:
        if len(parts) < 2:
            return "".join(self.text(part, inside) for part in parts) or str(word == " and ")
        text = word.join(self.text(part, strength) for part in parts)
        return f"({text})" if inside >= strength else text

    def operand(self, side: Operand, fact: str) -> str:
        match side:
            case FactRef(name) | LimitRef(name):
                return name
            case Number(value, limit):
                unit = FACTS[fact].unit if fact else Unit.COUNT
                number = f"{value / unit.scale:g}" if value % unit.scale else str(value // unit.scale)
                if not self.numbers:
                    return limit or number
                shown = number if unit is Unit.COUNT else f"{number} {unit.value}"
                return f"{shown} [{limit}]" if limit else shown


def _one_of(fact: str, mask: int) -> str:
    if FACTS[fact].type is Type.YES_NO:
        return {0: "False", YES: fact, EITHER: "True"}.get(mask, f"not {fact}")
    held = [value for i, value in enumerate(FACTS[fact].values) if mask >> i & 1]
    return f"{fact} == {held[0]!r}" if len(held) == 1 else f"{fact} in ({', '.join(map(repr, held))})"
