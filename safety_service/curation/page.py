"""A page of headings, paragraphs, lists and tables, as Markdown and as HTML. Text is text: nothing in it is markup."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeAlias
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Link:
    """Words that lead to a web address, or to a page of the same export (`page`, with an anchor or without)."""

    text: str
    address: str = ""
    page: str = ""
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class Strong:
    text: str


Words: TypeAlias = tuple[str | Link | Strong, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of level 2 to 4; the page's title is the one of level 1. `anchor` is unique on the page."""

    level: int
    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    words: Words
    warns: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    rows: tuple[Words, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Cells by row; the first of each row names it."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Words, ...], ...]


Block: TypeAlias = Heading | Paragraph | Items | Table


@dataclass(frozen=True, slots=True)
class Page:
    """`name` is that of the file, without its suffix."""

    name: str
    title: str
    blocks: tuple[Block, ...]


# --- Markdown ----------------------------------------------------------------------------------------------------

_MARKS = re.compile(r"([\\`*_\[\]{}<>|#~$])")
_NUMBERED = re.compile(r"^(\d+)([.)])")
_BEGINS_LIST = re.compile(r"^([-+=])")


def to_markdown(page: Page) -> str:
    """The page in CommonMark with tables."""
    parts = [f"# {_plain(page.title)}"]
    for block in page.blocks:
        match block:
            case Heading(level, text, anchor):
                parts.append(f'<a id="{escape(anchor)}"></a>\n\n{"#" * level} {_plain(text)}')
            case Paragraph(words, warns):
                parts.append(("> " if warns else "") + _markdown(words))
            case Items(rows):
                parts.append("\n".join(f"- {_markdown(row)}" for row in rows))
            case Table(caption, header, rows):
                lines = [_row([_plain(each) for each in header]), _row(["---"] * len(header))]
                lines += [_row([_markdown(cell) for cell in row]) for row in rows]
                parts.append(f"{_plain(caption)}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Text in which Markdown sees no mark."""
    text = _MARKS.sub(r"\\\1", re.sub(r"\s+", " ", text).replace("&", "&amp;"))
    return _NUMBERED.sub(r"\1\\\2", _BEGINS_LIST.sub(r"\\\1", text))


def _markdown(words: Words) -> str:
    parts = []
    for each in words:
        match each:
            case Link(text, _, _, _):
                target = _target(each, "md")
                parts.append(f"[{_plain(text)}](<{target}>)" if target else _plain(text))
            case Strong(text):
                parts.append(f"**{_plain(text.strip())}**" + " " * text.endswith(" "))  # marks touch the words
            case str():
                parts.append(_plain(each))
    return "".join(parts)


# --- HTML --------------------------------------------------------------------------------------------------------

_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 75rem; padding: 0 1rem 3rem; }
a.skip { position: absolute; left: -100rem; } a.skip:focus { position: static; }
nav ul { display: flex; flex-wrap: wrap; gap: 1rem; list-style: none; padding: 0; }
h2 { border-bottom: 2px solid; margin-top: 2.5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; width: 100%; }
caption { text-align: left; font-weight: bold; padding: .3rem 0; }
th, td { border: 1px solid; padding: .3rem .5rem; text-align: left; vertical-align: top; }
thead th { border-bottom-width: 3px; }
.warns { border-left: .5rem solid; padding: .2rem 1rem; font-weight: bold; }
:focus-visible { outline: 3px solid; outline-offset: 2px; }
@media print { nav, a.skip { display: none; } body { max-width: none; } table { page-break-inside: auto; } }
"""


def to_html(page: Page, menu: Sequence[Link]) -> str:
    """The page as one HTML document that loads nothing. `menu` leads to the main pages."""
    body = "\n".join(map(_block, page.blocks))
    links = "".join(f"<li>{_html((each,))}</li>" for each in menu)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{escape(page.title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<nav aria-label="Pages"><ul>{links}</ul></nav>
<main id="content">
<h1>{escape(page.title)}</h1>
{body}
</main>
</body>
</html>
"""


def _block(block: Block) -> str:
    match block:
        case Heading(level, text, anchor):
            return f'<h{level} id="{escape(anchor)}">{escape(text)}</h{level}>'
        case Paragraph(words, warns):
            opening = '<p class="warns">' if warns else "<p>"
            return f"{opening}{_html(words)}</p>"
        case Items(rows):
            return "<ul>\n" + "\n".join(f"<li>{_html(row)}</li>" for row in rows) + "\n</ul>"
        case Table(caption, header, rows):
            head = "".join(f'<th scope="col">{escape(each)}</th>' for each in header)
            lines = []
            for first, *rest in rows:
                cells = "".join(f"<td>{_html(cell)}</td>" for cell in rest)
                lines.append(f'<tr><th scope="row">{_html(first)}</th>{cells}</tr>')
            return (
                f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}">\n<table>\n'
                f"<caption>{escape(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n"
                + "\n".join(lines)
                + "\n</tbody>\n</table>\n</div>"
            )


def _html(words: Words) -> str:
    parts = []
    for each in words:
        match each:
            case Link(text, _, _, _):
                target = _target(each, "html")
                parts.append(f'<a href="{escape(target)}">{escape(text)}</a>' if target else escape(text))
            case Strong(text):
                parts.append(f"<strong>{escape(text)}</strong>")
            case str():
                parts.append(escape(each))
    return "".join(parts)


def _target(link: Link, suffix: str) -> str:
    """Where a link leads; "" for an address that is not of the web, which is then only words."""
    if link.address:
        is_web = link.address.startswith(("https://", "http://"))
        return quote(link.address, safe=":/?#[]@!$&'()*+,;=%~") if is_web else ""
    page = f"{link.page}.{suffix}" if link.page else ""
    return f"{page}#{link.anchor}" if link.anchor else page
