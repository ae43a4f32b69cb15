"""How often and for how long, by every way that FHIR has to say it."""

from datetime import date
from typing import Any

import pytest

from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.timing import Often, first_day_without, read_course, read_often

DAILY = {"period": 1, "periodUnit": "d"}
OFTEN: list[tuple[str, dict[str, Any], tuple[int, int, float, float, str] | None]] = [
    ("three times a day", {"frequency": 3, **DAILY}, (3, 3, 1, 1, "d")),
    ("a number with .0", {"frequency": 3.0, "period": 1.0, "periodUnit": "d"}, (3, 3, 1, 1, "d")),
    ("one to three times", {"frequency": 1, "frequencyMax": 3, **DAILY}, (1, 3, 1, 1, "d")),
    ("every 4 to 6 hours", {"frequency": 1, "period": 4, "periodMax": 6, "periodUnit": "h"}, (1, 1, 4, 6, "h")),
    ("every 90 minutes", {"frequency": 1, "period": 90, "periodUnit": "min"}, (1, 1, 1.5, 1.5, "h")),
    ("weekly", {"frequency": 1, "period": 1, "periodUnit": "wk"}, (1, 1, 1, 1, "wk")),
    ("monthly: 28 to 31 days", {"frequency": 1, "period": 1, "periodUnit": "mo"}, (1, 1, 28, 31, "d")),
    ("yearly", {"frequency": 1, "period": 1, "periodUnit": "a"}, (1, 1, 365, 366, "d")),
    ("morning and night", {"when": ["MORN", "NIGHT"]}, (2, 2, 1, 1, "d")),
    ("breakfast, lunch, dinner", {"when": ["CM", "CD", "CV"]}, (3, 3, 1, 1, "d")),
    ("with each meal: how many is not said", {"when": ["C"]}, None),
    ("before meals, three a day", {"when": ["AC"], "frequency": 3, **DAILY}, (3, 3, 1, 1, "d")),
    ("times of day", {"timeOfDay": ["08:00:00", "20:00:00"]}, (2, 2, 1, 1, "d")),
    ("once a day, in the morning", {"frequency": 1, "when": ["MORN"], **DAILY}, (1, 1, 1, 1, "d")),
    ("once a day, at two times: open", {"frequency": 1, "when": ["MORN", "HS"], **DAILY}, (1, 2, 1, 1, "d")),
    ("at two times, period without frequency", {"when": ["MORN", "HS"], **DAILY}, (2, 2, 1, 1, "d")),
    ("once in all", {"count": 1}, (1, 1, 1, 1, "d")),
    ("three a week", {"frequency": 3, "period": 1, "periodUnit": "wk", "dayOfWeek": ["mon", "wed", "fri"]},
     (3, 3, 1, 1, "wk")),
    ("four a day on Mondays", {"frequency": 4, "dayOfWeek": ["mon"], **DAILY}, (4, 28, 1, 1, "wk")),
    ("at nine on two days", {"timeOfDay": ["09:00:00"], "dayOfWeek": ["mon", "thu"]}, (2, 7, 1, 1, "wk")),
    ("weekday in a two-day period", {"frequency": 1, "period": 2, "periodUnit": "d", "dayOfWeek": ["mon"]}, None),
    ("only a weekday", {"dayOfWeek": ["mon"]}, None),
    ("no frequency: FHIR's default is not assumed", DAILY, None),
    ("no period", {"frequency": 3, "periodUnit": "d"}, None),
    ("no unit", {"frequency": 3, "period": 1}, None),
    ("an unknown unit", {"frequency": 3, "period": 1, "periodUnit": "fortnight"}, None),
    ("words for numbers", {"frequency": "3", "period": "1", "periodUnit": "d"}, None),
    ("nothing", {}, None),
]  # fmt: skip


@pytest.mark.parametrize(("repeat", "expected"), [each[1:] for each in OFTEN], ids=[each[0] for each in OFTEN])
def test_how_often(repeat: dict[str, Any], expected: tuple[int, int, float, float, str] | None) -> None:
    notes = Notes()
    told = read_often({"repeat": repeat}, "timing", notes)
    assert told == (None if expected is None else Often(*expected))
    if told is None and repeat:
        assert notes.unused  # what is not known is never dropped without a word


@pytest.mark.parametrize(
    ("code", "expected"),
    [("QD", (1, 1, "d")), ("BID", (2, 1, "d")), ("TID", (3, 1, "d")), ("QID", (4, 1, "d")), ("QOD", (1, 2, "d")),
     ("Q4H", (1, 4, "h")), ("Q6H", (1, 6, "h")), ("BED", (1, 1, "d")), ("WK", (1, 1, "wk")), ("tid", (3, 1, "d")),
     ("MO", None), ("BIDX", None)],
)  # fmt: skip
def test_how_often_by_code(code: str, expected: tuple[int, float, str] | None) -> None:
    told = read_often({"code": {"coding": [{"code": code}]}}, "timing", Notes())
    assert (told and (told.low, told.period, told.unit)) == expected


def test_a_code_of_another_system_says_nothing() -> None:
    coding = {"system": "http://example.org", "code": "BID"}
    assert read_often({"code": {"coding": [coding]}}, "timing", Notes()) is None


def test_repeat_counts_before_code() -> None:
    timing = {"repeat": {"frequency": 1, **DAILY}, "code": {"coding": [{"code": "TID"}]}}
    told = read_often(timing, "timing", Notes())
    assert told is not None
    assert told.low == 1


COURSE: list[tuple[str, dict[str, Any], date | None]] = [
    ("the last day is in", {"boundsPeriod": {"start": "2026-11-22", "end": "2026-12-05"}}, date(2026, 12, 6)),
    ("a time of day is a day", {"boundsPeriod": {"end": "2026-12-05T23:30:00-05:00"}}, date(2026, 12, 6)),
    ("days from today", {"boundsDuration": {"value": 14, "unit": "days", "code": "d"}}, date(2026, 12, 9)),
    ("weeks", {"boundsDuration": {"value": 2, "code": "wk"}}, date(2026, 12, 9)),
    ("a calendar month", {"boundsDuration": {"value": 1, "code": "mo"}}, date(2026, 12, 25)),
    ("a year", {"boundsDuration": {"value": 1, "unit": "year"}}, date(2027, 11, 25)),
    ("36 hours begin two days", {"boundsDuration": {"value": 36, "code": "h"}}, date(2026, 11, 27)),
    ("the high end of a range", {"boundsRange": {"low": {"value": 7, "code": "d"}, "high": {"value": 10, "code": "d"}}},
     date(2026, 12, 5)),
    ("30 doses, three a day", {"count": 30, "frequency": 3, **DAILY}, date(2026, 12, 5)),
    ("31 doses, three a day: eleven days", {"count": 31, "frequency": 3, **DAILY}, date(2026, 12, 6)),
    ("4 doses, each week", {"count": 4, "frequency": 1, "period": 1, "periodUnit": "wk"}, date(2026, 12, 23)),
    ("half a day is no whole day", {"boundsDuration": {"value": 1.5, "code": "d"}}, None),
    ("an unknown unit", {"boundsDuration": {"value": 3, "unit": "cycles"}}, None),
    ("only a start", {"boundsPeriod": {"start": "2026-11-22"}}, None),
    ("an end without a day", {"boundsPeriod": {"end": "2026-12"}}, None),
    ("the end of time", {"boundsPeriod": {"end": "9999-12-31"}}, None),
    ("longer than the calendar", {"boundsDuration": {"value": 300_000, "code": "mo"}}, None),
]  # fmt: skip


@pytest.mark.parametrize(("repeat", "expected"), [each[1:] for each in COURSE], ids=[each[0] for each in COURSE])
def test_when_it_ends(repeat: dict[str, Any], expected: date | None) -> None:
    course = read_course({"repeat": repeat}, "timing", Notes())
    end = first_day_without(course, date(2026, 11, 25))
    assert (end and date(end.year, end.month, end.day)) == expected
