"""The safety case names tests that exist: each hazard at least one, and none that is gone or renamed."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "safety-case.md"
# As pytest prints them. Any other mention of a test file is refused too, so that a slip of the pen is not overlooked.
NODE = re.compile(r"tests/[^\s`]*\.py(?:::[^\s`]*)?")
HAZARD = re.compile(r"^### (H\d+\. .+)$", re.MULTILINE)
PARTS = ("Cause.", "Control.", "Tests.", "Remains.")


def test_every_test_named_exists() -> None:
    assert not_found(DOCUMENT.read_text()) == []


def test_hazards_are_numbered_and_complete() -> None:
    hazards = sections(DOCUMENT.read_text())
    assert [int(title[1 : title.index(".")]) for title in hazards] == list(range(1, len(hazards) + 1))
    assert len(hazards) >= 5
    assert {title: lacking(body) for title, body in hazards.items() if lacking(body)} == {}


@pytest.mark.parametrize(
    ("node", "why"),
    [
        ("tests/test_safety_case.py::test_that_was_renamed", "no such test"),
        ("tests/test_safety_case.py::not_found", "no such test"),
        ("tests/rooms/test_gone.py::test_gone", "no such file"),
        ("tests/conftest.py::test_hidden", "no such file"),
        ("tests/test_safety_case.py", "a file is not a test"),
        ("tests/test_safety_case.py::", "no such test"),
    ],
)
def test_what_does_not_exist_is_found(node: str, why: str) -> None:
    assert not_found(f"See `{node}` for that.") == [f"{node}: {why}"]


def test_what_exists_is_left_in_peace() -> None:
    node = "tests/test_safety_case.py::test_what_exists_is_left_in_peace"
    assert not_found(f"`{node}` and, with a parameter, `{node}[x-1]`") == []


def test_a_hazard_without_its_parts_is_found() -> None:
    text = "### H1. Nothing\n\nCause. No.\n\n### H2. Little\n\nTests. `tests/x.py::test_y`\n\n## End\nControl. No.\n"
    assert {title: lacking(body) for title, body in sections(text).items()} == {
        "H1. Nothing": ["Control.", "Tests.", "Remains.", "a test"],
        "H2. Little": ["Cause.", "Control.", "Remains."],
    }


def not_found(text: str) -> list[str]:
    """The tests named in `text` that do not exist, each with the reason."""
    problems = []
    for node in dict.fromkeys(NODE.findall(text)):
        file, colons, name = node.partition("::")
        path = ROOT / file
        if not (path.name.startswith("test_") and path.is_file()):
            problems.append(f"{node}: no such file")
        elif not colons:
            problems.append(f"{node}: a file is not a test")
        elif name.partition("[")[0] not in functions_in(path):
            problems.append(f"{node}: no such test")
    return problems


@cache
def functions_in(path: Path) -> frozenset[str]:
    """The test functions at the top of a file, read without running it."""
    body = ast.parse(path.read_text()).body
    functions = (each for each in body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(each.name for each in functions if each.name.startswith("test_"))


def sections(text: str) -> dict[str, str]:
    """The hazards by title, each with its text up to the next heading."""
    found = {}
    for match in HAZARD.finditer(text):
        found[match[1]] = re.split(r"^##", text[match.end() :], maxsplit=1, flags=re.MULTILINE)[0]
    return found


def lacking(body: str) -> list[str]:
    """What a hazard's text does not say."""
    missing = [part for part in PARTS if part not in body]
    return missing if NODE.search(body) else [*missing, "a test"]
