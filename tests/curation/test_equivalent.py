"""A proof by meaning holds on every combination of facts, or the facts where it does not are told."""

from pathlib import Path

import pytest

from safety_service.curation.altered import Workbench
from safety_service.curation.equivalent import FILE, Equivalent, Proof, read_proofs, refuted
from safety_service.curation.mutate import Mutant
from safety_service.curation.places import Place
from safety_service.curation.written import rule_names
from safety_service.knowledge.read import KnowledgeError
from safety_service.rules.parse import parse


def reason(bench: Workbench, mutant: Mutant, given: str = "", checked: str = "meaning") -> str:
    entry = Equivalent.model_validate({"mutants": (str(mutant),), "why": "made", "checked": checked})
    tree = (parse(given, rule_names(bench.knowledge)),) if given else ()
    changes = bench.changes(mutant.written, mutant.concerned, mutant.limits)
    return refuted(bench, mutant, changes, Proof(entry, tree, Place("made", 1)))


def test_what_differs_is_told_with_the_facts(bench: Workbench, every_mutant: dict[str, Mutant]) -> None:
    told = reason(bench, every_mutant["sedation.alcohol, clause 1: alcohol_use -> not alcohol_use"])
    assert told.startswith("sedation.alcohol of ")
    assert told.endswith("differs where alcohol_use is no")


@pytest.mark.parametrize(
    ("mutant", "given", "holds"),
    [
        ("duration.course: applies dropped", "", False),
        ("duration.course: applies dropped", "relaxant_use", True),
        ("hepatic.not-recommended: no longer absorbs hepatic.start-dose", "", True),
        ("hepatic.start-dose: no longer absorbs hepatic.titrate", "", False),
        ("hepatic.contraindicated: no longer absorbs hepatic.grade-needed", "", False),
        ("duration.episode, clause 2: 'stated(drug.duration.no_day_limit)' dropped", "", True),
        ("duration.course, clause 1: clause dropped", "", False),
        ("hepatic.mild_start_mg of cyclobenzaprine-ir: 5 -> 7.5", "", False),
    ],
)
def test_proofs_by_meaning(
    bench: Workbench, every_mutant: dict[str, Mutant], mutant: str, given: str, holds: bool
) -> None:
    assert (reason(bench, every_mutant[mutant], given) == "") is holds


def test_what_is_given_has_to_hold_in_every_case(bench: Workbench, every_mutant: dict[str, Mutant]) -> None:
    mutant = every_mutant["sedation.alcohol, clause 1: alcohol_use -> not alcohol_use"]
    assert "what is given does not hold in the case" in reason(bench, mutant, "not alcohol_use and alcohol_use")


def test_numbers_that_belong_together_may_be_given(bench: Workbench, every_mutant: dict[str, Mutant]) -> None:
    """Both ends of a span keep the order, so that it holds for supplies whose days are not known."""
    limit = "drug.duration.reassess_days"
    mutant = every_mutant[f"duration.third-week, clause 1: course_days > {limit} -> course_days <= {limit}"]
    assert "what is given" not in reason(bench, mutant, "episode_days >= course_days")
    assert "does not hold" in reason(bench, mutant, "episode_days > course_days")


def test_a_limit_that_is_given_has_to_be_stated(bench: Workbench, every_mutant: dict[str, Mutant]) -> None:
    mutant = every_mutant["duration.course, clause 1: clause dropped"]
    assert "a limit that" in reason(bench, mutant, "course_days > drug.duration.benefit_review_days")


def test_what_no_rule_tells_cannot_be_proved_by_meaning(bench: Workbench, every_mutant: dict[str, Mutant]) -> None:
    row = every_mutant["muscle-spasm: M62.830 dropped from icd10cm"]
    assert "only be in words" in reason(bench, row)
    assert reason(bench, row, checked="words") == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- {mutants: [a], why: b, checked: hope}", ":1: 0.checked"),
        ("- {mutants: [a], why: b}", ":1: 0.checked: Field required"),
        ("- {mutants: [a], why: b, checked: meaning, given: no_such_fact}", ":1: given: no fact is called"),
        ("- {mutants: [a, a], why: b, checked: words}", ":1: 'a' is given twice"),
    ],
)
def test_a_file_that_is_not_understood_is_refused(bench: Workbench, tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "mutants").mkdir()
    (tmp_path / FILE).write_text(text)
    with pytest.raises(KnowledgeError) as caught:
        read_proofs(tmp_path, bench)
    assert f"cases/{FILE}{told}" in str(caught.value)


def test_a_folder_without_proofs_has_none(bench: Workbench, tmp_path: Path) -> None:
    assert read_proofs(tmp_path, bench) == {}
