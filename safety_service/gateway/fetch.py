"""What a client did not send and its FHIR server may tell: our own prefetch queries, asked with the token given.

Only servers that the operator has named are asked. What does not come in time is not known, and is said to be so; of a
list whose pages do not all come in time, what came is a part.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from safety_service.gateway.discovery import PREFETCH
from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.prefetch import LATEST, next_page
from safety_service.gateway.fhir.shapes import Resource, kind, listed
from safety_service.gateway.hook_request import FHIR_ID, Authorization
from safety_service.gateway.outside import Reader, UnreadableError

_BYTES = 4_194_304  # of one answer
_AT_ONCE = 6
_PAGES = 10  # of one list
_ENTRIES = 2_000
_ACCEPT = "application/fhir+json, application/json;q=0.9"


@dataclass(frozen=True, slots=True)
class Fetcher:
    """How FHIR servers are asked. `servers` are those that every caller may name."""

    reader: Reader
    seconds: float
    servers: frozenset[str] = field(default_factory=frozenset)


def queries(patient_id: str, sent: Collection[str]) -> Mapping[str, str]:
    """By prefetch key, the query for what was not sent; none for an id that is no id of FHIR."""
    if not FHIR_ID.fullmatch(patient_id):
        return {}
    return {
        key: query.replace("{{context.patientId}}", quote(patient_id, safe=""))
        for key, query in PREFETCH.items()
        if key not in sent
    }


async def fetch_missing(
    fetcher: Fetcher,
    server: str,
    allowed: Collection[str],
    authorization: Authorization | None,
    asked: Mapping[str, str],
    notes: Notes,
) -> Resource:
    """By key, what the server told. A key that it did not tell stays away and is in the notes."""
    if not asked or not server:
        return {}
    base = server.rstrip("/")
    if base not in allowed and base not in fetcher.servers:
        notes.not_used("fhirServer", "is not a server that may be asked: what was not sent was not fetched")
        return {}
    headers = {"Accept": _ACCEPT}
    if authorization is not None:
        headers["Authorization"] = f"Bearer {authorization.token}"
    gate = asyncio.Semaphore(_AT_ONCE)
    found: Resource = {}

    async def ask(key: str, query: str) -> None:
        try:
            async with gate:
                found[key] = first = await _read(fetcher, f"{base}/{query}", headers)
                if key not in LATEST:
                    await _read_on(fetcher, base, headers, first)
        except UnreadableError as why:
            notes.not_used(
                f"prefetch.{key}", f"was not sent, and the FHIR server did not tell it{_all(key, found)}: {why}"
            )

    tasks = {key: asyncio.create_task(ask(key, query)) for key, query in asked.items()}
    try:
        _, late = await asyncio.wait(tasks.values(), timeout=fetcher.seconds)
    finally:
        for each in tasks.values():
            each.cancel()
    for key, task in tasks.items():
        if task in late:
            notes.not_used(
                f"prefetch.{key}", f"was not sent, and the FHIR server did not tell it{_all(key, found)} in time"
            )
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    return {key: found[key] for key in asked if key in found}


def _all(key: str, found: Resource) -> str:
    return " all" if key in found else ""


async def _read_on(fetcher: Fetcher, base: str, headers: Mapping[str, str], first: Resource) -> None:
    """Adds the entries of the pages after the first to it; its link to the next page goes with the last one read."""
    seen: set[str] = set()
    room = _ENTRIES
    while url := next_page(first):
        room -= len(listed(first.get("entry"))) if not seen else 0
        if url in seen or not _is_inside(url, base):
            raise UnreadableError("the next page lies where it is not looked for")
        if len(seen) == _PAGES - 1 or room <= 0:
            raise UnreadableError("it has more pages than are read")
        seen.add(url)
        page = await _read(fetcher, url, headers)
        if kind(page) != "Bundle":
            raise UnreadableError("the next page is no Bundle")
        more = listed(page.get("entry"))
        room -= len(more)
        # In one step, so that what is there when the time is over is whole.
        first["entry"] = [*listed(first.get("entry")), *more]
        first["link"] = page.get("link")


def _is_inside(url: str, base: str) -> bool:
    """Whether an address that the server gave is one of its own."""
    return url.startswith((f"{base}/", f"{base}?")) and ".." not in url and url.isascii() and url.isprintable()


async def _read(fetcher: Fetcher, url: str, headers: Mapping[str, str]) -> Resource:
    sent = await fetcher.reader.read(url, headers, _BYTES, fetcher.seconds)
    if not isinstance(sent, dict) or not isinstance(sent.get("resourceType"), str):
        raise UnreadableError("it answered with something that is no FHIR resource")
    return sent
