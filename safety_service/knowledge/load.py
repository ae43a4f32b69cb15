"""Reads `rules_data` into one Knowledge, or refuses it with every reason: file, line, what is wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

import rules_data
from safety_service.domain import Check, CheckStatus, Citation, RuleKind, Severity
from safety_service.knowledge.drug_names import DrugNames
from safety_service.knowledge.knowledge import (
    Knowledge,
    LimitText,
    Line,
    LiveClause,
    LiveRule,
    LiveSuggestion,
    PolicyChange,
    Program,
    SourcedStatement,
)
from safety_service.knowledge.read import Document, KnowledgeError, Problem, read_document, validate
from safety_service.knowledge.schema import (
    Authority,
    Basis,
    CareOption,
    CarePathwayFile,
    ChildPughFile,
    Clause,
    ConditionSet,
    InlineStatement,
    MedicationFile,
    MedicationSet,
    PolicyFile,
    PolicyNumber,
    ReadAs,
    Review,
    Rule,
    RuleFile,
    SeverityFile,
    SitePolicyFile,
    Source,
    SourceFile,
    Statement,
)
from safety_service.knowledge.sig_words import SigWordsFile, faults, sig_words
from safety_service.knowledge.site_codes import load_site_codes, read_site_codes
from safety_service.knowledge.site_policy import (
    SitePolicy,
    changes_of,
    problems_of,
    proposals_above_limits,
    site_policy,
)
from safety_service.knowledge.value_sets import care_index, condition_classes, drug_classes
from safety_service.rules.generate import Condition, generate
from safety_service.rules.parse import Names, RuleTextError, parse
from safety_service.rules.specialise import specialise
from safety_service.rules.template import Template, parse_template
from safety_service.rules.tree import And, Or, Tree, facts_of, limits_of
from safety_service.rules.vocabulary import FACTS, LIMITS, SLOTS, Limit, Type, Unit

VERSION = "2026.11.0"
RULES_DATA = Path(rules_data.__file__).parent

# Places in texts that are neither facts nor limits; the engine fills them.
WORDS = frozenset(
    {
        "drug",
        "partners",
        "statement",
        "dose_text",
        "course_sum",
        "episode_sum",
        "class_sum",
        "longest_days",
        "figures",
        "conflict",
        "lines",
        "purposes",
    }
)

# Facts that those places are made of.
_TOLD = frozenset({"single_dose_mg", "course_days", "episode_days", "episode_days_before", "class_episode_days"})

_TIERS = ("first-line", "adjunct", "multidisciplinary", "not-helpful")
_FAMILIES = ("exercise", "heat", "mind-body", "manual", "rehabilitation", "device")  # as the article leads

M = TypeVar("M", bound=BaseModel)


@dataclass(slots=True)
class _Files:
    """All files read so far, with what is wrong in them."""

    root: Path
    problems: list[Problem] = field(default_factory=list)
    documents: dict[int, Document] = field(default_factory=dict)  # by id() of the model read from it

    def one(self, name: str, model: type[M]) -> M | None:
        path = self.root / name
        if not path.is_file():
            self.problems.append(Problem(name, 1, "the file is missing"))
            return None
        try:
            document = read_document(path, name)
        except KnowledgeError as error:
            self.problems += error.problems
            return None
        return self.validated(document, model)

    def validated(self, document: Document, model: type[M]) -> M | None:
        try:
            read = validate(document, model)
        except KnowledgeError as error:
            self.problems += error.problems
            return None
        self.documents[id(read)] = document
        return read

    def all(self, folder: str, model: type[M]) -> list[M]:
        names = sorted(f"{folder}/{path.name}" for path in (self.root / folder).glob("*.yaml"))
        if not names:
            self.problems.append(Problem(folder, 1, "the folder has no files"))
        return [read for name in names if (read := self.one(name, model)) is not None]

    def outside(self, path: Path, model: type[M]) -> M | None:
        """A file that is not of the folder; it keeps the name it was given by."""
        own = _Files(path.parent)
        read = own.one(path.name, model)
        self.problems += own.problems
        self.documents |= own.documents
        return read

    def problem(self, read: BaseModel, reason: str, *path: str | int) -> None:
        self.problems.append(self.documents[id(read)].problem(reason, *path))

    def stop_on_problems(self) -> None:
        if self.problems:
            raise KnowledgeError(sorted(self.problems, key=lambda each: (each.file, each.line)))


def load_knowledge(
    root: Path = RULES_DATA, policy_file: Path | None = None, site_codes_file: Path | None = None
) -> Knowledge:
    """The knowledge under `root`, with what a site's policy file changes of its policy.

    Raises KnowledgeError; nothing is used when anything is wrong.
    """
    files = _Files(root)
    severity = files.one("severity.yaml", SeverityFile)
    policy = files.one("policy.yaml", PolicyFile)
    site_file = None if policy_file is None else files.outside(policy_file, SitePolicyFile)
    source_files = files.all("sources", SourceFile)
    medications = files.all("medications", MedicationFile)
    rule_files = files.all("rules", RuleFile)
    sets = _value_sets(files)
    options = files.all("care_options", CareOption)
    pathway = files.one("care_pathway.yaml", CarePathwayFile)
    child_pugh = files.one("child_pugh.yaml", ChildPughFile)
    sig_file = files.one("sig_words.yaml", SigWordsFile)
    files.stop_on_problems()
    if severity is None or policy is None or pathway is None or child_pugh is None or sig_file is None:
        raise AssertionError("a file that could not be read is a problem")

    medication_sets = tuple(each for each in sets if isinstance(each, MedicationSet))
    condition_sets = tuple(each for each in sets if isinstance(each, ConditionSet))
    sources = _sources(files, source_files)
    _check_sources(files, sources, [*medications, *sets, *options, pathway, child_pugh])
    for each in medication_sets:
        if not each.ingredients and not each.atc_prefixes:
            files.problem(each, "a value set without members would never match")
    for path, reason in faults(sig_file):
        files.problem(sig_file, reason, *path)
    grading = _Grading(files, severity, sources)
    policy_units = _policy_units(files, policy)
    rules = _Rules(files, rule_files, Names(policy=policy_units), grading, medications)
    files.stop_on_problems()

    ingredients = sorted({each.ingredient for each in medications})

    def made(policy: PolicyFile, default: PolicyFile) -> tuple[dict[str, int], dict[str, Line], Program]:
        numbers = {f"policy.{name}": _held(each.value, policy_units[name]) for name, each in policy.numbers.items()}
        texts = {f"policy.{name}": _number_text(each, default.numbers[name]) for name, each in policy.numbers.items()}
        lines = {
            each.id: _line(files, each, ingredients.index(each.ingredient), rules, grading, numbers, texts)
            for each in medications
        }
        return numbers, lines, rules.program("", {}, numbers, texts, {"order"}, {})

    numbers, lines, any_order = made(policy, policy)
    files.stop_on_problems()
    policy_text = policy.model_dump_json()
    changes: tuple[PolicyChange, ...] = ()
    if site_file is not None:
        document = files.documents[id(site_file)]
        site = site_policy(document, site_file, policy)
        files.problems += problems_of(document, site, rules.rules, lines, any_order)
        files.stop_on_problems()
        changes = changes_of(site, lines, any_order)
        rules.site = site
        default, policy = policy, site.policy()
        numbers, lines, any_order = made(policy, default)
        files.problems += proposals_above_limits(document, lines)
        files.stop_on_problems()
        policy_text += site_file.model_dump_json()
        sources[site.source.id] = site.source
    reviews: list[Review] = [each.review for each in medications]
    reviews += [each.review for each in options]
    names, site_codes = _names(files, site_codes_file)
    files.stop_on_problems()
    return Knowledge(
        version=VERSION,
        digest=digest_of(root, site_codes),
        policy=policy,
        policy_changes=changes,
        policy_digest=hashlib.sha256(policy_text.encode()).hexdigest(),
        stop_level=Severity[policy.stop_level.severity],
        policy_numbers=numbers,
        names=names,
        lines=lines,
        lines_of={name: tuple(line for line in lines.values() if line.ingredient == name) for name in ingredients},
        rules=rules.rules,
        any_order=any_order,
        not_relaxant=tuple(
            _answer(each, "", CheckStatus.NOT_APPLICABLE, "the order holds no muscle relaxant")
            for each in rules.rules
            if each.scope == "relaxant" and each.drug is None
        ),
        sources=sources,
        medication_sets=medication_sets,
        condition_sets=condition_sets,
        drugs=drug_classes(medication_sets),
        conditions=condition_classes(condition_sets),
        care=care_index(sorted(options, key=_as_offered)),
        pathway=pathway,
        child_pugh=child_pugh,
        sig_words=sig_words(sig_file),
        reviewed=all(each.status == "reviewed" for each in reviews),
    )


def _names(files: _Files, site_codes_file: Path | None) -> tuple[DrugNames, bytes | None]:
    """The dictionary with the codes of a site, and the bytes these were read from."""
    names = DrugNames()
    if site_codes_file is None:
        return names, None
    try:
        content = load_site_codes(site_codes_file)
        return names.with_site_codes(read_site_codes(site_codes_file.name, content, names)), content
    except KnowledgeError as error:
        files.problems += error.problems
        return names, None


def speaking_files(root: Path) -> list[str]:
    """The names of the files that knowledge rests on, relative to `root`, in order. Cases and programs do not speak."""
    names = [(path, path.relative_to(root).as_posix()) for path in sorted(root.rglob("*"))]
    return [
        name
        for path, name in names
        if path.is_file() and path.suffix in {".yaml", ".tsv", ".gz"} and not name.startswith(("cases/", "examples/"))
    ]


def digest_of(root: Path, site_codes: bytes | None = None) -> str:
    """SHA-256 over every file that speaks, in the order of their names, then the codes of a site if there are any."""
    total = hashlib.sha256()
    for name in speaking_files(root):
        total.update(f"{name}\0{hashlib.sha256((root / name).read_bytes()).hexdigest()}\n".encode())
    if site_codes is not None:
        total.update(f"site codes\0{hashlib.sha256(site_codes).hexdigest()}\n".encode())
    return total.hexdigest()


def _value_sets(files: _Files) -> list[MedicationSet | ConditionSet]:
    found: list[MedicationSet | ConditionSet] = []
    for path in sorted((files.root / "value_sets").glob("*.yaml")):
        name = f"value_sets/{path.name}"
        try:
            document = read_document(path, name)
        except KnowledgeError as error:
            files.problems += error.problems
            continue
        is_drugs = isinstance(document.data, dict) and document.data.get("kind") == "medication"
        read = files.validated(document, MedicationSet) if is_drugs else files.validated(document, ConditionSet)
        if read is not None:
            found.append(read)
    if not found:
        files.problems.append(Problem("value_sets", 1, "the folder has no files"))
    return found


def _sources(files: _Files, read: list[SourceFile]) -> dict[str, Source]:
    found: dict[str, Source] = {}
    for each in read:
        for i, source in enumerate(each.sources):
            if source.id in found:
                files.problem(each, f"the source {source.id!r} is given twice", "sources", i)
            found[source.id] = source
    return found


def _check_sources(files: _Files, sources: Mapping[str, Source], read: Iterable[BaseModel]) -> None:
    """Every `source` names a source, and every `seen_in` a copy of it."""

    def walk(part: object, path: tuple[str | int, ...], owner: BaseModel) -> None:
        if isinstance(part, BaseModel):
            source_id = getattr(part, "source", None)
            if isinstance(source_id, str):
                source = sources.get(source_id)
                if source is None:
                    files.problem(owner, f"no source is called {source_id!r}", *path, "source")
                else:
                    for seen in set(getattr(part, "seen_in", ())) - {copy.id for copy in source.copies}:
                        files.problem(owner, f"{seen!r} is not a copy of {source_id!r}", *path, "seen_in")
            for name in type(part).model_fields:
                walk(getattr(part, name), (*path, name), owner)
        elif isinstance(part, tuple):
            for i, each in enumerate(part):
                walk(each, (*path, i), owner)
        elif isinstance(part, dict):
            for name, each in part.items():
                walk(each, (*path, name), owner)

    for each in read:
        walk(each, (), each)


def _policy_units(files: _Files, policy: PolicyFile) -> dict[str, Unit]:
    by_text = {unit.value: unit for unit in Unit}
    units: dict[str, Unit] = {}
    for name, number in policy.numbers.items():
        if number.unit not in by_text:
            files.problem(policy, f"{number.unit!r} is not a unit of the service", "numbers", name, "unit")
        units[name] = by_text.get(number.unit, Unit.COUNT)
    return units


def _held(value: int | float, unit: Unit) -> int:
    held = Fraction(repr(value)) * unit.scale  # as written: 16.1 x 1000 is not 16100 in binary
    if held.denominator != 1:
        raise ValueError(f"{value} {unit.value} is finer than the service counts")
    return int(held)


def _number_text(number: PolicyNumber, default: PolicyNumber) -> LimitText:
    unchanged = "" if number.value == default.value else f"{default.value:g}"
    return LimitText(f"{number.value:g}", number.unit, "policy", unchanged)


class _Grading:
    """Severity from (authority, verb) and how it was read; statements made ready to be quoted."""

    def __init__(self, files: _Files, severity: SeverityFile, sources: Mapping[str, Source]) -> None:
        self.files = files
        self.sources = sources
        self.rows = {row.authority: row.verbs for row in severity.rows}
        self.cap = Severity[severity.secondary_cap]

    def statement(
        self, owner: BaseModel, path: tuple[str | int, ...], said: Statement | InlineStatement
    ) -> SourcedStatement:
        name = self.rows.get(said.authority, {}).get(said.verb)
        if name is None:
            self.files.problem(owner, f"{said.authority.value!r} has no verb {said.verb!r}", *path, "verb")
            name = "LOW"
        source = self.sources.get(said.source)
        if source is None:
            self.files.problem(owner, f"no source is called {said.source!r}", *path, "source")
            source = Source(id="missing", title="-", publisher="-", kind="policy", date="-", url="-")
        severity = Severity[name]
        if said.read_as is ReadAs.SECONDARY and said.authority is Authority.LABEL:
            severity = min(severity, self.cap)
        citation = Citation(
            source_id=source.id,
            title=source.title,
            publisher=source.publisher,
            section=said.section,
            date=source.date,
            url=source.url,
            authority=said.authority.value,
            verb=said.verb,
            basis=said.basis.value,
            read_as=said.read_as.value,
            status=source.status,
        )
        return SourcedStatement(severity, said.says, citation)


@dataclass(frozen=True, slots=True)
class _ParsedClause:
    clause: Clause
    owner: BaseModel
    path: tuple[str | int, ...]
    when: Tree
    suggest_when: tuple[Tree | None, ...]


@dataclass(frozen=True, slots=True)
class _ParsedRule:
    rule: Rule
    kind: RuleKind
    applies: Tree | None
    clauses: tuple[_ParsedClause, ...]
    owner: RuleFile
    path: tuple[str | int, ...]


class _Rules:
    """The rules, parsed once, made into a program for each drug; once `site` is set, with what that policy changes."""

    def __init__(
        self,
        files: _Files,
        read: list[RuleFile],
        names: Names,
        grading: _Grading,
        medications: Sequence[MedicationFile],
    ) -> None:
        self.site: SitePolicy | None = None
        self.files = files
        self.names = names
        self.grading = grading
        self.parsed: dict[str, _ParsedRule] = {}
        stated: dict[str, set[str]] = {}  # by ingredient, what any of its lines states
        for medication in sorted(medications, key=lambda each: each.ingredient):
            stated.setdefault(medication.ingredient, set()).update(f"drug.{name}" for name in medication.statements)
        for each in read:
            for i, rule in enumerate(each.rules):
                self._add(each, rule, ("rules", i), stated)
        self.rules = tuple(each.rule for each in self.parsed.values())
        for each in read:
            for i, rule in enumerate(each.rules):
                if rule.drug is not None and rule.drug not in stated:
                    files.problem(each, f"no medication file has the ingredient {rule.drug!r}", "rules", i, "drug")
        for parsed in self.parsed.values():
            for absorbed in set(parsed.rule.absorbs) - set(self.parsed):
                files.problem(parsed.owner, f"no rule is called {absorbed!r}", *parsed.path, "absorbs")

    def _add(self, owner: RuleFile, rule: Rule, path: tuple[str | int, ...], stated: Mapping[str, set[str]]) -> None:
        if rule.kind not in RuleKind.__members__:
            self.files.problem(owner, f"no kind is called {rule.kind!r}", *path, "kind")
        clauses = []
        for i, clause in enumerate(rule.clauses):
            at = (*path, "clauses", i)
            when = self._text(owner, clause.when, *at, "when")
            suggest_when = tuple(
                None if s.when is None else self._text(owner, s.when, *at, "suggest", j, "when")
                for j, s in enumerate(clause.suggest)
            )
            clauses.append(_ParsedClause(clause, owner, at, when, suggest_when))
        applies = None if rule.applies is None else self._text(owner, rule.applies, *path, "applies")
        kind = RuleKind.__members__.get(rule.kind, RuleKind.UNSPECIFIED)
        members = _members(rule, [clause.when for clause in clauses], stated)
        if not members:
            self.files.problem(owner, f"no medication file states what {rule.id!r} asks for", *path, "id")
        for each in members:
            if each.id in self.parsed:
                self.files.problem(owner, f"the rule {each.id!r} is given twice", *path, "id")
            spoken = [clause for clause in clauses if self._speaks(clause.when, each, stated)]
            if spoken and len(spoken) < len(clauses):  # a family's clauses about what this drug does not state
                each = each.model_copy(update={"clauses": tuple(clause.clause for clause in spoken)})
            self.parsed[each.id] = _ParsedRule(each, kind, applies, tuple(spoken or clauses), owner, path)

    def _speaks(self, when: Tree, member: Rule, stated: Mapping[str, set[str]]) -> bool:
        """Whether a clause of a family says anything on the member's drug."""
        if member.drug is None or member.drug not in stated:
            return True
        limits = dict.fromkeys([*stated[member.drug], *(f"policy.{name}" for name in self.names.policy)], 1)
        return specialise(when, limits, self.condition_of) is not None

    def _text(self, owner: RuleFile, text: str, *path: str | int) -> Tree:
        try:
            return parse(text, self.names)
        except RuleTextError as error:
            self.files.problem(owner, f"{error} (column {error.column} of {text!r})", *path)
            return parse("True", self.names)

    def condition_of(self, rule_id: str) -> tuple[Tree, tuple[Tree, ...]]:
        """When another rule fires (any of its clauses, where it applies), and what would absorb it."""
        absorbers = tuple(_condition(each) for each in self.parsed.values() if rule_id in each.rule.absorbs)
        return _condition(self.parsed[rule_id]), absorbers

    def program(
        self,
        subject: str,
        statements: Mapping[str, SourcedStatement],
        limits: Mapping[str, int],
        texts: Mapping[str, LimitText],
        scopes: set[str],
        silences: Mapping[str, str],
        ingredient: str = "",
    ) -> Program:
        """The rules of `scopes` for a drug with these limits (by full name)."""
        entries: list[LiveRule | Check] = []
        conditions: list[Condition] = []
        for parsed in self.parsed.values():
            if parsed.rule.scope not in scopes or parsed.rule.drug not in (None, ingredient):
                continue
            applies = None
            clauses: list[LiveClause] = []
            if parsed.applies is not None:
                applies = specialise(parsed.applies, limits, self.condition_of)
            if parsed.applies is None or applies is not None:
                for each in parsed.clauses:
                    when = specialise(each.when, limits, self.condition_of)
                    if when is not None:
                        clauses.append(self._live(parsed.rule, subject, each, when, statements, limits, texts))
            silent = _answer(parsed.rule, subject, CheckStatus.NOT_APPLICABLE, _silence(parsed.rule.id, silences))
            if not clauses:
                entries.append(silent)
                continue
            first = 1 << len(conditions)
            conditions += [Condition(each.when, applies) for each in clauses]
            entries.append(self._live_rule(parsed, subject, applies, clauses, first))
        answer, source = generate(conditions, subject or "any order")
        return Program(subject, answer, source, tuple(entries))

    def _live_rule(
        self, parsed: _ParsedRule, subject: str, applies: Tree | None, clauses: list[LiveClause], first: int
    ) -> LiveRule:
        rule = parsed.rule
        facts = frozenset().union(*(facts_of(each.when) for each in clauses))
        asked = facts_of(applies) if applies is not None else frozenset()
        reason = "does not apply to this order"
        if "exempt_antispastic" in asked:
            reason = "spasticity is the indication and the drug is labelled for it"
        return LiveRule(
            rule=rule,
            kind=parsed.kind,
            applies=applies,
            clauses=tuple(clauses),
            first_bit=first,
            mask=(first << len(clauses)) - first,
            fired=_answer(rule, subject, CheckStatus.FIRED, ""),
            passed=_answer(rule, subject, CheckStatus.PASSED, ""),
            does_not_apply=_answer(rule, subject, CheckStatus.NOT_APPLICABLE, reason),
            absorbed={
                each.rule.id: _answer(rule, subject, CheckStatus.NOT_APPLICABLE, f"absorbed by {each.rule.id}")
                for each in self.parsed.values()
                if rule.id in each.rule.absorbs
            },
            off="" if self.site is None else self.site.off(rule.id),
            pick=_picker(facts | asked),
        )

    def _live(
        self,
        rule: Rule,
        subject: str,
        parsed: _ParsedClause,
        when: Tree,
        statements: Mapping[str, SourcedStatement],
        limits: Mapping[str, int],
        texts: Mapping[str, LimitText],
    ) -> LiveClause:
        clause, owner, path = parsed.clause, parsed.owner, parsed.path
        if isinstance(clause.statement, str):
            said = statements.get(clause.statement.removeprefix("drug."))
            if said is None:
                self.files.problem(owner, f"no such statement: {clause.statement!r}", *path, "statement")
                said = SourcedStatement(Severity.LOW, "-", Citation(*["-"] * 11))
        else:
            said = self.grading.statement(owner, (*path, "statement"), clause.statement)
        supporting = tuple(
            self.grading.statement(owner, (*path, "supporting", i), each) for i, each in enumerate(clause.supporting)
        )
        title, says, do, patient, computation = (
            self._template(owner, text or "", texts, *path, name)
            for name, text in (
                ("title", clause.title),
                ("says", clause.says),
                ("do", clause.do),
                ("patient", clause.patient),
                ("computation", clause.computation),
            )
        )
        words = (title, says, do, patient, computation)
        named = facts_of(when)
        severity = said.severity
        by_policy: tuple[str, ...] = ()
        if self.site is not None:
            proposed = {each.to for each in clause.suggest if isinstance(each.to, str)}
            by_policy, cited = self.site.of_clause(rule.id, subject, severity, limits_of(when) | proposed, named, texts)
            supporting += cited
            severity = self.site.severity(rule.id, severity)
        return LiveClause(
            when=when,
            statement=said,
            severity=severity,
            supporting=supporting,
            by_policy=by_policy,
            title=title,
            says=says,
            do=do,
            patient=patient,
            computation=computation,
            suggest=tuple(self._suggestion(parsed, i, limits, texts) for i in range(len(clause.suggest))),
            facts=tuple(name for name in FACTS if name in named),
            about_partners=any(
                name.startswith("overlap_") or name in ("cns_active_count", "days_since_maoi") for name in named
            ),
            about_purposes=any("purposes" in text.places for text in words),
            pick=_picker(named | _TOLD | {p for text in words for p in text.places if p in FACTS}),
        )

    def _suggestion(
        self, parsed: _ParsedClause, i: int, limits: Mapping[str, int], texts: Mapping[str, LimitText]
    ) -> LiveSuggestion:
        given = parsed.clause.suggest[i]
        when = parsed.suggest_when[i]
        if when is not None:
            when = specialise(when, limits, self.condition_of)
        if isinstance(given.to, str):
            if given.to not in limits:
                self.files.problem(parsed.owner, f"no limit is called {given.to!r}", *parsed.path, "suggest", i)
            to = limits.get(given.to, 0)
        else:
            to = _held(given.to, Unit.MG if given.field == "dose" else Unit.DAY)
        text = self._template(parsed.owner, given.text, texts, *parsed.path, "suggest", i, "text")
        return LiveSuggestion(when, given.field, to, text)

    def _template(self, owner: BaseModel, text: str, texts: Mapping[str, LimitText], *path: str | int) -> Template:
        try:
            return parse_template(text, {*FACTS, *WORDS, *texts, "current", "proposed"})
        except ValueError as error:
            self.files.problem(owner, str(error), *path)
            return Template((text,), ())


def _members(rule: Rule, conditions: Sequence[Tree], stated: Mapping[str, set[str]]) -> tuple[Rule, ...]:
    """The rules a family stands for, one for each drug it can speak on; a rule that is no family, as it is."""
    if "<drug>" not in rule.id:
        return (rule,)
    asked = {name for when in conditions for name in limits_of(when) if name.startswith("drug.")}
    return tuple(
        rule.model_copy(
            update={
                "id": rule.id.replace("<drug>", drug),
                "absorbs": tuple(each.replace("<drug>", drug) for each in rule.absorbs),
                "drug": drug,
            }
        )
        for drug, statements in stated.items()
        if rule.drugs == "all" or statements & asked
    )


def _answer(rule: Rule, subject: str, status: CheckStatus, reason: str) -> Check:
    return Check(rule.id, rule.version, subject, status, reason)


def _picker(facts: frozenset[str]) -> Callable[[Sequence[int]], tuple[int, ...]]:
    """Takes the slots of these facts out of a list of all."""
    slots = []
    for name in sorted(facts):
        slots += [SLOTS[name], SLOTS[name] + 1] if FACTS[name].type is Type.NUMBER else [SLOTS[name]]
    if not slots:
        return lambda values: ()
    return itemgetter(*slots) if len(slots) > 1 else lambda values: (values[slots[0]],)


def _condition(rule: _ParsedRule) -> Tree:
    any_clause = Or(tuple(each.when for each in rule.clauses))
    return any_clause if rule.applies is None else And((rule.applies, any_clause))


def _as_offered(option: CareOption) -> tuple[int, bool, int, str]:
    """The order options are offered in: by tier, the article's own before others', by family."""
    in_article = any(each.source == "seed-article" for each in option.evidence)
    family = _FAMILIES.index(option.family) if option.family in _FAMILIES else len(_FAMILIES)
    return _TIERS.index(option.tier), not in_article, family, option.id


def _silence(rule_id: str, silences: Mapping[str, str]) -> str:
    """The longest prefix of the rule's id that the drug's file gives a reason for."""
    parts = rule_id.split(".")
    for end in range(len(parts), 0, -1):
        reason = silences.get(".".join(parts[:end]))
        if reason is not None:
            return reason
    return "the label makes no statement this check could use"


def _line(
    files: _Files,
    read: MedicationFile,
    chain: int,
    rules: _Rules,
    grading: _Grading,
    policy: Mapping[str, int],
    policy_texts: Mapping[str, LimitText],
) -> Line:
    limits: dict[str, int] = dict(policy)
    texts: dict[str, LimitText] = dict(policy_texts)
    statements: dict[str, SourcedStatement] = {}
    for name, said in read.statements.items():
        path = ("statements", name)
        limit = LIMITS.get(name)
        if limit is None:
            files.problem(read, f"no limit is called {name!r}", *path)
            continue
        statements[name] = grading.statement(read, path, said)
        value = _limit_value(files, read, limit, said, path)
        shown = ", ".join(said.value) if isinstance(said.value, tuple) else f"{said.value:g}" if said.value else ""
        text = LimitText(shown, limit.unit.value, said.basis.value)
        change = None if rules.site is None else rules.site.limit(read.id, name)
        if change is not None and change.value != said.value:
            value = _held(change.value, limit.unit)
            text = LimitText(f"{change.value:g}", limit.unit.value, Basis.POLICY.value, default=shown)
        limits[f"drug.{name}"] = value
        texts[f"drug.{name}"] = text

    def program(*scopes: str) -> Program:
        return rules.program(read.id, statements, limits, texts, set(scopes), read.not_applicable, read.ingredient)

    told = None
    if read.told_with_every_alert is not None:
        told = statements.get(read.told_with_every_alert)
        if told is None:
            files.problem(read, f"no such statement: {read.told_with_every_alert!r}", "told_with_every_alert")
    return Line(
        id=read.id,
        name=read.name,
        ingredient=read.ingredient,
        chain=chain,
        file=read,
        statements=statements,
        limits=texts,
        held=limits,
        program=program("relaxant", "pair", "order"),
        pair_program=program("pair"),
        told_with_every_alert=told,
    )


def _limit_value(
    files: _Files, read: MedicationFile, limit: Limit, said: Statement, path: tuple[str | int, ...]
) -> int:
    match limit.type, said.value:
        case Type.FLAG, None:
            return 1
        case Type.NUMBER, int() | float() as value:
            if said.unit != limit.unit.value:
                files.problem(read, f"{limit.name} is given in {limit.unit.value}, not {said.unit!r}", *path, "unit")
            return _held(value, limit.unit)
        case Type.CHOICE, tuple() as values:
            wrong = [each for each in values if each not in limit.values]
            if wrong or not values:
                files.problem(read, f"{limit.name} holds some of {limit.values}, not {values}", *path, "value")
            return sum(1 << limit.values.index(each) for each in values if each in limit.values)
    files.problem(read, f"{limit.name} is a {limit.type.value}: the value {said.value!r} does not fit", *path)
    return 0
