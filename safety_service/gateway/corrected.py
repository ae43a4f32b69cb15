"""The whole order with a proposed change made, for an `update` action; nothing that contradicts the change stays."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import orjson

from safety_service.domain import Suggestion
from safety_service.gateway.fhir import dates
from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.quantities import UCUM
from safety_service.gateway.fhir.shapes import Resource, listed, number, record, text, whole


def corrected(order: Resource, suggestions: Iterable[Suggestion]) -> Resource | None:
    """A changed copy, or None when a change has no place in this order that it could be made in."""
    changed: Resource = orjson.loads(orjson.dumps(order))
    changed.pop("text", None)  # the narrative tells the order as it was
    directions = False
    for each in suggestions:
        value = float(each.proposed)
        match each.field:
            case "prescription.dose_quantity":
                if not _dose(changed, value, each.unit):
                    return None
                directions = True
            case "prescription.days_supply":
                _days(changed, int(value))
                directions = True
            case "prescription.refills":
                _dispense(changed)["numberOfRepeatsAllowed"] = int(value)
            case _:
                return None
    if directions and not _take_words_out(changed):
        return None
    return changed


def _dose(order: Resource, value: float, unit: str) -> bool:
    """The dose of the one instruction. The fill lasts as long as before only with another quantity, so that goes."""
    instructions = [record(each) for each in listed(order.get("dosageInstruction"))]
    if len(instructions) != 1:
        return False
    sig = instructions[0]
    amount = {"value": _plain(value), "unit": unit, "system": UCUM, "code": unit}
    sig.pop("doseQuantity", None)
    sig["doseAndRate"] = [{"doseQuantity": amount}]
    order["dosageInstruction"] = [sig]
    _dispense(order).pop("quantity", None)
    _drop_empty_dispense(order)
    return True


def _days(order: Resource, days: int) -> None:
    """The days of one fill, with the quantity and the bounds of the timing that go with them."""
    request = _dispense(order)
    before = whole(record(request.get("expectedSupplyDuration")).get("value"))
    request["expectedSupplyDuration"] = {"value": days, "unit": "days", "system": UCUM, "code": "d"}
    quantity = record(request.get("quantity"))
    held = number(quantity.get("value"))
    if quantity:
        share = None if held is None or not before else held * days / before
        if share is not None and share.is_integer():
            quantity["value"] = int(share)
        else:
            del request["quantity"]
    for sig in map(record, listed(order.get("dosageInstruction"))):
        _bound(sig, order, days)


def _bound(sig: Resource, order: Resource, days: int) -> None:
    repeat = record(record(sig.get("timing")).get("repeat"))
    for name in ("boundsRange", "boundsDuration", "count", "countMax"):
        if name in repeat:
            repeat.pop(name)
            repeat["boundsDuration"] = {"value": days, "unit": "days", "system": UCUM, "code": "d"}
    period = record(repeat.get("boundsPeriod"))
    start = dates.calendar(dates.read_date(period.get("start") or order.get("authoredOn"), "", Notes()))
    if "end" in period:
        if start is None or (date.max - start).days < days:
            period.pop("end")
        else:
            period["end"] = (start + timedelta(days=days - 1)).isoformat()


def _dispense(order: Resource) -> Resource:
    request = record(order.get("dispenseRequest"))
    order["dispenseRequest"] = request
    return request


def _drop_empty_dispense(order: Resource) -> None:
    if not order["dispenseRequest"]:
        del order["dispenseRequest"]


def _take_words_out(order: Resource) -> bool:
    """Takes the words of the directions out, which tell them as they were, and keeps them legible as a note.

    False where the words are all there is of dose or frequency: without them the order would say less than before.
    """
    for sig in map(record, listed(order.get("dosageInstruction"))):
        words = [name for name in ("text", "patientInstruction") if text(sig.get(name))]
        timing = record(sig.get("timing"))
        often = bool(timing.get("repeat")) or _coded(timing)
        if words and not (often and (sig.get("doseAndRate") or sig.get("doseQuantity"))):
            return False
        before = "; ".join(text(sig.pop(name)) for name in words)
        if before:
            kept = {"text": f"Directions before the change, no longer in force: {before}"}
            order["note"] = [*listed(order.get("note")), kept]
        if often and "text" in record(timing.get("code")):
            del timing["code"]["text"]
            if not timing["code"]:
                del timing["code"]
    return True


def _coded(timing: Resource) -> bool:
    return any(text(record(each).get("code")) for each in listed(record(timing.get("code")).get("coding")))


def _plain(value: float) -> Any:
    return int(value) if value.is_integer() else value
