"""Why is this case answered so? The facts the rules saw, and for each rule what made it fire or what it lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import PurePath

from rich.text import Text

from safety_service.cases import Case, Row, compare
from safety_service.curation.recording import fired, listening, programs
from safety_service.curation.written import in_words
from safety_service.domain import Check, CheckStatus, Decision
from safety_service.engine.explain import fact_text, number_text
from safety_service.knowledge.knowledge import Knowledge, Line, Program
from safety_service.report.layout import BODY, headed, noted, wrapped
from safety_service.rules.meaning import bounds, reasons
from safety_service.rules.tree import Compare, FactRef, Number, OneOf, Operand, facts_of
from safety_service.rules.vocabulary import FACTS, HIGHEST, SLOTS, Type, Unit


class NoSuchCaseError(Exception):
    """No case, or more than one, is called so; `near` are places and names that could be meant."""

    def __init__(self, why: str, near: Sequence[str]) -> None:
        super().__init__(why)
        self.near = tuple(near)


def find_case(cases: Sequence[Case], wanted: str) -> Case:
    """The case at `file:line` (any line of the row), or of this name, whole or in part. Raises NoSuchCaseError."""
    file, colon, line = wanted.rpartition(":")
    if colon and line.isdecimal():
        stem = PurePath(file).name.removesuffix(".yaml")
        before = [case for case in cases if case.file == stem and case.line <= int(line)]
        if before:
            return before[-1]
        files = sorted({case.file for case in cases})
        raise NoSuchCaseError(f"no case stands at {wanted}", [f"{each}:..." for each in files])
    found = [case for case in cases if case.name == wanted]
    found = found or [case for case in cases if wanted.casefold() in case.name.casefold()]
    if len(found) == 1:
        return found[0]
    if found:
        raise NoSuchCaseError(f"{len(found)} cases are called so: give file:line", [case.id for case in found])
    near = get_close_matches(wanted, [case.name for case in cases], n=5)
    raise NoSuchCaseError(f"no case is called {wanted!r}", [case.id for case in cases if case.name in near])


def case_text(knowledge: Knowledge, case: Case) -> Iterator[Text]:
    """The case put to the engine, and every answer explained."""
    decision, heard = listening(knowledge)(case.request)
    wrong = compare(knowledge, case.row, decision)
    yield Text.assemble((f"cases/{case.file}.yaml:{case.line}", "bold"), f"  {case.name}")
    for name, value in case.row.model_dump(exclude_unset=True).items():
        if name not in ("name", *_ANSWERS):
            yield from wrapped(_written(value), f"  {name:<12}", " " * 14)
    if wrong:
        yield Text("Differs from its row:", style="bold red")
        for each in wrong:
            yield from wrapped(each, "  ", "    ", "red")
    else:
        yield Text("Holds.", style="green")
    known = programs(knowledge)
    why: dict[tuple[str, str], tuple[str, ...]] = {}
    for key, values, masks in heard:
        yield Text()
        yield from _facts(str(key), known[key], values)
        line = knowledge.lines.get(key.line)
        for live, number in fired(known[key], masks):
            leaves = reasons(live.clauses[number].when, values)
            told = tuple(_leaf_text(leaf, values, line) for leaf in leaves)
            why[key.line, live.rule.id] = told or (in_words(live.clauses[number].when),)
    yield Text()
    yield from _answers(decision, why)


# What of a row is an answer; the rest are its facts.
_ANSWERS = frozenset(list(Row.model_fields)[list(Row.model_fields).index("fired") :])


def _written(value: object) -> str:
    """A value of a row, near to how it is written there."""
    match value:
        case True:
            return "yes"
        case False:
            return "no"
        case tuple():
            return ", ".join(map(_written, value)) or "none"
        case dict():
            return ", ".join(f"{name} {_written(each)}" for name, each in value.items())
    return str(value)


def _facts(name: str, program: Program, values: Sequence[int]) -> Iterator[Text]:
    """What the rules of one program saw: each fact that one of them asks for, the open ones behind."""
    asked: frozenset[str] = frozenset()
    for live in program.rules:
        trees = [each.when for each in live.clauses] + ([] if live.applies is None else [live.applies])
        asked = asked.union(*map(facts_of, trees))
    yield Text(f"Facts for {name}", style="bold")
    wide = max(map(len, asked), default=0) + 2
    still_open = []
    for fact in (each for each in FACTS.values() if each.name in asked):
        told = _value(fact.name, values)
        if told == "unknown":
            still_open.append(fact)
        else:
            yield from wrapped(f"{told:<14} {fact.doc}", f"  {fact.name:<{wide}}", " " * (wide + 17))
    for fact in still_open:
        text = f"{'not known':<14} {fact.doc}; send {fact.send}"
        yield from wrapped(text, f"  {fact.name:<{wide}}", " " * (wide + 17), "yellow")


def _value(name: str, values: Sequence[int]) -> str:
    """A fact with its unit. A number above all others stands for days since something that never was."""
    if FACTS[name].type is Type.NUMBER and values[SLOTS[name]] == HIGHEST:
        return "never"
    told, unit = fact_text(name, values), FACTS[name].unit
    plain = told == "unknown" or FACTS[name].type is not Type.NUMBER or unit is Unit.COUNT
    return told if plain else f"{told} {unit.value}"


def _leaf_text(leaf: Compare | OneOf, values: Sequence[int], line: Line | None) -> str:
    """A comparison that made a rule fire, with the value it met and where its number comes from."""
    if isinstance(leaf, OneOf):
        text = f"{leaf.fact} is {fact_text(leaf.fact, values)}"
        return f"{text}, one of {leaf.limit}" if leaf.limit else text
    fact = next(side.name for side in (leaf.left, leaf.right) if isinstance(side, FactRef))
    text = f"{_operand(leaf.left, fact, values)} {leaf.operator} {_operand(leaf.right, fact, values)}"
    limit = next((side.limit for side in (leaf.left, leaf.right) if isinstance(side, Number) and side.limit), "")
    basis = line.limits[limit].basis if line is not None and limit in line.limits else ""
    return f"{text} ({limit}{f', {basis}' if basis else ''})" if limit else text


def _operand(side: Operand, fact: str, values: Sequence[int]) -> str:
    unit = FACTS[fact].unit
    shown = number_text(fact, *bounds(side, values)) + (f" {unit.value}" if unit is not Unit.COUNT else "")
    return f"{side.name} {shown}" if isinstance(side, FactRef) else shown


def _answers(decision: Decision, why: Mapping[tuple[str, str], tuple[str, ...]]) -> Iterator[Text]:
    subjects = {check.subject for check in decision.checks if check.subject}
    by_status: dict[CheckStatus, list[Check]] = {}
    for check in (*decision.checks, *decision.suppressed):
        by_status.setdefault(check.status, []).append(check)

    def name(check: Check) -> str:
        return f"{check.rule_id} ({check.subject})" if check.subject and len(subjects) > 1 else check.rule_id

    fired_checks = by_status.pop(CheckStatus.FIRED, ())
    speaking = {(check.subject.partition("|")[0], check.rule_id): check for check in fired_checks}
    for alert in decision.alerts:
        check = speaking.pop((alert.subject, alert.rule_id))
        yield from headed(alert.severity.name, name(check))
        yield from wrapped(alert.title, BODY, BODY)
        for leaf in why.get((alert.subject, alert.rule_id), ()):
            yield from noted("Because", leaf)
        for missing in check.missing:
            yield from noted("Open", f"{missing.fact}: {missing.why}; send {missing.path}")
    for check in by_status.pop(CheckStatus.NOT_EVALUATED, ()):
        yield from headed("OPEN", name(check))
        for missing in check.missing:
            yield from noted("Needs", f"{missing.fact}: {missing.why}; send {missing.path}")
    for status, checks in sorted(by_status.items()):
        by_reason: dict[str, list[str]] = {}
        for check in checks:
            by_reason.setdefault(check.reason, []).append(name(check))
        yield Text(status.name.replace("_", " "), style="bold")
        for reason, names in by_reason.items():
            yield from wrapped(", ".join(names) + (f": {reason}" if reason else ""), "  ", "    ")
