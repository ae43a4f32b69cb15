"""How the pages tell a source, how it was read, by which right it speaks, and whether anyone reviewed it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safety_service.curation.page import Block, Link, Paragraph, Table, Words
from safety_service.knowledge.schema import InlineStatement, Review, Source, Statement
from safety_service.report.layout import AUTHORITY_WORDS, READ_AS_WORDS

NO_LONGER = ("lapsed", "superseded")


def source_words(source: Source) -> Words:
    """The link to a source; that it has lapsed or is superseded is said beside it."""
    standing = f" ({source.status})" if source.status in NO_LONGER else ""
    return (Link(source.title, address=source.url), standing)


def read_words(source: Source, read_as: str, seen_in: Iterable[str]) -> Words:
    """How a statement was read, with the copies it was read in."""
    how, copies = READ_AS_WORDS[read_as] or "in the source itself", seen_words(source, seen_in)
    return (f"{how} (", *copies, ")") if copies else (how,)


def seen_words(source: Source, seen_in: Iterable[str]) -> Words:
    """Links to copies of a source by their ids."""
    return tuple(word for each in seen_in for word in _copy(source, each))[:-1]


def _copy(source: Source, copy_id: str) -> Words:
    """The link to one copy, and the comma behind it."""
    found = (Link(copy.id, address=copy.url) for copy in source.copies if copy.id == copy_id)
    return tuple(word for link in found for word in (link, ", "))


def review_text(review: Review) -> str:
    """Who reviewed it and when, or that nobody did."""
    if review.status == "reviewed":
        return f"Reviewed by {review.reviewer}, {review.on}"
    return "Not reviewed by a named clinician"


def spoken(said: Statement | InlineStatement) -> str:
    """Who says it, with which verb, and whether the number is theirs: `Label: not recommended (derived: 3 x 7 d)`."""
    authority = AUTHORITY_WORDS.get(said.authority.value, said.authority.value)
    basis = said.basis.value
    if isinstance(said, Statement) and said.arithmetic is not None:
        basis = f"{basis}: {said.arithmetic}"
    return f"{authority}: {said.verb.replace('-', ' ')} ({basis})"


def source_table(sources: Iterable[Source]) -> Table:
    """Sources with date, standing and the copies that were read."""
    rows = tuple(
        (
            (Link(source.title, address=source.url),),
            (source.publisher,),
            (source.date,),
            (source.status,),
            (source.status_note or "",),
            tuple(word for copy in source.copies for word in _copy(source, copy.id))[:-1],
        )
        for source in sources
    )
    return Table("Sources", ("Source", "Publisher", "Date", "Status", "Note", "Copies read"), rows)


def unreviewed(reviewed: bool) -> Iterator[Block]:
    """The warning of a page on which not everything was reviewed."""
    if not reviewed:
        yield Paragraph(("Not reviewed by a named clinician.",), warns=True)
