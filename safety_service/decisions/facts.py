"""A request as the engine saw it, to be kept: day numbers, codes and known words; no name, no id, no free text.

Every id is replaced by its place among the sorted ids of the request, so that equal stays equal and order stays order.
A birth date becomes the first of the month that gives the same age on the day of the order. `facts_of` and
`request_of` are each other's inverse on what is kept, and the engine decides the same from it (`tests/decisions`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from enum import IntEnum
from fractions import Fraction
from itertools import compress
from operator import attrgetter, is_not
from typing import Any, NamedTuple, TypeVar

from safety_service import domain
from safety_service.decisions.text_free import (
    condition_codes,
    known_path,
    known_route,
    known_sig,
    known_unit,
    text_free,
)
from safety_service.domain import CheckRequest, Completeness, Listed, Patient, Prescription, to_date, to_day
from safety_service.knowledge.knowledge import Knowledge

T = TypeVar("T")
Document = dict[str, Any]


class Facts(NamedTuple):
    """`swapped`: what stands for each id. `whole`: a replay sees the same as the engine did."""

    document: Document
    swapped: dict[str, str]
    whole: bool


def _reader(record: type) -> Callable[[Any], Document]:
    """What of a record differs from its defaults, by field."""
    names = tuple(each.name for each in fields(record))
    defaults = tuple(_default(each) for each in fields(record))
    values = attrgetter(*names)

    def read(held: Any) -> Document:
        told = values(held)
        # By identity, for speed: a value that only equals its default is kept too.
        kept = list(map(is_not, told, defaults))
        return dict(zip(compress(names, kept), compress(told, kept), strict=True))

    return read


def _default(field: Any) -> Any:
    return None if field.default is MISSING else field.default


_prescription = _reader(Prescription)
_record = _reader(domain.MedicationRecord)
_patient = _reader(Patient)
_condition = _reader(domain.Condition)
_allergy = _reader(domain.Allergy)
_lab = _reader(domain.LabResult)
_care = _reader(domain.CareTried)
_hepatic = _reader(domain.Hepatic)
_inputs = _reader(domain.ChildPughInputs)
_renal = _reader(domain.Renal)
_FINGERPRINT = re.compile(r"[0-9a-f]{32}")
_QUANTITIES = ("dose_low", "dose_high", "quantity", "last_dose", "daily_most", "value", "upper_limit")


def facts_of(knowledge: Knowledge, request: CheckRequest) -> Facts:
    """The facts of a request, ready for JSON."""
    return _Writing(knowledge, request).facts()


class _Writing:
    """A request being written down."""

    __slots__ = ("ids", "knowledge", "people", "request", "whole")

    def __init__(self, knowledge: Knowledge, request: CheckRequest) -> None:
        self.knowledge = knowledge
        self.request = request
        self.whole = True
        patient = request.patient
        ids = {request.prescription.id}
        ids.update([each.id for each in patient.medications.items])
        ids.update([each.id for each in patient.allergies.items])
        ids.update([each.id for each in patient.conditions.items])
        ids.discard("")
        self.ids = {each: f"r{place:03}" for place, each in enumerate(sorted(ids))}
        self.people: dict[str, str] = {}

    def facts(self) -> Facts:
        request = self.request
        document: Document = {"as_of": request.as_of, "prescription": self.order(request.prescription)}
        document["patient"] = self.patient(request.patient)
        if request.prior_overrides:
            document["prior_overrides"] = [
                [each.fingerprint if _FINGERPRINT.fullmatch(each.fingerprint) else "", each.on]
                for each in request.prior_overrides
            ]
        if request.not_processed:
            document["not_processed"] = [known_path(each.path) for each in request.not_processed]
        return Facts(document, self.ids, self.whole)

    def order(self, order: Prescription) -> Document:
        kept = self._taken(_prescription(order))
        if "dosage_text" in kept:
            kept["dosage_text"] = known_sig(self.knowledge.sig_words, order.dosage_text)
        if "route" in kept:
            kept["route"] = known_route(order.route)
        return kept

    def _taken(self, kept: Document) -> Document:
        """What an order and a record have in common."""
        _, whole, kept["medication"] = text_free(self.knowledge.names, kept["medication"])
        self.whole &= whole
        if "id" in kept:
            kept["id"] = self.ids[kept["id"]]
        if "frequency" in kept:
            often = kept["frequency"]
            kept["frequency"] = [often.times_low, often.times_high, _hours(often.period_hours)]
        if "indications" in kept:
            kept["indications"] = [self.condition(each) for each in kept["indications"]]
        if "prescriber_id" in kept:
            kept["prescriber_id"] = self.people.setdefault(kept["prescriber_id"], f"p{len(self.people)}")
        return _quantities(kept)

    def condition(self, condition: domain.Condition) -> Document:
        kept = _condition(condition)
        kept.pop("text", None)
        if "id" in kept:
            kept["id"] = self.ids.get(kept["id"], "r")
        if "codings" in kept:
            codes = condition_codes(condition.codings)
            first = condition.codings[0].code
            if first != codes[0][1]:
                self.ids.setdefault(first, codes[0][1])  # as evidence a condition goes by its first code
            kept["codings"] = codes
        return kept

    def patient(self, patient: Patient) -> Document:
        kept = _patient(patient)
        if "id" in kept:
            kept["id"] = "p"
        if patient.born_earliest is not None and patient.born_latest is not None:
            kept["born_earliest"] = self._first_of_month(patient.born_earliest)
            kept["born_latest"] = self._first_of_month(patient.born_latest)
        if "hepatic" in kept:
            kept["hepatic"] = self.hepatic(patient.hepatic)
        if "renal" in kept:
            kept["renal"] = _renal(patient.renal)
        if "conditions" in kept:
            kept["conditions"] = _listed(patient.conditions, self.condition)
        if "medications" in kept:
            kept["medications"] = _listed(patient.medications, lambda each: self._taken(_record(each)))
        if "allergies" in kept:
            kept["allergies"] = _listed(patient.allergies, self.allergy)
        if "care" in kept:
            kept["care"] = _listed(patient.care, self.care)
        return kept

    def _first_of_month(self, born: int) -> int:
        """The first of the month that gives the same completed months, and so years, on the day that counts."""
        order = self.request.prescription
        days = (order.ordered_on, order.start, self.request.as_of)
        on = to_date(next(each for each in days if each is not None))
        birth = to_date(born)
        month = 12 * birth.year + birth.month - 1 + (on.day < birth.day)
        return to_day(birth.replace(year=month // 12, month=month % 12 + 1, day=1))

    def allergy(self, allergy: domain.Allergy) -> Document:
        kept = _allergy(allergy)
        _, whole, kept["substance"] = text_free(self.knowledge.names, allergy.substance)
        self.whole &= whole
        if "id" in kept:
            kept["id"] = self.ids[kept["id"]]
        return kept

    def care(self, tried: domain.CareTried) -> Document:
        kept = _care(tried)
        for name in ("codings", "text", "option_id"):
            kept.pop(name, None)
        found = self.knowledge.care.match(tried)
        if found is not None:
            kept["option_id"] = found
        return kept

    def hepatic(self, hepatic: domain.Hepatic) -> Document:
        kept = _hepatic(hepatic)
        if hepatic.child_pugh is not None:
            inputs = _inputs(hepatic.child_pugh)
            for name in ("bilirubin", "albumin"):
                inputs[name] = _quantity(inputs[name])
            kept["child_pugh"] = inputs
        if "labs" in kept:
            kept["labs"] = _listed(hepatic.labs, _lab_result)
        return kept


def _lab_result(result: domain.LabResult) -> Document:
    kept = _quantities(_lab(result))
    kept.pop("id", None)
    return kept


def _quantities(kept: Document) -> Document:
    for name in _QUANTITIES:
        if name in kept:
            kept[name] = _quantity(kept[name])
    return kept


def _quantity(quantity: domain.Quantity) -> list[Any]:
    return [quantity.value, known_unit(quantity.unit)]


def _hours(hours: int | Fraction) -> int | str:
    return hours if isinstance(hours, int) else str(hours)


def _listed(listed: Listed[T], write: Callable[[T], Document]) -> Document:
    kept: Document = {"completeness": listed.completeness}
    if listed.items:
        kept["items"] = [write(each) for each in listed.items]
    return kept


# --- and back ----------------------------------------------------------------------------------------------------


def request_of(document: Mapping[str, Any]) -> CheckRequest:
    """The request of some facts. Raises KeyError, TypeError or ValueError when they are of another form."""
    return CheckRequest(
        _made(Prescription, document["prescription"]),
        _made(Patient, document["patient"]),
        document["as_of"],
        tuple([domain.PriorOverride(*each) for each in document.get("prior_overrides", ())]),
        tuple([domain.NotProcessed(path, "") for path in document.get("not_processed", ())]),
    )


def _made(record: type[T], kept: Mapping[str, Any]) -> T:
    back = _BACK | {"status": _STATUS[record]} if "status" in kept else _BACK
    return record(**{name: back.get(name, _same)(value) for name, value in kept.items()})


def _same(value: Any) -> Any:
    return value


def _each(record: type[T]) -> Callable[[Mapping[str, Any]], Listed[T]]:
    def back(kept: Mapping[str, Any]) -> Listed[T]:
        return Listed(
            tuple([_made(record, each) for each in kept.get("items", ())]), Completeness(kept["completeness"])
        )

    return back


def _quantity_back(kept: Any) -> Any:
    return domain.Quantity(*kept)


def _hours_back(kept: int | str) -> Any:
    return kept if isinstance(kept, int) else Fraction(kept)


def _drug(kept: Mapping[str, Any]) -> domain.Medication:
    codings = tuple([domain.Coding(*each) for each in kept.get("codings", ())])
    return domain.Medication(codings, kept.get("text", ""))


_STATUS: dict[type, type[IntEnum]] = {
    Prescription: domain.TreatmentStatus,
    domain.MedicationRecord: domain.RecordStatus,
    domain.Condition: domain.ConditionStatus,
    domain.Allergy: domain.ConditionStatus,
}
_YES_NO = (
    "as_needed benefit_documented last_order tapering pregnant lactating alcohol_use drives_or_operates_machinery "
    "falls spasticity_needed_for_function cyp2c19_reduced dialysis"
).split()
_BACK: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_YES_NO, domain.Answer),
    **dict.fromkeys((*_QUANTITIES, "bilirubin", "albumin"), _quantity_back),
    "medication": _drug,
    "substance": _drug,
    "kind": domain.RecordKind,
    "frequency": lambda kept: domain.Frequency(kept[0], kept[1], _hours_back(kept[2])),
    "indications": lambda kept: tuple([_made(domain.Condition, each) for each in kept]),
    "codings": lambda kept: tuple([domain.Coding(*each) for each in kept]),
    "sex": domain.Sex,
    "outcome": domain.CareOutcome,
    "hepatic": lambda kept: _made(domain.Hepatic, kept),
    "renal": lambda kept: _made(domain.Renal, kept),
    "grade": domain.HepaticGrade,
    "child_pugh_class": domain.ChildPughClass,
    "child_pugh": lambda kept: _made(domain.ChildPughInputs, kept),
    "ascites": domain.Ascites,
    "encephalopathy": domain.Encephalopathy,
    "test": domain.LiverTest,
    "labs": _each(domain.LabResult),
    "conditions": _each(domain.Condition),
    "medications": _each(domain.MedicationRecord),
    "allergies": _each(domain.Allergy),
    "care": _each(domain.CareTried),
}
