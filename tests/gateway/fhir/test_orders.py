"""Orders and records: medication, supply, status, reasons."""

from datetime import date
from typing import Any

import pytest

from medsafety.v1 import patient_pb2
from medsafety.v1.prescription_pb2 import Prescription
from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.orders import read_order, read_record
from safety_service.gateway.fhir.pool import Pool
from tests.gateway.calls import TODAY, order

CODED = {"code": "828348", "system": "http://www.nlm.nih.gov/research/umls/rxnorm"}


def read(resource: dict[str, Any], *pooled: dict[str, Any]) -> tuple[Prescription, Notes]:
    pool, notes = Pool(), Notes()
    for each in pooled:
        pool.add(each)
    return read_order(resource, "order", pool, TODAY, notes), notes


def test_the_order_of_the_helpers() -> None:
    told, notes = read(order())
    assert told.id == "MedicationRequest/mr1"
    assert told.medication.codings[0].code == "828348"
    assert (told.dose_quantity.value, told.dose_quantity.unit) == (1, "{tbl}")
    assert (told.frequency.times, told.frequency.period, told.frequency.period_unit) == (3, 1, "d")
    assert (told.days_supply, told.refills) == (14, 0)
    assert (told.ordered_on.year, told.ordered_on.month, told.ordered_on.day) == (2026, 11, 25)
    assert not notes.unused
    assert not notes.said


@pytest.mark.parametrize("reference", ["#m", "Medication/m", "https://ehr.example.org/r4/Medication/m"])
def test_medication_by_reference(reference: str) -> None:
    medication = {"resourceType": "Medication", "id": "m", "code": {"coding": [CODED], "text": "Cyclobenzaprine"}}
    members = {"medicationCodeableConcept": None, "medicationReference": {"reference": reference}}
    if reference.startswith("#"):
        told, _ = read(order(**members, contained=[medication]))
    else:
        told, _ = read(order(**members), medication)
    assert told.medication.codings[0].code == "828348"
    assert told.medication.text == "Cyclobenzaprine"


def test_medication_that_was_not_sent() -> None:
    members = {"medicationCodeableConcept": None}
    told, notes = read(order(**members, medicationReference={"reference": "Medication/x", "display": "Flexeril 10 mg"}))
    assert told.medication.text == "Flexeril 10 mg"
    assert notes.said
    told, notes = read(order(**members, medicationReference={"reference": "Medication/x"}))
    assert not told.medication.text
    assert [each.path for each in notes.unused] == ["order.medicationReference"]


def test_strength_of_the_medication_resource() -> None:
    medication = {
        "resourceType": "Medication",
        "id": "m",
        "code": {"text": "Cyclobenzaprine"},
        "form": {"text": "tablet"},
        "ingredient": [
            {"strength": {"numerator": {"value": 10, "unit": "mg"}, "denominator": {"value": 1, "unit": "tablet"}}}
        ],
    }
    members = {"medicationCodeableConcept": None, "medicationReference": {"reference": "Medication/m"}}
    assert read(order(**members), medication)[0].medication.text == "Cyclobenzaprine 10 mg tablet"


def supply(**members: Any) -> Prescription:
    return read(order(dispenseRequest=members))[0]


@pytest.mark.parametrize(
    ("value", "days"),
    [({"value": 14, "code": "d"}, 14), ({"value": 2, "code": "wk"}, 14), ({"value": 30.0, "unit": "days"}, 30),
     ({"value": 1, "code": "mo"}, 30), ({"value": 14}, None), ({"value": 1.5, "code": "d"}, None),
     ({"value": -3, "code": "d"}, None)],
)  # fmt: skip
def test_days_of_a_fill(value: dict[str, Any], days: int | None) -> None:
    told = supply(expectedSupplyDuration=value)
    assert (told.days_supply if told.HasField("days_supply") else None) == days


def bounded(**dispense: Any) -> dict[str, Any]:
    repeat = {"frequency": 3, "period": 1, "periodUnit": "d", "boundsDuration": {"value": 28, "code": "d"}}
    return order(dosageInstruction=[{"timing": {"repeat": repeat}}], dispenseRequest=dispense or None)


def test_bounds_are_the_whole_course() -> None:
    told, _ = read(bounded())
    assert (told.end_date.month, told.end_date.day) == (12, 23)
    assert not told.HasField("refills")


def test_refills_beside_bounds_are_open() -> None:
    told, notes = read(bounded(numberOfRepeatsAllowed=1))
    assert not told.HasField("refills")
    assert [each.path for each in notes.unused] == ["order.dispenseRequest.numberOfRepeatsAllowed"]
    told, notes = read(bounded(numberOfRepeatsAllowed=0))
    assert told.refills == 0
    assert not notes.unused


@pytest.mark.parametrize(("days", "refills", "agree"), [(28, 0, True), (14, 1, True), (27, 0, True), (14, 0, False)])
def test_supply_counts_before_bounds(days: int, refills: int, agree: bool) -> None:
    supplied = {"value": days, "code": "d"}
    told, notes = read(bounded(expectedSupplyDuration=supplied, numberOfRepeatsAllowed=refills))
    assert (told.days_supply, told.refills) == (days, refills)
    assert not told.HasField("end_date")
    assert (not notes.said) == agree


def test_validity_says_nothing_of_how_long_it_is_taken() -> None:
    told, notes = read(order(dispenseRequest={"validityPeriod": {"start": "2026-11-25", "end": "2027-11-25"}}))
    assert not told.HasField("end_date")
    assert not told.HasField("days_supply")
    assert [each.path for each in notes.unused] == ["order.dispenseRequest.validityPeriod"]


def test_reasons() -> None:
    back = {"resourceType": "Condition", "id": "c1", "code": {"coding": [{"code": "M54.50"}]}}
    references = [{"reference": "Condition/c1"}, {"display": "spasm"}, {"reference": "Condition/c9"}]
    told, notes = read(order(reasonCode={"text": "back pain"}, reasonReference=references), back)
    assert [each.text for each in told.indications] == ["back pain", "", "spasm"]
    assert told.indications[1].codings[0].code == "M54.50"
    assert [each.path for each in notes.unused] == ["order.reasonReference[2]"]


STATUS = [
    ("MedicationRequest", "active", patient_pb2.RECORD_STATUS_ACTIVE),
    ("MedicationRequest", "completed", patient_pb2.RECORD_STATUS_COMPLETED),
    ("MedicationRequest", "stopped", patient_pb2.RECORD_STATUS_STOPPED),
    ("MedicationRequest", "unknown", patient_pb2.RECORD_STATUS_UNKNOWN),
    ("MedicationDispense", "unknown", patient_pb2.RECORD_STATUS_UNKNOWN),
    ("MedicationStatement", "unknown", patient_pb2.RECORD_STATUS_UNKNOWN),
    ("MedicationRequest", "draft", patient_pb2.RECORD_STATUS_PLANNED),
    ("MedicationRequest", "on-hold", patient_pb2.RECORD_STATUS_UNSPECIFIED),
    ("MedicationRequest", "cancelled", None),
    ("MedicationRequest", "entered-in-error", None),
    # handed out completely, which is no end of the treatment
    ("MedicationDispense", "completed", patient_pb2.RECORD_STATUS_UNSPECIFIED),
    ("MedicationDispense", "in-progress", patient_pb2.RECORD_STATUS_PLANNED),
    ("MedicationDispense", "declined", None),
    ("MedicationStatement", "active", patient_pb2.RECORD_STATUS_ACTIVE),
    ("MedicationStatement", "completed", patient_pb2.RECORD_STATUS_COMPLETED),
    ("MedicationStatement", "intended", patient_pb2.RECORD_STATUS_PLANNED),
    ("MedicationStatement", "not-taken", None),
]


@pytest.mark.parametrize(("kind", "status", "expected"), STATUS)
def test_status_of_a_record(kind: str, status: str, expected: int | None) -> None:
    resource = {"resourceType": kind, "status": status, "medicationCodeableConcept": {"text": "oxycodone"}}
    told = read_record(resource, "record", Pool(), TODAY, Notes())
    assert (told and told.status) == expected


def test_a_proposal_is_only_planned_and_a_ban_is_no_record() -> None:
    assert _record(order(status="active", intent="proposal")).status == patient_pb2.RECORD_STATUS_PLANNED
    assert read_record(order(doNotPerform=True), "record", Pool(), TODAY, Notes()) is None


def _record(resource: dict[str, Any]) -> patient_pb2.MedicationRecord:
    told = read_record(resource, "record", Pool(), TODAY, Notes())
    assert told is not None
    return told


def test_a_dispensing() -> None:
    told = _record(
        {
            "resourceType": "MedicationDispense",
            "status": "completed",
            "medicationCodeableConcept": {"text": "tizanidine 4 mg tablet"},
            "whenHandedOver": "2026-11-02T09:00:00Z",
            "daysSupply": {"value": 14, "unit": "days"},
            "quantity": {"value": 42, "unit": "tablets"},
        }
    )
    assert (told.known_on.day, told.days_supply, told.quantity.value, told.quantity.unit) == (2, 14, 42, "{tbl}")


def test_a_statement() -> None:
    told = _record(
        {
            "resourceType": "MedicationStatement",
            "status": "active",
            "medicationCodeableConcept": {"text": "diazepam"},
            "effectivePeriod": {"start": "2026-10-01", "end": "2026-10-10"},
            "dateAsserted": "2026-10-12",
            "dosage": [{"text": "5 mg at night"}],
        }
    )
    on = [date(each.year, each.month, each.day) for each in (told.start_date, told.end_date, told.known_on)]
    assert on == [date(2026, 10, 1), date(2026, 10, 11), date(2026, 10, 12)]
