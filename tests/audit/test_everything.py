"""The made-up patients reach every rule, every answer of each, everything that can be missing and both sides of every
number; what cannot be reached through the tables of the audit is listed with its reason, and must not be reached.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from random import Random

import pytest

from safety_service.audit.batch import Checker
from safety_service.audit.known import PatientRows, Told
from safety_service.audit.replay import Found, decisions, record_answers, replay
from safety_service.domain import CheckStatus
from safety_service.engine.check import Weighed
from safety_service.knowledge.knowledge import Knowledge, Line, Program
from safety_service.rules.tree import Compare, FactRef, Number, facts_of
from safety_service.rules.vocabulary import NO, SLOTS, unknown_facts
from tests.audit import everything
from tests.audit.everything import patients
from tests.rules.random_rules import nodes

Reached = set[tuple[str, ...]]
SIDES = ("below", "at", "above")
_NO_TABLE = "no table of the audit tells of it"
_NO_RELAXANT = "diazepam in the history is a benzodiazepine, not a relaxant in use"
_NOT_ASKED = "of a partner that is ordered it is not asked how long ago it ended"
_AT_LEAST_ONE = "doses in 24 hours are rounded up"
UNREACHABLE: Mapping[tuple[str, ...], str] = {
    **{
        (rule, *what): _NO_TABLE
        for rule in (
            "caution.baclofen.spasticity-for-function",
            "caution.carisoprodol.cyp2c19-reduced",
            "contraindication.dantrolene.spasticity-for-function",
            "withdrawal.taper",
        )
        for what in (("FIRED",), ("PASSED",), ("clause", "0"))
    },
    ("hepatic.titrate", "clause", "0"): "no table tells the dose of the order before",
    ("hepatic.titrate", "clause", "1"): "no table tells the dose of the order before",
    ("missing", "has_end_of_life"): "not known counts as no, by the rule",
    **{
        ("diazepam in use", "sedation.three-cns-active", *limit, side): _NO_RELAXANT
        for limit in (("age_years", "65"), ("cns_active_count", "3"))
        for side in SIDES
    },
    **{
        (f"cyclobenzaprine-{release} in use", "contraindication.cyclobenzaprine.maoi", "days_since_maoi", "14", side): (
            _NOT_ASKED
        )
        for release in ("ir", "er")
        for side in ("below", "at")
    },
    ("cyclobenzaprine-er", "dose.frequency", "doses_per_day", "1", "below"): _AT_LEAST_ONE,
    ("dantrolene", "dose.start", "doses_per_day", "1", "below"): _AT_LEAST_ONE,
}
ALWAYS_KNOWN = ("code_text_conflict", "form_open")  # told by the order itself


@pytest.fixture(scope="module")
def reached(knowledge: Knowledge, seed: int) -> Reached:
    return _reached(knowledge, [*knowledge.lines.values()], seed)


def _reached(knowledge: Knowledge, lines: Sequence[Line], seed: int) -> Reached:
    found: Reached = set()
    for rows, told in patients(knowledge, lines, Random(seed), mixed=10):
        for _, weighed, answers in decisions(knowledge, rows, told):
            for rule, (status, missing) in record_answers(answers.checks).items():
                found.add((rule, status.name))
                found.update(("missing", name) for name in missing)
            found.update(_clauses(weighed))
            found.update(_sides(weighed))
    return found


def _asked(weighed: Weighed) -> Iterator[tuple[str, Program, list[int]]]:
    """Each program that was asked, with what it is asked of and the facts."""
    for at, each in enumerate(weighed.spoken):
        line = each.facts.line
        if at == 0 and weighed.lines:
            yield line.id, line.program, each.facts.values
        elif at or weighed.lines:
            yield f"{line.id} in use", line.pair_program, each.facts.values


def _clauses(weighed: Weighed) -> Iterator[tuple[str, ...]]:
    for each in weighed.spoken:
        for _, live, clause, *_ in each.fired:
            yield live.rule.id, "clause", str(live.clauses.index(clause))


def _sides(weighed: Weighed) -> Iterator[tuple[str, ...]]:
    for name, program, values in _asked(weighed):
        for rule, leaf in _comparisons(program):
            low, high = values[SLOTS[leaf[0]]], values[SLOTS[leaf[0]] + 1]
            if low == high:
                side = SIDES[(low >= leaf[1]) + (low > leaf[1])]
                yield name, rule, leaf[0], str(leaf[1]), side


def _comparisons(program: Program) -> list[tuple[str, tuple[str, int]]]:
    """Each number that a rule of the program compares a fact with: (rule, (fact, number))."""
    found = _COMPARISONS.get(id(program))
    if found is None:
        found = _COMPARISONS[id(program)] = [
            (live.rule.id, (leaf.left.name, leaf.right.value))
            for live in program.rules
            for tree in [*(clause.when for clause in live.clauses), *([live.applies] if live.applies else [])]
            for leaf in nodes(tree)
            if isinstance(leaf, Compare) and isinstance(leaf.left, FactRef) and isinstance(leaf.right, Number)
        ]
    return found


_COMPARISONS: dict[int, list[tuple[str, tuple[str, int]]]] = {}


def wanted(knowledge: Knowledge) -> Reached:
    """All that the rules can say, read off the rules."""
    found: Reached = set()
    programs = {line.id: line.program for line in knowledge.lines.values()}
    programs |= {f"{line.id} in use": line.pair_program for line in knowledge.lines.values()}
    nothing = unknown_facts()
    for name in ALWAYS_KNOWN:
        nothing[SLOTS[name]] = NO
    for name, program in [*programs.items(), ("", knowledge.any_order)]:
        _, unknown, _ = program.answer(nothing)
        for live in program.rules:
            found.update((live.rule.id, status) for status in (CheckStatus.FIRED.name, CheckStatus.PASSED.name))
            found.update((live.rule.id, "clause", str(i)) for i in range(len(live.clauses)))
            if unknown & live.mask:
                found.add((live.rule.id, CheckStatus.NOT_EVALUATED.name))
                found.update(("missing", fact) for clause in live.clauses for fact in facts_of(clause.when))
                found.update(("missing", fact) for fact in (facts_of(live.applies) if live.applies else ()))
        found.update((each.rule_id, CheckStatus.NOT_APPLICABLE.name) for each in program.silent)
        if name:
            found.update(
                (name, rule, fact, str(number), side)
                for rule, (fact, number) in _comparisons(program)
                for side in SIDES
            )
    absorbed = {each for rule in knowledge.rules for each in rule.absorbs}
    found.update((rule, CheckStatus.NOT_APPLICABLE.name) for rule in absorbed)
    found.update(("missing", name) for name in ("product_form", "medication", "relaxant"))
    return found


def test_everything_is_reached(knowledge: Knowledge, reached: Reached) -> None:
    missed = sorted(wanted(knowledge) - reached - UNREACHABLE.keys())
    assert not missed, f"{len(missed)} not reached: {missed}"


def test_what_is_said_to_be_out_of_reach_is_asked_for_and_not_reached(knowledge: Knowledge, reached: Reached) -> None:
    assert UNREACHABLE.keys() - wanted(knowledge) == set()
    assert UNREACHABLE.keys() & reached == set()


def test_patients_who_never_stand_below_a_limit_are_noticed(
    knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    line = knowledge.lines["baclofen"]
    monkeypatch.setattr(everything, "_steps", lambda fact: (0, 500) if fact.endswith("_mg") else (0, 1))
    missed = wanted(knowledge) - _reached(knowledge, [line], seed) - UNREACHABLE.keys()
    assert ("baclofen", "duration.course-guideline", "course_days", "21", "at") not in missed
    assert ("baclofen", "renal.caution", "renal_lowest", "60", "below") in missed
    assert ("sedation.counsel", CheckStatus.FIRED.name) not in missed
    assert ("hepatic.start-dose", CheckStatus.FIRED.name) in missed  # of another drug


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_fast_path_raises_the_same_alerts_for_all_of_them(knowledge: Knowledge, seed: int) -> None:
    by_told: dict[Told, list[PatientRows]] = defaultdict(list)
    for rows, told in patients(knowledge, [*knowledge.lines.values()], Random(seed), mixed=60):
        by_told[told].append(rows)
    for told, several in by_told.items():
        expected, checker = Found(), Checker(knowledge, told, Found())
        for rows in several:
            replay(knowledge, rows, told, expected)
            checker.check(rows)
        found = checker.found()
        for name, column in expected.alerts.items():
            different = [i for i, (a, b) in enumerate(zip(column, found.alerts[name], strict=True)) if a != b]
            assert not different, (name, expected.alerts["patient"][different[0]], column[different[0]])
        assert (found.days, found.records) == (expected.days, expected.records)
