"""What the sig text adds to an order: only what the fields leave open, and nothing when the two disagree."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from safety_service.domain import Answer, Prescription, Quantity, ResolvedIngredient
from safety_service.engine.route import route_not_oral
from safety_service.engine.supply import micrograms, times_a_day
from safety_service.knowledge.sig import PIECES, Sig, dose_words, frequency_words, read_sig
from safety_service.knowledge.sig_words import SigWords
from safety_service.rules.vocabulary import EITHER

_MOST_QUOTED = 5


class Completed(NamedTuple):
    """An order with its sig read. `days` are the sig's own, for where no field tells them."""

    prescription: Prescription
    days: tuple[int, int] | None = None
    told: tuple[str, ...] = ()  # what was taken from the text, in words
    assumed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()

    def read_notes(self, days_used: bool) -> tuple[str, ...]:
        """What is to be said of it, once it is known whether the days came from the text."""
        told = self.told
        if days_used and self.days is not None:
            low, high = self.days
            told = (*told, f"{low} days" if low == high else f"{low} to {high} days")
        if not told:
            return self.notes
        assumed = f" (taken for granted: {'; '.join(self.assumed)})" if self.assumed else ""
        return (*self.notes, f"read from the sig text: {', '.join(told)}{assumed}")


def complete(words: SigWords, prescription: Prescription, strength: ResolvedIngredient | None) -> Completed:
    """The order with what its `dosage_text` says where the fields say nothing. The fields win where both speak."""
    if not prescription.dosage_text.strip():
        return Completed(prescription)
    sig = read_sig(words, prescription.dosage_text)
    if not sig.usable:
        return Completed(prescription, notes=(_not_used(sig),))
    conflicts = _conflicts(prescription, sig, strength)
    if conflicts:
        return Completed(
            prescription,
            notes=("the sig text was not used: it disagrees with what was sent beside it",),
            conflicts=tuple([f"prescription.dosage_text: {each}" for each in conflicts]),
        )
    told: list[str] = []
    filled = prescription
    if prescription.dose_high is None and sig.dose_low is not None and sig.dose_high is not None:
        low, high = _dose(sig, sig.dose_low, sig.dose_high, strength)
        filled = replace(filled, dose_low=low, dose_high=high)
        unit = " of the product" if high.unit == "1" else ""
        told.append(f"dose {dose_words(low, high)}{unit}")
    if prescription.frequency is None and sig.frequency is not None:
        filled = replace(filled, frequency=sig.frequency)
        told.append(frequency_words(sig.frequency))
    if prescription.as_needed is Answer.UNKNOWN and sig.as_needed is not Answer.UNKNOWN:
        filled = replace(filled, as_needed=sig.as_needed)
        told.append("as needed" if sig.as_needed is Answer.YES else "not said to be as needed")
    if not prescription.route and sig.route:
        filled = replace(filled, route=sig.route)
        told.append("by mouth" if sig.route == "oral" else f"route {sig.route}")
    if prescription.daily_most is None and sig.daily_most is not None:
        filled = replace(filled, daily_most=sig.daily_most)
        told.append(f"at most {dose_words(sig.daily_most, sig.daily_most)} a day")
    return Completed(filled, sig.days, tuple(told), sig.assumptions)


def _not_used(sig: Sig) -> str:
    reasons = [*sig.refused]
    if sig.unparsed:
        more = ", ..." if len(sig.unparsed) > _MOST_QUOTED else ""
        reasons.append(f"not understood: {', '.join(sig.unparsed[:_MOST_QUOTED])}{more}")
    return f"the sig text was not used, and is for you to read ({'; '.join(reasons) or 'it says nothing'})"


def _dose(sig: Sig, low: Quantity, high: Quantity, strength: ResolvedIngredient | None) -> tuple[Quantity, Quantity]:
    """The dose in pieces, or in mass where the text states it and the product's strength is not known."""
    if _piece(strength) is None and sig.stated_mass is not None:
        return sig.stated_mass, sig.stated_mass
    if _piece(strength) is None and sig.each_mass is not None:
        each = sig.each_mass
        return Quantity(low.value * each.value, each.unit), Quantity(high.value * each.value, each.unit)
    return low, high


def _piece(strength: ResolvedIngredient | None) -> int | None:
    """Micrograms in one piece of the product."""
    return micrograms(Quantity(1, "1"), strength)


def _conflicts(prescription: Prescription, sig: Sig, strength: ResolvedIngredient | None) -> list[str]:
    """What the text says otherwise than the fields, or than the product."""
    found = []
    piece = _piece(strength)
    if piece is not None and sig.dose_high is not None:
        for mass, pieces in ((sig.stated_mass, sig.dose_high.value), (sig.each_mass, 1.0)):
            holds = micrograms(mass, None)
            if mass is not None and holds != round(pieces * piece):
                said = f"{pieces:g} of the product" if pieces != 1 else "one of the product"
                found.append(f"it says that {said} is {mass.value:g} {mass.unit}; the product says otherwise")
    sent = prescription.dose_high
    if sent is not None and sig.dose_high is not None and sig.dose_low is not None:
        low = prescription.dose_low or sent
        mine, theirs = (low, sent), _dose(sig, sig.dose_low, sig.dose_high, strength)
        if _differ(mine, theirs, strength):
            found.append(f"the dose sent is {dose_words(*mine)}, the text says {dose_words(*theirs)}")
    often = prescription.frequency
    if often is not None and sig.frequency is not None and times_a_day(often) != times_a_day(sig.frequency):
        found.append(f"sent is {frequency_words(often)}, the text says {frequency_words(sig.frequency)}")
    most = prescription.daily_most
    if most is not None and sig.daily_most is not None and _differ((most, most), (sig.daily_most,) * 2, strength):
        said = dose_words(sig.daily_most, sig.daily_most)
        found.append(f"at most {dose_words(most, most)} a day was sent, the text says at most {said} a day")
    if Answer.UNKNOWN not in (prescription.as_needed, sig.as_needed) and prescription.as_needed != sig.as_needed:
        said_so = "as needed" if sig.as_needed is Answer.YES else "nothing of as needed"
        found.append(f"as needed was sent as {prescription.as_needed.name.lower()}, the text says {said_so}")
    if prescription.route and sig.route:
        routes = {route_not_oral(prescription.route), route_not_oral(sig.route)}
        if EITHER not in routes and len(routes) == 2:
            found.append(f"the route sent is {prescription.route}, the text says {sig.route}")
    return found


def _differ(
    one: tuple[Quantity, Quantity], other: tuple[Quantity, Quantity], strength: ResolvedIngredient | None
) -> bool:
    """Whether two doses are known to differ; doses that cannot be brought to one unit are not."""
    for mine, theirs in zip(one, other, strict=True):
        masses = micrograms(mine, strength), micrograms(theirs, strength)
        if None not in masses:
            if masses[0] != masses[1]:
                return True
        elif (mine.unit == theirs.unit or {mine.unit, theirs.unit} <= PIECES) and mine.value != theirs.value:
            return True
    return False
