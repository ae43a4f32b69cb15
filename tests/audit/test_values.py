"""Values as files hold them: what is read, what says nothing, and what is refused by which reason."""

from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from safety_service.audit import values
from safety_service.domain import Answer, LiverTest, RecordStatus, to_day

DAY = to_day(date(2024, 2, 29))


@pytest.mark.parametrize(
    "said", ["2024-02-29", "20240229", " 2024-02-29 ", "2024-02-29T10:00:00Z", "2024-02-29 10:00", date(2024, 2, 29)]
)
def test_days(said: object) -> None:
    assert values.day(said) == DAY
    assert values.day(datetime(2024, 2, 29, 23, 59)) == DAY


@pytest.mark.parametrize(
    "said", ["2023-02-29", "29.02.2024", "2024-2-29", "soon", "1899-12-31", "2201-01-01", "02/29/2024"]
)
def test_days_that_are_none(said: str) -> None:
    with pytest.raises(values.BadValueError, match="bad-date"):
        values.day(said)


@pytest.mark.parametrize("said", ["", "  ", "NULL", "NA", "\\N"])
def test_nothing_is_said(said: str) -> None:
    assert values.text(said) is None
    assert values.day(said) is None
    assert values.number(said) is None
    assert values.count(said) is None
    assert values.birth(said) is None
    assert values.yes_no(said) == Answer.UNKNOWN


def test_a_partial_birth_date_is_a_range() -> None:
    assert values.birth("1950") == (to_day(date(1950, 1, 1)), to_day(date(1950, 12, 31)))
    assert values.birth(1950) == values.birth("1950") == values.birth(1950.0)
    assert values.birth("1950-02") == (to_day(date(1950, 2, 1)), to_day(date(1950, 2, 28)))
    assert values.birth("1950-02-03") == (to_day(date(1950, 2, 3)),) * 2
    with pytest.raises(values.BadValueError, match="bad-date"):
        values.birth("1950-13")


@pytest.mark.parametrize(
    ("said", "number"), [("14", 14.0), ("0.5", 0.5), (7, 7.0), (Decimal("2.5"), 2.5), ("1e3", 1000.0), ("0", 0.0)]
)
def test_numbers(said: object, number: float) -> None:
    assert values.number(said) == number


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("many", "bad-number"),
        ("nan", None),
        ("inf", "bad-number"),
        (float("inf"), "bad-number"),
        (True, "bad-number"),
        ("-1", "negative-number"),
        (-0.5, "negative-number"),
        ("2e9", "too-large"),
    ],
)
def test_numbers_that_are_none(said: object, reason: str | None) -> None:
    if reason is None:
        assert values.number(said) is None
        return
    with pytest.raises(values.BadValueError, match=reason):
        values.number(said)


def test_zero_days_say_nothing_but_zero_refills_do() -> None:
    assert values.days("0") is None
    assert values.count("0") == 0
    with pytest.raises(values.BadValueError, match="bad-number"):
        values.count("1.5")


def test_words_of_a_choice() -> None:
    assert values.yes_no("Y") == values.yes_no("true") == values.yes_no(1) == Answer.YES
    assert values.yes_no("No") == values.yes_no(0) == Answer.NO
    assert values.record_status("entered-in-error") == RecordStatus.ENTERED_IN_ERROR
    assert values.liver_test("1742-6") == values.liver_test("alt") == LiverTest.ALT
    assert values.liver_test("2160-0") == 0
    with pytest.raises(values.BadValueError, match="bad-code"):
        values.yes_no("perhaps")


def test_text_holds_no_control_characters() -> None:
    assert values.text("a\x1eb\nc\x1f") == "a b c"


def test_a_column_is_read_once_for_each_distinct_value() -> None:
    asked: list[object] = []

    def parse(value: object) -> int | None:
        asked.append(value)
        return values.day(value)

    column, bad = values.column(pa.array(["2024-02-29", "x", None, "2024-02-29", "x", ""]), parse, pa.int32())
    assert column.to_pylist() == [DAY, None, None, DAY, None, None]
    assert {reason: list(at) for reason, at in bad.items()} == {"bad-date": [1, 4]}
    assert len(asked) == 3
