"""The commands: what they print where, and what they end with."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from safety_service.cases import CASES
from safety_service.cli import app
from safety_service.curation.altered import Workbench
from safety_service.curation.mutate import Mutant, of_rules, stepped_limits
from safety_service.curation.places import Places
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import RULES_DATA, load_knowledge


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["knowledge", *arguments], env={"COLUMNS": "100"})


@pytest.fixture(autouse=True)
def loaded_once(knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch) -> None:
    """The knowledge that is installed need not be read again for each command."""

    def load(root: Path) -> Knowledge:
        return knowledge if root == RULES_DATA else load_knowledge(root)

    monkeypatch.setattr("safety_service.curation.commands.load_knowledge", load)


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A folder with one file of cases."""
    (tmp_path / "few").mkdir()
    shutil.copy(CASES / "product.yaml", tmp_path / "few" / "product.yaml")
    return tmp_path / "few"


def test_test_ends_with_0_when_all_hold_and_with_1_when_one_does_not(few: Path) -> None:
    result = run("test", "--cases", str(few))
    assert result.exit_code == 0
    assert "cases hold" in result.stdout
    (few / "wrong.yaml").write_text("- {name: wrong, drug: baclofen 10 mg tablet, fired: [sedation.alcohol]}\n")
    result = run("test", "--cases", str(few))
    assert result.exit_code == 1
    assert "cases/wrong.yaml:1: wrong\n  sedation.alcohol: FIRED expected, PASSED found" in result.stdout


def test_a_case_that_is_not_understood_ends_with_1(few: Path) -> None:
    (few / "wrong.yaml").write_text("- {drug: x, dose: ten mg}\n")
    for command in ("test", "coverage", "mutate"):
        result = run(command, "--cases", str(few))
        assert result.exit_code == 1
        assert "cases/wrong.yaml:1: dose: 'ten mg' does not read as" in result.stderr
        assert "1 problem" in result.stderr


def test_coverage_ends_with_1_when_something_is_not_reached(few: Path) -> None:
    result = run("coverage", "--cases", str(few))
    assert result.exit_code == 1
    assert "rules/sedation.yaml:" in result.stdout
    assert result.stdout.strip().endswith("of thresholds two-sided")


def test_cases_that_do_not_hold_never_count(few: Path) -> None:
    (few / "wrong.yaml").write_text("- {name: wrong, drug: baclofen 10 mg tablet, fired: [sedation.alcohol]}\n")
    result = run("coverage", "--cases", str(few), "--brief")
    assert result.exit_code == 1
    assert "Some cases do not hold" in result.stderr


def test_mutate_ends_with_1_when_something_survives(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def of_one_rule(bench: Workbench, places: Places) -> Iterator[Mutant]:
        return (each for each in of_rules(bench, places, stepped_limits(bench)) if each.of == "sedation.alcohol")

    monkeypatch.setattr("safety_service.curation.mutate.mutants", of_one_rule)
    result = run("mutate", "--cases", str(few), "--brief")
    assert result.exit_code == 1
    assert "survived: sedation.alcohol, clause 1" in result.stdout
    assert "of mutants killed" in result.stdout


def test_explain(few: Path) -> None:
    assert run("explain", "product:10", "--cases", str(few)).exit_code == 0
    result = run("explain", "no such case", "--cases", str(few))
    assert result.exit_code == 1
    assert "no case is called 'no such case'" in result.stderr


def test_diff(edited: Callable[..., Path], tmp_path: Path) -> None:
    root = edited(("medications/cyclobenzaprine-ir.yaml", "    value: 5\n", "    value: 7.5\n"))
    old = edited(name="old")
    result = run("diff", str(old), str(root))
    assert result.exit_code == 0
    assert "hepatic.mild_start_mg of cyclobenzaprine-ir: 5 mg -> 7.5 mg" in result.stdout
    assert "cases are answered otherwise" in result.stdout
    (root / "policy.yaml").write_text("id: broken\n")
    result = run("diff", str(old), str(root))
    assert result.exit_code == 1
    assert "policy.yaml:1: version: Field required" in result.stderr
    assert run("diff", str(old), str(tmp_path / "nowhere")).exit_code == 2


def test_export(tmp_path: Path) -> None:
    result = run("export", str(tmp_path / "out"))
    assert result.exit_code == 0
    assert "index.html" in result.stdout
    (tmp_path / "notes.txt").write_text("mine")
    result = run("export", str(tmp_path))
    assert result.exit_code == 1
    assert "holds something that is no export" in result.stderr


def test_validate_refuses_what_loading_does_not(edited: Callable[..., Path]) -> None:
    root = edited(("value_sets/liver-active.yaml", '"19943007"', '"19943008"'))
    result = run("validate", "--data", str(root))
    assert result.exit_code == 1
    assert "value_sets/liver-active.yaml:" in result.stderr
    assert "'19943008' has not the form of a SNOMED CT code" in result.stderr
    result = run("validate")
    assert result.exit_code == 0
    assert "by how they were read: source" in result.stdout
