"""The resources of one call by their references, and how references are compared."""

from __future__ import annotations

import re
from collections.abc import Iterable

from safety_service.gateway.fhir.shapes import Json, Resource, kind, listed, record, text

_TYPE_AND_ID = re.compile(r"(?:^|/)([A-Za-z]+/[^/?#]+)(?:/_history/[^/?#]+)?$")


def type_and_id(reference: str) -> str:
    """Type and id, as in "Medication/m1", of a relative, absolute or versioned reference; others as they are."""
    found = _TYPE_AND_ID.search(reference)
    return found[1] if found else reference


def own_reference(resource: Resource) -> str:
    """The relative reference of a resource, "" without an id."""
    own_id = text(resource.get("id"))
    return f"{kind(resource)}/{own_id}" if own_id else ""


class Pool:
    """What references can be resolved to."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[str, Resource] = {}

    def add(self, resource: Resource, full_url: str = "") -> None:
        for name in (own_reference(resource), full_url):
            if name:
                self._held.setdefault(name, resource)

    def find(self, reference: str, inside: Resource) -> Resource | None:
        """The resource that `inside` refers to: one that it contains, or one that was sent with the call."""
        if reference.startswith("#"):
            return next(
                (each for each in map(record, listed(inside.get("contained"))) if each.get("id") == reference[1:]),
                None,
            )
        return self._held.get(reference) or self._held.get(type_and_id(reference))


def bundled(bundle: Resource) -> Iterable[tuple[int, str, Resource]]:
    """(index, fullUrl, resource) of each entry. An entry that is itself a resource is taken as one."""
    for i, each in enumerate(listed(bundle.get("entry"))):
        entry = record(each)
        if kind(entry):
            yield i, "", entry
        elif kind(entry.get("resource")):
            yield i, text(entry.get("fullUrl")), record(entry["resource"])


def subject_of(resource: Resource) -> str:
    """The reference to the patient of a resource, "" when it names none."""
    for name in ("subject", "patient"):
        reference: Json = record(resource.get(name)).get("reference")
        if text(reference):
            return type_and_id(text(reference))
    return ""
