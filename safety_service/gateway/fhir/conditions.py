"""Condition and AllergyIntolerance."""

from __future__ import annotations

from medsafety.v1 import condition_pb2, patient_pb2
from safety_service.gateway.fhir import dates
from safety_service.gateway.fhir.medication import read_codings, read_concept
from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.pool import own_reference
from safety_service.gateway.fhir.shapes import Json, Resource, listed, record, text
from safety_service.knowledge.drug_names import RXNORM
from safety_service.knowledge.observation_codes import NO_DRUG_ALLERGY, NO_OTHER_ALLERGY

STATUS = {
    "active": condition_pb2.CONDITION_STATUS_ACTIVE,
    "recurrence": condition_pb2.CONDITION_STATUS_RECURRENCE,
    "relapse": condition_pb2.CONDITION_STATUS_RELAPSE,
    "inactive": condition_pb2.CONDITION_STATUS_INACTIVE,
    "remission": condition_pb2.CONDITION_STATUS_REMISSION,
    "resolved": condition_pb2.CONDITION_STATUS_RESOLVED,
}
_VERIFIED = {
    "refuted": condition_pb2.CONDITION_STATUS_REFUTED,
    "entered-in-error": condition_pb2.CONDITION_STATUS_ENTERED_IN_ERROR,
}
_NOT_SURE = ("unconfirmed", "provisional", "differential")
SNOMED = "http://snomed.info/sct"


class OpenQuestionError(Exception):
    """A record that says neither yes nor no: it is left out, and the list it stands in is not complete."""


def code_of(concept: Json) -> str:
    """The first code of a status; a bare string, as DSTU3 sent it, is one."""
    if isinstance(concept, str):
        return concept.strip()
    return next((text(record(each).get("code")) for each in listed(record(concept).get("coding"))), "")


def read_condition(resource: Resource, place: str, notes: Notes) -> condition_pb2.Condition | None:
    """A condition, or None when it is neither confirmed nor ruled out, which is noted."""
    verified = code_of(resource.get("verificationStatus"))
    if verified in _NOT_SURE:
        notes.not_used(place, "is neither confirmed nor ruled out: whether the patient has it is not known")
        return None
    code = record(resource.get("code"))
    condition = condition_pb2.Condition(
        id=own_reference(resource),
        text=text(code.get("text")),
        status=_VERIFIED.get(verified)
        or STATUS.get(code_of(resource.get("clinicalStatus")), condition_pb2.CONDITION_STATUS_UNSPECIFIED),
    )
    condition.codings.extend(read_codings(code, f"{place}.code", notes))
    onset = resource.get("onsetDateTime") or record(resource.get("onsetPeriod")).get("start")
    for name, sent in (
        ("onset", onset),
        ("recorded_on", resource.get("recordedDate") or resource.get("assertedDate")),
    ):
        on = dates.read_date(sent, f"{place}.{name}", notes)
        if on is not None:
            getattr(condition, name).CopyFrom(on)
    return condition


def read_allergy(resource: Resource, place: str, notes: Notes) -> patient_pb2.Allergy | None:
    """An allergy or intolerance; None for "no known allergy" and for food or environment.

    Raises OpenQuestionError when it is not confirmed.
    """
    verified = code_of(resource.get("verificationStatus"))
    if verified in _NOT_SURE:
        notes.not_used(place, "is neither confirmed nor ruled out: whether the patient has it is not known")
        raise OpenQuestionError
    code = record(resource.get("code"))
    codes = {text(each.get("code")) for each in map(record, listed(code.get("coding"))) if each.get("system") == SNOMED}
    if codes & {*NO_DRUG_ALLERGY, *NO_OTHER_ALLERGY}:
        return None
    if _is_no_drug(resource, code):
        return None
    allergy = patient_pb2.Allergy(
        id=own_reference(resource),
        status=_VERIFIED.get(verified)
        or STATUS.get(code_of(resource.get("clinicalStatus")), condition_pb2.CONDITION_STATUS_UNSPECIFIED),
    )
    read_concept(allergy.substance, code, f"{place}.code", notes)
    if not code:
        substance = next((record(each).get("substance") for each in listed(resource.get("reaction"))), None)
        read_concept(allergy.substance, record(substance), f"{place}.reaction[0].substance", notes)
    return allergy


def _is_no_drug(resource: Resource, code: Resource) -> bool:
    """Food and environment, unless it is coded as a drug after all."""
    categories = {text(each) for each in listed(resource.get("category"))} - {""}
    coded_as_drug = any(record(each).get("system") == RXNORM for each in listed(code.get("coding")))
    return bool(categories) and categories <= {"food", "environment"} and not coded_as_drug
