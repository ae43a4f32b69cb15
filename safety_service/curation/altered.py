"""The knowledge with something changed in its rules, and which recorded questions would then be answered otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from safety_service.curation.recording import Asked, ProgramKey, Recording, named, programs, with_programs
from safety_service.curation.written import (
    RuleForm,
    WrittenRule,
    conditions_in,
    held_limits,
    rule_form,
    rule_ids,
    written_rules,
)
from safety_service.domain import Check, RuleKind
from safety_service.engine.check import interpreted
from safety_service.knowledge.knowledge import Knowledge, LiveClause, LiveRule, LiveSuggestion, Program
from safety_service.rules.generate import Answerer, Masks
from safety_service.rules.meaning import Truth, meaning, open_facts
from safety_service.rules.tree import And, Constant, Not, Or, Tree, facts_of
from safety_service.rules.vocabulary import FACTS, SLOTS, Type

Values = tuple[int, ...]


class Change(NamedTuple):
    """One rule in one program as it is and as it would be. None: it has nothing to say there."""

    rule_id: str
    program: ProgramKey
    before: RuleForm | None
    now: RuleForm | None


class Workbench:
    """The rules as written and as loaded, and what the cases have asked them: where a change is tried.

    `holding` are the places of the cases that hold. For each case `names` are the rules it wants an answer of, and
    `answered` those that its decision answers, each with the line it is about ("" for none).
    """

    def __init__(self, recording: Recording) -> None:
        """Raises UnlikeWrittenError when the loaded rules do not follow from their texts."""
        self.recording = recording
        self.knowledge = recording.knowledge
        self.written = written_rules(self.knowledge)
        self.programs = programs(self.knowledge)
        self.holding = tuple(at for at in range(len(recording.cases)) if recording.holds(at))
        self.names = tuple(frozenset().union(*named(case.row).values()) for case in recording.cases)
        self.answered = tuple(
            frozenset((line, each.rule_id) for each in decision.checks for line in each.subject.split("|"))
            for decision in recording.decisions
        )
        self.limits = {key: held_limits(self.knowledge, key) for key in self.programs}
        self._answered = {key: frozenset(rule_ids(program)) for key, program in self.programs.items()}
        self._asked: dict[ProgramKey, list[Asked]] = {key: [] for key in self.programs}
        for each in recording.asked:
            self._asked[each.program].append(each)
        self._groups: dict[tuple[ProgramKey, frozenset[str]], list[list[Asked]]] = {}
        self._forms: dict[tuple[ProgramKey, str], RuleForm] = {}
        self._live: dict[tuple[ProgramKey, str], LiveRule] = {}
        self._some_live: dict[str, LiveRule] = {}  # of a rule, from the first program it speaks in
        self._some_clause: dict[tuple[str, int], LiveClause] = {}
        for key, program in self.programs.items():
            for live in program.rules:
                form = rule_form(self.written, live.rule.id, self.limits[key])
                assert form is not None
                self._forms[key, live.rule.id] = form
                self._live[key, live.rule.id] = live
                self._some_live.setdefault(live.rule.id, live)
                for own, clause in zip(form.clauses, live.clauses, strict=True):
                    self._some_clause.setdefault((live.rule.id, own.place), clause)
        self._any_clause = next(iter(self._some_clause.values()))

    @property
    def all_hold(self) -> bool:
        return len(self.holding) == len(self.recording.cases)

    def changes(
        self,
        written: Mapping[str, WrittenRule],
        concerned: Iterable[str],
        limits: Mapping[ProgramKey, Mapping[str, int]],
    ) -> list[Change]:
        """What becomes of the rules `concerned` in each program that `limits` names, with those limits."""
        found = []
        for key, own in limits.items():
            for rule_id in concerned:
                if rule_id in self._answered[key]:
                    before = self._forms.get((key, rule_id))
                    now = rule_form(written, rule_id, own)
                    if before != now and self._plain(key, before) != self._plain(key, now):
                        found.append(Change(rule_id, key, before, now))
        return found

    def form(self, key: ProgramKey, rule_id: str) -> RuleForm | None:
        """A rule as it is in a program; None when it has nothing to say there."""
        return self._forms.get((key, rule_id))

    def _plain(self, key: ProgramKey, form: RuleForm | None) -> RuleForm | None:
        """A form without what cannot matter: constants within conditions, absorbing a rule that cannot speak."""
        if form is None:
            return None
        applies = None if form.applies is None else without_constants(form.applies)
        return RuleForm(
            None if applies == Constant(True) else applies,
            tuple(each._replace(when=without_constants(each.when)) for each in form.clauses),
            tuple(other for other in form.absorbs if (key, other) in self._forms),
        )

    def touched(self, change: Change) -> Iterator[Asked]:
        """Every recorded question that the changed rule itself would answer otherwise, in whatever small way.

        What the engine says of pair rules that it asked of nobody, going by the facts they name, is no such question.
        """
        facts = facts_asked(change.before) | facts_asked(change.now)
        for group in self.grouped(change.program, facts):
            values = group[0].values
            if answer(change.before, values) != answer(change.now, values):
                yield from group

    def asked(self, key: ProgramKey) -> Sequence[Asked]:
        """Every recorded question to a program."""
        return self._asked[key]

    def grouped(self, key: ProgramKey, facts: frozenset[str]) -> list[list[Asked]]:
        """What a program was asked, put together where these facts are the same."""
        found = self._groups.get((key, facts))
        if found is None:
            slots = [at for name in sorted(facts) for at in slots_of(name)]
            groups: dict[Values, list[Asked]] = {}
            for each in self._asked[key]:
                groups.setdefault(tuple([each.values[at] for at in slots]), []).append(each)
            found = self._groups[key, facts] = list(groups.values())
        return found

    def knowledge_with(self, changes: Sequence[Change], written: Mapping[str, WrittenRule]) -> Knowledge:
        """The knowledge with rules changed in some programs; their absorptions are those of `written`."""
        by_program: dict[ProgramKey, list[Change]] = {}
        for each in changes:
            by_program.setdefault(each.program, []).append(each)
        return with_programs(
            self.knowledge, {key: self._program(key, each, written) for key, each in by_program.items()}
        )

    def _program(self, key: ProgramKey, changes: Sequence[Change], written: Mapping[str, WrittenRule]) -> Program:
        program = self.programs[key]
        changed = {each.rule_id: each.now for each in changes}
        first = 1 << max((live.mask for live in program.rules), default=0).bit_length()
        entries: list[LiveRule | Check] = []
        new: list[LiveRule] = []
        gone = 0
        for entry in program.entries:
            rule_id = entry.rule.id if isinstance(entry, LiveRule) else entry.rule_id
            if rule_id not in changed:
                entries.append(entry)
                continue
            gone |= entry.mask if isinstance(entry, LiveRule) else 0
            form = changed[rule_id]
            if form is None:
                entries.append(entry.does_not_apply if isinstance(entry, LiveRule) else entry)
            else:
                live = self._made_live(key, written[rule_id], form, first)
                first <<= len(live.clauses)
                new.append(live)
                entries.append(live)
        return replace(program, answer=_answerer(program, gone, new), entries=tuple(entries))

    def _made_live(self, key: ProgramKey, written: WrittenRule, form: RuleForm, first: int) -> LiveRule:
        """The rule with its words taken from where they are spoken today, or from any rule if nowhere."""
        old = self._live.get((key, written.id)) or self._some_live.get(written.id) or self._with_any_words(written.id)
        own_form = self._forms.get((key, written.id))
        own = {}
        if own_form is not None:
            own = {of.place: clause for of, clause in zip(own_form.clauses, old.clauses, strict=True)}
        clauses = []
        for each in form.clauses:
            spoken = own.get(each.place) or self._some_clause.get((written.id, each.place)) or self._any_clause
            proposals = tuple(
                LiveSuggestion(of.when, spoken.suggest[of.number].field, int(of.to), spoken.suggest[of.number].text)
                for of in each.proposals
                if of.number < len(spoken.suggest)
            )
            asked = facts_of(each.when)
            clauses.append(
                replace(
                    spoken,
                    when=each.when,
                    suggest=proposals,
                    facts=tuple(name for name in FACTS if name in asked),
                    pick=tuple,
                    told={},
                )
            )
        return replace(
            old,
            rule=old.rule.model_copy(update={"absorbs": written.absorbs}),
            applies=form.applies,
            clauses=tuple(clauses),
            first_bit=first,
            mask=(first << len(clauses)) - first,
            fired=old.fired._replace(subject=key.line),
            passed=old.passed._replace(subject=key.line),
            does_not_apply=old.does_not_apply._replace(subject=key.line),
            absorbed={by: each._replace(subject=key.line) for by, each in old.absorbed.items()},
            pick=tuple,
            open={},
        )

    def _with_any_words(self, rule_id: str) -> LiveRule:
        """A rule that speaks on no drug as it would if it did, in the words of another."""
        other = next(iter(self._some_live.values()))
        rule = next(each for each in self.knowledge.rules if each.id == rule_id)

        def own(check: Check) -> Check:
            return check._replace(rule_id=rule.id, rule_version=rule.version)

        return replace(
            other,
            rule=rule,
            kind=RuleKind[rule.kind],
            fired=own(other.fired),
            passed=own(other.passed),
            does_not_apply=own(other.does_not_apply),
            absorbed={
                each.id: own(other.does_not_apply)._replace(reason=f"absorbed by {each.id}")
                for each in self.written.values()
                if rule.id in each.absorbs
            },
        )


def _answerer(program: Program, gone: int, new: Sequence[LiveRule]) -> Answerer:
    """The old answers without the rules `gone`, and those of the new rules by meaning."""
    only_new = replace(program, entries=tuple(new))

    def answering(values: Sequence[int]) -> Masks:
        true, unknown, silent = program.answer(values)
        more = interpreted(only_new, list(values))
        return true & ~gone | more[0], unknown & ~gone | more[1], silent & ~gone | more[2]

    return answering


def answer(form: RuleForm | None, values: Sequence[int]) -> object:
    """All that a rule says by itself of some facts, comparable: which clauses are true or open, and by which facts."""
    if form is None:
        return None
    applies = Truth.TRUE if form.applies is None else meaning(form.applies, values)
    if applies is Truth.FALSE:
        return None
    said: list[object] = []
    absorbs: tuple[str, ...] = ()
    for each in form.clauses:
        truth = meaning(each.when, values)
        if truth is Truth.TRUE and applies is Truth.TRUE:
            proposed = [
                (of.number, of.to) for of in each.proposals if of.when is None or meaning(of.when, values) is Truth.TRUE
            ]
            said.append((each.place, proposed))
            absorbs = form.absorbs
        elif truth is not Truth.FALSE:
            said.append((each.place, truth, open_facts(each.when, values)))
    return said, absorbs, None if applies is Truth.TRUE or form.applies is None else open_facts(form.applies, values)


def without_constants(tree: Tree) -> Tree:
    """The same meaning without a constant inside an `and`, an `or` or a `not`."""
    match tree:
        case And(parts) | Or(parts):
            decides = Constant(isinstance(tree, Or))
            kept = [each for each in map(without_constants, parts) if each != Constant(not decides.value)]
            if decides in kept:
                return decides
            return kept[0] if len(kept) == 1 else type(tree)(tuple(kept)) if kept else Constant(not decides.value)
        case Not(part):
            inner = without_constants(part)
            return Constant(not inner.value) if isinstance(inner, Constant) else Not(inner)
    return tree


def facts_asked(form: RuleForm | None) -> frozenset[str]:
    """Every fact a rule looks at."""
    return frozenset().union(*map(facts_of, conditions_in(form)))


def slots_of(fact: str) -> tuple[int, ...]:
    """Where a fact stands in a list of facts."""
    at = SLOTS[fact]
    return (at, at + 1) if FACTS[fact].type is Type.NUMBER else (at,)
