"""FHIR Timing: how often, and for how long, an instruction is followed.

A frequency is kept as at least..at most, so that what the sender left open stays open: two times of day beside
"once a day" are one to two.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import NamedTuple

from google.type import date_pb2

from medsafety.v1 import medication_pb2
from safety_service.gateway.fhir import dates
from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.quantities import Span, read_span
from safety_service.gateway.fhir.shapes import Json, Resource, listed, number, record, text, whole

GTS_ABBREVIATION = "http://terminology.hl7.org/CodeSystem/v3-GTSAbbreviation"

# Event timings that come once a day. C, AC and PC are "each meal" and do not say how many there are.
_ONCE_A_DAY = frozenset(
    """MORN MORN.early MORN.late NOON AFT AFT.early AFT.late EVE EVE.early EVE.late NIGHT PHS HS WAKE
    CM CD CV ACM ACD ACV PCM PCD PCV""".split()
)
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Often(NamedTuple):
    """`low` to `high` administrations in each period of `period` to `period_max` `unit` ("h", "d", "wk")."""

    low: int
    high: int
    period: float
    period_max: float
    unit: str

    def message(self) -> medication_pb2.Frequency:
        sent = medication_pb2.Frequency(times=self.low, period=self.period, period_unit=self.unit)
        if self.high != self.low:
            sent.times_max = self.high
        if self.period_max != self.period:
            sent.period_max = self.period_max
        return sent


def _times(count: int, period: float, unit: str) -> Often:
    return Often(count, count, period, period, unit)


# Codes of HL7 v3 GTSAbbreviation (Timing.code is bound to them) that say how often.
CODED = {
    "QD": _times(1, 1, "d"),
    "BID": _times(2, 1, "d"),
    "TID": _times(3, 1, "d"),
    "QID": _times(4, 1, "d"),
    "AM": _times(1, 1, "d"),
    "PM": _times(1, 1, "d"),
    "BED": _times(1, 1, "d"),
    "QOD": _times(1, 2, "d"),
    "WK": _times(1, 1, "wk"),
    "Q1H": _times(1, 1, "h"),
    "Q2H": _times(1, 2, "h"),
    "Q3H": _times(1, 3, "h"),
    "Q4H": _times(1, 4, "h"),
    "Q6H": _times(1, 6, "h"),
    "Q8H": _times(1, 8, "h"),
}
# Period units of FHIR in units of the contract. A month has 28 to 31 days, a year 365 or 366.
_PERIODS: dict[str, tuple[float, float, str]] = {
    "s": (1 / 3600, 1 / 3600, "h"),
    "min": (1 / 60, 1 / 60, "h"),
    "h": (1, 1, "h"),
    "d": (1, 1, "d"),
    "wk": (1, 1, "wk"),
    "mo": (28, 31, "d"),
    "a": (365, 366, "d"),
}


class Course(NamedTuple):
    """When an instruction begins and ends: `end` is the first day without it, `span` its length if that was sent."""

    start: date_pb2.Date | None = None
    end: date_pb2.Date | None = None
    span: Span | None = None


def read_often(timing: Resource, place: str, notes: Notes) -> Often | None:
    """How often, or None when that is not known."""
    before = len(notes.unused)
    told = _told(record(timing.get("repeat")), f"{place}.repeat", notes)
    if told is None:
        told = next((CODED[code] for code in _codes(timing) if code in CODED), None)
    if told is None and timing and len(notes.unused) == before:
        notes.not_used(place, "does not say how often")
    return told


def _codes(timing: Resource) -> list[str]:
    return [
        text(record(each).get("code")).upper()
        for each in listed(record(timing.get("code")).get("coding"))
        if text(record(each).get("system")) in ("", GTS_ABBREVIATION)
    ]


def _told(repeat: Resource, place: str, notes: Notes) -> Often | None:
    by_period = _by_period(repeat, place, notes)
    events = _events(repeat, place, notes)
    days = [each for each in map(_weekday, listed(repeat.get("dayOfWeek"))) if each]
    if days:
        return _on_weekdays(by_period, events, len(set(days)), place, notes)
    if by_period is None:
        if events:
            return _times(events, 1, "d")
        if whole(repeat.get("count")) == 1 and number(repeat.get("period")) is None:
            return _times(1, 1, "d")  # once: no day holds more
        return None
    if events and (by_period.unit, by_period.period, by_period.period_max) == ("d", 1, 1):
        low, high = min(by_period.low, events), max(by_period.high, events)
        if (low, high) != (by_period.low, by_period.high):
            notes.say(f"{place}: frequency and times of day differ: {low} to {high} a day was used")
        return by_period._replace(low=low, high=high)
    return by_period


def _by_period(repeat: Resource, place: str, notes: Notes) -> Often | None:
    """From frequency, period and periodUnit; FHIR's default of one time is not assumed."""
    unit = text(repeat.get("periodUnit"))
    period, times = number(repeat.get("period")), whole(repeat.get("frequency"))
    if period is None and times is None and not unit:
        return None
    if unit not in _PERIODS:
        notes.not_used(f"{place}.periodUnit", "is none of s, min, h, d, wk, mo, a")
        return None
    if period is None or times is None:
        lacking = "period" if period is None else "frequency"
        if not (lacking == "frequency" and (repeat.get("when") or repeat.get("timeOfDay"))):
            notes.not_used(f"{place}.{lacking}", "was not sent or is no number: how often is not known")
        return None
    longest = number(repeat.get("periodMax"))
    most = whole(repeat.get("frequencyMax"))
    low_scale, high_scale, unit = _PERIODS[unit]
    return Often(
        times,
        times if most is None else most,
        period * low_scale,
        (period if longest is None else longest) * high_scale,
        unit,
    )


def _events(repeat: Resource, place: str, notes: Notes) -> int:
    """How many times of day are named; 0 when none is, or when they cannot be counted."""
    times = {text(each) for each in listed(repeat.get("timeOfDay"))} - {""}
    when = [text(each) for each in listed(repeat.get("when"))]
    open_events = [each for each in when if each not in _ONCE_A_DAY]
    if open_events and not number(repeat.get("frequency")):
        notes.not_used(f"{place}.when", "does not say how many times a day")
        return 0
    return max(len(times), 0 if open_events else len(set(when)))


def _weekday(value: Json) -> str:
    day = text(value).lower()
    return day if day in _WEEKDAYS else ""


def _on_weekdays(often: Often | None, events: int, days: int, place: str, notes: Notes) -> Often | None:
    """On some days of the week only: as few a week as these days give, as many as if each day were one of them."""
    if often is not None and often.unit == "wk":
        return often
    if often is not None and (often.unit, often.period, often.period_max) != ("d", 1, 1):
        notes.not_used(f"{place}.dayOfWeek", "beside a period that is not a day does not say how often")
        return None
    if often is None and not events:
        notes.not_used(f"{place}.dayOfWeek", "does not say how many times on these days")
        return None
    low, high = (events, events) if often is None else (often.low, often.high)
    notes.say(f"{place}: on {days} days of the week; limits of a day count {high} on each day")
    return Often(low * days, high * 7, 1, 1, "wk")


def read_course(timing: Resource, place: str, notes: Notes) -> Course:
    """Start, end and length of an instruction, from its bounds or the number of administrations."""
    repeat = record(timing.get("repeat"))
    place = f"{place}.repeat"
    period = record(repeat.get("boundsPeriod"))
    start = dates.read_date(period.get("start"), f"{place}.boundsPeriod.start", notes)
    last = dates.read_date(period.get("end"), f"{place}.boundsPeriod.end", notes)
    end = dates.day_after(last, f"{place}.boundsPeriod.end", notes)
    span = read_span(repeat.get("boundsDuration"), f"{place}.boundsDuration", notes)
    if span is None and "boundsRange" in repeat:
        # At most: limits of duration ask for the longest that was ordered.
        span = read_span(record(repeat["boundsRange"]).get("high"), f"{place}.boundsRange.high", notes)
        if span is not None:
            notes.say(f"{place}.boundsRange: its high end was used")
    if span is None and end is None:
        span = _counted(repeat)
    return Course(start, end, span)


def _counted(repeat: Resource) -> Span | None:
    """The days that so many administrations take."""
    count = whole(repeat.get("countMax")) or whole(repeat.get("count"))
    if not count or count < 0:
        return None
    if count == 1:
        return Span(days=1)
    period, times, unit = number(repeat.get("period")), whole(repeat.get("frequency")), text(repeat.get("periodUnit"))
    days = {"h": 1 / 24, "d": 1.0, "wk": 7.0}.get(unit)
    if not period or not times or days is None or period < 0 or times < 0:
        return None
    return Span(days=max(1, -int(-(count * period * days) // times)))


def first_day_without(course: Course, begins: date | None) -> date_pb2.Date | None:
    """The end that was sent, or the one that start and length give."""
    if course.end is not None:
        return course.end
    start = dates.calendar(course.start) or begins
    if course.span is None or start is None:
        return None
    try:
        after = dates.plus_months(start, course.span.months) if course.span.months else start
        return None if after is None else dates.as_message(after + timedelta(days=course.span.days))
    except OverflowError:
        return None
