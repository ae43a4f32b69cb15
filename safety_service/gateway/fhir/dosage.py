"""FHIR Dosage: the instructions of an order or record, as dose, frequency and course of the contract.

The contract holds one dose and one frequency. Several instructions are joined where that says the same; where it would
not, the dose is kept as a range or is not known, and the answer says so.
"""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from google.type import date_pb2

from medsafety.v1 import common_pb2, patient_pb2, prescription_pb2
from safety_service.gateway.fhir import dates
from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.quantities import Amount, Span, read_amount, read_span_hours
from safety_service.gateway.fhir.shapes import Json, Resource, listed, record, text, whole
from safety_service.gateway.fhir.timing import Course, Often, read_course, read_often

Target: TypeAlias = prescription_pb2.Prescription | patient_pb2.MedicationRecord

SNOMED = "http://snomed.info/sct"
_NO, _YES, _UNKNOWN = common_pb2.ANSWER_NO, common_pb2.ANSWER_YES, common_pb2.ANSWER_UNSPECIFIED


class Instruction(NamedTuple):
    """One instruction. None and "" = not known."""

    low: Amount | None
    high: Amount | None
    often: Often | None
    as_needed: common_pb2.Answer.ValueType
    course: Course
    route: str
    words: str
    daily_most: Amount | None
    sequence: int | None


class Instructions(NamedTuple):
    """All instructions of an order as one."""

    low: Amount | None = None
    high: Amount | None = None
    often: Often | None = None
    as_needed: common_pb2.Answer.ValueType = _UNKNOWN
    course: Course = Course()
    route: str = ""
    words: str = ""
    daily_most: Amount | None = None
    goes_down: bool = False  # step by step, until it ends

    def put_dose(self, target: Target) -> None:
        """Dose, frequency and as-needed."""
        if self.high is not None and self.low == self.high:
            target.dose_quantity.CopyFrom(self.high.message())
        else:
            if self.low is not None:
                target.dose_range.low.CopyFrom(self.low.message())
            if self.high is not None:
                target.dose_range.high.CopyFrom(self.high.message())
        if self.often is not None:
            target.frequency.CopyFrom(self.often.message())
        target.as_needed = self.as_needed


def read_instructions(sent: Json, place: str, notes: Notes) -> Instructions:
    """The instructions of a resource; `place` is the path of the list."""
    each = [_instruction(held, f"{place}[{i}]", notes) for i, held in enumerate(map(record, listed(sent))) if held]
    if not each:
        return Instructions()
    return Instructions(*each[0][:-1]) if len(each) == 1 else _joined(each, place, notes)


def _instruction(sent: Resource, place: str, notes: Notes) -> Instruction:
    low, high = _dose(sent, place, notes)
    timing = record(sent.get("timing"))
    return Instruction(
        low,
        high,
        read_often(timing, f"{place}.timing", notes),
        _as_needed(sent),
        read_course(timing, f"{place}.timing", notes),
        _route(sent),
        _words(sent, timing),
        _daily_most(sent, place, notes),
        whole(sent.get("sequence")),
    )


def _daily_most(sent: Resource, place: str, notes: Notes) -> Amount | None:
    """The greatest amount in 24 hours; R5 repeats what R4 has once."""
    ratios = listed(sent.get("maxDosePerPeriod"))
    if not ratios:
        return None
    at = f"{place}.maxDosePerPeriod"
    period = read_span_hours(record(record(ratios[0]).get("denominator")))
    if len(ratios) > 1 or period != 24:
        notes.not_used(at, "is not the most in one day")
        return None
    return read_amount(record(ratios[0]).get("numerator"), f"{at}.numerator", notes)


def _dose(sent: Resource, place: str, notes: Notes) -> tuple[Amount | None, Amount | None]:
    """Least and greatest dose. What is typed as ordered counts before what is calculated; DSTU3 has no list."""
    doses = [(record(each), f"{place}.doseAndRate[{i}]") for i, each in enumerate(listed(sent.get("doseAndRate")))]
    ordered = [each for each in doses if "ordered" in _types(each[0])]
    read = []
    for held, at in ordered or doses or [(sent, place)]:
        if "doseRange" in held:
            bounds = record(held["doseRange"])
            read.append(
                (
                    read_amount(bounds.get("low"), f"{at}.doseRange.low", notes),
                    read_amount(bounds.get("high"), f"{at}.doseRange.high", notes),
                )
            )
        elif "doseQuantity" in held:
            fixed = read_amount(held["doseQuantity"], f"{at}.doseQuantity", notes)
            read.append((fixed, fixed))
        elif any(name.startswith("rate") for name in held):
            notes.not_used(at, "is a rate, not a dose of one administration")
    if not read:
        return None, None
    return _range(read, f"{place}.doseAndRate", notes)


def _types(dose: Resource) -> set[str]:
    kind = record(dose.get("type"))
    coded = {text(record(each).get("code")).lower() for each in listed(kind.get("coding"))}
    return coded | {text(kind.get("text")).lower()}


def _range(
    doses: list[tuple[Amount | None, Amount | None]], place: str, notes: Notes
) -> tuple[Amount | None, Amount | None]:
    if len(doses) == 1:
        return doses[0]
    sent = [each for pair in doses for each in pair if each is not None]
    if len({each.unit for each in sent}) > 1 or any(None in pair for pair in doses):
        notes.not_used(place, "several doses that cannot be compared: the dose is not known")
        return None, None
    return min(sent, key=lambda each: each.value), max(sent, key=lambda each: each.value)


def _as_needed(sent: Resource) -> common_pb2.Answer.ValueType:
    if record(sent.get("asNeededCodeableConcept")) or listed(sent.get("asNeededFor")):
        return _YES
    stated = sent.get("asNeededBoolean", sent.get("asNeeded"))
    return _YES if stated is True else _NO if stated is False else _UNKNOWN


def _route(sent: Resource) -> str:
    """The SNOMED CT code, else the words."""
    route = record(sent.get("route"))
    codings = [record(each) for each in listed(route.get("coding"))]
    code = next((text(each.get("code")) for each in codings if text(each.get("system")) == SNOMED), "")
    return code or text(route.get("text")) or next((text(each.get("display")) for each in codings), "")


def _words(sent: Resource, timing: Resource) -> str:
    """The sig as written."""
    words = text(sent.get("text")) or text(sent.get("patientInstruction"))
    if not words and not record(timing.get("repeat")):
        words = text(record(timing.get("code")).get("text"))
    return words


# --- several instructions ----------------------------------------------------------------------------------------


def _joined(each: list[Instruction], place: str, notes: Notes) -> Instructions:
    as_needed = {one.as_needed for one in each}
    doses = {(one.low, one.high) for one in each}
    low: Amount | None = None
    high: Amount | None = None
    often: Often | None = None
    steps = _one_after_another(each)
    if steps:
        if len(doses) == 1 and len({one.often for one in each}) == 1:
            low, high, often = each[0].low, each[0].high, each[0].often
        else:
            notes.not_used(place, "several steps with doses of their own: dose and frequency are not known")
    else:
        low, high = _range([(one.low, one.high) for one in each], place, notes)
        often = _sum([one.often for one in each]) if len(doses) == 1 else None
        if often is None:
            notes.not_used(place, "several instructions at once: how often in all is not known")
    routes = {one.route for one in each}
    if len(routes) > 1:
        notes.not_used(place, "several routes: the route is not known")
    most = {one.daily_most for one in each}
    return Instructions(
        low,
        high,
        often,
        as_needed.pop() if len(as_needed) == 1 else _UNKNOWN,
        _in_sequence(steps) or _whole(each),
        routes.pop() if len(routes) == 1 else "",
        "; ".join(one.words for one in each if one.words),
        most.pop() if len(most) == 1 else None,
        _goes_down(steps),
    )


def _one_after_another(each: list[Instruction]) -> list[Instruction]:
    """The instructions in their order, where no two share a day: by their periods, or numbered and with a length."""
    numbers = [one.sequence for one in each]
    if None not in numbers and len(set(numbers)) == len(each) and all(_days_of(one) for one in each):
        return sorted(each, key=lambda one: one.sequence or 0)
    periods = []
    for one in each:
        start, end = dates.calendar(one.course.start), dates.calendar(one.course.end)
        if start is None or end is None:
            return []
        periods.append((start, end, one))
    periods.sort(key=lambda period: period[:2])
    if any(before[1] > after[0] for before, after in pairwise(periods)):
        return []
    return [one for _, _, one in periods]


def _days_of(one: Instruction) -> int:
    """The length of a step without days of the calendar; 0 when it has none."""
    span = one.course.span
    return span.days if span is not None and not span.months and one.course.start is one.course.end is None else 0


def _in_sequence(steps: list[Instruction]) -> Course | None:
    """The course of steps that have lengths only."""
    days = [_days_of(one) for one in steps]
    return Course(span=Span(days=sum(days))) if days and all(days) else None


def _goes_down(steps: list[Instruction]) -> bool:
    """Whether each step is less a day than the one before it."""
    amounts = []
    for one in steps:
        if one.high is None or one.low != one.high or one.often is None or one.often.low != one.often.high:
            return False
        often = one.often
        if (often.period, often.period_max) != (1, 1):
            return False
        amounts.append((one.high.value * often.high, one.high.unit, often.unit))
    return len({each[1:] for each in amounts}) == 1 and all(after[0] < before[0] for before, after in pairwise(amounts))


def _sum(each: list[Often | None]) -> Often | None:
    """All of them together, if they are counted in the same period."""
    known = [one for one in each if one is not None]
    if len(known) != len(each) or len({(one.period, one.period_max, one.unit) for one in known}) != 1:
        return None
    if known[0].unit == "h":
        return None
    return known[0]._replace(low=sum(one.low for one in known), high=sum(one.high for one in known))


def _whole(each: list[Instruction]) -> Course:
    """From the first start to the last end; not known when one instruction leaves it open."""
    starts = [dates.calendar(one.course.start) for one in each]
    ends = [dates.calendar(one.course.end) for one in each]
    spans = {one.course.span for one in each}
    return Course(_extreme(starts, first=True), _extreme(ends, first=False), spans.pop() if len(spans) == 1 else None)


def _extreme(days: list[date | None], *, first: bool) -> date_pb2.Date | None:
    known = [day for day in days if day is not None]
    if len(known) != len(days):
        return None
    return dates.as_message(min(known) if first else max(known))
