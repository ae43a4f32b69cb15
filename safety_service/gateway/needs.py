"""A field of the contract in words for people, and where FHIR keeps it."""

from __future__ import annotations

from typing import NamedTuple


class Need(NamedTuple):
    """`type` is the FHIR resource that would tell, "" where none does; `key` is the prefetch key that asks for it."""

    words: str
    type: str
    key: str = ""


# By path, or the beginning of one; the longest that fits counts.
NEEDS = {
    "prescription": Need("the order", "MedicationRequest"),
    "prescription.medication": Need("the product ordered", "MedicationRequest"),
    "prescription.dosage_text": Need("the dosage instructions", "MedicationRequest"),
    "prescription.dose_quantity": Need("the dose of one administration", "MedicationRequest"),
    "prescription.frequency": Need("how often", "MedicationRequest"),
    "prescription.last_dose": Need("the dose of the order before", "MedicationRequest", "medications"),
    "prescription.as_needed": Need("whether it is taken only as needed", "MedicationRequest"),
    "prescription.quantity": Need("the quantity", "MedicationRequest"),
    "prescription.prescriber_id": Need("who prescribes", "MedicationRequest"),
    "prescription.last_order": Need("whether this order ends the treatment", ""),
    "prescription.tapering": Need("whether the dose is being tapered", ""),
    "prescription.days_supply": Need("the days that one fill lasts", "MedicationRequest"),
    "prescription.refills": Need("the number of refills", "MedicationRequest"),
    "prescription.treatment_status": Need("whether it is a new start", "MedicationRequest", "medications"),
    "prescription.benefit_documented": Need("whether a benefit is documented", ""),
    "prescription.route": Need("the route", "MedicationRequest"),
    "prescription.indications": Need("what it is ordered for", "MedicationRequest", "conditions"),
    "patient": Need("the patient", "Patient", "patient"),
    "patient.birth_date": Need("the birth date", "Patient", "patient"),
    "patient.sex": Need("the sex", "Patient", "patient"),
    "patient.pregnant": Need("pregnancy", "Observation", "pregnancy"),
    "patient.lactating": Need("breast-feeding", "Observation", "breastfeeding"),
    "patient.hepatic.grade": Need("the grade of hepatic impairment", ""),
    "patient.hepatic.labs": Need("liver tests", "Observation", "liver"),
    "patient.renal": Need("kidney function", "Observation", "kidney"),
    "patient.conditions": Need("the problem list", "Condition", "conditions"),
    "patient.medications": Need("other medications, complete", "MedicationRequest", "medications"),
    "patient.allergies": Need("allergies", "AllergyIntolerance", "allergies"),
    "patient.spasticity_needed_for_function": Need("whether spasticity is needed to stand or move", ""),
    "patient.cyp2c19_reduced": Need("whether CYP2C19 activity is reduced", ""),
    "patient.alcohol_use": Need("alcohol use", ""),
    "patient.drives_or_operates_machinery": Need("whether the patient drives or operates machinery", ""),
    "patient.falls": Need("falls", ""),
    "patient.care_options_tried": Need("non-drug options tried", "Procedure", "procedures"),
}


def need(path: str) -> Need:
    """What a path asks for. A path that is not known is its own words."""
    while path:
        if path in NEEDS:
            return NEEDS[path]
        if "." not in path:
            break
        path = path.rpartition(".")[0]
    return Need(path or "more", "")
