"""What a change of the knowledge changes, in words, and which cases it answers otherwise."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from safety_service.cases import Case
from safety_service.curation.difference import CannotAnswerError, answers, cases_of, difference_text, differences
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import load_knowledge
from safety_service.report.layout import plain

EDITS = (
    ("medications/cyclobenzaprine-ir.yaml", "    value: 5\n", "    value: 7.5\n"),
    ("medications/cyclobenzaprine-er.yaml", "verb: not-recommended", "verb: warn"),
    ("medications/baclofen.yaml", "brands: [", "brands: [Newbrand, "),
    ("policy.yaml", "early_refill_days:\n    value: 7", "early_refill_days:\n    value: 10"),
    ("rules/sedation.yaml", "when: drug.sedation.alcohol and alcohol_use", "when: drug.sedation.alcohol"),
    ("rules/pathway.yaml", "id: pathway.not-helpful\n    version: 1", "id: pathway.not-helpful\n    version: 2"),
    ("value_sets/opioid.yaml", "  - {name: alfentanil,", "  #"),
    ("care_options/acupuncture.yaml", "direction: against", "direction: insufficient"),
    ("sources/other.yaml", "status: lapsed", "status: unknown"),
)


@pytest.fixture
def sections(knowledge: Knowledge, edited: Callable[..., Path]) -> dict[str, tuple[str, ...]]:
    return dict(differences(knowledge, load_knowledge(edited(*EDITS))))


def test_every_change_in_words_and_nothing_else(sections: dict[str, tuple[str, ...]]) -> None:
    assert sections["Limits and statements"] == (
        "duration.max_days of cyclobenzaprine-er, verb: 'not-recommended' -> 'warn'",
        "duration.course, which speaks by it: its version is still 1",
        "duration.episode, which speaks by it: its version is still 1",
        "hepatic.mild_start_mg of cyclobenzaprine-ir: 5 mg -> 7.5 mg",
        "dose.start, which speaks by it: its version is still 1",
        "hepatic.start-dose, which speaks by it: its version is still 1",
    )
    assert sections["Severities"] == ("duration.max_days of cyclobenzaprine-er: HIGH -> MODERATE",)
    assert sections["Policy"] == (
        "duration.early_refill_days: 7 -> 10 d",
        "duration.early-refill, which speaks by it: its version is still 1",
    )
    assert sections["Rules"] == (
        "pathway.not-helpful, version: 1 -> 2",
        "sedation.alcohol, clause 1, when: 'drug.sedation.alcohol and alcohol_use' -> 'drug.sedation.alcohol'",
        "sedation.alcohol: its version is still 1",
    )
    assert sections["Medication lines"] == ("baclofen, brands: 'Newbrand' added",)
    (row,) = sections["Value sets"]
    assert row.startswith("opioid, ingredients: name 'alfentanil'")
    assert row.endswith("removed")
    removed, added = sections["Non-drug options"]
    assert "direction 'against'" in removed
    assert "direction 'insufficient'" in added
    assert sections["Sources"] == ("acp-2017, status: 'lapsed' -> 'unknown'",)
    assert len(sections) == 8


def test_the_same_knowledge_does_not_differ(knowledge: Knowledge) -> None:
    assert differences(knowledge, load_knowledge()) == ()
    assert plain(difference_text((), (), 5)) == "The knowledge does not differ.\n0 of 5 cases are answered otherwise"


def test_what_came_and_what_went(knowledge: Knowledge, edited: Callable[..., Path]) -> None:
    root = edited()
    path = root / "rules" / "sedation.yaml"
    head, _, rest = path.read_text(encoding="utf-8").partition("  - id: sedation.alcohol\n")
    path.write_text(f"{head}  - id: {rest.partition('  - id: ')[2]}", encoding="utf-8")
    (root / "care_options" / "yoga.yaml").unlink()
    (root / "value_sets" / "falls-history.yaml").unlink()
    less = load_knowledge(root)
    line = less.lines["baclofen"]
    statements = {name: said for name, said in line.file.statements.items() if name != "sedation.opioid"}
    file = line.file.model_copy(update={"statements": statements})
    less = replace(less, lines={**less.lines, "baclofen": replace(line, file=file)})
    for before, now, word in ((knowledge, less, "removed"), (less, knowledge, "added")):
        found = {text for _, texts in differences(before, now) for text in texts}
        assert {
            f"rule sedation.alcohol {word}",
            f"value set falls-history {word}",
            f"option yoga {word}",
            f"sedation.opioid of baclofen {word}",
        } <= found


def test_cases_that_are_answered_otherwise(knowledge: Knowledge, edited: Callable[..., Path]) -> None:
    root = edited(EDITS[0])
    cases = cases_of(edited(name="old"), root)
    changed = list(answers(knowledge, load_knowledge(root), cases))
    concerned = [case for case in cases if case.row.hepatic == "mild" and "cyclobenzaprine 7.5 mg" in case.row.drug]
    assert concerned
    fired = next(case for case in concerned if case.row.new is True)
    texts = " ".join(next(texts for case, texts in changed if case is fired))
    assert "hepatic.start-dose (cyclobenzaprine-ir): HIGH 'Start at 5 mg, not 7.5 mg" in texts
    assert "-> PASSED" in texts
    assert "hepatic.titrate (cyclobenzaprine-ir): NOT_APPLICABLE -> MODERATE" in texts
    assert not any("tizanidine" in case.row.drug for case, _ in changed)
    text = plain(difference_text((), changed, len(cases)))
    assert f"cases/{fired.file}.yaml:{fired.line}: {fired.name}" in text
    assert f"{len(changed)} of {len(cases)} cases are answered otherwise" in text


def test_each_request_is_asked_once_as_the_new_folder_names_it(tmp_path: Path) -> None:
    for folder, rows in (("old", ("x", "y")), ("new", ("x", "z"))):
        (tmp_path / folder / "cases").mkdir(parents=True)
        lines = "".join(f"- {{name: {folder}, drug: {each}, overall: CLEAR}}\n" for each in rows)
        (tmp_path / folder / "cases" / "a.yaml").write_text(lines)
    cases = cases_of(tmp_path / "old", tmp_path / "new")
    assert [(case.row.drug, case.name) for case in cases] == [("x", "new"), ("z", "new"), ("y", "old")]


def test_knowledge_that_the_engine_cannot_ask_is_said_to_be_so(knowledge: Knowledge, cases: tuple[Case, ...]) -> None:
    old = replace(knowledge, policy_numbers={})
    with pytest.raises(CannotAnswerError, match="which the engine of today asks for"):
        list(answers(old, knowledge, cases[:1]))
