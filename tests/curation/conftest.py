"""The knowledge and its cases, loaded once."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from safety_service.cases import Case, read_cases
from safety_service.curation.altered import Workbench
from safety_service.curation.mutate import Mutant, mutants
from safety_service.curation.places import Places
from safety_service.curation.recording import record
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import RULES_DATA, load_knowledge

FILES = ("article", "duration", "function", "hepatic", "pair", "pathway", "product", "sedation")


@pytest.fixture(scope="session")
def knowledge() -> Knowledge:
    return load_knowledge()


@pytest.fixture(scope="session")
def cases() -> tuple[Case, ...]:
    """A third of the cases: those of the files that the tests of this folder go by."""
    return tuple(case for case in read_cases() if case.file in FILES)


@pytest.fixture(scope="session")
def bench(knowledge: Knowledge, cases: tuple[Case, ...]) -> Workbench:
    return Workbench(record(knowledge, cases))


@pytest.fixture(scope="session")
def places() -> Places:
    return Places(RULES_DATA)


@pytest.fixture(scope="session")
def every_mutant(bench: Workbench, places: Places) -> dict[str, Mutant]:
    """All mutants by name, which is all that a proof is held by."""
    found = list(mutants(bench, places))
    by_name = {str(each): each for each in found}
    assert len(by_name) == len(found)
    return by_name


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., Path]:
    """A copy of the knowledge, with some of its cases, in which each (file, old text, new text) was exchanged once."""

    def edit(*changes: tuple[str, str, str], name: str = "rules_data") -> Path:
        root = tmp_path / name
        shutil.copytree(RULES_DATA, root, ignore=shutil.ignore_patterns("__pycache__"))
        for path in (root / "cases").glob("*.yaml"):
            if path.stem not in ("hepatic", "product"):
                path.unlink()
        for file, old, new in changes:
            path = root / file
            text = path.read_text(encoding="utf-8")
            assert old in text, f"{file} no longer holds {old!r}: the test needs another place to edit"
            path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return root

    return edit
