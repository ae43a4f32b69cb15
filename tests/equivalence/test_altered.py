"""A change tried on the curation's bench decides as a change of the files does, for every case."""

import shutil
from pathlib import Path

import pytest

from safety_service.cases import read_cases
from safety_service.curation.altered import Workbench
from safety_service.curation.mutate import made_wrong, mutants
from safety_service.curation.places import Places
from safety_service.curation.recording import record
from safety_service.domain import Decision
from safety_service.engine.check import check
from safety_service.knowledge.load import RULES_DATA, load_knowledge

RULES = "rules/duration.yaml"
LABEL = "medications/cyclobenzaprine-ir.yaml"


@pytest.fixture(scope="module")
def bench() -> Workbench:
    return Workbench(record(load_knowledge(), read_cases()))


@pytest.fixture(scope="module")
def places() -> Places:
    return Places(RULES_DATA)


def answers(decision: Decision) -> object:
    """What a case can see, without the words of reasons."""
    checks = [(each.rule_id, each.subject, each.status, each.missing) for each in decision.checks]
    alerts = [
        (each.rule_id, each.subject, each.severity, tuple(of.proposed for of in each.suggestions))
        for each in decision.alerts
    ]
    return checks, alerts, decision.overall, decision.care_pathway.current_step


@pytest.mark.parametrize(
    ("mutant", "edit"),
    [
        (
            "duration.course, clause 1: course_days > drug.duration.max_days -> course_days >= drug.duration.max_days",
            (RULES, "course_days > drug.duration.max_days", "course_days >= drug.duration.max_days"),
        ),
        (
            "duration.episode: applies dropped",
            (RULES, "go beyond the limit?\n    applies: relaxant_use and not exempt_antispastic\n", "go beyond?\n"),
        ),
        ("duration.course: no longer absorbs duration.episode", (RULES, "absorbs: [duration.episode, ", "absorbs: [")),
        (
            "sedation.alcohol, clause 1: 'alcohol_use' dropped",
            ("rules/sedation.yaml", "when: drug.sedation.alcohol and alcohol_use", "when: drug.sedation.alcohol"),
        ),
        ("hepatic.mild_start_mg of cyclobenzaprine-ir: 5 -> 7.5", (LABEL, "    value: 5\n", "    value: 7.5\n")),
        (
            "hepatic.not_recommended of cyclobenzaprine-ir: 'severe' dropped",
            (LABEL, "[moderate, severe]", "[moderate]"),
        ),
        (
            "policy.exposure.gap_days: 7 -> 8",
            ("policy.yaml", "exposure.gap_days:\n    value: 7", "exposure.gap_days:\n    value: 8"),
        ),
        ("opioid: oxycodone dropped from ingredients", ("value_sets/opioid.yaml", "  - {name: oxycodone,", "  #")),
    ],
)
def test_as_the_files_would_say(
    bench: Workbench, places: Places, tmp_path: Path, mutant: str, edit: tuple[str, str, str]
) -> None:
    wrong = next(each for each in mutants(bench, places) if str(each) == mutant)
    here = made_wrong(bench, wrong, bench.changes(wrong.written, wrong.concerned, wrong.limits))
    root = tmp_path / "rules_data"
    shutil.copytree(RULES_DATA, root, ignore=shutil.ignore_patterns("__pycache__"))
    name, old, new = edit
    text = (root / name).read_text(encoding="utf-8")
    assert old in text, f"{name} no longer holds {old!r}: the test needs another place to edit"
    (root / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    there = load_knowledge(root)
    moved = 0
    for case in bench.recording.cases:
        tried = answers(check(here, case.request))
        assert tried == answers(check(there, case.request)), case.id
        moved += tried != answers(check(bench.knowledge, case.request))
    assert moved, "a change that no case notices compares nothing"


def test_what_a_change_touches_is_what_it_changes(bench: Workbench, places: Places) -> None:
    """No order of a relaxant outside of what was found touched may be decided otherwise."""
    orders = {each.at for each in bench.recording.asked if each.program.line and not each.program.partner}
    tried = 0
    for wrong in list(mutants(bench, places))[::173]:
        if wrong.besides is None:
            changes = bench.changes(wrong.written, wrong.concerned, wrong.limits)
            here = made_wrong(bench, wrong, changes)
            touched = {asked.at for change in changes for asked in bench.touched(change)}
            tried += 1
            for at in sorted(orders - touched)[::3]:
                case = bench.recording.cases[at]
                assert answers(check(here, case.request)) == answers(bench.recording.decisions[at]), (wrong, case.id)
    assert tried > 5
