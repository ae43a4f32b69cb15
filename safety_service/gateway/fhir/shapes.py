"""JSON as strangers send it: each part is read as the shape that FHIR gives it, and anything else as not there."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

Json: TypeAlias = Any
Resource: TypeAlias = dict[str, Any]

MOST = 1_000_000  # above it no count of the field is a number of anything


def record(value: Json) -> Resource:
    """An object, empty when it is none."""
    return value if isinstance(value, dict) else {}


def listed(value: Json) -> list[Any]:
    """A list. What repeats in FHIR is sent as a single object by some clients; that is a list of one."""
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def text(value: Json) -> str:
    """A string without the space around it, empty when it is none."""
    return value.strip() if isinstance(value, str) else ""


def number(value: Json) -> float | None:
    """A finite number. True and false are none, and neither is a number in quotes."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        read = float(value)
    except OverflowError:
        return None
    return read if math.isfinite(read) else None


def whole(value: Json) -> int | None:
    """A whole number, up to a million; 30.0 is one."""
    read = number(value)
    if read is None or not read.is_integer() or abs(read) > MOST:
        return None
    return int(read)


def kind(value: Json) -> str:
    """The type of a resource, empty when it is none."""
    return text(record(value).get("resourceType"))
