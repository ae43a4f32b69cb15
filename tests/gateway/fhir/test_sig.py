"""The sig beside the structure: what it fills in, and where the two disagree."""

from typing import Any

import pytest

from medsafety.v1.common_pb2 import ANSWER_NO, ANSWER_UNSPECIFIED, ANSWER_YES
from medsafety.v1.prescription_pb2 import Prescription
from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.orders import read_order
from safety_service.gateway.fhir.pool import Pool
from tests.gateway.calls import TODAY, call, decision_of, order, rules_of

TID = {"repeat": {"frequency": 3, "period": 1, "periodUnit": "d"}}
ONE = [{"doseQuantity": {"value": 1, "unit": "tablet"}}]
TEXT = "order.dosageInstruction[0].text"


def read(**instruction: Any) -> tuple[Prescription, Notes]:
    notes = Notes()
    resource = order(dosageInstruction=[instruction], dispenseRequest=None)
    return read_order(resource, "order", Pool(), TODAY, notes), notes


def unused(notes: Notes) -> list[tuple[str, str]]:
    return [(each.path, each.reason) for each in notes.unused]


def test_a_sig_alone_says_all() -> None:
    told, notes = read(text="Take 1 tablet by mouth three times a day for 14 days as needed for muscle spasm")
    assert (told.dose_quantity.value, told.dose_quantity.unit) == (1, "{tbl}")
    assert (told.frequency.times, told.frequency.period, told.frequency.period_unit) == (3, 1, "d")
    assert told.as_needed == ANSWER_YES
    assert told.route == "oral"
    assert (told.end_date.month, told.end_date.day) == (12, 9)
    assert unused(notes) == []
    assert notes.said == [f"{TEXT}: dose, frequency, length read from the text"]


def test_a_sig_that_does_not_say_as_needed_is_regular() -> None:
    assert read(text="1 tablet tid")[0].as_needed == ANSWER_NO
    assert read(text="1 tablet tid zzz")[0].as_needed == ANSWER_UNSPECIFIED


def test_what_is_assumed_is_said() -> None:
    told, notes = read(text="1-2 po q6h prn pain")
    assert (told.dose_range.low.value, told.dose_range.high.value, told.dose_range.high.unit) == (1, 2, "{pill}")
    assert "taken as pieces" in notes.said[0]


def test_structure_is_filled_where_it_is_open() -> None:
    told, notes = read(text="1 tab tid x 10 days", doseAndRate=ONE)
    assert told.frequency.times == 3
    assert notes.said == [f"{TEXT}: frequency, length read from the text"]


def test_what_agrees_needs_no_word() -> None:
    told, notes = read(text="1 tab po tid", timing=TID, doseAndRate=ONE)
    assert told.dose_quantity.unit == "{tbl}"
    assert (notes.said, unused(notes)) == ([], [])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("2 tabs po tid", "dose"),
        ("1 tab po bid", "frequency"),
        ("1 tab po tid prn", "as-needed"),
        ("1 tab po tid x 7 days", "length"),
    ],
)
def test_what_disagrees_is_said_and_the_structure_counts(text: str, what: str) -> None:
    timing = {"repeat": {**TID["repeat"], "boundsDuration": {"value": 14, "unit": "d", "code": "d"}}}
    told, notes = read(text=text, timing=timing, doseAndRate=ONE, asNeededBoolean=False)
    assert (told.dose_quantity.value, told.frequency.times, told.as_needed) == (1, 3, ANSWER_NO)
    assert unused(notes) == [(TEXT, f"says another {what} than the structure, which was used")]


def test_other_units_are_not_compared() -> None:
    """10 mg and one tablet may be the same."""
    _, notes = read(text="10 mg tid", timing=TID, doseAndRate=ONE)
    assert unused(notes) == []


def test_every_6_hours_is_four_times_a_day() -> None:
    four = {"repeat": {"frequency": 4, "period": 1, "periodUnit": "d"}}
    assert unused(read(text="1 tab q6h", timing=four, doseAndRate=ONE)[1]) == []
    assert unused(read(text="1 tab q4-6h", timing=four, doseAndRate=ONE)[1]) != []


def test_what_is_not_read_is_said_where_it_matters() -> None:
    told, notes = read(text="tome una tableta tres veces al día")
    assert not told.HasField("frequency")
    ((path, why),) = [each for each in unused(notes) if each[0] == TEXT]
    assert path == TEXT
    assert "was not read" in why
    assert "tableta" not in why
    assert unused(read(text="tome una tableta", timing=TID, doseAndRate=ONE)[1]) == []  # the structure says it all


def test_the_alerts_are_those_of_the_structure(answered: Any) -> None:
    structured = order(dispenseRequest={"expectedSupplyDuration": {"value": 28, "code": "d"}})
    written = order(dosageInstruction=[{"text": "1 tablet by mouth 3 times a day for 28 days"}], dispenseRequest=None)
    assert rules_of(answered(call(written))) == rules_of(answered(call(structured)))
    assert "duration.course" in rules_of(answered(call(written)))


def test_how_it_was_read_is_in_the_answer(answered: Any) -> None:
    sent = order(dosageInstruction=[{"text": "1 tablet tid"}])
    assert any("read from the text" in each for each in decision_of(answered(call(sent)))["said"])
