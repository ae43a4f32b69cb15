"""What the documents show is what the service does today."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from safety_service.cli import app
from safety_service.demo import ARTICLE_CASE
from safety_service.server.limits import ALL

ROOT = Path(__file__).parents[1]
CLIENTS = ROOT / "clients"


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


@pytest.mark.parametrize(
    ("document", "language", "shown"),
    [
        ("docs/clients.md", "json", "retry-policy.json"),
        ("docs/clients.md", "ts", "node/examples/quick-start.ts"),
        ("docs/clients.md", "python", "python/examples/quick_start.py"),
        ("docs/clients.md", "java", "java/QuickStart.java"),
        ("clients/node/README.md", "ts", "node/examples/quick-start.ts"),
    ],
)
def test_a_document_shows_the_program_that_is_tested(document: str, language: str, shown: str) -> None:
    blocks = re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    assert blocks[0] == (CLIENTS / shown).read_text(), f"{document} shows an older clients/{shown}"


def test_clients_md_shows_what_the_segment_example_prints() -> None:
    # tests/client/test_examples.py runs it
    text = (ROOT / "docs" / "clients.md").read_text()
    assert "439-E4=MX 440-E5=M0 441-E6=1C 528-FS=1\n  544-FY=28 days planned; labelled for two or three weeks\n" in text


DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), CLIENTS / "node" / "README.md"]


@pytest.mark.parametrize("document", sorted(DOCUMENTS), ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    lost = []
    for link in re.findall(r"\]\(([^)#\s]*(?:#[^)\s]*)?)\)", document.read_text()):
        path, _, place = link.partition("#")
        if "://" in path:
            continue
        target = document.parent / path if path else document
        if not target.exists() or (place and place not in _places(target)):
            lost.append(link)
    assert lost == []


def _places(document: Path) -> set[str]:
    """The anchors of a page, made from its headings as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
