"""Observations that say something of the patient: liver tests, kidney function, pregnancy, breast-feeding.

LOINC codes by what they measure; an observation with any other code is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from google.type import date_pb2

from medsafety.v1 import common_pb2, patient_pb2
from safety_service.gateway.fhir import dates
from safety_service.gateway.fhir.conditions import SNOMED
from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.pool import own_reference
from safety_service.gateway.fhir.shapes import Resource, listed, number, record, text
from safety_service.knowledge.observation_codes import (
    BREASTFEEDING,
    BREASTFEEDING_ANSWERS,
    CLEARANCE,
    CLEARANCE_UNITS,
    EGFR,
    EGFR_UNITS,
    LIVER_TESTS,
    LOINC,
    PREGNANCY,
    PREGNANCY_ANSWERS,
)

_LIVER_TESTS = {code: patient_pb2.LiverTest.Value(f"LIVER_TEST_{test}") for code, test in LIVER_TESTS.items()}
_NOT_A_RESULT = ("entered-in-error", "cancelled", "registered")
_UNITS = {
    "u/l": "U/L",
    "iu/l": "U/L",
    "units/l": "U/L",
    "[iu]/l": "U/L",
    "[u]/l": "U/L",
    "mg/dl": "mg/dL",
    "umol/l": "umol/L",
    "µmol/l": "umol/L",
    "μmol/l": "umol/L",
}
_ANSWER = {True: common_pb2.ANSWER_YES, False: common_pb2.ANSWER_NO}
_PREGNANT = {code: _ANSWER[yes] for code, yes in PREGNANCY_ANSWERS.items()}
_BREASTFEEDING = {code: _ANSWER[yes] for code, yes in BREASTFEEDING_ANSWERS.items()}


class Seen(NamedTuple):
    """An observation that counts, with the place it came from and the day it is of."""

    resource: Resource
    place: str
    codes: frozenset[str]
    on: date_pb2.Date | None


def read_observations(target: patient_pb2.Patient, sent: Iterable[tuple[str, Resource]], notes: Notes) -> None:
    """Fills liver tests, kidneys, pregnancy and breast-feeding of the patient; of single facts the latest counts."""
    seen = [each for place, resource in sent if (each := _seen(resource, place, notes)) is not None]
    for each in seen:
        test = next((_LIVER_TESTS[code] for code in each.codes if code in _LIVER_TESTS), None)
        if test is not None:
            result = _result(each, notes)
            if result is not None:
                result.test = test
                target.hepatic.labs.items.append(result)
    egfr = _latest(seen, EGFR, notes)
    if egfr is not None and (value := _value(egfr, EGFR_UNITS, notes)) is not None:
        target.renal.egfr = value
    clearance = _latest(seen, CLEARANCE, notes)
    if clearance is not None and (value := _value(clearance, CLEARANCE_UNITS, notes)) is not None:
        target.renal.crcl = value
    pregnancy = _latest(seen, PREGNANCY, notes)
    if pregnancy is not None:
        target.pregnant = _answer(pregnancy, _PREGNANT, notes)
    breastfeeding = _latest(seen, BREASTFEEDING, notes)
    if breastfeeding is not None:
        target.lactating = _answer(breastfeeding, _BREASTFEEDING, notes)


def _seen(resource: Resource, place: str, notes: Notes) -> Seen | None:
    if text(resource.get("status")) in _NOT_A_RESULT:
        return None
    codings = [record(each) for each in listed(record(resource.get("code")).get("coding"))]
    codes = frozenset(text(each.get("code")) for each in codings if text(each.get("system")) == LOINC)
    if not codes & _WANTED:
        return None
    effective = resource.get("effectiveDateTime") or resource.get("effectiveInstant")
    effective = effective or record(resource.get("effectivePeriod")).get("start")
    return Seen(resource, place, codes, dates.read_date(effective, f"{place}.effective", notes))


_WANTED = {*_LIVER_TESTS, *EGFR, *CLEARANCE, *PREGNANCY, *BREASTFEEDING}


def _latest(seen: list[Seen], codes: tuple[str, ...], notes: Notes) -> Seen | None:
    """The latest with one of these codes; one without a date could be the latest, so it counts only alone.

    Of several on the latest day that differ none counts: nobody says which is meant.
    """
    fitting = [each for each in seen if each.codes & set(codes)]
    dated = [(on, each) for each in fitting if (on := dates.calendar(each.on)) is not None]
    if len(fitting) != len(dated):
        return fitting[0] if len(fitting) == 1 else None
    last = max((on for on, _ in dated), default=None)
    of_last = [each for on, each in dated if on == last]
    if len({_said(each) for each in of_last}) > 1:
        notes.not_used(of_last[0].place, "several results of that day differ: it is not known which counts")
        return None
    return of_last[0] if of_last else None


def _said(seen: Seen) -> str:
    """What is compared of an observation."""
    quantity = record(seen.resource.get("valueQuantity"))
    if quantity:
        return f"{number(quantity.get('value'))} {quantity.get('comparator')}"
    codes = [text(record(each).get("code")) for each in listed(_concept(seen).get("coding"))]
    return f"{seen.resource.get('valueBoolean')} {sorted(codes)}"


def _concept(seen: Seen) -> Resource:
    return record(seen.resource.get("valueCodeableConcept"))


def _result(seen: Seen, notes: Notes) -> patient_pb2.LabResult | None:
    """A liver test with its value and the upper limit of its laboratory."""
    quantity = record(seen.resource.get("valueQuantity"))
    value = number(quantity.get("value"))
    if value is None or text(quantity.get("comparator")):
        notes.not_used(f"{seen.place}.valueQuantity", "is no value by itself")
        return None
    result = patient_pb2.LabResult(id=own_reference(seen.resource))
    result.value.value = value
    result.value.unit = _unit(quantity)
    for each in map(record, listed(seen.resource.get("referenceRange"))):
        high = record(each.get("high"))
        limit = number(high.get("value"))
        kinds = {text(record(one).get("code")) for one in listed(record(each.get("type")).get("coding"))}
        if limit is not None and not kinds - {"normal"}:
            result.upper_limit.value = limit
            result.upper_limit.unit = _unit(high) or result.value.unit
            break
    if seen.on is not None:
        result.resulted_on.CopyFrom(seen.on)
    return result


def _unit(quantity: Resource) -> str:
    """The unit of the contract; one that is not known here is passed on, for the checks of the contract to refuse."""
    for sent in (text(quantity.get("code")), text(quantity.get("unit"))):
        if sent.lower() in _UNITS:
            return _UNITS[sent.lower()]
    return text(quantity.get("code")) or text(quantity.get("unit"))


def _value(seen: Seen, units: tuple[str, ...], notes: Notes) -> float | None:
    quantity = record(seen.resource.get("valueQuantity"))
    value = number(quantity.get("value"))
    known = {text(quantity.get("code")).lower(), text(quantity.get("unit")).lower()} & set(units)
    if value is None or text(quantity.get("comparator")) or not known:
        notes.not_used(f"{seen.place}.valueQuantity", f"is no value in {units[0]}")
        return None
    return value


def _answer(seen: Seen, answers: dict[str, common_pb2.Answer.ValueType], notes: Notes) -> common_pb2.Answer.ValueType:
    stated = seen.resource.get("valueBoolean")
    if isinstance(stated, bool):
        return common_pb2.ANSWER_YES if stated else common_pb2.ANSWER_NO
    codings = [record(each) for each in listed(_concept(seen).get("coding"))]
    found = {
        answers[text(each.get("code"))]
        for each in codings
        if text(each.get("system")) in (LOINC, SNOMED) and text(each.get("code")) in answers
    }
    if len(found) == 1:
        return found.pop()
    notes.not_used(f"{seen.place}.value", "is neither yes nor no")
    return common_pb2.ANSWER_UNSPECIFIED
