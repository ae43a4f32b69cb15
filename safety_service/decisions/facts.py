"""A request as the engine saw it, to be kept: day numbers, codes and known words; no name, no id, no free text.

Every id is replaced by its place among the sorted ids of the request, so that equal stays equal and order stays order.
A birth date becomes the first of the month that gives the same age on the day of the order. `facts_of` and
`request_of` are each other's inverse on what is kept, and the engine decides the same from it (`tests/decisions`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import IntEnum
from fractions import Fraction
from typing import Any, NamedTuple, TypeVar

import orjson

from safety_service import domain
from safety_service.decisions.rows import Row, named
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
    """`row` is ready for JSON. `swapped`: what stands for each id. `whole`: a replay sees what the engine saw."""

    row: Row
    swapped: dict[str, str]
    whole: bool

    @property
    def document(self) -> Document:
        """The facts by name, as they are read back."""
        return named(orjson.loads(orjson.dumps(self.row)))


_FINGERPRINT = re.compile(r"[0-9a-f]{32}")
_QUANTITIES = ("dose_low", "dose_high", "quantity", "last_dose", "daily_most", "value", "upper_limit")
_FIRST_PLACES = [f"r{place:03}" for place in range(1000)]


def facts_of(knowledge: Knowledge, request: CheckRequest) -> Facts:
    """The facts of a request, ready for JSON."""
    return _Writing(knowledge, request).facts(request)


def _places(request: CheckRequest) -> dict[str, str]:
    """What stands for each id."""
    patient = request.patient
    ids = [request.prescription.id]
    for medication in patient.medications.items:
        ids.append(medication.id)
    for allergy in patient.allergies.items:
        ids.append(allergy.id)
    for condition in patient.conditions.items:
        ids.append(condition.id)
    ids.sort()
    places = _FIRST_PLACES if len(ids) <= len(_FIRST_PLACES) else [f"r{place:06}" for place in range(len(ids))]
    found: dict[str, str] = {}
    for each in ids:
        if each and each not in found:
            found[each] = places[len(found)]
    return found


class _Writing:
    """A request being written down, in the order of `PLACES`.

    It is done before each answer, so it is written flat: plain loops are quicker here than what gathers and maps.
    """

    __slots__ = ("ids", "knowledge", "people", "whole")

    def __init__(self, knowledge: Knowledge, request: CheckRequest) -> None:
        self.knowledge = knowledge
        self.whole = True
        self.ids = _places(request)
        self.people: dict[str, str] = {}

    def facts(self, request: CheckRequest) -> Facts:
        overrides, left = request.prior_overrides, request.not_processed
        row = (
            request.as_of,
            self.order(request.prescription),
            self.patient(request),
            overrides
            and [(each.fingerprint if _FINGERPRINT.fullmatch(each.fingerprint) else "", each.on) for each in overrides],
            left and [known_path(each.path) for each in left],
        )
        return Facts(row, self.ids, self.whole)

    def order(self, order: Prescription) -> Row:
        low, high, often, quantity = order.dose_low, order.dose_high, order.frequency, order.quantity
        sig, route, last, most = order.dosage_text, order.route, order.last_dose, order.daily_most
        indications, prescriber = order.indications, order.prescriber_id
        return (
            self.drug(order.medication),
            self.ids.get(order.id, ""),
            order.kind,
            low and _quantity(low),
            high and _quantity(high),
            often and _frequency(often),
            order.as_needed,
            sig and known_sig(self.knowledge.sig_words, sig),
            route and known_route(route),
            order.ordered_on,
            order.start,
            order.end,
            order.days_supply,
            quantity and _quantity(quantity),
            order.refills,
            indications and self.conditions(indications),
            order.status,
            last and _quantity(last),
            order.benefit_documented,
            prescriber and self.person(prescriber),
            order.last_order,
            order.tapering,
            most and _quantity(most),
        )

    def record(self, record: domain.MedicationRecord) -> Row:
        low, high, often, quantity = record.dose_low, record.dose_high, record.frequency, record.quantity
        indications, prescriber = record.indications, record.prescriber_id
        return (
            self.drug(record.medication),
            self.ids.get(record.id, ""),
            record.kind,
            record.status,
            record.known_on,
            record.start,
            record.end,
            record.days_supply,
            quantity and _quantity(quantity),
            record.refills,
            low and _quantity(low),
            high and _quantity(high),
            often and _frequency(often),
            record.as_needed,
            indications and self.conditions(indications),
            prescriber and self.person(prescriber),
        )

    def drug(self, medication: domain.Medication) -> orjson.Fragment:
        _, whole, written = text_free(self.knowledge.names, medication)
        if not whole:
            self.whole = False
        return written

    def person(self, known_as: str) -> str:
        return self.people.setdefault(known_as, f"p{len(self.people)}")

    def conditions(self, conditions: tuple[domain.Condition, ...], *before: Completeness) -> list[Any]:
        rows: list[Any] = [*before]
        ids = self.ids
        for each in conditions:
            codes, sent, kept = condition_codes(each.codings)
            if sent != kept:
                ids.setdefault(sent, kept)  # as evidence a condition goes by its first code
            known_as = each.id
            # An indication need not stand among the conditions.
            place = ids.get(known_as, "r") if known_as else ""
            rows.append((codes, each.status, each.onset, each.recorded_on, place))
        return rows

    def patient(self, request: CheckRequest) -> Row:
        patient = request.patient
        earliest, latest = patient.born_earliest, patient.born_latest
        if earliest is not None and latest is not None:
            first = _first_of_month(request, earliest)
            latest = first if latest == earliest else _first_of_month(request, latest)
            earliest = first
        renal, hepatic = patient.renal, patient.hepatic
        conditions, medications = patient.conditions, patient.medications
        allergies, care = patient.allergies, patient.care
        inputs, labs = hepatic.child_pugh, hepatic.labs
        results: list[Any] = [labs.completeness]
        for result in labs.items:
            results.append(_lab_result(result))
        records: list[Any] = [medications.completeness]
        for record in medications.items:
            records.append(self.record(record))
        known_allergies: list[Any] = [allergies.completeness]
        for allergy in allergies.items:
            known_allergies.append(self.allergy(allergy))
        tried: list[Any] = [care.completeness]
        for option in care.items:
            tried.append(self.care(option))
        return (
            "p" if patient.id else "",
            earliest,
            latest,
            patient.age_years,
            patient.sex,
            patient.pregnant,
            patient.lactating,
            (hepatic.grade, hepatic.child_pugh_class, inputs and _child_pugh(inputs), results),
            (renal.egfr, renal.crcl, renal.dialysis),
            self.conditions(conditions.items, conditions.completeness),
            records,
            known_allergies,
            patient.alcohol_use,
            patient.drives_or_operates_machinery,
            patient.falls,
            tried,
            patient.spasticity_needed_for_function,
            patient.cyp2c19_reduced,
        )

    def allergy(self, allergy: domain.Allergy) -> Row:
        return self.drug(allergy.substance), allergy.status, self.ids.get(allergy.id, "")

    def care(self, tried: domain.CareTried) -> Row:
        return self.knowledge.care.match(tried) or "", tried.outcome, tried.on


def _first_of_month(request: CheckRequest, born: int) -> int:
    """The first of the month that gives the same completed months, and so years, on the day that counts."""
    order = request.prescription
    days = (order.ordered_on, order.start, request.as_of)
    on = to_date(next(each for each in days if each is not None))
    birth = to_date(born)
    month = 12 * birth.year + birth.month - 1 + (on.day < birth.day)
    return to_day(birth.replace(year=month // 12, month=month % 12 + 1, day=1))


def _child_pugh(inputs: domain.ChildPughInputs) -> Row:
    return (
        _quantity(inputs.bilirubin),
        _quantity(inputs.albumin),
        inputs.inr,
        inputs.ascites,
        inputs.encephalopathy,
    )


def _lab_result(result: domain.LabResult) -> Row:
    limit = result.upper_limit
    return result.test, _quantity(result.value), limit and _quantity(limit), result.on


def _quantity(quantity: domain.Quantity) -> Row:
    unit = quantity.unit
    return quantity.value, unit if unit[:1] != "{" else known_unit(unit)


def _frequency(often: domain.Frequency) -> Row:
    hours: int | Fraction = often.period_hours
    return often.times_low, often.times_high, hours if type(hours) is int else str(hours)


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
