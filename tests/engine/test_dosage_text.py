"""What a sig text adds to an order: nothing that was sent is changed, and a text that disagrees adds nothing."""

from dataclasses import fields, replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safety_service.cases import DAY_0
from safety_service.domain import (
    Answer,
    CheckRequest,
    Completeness,
    Frequency,
    Listed,
    Medication,
    Patient,
    Prescription,
    Quantity,
    ResolvedIngredient,
    to_day,
)
from safety_service.engine.check import check
from safety_service.engine.dosage_text import Completed, complete
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import load_knowledge

TEN_MG = ResolvedIngredient("cyclobenzaprine", 10_000)
ORDER = Prescription(Medication(text="Cyclobenzaprine 10 mg tablet"))
ONE = Quantity(1.0, "{tbl}")


@cache
def knowledge() -> Knowledge:
    return load_knowledge()


def completed(text: str, order: Prescription = ORDER, strength: ResolvedIngredient | None = TEN_MG) -> Completed:
    return complete(knowledge().sig_words, replace(order, dosage_text=text), strength)


def test_without_a_text_the_order_is_the_same() -> None:
    assert complete(knowledge().sig_words, ORDER, TEN_MG).prescription is ORDER


def test_open_fields_are_filled() -> None:
    found = completed("1 tab PO TID PRN x 7 days, max 3 per day")
    order = found.prescription
    assert (order.dose_low, order.dose_high, order.frequency) == (ONE, ONE, Frequency(3, 3))
    assert (order.as_needed, order.route, order.daily_most) == (Answer.YES, "oral", Quantity(3.0, "{tbl}"))
    assert (found.days, order.days_supply) == ((7, 7), None)  # days take their turn among the other sources
    assert found.read_notes(days_used=True) == (
        "read from the sig text: dose 1 tablet, 3 times a day, as needed, by mouth, at most 3 tablets a day, 7 days",
    )


def test_mass_in_the_text_stands_in_for_a_strength_that_is_not_known() -> None:
    assert completed("2 tabs (10 mg total) bid", strength=None).prescription.dose_high == Quantity(10.0, "mg")
    assert completed("2 tabs (5 mg each) bid", strength=None).prescription.dose_high == Quantity(10.0, "mg")
    assert completed("2 tabs (20 mg total) bid").prescription.dose_high == Quantity(2.0, "{tbl}")
    assert completed("2 tabs (10 mg each) bid").prescription.dose_high == Quantity(2.0, "{tbl}")


@pytest.mark.parametrize("text", ["2 tabs (10 mg total) bid", "2 tabs (5 mg each) bid", "1 tab (5 mg) bid"])
def test_mass_that_the_product_contradicts_stops_the_text(text: str) -> None:
    found = completed(text)
    assert found.prescription.dose_high is None
    assert "the product says otherwise" in found.conflicts[0]


@pytest.mark.parametrize(
    ("order", "agrees", "differs"),
    [
        (replace(ORDER, dose_low=ONE, dose_high=ONE), "1 tab", "2 tabs"),
        (replace(ORDER, dose_low=ONE, dose_high=ONE), "10 mg", "5 mg"),
        (replace(ORDER, dose_low=ONE, dose_high=Quantity(2, "{tbl}")), "1-2 tabs", "1 tab"),
        (replace(ORDER, frequency=Frequency(3, 3)), "every 8 hours", "bid"),
        (replace(ORDER, frequency=Frequency(2, 3, 12)), "q4-6h", "q4h"),
        (replace(ORDER, as_needed=Answer.YES), "tid prn", "tid"),
        (replace(ORDER, as_needed=Answer.NO), "tid", "tid prn"),
        (replace(ORDER, route="26643006"), "by mouth", "IM"),
        (replace(ORDER, daily_most=Quantity(3, "{tbl}")), "1 tab tid prn, max 3 per day", "1 tab prn, max 4 per day"),
        (replace(ORDER, daily_most=Quantity(30, "mg")), "1 tab tid prn, max 3 per day", "1 tab prn, max 4 per day"),
        (replace(ORDER, route="intramuscular"), "IM", "by mouth"),
    ],
)
def test_text_that_disagrees_is_reported_and_adds_nothing(order: Prescription, agrees: str, differs: str) -> None:
    assert completed(agrees, order).conflicts == ()
    found = completed(f"{differs} for 7 days", order)
    assert found.conflicts
    assert found.prescription == replace(order, dosage_text=f"{differs} for 7 days")
    assert (found.days, found.told) == (None, ())


_SENT = st.builds(
    Prescription,
    medication=st.just(ORDER.medication),
    dose_high=st.sampled_from([None, ONE, Quantity(5, "mg")]),
    frequency=st.sampled_from([None, Frequency(3, 3), Frequency(1, 1, 8)]),
    as_needed=st.sampled_from(Answer),
    route=st.sampled_from(["", "oral", "IM", "strange way"]),
    daily_most=st.sampled_from([None, Quantity(3, "{tbl}"), Quantity(20, "mg")]),
    days_supply=st.sampled_from([None, 7]),
    dosage_text=st.sampled_from(
        ["1 tab tid", "1 tab po tid prn", "5 mg bid", "1 tab then 2", "10 mg IM q8h", "", "max 3 tabs/day"]
    ),
)


@given(_SENT, st.sampled_from([TEN_MG, None]))
def test_what_was_sent_is_never_changed(order: Prescription, strength: ResolvedIngredient | None) -> None:
    found = complete(knowledge().sig_words, order, strength)
    for each in fields(Prescription):
        sent = getattr(order, each.name)
        if sent not in (None, "", Answer.UNKNOWN):
            assert getattr(found.prescription, each.name) == sent
    assert (found.told == ()) is (found.prescription == order)  # what was added is said, and nothing else


def test_a_text_is_always_answered_for() -> None:
    """Used, in conflict or not understood: one of the three is said, or there was nothing to add."""
    patient = Patient(medications=Listed((), Completeness.COMPLETE))
    for text, said in (
        ("1 tab tid", "read from the sig text"),
        ("1 tab tid then 2", "the sig text was not used, and is for you to read"),
        ("tid prn max 1 mg per", "not understood"),
    ):
        decision = check(knowledge(), CheckRequest(replace(ORDER, dosage_text=text), patient, to_day(DAY_0)))
        assert any(said in note for note in decision.normalized_order.notes)
    sent = replace(ORDER, dosage_text="2 tabs tid", dose_low=ONE, dose_high=ONE)
    decision = check(knowledge(), CheckRequest(sent, patient, to_day(DAY_0)))
    assert decision.conflicts == ("prescription.dosage_text: the dose sent is 1 tablet, the text says 2 tablets",)
    assert decision.normalized_order.single_dose_high_ug == 10_000
