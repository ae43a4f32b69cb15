"""Is the knowledge in order beyond what loading asks? Codes, names, what nobody uses, severities, reviews."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from rich.text import Text

from safety_service.curation import codes
from safety_service.curation.engine_reads import engine_reads
from safety_service.curation.places import Place, Places
from safety_service.curation.recording import programs
from safety_service.curation.written import WrittenRule, held_limits, limits_used, rule_form, written_rules
from safety_service.domain import Severity
from safety_service.knowledge.knowledge import Knowledge, SourcedStatement
from safety_service.knowledge.read import Problem, read_document, validate
from safety_service.knowledge.schema import (
    Authority,
    Basis,
    InlineStatement,
    ReadAs,
    SeverityFile,
    Statement,
)
from safety_service.report.layout import wrapped

K = TypeVar("K", Basis, ReadAs)

CHECKED = (
    "every file has the shape of its kind; every statement has authority, verb, section and a source that exists",
    "severity follows from authority, verb and how the statement was read, and from nothing else",
    "codes have the form of their system: ICD-10-CM, ATC, RxNorm, SNOMED CT with its check digit, DUR, ActCode",
    "ingredients are in the drug dictionary; units are those of the vocabulary; a derived number is what its sum gives",
    "every statement and policy number is used; every rule and clause can speak on some drug",
    "a review has a date that has come; nobody is named where nothing was reviewed",
)


@dataclass(frozen=True, slots=True)
class Count:
    """How many statements there are, and how they are known."""

    statements: int
    by_basis: Counter[Basis]
    by_read_as: Counter[ReadAs]
    evidence: int
    reviewed: int
    not_reviewed: int


def unsound(knowledge: Knowledge, root: Path) -> tuple[Problem, ...]:
    """What is wrong with knowledge that could be loaded from `root`, by file and line."""
    places = Places(root)
    written = written_rules(knowledge)
    found = [
        *_codes(knowledge, places),
        *_ingredients(knowledge, places),
        *_values(knowledge, places),
        *_unused(knowledge, places, written),
        *_unreached(knowledge, places, written),
        *_severities(knowledge, places, root),
        *_reviews(knowledge, places),
    ]
    problems = {Problem(place.file, place.line, reason): None for place, reason in found}
    return tuple(sorted(problems, key=lambda each: (each.file, each.line)))


# --- codes and names ---------------------------------------------------------------------------------------------


def _codes(knowledge: Knowledge, places: Places) -> Iterator[tuple[Place, str]]:
    for line in knowledge.lines.values():
        yield from _not(codes.is_rxnorm, "a RxNorm code", [line.file.rxcui], places.medication(line.id, "rxcui"))
        yield from _not(codes.is_atc, "an ATC code", line.file.atc, places.medication(line.id, "atc"))
    for drugs in knowledge.medication_sets:
        for at, row in enumerate(drugs.ingredients):
            place = places.value_set(drugs.id, "ingredients", at)
            yield from _not(codes.is_rxnorm, "a RxNorm code", [row.rxcui] if row.rxcui else [], place)
            yield from _not(codes.is_atc, "an ATC code", row.atc, place)
        for field, prefixes in (("atc_prefixes", drugs.atc_prefixes), ("atc_excluded", drugs.atc_excluded)):
            for at, prefix in enumerate(prefixes):
                yield from _not(codes.is_atc, "an ATC code", [prefix.code], places.value_set(drugs.id, field, at))
    for conditions in knowledge.condition_sets:
        for at, prefix in enumerate(conditions.icd10cm):
            place = places.value_set(conditions.id, "icd10cm", at)
            yield from _not(codes.is_icd10cm, "an ICD-10-CM code", [prefix.code], place)
        for at, code in enumerate(conditions.snomed):
            place = places.value_set(conditions.id, "snomed", at)
            yield from _not(codes.is_snomed, "a SNOMED CT code", [code.code], place)
    for option in knowledge.care.options.values():
        for at, code in enumerate(option.snomed):
            place = places.care_option(option.id, "snomed", at)
            yield from _not(codes.is_snomed, "a SNOMED CT code", [code.code], place)
    for rule in knowledge.rules:
        yield from _not(codes.is_dur, "a DUR code", rule.codes.dur, places.rule(rule.id))
        yield from _not(codes.is_act, "an ActCode", rule.codes.act, places.rule(rule.id))


def _not(has_form: Callable[[str], bool], kind: str, given: Iterable[str], place: Place) -> Iterator[tuple[Place, str]]:
    yield from ((place, f"{code!r} has not the form of {kind}") for code in given if not has_form(code))


def _ingredients(knowledge: Knowledge, places: Places) -> Iterator[tuple[Place, str]]:
    known = frozenset(knowledge.names.all_ingredients())
    for line in knowledge.lines.values():
        if line.ingredient not in known:
            place = places.medication(line.id, "ingredient")
            yield place, f"{line.ingredient!r} is not in the drug dictionary: no order of it would be recognised"
    for drugs in knowledge.medication_sets:
        for at, row in enumerate(drugs.ingredients):
            if row.name not in known:
                place = places.value_set(drugs.id, "ingredients", at)
                yield place, f"{row.name!r} is not in the drug dictionary: the row would never match"


# --- values ------------------------------------------------------------------------------------------------------

_SUM = re.compile(r"(\d+(?:\.\d+)?) ?([x+/-]) ?(\d+(?:\.\d+)?)(?: .*)?")


def _values(knowledge: Knowledge, places: Places) -> Iterator[tuple[Place, str]]:
    for line in knowledge.lines.values():
        for name, said in line.file.statements.items():
            place = places.statement(line.id, name)
            if said.unit is not None and not isinstance(said.value, int | float):
                yield place, f"{name}: a unit without a number"
            if said.arithmetic is not None and isinstance(said.value, int | float):
                result = _result(said.arithmetic)
                if result is not None and result != Fraction(repr(said.value)):
                    yield place, f"{name}: {said.arithmetic} gives {float(result):g}, not {said.value:g}"


def _result(arithmetic: str) -> Fraction | None:
    """What `3 x 7 d` gives; None for a sum that is told in other words."""
    parts = _SUM.fullmatch(arithmetic)
    if parts is None:
        return None
    left, right = Fraction(parts[1]), Fraction(parts[3])
    match parts[2]:
        case "x":
            return left * right
        case "+":
            return left + right
        case "-":
            return left - right
    return left / right if right else None


# --- what nobody uses or reaches ---------------------------------------------------------------------------------


def _unused(knowledge: Knowledge, places: Places, written: Mapping[str, WrittenRule]) -> Iterator[tuple[Place, str]]:
    used = frozenset().union(*(limits_used(rule, written[rule.id]) for rule in knowledge.rules))
    for line in knowledge.lines.values():
        for name in line.file.statements:
            by_its_file = any(getattr(line.file, field) == name for field in type(line.file).model_fields)
            if f"drug.{name}" not in used and not by_its_file and not engine_reads(name):
                yield places.statement(line.id, name), f"{name}: nobody uses it, no rule names it"
    for name in knowledge.policy.numbers:
        if f"policy.{name}" not in used and not engine_reads(f"policy.{name}"):
            yield places.policy(name), f"{name}: nobody uses it, no rule names it"


def _unreached(knowledge: Knowledge, places: Places, written: Mapping[str, WrittenRule]) -> Iterator[tuple[Place, str]]:
    reached: dict[str, set[int]] = {rule.id: set() for rule in knowledge.rules}
    unexplained: set[str] = set()  # silent on a drug whose file does not say why
    for key, program in programs(knowledge).items():
        reasons = knowledge.lines[key.line].file.not_applicable if key.line else {}
        for check in program.silent:
            if not any(f"{check.rule_id}.".startswith(f"{name}.") for name in reasons):
                unexplained.add(check.rule_id)
        for live in program.rules:
            form = rule_form(written, live.rule.id, held_limits(knowledge, key))
            if form is not None:
                reached[live.rule.id].update(each.place for each in form.clauses)
    for rule in knowledge.rules:
        if not reached[rule.id]:
            if rule.id in unexplained:
                yield places.rule(rule.id), f"{rule.id}: no drug can reach this rule: none states what it asks for"
            continue
        for at in range(len(rule.clauses)):
            if at not in reached[rule.id]:
                yield places.rule(rule.id, at), f"{rule.id}: no drug can reach clause {at + 1}"


# --- severities and reviews --------------------------------------------------------------------------------------


def _severities(knowledge: Knowledge, places: Places, root: Path) -> Iterator[tuple[Place, str]]:
    """Each severity worked out once more, from the table and what the file says of the statement."""
    table = validate(read_document(root / "severity.yaml", "severity.yaml"), SeverityFile)
    rows = {(row.authority, verb): severity for row in table.rows for verb, severity in row.verbs.items()}

    def follows(said: Statement | InlineStatement) -> Severity:
        severity = Severity[rows[said.authority, said.verb]]
        one_source = said.authority is Authority.LABEL and said.read_as is ReadAs.SECONDARY
        return min(severity, Severity[table.secondary_cap]) if one_source else severity

    for line in knowledge.lines.values():
        for name, said in line.file.statements.items():
            yield from _graded(places.statement(line.id, name), name, line.statements[name], follows(said))
    written = written_rules(knowledge)
    for key, program in programs(knowledge).items():
        for live in program.rules:
            form = rule_form(written, live.rule.id, held_limits(knowledge, key))
            for own, clause in zip(form.clauses if form else (), live.clauses, strict=True):
                of_rule = live.rule.clauses[own.place]
                if isinstance(of_rule.statement, InlineStatement):
                    place = places.rule(live.rule.id, own.place)
                    yield from _graded(place, live.rule.id, clause.statement, follows(of_rule.statement))


def _graded(place: Place, name: str, given: SourcedStatement, follows: Severity) -> Iterator[tuple[Place, str]]:
    if given.severity is not follows:
        said = f"{given.citation.authority}, {given.citation.verb}"
        yield place, f"{name}: {given.severity.name} does not follow from ({said}): {follows.name} does"


def _reviews(knowledge: Knowledge, places: Places) -> Iterator[tuple[Place, str]]:
    reviews = [(places.medication(line.id, "review"), line.file.review) for line in knowledge.lines.values()]
    reviews += [(places.care_option(each.id, "review"), each.review) for each in knowledge.care.options.values()]
    for place, review in reviews:
        if review.on is not None:
            try:
                day = date.fromisoformat(review.on)
            except ValueError:
                yield place, f"{review.on!r} is not a date (YYYY-MM-DD)"
            else:
                if day > date.today():
                    yield place, f"reviewed on {review.on}, a day that has not come"


# --- how much there is -------------------------------------------------------------------------------------------


def count(knowledge: Knowledge) -> Count:
    """How many statements there are on drugs and in rules, how they are known, and how many were reviewed."""
    said: list[Statement | InlineStatement] = []
    reviews = Counter[str]()
    for line in knowledge.lines.values():
        said += line.file.statements.values()
        reviews[line.file.review.status] += len(line.file.statements)
    for rule in knowledge.rules:
        for clause in rule.clauses:
            own = [*clause.supporting, *([clause.statement] if isinstance(clause.statement, InlineStatement) else [])]
            said += own
            reviews["not_reviewed"] += len(own)  # a rule has no place for a review yet
    for option in knowledge.care.options.values():
        reviews[option.review.status] += len(option.evidence)
    return Count(
        statements=len(said),
        by_basis=Counter(each.basis for each in said),
        by_read_as=Counter(each.read_as for each in said),
        evidence=sum(len(option.evidence) for option in knowledge.care.options.values()),
        reviewed=reviews["reviewed"],
        not_reviewed=reviews["not_reviewed"],
    )


def sound_text(knowledge: Knowledge) -> Iterator[Text]:
    """How the statements are known, and what was checked of knowledge without a problem."""
    found = count(knowledge)
    yield from wrapped(f"{found.statements} statements on drugs and in rules", "", "  ")
    yield from wrapped(_each(Basis, found.by_basis), "  by basis: ", "    ")
    yield from wrapped(_each(ReadAs, found.by_read_as), "  by how they were read: ", "    ")
    yield Text(f"{found.evidence} findings on non-drug options")
    yield Text(f"reviewed {found.reviewed}, not reviewed {found.not_reviewed}")
    yield Text("Checked:", style="bold")
    for each in CHECKED:
        yield from wrapped(each, "  - ", "    ")


def _each(kinds: Iterable[K], counted: Counter[K]) -> str:
    return ", ".join(f"{each.value} {counted[each]}" for each in kinds)
