"""Dose, as-needed, route and several instructions."""

from typing import Any

import pytest

from medsafety.v1.prescription_pb2 import Prescription
from safety_service.gateway.fhir.dosage import Instructions, read_instructions
from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.quantities import Amount, read_amount

UCUM = "http://unitsofmeasure.org"
TID = {"timing": {"repeat": {"frequency": 3, "period": 1, "periodUnit": "d"}}}


def quantity(value: Any, **members: Any) -> dict[str, Any]:
    return {"value": value, **members}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (quantity(10, unit="mg", system=UCUM, code="mg"), Amount(10, "mg")),
        (quantity(10, unit="mg"), Amount(10, "mg")),
        (quantity(10, unit="MG"), Amount(10, "mg")),
        (quantity(500, unit="mcg"), Amount(500, "ug")),
        (quantity(1, system=UCUM, code="{pill}"), Amount(1, "{pill}")),
        (quantity(1, system=UCUM, code="{tbl}", unit="tablet"), Amount(1, "{tbl}")),
        (quantity(2, unit="TAB", system="http://terminology.hl7.org/CodeSystem/v3-orderableDrugForm", code="TAB"),
         Amount(2, "{tbl}")),
        (quantity(1, unit="tablet(s)"), Amount(1, "{tbl}")),
        (quantity(5, unit="mL"), Amount(5, "mL")),
        (quantity(1, unit="capsules"), Amount(1, "{cap}")),
        (quantity(1), Amount(1, "")),
        (quantity(1, unit="scoop"), Amount(1, "")),
        (quantity(1, unit="g", code="mg"), Amount(1, "")),
        (quantity(1, unit="tablet", code="{pill}"), Amount(1, "{pill}")),
        (quantity(10, unit="mg/kg", code="mg/kg"), Amount(10, "")),
        (quantity(10, unit="mg", comparator="<"), None),
        (quantity("10", unit="mg"), None),
        (quantity(True, unit="mg"), None),
        (quantity(None, unit="mg"), None),
        ("10 mg", None),
    ],
)  # fmt: skip
def test_amount(sent: Any, expected: Amount | None) -> None:
    notes = Notes()
    assert read_amount(sent, "dose", notes) == expected
    assert bool(notes.unused) == (expected is None or not expected.unit)


def read(*instructions: dict[str, Any]) -> tuple[Instructions, Notes]:
    notes = Notes()
    return read_instructions(list(instructions), "dosageInstruction", notes), notes


def dose(value: float, **members: Any) -> dict[str, Any]:
    return {"doseAndRate": [{"doseQuantity": {"value": value, "unit": "mg"}}], **members}


def test_dose_of_r4_of_dstu3_and_as_a_range() -> None:
    assert read(dose(10))[0].high == Amount(10, "mg")
    assert read({"doseQuantity": {"value": 10, "unit": "mg"}})[0].high == Amount(10, "mg")
    ranged = {"doseRange": {"low": {"value": 1, "unit": "tablet"}, "high": {"value": 2, "unit": "tablet"}}}
    told, _ = read({"doseAndRate": [ranged]})
    assert (told.low, told.high) == (Amount(1, "{tbl}"), Amount(2, "{tbl}"))
    order = Prescription()
    told.put_dose(order)
    assert (order.dose_range.low.value, order.dose_range.high.value) == (1, 2)


def test_ordered_counts_before_calculated() -> None:
    def typed(code: str, value: float) -> dict[str, Any]:
        return {"type": {"coding": [{"code": code}]}, "doseQuantity": {"value": value, "unit": "mg"}}

    told, _ = read({"doseAndRate": [typed("calculated", 9), typed("ordered", 10)]})
    assert (told.low, told.high) == (Amount(10, "mg"), Amount(10, "mg"))
    told, _ = read({"doseAndRate": [typed("calculated", 9), typed("calculated", 10)]})
    assert (told.low, told.high) == (Amount(9, "mg"), Amount(10, "mg"))


def test_doses_in_units_that_cannot_be_compared_are_not_known() -> None:
    two = [{"doseQuantity": {"value": 1, "unit": "tablet"}}, {"doseQuantity": {"value": 10, "unit": "mg"}}]
    told, notes = read({"doseAndRate": two})
    assert told.high is None
    assert notes.unused


def test_a_rate_is_no_dose() -> None:
    told, notes = read({"doseAndRate": [{"rateQuantity": {"value": 4, "unit": "mcg/kg/min"}}]})
    assert told.high is None
    assert [each.path for each in notes.unused] == ["dosageInstruction[0].doseAndRate[0]"]


@pytest.mark.parametrize(
    ("members", "expected"),
    [({"asNeededBoolean": True}, 2), ({"asNeededBoolean": False}, 1), ({}, 0), ({"asNeededBoolean": "yes"}, 0),
     ({"asNeededCodeableConcept": {"text": "pain"}}, 2)],
)  # fmt: skip
def test_as_needed(members: dict[str, Any], expected: int) -> None:
    assert read({**TID, **members})[0].as_needed == expected


def test_route_by_snomed_code_else_by_words() -> None:
    coded = {"coding": [{"system": "http://snomed.info/sct", "code": "26643006", "display": "Oral route"}]}
    assert read({"route": coded})[0].route == "26643006"
    assert read({"route": {"text": "by mouth"}})[0].route == "by mouth"


def test_equal_doses_at_once_are_added_up() -> None:
    morning = {"timing": {"repeat": {"when": ["MORN"]}}}
    night = {"timing": {"repeat": {"when": ["HS"]}}}
    told, notes = read(dose(10, **morning), dose(10, **night))
    assert told.high == Amount(10, "mg")
    assert told.often is not None
    assert told.often.low == told.often.high == 2
    assert not notes.unused


def test_different_doses_at_once_are_a_range_taken_nobody_knows_how_often() -> None:
    told, notes = read(dose(5, **TID), dose(10, timing={"repeat": {"when": ["HS"]}}))
    assert (told.low, told.high, told.often) == (Amount(5, "mg"), Amount(10, "mg"), None)
    assert notes.unused


def test_steps_with_doses_of_their_own_are_not_one_dose() -> None:
    def step(start: str, end: str) -> dict[str, Any]:
        return {"timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d",
                                      "boundsPeriod": {"start": start, "end": end}}}}  # fmt: skip

    told, notes = read(dose(5, **step("2026-11-01", "2026-11-07")), dose(10, **step("2026-11-08", "2026-11-14")))
    assert (told.high, told.often) == (None, None)
    assert told.course.start is not None
    assert told.course.end is not None
    assert (told.course.start.day, told.course.end.day) == (1, 15)
    assert notes.unused


def test_an_object_in_place_of_a_list() -> None:
    told = read_instructions(dose(10, **TID), "dosageInstruction", Notes())
    assert told.high == Amount(10, "mg")
    assert read_instructions({"doseAndRate": {"doseQuantity": {"value": 10, "unit": "mg"}}}, "d", Notes()).high


# --- the most in a day, and steps that follow one another --------------------------------------------------------


def most(numerator: Any, **denominator: Any) -> dict[str, Any]:
    return {"maxDosePerPeriod": {"numerator": numerator, "denominator": denominator}}


@pytest.mark.parametrize(
    "period", [{"value": 1, "unit": "d", "code": "d"}, {"value": 24, "code": "h"}, {"value": 1, "unit": "day"}]
)
def test_the_most_in_a_day(period: dict[str, Any]) -> None:
    told, notes = read(dose(10, **TID, **most(quantity(30, unit="mg"), **period)))
    assert (told.daily_most, notes.unused) == (Amount(30, "mg"), [])
    several, notes = read(
        dose(10, **TID, maxDosePerPeriod=[most(quantity(3, unit="tablet"), **period)["maxDosePerPeriod"]])
    )
    assert (several.daily_most, notes.unused) == (Amount(3, "{tbl}"), [])


@pytest.mark.parametrize(
    "sent",
    [
        most(quantity(30, unit="mg"), value=1, code="wk"),
        most(quantity(30, unit="mg"), value=12, code="h"),
        most(quantity(30, unit="mg")),
        most(quantity("30", unit="mg"), value=1, code="d"),
        {"maxDosePerPeriod": "30 mg a day"},
        {"maxDosePerPeriod": [most(quantity(30, unit="mg"), value=1, code="d")["maxDosePerPeriod"]] * 2},
    ],
)
def test_what_is_not_the_most_in_a_day_is_said(sent: dict[str, Any]) -> None:
    told, notes = read(dose(10, **TID, **sent))
    assert told.daily_most is None
    assert notes.unused


def step(number: int | None, value: float, days: int = 5, times: int = 3) -> dict[str, Any]:
    repeat = {"frequency": times, "period": 1, "periodUnit": "d", "boundsDuration": {"value": days, "code": "d"}}
    held = dose(value, timing={"repeat": repeat})
    return held if number is None else {**held, "sequence": number}


def test_numbered_steps_follow_one_another() -> None:
    told, _ = read(step(2, 10), step(1, 20), step(3, 5))
    assert told.course.span is not None
    assert told.course.span.days == 15
    assert (told.low, told.often) == (None, None)  # one dose and one frequency is all the contract holds
    assert told.goes_down


@pytest.mark.parametrize(
    "steps",
    [
        (step(1, 10), step(2, 10)),  # the same
        (step(1, 5), step(2, 10)),  # up
        (step(1, 20), step(2, 5), step(3, 10)),  # down and up
        (step(1, 20), step(1, 10)),  # at once
        (step(None, 20), step(None, 10)),  # nobody says which is first
        (step(1, 20), step(2, 10, times=6)),  # as much a day
        (step(1, 20), {**step(2, 10), "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "tablet"}}]}),
        (step(1, 20), dose(10, sequence=2, **TID)),  # without a length
        (step(1, 20),),
    ],
)
def test_other_steps_do_not_go_down(steps: tuple[dict[str, Any], ...]) -> None:
    assert not read(*steps)[0].goes_down


def test_steps_of_the_calendar_go_down_too() -> None:
    def dated(value: float, start: str, end: str) -> dict[str, Any]:
        repeat = {"frequency": 3, "period": 1, "periodUnit": "d", "boundsPeriod": {"start": start, "end": end}}
        return dose(value, timing={"repeat": repeat})

    first, second = dated(20, "2026-11-01", "2026-11-05"), dated(10, "2026-11-06", "2026-11-10")
    assert read(second, first)[0].goes_down
    assert not read(dated(20, "2026-11-01", "2026-11-06"), second)[0].goes_down  # they share a day
