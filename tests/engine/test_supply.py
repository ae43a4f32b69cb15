"""How much and for how long: which source of days wins, what a dose comes to, and what stays unknown."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safety_service.domain import (
    Answer,
    Frequency,
    Medication,
    MedicationRecord,
    Prescription,
    Quantity,
    RecordKind,
    ResolvedIngredient,
)
from safety_service.engine.fold import ENDLESS
from safety_service.engine.supply import Dose, Supply, dose, micrograms, quantity_against_days, supply, times_a_day

DRUG = Medication(text="cyclobenzaprine")
TEN_MG = ResolvedIngredient("cyclobenzaprine", 10_000)
SYRUP = ResolvedIngredient("baclofen", 1_000, "mL")  # 1 mg/mL
NO_STRENGTH = ResolvedIngredient("cyclobenzaprine", None)
THREE_A_DAY = Frequency(3, 3)
MOST_DAYS = 365

ORDER = Prescription(DRUG, start=100)
TABLETS = replace(
    ORDER,
    dose_low=Quantity(1, "{tbl}"),
    dose_high=Quantity(1, "{tbl}"),
    frequency=THREE_A_DAY,
    as_needed=Answer.NO,
    quantity=Quantity(42, "{tbl}"),
    refills=0,
)


def days(order: Prescription | MedicationRecord, strength: ResolvedIngredient | None = TEN_MG) -> Supply:
    return supply(order, order.start, strength, MOST_DAYS)


# --- days: which source, in which order -----------------------------------------------------------------------------


def test_days_supply_before_end_before_quantity() -> None:
    everything = replace(TABLETS, days_supply=14, end=114)
    assert (days(everything).source, days(everything).days_low) == ("days-supply", 14)
    without = replace(everything, days_supply=None, end=110)
    assert (days(without).source, days(without).days_low) == ("end-date", 10)
    assert (days(TABLETS).source, days(TABLETS).days_low) == ("quantity", 14)
    assert days(ORDER) == Supply(1, ENDLESS, 1, ENDLESS, "")


@pytest.mark.parametrize("unusable", [0, 366, 1_000_000, -3])
def test_an_unusable_number_of_days_is_said_and_the_next_source_asked(unusable: int) -> None:
    found = days(replace(TABLETS, days_supply=unusable))
    assert (found.source, found.days_low, found.days_high) == ("quantity", 14, 14)
    assert found.notes == (f"{unusable} d from days-supply is not 1 to 365 d and was not used",)
    found = days(replace(ORDER, days_supply=unusable, refills=0))
    assert (found.source, found.course_low, found.course_high) == ("", 1, ENDLESS)
    assert len(found.notes) == 1


@pytest.mark.parametrize("usable", [1, 365])
def test_the_first_and_the_last_usable_number_of_days(usable: int) -> None:
    found = days(replace(ORDER, days_supply=usable, refills=0))
    assert found == Supply(usable, usable, usable, usable, "days-supply")
    assert found.days_known


@pytest.mark.parametrize(("end", "usable"), [(99, False), (100, False), (101, True), (465, True), (466, False)])
def test_an_end_is_the_first_day_without(end: int, usable: bool) -> None:
    found = days(replace(ORDER, end=end))
    assert found.source == ("end-date" if usable else "")
    assert len(found.notes) == (not usable)
    if usable:
        assert found.days_low == found.days_high == end - 100


def test_an_end_without_a_start_tells_no_days() -> None:
    assert supply(replace(ORDER, start=None, end=114), None, TEN_MG, MOST_DAYS).source == ""


def test_disagreement_is_noted_and_the_first_source_wins() -> None:
    found = days(replace(TABLETS, days_supply=10, end=121))
    assert (found.source, found.days_low, found.days_high) == ("days-supply", 10, 10)
    assert found.notes == (
        "days-supply gives 10 d, end-date 21 d: days-supply was used",
        "days-supply gives 10 d, quantity 14 d: days-supply was used",
    )
    assert days(replace(TABLETS, days_supply=14, end=114)).notes == ()


def test_a_quantity_that_allows_the_days_sent_is_no_disagreement() -> None:
    as_needed = replace(TABLETS, as_needed=Answer.YES)
    assert days(replace(as_needed, days_supply=30)).notes == ()
    assert days(replace(as_needed, days_supply=13)).notes == (
        "days-supply gives 13 d, quantity at least 14 d: days-supply was used",
    )


@pytest.mark.parametrize(
    ("quantity", "expected"), [(2, None), (3, 1), (5, 1), (6, 2), (41, 13), (42, 14), (44, 14), (45, 15), (1098, None)]
)
def test_quantity_over_daily_dose_is_rounded_down(quantity: int, expected: int | None) -> None:
    found = days(replace(TABLETS, quantity=Quantity(quantity, "{tbl}")))
    assert found.source == ("quantity" if expected else "")
    assert found.days_low == (expected or 1)
    assert found.days_high == (expected or ENDLESS)


def test_a_quantity_that_divides_without_rest_loses_no_day_to_binary_fractions() -> None:
    for tenths in range(1, 200):
        for whole in (1, 7, 14, 30):
            order = replace(
                TABLETS,
                dose_low=Quantity(tenths / 10, "mL"),
                dose_high=Quantity(tenths / 10, "mL"),
                quantity=Quantity(tenths * 3 * whole / 10, "mL"),
            )
            for strength in (SYRUP, None):
                assert days(order, strength).days_low == whole


@pytest.mark.parametrize(
    "changed",
    [
        {"quantity": None},
        {"frequency": None},
        {"dose_high": None, "dose_low": None},
        {"quantity": Quantity(42)},
        {"dose_high": Quantity(1), "dose_low": Quantity(1)},
        {"quantity": Quantity(42), "dose_high": Quantity(1), "dose_low": Quantity(1)},
        {"quantity": Quantity(42, "mL")},
        {"dose_high": Quantity(5, "mL"), "dose_low": Quantity(5, "mL")},
        {"quantity": Quantity(1, "{bottle}")},
    ],
)
def test_quantity_tells_nothing_without_dose_frequency_and_units_that_fit(changed: dict[str, Quantity | None]) -> None:
    assert days(replace(TABLETS, **changed)).source == ""  # type: ignore[arg-type]


def test_tablets_over_milligrams_needs_the_strength() -> None:
    order = replace(TABLETS, dose_low=Quantity(10, "mg"), dose_high=Quantity(10, "mg"))
    assert days(order).days_low == days(order).days_high == 14
    assert days(order, NO_STRENGTH).source == days(order, None).source == ""
    assert days(order, SYRUP).source == ""


def test_tablets_over_tablets_needs_no_strength() -> None:
    for strength in (TEN_MG, NO_STRENGTH, SYRUP, None):
        assert days(TABLETS, strength).days_low == days(TABLETS, strength).days_high == 14


def test_a_range_gives_days_at_least_and_at_most() -> None:
    order = replace(TABLETS, dose_low=Quantity(1, "{tbl}"), dose_high=Quantity(2, "{tbl}"))
    found = days(order)
    assert (found.days_low, found.days_high) == (7, 14)
    assert not found.days_known
    assert found.notes == ("at least 7 d: quantity over the highest daily dose",)
    found = days(replace(TABLETS, frequency=Frequency(2, 3)))
    assert (found.days_low, found.days_high) == (14, 21)


def test_a_range_in_two_units_without_strength_is_not_mixed_up() -> None:
    order = replace(TABLETS, dose_low=Quantity(500, "mg"), dose_high=Quantity(1, "{tbl}"))
    for low, high in ((order.dose_low, order.dose_high), (order.dose_high, order.dose_low)):
        found = days(replace(order, dose_low=low, dose_high=high), NO_STRENGTH)
        assert found.source == "", "500 mg is not 500 tablets"


@pytest.mark.parametrize("as_needed", [Answer.YES, Answer.UNKNOWN])
def test_as_needed_or_perhaps_so_has_no_longest(as_needed: Answer) -> None:
    found = days(replace(TABLETS, as_needed=as_needed))
    assert (found.days_low, found.days_high, found.source) == (14, ENDLESS, "quantity")
    assert (found.course_low, found.course_high) == (14, ENDLESS)
    # days that were sent are days, as needed or not
    assert days(replace(TABLETS, as_needed=as_needed, days_supply=10)).days_high == 10


# --- refills --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("refills", "course"), [(0, 14), (1, 28), (2, 42), (11, 168)])
def test_a_course_is_days_times_one_and_the_refills(refills: int, course: int) -> None:
    found = days(replace(ORDER, days_supply=14, refills=refills))
    assert (found.days_low, found.course_low, found.course_high) == (14, course, course)


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        (RecordKind.ORDER, ENDLESS),
        (RecordKind.DISPENSING, 14),
        (RecordKind.STATEMENT, ENDLESS),
        (RecordKind.UNSPECIFIED, ENDLESS),
    ],
)
def test_refills_not_sent_are_open_for_all_but_a_dispensing(kind: RecordKind, most: int) -> None:
    for order in (
        replace(ORDER, kind=kind, days_supply=14),
        MedicationRecord(DRUG, kind=kind, days_supply=14, start=100),
    ):
        found = days(order)
        assert (found.course_low, found.course_high) == (14, most)
        assert found.days_known


def test_refills_of_a_supply_of_unknown_days() -> None:
    found = days(replace(ORDER, refills=2))
    assert (found.course_low, found.course_high) == (1, ENDLESS)
    found = days(replace(TABLETS, as_needed=Answer.YES, refills=1))
    assert (found.course_low, found.course_high) == (28, ENDLESS)


# --- doses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "unit", "strength", "expected"),
    [
        (10, "mg", None, 10_000),
        (7.5, "mg", None, 7_500),
        (0.1, "mg", None, 100),
        (2.01, "mg", None, 2_010),
        (0.5, "g", None, 500_000),
        (1, "kg", None, 10**9),
        (250, "ug", None, 250),
        (250, "mcg", None, 250),
        (500_000, "ng", None, 500),
        (1, "{tbl}", TEN_MG, 10_000),
        (0.5, "{tbl}", TEN_MG, 5_000),
        (2, "{cap}", TEN_MG, 20_000),
        (1, "1", TEN_MG, 10_000),
        (5, "mL", SYRUP, 5_000),
        (2.5, "mL", SYRUP, 2_500),
        (0.005, "L", SYRUP, 5_000),
        # a unit that is missing, strange or of another kind is unknown, never mg
        (10, "", TEN_MG, None),
        (10, "", None, None),
        (10, "MG", TEN_MG, None),
        (10, "mg/mL", SYRUP, None),
        (10, "[iU]", TEN_MG, None),
        (10, "tablet", TEN_MG, None),
        (1, "{tbl}", NO_STRENGTH, None),
        (1, "{tbl}", None, None),
        (1, "{tbl}", SYRUP, None),
        (5, "mL", TEN_MG, None),
        (5, "mL", NO_STRENGTH, None),
        (5, "mL", None, None),
    ],
)
def test_micrograms(value: float, unit: str, strength: ResolvedIngredient | None, expected: int | None) -> None:
    assert micrograms(Quantity(value, unit), strength) == expected


def test_nothing_sent_is_nothing_known() -> None:
    assert micrograms(None, TEN_MG) is None
    assert dose(ORDER, TEN_MG) == Dose()
    assert dose(replace(ORDER, frequency=THREE_A_DAY), TEN_MG) == Dose()


@pytest.mark.parametrize(
    ("times", "hours", "a_day"), [(3, 24, 3.0), (1, 8, 3.0), (1, 6, 4.0), (1, 48, 0.5), (2, 168, 2 / 7), (1, 24, 1.0)]
)
def test_times_a_day(times: int, hours: int, a_day: float) -> None:
    assert times_a_day(Frequency(times, times, hours)) == pytest.approx((a_day, a_day))


def test_dose_of_a_range() -> None:
    order = replace(
        ORDER,
        dose_low=Quantity(1, "{tbl}"),
        dose_high=Quantity(2, "{tbl}"),
        frequency=Frequency(2, 3),
        as_needed=Answer.NO,
    )
    assert dose(order, TEN_MG) == Dose(10_000, 20_000, 20_000, 60_000)
    assert dose(replace(order, as_needed=Answer.YES), TEN_MG) == Dose(10_000, 20_000, 0, 60_000)
    assert dose(replace(order, frequency=None), TEN_MG) == Dose(10_000, 20_000)
    assert dose(replace(order, dose_low=None), TEN_MG) == Dose(20_000, 20_000, 40_000, 60_000)


@pytest.mark.parametrize(
    ("most", "often", "daily", "told"),
    [
        (Quantity(20, "mg"), THREE_A_DAY, (20_000, 20_000), ""),
        (Quantity(3, "{tbl}"), THREE_A_DAY, (30_000, 30_000), ""),
        (Quantity(60, "mg"), THREE_A_DAY, (30_000, 60_000), "60 mg, is more than frequency and dose make, 30 mg"),
        (Quantity(10, "mg"), Frequency(1, 1, 48), (5_000, 10_000), "10 mg, is more than frequency and dose make, 5 mg"),
        (Quantity(60, "mg"), None, (None, 60_000), ""),
        (Quantity(10, "mg"), None, (None, 10_000), ""),
        # less than one dose: one of the two is wrong, and the dose counts
        (Quantity(9, "mg"), THREE_A_DAY, (30_000, 30_000), "9 mg, is less than one dose and was not used"),
        (Quantity(9, "mg"), None, (None, None), "9 mg, is less than one dose and was not used"),
        (Quantity(9), THREE_A_DAY, (30_000, 30_000), ""),
    ],
)
def test_the_daily_maximum_stated_is_the_highest_day(
    most: Quantity, often: Frequency | None, daily: tuple[int | None, int | None], told: str
) -> None:
    order = replace(TABLETS, daily_most=most, frequency=often, days_supply=7)
    found = dose(order, TEN_MG)
    assert (found.daily_low, found.daily_high) == daily
    notes = days(order).notes
    assert len([each for each in notes if "maximum" in each]) == bool(told)
    assert told in "".join(notes)
    as_needed = dose(replace(order, as_needed=Answer.YES), TEN_MG)
    assert as_needed.daily_high == daily[1]


def test_a_daily_maximum_is_known_without_a_dose() -> None:
    order = replace(ORDER, daily_most=Quantity(6, "{tbl}"), frequency=THREE_A_DAY)
    assert dose(order, TEN_MG) == Dose(daily_high=60_000, daily_most=60_000)
    assert dose(order, NO_STRENGTH) == Dose()


def test_half_a_known_dose_stays_half() -> None:
    order = replace(ORDER, dose_low=Quantity(1, "{tbl}"), dose_high=Quantity(20, "mg"), frequency=THREE_A_DAY)
    found = dose(order, NO_STRENGTH)
    assert (found.single_low, found.single_high) == (None, 20_000)
    assert found.daily_low is None
    assert found.daily_high == 60_000


# --- quantity against days --------------------------------------------------------------------------------------------

YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN
A_WEEK = replace(TABLETS, days_supply=7)  # uses 21 tablets


def over_and_short(
    order: Prescription | MedicationRecord, strength: ResolvedIngredient | None = TEN_MG
) -> tuple[Answer, Answer]:
    return quantity_against_days(order, order.start, strength, MOST_DAYS)


@pytest.mark.parametrize(
    ("quantity", "expected"), [(1, (NO, YES)), (20, (NO, YES)), (21, (NO, NO)), (22, (YES, NO)), (90, (YES, NO))]
)
def test_a_fill_against_the_days_stated(quantity: int, expected: tuple[Answer, Answer]) -> None:
    assert over_and_short(replace(A_WEEK, quantity=Quantity(quantity, "{tbl}"))) == expected


@pytest.mark.parametrize(
    ("as_needed", "quantity", "expected"),
    [
        (YES, 22, (YES, NO)),
        (YES, 21, (NO, NO)),
        (YES, 1, (NO, NO)),
        # whether it is as needed was not sent: what is over is over all the same
        (UNKNOWN, 22, (YES, UNKNOWN)),
        (UNKNOWN, 21, (NO, UNKNOWN)),
        (UNKNOWN, 1, (NO, UNKNOWN)),
    ],
)
def test_as_needed_uses_nothing_at_the_least(as_needed: Answer, quantity: int, expected: tuple[Answer, Answer]) -> None:
    order = replace(A_WEEK, as_needed=as_needed, quantity=Quantity(quantity, "{tbl}"))
    assert over_and_short(order) == expected


@pytest.mark.parametrize(("quantity", "expected"), [(6, (NO, YES)), (7, (NO, NO)), (42, (NO, NO)), (43, (YES, NO))])
def test_a_range_is_over_its_highest_and_short_of_its_lowest(quantity: int, expected: tuple[Answer, Answer]) -> None:
    order = replace(
        A_WEEK,
        dose_high=Quantity(2, "{tbl}"),
        frequency=Frequency(1, 3),
        quantity=Quantity(quantity, "{tbl}"),
    )
    assert over_and_short(order) == expected


@pytest.mark.parametrize(
    ("half", "quantity", "unit", "expected"),
    [
        # 10.5 tablets are used: the eleventh cannot be handed out by halves
        ("{tbl}", 10, "{tbl}", (NO, YES)),
        ("{tbl}", 10.5, "{tbl}", (NO, NO)),
        ("{tbl}", 11, "{tbl}", (NO, NO)),
        ("{tbl}", 12, "{tbl}", (YES, NO)),
        # a solution is poured
        ("mL", 10, "mL", (NO, YES)),
        ("mL", 10.5, "mL", (NO, NO)),
        ("mL", 11, "mL", (YES, NO)),
    ],
)
def test_half_a_tablet_left_is_no_excess(
    half: str, quantity: float, unit: str, expected: tuple[Answer, Answer]
) -> None:
    order = replace(
        A_WEEK, dose_low=Quantity(0.5, half), dose_high=Quantity(0.5, half), quantity=Quantity(quantity, unit)
    )
    assert over_and_short(order, SYRUP if unit == "mL" else TEN_MG) == expected
    assert over_and_short(order, NO_STRENGTH) == expected
    assert over_and_short(order, None) == expected


def test_half_a_tablet_left_is_no_excess_of_a_dose_in_milligrams() -> None:
    order = replace(A_WEEK, dose_low=Quantity(5, "mg"), dose_high=Quantity(5, "mg"), quantity=Quantity(11, "{tbl}"))
    assert over_and_short(order) == (NO, NO)
    assert over_and_short(replace(order, quantity=Quantity(12, "{tbl}"))) == (YES, NO)
    assert over_and_short(replace(order, quantity=Quantity(110, "mg"))) == (YES, NO)


@pytest.mark.parametrize(
    ("days_supply", "end", "over"),
    [
        (7, None, YES),
        (8, None, NO),
        (None, 107, YES),
        (None, 108, NO),
        (8, 107, NO),  # days before end
        # what cannot be days is not used, and the next source is asked, as for the course
        (0, 107, YES),
        (366, 108, NO),
        (365, 107, NO),
        (None, None, UNKNOWN),
        (0, None, UNKNOWN),
        (366, None, UNKNOWN),
        (None, 100, UNKNOWN),
        (None, 466, UNKNOWN),
    ],
)
def test_days_as_stated_never_from_the_quantity_itself(days_supply: int | None, end: int | None, over: Answer) -> None:
    order = replace(TABLETS, days_supply=days_supply, end=end, quantity=Quantity(22, "{tbl}"))
    assert over_and_short(order)[0] is over


def test_an_end_without_a_start_says_nothing_of_the_quantity() -> None:
    order = replace(TABLETS, start=None, end=107)
    assert over_and_short(order) == (UNKNOWN, UNKNOWN)


@pytest.mark.parametrize(
    "changed",
    [
        {"quantity": None},
        {"frequency": None},
        {"dose_high": None, "dose_low": None},
        {"quantity": Quantity(42)},
        {"quantity": Quantity(42, "mL")},
        {"quantity": Quantity(1, "{bottle}")},
    ],
)
def test_what_is_missing_leaves_both_open(changed: dict[str, Quantity | None]) -> None:
    assert over_and_short(replace(A_WEEK, **changed)) == (UNKNOWN, UNKNOWN)  # type: ignore[arg-type]


def test_a_quantity_of_nothing_is_short() -> None:
    assert over_and_short(replace(A_WEEK, quantity=Quantity(0, "{tbl}"))) == (NO, YES)


@given(
    st.integers(1, 400),
    st.integers(1, 12),
    st.integers(0, 12),
    st.integers(1, 6),
    st.sampled_from([6, 8, 24, 168]),
    st.integers(1, 60),
    st.sampled_from(["{tbl}", "mL"]),
)
def test_quantity_against_days_by_exact_fractions(
    quantity: int, quarters: int, more: int, times: int, hours: int, lasting: int, unit: str
) -> None:
    order = replace(
        TABLETS,
        dose_low=Quantity(quarters / 4, unit),
        dose_high=Quantity((quarters + more) / 4, unit),
        frequency=Frequency(times, times, hours),
        quantity=Quantity(quantity, unit),
        days_supply=lasting,
    )
    least = Fraction(quarters, 4) * times * Fraction(24, hours) * lasting
    most = Fraction(quarters + more, 4) * times * Fraction(24, hours) * lasting
    left = quantity - most
    over = left >= 1 if unit == "{tbl}" else left > 0
    assert over_and_short(order, None) == (YES if over else NO, YES if quantity < least else NO)


# --- laws -----------------------------------------------------------------------------------------------------------

UNITS = st.sampled_from(["mg", "g", "ug", "{tbl}", "{cap}", "mL", "L", "1", "", "{bottle}"])
VALUES = st.one_of(st.integers(1, 400).map(float), st.integers(1, 400).map(lambda n: n / 8))
STRENGTHS = st.sampled_from([TEN_MG, SYRUP, NO_STRENGTH, None])
MAYBE_DAYS = st.one_of(st.none(), st.integers(-1, 400))


@st.composite
def orders(draw: st.DrawFn) -> Prescription | MedicationRecord:
    unit = draw(UNITS)
    low, high = sorted((draw(VALUES), draw(VALUES)))
    fewest, most = sorted((draw(st.integers(1, 6)), draw(st.integers(1, 6))))
    end = draw(st.one_of(st.none(), st.integers(90, 500)))
    sent = {
        "kind": draw(st.sampled_from(RecordKind)),
        "dose_low": draw(st.sampled_from([None, Quantity(low, unit)])),
        "dose_high": draw(st.sampled_from([None, Quantity(high, unit)])),
        "frequency": draw(st.sampled_from([None, Frequency(fewest, most, draw(st.sampled_from([6, 8, 24, 168])))])),
        "as_needed": draw(st.sampled_from(Answer)),
        "start": 100,
        "end": end,
        "days_supply": draw(MAYBE_DAYS),
        "quantity": draw(st.one_of(st.none(), st.builds(Quantity, VALUES, UNITS))),
        "refills": draw(st.one_of(st.none(), st.integers(0, 12))),
    }
    if draw(st.booleans()):
        return Prescription(DRUG, **sent, daily_most=draw(st.one_of(st.none(), st.builds(Quantity, VALUES, UNITS))))
    return MedicationRecord(DRUG, **sent)


@given(orders(), STRENGTHS)
def test_bounds_are_in_order_and_say_where_they_come_from(
    order: Prescription | MedicationRecord, strength: ResolvedIngredient | None
) -> None:
    found = days(order, strength)
    assert 1 <= found.days_low <= found.days_high <= ENDLESS
    assert found.days_low <= MOST_DAYS
    assert 1 <= found.course_low <= found.course_high <= ENDLESS
    assert found.days_low <= found.course_low
    assert found.days_high <= found.course_high
    assert found.days_known == (found.days_low == found.days_high)
    if not found.source:
        assert found.days_high == found.course_high == ENDLESS
    if found.source == "quantity":
        assert order.quantity is not None
        assert order.dose_high is not None
        assert order.frequency is not None
    given_dose = dose(order, strength)
    for low, high in (
        (given_dose.single_low, given_dose.single_high),
        (given_dose.daily_low, given_dose.daily_high),
    ):
        assert low is None or high is None or low <= high


@given(orders(), STRENGTHS, st.integers(2, 5))
def test_more_of_it_never_lasts_shorter(
    order: Prescription | MedicationRecord, strength: ResolvedIngredient | None, times: int
) -> None:
    if order.quantity is None:
        return
    by_quantity = replace(order, days_supply=None, end=None)
    more = replace(by_quantity, quantity=Quantity(order.quantity.value * times, order.quantity.unit))
    less, longer = days(by_quantity, strength), days(more, strength)
    if longer.source:  # too much for a year is unusable, as is too little for a day
        assert less.days_low <= longer.days_low
    if less.source and longer.source:
        assert less.days_high <= longer.days_high
        assert longer.days_low >= times * less.days_low


@given(st.integers(1, 2_000), st.integers(1, 8), st.integers(1, 6), st.sampled_from([6, 8, 24, 168]))
def test_quantity_over_daily_dose_by_exact_fractions(quantity: int, eighths: int, times: int, hours: int) -> None:
    order = replace(
        TABLETS,
        dose_low=Quantity(eighths / 8, "{tbl}"),
        dose_high=Quantity(eighths / 8, "{tbl}"),
        frequency=Frequency(times, times, hours),
        quantity=Quantity(quantity, "{tbl}"),
    )
    exact = int(quantity / (Fraction(eighths, 8) * times * 24 / hours))
    found = days(order)
    if 1 <= exact <= MOST_DAYS:
        assert (found.days_low, found.days_high) == (exact, exact)
    else:
        assert found.source == ""
