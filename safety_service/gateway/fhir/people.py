"""What is known of the patient: the Patient, and the lists that come with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from medsafety.v1 import common_pb2, patient_pb2
from safety_service.gateway.fhir import dates
from safety_service.gateway.fhir.care import read_care
from safety_service.gateway.fhir.conditions import OpenQuestionError, read_allergy, read_condition
from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.observations import read_observations
from safety_service.gateway.fhir.orders import DISPENSE, ORDER, STATEMENT, read_record
from safety_service.gateway.fhir.pool import Pool, subject_of
from safety_service.gateway.fhir.prefetch import ABSENT, Fetched, Known
from safety_service.gateway.fhir.shapes import Resource, kind, listed, record, text
from safety_service.knowledge.value_sets import CareIndex
from safety_service.server import limits

# The keys of our own discovery document; only these can say that a list is complete.
CONDITIONS, ALLERGIES, LIVER, PATIENT = "conditions", "allergies", "liver", "patient"
MEDICATION_KEYS = ("medications", "dispenses", "statements")
CARE_KEYS = ("procedures", "referrals")
_RECORDS = (ORDER, DISPENSE, STATEMENT)
_CARE = ("Procedure", "ServiceRequest")
_SEX = {"male": patient_pb2.SEX_MALE, "female": patient_pb2.SEX_FEMALE, "other": patient_pb2.SEX_OTHER}
_BIRTH_SEX = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex"
_BIRTH_SEX_CODES = {"M": patient_pb2.SEX_MALE, "F": patient_pb2.SEX_FEMALE}
_PARTIAL = common_pb2.COMPLETENESS_PARTIAL
_COMPLETE = common_pb2.COMPLETENESS_COMPLETE


class Person:
    """A patient as read from one call, with where each record of the history came from."""

    __slots__ = ("conditions", "medications", "message", "notes")

    def __init__(self) -> None:
        self.message = patient_pb2.Patient()
        self.notes = Notes()
        self.conditions: list[str] = []  # place of each item, in order
        self.medications: list[str] = []


def read_person(patient_id: str, fetched: Mapping[str, Fetched], pool: Pool, options: CareIndex, today: date) -> Person:
    """Everything that was sent of the patient `patient_id`; what is of another patient is not used."""
    person = Person()
    person.message.id = patient_id[: limits.NAME_CHARACTERS.value]
    by_type: dict[str, list[tuple[str, Resource]]] = {}
    foreign: set[str] = set()
    for name, each in fetched.items():
        for place, resource in each.resources:
            if _of_another(resource, patient_id):
                foreign.add(name)
                person.notes.not_used(place, "is of another patient than context.patientId")
            else:
                by_type.setdefault(kind(resource), []).append((place, resource))

    def known(*names: str) -> bool:
        """Whether all these keys together hold all there is."""
        return all(
            fetched.get(name, ABSENT).known in (Known.NONE, Known.COMPLETE) and name not in foreign for name in names
        )

    _demographics(person, by_type.get("Patient", ()))
    _conditions(person, _once(by_type.get("Condition", ())), known(CONDITIONS))
    records = _once(each for name in _RECORDS for each in by_type.get(name, ()))
    _medications(person, records, known(*MEDICATION_KEYS), pool, today)
    _allergies(person, _once(by_type.get("AllergyIntolerance", ())), known(ALLERGIES))
    _care(person, _once(each for name in _CARE for each in by_type.get(name, ())), known(*CARE_KEYS), options)
    read_observations(person.message, _once(by_type.get("Observation", ())), person.notes)
    labs = person.message.hepatic.labs if person.message.HasField("hepatic") else None
    if known(LIVER):
        person.message.hepatic.labs.completeness = _COMPLETE
    elif labs is not None:
        labs.completeness = _PARTIAL
    _cap(person, "patient.hepatic.labs", person.message.hepatic.labs if person.message.HasField("hepatic") else None)
    return person


def _of_another(resource: Resource, patient_id: str) -> bool:
    if kind(resource) == "Patient":
        own = text(resource.get("id"))
        return bool(own) and own != patient_id
    subject = subject_of(resource)
    return subject.startswith("Patient/") and subject != f"Patient/{patient_id}"


def _once(sent: Iterable[tuple[str, Resource]]) -> list[tuple[str, Resource]]:
    """Each resource once, also when several keys hold it."""
    found: dict[str, tuple[str, Resource]] = {}
    for place, resource in sent:
        own_id = text(resource.get("id"))
        found.setdefault(f"{kind(resource)}/{own_id}" if own_id else place, (place, resource))
    return list(found.values())


def _demographics(person: Person, sent: Iterable[tuple[str, Resource]]) -> None:
    for place, resource in sent:
        born = dates.read_date(resource.get("birthDate"), f"{place}.birthDate", person.notes)
        if born is not None:
            person.message.birth_date.CopyFrom(born)
        sex = _SEX.get(text(resource.get("gender")), patient_pb2.SEX_UNSPECIFIED)
        at_birth = next(
            (
                _BIRTH_SEX_CODES.get(text(each.get("valueCode")))
                for each in map(record, listed(resource.get("extension")))
                if each.get("url") == _BIRTH_SEX
            ),
            None,
        )
        if at_birth is not None and at_birth != sex:
            if sex:
                person.notes.not_used(f"{place}.gender", "differs from the birth sex: the sex is not known")
                at_birth = patient_pb2.SEX_UNSPECIFIED
            sex = at_birth
        person.message.sex = sex
        return


def _conditions(person: Person, sent: list[tuple[str, Resource]], complete: bool) -> None:
    target = person.message.conditions
    for place, resource in sent:
        condition = read_condition(resource, place, person.notes)
        if condition is None:
            complete = False
        else:
            target.items.append(condition)
            person.conditions.append(place)
    _close(person, "patient.conditions", target, complete, bool(sent))


def _medications(person: Person, sent: list[tuple[str, Resource]], complete: bool, pool: Pool, today: date) -> None:
    target = person.message.medications
    for place, resource in sent:
        held = read_record(resource, place, pool, today, person.notes)
        if held is not None:
            target.items.append(held)
            person.medications.append(place)
    _close(person, "patient.medications", target, complete, bool(sent))


def _allergies(person: Person, sent: list[tuple[str, Resource]], complete: bool) -> None:
    target = person.message.allergies
    for place, resource in sent:
        try:
            allergy = read_allergy(resource, place, person.notes)
        except OpenQuestionError:
            complete = False
            continue
        if allergy is not None:
            target.items.append(allergy)
    _close(person, "patient.allergies", target, complete, bool(sent))


def _care(person: Person, sent: list[tuple[str, Resource]], complete: bool, options: CareIndex) -> None:
    """Non-drug options. A procedure that is none of them leaves it open what else was tried."""
    target = person.message.care_options_tried
    for place, resource in sent:
        tried = read_care(resource, place, options, person.notes)
        if tried is None:
            complete = False
        else:
            target.items.append(tried)
    _close(person, "patient.care_options_tried", target, complete, bool(target.items))


def _close(person: Person, name: str, target: Any, complete: bool, any_sent: bool) -> None:
    """Says how complete a list is; with nothing sent and nothing known it is not there at all."""
    if complete:
        target.completeness = _COMPLETE
    elif any_sent:
        target.completeness = _PARTIAL
    _cap(person, name, target)


def _cap(person: Person, name: str, target: Any) -> None:
    """At most as many items as the contract takes; what is left out makes the list a part."""
    most = limits.LIST_ITEMS.value
    if target is not None and len(target.items) > most:
        del target.items[most:]
        target.completeness = _PARTIAL
        person.notes.not_used(name, f"more than {most} items: the first {most} were used")
