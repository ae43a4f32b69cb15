"""Lines of text in 100 columns, with colour where the terminal has it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from google.protobuf.descriptor import EnumDescriptor
from rich.text import Text

WIDTH: Final = 100
BODY: Final = " " * 10
KEEP: Final = "\N{NO-BREAK SPACE}"  # printed as a space, never broken at

AUTHORITY_WORDS: Final[Mapping[str, str]] = {
    "label": "Label",
    "fda-communication": "FDA communication",
    "criteria": "Criteria",
    "guideline": "Guideline",
    "article": "Article",
    "policy": "Policy",
}
READ_AS_WORDS: Final[Mapping[str, str]] = {
    "source": "",
    "copy": "read in a copy",
    "two-secondary": "not read itself, two secondary sources agree",
    "secondary": "not read itself, one secondary source",
}
_STYLE_OF_SEVERITY: Final[Mapping[str, str]] = {
    "CONTRAINDICATED": "bold white on red",
    "HIGH": "bold red",
    "MODERATE": "bold yellow",
    "LOW": "bold cyan",
}
_NUMBER_AND_UNIT = re.compile(r"(?<=\d) (?=(?:%|mg|mL|d|h|days?|years?)(?!\w))")


def wrapped(text: str, first: str, following: str, style: str = "") -> Iterator[Text]:
    """`text` in lines that begin with `first`, then with `following`; a number stays with its unit."""
    lines = textwrap.wrap(
        _NUMBER_AND_UNIT.sub(KEEP, text),
        WIDTH,
        initial_indent=first,
        subsequent_indent=following,
        break_long_words=False,
        break_on_hyphens=False,
    )
    for number, line in enumerate(lines or [first]):
        start = following if number else first
        yield Text.assemble(start, (line[len(start) :].replace(KEEP, " "), style))


def headed(severity: str, title: str) -> Iterator[Text]:
    """The first lines of a block: its severity, then its title."""
    first, *rest = wrapped(title, BODY, BODY, "bold")
    label = Text.assemble((severity, _STYLE_OF_SEVERITY.get(severity, "bold")))
    yield label + Text(" " * max(2, len(BODY) - len(severity))) + first[len(BODY) :]
    yield from rest


def noted(name: str, text: str, style: str = "") -> Iterator[Text]:
    """A line of a block with its name before it."""
    return wrapped(text, f"{BODY}{name:<9}", f"{BODY}{'':9}", style)


def right(line: Text, end: str, style: str = "") -> Text:
    """`line` with `end` at the right margin, or two spaces behind it where there is no room."""
    return Text.assemble(line, " " * max(2, WIDTH - len(line) - len(end)), (end, style))


def word(kind: EnumDescriptor, value: int) -> str:
    """The name of an enum value without the name of its enum; the number itself where a later server sent a new one."""
    found = kind.values_by_number.get(value)
    if found is None:
        return str(value)
    prefix = kind.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return found.name.removeprefix(prefix)


def plain(lines: Iterable[Text]) -> str:
    """The lines without colour."""
    return "\n".join(line.plain.rstrip() for line in lines)
