"""A field of the contract in words for people, and where FHIR R4 keeps it."""

from __future__ import annotations

from typing import NamedTuple

from safety_service.knowledge.observation_codes import BREASTFEEDING, CLEARANCE, EGFR, LIVER_TESTS, PREGNANCY

ANY = "Any"  # FHIR's own word for a resource of any type


class Need(NamedTuple):
    """`type` is the FHIR resource that would tell, ANY where no code says which; `elements` are those of it that are
    looked at; `codes` are LOINC codes, one of which it has.
    """

    words: str
    type: str
    elements: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()


_ORDER = "MedicationRequest"
# By path, or the beginning of one; the longest that fits counts.
NEEDS = {
    "prescription": Need("the order", _ORDER),
    "prescription.medication": Need("the product ordered", _ORDER, ("medication",)),
    "prescription.dosage_text": Need("the dosage instructions", _ORDER, ("dosageInstruction",)),
    "prescription.dose_quantity": Need(
        "the dose of one administration", _ORDER, ("dosageInstruction.doseAndRate.dose",)
    ),
    "prescription.frequency": Need("how often", _ORDER, ("dosageInstruction.timing",)),
    "prescription.last_dose": Need("the dose of the order before", _ORDER, ("dosageInstruction.doseAndRate.dose",)),
    "prescription.as_needed": Need("whether it is taken only as needed", _ORDER, ("dosageInstruction.asNeeded",)),
    "prescription.quantity": Need("the quantity", _ORDER, ("dispenseRequest.quantity",)),
    "prescription.prescriber_id": Need("who prescribes", _ORDER, ("requester",)),
    "prescription.last_order": Need("whether this order ends the treatment", ANY),
    "prescription.tapering": Need("whether the dose is being tapered", ANY),
    "prescription.days_supply": Need(
        "the days that one fill lasts", _ORDER, ("dispenseRequest.expectedSupplyDuration",)
    ),
    "prescription.refills": Need("the number of refills", _ORDER, ("dispenseRequest.numberOfRepeatsAllowed",)),
    "prescription.treatment_status": Need("whether it is a new start", _ORDER),
    "prescription.benefit_documented": Need("whether a benefit is documented", ANY),
    "prescription.route": Need("the route", _ORDER, ("dosageInstruction.route",)),
    "prescription.indications": Need("what it is ordered for", _ORDER, ("reasonCode", "reasonReference")),
    "patient": Need("the patient", "Patient"),
    "patient.birth_date": Need("the birth date", "Patient", ("birthDate",)),
    "patient.sex": Need("the sex", "Patient", ("gender",)),
    "patient.pregnant": Need("pregnancy", "Observation", ("value",), PREGNANCY),
    "patient.lactating": Need("breast-feeding", "Observation", ("value",), BREASTFEEDING),
    "patient.hepatic.grade": Need("the grade of hepatic impairment", ANY),
    "patient.hepatic.child_pugh": Need("the Child-Pugh items", ANY),
    "patient.hepatic.labs": Need("liver tests", "Observation", ("value",), tuple(LIVER_TESTS)),
    "patient.renal": Need("kidney function", "Observation", ("value",), (*EGFR, *CLEARANCE)),
    "patient.conditions": Need("the problem list", "Condition", ("code",)),
    "patient.medications": Need("other medications, complete", _ORDER),
    "patient.allergies": Need("allergies", "AllergyIntolerance", ("code",)),
    "patient.alcohol_use": Need("alcohol use", ANY),
    "patient.drives_or_operates_machinery": Need("whether the patient drives or operates machinery", ANY),
    "patient.falls": Need("falls", ANY),
    "patient.spasticity_needed_for_function": Need("whether spasticity is needed to stand or move", ANY),
    "patient.cyp2c19_reduced": Need("whether CYP2C19 activity is reduced", ANY),
    "patient.care_options_tried": Need("non-drug options tried", "Procedure", ("code",)),
}


def need(path: str) -> Need:
    """What a path asks for. A path that is not known is its own words."""
    while path:
        if path in NEEDS:
            return NEEDS[path]
        if "." not in path:
            break
        path = path.rpartition(".")[0]
    return Need(path or "more", ANY)
