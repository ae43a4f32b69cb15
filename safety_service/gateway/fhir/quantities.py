"""FHIR quantities with their UCUM unit. A unit that is not understood is unknown, never guessed."""

from __future__ import annotations

from typing import NamedTuple

from medsafety.v1 import common_pb2
from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.shapes import Json, number, record, text
from safety_service.server import limits

UCUM = "http://unitsofmeasure.org"

# Words and abbreviations that have one meaning in prescriptions, in lower case.
_WORDS = {
    word: unit
    for unit, words in {
        "mg": "mg mgs milligram milligrams",
        "ug": "ug mcg µg μg microgram micrograms",
        "g": "g gm gram grams",
        "mL": "ml mls milliliter milliliters millilitre millilitres cc",
        "{tbl}": "tablet tablets tab tabs tbl tablet(s) tab(s) caplet caplets",
        "{cap}": "capsule capsules cap caps capsule(s) cap(s)",
        "{pill}": "pill pills",
        "{patch}": "patch patches",
        "{puff}": "puff puffs",
        "{drop}": "drop drops",
        "{suppository}": "suppository suppositories",
        "[iU]": "iu [iu]",
        "meq": "meq",
        "mmol": "mmol",
    }.items()
    for word in words.split()
}
_DAYS = {"d": 1, "day": 1, "days": 1, "wk": 7, "week": 7, "weeks": 7}
_MONTHS = {"mo": 1, "month": 1, "months": 1, "a": 12, "year": 12, "years": 12}


class Amount(NamedTuple):
    """A value with its unit; "" where the unit is not known."""

    value: float
    unit: str

    def message(self) -> common_pb2.Quantity:
        return common_pb2.Quantity(value=self.value, unit=self.unit)


def unit_of(word: str) -> str:
    """The unit of the contract that a UCUM code or a word stands for, or ""."""
    if word in limits.DOSE.greatest:
        return word
    if len(word) > 2 and word[0] == "{" and word[-1] == "}":
        return word
    return _WORDS.get(word.lower(), "")


def read_amount(sent: Json, place: str, notes: Notes) -> Amount | None:
    """An amount, its unit by code and by word. Where the two disagree the unit is not known."""
    if sent is None:
        return None
    held = record(sent)
    value = number(held.get("value"))
    if value is None:
        notes.not_used(f"{place}.value", "is not a number")
        return None
    if text(held.get("comparator")):
        notes.not_used(place, "more or less than a value is not a value")
        return None
    code, word = text(held.get("code")), text(held.get("unit"))
    by_code, by_word = unit_of(code), unit_of(word)
    if by_code and by_word and by_code != by_word and not _both_pieces(by_code, by_word):
        notes.not_used(place, "code and unit name different units")
        return Amount(value, "")
    unit = by_code or by_word
    if not unit:
        sent_any = code or word
        notes.not_used(place, "the unit is not one known here" if sent_any else "no unit was sent")
    return Amount(value, unit)


def _both_pieces(one: str, other: str) -> bool:
    return one.startswith("{") and other.startswith("{")


class Span(NamedTuple):
    """A length of time: whole days, or whole calendar months."""

    days: int = 0
    months: int = 0


def read_span(sent: Json, place: str, notes: Notes) -> Span | None:
    """A duration, "d", "wk", "mo" or "a"; hours count as the days that they begin."""
    if sent is None:
        return None
    held = record(sent)
    value = number(held.get("value"))
    if value is None or not 0 < value <= limits.DAYS_SUPPLY.value * 1000:
        notes.not_used(f"{place}.value", "is not a number of days above 0")
        return None
    code, word = text(held.get("code")), text(held.get("unit")).lower()
    unit = code if code in ("h", "d", "wk", "mo", "a") else word
    if unit in ("h", "hour", "hours"):
        return Span(days=-int(-value // 24))
    days, months = _DAYS.get(unit, 0) * value, _MONTHS.get(unit, 0) * value
    if not days and not months:
        notes.not_used(place, "the unit is not h, d, wk, mo or a")
        return None
    if not (days + months).is_integer():
        notes.not_used(place, "is not a whole number of days or months")
        return None
    return Span(int(days), int(months))


def read_span_hours(sent: Json) -> float | None:
    """The length of a period in hours, of hours or days."""
    held = record(sent)
    value = number(held.get("value"))
    unit = text(held.get("code")) or text(held.get("unit")).lower()
    scale = {"h": 1, "hour": 1, "hours": 1, "d": 24, "day": 24, "days": 24}.get(unit)
    return None if value is None or scale is None else value * scale
