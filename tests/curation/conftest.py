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


@pytest.fixture(scope="session")
def knowledge() -> Knowledge:
    return load_knowledge()


@pytest.fixture(scope="session")
def cases() -> tuple[Case, ...]:
    return read_cases()


@pytest.fixture(scope="session")
def bench(knowledge: Knowledge, cases: tuple[Case, ...]) -> Workbench:
    return Workbench(record(knowledge, cases))


@pytest.fixture(scope="session")
def places() -> Places:
    return Places(RULES_DATA)


@pytest.fixture(scope="session")
def every_mutant(bench: Workbench, places: Places) -> dict[str, Mutant]:
    """All mutants by name."""
    return {str(each): each for each in mutants(bench, places)}


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., Path]:
    """A copy of the knowledge in which each (file, old text, new text) was exchanged once."""

    def edit(*changes: tuple[str, str, str]) -> Path:
        root = tmp_path / "rules_data"
        if not root.exists():
            shutil.copytree(RULES_DATA, root, ignore=shutil.ignore_patterns("__pycache__"))
        for name, old, new in changes:
            path = root / name
            text = path.read_text(encoding="utf-8")
            assert old in text, f"{name} no longer holds {old!r}: the test needs another place to edit"
            path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return root

    return edit
