"""What is recorded is what the engine was asked, and listening changes no answer."""

from dataclasses import replace

from safety_service.cases import Case
from safety_service.curation.altered import Workbench
from safety_service.curation.recording import Asked, fired, listening, named, programs, record
from safety_service.domain import CheckStatus
from safety_service.engine.check import check, interpreted
from safety_service.knowledge.knowledge import Knowledge


def test_listening_changes_no_answer(knowledge: Knowledge, cases: tuple[Case, ...]) -> None:
    ask = listening(knowledge)
    assert [case.id for case in cases if ask(case.request)[0] != check(knowledge, case.request)] == []


def test_every_case_asks_some_program_and_every_line_is_asked(bench: Workbench) -> None:
    assert {each.at for each in bench.recording.asked} == set(range(len(bench.recording.cases)))
    asked = {each.program for each in bench.recording.asked}
    assert {key for key in bench.programs if not key.partner} <= asked
    assert any(key.partner for key in asked)


def test_the_masks_are_those_of_the_facts(bench: Workbench) -> None:
    for each in bench.recording.asked[::20]:
        assert interpreted(bench.programs[each.program], list(each.values)) == each.masks


def test_the_fired_rules_are_those_of_the_decision(bench: Workbench) -> None:
    by_case: dict[int, list[Asked]] = {}
    for each in bench.recording.asked:
        by_case.setdefault(each.at, []).append(each)
    several = 0
    for at, asked in by_case.items():
        decision = bench.recording.decisions[at]
        lines = [each for each in asked if each.program.line and not each.program.partner]
        order = {each.program.line for each in lines}
        if len(lines) > 1:  # what only one of the candidate lines says is not told as fired
            several += 1
            continue
        spoken = {
            (each.program.line, live.rule.id)
            for each in lines
            for live, _ in fired(bench.programs[each.program], each.masks)
        }
        told = {(c.subject, c.rule_id) for c in decision.checks if c.status is CheckStatus.FIRED and c.subject in order}
        if told:  # diazepam for something else is asked nothing of its own
            assert spoken == told, bench.recording.cases[at].id
    assert 0 < several < len(by_case) / 5


def test_a_case_that_does_not_hold_shows_nothing(knowledge: Knowledge, cases: tuple[Case, ...]) -> None:
    wrong = next(case for case in cases if case.row.fired == ("duration.course",))
    row = wrong.row.model_copy(update={"fired": (), "passed": ("duration.course",)})
    recording = record(knowledge, [replace(wrong, row=row)])
    assert "PASSED expected, FIRED found" in recording.differences[0][0]
    assert recording.asked == ()
    assert not recording.holds(0)


def test_a_rule_is_named_by_its_id_whatever_line_is_meant(cases: tuple[Case, ...]) -> None:
    row = next(case.row for case in cases if any("@" in key for key in case.row.fired))
    assert not any("@" in rule for rules in named(row).values() for rule in rules)


def test_every_program_has_a_key(knowledge: Knowledge) -> None:
    assert len(programs(knowledge)) == 2 * len(knowledge.lines) + 1
    assert len(set(map(str, programs(knowledge)))) == len(programs(knowledge))
