"""The requests of the cases as a client would send them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Any

from google.type import date_pb2

from medsafety.v1 import (
    care_pb2,
    common_pb2,
    condition_pb2,
    medication_pb2,
    medication_safety_service_pb2,
    patient_pb2,
    prescription_pb2,
)
from safety_service.domain import (
    CareTried,
    CheckRequest,
    Coding,
    Condition,
    Frequency,
    Hepatic,
    LabResult,
    Medication,
    MedicationRecord,
    Patient,
    Prescription,
    Quantity,
    View,
    to_date,
)
from safety_service.server.decode import InvalidRequestError, decode


def on_the_wire(request: CheckRequest) -> medication_safety_service_pb2.CheckPrescriptionRequest | None:
    """The message that is read as `request`; None for one that cannot be sent."""
    message = medication_safety_service_pb2.CheckPrescriptionRequest(
        request_id="benchmark",
        prescription=_prescription(request.prescription),
        patient=_patient(request.patient),
        as_of=_date(request.as_of),
    )
    try:
        return message if decode(message, 0).request == request else None
    except InvalidRequestError:
        return None


def in_view(
    message: medication_safety_service_pb2.CheckPrescriptionRequest, view: View
) -> medication_safety_service_pb2.CheckPrescriptionRequest:
    """The same request, asking for a view."""
    asked = medication_safety_service_pb2.CheckPrescriptionRequest(view=_number(view))
    asked.MergeFrom(message)
    return asked


def _prescription(sent: Prescription) -> prescription_pb2.Prescription:
    fixed, between = _dose(sent.dose_low, sent.dose_high)
    return prescription_pb2.Prescription(
        id=sent.id,
        medication=_medication(sent.medication),
        dose_quantity=fixed,
        dose_range=between,
        frequency=_frequency(sent.frequency),
        as_needed=_number(sent.as_needed),
        ordered_on=_date(sent.ordered_on),
        start_date=_date(sent.start),
        end_date=_date(sent.end),
        days_supply=sent.days_supply,
        refills=sent.refills,
        quantity=_quantity(sent.quantity),
        indications=map(_condition, sent.indications),
        treatment_status=_number(sent.status),
        kind=_number(sent.kind),
        route=sent.route,
        last_dose=_quantity(sent.last_dose),
        benefit_documented=_number(sent.benefit_documented),
        prescriber_id=sent.prescriber_id,
        dosage_text=sent.dosage_text,
        last_order=_number(sent.last_order),
        tapering=_number(sent.tapering),
    )


def _record(sent: MedicationRecord) -> patient_pb2.MedicationRecord:
    fixed, between = _dose(sent.dose_low, sent.dose_high)
    return patient_pb2.MedicationRecord(
        id=sent.id,
        medication=_medication(sent.medication),
        dose_quantity=fixed,
        dose_range=between,
        frequency=_frequency(sent.frequency),
        as_needed=_number(sent.as_needed),
        known_on=_date(sent.known_on),
        start_date=_date(sent.start),
        end_date=_date(sent.end),
        days_supply=sent.days_supply,
        refills=sent.refills,
        quantity=_quantity(sent.quantity),
        indications=map(_condition, sent.indications),
        status=_number(sent.status),
        kind=_number(sent.kind),
        prescriber_id=sent.prescriber_id,
    )


def _dose(
    low: Quantity | None, high: Quantity | None
) -> tuple[common_pb2.Quantity | None, medication_pb2.DoseRange | None]:
    """A fixed dose, or one between two."""
    if low == high:
        return _quantity(high), None
    return None, medication_pb2.DoseRange(low=_quantity(low), high=_quantity(high))


def _patient(sent: Patient) -> patient_pb2.Patient:
    return patient_pb2.Patient(
        id=sent.id,
        birth_date=_birth_date(sent.born_earliest, sent.born_latest),
        age_years=sent.age_years,
        sex=_number(sent.sex),
        pregnant=_number(sent.pregnant),
        lactating=_number(sent.lactating),
        renal=patient_pb2.Renal(egfr=sent.renal.egfr, crcl=sent.renal.crcl, dialysis=_number(sent.renal.dialysis)),
        allergies=patient_pb2.AllergyList(
            items=[
                patient_pb2.Allergy(id=each.id, substance=_medication(each.substance), status=_number(each.status))
                for each in sent.allergies.items
            ],
            completeness=_number(sent.allergies.completeness),
        ),
        spasticity_needed_for_function=_number(sent.spasticity_needed_for_function),
        cyp2c19_reduced=_number(sent.cyp2c19_reduced),
        hepatic=_hepatic(sent.hepatic),
        conditions=patient_pb2.ConditionList(
            items=map(_condition, sent.conditions.items), completeness=_number(sent.conditions.completeness)
        ),
        medications=patient_pb2.MedicationRecordList(
            items=map(_record, sent.medications.items), completeness=_number(sent.medications.completeness)
        ),
        alcohol_use=_number(sent.alcohol_use),
        drives_or_operates_machinery=_number(sent.drives_or_operates_machinery),
        falls=_number(sent.falls),
        care_options_tried=patient_pb2.CareTriedList(
            items=map(_care, sent.care.items), completeness=_number(sent.care.completeness)
        ),
    )


def _hepatic(sent: Hepatic) -> patient_pb2.Hepatic:
    inputs = sent.child_pugh
    return patient_pb2.Hepatic(
        grade=_number(sent.grade),
        child_pugh_class=_number(sent.child_pugh_class),
        child_pugh=None
        if inputs is None
        else patient_pb2.ChildPughInputs(
            bilirubin=_quantity(inputs.bilirubin),
            albumin=_quantity(inputs.albumin),
            inr=inputs.inr,
            ascites=_number(inputs.ascites),
            encephalopathy=_number(inputs.encephalopathy),
        ),
        labs=patient_pb2.LabResultList(items=map(_lab, sent.labs.items), completeness=_number(sent.labs.completeness)),
    )


def _lab(sent: LabResult) -> patient_pb2.LabResult:
    return patient_pb2.LabResult(
        id=sent.id,
        test=_number(sent.test),
        value=_quantity(sent.value),
        upper_limit=_quantity(sent.upper_limit),
        resulted_on=_date(sent.on),
    )


def _care(sent: CareTried) -> care_pb2.CareTried:
    return care_pb2.CareTried(
        option_id=sent.option_id,
        codings=_codings(sent.codings),
        text=sent.text,
        outcome=_number(sent.outcome),
        documented_on=_date(sent.on),
    )


def _condition(sent: Condition) -> condition_pb2.Condition:
    return condition_pb2.Condition(
        id=sent.id,
        codings=_codings(sent.codings),
        text=sent.text,
        status=_number(sent.status),
        onset=_date(sent.onset),
        recorded_on=_date(sent.recorded_on),
    )


def _medication(sent: Medication) -> medication_pb2.Medication:
    return medication_pb2.Medication(codings=_codings(sent.codings), text=sent.text)


def _codings(sent: Iterable[Coding]) -> list[common_pb2.Coding]:
    return [common_pb2.Coding(system=each.system, code=each.code, display=each.display) for each in sent]


def _quantity(sent: Quantity | None) -> common_pb2.Quantity | None:
    return None if sent is None else common_pb2.Quantity(value=sent.value, unit=sent.unit)


def _frequency(sent: Frequency | None) -> medication_pb2.Frequency | None:
    if sent is None:
        return None
    most = sent.times_high if sent.times_high != sent.times_low else None
    return medication_pb2.Frequency(times=sent.times_low, times_max=most, period=sent.period_hours, period_unit="h")


def _birth_date(earliest: int | None, latest: int | None) -> date_pb2.Date | None:
    """The date as far as it is known: a day, a month or a year."""
    if earliest is None or latest is None:
        return None
    first, last = to_date(earliest), to_date(latest)
    same_month = (first.year, first.month) == (last.year, last.month)
    return date_pb2.Date(year=first.year, month=first.month if same_month else 0, day=first.day if first == last else 0)


def _date(day: int | None) -> date_pb2.Date | None:
    if day is None:
        return None
    date = to_date(day)
    return date_pb2.Date(year=date.year, month=date.month, day=date.day)


def _number(ours: IntEnum) -> Any:
    """One of our enums as the contract's, whose numbers are the same."""
    return int(ours)
