"""What the documents show is what the service does today."""

import re
from pathlib import Path

from typer.testing import CliRunner

from safety_service.cli import app
from safety_service.demo import ARTICLE_CASE
from safety_service.server.limits import ALL

ROOT = Path(__file__).parents[1]


def test_the_readme_shows_what_is_printed() -> None:
    found = re.search(r"```text\n(.*?)\n```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found is not None
    printed = CliRunner().invoke(app, ["check", str(ARTICLE_CASE)]).stdout
    assert printed.startswith(found[1]), "README.md shows an older answer: paste what make demo prints"


def test_every_limit_is_in_the_table() -> None:
    text = (ROOT / "docs" / "answers.md").read_text()
    told = re.findall(r"^\| `([\w.]+)` \| ([\d,]+) .*? \| (.*) \|$", text.partition("## Limits")[2], re.MULTILINE)
    assert [(name, int(value.replace(",", "")), meaning) for name, value, meaning in told] == [
        (each.name, each.value, each.meaning) for each in ALL
    ]


def test_every_reason_is_in_the_table() -> None:
    text = (ROOT / "docs" / "answers.md").read_text().partition("## When there is no answer")[2]
    contract = (ROOT / "proto" / "medsafety" / "v1" / "medication_safety_service.proto").read_text()
    told = re.findall(r"^\| `([A-Z_]+)` \| ([A-Z_]+) \|", text, re.MULTILINE)
    assert told == re.findall(r"^//   ([A-Z_]{6,}) +([A-Z_]{6,}) +\S", contract, re.MULTILINE)
    assert len(told) > 5
