"""What does a change of the knowledge change? Rules, limits, severities, sets, options, and the answers of cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path

from pydantic import BaseModel
from rich.text import Text

from safety_service.cases import Case, read_cases
from safety_service.curation.recording import programs
from safety_service.curation.written import held_limits, limits_used, rule_form, written_rules
from safety_service.domain import CheckStatus, Decision
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.schema import InlineStatement, Rule, Statement
from safety_service.report.layout import wrapped

Section = tuple[str, tuple[str, ...]]


def differences(old: Knowledge, new: Knowledge) -> tuple[Section, ...]:
    """By heading: each thing that differs, in words. Headings without a difference are left out."""
    found = (
        ("Rules", _rules(old, new)),
        ("Limits and statements", _statements(old, new)),
        ("Severities", _severities(old, new)),
        ("Medication lines", _named("line", _lines(old), _lines(new), skip=("statements",))),
        ("Policy", _policy(old, new)),
        ("Value sets", _named("value set", _sets(old), _sets(new))),
        ("Non-drug options", _named("option", old.care.options, new.care.options)),
        ("Care pathway", _fields("care pathway", old.pathway, new.pathway)),
        ("Child-Pugh table", _fields("Child-Pugh table", old.child_pugh, new.child_pugh)),
        ("Sources", _named("source", old.sources, new.sources)),
    )
    sections = ((heading, tuple(texts)) for heading, texts in found)
    return tuple((heading, texts) for heading, texts in sections if texts)


# --- rules -------------------------------------------------------------------------------------------------------


def _rules(old: Knowledge, new: Knowledge) -> Iterator[str]:
    before, now = ({rule.id: rule for rule in each.rules} for each in (old, new))
    yield from _added_and_removed("rule", before, now)
    for rule_id in (each for each in now if each in before):
        changes = list(_rule(before[rule_id], now[rule_id]))
        yield from changes
        if changes and now[rule_id].version <= before[rule_id].version:
            yield f"{rule_id}: its version is still {now[rule_id].version}"


def _rule(before: Rule, now: Rule) -> Iterator[str]:
    yield from _fields(before.id, before, now, skip=("id", "clauses"))
    for at in range(max(len(before.clauses), len(now.clauses))):
        name = f"{before.id}, clause {at + 1}"
        if at >= len(now.clauses):
            yield f"{name} removed: {before.clauses[at].when}"
        elif at >= len(before.clauses):
            yield f"{name} added: {now.clauses[at].when}"
        else:
            yield from _fields(name, before.clauses[at], now.clauses[at])


# --- statements and severities -----------------------------------------------------------------------------------


def _statements(old: Knowledge, new: Knowledge) -> Iterator[str]:
    for line_id in (each for each in new.lines if each in old.lines):
        before, now = (each.lines[line_id].file.statements for each in (old, new))
        changed: list[str] = []
        for name in {**before, **now}:
            texts = list(_statement(f"{name} of {line_id}", before.get(name), now.get(name)))
            yield from texts
            changed += [f"drug.{name}"] if texts else []
        yield from _versions_due(old, new, changed)


def _statement(name: str, before: Statement | None, now: Statement | None) -> Iterator[str]:
    if before is None or now is None:
        said = now or before
        value = "" if said is None or said.value is None else f" = {_value(said)}"
        yield f"{name}{value} {'added' if before is None else 'removed'}"
        return
    if (before.value, before.unit) != (now.value, now.unit):
        yield f"{name}: {_value(before)} -> {_value(now)}"
    yield from _fields(name, before, now, skip=("value", "unit"))


def _value(said: Statement) -> str:
    match said.value:
        case None:
            return "stated"
        case tuple() as values:
            return ", ".join(values)
        case number:
            return f"{number:g} {said.unit or ''}".rstrip()


def _versions_due(old: Knowledge, new: Knowledge, limits: Sequence[str]) -> Iterator[str]:
    """The rules that compare, quote or print one of these limits (by full name) and kept their version."""
    if not limits:
        return
    written = written_rules(new)
    versions = {rule.id: rule.version for rule in old.rules}
    for rule in new.rules:
        if versions.get(rule.id) == rule.version and not limits_used(rule, written[rule.id]).isdisjoint(limits):
            yield f"{rule.id}, which speaks by it: its version is still {rule.version}"


def _severities(old: Knowledge, new: Knowledge) -> Iterator[str]:
    before, now = _graded(old), _graded(new)
    for name in (each for each in now if each in before):
        if before[name] != now[name]:
            yield f"{name}: {before[name]} -> {now[name]}"


def _graded(knowledge: Knowledge) -> dict[str, str]:
    """The severity of every statement of a line and of every clause with a statement of its own."""
    found = {
        f"{name} of {line.id}": said.severity.name
        for line in knowledge.lines.values()
        for name, said in line.statements.items()
    }
    written = written_rules(knowledge)
    for key, program in programs(knowledge).items():
        for live in program.rules:
            form = rule_form(written, live.rule.id, held_limits(knowledge, key))
            for own, clause in zip(form.clauses if form else (), live.clauses, strict=True):
                if isinstance(live.rule.clauses[own.place].statement, InlineStatement):
                    found[f"{live.rule.id}, clause {own.place + 1}"] = clause.statement.severity.name
    return found


# --- everything else ---------------------------------------------------------------------------------------------


def _lines(knowledge: Knowledge) -> dict[str, BaseModel]:
    return {line.id: line.file for line in knowledge.lines.values()}


def _sets(knowledge: Knowledge) -> dict[str, BaseModel]:
    drugs: dict[str, BaseModel] = {each.id: each for each in knowledge.medication_sets}
    return drugs | {each.id: each for each in knowledge.condition_sets}


def _policy(old: Knowledge, new: Knowledge) -> Iterator[str]:
    before, now = old.policy.numbers, new.policy.numbers
    yield from _added_and_removed("policy number", before, now)
    changed = []
    for name in (each for each in now if each in before):
        if before[name].value != now[name].value:
            yield f"{name}: {before[name].value:g} -> {now[name].value:g} {now[name].unit}"
            changed.append(f"policy.{name}")
        yield from _fields(name, before[name], now[name], skip=("value",))
    yield from _versions_due(old, new, changed)
    yield from _fields("policy", old.policy, new.policy, skip=("numbers",))


def _named(
    kind: str, before: Mapping[str, BaseModel], now: Mapping[str, BaseModel], skip: Sequence[str] = ()
) -> Iterator[str]:
    yield from _added_and_removed(kind, before, now)
    for name in (each for each in now if each in before):
        yield from _fields(name, before[name], now[name], skip)


def _added_and_removed(kind: str, before: Mapping[str, object], now: Mapping[str, object]) -> Iterator[str]:
    yield from (f"{kind} {name} added" for name in now if name not in before)
    yield from (f"{kind} {name} removed" for name in before if name not in now)


def _fields(name: str, before: BaseModel, now: BaseModel, skip: Sequence[str] = ()) -> Iterator[str]:
    """Each field that differs; of a list the rows that came and went."""
    for field in type(now).model_fields:
        old, new = getattr(before, field, None), getattr(now, field)
        if field in skip or old == new:
            continue
        if isinstance(old, tuple) and isinstance(new, tuple):
            rows = [f"{name}, {field}: {_shown(each)} removed" for each in old if each not in new]
            rows += [f"{name}, {field}: {_shown(each)} added" for each in new if each not in old]
            yield from rows or [f"{name}, {field}: in another order"]
        elif isinstance(old, BaseModel) and isinstance(new, BaseModel):
            yield from _fields(f"{name}, {field}", old, new)
        elif isinstance(old, dict) and isinstance(new, dict):
            for key in {**old, **new}:
                if old.get(key) != new.get(key):
                    yield f"{name}, {field}, {key}: {_shown(old.get(key))} -> {_shown(new.get(key))}"
        else:
            yield f"{name}, {field}: {_shown(old)} -> {_shown(new)}"


def _shown(value: object) -> str:
    """A value of a file in one line: a row by the name, code or words that tell it apart."""
    match value:
        case None:
            return "nothing"
        case Enum():
            return str(value.value)
        case str():
            return repr(value)
        case BaseModel():
            told = [f"{name} {_shown(each)}" for name, each in value if each is not None and each != ()]
            return "; ".join(told)
        case tuple() | list():
            return ", ".join(map(_shown, value)) or "none"
    return str(value)


# --- the answers of cases ----------------------------------------------------------------------------------------


class CannotAnswerError(Exception):
    """The engine of today asks one of the two for something that it does not have."""


def answers(old: Knowledge, new: Knowledge, cases: Sequence[Case]) -> Iterator[tuple[Case, tuple[str, ...]]]:
    """The cases that are answered otherwise by the new knowledge, with what differs in words.

    Raises CannotAnswerError when one lacks a value set or number that the engine of today asks for.
    """
    for case in cases:
        try:
            before, now = check(old, case.request), check(new, case.request)
        except KeyError as error:
            raise CannotAnswerError(f"one of the two has no {error}, which the engine of today asks for") from None
        texts = tuple(_answers(before, now))
        if texts:
            yield case, texts


def _answers(before: Decision, now: Decision) -> Iterator[str]:
    if before.overall is not now.overall:
        yield f"overall {before.overall.name} -> {now.overall.name}"
    old, new = _told(before), _told(now)
    for key in {**old, **new}:
        if old.get(key) != new.get(key):
            yield f"{key}: {old.get(key, 'not there')} -> {new.get(key, 'not there')}"


def _told(decision: Decision) -> dict[str, str]:
    """By rule and line: the answer, with severity, what is proposed and what is missing."""
    alerts = {(each.subject, each.rule_id): each for each in decision.alerts}
    found = {}
    for each in decision.checks:
        told = each.status.name
        alert = alerts.get((each.subject.partition("|")[0], each.rule_id))
        if each.status is CheckStatus.FIRED and alert is not None:
            proposed = ", ".join(of.text for of in alert.suggestions)
            told = f"{alert.severity.name} {alert.title!r}" + (f", proposes {proposed}" if proposed else "")
        elif each.missing:
            told = f"{told} for want of {', '.join(of.fact for of in each.missing)}"
        found[f"{each.rule_id} ({each.subject})" if each.subject else each.rule_id] = told
    return found


def cases_of(old: Path, new: Path) -> tuple[Case, ...]:
    """The cases of both folders, each request once, as the new folder names it. Raises KnowledgeError."""
    found: dict[str, Case] = {}
    for root in (new, old):
        if (root / "cases").is_dir():
            for case in read_cases(root / "cases"):
                found.setdefault(repr(case.request), case)
    return tuple(found.values())


def difference_text(
    sections: Sequence[Section], changed: Sequence[tuple[Case, tuple[str, ...]]], of: int
) -> Iterator[Text]:
    """All that differs, by heading, then the cases that are answered otherwise."""
    for heading, texts in sections:
        yield Text(heading, style="bold")
        for text in texts:
            yield from wrapped(text, "  ", "    ")
        yield Text()
    if not sections:
        yield Text("The knowledge does not differ.")
    if changed:
        yield Text("Cases answered otherwise", style="bold")
        for case, texts in changed:
            yield Text(f"  cases/{case.file}.yaml:{case.line}: {case.name}")
            for text in texts:
                yield from wrapped(text, "    ", "      ")
        yield Text()
    yield Text(f"{len(changed)} of {of} cases are answered otherwise", style="bold")
