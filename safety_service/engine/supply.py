"""How much and for how long: doses, days and courses of an order or a record, as bounds, with how they were found."""

from __future__ import annotations

from typing import NamedTuple

from safety_service.domain import (
    Answer,
    Frequency,
    MedicationRecord,
    Prescription,
    Quantity,
    RecordKind,
    ResolvedIngredient,
)
from safety_service.engine.fold import ENDLESS

_MICROGRAMS = {"kg": 1e9, "g": 1e6, "mg": 1e3, "ug": 1.0, "mcg": 1.0, "µg": 1.0, "ng": 1e-3}
_MILLILITRES = {"mL": 1.0, "ml": 1.0, "L": 1000.0, "l": 1000.0}
_ROUNDING = 1e-9  # of sums of binary fractions
SIG = "sig"
_PIECES = frozenset({"{tbl}", "{tablet}", "{cap}", "{capsule}", "{pill}", "{each}", "{packet}", "1"})


class Dose(NamedTuple):
    """Micrograms of the relaxant: one administration and one day, lowest and highest. None = not known."""

    single_low: int | None = None
    single_high: int | None = None
    daily_low: int | None = None
    daily_high: int | None = None
    daily_most: int | None = None  # as the order states it; `daily_high` is that where it is known


class Supply(NamedTuple):
    """Days of one supply and of the whole course, lowest and highest (ENDLESS = no upper bound known)."""

    days_low: int
    days_high: int
    course_low: int
    course_high: int
    source: str  # days-supply, end-date, quantity, sig, or "" when nothing told
    notes: tuple[str, ...] = ()

    @property
    def days_known(self) -> bool:
        return self.days_low == self.days_high


def micrograms(quantity: Quantity | None, strength: ResolvedIngredient | None) -> int | None:
    """The dose of one ingredient in a quantity; None when the unit or the strength does not tell."""
    if quantity is None:
        return None
    scale = _MICROGRAMS.get(quantity.unit)
    if scale is not None:
        return round(quantity.value * scale)
    if strength is None or strength.strength_ug is None:
        return None
    if quantity.unit in _PIECES and strength.per == "":
        return round(quantity.value * strength.strength_ug)
    volume = _MILLILITRES.get(quantity.unit)
    if volume is not None and strength.per == "mL":
        return round(quantity.value * volume * strength.strength_ug)
    return None


def dose(order: Prescription | MedicationRecord, strength: ResolvedIngredient | None) -> Dose:
    """The ordered dose of the ingredient with this strength. "As needed" makes the lowest day nothing, if known.

    The highest day is what the order states as its maximum, whether that is less than frequency times dose, more, or
    told without a frequency; else frequency times dose. A maximum below one dose contradicts the dose and is not used.
    """
    high = micrograms(order.dose_high, strength)
    low = micrograms(order.dose_low if order.dose_low is not None else order.dose_high, strength)
    most_told = _daily_most(order, strength)
    if order.frequency is None:
        return Dose(low, high, daily_high=most_told, daily_most=most_told)
    fewest, most = times_a_day(order.frequency)
    daily_low = 0 if order.as_needed is Answer.YES else None
    if order.as_needed is Answer.NO and low is not None:
        daily_low = round(low * fewest)
    daily_high = None if high is None else round(high * most)
    if most_told is not None:
        daily_high = most_told
        daily_low = None if daily_low is None else min(daily_low, daily_high)
    return Dose(low, high, daily_low, daily_high, most_told)


def _daily_most(order: Prescription | MedicationRecord, strength: ResolvedIngredient | None) -> int | None:
    """The most of a day as stated, if it allows one dose."""
    told = micrograms(order.daily_most, strength) if isinstance(order, Prescription) else None
    high = micrograms(order.dose_high, strength)
    return None if told is not None and high is not None and told < high else told


def _of_the_maximum(order: Prescription | MedicationRecord, strength: ResolvedIngredient | None) -> tuple[str, ...]:
    """What is told of a stated daily maximum that contradicts dose or frequency."""
    if not isinstance(order, Prescription) or order.daily_most is None:
        return ()
    high, told = micrograms(order.dose_high, strength), micrograms(order.daily_most, strength)
    if high is None or told is None:
        return ()
    if told < high:
        return (f"the daily maximum stated, {told / 1000:g} mg, is less than one dose and was not used",)
    if order.frequency is None:
        return ()
    scheduled = round(high * times_a_day(order.frequency)[1])
    if told <= scheduled:
        return ()
    return (
        f"the daily maximum stated, {told / 1000:g} mg, is more than frequency and dose make, {scheduled / 1000:g} mg: "
        "the maximum counts for the limits of a day, the frequency for how long the supply lasts",
    )


def times_a_day(frequency: Frequency) -> tuple[float, float]:
    """Fewest and most administrations in 24 hours."""
    return (
        frequency.times_low * 24 / frequency.period_hours,
        frequency.times_high * 24 / frequency.period_hours,
    )


def days_of_a_supply(days: int | None, most_days: int) -> bool:
    """Whether a number is one of days of a supply."""
    return days is not None and 1 <= days <= most_days


def supply(
    order: Prescription | MedicationRecord,
    start: int | None,
    strength: ResolvedIngredient | None,
    most_days: int,
    sig_days: tuple[int, int] | None = None,
) -> Supply:
    """Days and course of a supply that starts on `start`.

    Days come from the days supplied, else the stated end, else quantity over daily dose rounded down, else `sig_days`,
    the fewest and most that the sig text says. A number of days
    that is not 1..`most_days` is unusable and the next source is asked. Where sources disagree the first wins, noted.
    Refills that were not sent, or are no number of fills, count none for a dispensing and leave any other course open
    upwards.
    """
    found: list[tuple[str, int, int]] = []
    notes = [*_of_the_maximum(order, strength)]
    if order.days_supply is not None:
        found.append(("days-supply", order.days_supply, order.days_supply))
    if order.end is not None and start is not None:
        found.append(("end-date", order.end - start, order.end - start))
    counted = _from_quantity(order, strength)
    if counted is not None:
        found.append(("quantity", *counted))
    if sig_days is not None:
        found.append((SIG, *sig_days))
    usable = []
    for source, low, high in found:
        if days_of_a_supply(low, most_days):
            usable.append((source, low, high))
        else:
            notes.append(f"{low} d from {source} is not 1 to {most_days} d and was not used")
    if not usable:
        return Supply(1, ENDLESS, 1, ENDLESS, "", tuple(notes))
    source, low, high = usable[0]
    for other, other_low, other_high in usable[1:]:
        if other_low > high or other_high < low:
            said = f"{other_low} d" if other_low == other_high else f"at least {other_low} d"
            notes.append(f"{source} gives {low} d, {other} {said}: {source} was used")
    if source == "quantity" and low != high:
        notes.append(f"at least {low} d: quantity over the highest daily dose")
    refills_low, refills_high = _refills(order)
    course_high = ENDLESS if refills_high is None or high == ENDLESS else high * (1 + refills_high)
    return Supply(low, high, low * (1 + refills_low), course_high, source, tuple(notes))


def quantity_against_days(
    order: Prescription | MedicationRecord, start: int | None, strength: ResolvedIngredient | None, most_days: int
) -> tuple[Answer, Answer]:
    """Whether one fill is more than the highest dose uses in the days stated, and less than the scheduled dose uses.

    "As needed" uses nothing at the least; half a tablet left of the last is no excess. UNKNOWN where quantity, dose,
    frequency or days are not known.
    """
    stated = order.days_supply, order.end - start if order.end is not None and start is not None else None
    days = next((each for each in stated if days_of_a_supply(each, most_days)), None)
    uses = _uses(order, strength)
    if days is None or uses is None or order.quantity is None:
        return Answer.UNKNOWN, Answer.UNKNOWN
    total, most, least = uses
    counted = order.quantity.unit in _PIECES and order.quantity.value > 0
    piece = total / order.quantity.value if counted else 0.0
    left = total - most * days
    over = Answer.YES if left > total * _ROUNDING and left >= piece * (1 - _ROUNDING) else Answer.NO
    if order.as_needed is Answer.UNKNOWN:
        return over, Answer.UNKNOWN
    scheduled = order.as_needed is Answer.NO
    return over, Answer.YES if scheduled and total < least * days * (1 - _ROUNDING) else Answer.NO


def _refills(order: Prescription | MedicationRecord) -> tuple[int, int | None]:
    if order.refills is not None and order.refills >= 0:
        return order.refills, order.refills
    return 0, 0 if order.kind is RecordKind.DISPENSING else None


def _from_quantity(
    order: Prescription | MedicationRecord, strength: ResolvedIngredient | None
) -> tuple[int, int] | None:
    """Days a quantity lasts, fewest and most."""
    uses = _uses(order, strength)
    if uses is None:
        return None
    total, most, least = uses
    shortest = int(total / most + _ROUNDING)
    if order.as_needed is not Answer.NO or least <= 0:
        return shortest, ENDLESS
    return shortest, int(total / least + _ROUNDING)


def _uses(
    order: Prescription | MedicationRecord, strength: ResolvedIngredient | None
) -> tuple[float, float, float] | None:
    """A fill, and what its scheduled dose uses of it in a day, most and least, in one unit; None when not known."""
    if order.quantity is None or order.frequency is None or order.dose_high is None:
        return None
    total: float | None = micrograms(order.quantity, strength)
    high: float | None = micrograms(order.dose_high, strength)
    low: float | None = micrograms(order.dose_low, strength) if order.dose_low is not None else high
    told = _daily_most(order, strength)
    if total is None or high is None or low is None:
        units = {each.unit for each in (order.quantity, order.dose_high, order.dose_low) if each is not None}
        if len(units) > 1 or not order.quantity.unit:
            return None
        total, high, told = order.quantity.value, order.dose_high.value, None
        low = order.dose_low.value if order.dose_low is not None else high
    fewest, most = times_a_day(order.frequency)
    greatest = high * most
    if told is not None:
        greatest = min(greatest, told)
    return (total, greatest, min(low * fewest, greatest)) if greatest > 0 else None
