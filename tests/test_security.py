"""The threat model names tests that exist: each threat has an outcome and at least one."""

import re
from pathlib import Path

from safety_service.access.scopes import METHODS
from safety_service.server.settings import Settings
from tests.test_safety_case import NODE, not_found

DOCUMENT = Path(__file__).parents[1] / "docs" / "security.md"
THREAT = re.compile(r"^### (T\d+\. .+)$", re.MULTILINE)
FLAG = re.compile(r"`--([a-z-]+)")
OF_THE_COMMAND = {"ca", "chosen", "scopes", "token-file", "cert", "key", "server"}  # flags of check and caller-key


def threats(text: str) -> dict[str, str]:
    """By title, each with its text up to the next heading."""
    return {
        match[1]: re.split(r"^##", text[match.end() :], maxsplit=1, flags=re.MULTILINE)[0]
        for match in THREAT.finditer(text)
    }


def lacking(body: str) -> list[str]:
    """What a threat's text does not say; each line under Tests must be a test."""
    missing = [part for part in ("**Outcome.**", "**Tests.**") if part not in body]
    lines = [line for line in body.splitlines() if line.startswith("  - ")]
    return missing + ["a test" for line in lines or [""] if not NODE.search(line)]


def test_every_test_named_exists() -> None:
    assert not_found(DOCUMENT.read_text()) == []


def test_each_threat_is_numbered_and_says_what_shows_it() -> None:
    found = threats(DOCUMENT.read_text())
    assert [int(title[1 : title.index(".")]) for title in found] == list(range(1, len(found) + 1))
    assert len(found) >= 16
    assert {title: lacking(body) for title, body in found.items() if lacking(body)} == {}


def test_a_threat_without_a_test_is_found() -> None:
    text = "### T1. Nothing\n\n- **Outcome.** No.\n- **Tests.**\n  - trust us\n\n### T2. Less\n\n## End\n"
    assert {title: lacking(body) for title, body in threats(text).items()} == {
        "T1. Nothing": ["a test"],
        "T2. Less": ["**Outcome.**", "**Tests.**", "a test"],
    }


def test_every_flag_named_is_one() -> None:
    known = {name.replace("_", "-") for name in Settings.model_fields} | OF_THE_COMMAND
    assert set(FLAG.findall(DOCUMENT.read_text())) <= known


def test_every_service_of_the_table_is_told_of() -> None:
    text = DOCUMENT.read_text()
    services = {path.split("/")[1].rpartition(".")[2] for path in METHODS}
    words = {"ServerReflection": "reflection", "Channelz": "channelz"}
    assert [each for each in services if words.get(each, each) not in text] == []
