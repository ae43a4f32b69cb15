"""Text stays text in both forms, whatever it holds, and the HTML is one that anyone can read."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from safety_service.curation.page import (
    Block,
    Heading,
    Items,
    Link,
    Page,
    Paragraph,
    Strong,
    Table,
    to_html,
    to_markdown,
)

NASTY = (
    "<script>alert('x')</script> & &amp; \"quoted\" *a* _b_ `c` [d](e) | # f 1. g - h ~i~ $j$ \\ {k} <b>",
    "1. not a list",
    "- not a list either",
    "# no heading",
    "a  |  b",
)
MENU = (Link("Drugs", page="index"), Link("Rules", page="rules"))
VOID = frozenset({"meta", "br", "img", "link", "input", "hr"})


class Read(HTMLParser):
    """Tags in order, text by tag, and whether every tag that opens is closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(*blocks: Block) -> Page:
    return Page("made", NASTY[0], blocks)


def blocks_of(text: str) -> tuple[Block, ...]:
    return (
        Heading(2, text, "an-anchor"),
        Paragraph((text, Strong(text), Link(text, page="rules", anchor="a.b"))),
        Items(((text,), (Strong(f"{text}: "), text))),
        Table(
            text,
            ("One", text),
            (
                (
                    (text,),
                    (text, Link(text, address="https://example.org/a?b=(c)|d")),
                ),
            ),
        ),
    )


@pytest.mark.parametrize("text", NASTY)
def test_html_holds_the_text_and_nothing_that_acts(text: str) -> None:
    read = Read(to_html(page(*blocks_of(text)), MENU))
    assert read.text.count(" ".join(text.split())) >= 9
    assert {tag for tag, _ in read.tags} <= {
        "html", "head", "meta", "title", "style", "body", "a", "nav", "ul", "li", "main", "h1", "h2", "p", "strong",
        "div", "table", "caption", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip
    attributes = {name for _, attrs in read.tags for name in attrs}
    assert not any(name.startswith("on") or name == "src" for name in attributes)


@pytest.mark.parametrize("text", NASTY)
def test_markdown_reads_as_the_same_text(text: str) -> None:
    html = MarkdownIt("commonmark").enable("table").render(to_markdown(page(*blocks_of(text))))
    read = Read(html)
    assert read.text.count(" ".join(text.split())) >= 9
    assert {tag for tag, _ in read.tags} == {
        "h1", "p", "a", "h2", "strong", "ul", "li", "table", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1)
    .map(str.strip)
    .filter(bool)
)
def test_any_text_survives_markdown(text: str) -> None:
    wanted = " ".join(text.split())
    if not wanted:
        return
    html = MarkdownIt("commonmark").enable("table").render(to_markdown(Page("made", "x", (Paragraph((text,)),))))
    assert Read(html).text == f"x {wanted}"


def test_links_lead_to_the_web_or_to_a_page_and_nowhere_else() -> None:
    links = (
        Link("web", address="https://example.org/a b"),
        Link("script", address="javascript:alert(1)"),
        Link("page", page="rules", anchor="a.b"),
        Link("here", anchor="c"),
    )
    html = [attrs["href"] for tag, attrs in Read(to_html(page(Paragraph(links)), MENU)).tags if tag == "a"]
    assert html == ["#content", "index.html", "rules.html", "https://example.org/a%20b", "rules.html#a.b", "#c"]
    markdown = to_markdown(page(Paragraph(links)))
    assert "[web](<https://example.org/a%20b>)script[page](<rules.md#a.b>)[here](<#c>)" in markdown


def test_what_a_screen_reader_needs() -> None:
    html = to_html(page(*blocks_of("a")), MENU)
    read = Read(html)
    by_tag: dict[str, list[dict[str, str | None]]] = {}
    for tag, attrs in read.tags:
        by_tag.setdefault(tag, []).append(attrs)
    assert html.startswith("<!DOCTYPE html>")
    assert by_tag["html"] == [{"lang": "en"}]
    assert by_tag["nav"] == [{"aria-label": "Pages"}]
    assert by_tag["main"] == [{"id": "content"}]
    assert [attrs.get("scope") for attrs in by_tag["th"]] == ["col", "col", "row"]
    assert len(by_tag["caption"]) == len(by_tag["table"]) == 1
    assert {"charset": "utf-8"} in by_tag["meta"]
    assert any("default-src 'none'" in (attrs.get("content") or "") for attrs in by_tag["meta"]), "it loads nothing"


def test_a_warning_is_told_apart_without_colour() -> None:
    warning = Paragraph(("Not reviewed.",), warns=True)
    assert '<p class="warns">Not reviewed.</p>' in to_html(page(warning), MENU)
    assert "> Not reviewed" in to_markdown(page(warning))
