"""What a site may change of the default policy, and what comes of it.

The floor, of which the first line admits no exception:

* a CONTRAINDICATED alert is never lost and never lowered, by no switch, severity, number or limit;
* CONTRAINDICATED is a word of the label: no policy raises an alert to it;
* a sourced limit may become stricter for a reason, laxer only signed off; which way is stricter is read off the rules;
* a rule that can be HIGH, by itself or by what it absorbs, is switched off or lowered only signed off;
* a policy number moves within the floor of `policy.yaml` for a reason, beyond it only signed off;
* the stop level may rise above HIGH only signed off.

Each is checked against the knowledge without the site's policy. What breaks one is a problem with file and line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from typing import Final, Literal

from safety_service.domain import Citation, Severity
from safety_service.knowledge.knowledge import LimitText, Line, LiveClause, PolicyChange, Program, SourcedStatement
from safety_service.knowledge.read import Document, Problem
from safety_service.knowledge.schema import (
    Authority,
    Basis,
    NumberChange,
    PolicyFile,
    ReadAs,
    Rule,
    SignedOff,
    SitePolicyFile,
    Source,
    StopLevel,
)
from safety_service.rules.direction import DOWN, NOWHERE, UP, directions
from safety_service.rules.tree import And, Compare, FactRef, Not, Number, Or, Tree, facts_of
from safety_service.rules.vocabulary import FACTS, LIMITS, Type, Unit

_HISTORY_PATHS = ("patient.medications", "prescription.refills", "prescription.days_supply")

# Numbers that work while facts are derived, with the facts that rest on them; all others are compared in a rule's text.
BEHIND: Final[Mapping[str, frozenset[str]]] = {
    "exposure.gap_days": frozenset(
        {
            "episode_days",
            "class_episode_days",
            "episode_days_before",
            "days_in_hand",
            "days_since_relaxant_episode",
            "new_start",
        }
    ),
    "exposure.most_days": frozenset(
        {each.name for each in FACTS.values() if each.send in _HISTORY_PATHS} | {"new_start"}
    ),
    "hepatic.lab_window_days": frozenset({"alt_percent_of_limit", "liver_tests_percent_of_limit"}),
}
_POLICY_NAME = re.compile(r"\bpolicy\.([a-z0-9_.]+)")


@dataclass(frozen=True, slots=True)
class SitePolicy:
    """A site's policy file that was found to be within the floor, with the policy it extends."""

    file: SitePolicyFile
    default: PolicyFile
    source: Source

    def off(self, rule_id: str) -> str:
        """Why the alert of a rule is kept back; "" when it is not."""
        change = self.file.rules.get(rule_id)
        if change is None or change.alert is None:
            return ""
        told = f"switched off by policy {self.file.id} {self.file.version}: {change.reason}"
        return told + _signature(change.signed_off)

    def severity(self, rule_id: str, default: Severity) -> Severity:
        """The severity of a rule's alert that would be `default`."""
        change = self.file.rules.get(rule_id)
        return default if change is None or change.severity is None else Severity[change.severity]

    def limit(self, line_id: str, name: str) -> NumberChange | None:
        """What stands in place of a limit of a medication line."""
        return self.file.limits.get(line_id, {}).get(name)

    def policy(self) -> PolicyFile:
        """The default policy with what the site changes put in."""
        numbers = {
            name: number
            if (change := self.file.numbers.get(name)) is None
            else number.model_copy(update={"value": change.value, "why": change.reason})
            for name, number in self.default.numbers.items()
        }
        level = self.default.stop_level
        if (other := self.file.stop_level) is not None:
            level = StopLevel(severity=other.severity, why=other.reason)
        return PolicyFile.model_construct(
            id=self.file.id, version=self.file.version, title=self.file.title, stop_level=level, numbers=numbers
        )

    def of_clause(
        self,
        rule_id: str,
        line_id: str,
        severity: Severity,
        limits: Iterable[str],
        facts: Iterable[str],
        texts: Mapping[str, LimitText],
    ) -> tuple[tuple[str, ...], tuple[SourcedStatement, ...]]:
        """What a clause has to tell of the policy: sentences for its message, and the citation beside its source's.

        `severity` is that of its statement; `limits` (by full name) are those it names, `facts` those it compares.
        """
        told: list[str] = []
        where: list[str] = []
        verb = "severity"
        counted = {each for each in facts if FACTS[each].type is Type.NUMBER}
        rested_on = (f"policy.{name}" for name, behind in BEHIND.items() if not behind.isdisjoint(counted))
        for name in sorted({*limits, *rested_on}):
            change = self._number(line_id, name)
            text = texts.get(name)
            if change is not None and text is not None and text.default:
                space, _, short = name.partition(".")
                unit = "" if text.unit == Unit.COUNT.value else f" {text.unit}"
                instead = f"{text.value}{unit} in place of {text.default}{unit}"
                told.append(f"Site policy: {instead} ({short}): {_plain(change.reason)}.")
                where.append(f"numbers.{short}" if space == "policy" else f"limits.{line_id}.{short}")
                verb = "limit"
        now = self.severity(rule_id, severity)
        if now is not severity:
            reason = _plain(self.file.rules[rule_id].reason)
            told.append(f"Site policy: severity {now.name} in place of {severity.name}: {reason}.")
            where.append(f"rules.{rule_id}")
        if not told:
            return (), ()
        source = self.source
        citation = Citation(
            source_id=source.id,
            title=source.title,
            publisher=source.publisher,
            section="; ".join(where),
            date=source.date,
            url=source.url,
            authority=Authority.POLICY.value,
            verb=verb,
            basis=Basis.POLICY.value,
            read_as=ReadAs.SOURCE.value,
            status=source.status,
        )
        return tuple(told), (SourcedStatement(now, " ".join(told), citation),)

    def _number(self, line_id: str, name: str) -> NumberChange | None:
        space, _, short = name.partition(".")
        return self.file.numbers.get(short) if space == "policy" else self.limit(line_id, short)


def site_policy(document: Document, file: SitePolicyFile, default: PolicyFile) -> SitePolicy:
    """The policy of a site, not yet held to the floor."""
    source = Source(
        id=f"policy-{file.id}",
        title=f"{file.title} ({file.id} {file.version})",
        publisher="the site that runs this service",
        kind="policy",
        date=file.version,
        url=document.name,
        status="current",
    )
    return SitePolicy(file, default, source)


def _signature(signed: SignedOff | None) -> str:
    return "" if signed is None else f" (signed off by {signed.reviewer}, {signed.on.isoformat()}: {signed.reason})"


def _plain(reason: str) -> str:
    return reason.rstrip(". ")


# --- the floor ---------------------------------------------------------------------------------------------------


def problems_of(
    document: Document, site: SitePolicy, rules: Sequence[Rule], lines: Mapping[str, Line], any_order: Program
) -> list[Problem]:
    """Where a site's policy breaks the floor, or names what there is not.

    `lines` and `any_order` are made without it.
    """
    programs = _programs(lines, any_order)
    floor = _Floor(document, site, rules, lines, programs)
    return [*floor.head(), *floor.rules_changed(), *floor.numbers_changed(), *floor.limits_changed()]


def _programs(lines: Mapping[str, Line], any_order: Program) -> tuple[Program, ...]:
    return (any_order, *(each for line in lines.values() for each in (line.program, line.pair_program)))


@dataclass(frozen=True, slots=True)
class _Floor:
    document: Document
    site: SitePolicy
    rules: Sequence[Rule]
    lines: Mapping[str, Line]
    programs: tuple[Program, ...]

    def head(self) -> Iterator[Problem]:
        file, default = self.site.file, self.site.default
        if file.extends != default.id:
            yield self.document.problem(f"the policy to extend is {default.id!r}, not {file.extends!r}", "extends")
        if file.id == default.id:
            yield self.document.problem(f"{default.id!r} is the policy it extends: give it an id of its own", "id")
        level = file.stop_level
        if level is not None and Severity[level.severity] > Severity.HIGH and level.signed_off is None:
            reason = "above HIGH no alert but a contraindication would interrupt: this needs signed_off"
            yield self.document.problem(reason, "stop_level", "severity")

    def rules_changed(self) -> Iterator[Problem]:
        known = [each.id for each in self.rules]
        for rule_id, change in self.site.file.rules.items():
            at = ("rules", rule_id)
            if rule_id not in known:
                yield self.document.problem(f"no rule is called {rule_id!r}{_near(rule_id, known)}", *at)
                continue
            own = {clause.severity for program in self.programs for clause in _clauses(program, rule_id)}
            if change.severity is not None:
                new = Severity[change.severity]
                if new is Severity.CONTRAINDICATED and own != {new}:
                    reason = (
                        "only a label's own contraindication is CONTRAINDICATED: HIGH is the highest a policy gives"
                    )
                    yield self.document.problem(reason, *at, "severity")
                elif Severity.CONTRAINDICATED in own and new is not Severity.CONTRAINDICATED:
                    reason = f"{rule_id} tells of a contraindication: its severity cannot be changed"
                    yield self.document.problem(reason, *at, "severity")
                elif new < max(own, default=new) and Severity.HIGH in own and change.signed_off is None:
                    reason = f"{rule_id} can be HIGH: to lower it to {new.name} needs signed_off"
                    yield self.document.problem(reason, *at, "severity")
                continue
            silenced, by = self._silenced(rule_id)
            through = "" if by == rule_id else f", and absorbs {by}"
            if silenced is Severity.CONTRAINDICATED:
                reason = f"{rule_id}{through} tells of a contraindication: it cannot be switched off"
                yield self.document.problem(reason, *at, "alert")
            elif silenced is Severity.HIGH and change.signed_off is None:
                reason = f"{rule_id}{through or ''} can be HIGH: to switch it off needs signed_off"
                yield self.document.problem(reason, *at, "alert")

    def _silenced(self, rule_id: str) -> tuple[Severity, str]:
        """The worst that is not told when a rule's alert is kept back: its own, or what it absorbs; and whose it is."""
        worst = (Severity.UNSPECIFIED, rule_id)
        for program in self.programs:
            live = {each.rule.id: each for each in program.rules}
            waiting, reached = [rule_id], {rule_id}
            while waiting:
                each = live.get(waiting.pop())
                if each is None:
                    continue
                found = max(clause.severity for clause in each.clauses)
                if found > worst[0]:
                    worst = (found, each.rule.id)
                waiting += [other for other in each.rule.absorbs if other not in reached]
                reached |= set(each.rule.absorbs)
        return worst

    def numbers_changed(self) -> Iterator[Problem]:
        texts = [text for each in self.rules for text in _texts(each)]
        placed = {name.rstrip(".") for text in texts for name in _POLICY_NAME.findall(text)} | set(BEHIND)
        known = self.site.default.numbers
        for name, change in self.site.file.numbers.items():
            at = ("numbers", name)
            number = known.get(name)
            if number is None:
                yield self.document.problem(f"no policy number is called {name!r}{_near(name, known)}", *at)
                continue
            unit = next((each for each in Unit if each.value == number.unit), Unit.COUNT)
            held = self._held(change, number.unit, unit)
            if held is not None:
                yield self.document.problem(held, *at)
                continue
            if change.value == number.value:
                continue
            if name not in placed:
                reason = "where this number works is not declared, so that it cannot be changed"
                yield self.document.problem(reason, *at)
                continue
            way = UP if change.value > number.value else DOWN
            kept = self._keeps_contraindications(f"policy.{name}", way, BEHIND.get(name, frozenset()))
            if kept is not None:
                yield self.document.problem(kept, *at, "value")
                continue
            floor = number.floor
            if floor is None:
                if change.signed_off is None:
                    yield self.document.problem(f"{name} has no floor: every change needs signed_off", *at, "value")
            elif not floor.least <= change.value <= floor.most:
                if floor.beyond == "never":
                    told = "which nothing allows"
                elif change.signed_off is None:
                    told = "which needs signed_off"
                else:
                    continue
                span = f"{floor.least:g} to {floor.most:g} {number.unit}"
                reason = f"{change.value:g} {number.unit} is outside the floor of {span}, {told}. {floor.why}"
                yield self.document.problem(reason, *at, "value")

    def limits_changed(self) -> Iterator[Problem]:
        for line_id, changes in self.site.file.limits.items():
            line = self.lines.get(line_id)
            if line is None:
                reason = f"no medication line is called {line_id!r}{_near(line_id, self.lines)}"
                yield self.document.problem(reason, "limits", line_id)
                continue
            for name, change in changes.items():
                for reason in self._limit(line, name, change):
                    yield self.document.problem(reason, "limits", line_id, name)

    def _limit(self, line: Line, name: str, change: NumberChange) -> Iterator[str]:
        said = line.file.statements.get(name)
        if said is None or LIMITS[name].type is not Type.NUMBER:
            numbers = [each for each in line.file.statements if LIMITS[each].type is Type.NUMBER]
            yield (
                f"{line.id} states no number called {name!r}{_near(name, numbers)}"
                if said is None
                else f"{name} is not a number: a policy changes numbers, severities and switches only"
            )
            return
        limit = LIMITS[name]
        held = self._held(change, limit.unit.value, limit.unit)
        if held is not None:
            yield held
            return
        if change.value <= 0:
            yield "a limit is above 0"
            return
        if not isinstance(said.value, int | float) or change.value == said.value:
            return
        way = UP if change.value > said.value else DOWN
        kept = self._keeps_contraindications(f"drug.{name}", way, frozenset(), (line.program, line.pair_program))
        if kept is not None:
            yield kept
            return
        stricter = stricter_ways((line.program, line.pair_program), f"drug.{name}")
        if not stricter:
            yield f"no rule compares {name} of {line.id}: the change would do nothing"
        elif stricter != {way} and change.signed_off is None:
            told = {frozenset({UP}): "raised", frozenset({DOWN}): "lowered"}.get(stricter)
            stands = f"{line.name} states {said.value:g} {limit.unit.value}"
            if told is None:
                yield f"{stands}; rules compare it both ways, so that every change needs signed_off"
            else:
                yield f"{stands}; it is made stricter when {told}: {change.value:g} needs signed_off"

    def _held(self, change: NumberChange, written: str, unit: Unit) -> str | None:
        """Why a value cannot be held, if it cannot."""
        if change.unit != written:
            return f"it is given in {written!r}, not {change.unit!r}"
        if change.value < 0:
            return "the value is below 0"
        if (Fraction(repr(change.value)) * unit.scale).denominator != 1:
            return f"{change.value:g} {written} is finer than the service counts"
        return None

    def _keeps_contraindications(
        self, limit: str, way: int, behind: frozenset[str], programs: tuple[Program, ...] = ()
    ) -> str | None:
        """Why a limit (by full name) cannot move this way, if a contraindication could then be missed."""
        for program in programs or self.programs:
            for rule_id, kept in _contraindicated(program):
                if -way in directions(kept, limit):
                    return f"{rule_id} tells of a contraindication by this number: it can only become stricter"
                if not behind.isdisjoint(facts_of(kept)):
                    return f"{rule_id} tells of a contraindication by facts made with this number: it cannot be changed"
        return None


def stricter_ways(programs: Iterable[Program], limit: str) -> frozenset[int]:
    """The ways to move a limit (by full name) that make the most severe alerts that compare it fire more often."""
    by_severity: dict[Severity, frozenset[int]] = {}
    for program in programs:
        for live in program.rules:
            for clause in live.clauses:
                found = directions(_applied(live.applies, clause.when), limit)
                if found:
                    by_severity[clause.severity] = by_severity.get(clause.severity, NOWHERE) | found
    return by_severity[max(by_severity)] if by_severity else NOWHERE


def _contraindicated(program: Program) -> Iterator[tuple[str, Tree]]:
    """For each clause that tells of a contraindication: when it is told, and nothing less stands in its place."""
    for live in program.rules:
        others: list[Tree] = [
            _applied(each.applies, Or(tuple(c.when for c in each.clauses if c.severity < Severity.CONTRAINDICATED)))
            for each in program.rules
            if live.rule.id in each.rule.absorbs
        ]
        for clause in live.clauses:
            when = _applied(live.applies, clause.when)
            if clause.severity is Severity.CONTRAINDICATED:
                yield live.rule.id, And((when, *map(Not, others)))
            else:
                others.append(when)


def _applied(applies: Tree | None, when: Tree) -> Tree:
    return when if applies is None else And((applies, when))


def _clauses(program: Program, rule_id: str) -> Iterator[LiveClause]:
    for live in program.rules:
        if live.rule.id == rule_id:
            yield from live.clauses


def _texts(rule: Rule) -> Iterator[str]:
    """Where a rule may name a number that decides."""
    yield rule.applies or ""
    for clause in rule.clauses:
        yield clause.when
        for each in clause.suggest:
            yield each.when or ""
            yield str(each.to)


def _near(name: str, among: Iterable[str]) -> str:
    close = get_close_matches(name, list(among), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


# --- after it was put in -----------------------------------------------------------------------------------------


def proposals_above_limits(document: Document, lines: Mapping[str, Line]) -> list[Problem]:
    """Where an alert would propose more days than the limit it fires on. `lines` are made with the policy."""
    found: dict[Problem, None] = {}
    for line in lines.values():
        for live in line.program.rules:
            for clause in live.clauses:
                for suggestion in clause.suggest:
                    if suggestion.field != "days_supply":
                        continue
                    for value, name in _most_days(clause.when):
                        if suggestion.to > value:
                            short = name.partition(".")[2]
                            at = ("numbers", short) if name.startswith("policy.") else ("limits", line.id, short)
                            reason = (
                                f"{live.rule.id} would propose {suggestion.to} d where {value} d is the most: "
                                "lower what it proposes as well"
                            )
                            found.setdefault(document.problem(reason, *at))
    return list(found)


def _most_days(tree: Tree) -> Iterator[tuple[int, str]]:
    match tree:
        case Compare(">", FactRef(name), Number(value, limit)) if FACTS[name].unit is Unit.DAY and limit:
            yield value, limit
        case And(parts) | Or(parts):
            for part in parts:
                yield from _most_days(part)


# --- what it changes, to be shown --------------------------------------------------------------------------------


def changes_of(site: SitePolicy, lines: Mapping[str, Line], any_order: Program) -> tuple[PolicyChange, ...]:
    """All that a site's policy changes, in the order of its file. `lines` and `any_order` are made without it."""
    file, default = site.file, site.default
    programs = _programs(lines, any_order)
    found: list[PolicyChange] = []
    level = file.stop_level
    if level is not None and level.severity != default.stop_level.severity:
        found.append(
            PolicyChange(
                "stop-level",
                "",
                "",
                "",
                default.stop_level.severity,
                level.severity,
                "",
                level.reason,
                level.signed_off,
            )
        )
    for rule_id, rule in file.rules.items():
        own = sorted({clause.severity for program in programs for clause in _clauses(program, rule_id)}, reverse=True)
        before = ", ".join(each.name for each in own)
        kind: Literal["rule-off", "severity"] = "severity" if rule.severity is not None else "rule-off"
        found.append(PolicyChange(kind, rule_id, "", "", before, rule.severity or "", "", rule.reason, rule.signed_off))
    for name, change in file.numbers.items():
        before = f"{default.numbers[name].value:g}"
        found.append(
            PolicyChange(
                "number", "", "", name, before, f"{change.value:g}", change.unit, change.reason, change.signed_off
            )
        )
    for line_id, changes in file.limits.items():
        for name, change in changes.items():
            before = lines[line_id].limits[f"drug.{name}"].value
            found.append(
                PolicyChange(
                    "limit",
                    "",
                    line_id,
                    name,
                    before,
                    f"{change.value:g}",
                    change.unit,
                    change.reason,
                    change.signed_off,
                )
            )
    return tuple(each for each in found if each.before != each.after)
