"""What a client sent beside the order, key by key.

A key that is absent is not known; null says that the client looked and there is none; an OperationOutcome that it tried
and failed; a Bundle of which more pages exist is a part.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.pool import Pool, bundled
from safety_service.gateway.fhir.shapes import Json, Resource, kind, listed, number, record, text


class Known(Enum):
    """How much of a key is known."""

    ABSENT = "not sent"
    FAILED = "the client could not read it"
    NONE = "none"
    PARTIAL = "in part"
    COMPLETE = "all"


class Fetched(NamedTuple):
    """What one key holds, each resource with its place in the request."""

    known: Known
    resources: tuple[tuple[str, Resource], ...] = ()


ABSENT = Fetched(Known.ABSENT)
# Keys of which the latest alone is asked for: that there are earlier ones leaves nothing out.
LATEST = ("kidney", "pregnancy", "breastfeeding")
_TROUBLE = ("fatal", "error", "warning")


def read_prefetch(prefetch: Resource, pool: Pool, notes: Notes) -> dict[str, Fetched]:
    """Every key that was sent. What references can be resolved to goes to the pool."""
    return {
        name: read_fetched(sent, f"prefetch.{name}", pool, notes, paged=name not in LATEST)
        for name, sent in prefetch.items()
    }


def read_fetched(sent: Json, place: str, pool: Pool, notes: Notes, paged: bool = True) -> Fetched:
    """One key; also used for what this service has fetched itself. Not `paged`: pages left out are not missed."""
    if sent is None:
        return Fetched(Known.NONE)
    held = record(sent)
    if not kind(held) and kind(held.get("resource")):
        held, place = record(held["resource"]), f"{place}.resource"  # the wrapper of CDS Hooks before 1.0
    if kind(held) == "Bundle":
        return _bundle(held, place, pool, notes, paged)
    if kind(held) == "OperationOutcome":
        notes.not_used(place, "the client could not read it: an OperationOutcome was sent")
        return Fetched(Known.FAILED)
    if kind(held):
        pool.add(held)
        return Fetched(Known.PARTIAL, ((place, held),))
    if isinstance(sent, list):
        found = [(f"{place}[{i}]", each) for i, each in enumerate(map(record, sent)) if kind(each)]
        for _, each in found:
            pool.add(each)
        return Fetched(Known.PARTIAL, tuple(found))
    notes.not_used(place, "is no FHIR resource")
    return Fetched(Known.FAILED)


def _bundle(bundle: Resource, place: str, pool: Pool, notes: Notes, paged: bool) -> Fetched:
    found = []
    partial = False
    for i, full_url, resource in bundled(bundle):
        at = f"{place}.entry[{i}].resource"
        if kind(resource) == "OperationOutcome":
            severities = {text(record(each).get("severity")) for each in listed(resource.get("issue"))}
            if severities & set(_TROUBLE):
                partial = True
                notes.not_used(at, "the server left something out")
            continue
        pool.add(resource, full_url)
        found.append((at, resource))
    if paged and next_page(bundle) is not None:
        partial = True
        notes.not_used(place, "holds the first pages only: there is more than was sent")
    total = number(bundle.get("total"))
    matches = sum(1 for each in listed(bundle.get("entry")) if _is_match(record(each)))
    if paged and not partial and total is not None and total > matches:
        partial = True
        notes.not_used(place, "holds fewer entries than its total")
    return Fetched(Known.PARTIAL if partial or not paged else Known.COMPLETE, tuple(found))


def next_page(bundle: Resource) -> str | None:
    """Where the next page of a search is; None when there is none."""
    links = [record(each) for each in listed(bundle.get("link"))]
    return next((text(each.get("url")) for each in links if text(each.get("relation")) == "next"), None)


def _is_match(entry: Resource) -> bool:
    return text(record(entry.get("search")).get("mode")) in ("", "match")
