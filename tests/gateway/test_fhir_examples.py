"""All MedicationRequest examples of FHIR R4: each maps, or says what could not be mapped."""

import json
from typing import Any

import pytest

from medsafety.v1.prescription_pb2 import Prescription
from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.orders import read_order
from safety_service.gateway.fhir.pool import Pool
from tests.gateway.calls import DATA, TODAY, call, decision_of

FILES = sorted((DATA / "fhir-r4-examples").glob("MedicationRequest-*.json"))
# (dose, how often, days of a fill) as read by a person from the resource; "?" = it does not say so in the contract's
# terms, and the answer says why. medrx0309 and medrx0313 are wrong in the original, and read as written.
READ = {
    "medrx002": ("?", "?", "?"),
    "medrx0301": ("1-2 {tbl}", "1 / 4-6 h", "10"),
    "medrx0302": ("1-2 {tbl}", "?", "5"),
    "medrx0303": ("?", "?", "21"),
    "medrx0304": ("10 {drop}", "4 / 1 d", "10"),
    "medrx0305": ("1 {tbl}", "1 / 6-12 h", "10"),
    "medrx0306": ("6 mg", "1 / 1 d", "?"),
    "medrx0307": ("1 {tbl}", "1 / 4 h", "10"),
    "medrx0308": ("1 {tbl}", "1 / 4 h", "10"),
    "medrx0309": ("1000", "1 / 2 d", "?"),
    "medrx0310": ("1-2 {tbl}", "1 / 1 d", "?"),
    "medrx0311": ("1 {tbl}", "1 / 1 d", "30"),
    "medrx0312": ("100 mg", "3 / 1 d", "30"),
    "medrx0313": ("500 mg", "1 / 1 d", "5"),
    "medrx0314": ("75 ug", "1 / 1 d", "30"),
    "medrx0315": ("0.05-0.1", "1 / 0.25 h", "?"),
    "medrx0316": ("1.8", "1 / 3 wk", "?"),
    "medrx0317": ("3-30 mg", "?", "?"),
    "medrx0318": ("500 mg", "1 / 6 h", "?"),
    "medrx0319": ("4.5 g", "1 / 6 h", "?"),
    "medrx0320": ("20", "3 / 1 d", "30"),
    "medrx0321": ("10-20", "?", "30"),
    "medrx0322": ("20 meq", "1 / 1 h", "?"),
    "medrx0323": ("1000 mL", "1 / 24 h", "?"),
    "medrx0324": ("240 mg", "2 / 1 d", "10"),
    "medrx0325": ("1", "4 / 1 d", "10"),
    "medrx0326": ("1", "2 / 1 d", "30"),
    "medrx0327": ("1 {patch}", "3 / 1 wk", "14"),
    "medrx0328": ("1", "2 / 1 d", "30"),
    "medrx0329": ("1", "2 / 1 d", "10"),
    "medrx0330": ("1", "2 / 1 d", "30"),
    "medrx0331": ("7 mg", "1 / 1 d", "30"),
    "medrx0332": ("500 mg", "1 / 1 d", "?"),
    "medrx0333": ("1-2 {tbl}", "1 / 1 d", "10"),
    "medrx0334": ("1", "4-28 / 1 wk", "10"),
    "medrx0335": ("1", "1 / 1 d", "10"),
    "medrx0336": ("?", "?", "?"),
    "medrx0337": ("?", "?", "?"),
    "medrx0338": ("400 mg", "?", "?"),
    "medrx0339": ("?", "?", "3"),
}


def resource_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / "fhir-r4-examples" / f"{name}.json").read_text())
    return found


def test_all_forty() -> None:
    assert len(FILES) == 40
    assert {each.stem.removeprefix("MedicationRequest-") for each in FILES} == set(READ)


def span(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g}-{high:g}"


def dose(order: Prescription) -> str:
    if order.HasField("dose_quantity"):
        return f"{order.dose_quantity.value:g} {order.dose_quantity.unit}".strip()
    if order.HasField("dose_range"):
        low, high = order.dose_range.low, order.dose_range.high
        return f"{span(low.value, high.value)} {high.unit}".strip()
    return "?"


def often(order: Prescription) -> str:
    told = order.frequency
    if not order.HasField("frequency"):
        return "?"
    times = span(told.times, told.times_max or told.times)
    return f"{times} / {span(told.period, told.period_max or told.period)} {told.period_unit}"


@pytest.mark.parametrize("name", sorted(READ))
def test_example(name: str, answered: Any) -> None:
    resource = resource_of(f"MedicationRequest-{name}")
    notes = Notes()
    order = read_order(resource, "order", _pool(), TODAY, notes)
    days = str(order.days_supply) if order.HasField("days_supply") else "?"
    assert (dose(order), often(order), days) == READ[name]
    assert order.medication.text or order.medication.codings
    timed = any(each.get("timing") for each in resource["dosageInstruction"])
    if timed and (often(order) == "?" or dose(order).endswith(tuple("0123456789"))):
        assert notes.unused  # what was sent and not understood is named
    patient = resource["subject"]["reference"].removeprefix("Patient/")
    body = call(resource, prefetch={"item": [_medication(each) for each in _MEDICATIONS]})
    body["context"]["patientId"] = patient
    answer = answered(body)
    decision = decision_of(answer)
    assert decision["resolvedMedications"][0]["asSent"]
    for each in notes.unused:
        place = each.path.replace("order.", "context.draftOrders.entry[0].resource.", 1)
        assert place in [held["path"] for held in decision["notProcessed"]]


_MEDICATIONS = sorted((DATA / "fhir-r4-examples").glob("Medication-*.json"))


def _medication(path: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _pool() -> Pool:
    pool = Pool()
    for each in _MEDICATIONS:
        pool.add(_medication(each))
    return pool
