"""FHIR dates and times as calendar dates at the place of care: the date as it is written, whatever its zone."""

from __future__ import annotations

import re
from datetime import date, timedelta

from google.type import date_pb2

from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.shapes import Json

_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T.*)?)?)?", re.ASCII)


def read_date(value: Json, place: str, notes: Notes) -> date_pb2.Date | None:
    """A date, possibly without day or month. Whether it exists is for the checks of the contract to say."""
    if value is None:
        return None
    found = _DATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        notes.not_used(place, "is not a FHIR date")
        return None
    year, month, day = found.groups()
    return date_pb2.Date(year=int(year), month=int(month or 0), day=int(day or 0))


def calendar(sent: date_pb2.Date | None) -> date | None:
    """The calendar date, if it is a whole one that exists."""
    if sent is None:
        return None
    try:
        return date(sent.year, sent.month, sent.day)
    except ValueError:
        return None


def as_message(on: date) -> date_pb2.Date:
    """A calendar date on the wire."""
    return date_pb2.Date(year=on.year, month=on.month, day=on.day)


def day_after(sent: date_pb2.Date | None, place: str, notes: Notes) -> date_pb2.Date | None:
    """FHIR stores the last day of a period, the contract the first day without it."""
    if sent is None:
        return None
    last = calendar(sent)
    if last is None or last == date.max:
        notes.not_used(place, "the last day needs a year, a month and a day that exist")
        return None
    return as_message(last + timedelta(days=1))


def plus_months(start: date, months: int) -> date | None:
    """The same day so many months later, or the last day of a shorter month."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    if not 1 <= year <= 9998:
        return None
    longest = (date(year + (month == 11), (month + 1) % 12 + 1, 1) - timedelta(days=1)).day
    return date(year, month + 1, min(start.day, longest))
