"""Would the cases notice? Each rule, limit and value set is made wrong in one place, and some case must then differ.

A wrong rule is not put to the whole engine. What each program was asked for each case is recorded once; only where the
wrong rule itself would answer such a question otherwise is the case decided again, with absorption, `fired` and all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from safety_service.cases import compare
from safety_service.curation.altered import Change, Workbench
from safety_service.curation.engine_reads import engine_reads
from safety_service.curation.mutants import compared_with, other_values, stepped, turned
from safety_service.curation.places import Place, Places
from safety_service.curation.recording import ProgramKey
from safety_service.curation.written import WrittenRule, conditions_of, leaning_on
from safety_service.curation.wrong_sets import wrong_sets
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge, Line
from safety_service.rules.tree import limits_of

Kind: TypeAlias = Literal["rule", "limit", "policy number", "value set row", "value set"]
Limits: TypeAlias = Mapping[ProgramKey, Mapping[str, int]]


class Mutant(NamedTuple):
    """One thing made wrong. `of` is the rule, `limit of line`, policy number or value set; `clause` counts from 1.

    `written` and `limits` are the rules and limits as they would be, `concerned` the rules that change with them;
    `besides` changes what else of the knowledge changes, and `cases` are those that it could concern.
    """

    kind: Kind
    of: str
    clause: int
    change: str
    place: Place
    written: Mapping[str, WrittenRule]
    concerned: tuple[str, ...] = ()
    limits: Limits = MappingProxyType({})
    besides: Callable[[Knowledge], Knowledge] | None = None
    cases: tuple[int, ...] = ()

    def __str__(self) -> str:
        clause = f", clause {self.clause}" if self.clause else ""
        return f"{self.of}{clause}: {self.change}"


class Verdict(NamedTuple):
    """What came of a mutant. `killed_by` is the place in the recording of a case that noticed; `tried` cases were run.

    `alike`: it changes nothing on any drug, or is a part of a value set that no case meets, so that none could notice.
    """

    mutant: Mutant
    killed_by: int | None
    tried: int
    changes: tuple[Change, ...]

    @property
    def alike(self) -> bool:
        return not self.changes and not self.mutant.cases


def mutate(bench: Workbench, places: Places) -> Iterator[Verdict]:
    """Makes and tries every mutant."""
    killers: dict[str, dict[int, None]] = {}  # what noticed one mutant of a set or number often notices the next
    for mutant in mutants(bench, places):
        known = killers.setdefault(mutant.of, {})
        verdict = attempt(bench, mutant, known)
        if verdict.killed_by is not None:
            known[verdict.killed_by] = None
        yield verdict


def mutants(bench: Workbench, places: Places) -> Iterator[Mutant]:
    """Every mutant of the knowledge: of its rules, limits, policy numbers and value sets."""
    limits = stepped_limits(bench)
    yield from of_rules(bench, places, limits)
    yield from of_limits(bench, places, limits)
    yield from of_policy(bench, places, limits)
    yield from of_value_sets(bench, places)


def stepped_limits(bench: Workbench) -> Limits:
    """The limits of every program, with the next values of each up and down."""
    compared = compared_with(bench.written)
    lines = bench.knowledge.lines
    return {key: stepped(own, compared, lines.get(key.line)) for key, own in bench.limits.items()}


def attempt(bench: Workbench, mutant: Mutant, first: Iterable[int] = ()) -> Verdict:
    """Whether a case notices.

    Of the cases that the mutant could concern by what they look up, `first` are tried before the others.
    """
    changes = bench.changes(mutant.written, mutant.concerned, mutant.limits)
    changed: Knowledge | None = None
    tried: set[int] = set()
    for at in _likeliest_first(bench, mutant, changes, first):
        if at in tried:
            continue
        if changed is None:
            changed = made_wrong(bench, mutant, changes)
        tried.add(at)
        case = bench.recording.cases[at]
        if compare(bench.knowledge, case.row, check(changed, case.request)):
            return Verdict(mutant, at, len(tried), tuple(changes))
    return Verdict(mutant, None, len(tried), tuple(changes))


def made_wrong(bench: Workbench, mutant: Mutant, changes: Sequence[Change]) -> Knowledge:
    """The knowledge as the mutant would have it; `changes` are what it does to the rules."""
    changed = bench.knowledge_with(changes, mutant.written)
    return changed if mutant.besides is None else mutant.besides(changed)


def _likeliest_first(
    bench: Workbench, mutant: Mutant, changes: Iterable[Change], first: Iterable[int]
) -> Iterator[int]:
    """The cases that could notice: first those that want an answer of the rule that would answer otherwise."""
    later: list[int] = []
    for change in changes:
        for asked in bench.touched(change):
            if change.rule_id in bench.names[asked.at]:
                yield asked.at
            else:
                later.append(asked.at)
    yield from later
    concerned = frozenset(mutant.cases)
    yield from (at for at in first if at in concerned)
    yield from mutant.cases


# --- rules -------------------------------------------------------------------------------------------------------


def of_rules(bench: Workbench, places: Places, limits: Limits) -> Iterator[Mutant]:
    """The rules, each wrong in one place."""
    for rule_id, rule in bench.written.items():
        concerned = leaning_on(bench.written, rule_id)
        for each in turned(rule):
            yield Mutant(
                kind="rule",
                of=rule_id,
                clause=each.clause + 1,
                change=each.change,
                place=places.rule(rule_id, each.clause),
                written={**bench.written, rule_id: each.rule},
                concerned=concerned,
                limits=limits,
            )


# --- limits and policy numbers -----------------------------------------------------------------------------------


def of_limits(bench: Workbench, places: Places, limits: Limits) -> Iterator[Mutant]:
    """What each drug states: other numbers and values, and the statement left out."""
    naming = _rules_naming(bench.written)
    for line in bench.knowledge.lines.values():
        keys = (ProgramKey(line.id), ProgramKey(line.id, partner=True))
        for name in line.file.statements:
            full = f"drug.{name}"
            for change, value in other_values(full, limits[keys[0]]):
                own = {key: _with_limit(limits[key], full, value) for key in keys}
                yield Mutant(
                    kind="limit",
                    of=f"{name} of {line.id}",
                    clause=0,
                    change=change,
                    place=places.medication(line.id, "statements", name),
                    written=bench.written,
                    concerned=naming.get(full, ()),
                    limits=own,
                    besides=_without(line.id, name) if value is None else None,
                    cases=bench.holding if engine_reads(name) else (),
                )


def of_policy(bench: Workbench, places: Places, limits: Limits) -> Iterator[Mutant]:
    """The numbers of the policy, one more and one less."""
    naming = _rules_naming(bench.written)
    for full, held in bench.knowledge.policy_numbers.items():
        name = full.removeprefix("policy.")
        for value in (held + 1, held - 1):
            yield Mutant(
                kind="policy number",
                of=full,
                clause=0,
                change=f"{held} -> {value}",
                place=places.policy(name),
                written=bench.written,
                concerned=naming.get(full, ()),
                limits={key: {**own, full: value} for key, own in limits.items()},
                besides=_with_policy(full, value) if engine_reads(full) else None,
                cases=bench.holding if engine_reads(full) else (),
            )


def _rules_naming(written: Mapping[str, WrittenRule]) -> dict[str, tuple[str, ...]]:
    """By limit: the rules that change when it does."""
    found: dict[str, dict[str, None]] = {}
    for rule in written.values():
        proposed = {of.to for clause in rule.proposals for of in clause if isinstance(of.to, str)}
        for name in proposed.union(*map(limits_of, conditions_of(rule))):
            found.setdefault(name, {}).update(dict.fromkeys(leaning_on(written, rule.id)))
    return {name: tuple(rules) for name, rules in found.items()}


def _with_limit(limits: Mapping[str, int], name: str, value: int | None) -> Mapping[str, int]:
    if value is None:
        return {each: held for each, held in limits.items() if each != name}
    return {**limits, name: value}


def _without(line_id: str, name: str) -> Callable[[Knowledge], Knowledge]:
    """The knowledge without a statement of a line: what the engine itself reads of it."""

    def without(line: Line) -> Line:
        file = line.file.model_copy(
            update={"statements": {each: said for each, said in line.file.statements.items() if each != name}}
        )
        statements = {each: said for each, said in line.statements.items() if each != name}
        return replace(line, file=file, statements=statements)

    def changed(knowledge: Knowledge) -> Knowledge:
        lines = {each.id: without(each) if each.id == line_id else each for each in knowledge.lines.values()}
        lines_of = {key: tuple(lines[each.id] for each in of) for key, of in knowledge.lines_of.items()}
        return replace(knowledge, lines=lines, lines_of=lines_of)

    return changed


def _with_policy(name: str, value: int) -> Callable[[Knowledge], Knowledge]:
    return lambda knowledge: replace(knowledge, policy_numbers={**knowledge.policy_numbers, name: value})


# --- value sets --------------------------------------------------------------------------------------------------


def of_value_sets(bench: Workbench, places: Places) -> Iterator[Mutant]:
    """Each value set without a row, and mistaken for another."""
    for wrong in wrong_sets(bench):
        place = places.value_set(wrong.set_id, *wrong.where)
        kind: Kind = "value set row" if wrong.where else "value set"
        yield Mutant(kind, wrong.set_id, 0, wrong.change, place, {}, besides=wrong.put_in, cases=wrong.cases)
