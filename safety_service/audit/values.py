"""From what a file holds to the values of a table: each distinct one is read once, a bad one is told by its reason."""

from __future__ import annotations

import math
import re
from calendar import monthrange
from collections.abc import Callable, Mapping
from datetime import date, datetime
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from safety_service.audit.tables import OBSERVED
from safety_service.domain import (
    Answer,
    CareOutcome,
    ConditionStatus,
    HepaticGrade,
    LiverTest,
    RecordKind,
    RecordStatus,
    Sex,
    TreatmentStatus,
    to_day,
)
from safety_service.knowledge.observation_codes import LIVER_TESTS

FIRST_DAY = to_day(date(1900, 1, 1))
LAST_DAY = to_day(date(2200, 12, 31))
MOST = 1_000_000_000
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[T ].*)?")
_PLAIN = re.compile(r"(\d{4})(\d\d)(\d\d)")
_PARTIAL = re.compile(r"(\d{4})(?:-?(\d\d))?")
_NOTHING = frozenset({"", "null", "NULL", "NA", "N/A", "None", "nan", "NaN", "\\N"})

Parser = Callable[[Any], Any]


class BadValueError(ValueError):
    """A value that cannot be used; the message is a reason code."""


def column(values: pa.Array, parse: Parser, kind: pa.DataType) -> tuple[pa.Array, dict[str, npt.NDArray[np.int64]]]:
    """Each value read by `parse` into a column of `kind`, and the places of those that it refuses, by reason.

    `parse` gives None for what says nothing, and raises BadValueError. It is asked once for each distinct value.
    """
    encoded = values if pa.types.is_dictionary(values.type) else pc.dictionary_encode(values)
    read: list[Any] = []
    bad: dict[str, list[int]] = {}
    for i, value in enumerate(encoded.dictionary.to_pylist()):
        try:
            read.append(None if value is None else parse(value))
        except BadValueError as error:
            bad.setdefault(str(error), []).append(i)
            read.append(None)
    result = pa.array(read, kind).take(encoded.indices)
    indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return result, {reason: np.flatnonzero(np.isin(indices, codes)) for reason, codes in bad.items()}


def text(value: object) -> str | None:
    """A text, without what surrounds it and without control characters; None when it says nothing."""
    said = value if isinstance(value, str) else str(value)
    said = "".join(each if each.isprintable() else " " for each in said).strip()
    return None if said in _NOTHING else said


def identifier(value: object) -> str | None:
    """A pseudonym or id; a whole number is written without a fraction."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return text(value)


def day(value: object) -> int | None:
    """A calendar day: a date, or a text that begins as ISO 8601 or is yyyymmdd."""
    if isinstance(value, datetime):
        value = value.date()
    if isinstance(value, date):
        found = to_day(value)
    else:
        said = text(value)
        if said is None:
            return None
        parts = _ISO.fullmatch(said) or _PLAIN.fullmatch(said)
        if parts is None:
            raise BadValueError("bad-date")
        try:
            found = to_day(date(int(parts[1]), int(parts[2]), int(parts[3])))
        except ValueError:
            raise BadValueError("bad-date") from None
    if not FIRST_DAY <= found <= LAST_DAY:
        raise BadValueError("bad-date")
    return found


def birth(value: object) -> tuple[int, int] | None:
    """First and last day of birth possible: of a day, a month (yyyy-mm) or a year."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    said = None if isinstance(value, date) else text(value)
    if said is not None and (parts := _PARTIAL.fullmatch(said)):
        year, month = int(parts[1]), int(parts[2] or 0)
        if not 1900 <= year <= 2200 or month > 12:
            raise BadValueError("bad-date")
        first, last = month or 1, month or 12
        return to_day(date(year, first, 1)), to_day(date(year, last, monthrange(year, last)[1]))
    found = day(value)
    return None if found is None else (found, found)


def number(value: object) -> float | None:
    """A finite number of zero or more; None when it says nothing."""
    if isinstance(value, str):
        said = text(value)
        if said is None:
            return None
        try:
            found = float(said)
        except ValueError:
            raise BadValueError("bad-number") from None
    elif isinstance(value, bool):
        raise BadValueError("bad-number")
    elif not isinstance(value, (int, float)):
        try:
            found = float(value)  # type: ignore[arg-type]  # a decimal, or refused
        except (TypeError, ValueError):
            raise BadValueError("bad-number") from None
    else:
        found = float(value)
    if math.isnan(found) and not isinstance(value, str):
        return None
    if not math.isfinite(found):
        raise BadValueError("bad-number")
    if found < 0:
        raise BadValueError("negative-number")
    if found > MOST:
        raise BadValueError("too-large")
    return found


def amount(value: object) -> float | None:
    """A number above zero; zero says nothing."""
    return number(value) or None


def count(value: object) -> int | None:
    """A whole number of zero or more."""
    found = number(value)
    if found is None:
        return None
    if found != int(found):
        raise BadValueError("bad-number")
    if found > 1_000_000:
        raise BadValueError("too-large")
    return int(found)


def days(value: object) -> int | None:
    """Days supplied; zero says nothing."""
    return count(value) or None


def _codes(enum: type[IntEnum], also: Mapping[str, IntEnum]) -> dict[str, int]:
    found = {_word(each.name): int(each) for each in enum}
    return found | {_word(name): int(each) for name, each in also.items()}


def _word(said: str) -> str:
    return re.sub(r"[^a-z0-9]", "", said.lower())


def choice(codes: Mapping[str, int]) -> Parser:
    """A parser for one of some words; what is not said is 0."""

    def parse(value: object) -> int:
        said = text(value)
        if said is None:
            return 0
        found = codes.get(_word(said))
        if found is None:
            raise BadValueError("bad-code")
        return found

    return parse


yes_no = choice(
    _codes(
        Answer,
        {"y": Answer.YES, "1": Answer.YES, "true": Answer.YES, "n": Answer.NO, "0": Answer.NO, "false": Answer.NO},
    )
)
record_kind = choice(
    _codes(
        RecordKind,
        {
            "prescription": RecordKind.ORDER,
            "dispense": RecordKind.DISPENSING,
            "fill": RecordKind.DISPENSING,
            "claim": RecordKind.DISPENSING,
        },
    )
)
record_status = choice(_codes(RecordStatus, {"discontinued": RecordStatus.STOPPED, "cancelled": RecordStatus.STOPPED}))
treatment_status = choice(_codes(TreatmentStatus, {}))
hepatic_grade = choice(_codes(HepaticGrade, {}))
_CONDITION_STATUS = choice(_codes(ConditionStatus, {}))


def condition_status(value: object) -> int:
    """The status of a condition or allergy; what is neither confirmed nor ruled out is refused as such."""
    if text(value) in ("unconfirmed", "provisional", "differential"):
        raise BadValueError("not-confirmed")
    return int(_CONDITION_STATUS(value))


observed = choice({name: place for place, name in enumerate(OBSERVED) if name})
care_outcome = choice(_codes(CareOutcome, {}))
sex = choice(_codes(Sex, {"f": Sex.FEMALE, "m": Sex.MALE, "unknown": Sex.UNSPECIFIED}))

_TEST_WORDS = _codes(
    LiverTest,
    {
        **{code: LiverTest[test] for code, test in LIVER_TESTS.items()},
        "alkaline phosphatase": LiverTest.ALP,
        "total bilirubin": LiverTest.BILIRUBIN,
        "bilirubin total": LiverTest.BILIRUBIN,
        "alanine aminotransferase": LiverTest.ALT,
        "aspartate aminotransferase": LiverTest.AST,
    },
)


def liver_test(value: object) -> int:
    """The liver test of a LOINC code or a name; 0 for any other test."""
    said = text(value)
    return 0 if said is None else _TEST_WORDS.get(_word(said), 0)
