"""From a request on the wire to the plain types of the field, or every reason why not, in one pass.

Straight-line code on purpose: each field is read once, and its path is put together only when it is at fault. What was
sent and is possible but cannot be used (a date without a day) is no error: it goes to `not_processed`, and the field is
not known.
"""

from __future__ import annotations

import math
from calendar import monthrange
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from enum import IntEnum
from fractions import Fraction
from typing import NamedTuple, TypeVar, cast

from google.protobuf.message import Message
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
from safety_service import domain
from safety_service.domain import EPOCH, NotProcessed
from safety_service.server import limits
from safety_service.server.limits import LEAST, Units
from safety_service.server.quick import quick

E = TypeVar("E", bound=IntEnum)

# --- constructors and enum tables, looked up once ----------------------------------------------------------------

# HasField of any message; a third of the price of looking it up on each.
_has = cast("Callable[[Message, str], bool]", common_pb2.Quantity.HasField)

_coding = quick(domain.Coding)
_medication = quick(domain.Medication)
_quantity = quick(domain.Quantity)
_frequency = quick(domain.Frequency)
_condition = quick(domain.Condition)
_prescription = quick(domain.Prescription)
_record = quick(domain.MedicationRecord)
_lab_result = quick(domain.LabResult)
_allergy = quick(domain.Allergy)
_care_tried = quick(domain.CareTried)
_patient = quick(domain.Patient)


def _numbers(enum: type[E]) -> dict[int, E]:
    return {each.value: each for each in enum}


ANSWER = _numbers(domain.Answer)
COMPLETENESS = _numbers(domain.Completeness)
CONDITION_STATUS = _numbers(domain.ConditionStatus)
RECORD_STATUS = _numbers(domain.RecordStatus)
RECORD_KIND = _numbers(domain.RecordKind)
TREATMENT_STATUS = _numbers(domain.TreatmentStatus)
SEX = _numbers(domain.Sex)
_GRADE = _numbers(domain.HepaticGrade)
_CLASS = _numbers(domain.ChildPughClass)
_ASCITES = _numbers(domain.Ascites)
_ENCEPHALOPATHY = _numbers(domain.Encephalopathy)
_LIVER_TEST = _numbers(domain.LiverTest)
_CARE_OUTCOME = _numbers(domain.CareOutcome)
VIEW = _numbers(domain.View)
ORDER_KIND = {
    domain.RecordKind.UNSPECIFIED.value: domain.RecordKind.ORDER,
    domain.RecordKind.ORDER.value: domain.RecordKind.ORDER,
    domain.RecordKind.DISPENSING.value: domain.RecordKind.DISPENSING,
}

_MOST_CODINGS = limits.CODINGS.value
_MOST_INDICATIONS = limits.INDICATIONS.value
_MOST_ITEMS = limits.LIST_ITEMS.value
_NAME = limits.NAME_CHARACTERS.value
_TEXT = limits.TEXT_CHARACTERS.value
_FIRST_DAY = date(limits.YEAR_FIRST.value, 1, 1).toordinal() - EPOCH
_LAST_DAY = date(limits.YEAR_LAST.value, 12, 31).toordinal() - EPOCH
_MOST_DAYS = limits.DAYS_SUPPLY.value
_MOST_REFILLS = limits.REFILLS.value
_MOST_TIMES = limits.TIMES.value
_MOST_HOURS = limits.PERIOD.value
_HOURS = {"h": 1, "d": 24, "wk": 168}
_USUAL_FREQUENCIES = {
    (times, float(period), unit): domain.Frequency(times, times, period * hours)
    for unit, hours in _HOURS.items()
    for period in range(1, 73 if unit == "h" else 31)
    for times in range(1, 13)
}
_LAB_UNITS = {
    domain.LiverTest.ALT: limits.ENZYME,
    domain.LiverTest.AST: limits.ENZYME,
    domain.LiverTest.ALP: limits.ENZYME,
    domain.LiverTest.BILIRUBIN: limits.BILIRUBIN,
}
_MEDICATION_PATHS = tuple(f"patient.medications.items[{i}]" for i in range(_MOST_ITEMS))
_CONDITION_PATHS = tuple(f"patient.conditions.items[{i}]" for i in range(_MOST_ITEMS))
_NO_MEDICATION = domain.Medication()
_NO_CONDITIONS: domain.Listed[domain.Condition] = domain.Listed()
_NO_RECORDS: domain.Listed[domain.MedicationRecord] = domain.Listed()
_NO_ALLERGIES: domain.Listed[domain.Allergy] = domain.Listed()
_NO_CARE: domain.Listed[domain.CareTried] = domain.Listed()
_NO_LABS: domain.Listed[domain.LabResult] = domain.Listed()
_NO_HEPATIC = domain.Hepatic()
_NO_RENAL = domain.Renal()
_NO_PATIENT = domain.Patient()


class Received(NamedTuple):
    """What one request asks, in which view, and of which policy and knowledge ("" = those in use)."""

    request: domain.CheckRequest
    request_id: str
    view: domain.View
    policy: str
    knowledge_digest: str


class InvalidRequestError(Exception):
    """A request that cannot be understood: every violation as (path, reason). Reasons repeat nothing that was sent."""

    def __init__(self, violations: Sequence[tuple[str, str]], only_too_many: bool) -> None:
        super().__init__(f"{len(violations)} violations")
        self.violations = violations
        self.only_too_many = only_too_many


def decode(sent: medication_safety_service_pb2.CheckPrescriptionRequest, today: int) -> Received:
    """What is asked; `today` is the server's UTC day. Raises InvalidRequestError."""
    reading = Reading()
    request = reading.request(sent, today)
    if reading.wrong:
        raise InvalidRequestError(reading.wrong, reading.too_many == len(reading.wrong))
    return Received(request, sent.request_id, domain.View(sent.view), sent.policy, sent.expected_knowledge_digest)


def decode_medication(sent: medication_pb2.Medication, path: str) -> domain.Medication:
    """A medication by itself. Raises InvalidRequestError, also when there is neither code nor text."""
    reading = Reading()
    medication = reading.medication(sent, path)
    if not names_something(medication):
        reading.wrong.append((path, "a code or a text is required"))
    if reading.wrong:
        raise InvalidRequestError(reading.wrong, reading.too_many == len(reading.wrong))
    return medication


def names_something(medication: domain.Medication) -> bool:
    """Whether a code or a text is there at all."""
    if medication.text.strip():
        return True
    return any(each.code.strip() or each.display.strip() for each in medication.codings)


class Reading:
    """A request, or a part of one, being read: what is wrong with it, what cannot be used, the first day of a date."""

    __slots__ = ("first_day", "skipped", "too_many", "wrong")

    def __init__(self) -> None:
        self.wrong: list[tuple[str, str]] = []
        self.skipped: list[NotProcessed] = []
        self.too_many = 0
        self.first_day = _FIRST_DAY

    # --- the request ---------------------------------------------------------------------------------------------

    def request(self, sent: medication_safety_service_pb2.CheckPrescriptionRequest, today: int) -> domain.CheckRequest:
        wrong = self.wrong
        request_id = sent.request_id
        if request_id and (
            len(request_id) > limits.REQUEST_ID.value or not request_id.isascii() or not request_id.isprintable()
        ):
            wrong.append(("request_id", f"at most {limits.REQUEST_ID.value} printable ASCII characters"))
        if sent.view not in VIEW:
            self.enum(domain.View, "view")
        if len(sent.policy) > _NAME:
            self.long("policy", _NAME)
        if len(sent.expected_knowledge_digest) > _NAME:
            self.long("expected_knowledge_digest", _NAME)

        # The birth date first: no other date may be before it.
        patient = sent.patient if _has(sent, "patient") else None
        born_earliest = born_latest = None
        if patient is not None and _has(patient, "birth_date"):
            born_earliest, born_latest = self.birth_date(patient.birth_date)
            if born_earliest is not None:
                self.first_day = born_earliest
        prescription = None
        if _has(sent, "prescription"):
            prescription = self.prescription(sent.prescription)
        else:
            wrong.append(("prescription", "required"))

        as_of = None
        if _has(sent, "as_of"):
            as_of = self.day(sent.as_of, "as_of", "", whole=True)
        if as_of is None:
            as_of = today
            if prescription is not None:
                if prescription.ordered_on is not None:
                    as_of = prescription.ordered_on
                elif prescription.start is not None:
                    as_of = prescription.start
            if born_earliest is not None and as_of < born_earliest:
                wrong.append(("patient.birth_date", "after the day to decide for"))

        read_patient = _NO_PATIENT if patient is None else self.patient(patient, born_earliest, born_latest)
        overrides: tuple[domain.PriorOverride, ...] = ()
        if sent.prior_overrides:
            overrides = self.overrides(sent.prior_overrides)
        return domain.CheckRequest(
            # Without a prescription there are violations, and the request goes no further.
            prescription if prescription is not None else domain.Prescription(_NO_MEDICATION),
            read_patient,
            as_of,
            overrides,
            tuple(self.skipped),
        )

    def overrides(
        self, sent: Sequence[medication_safety_service_pb2.PriorOverride]
    ) -> tuple[domain.PriorOverride, ...]:
        if not self.fits(len(sent), "prior_overrides", _MOST_ITEMS):
            return ()
        read = []
        for i, each in enumerate(sent):
            path = f"prior_overrides[{i}]"
            if not each.fingerprint:
                self.wrong.append((f"{path}.fingerprint", "required"))
            elif len(each.fingerprint) > _NAME:
                self.long(f"{path}.fingerprint", _NAME)
            on = self.day(each.overridden_on, path, ".overridden_on") if _has(each, "overridden_on") else None
            if len(each.reason) > _TEXT:
                self.long(f"{path}.reason", _TEXT)
            read.append(domain.PriorOverride(each.fingerprint, on, each.reason))
        return tuple(read)

    # --- the order and the records -------------------------------------------------------------------------------

    def prescription(self, sent: prescription_pb2.Prescription) -> domain.Prescription:
        path = "prescription"
        wrong = self.wrong
        if len(sent.id) > _NAME:
            self.long("prescription.id", _NAME)
        medication = _NO_MEDICATION
        if _has(sent, "medication"):
            medication = self.medication(sent.medication, "prescription.medication")
        if not names_something(medication):
            wrong.append(("prescription.medication", "a code or a text is required"))
        dose_low, dose_high = self.dose(sent, path)
        frequency = self.frequency(sent.frequency, path) if _has(sent, "frequency") else None
        as_needed = ANSWER.get(sent.as_needed)
        if as_needed is None:
            as_needed = self.enum(domain.Answer, "prescription.as_needed")
        ordered_on = self.day(sent.ordered_on, path, ".ordered_on") if _has(sent, "ordered_on") else None
        start = self.day(sent.start_date, path, ".start_date") if _has(sent, "start_date") else None
        end = self.day(sent.end_date, path, ".end_date") if _has(sent, "end_date") else None
        if end is not None and start is not None and end <= start:
            wrong.append(
                ("prescription.end_date", "is the first day without it, and so must be after prescription.start_date")
            )
        days_supply = self.days_supply(sent.days_supply, path) if _has(sent, "days_supply") else None
        refills = self.refills(sent.refills, path) if _has(sent, "refills") else None
        quantity = self.quantity(sent.quantity, limits.FILL, path, ".quantity") if _has(sent, "quantity") else None
        indications = self.indications(sent.indications, path) if sent.indications else ()
        status = TREATMENT_STATUS.get(sent.treatment_status)
        if status is None:
            status = self.enum(domain.TreatmentStatus, "prescription.treatment_status")
        kind = ORDER_KIND.get(sent.kind)
        if kind is None:
            kind = domain.RecordKind.ORDER
            wrong.append(("prescription.kind", "must be ORDER or DISPENSING, or not sent"))
        if len(sent.dosage_text) > _TEXT:
            self.long("prescription.dosage_text", _TEXT)
        if len(sent.route) > _NAME:
            self.long("prescription.route", _NAME)
        last_dose = self.quantity(sent.last_dose, limits.DOSE, path, ".last_dose") if _has(sent, "last_dose") else None
        benefit = ANSWER.get(sent.benefit_documented)
        if benefit is None:
            benefit = self.enum(domain.Answer, "prescription.benefit_documented")
        if len(sent.prescriber_id) > _NAME:
            self.long("prescription.prescriber_id", _NAME)
        return _prescription(
            medication,
            sent.id,
            kind,
            dose_low,
            dose_high,
            frequency,
            as_needed,
            sent.dosage_text,
            sent.route,
            ordered_on,
            start,
            end,
            days_supply,
            quantity,
            refills,
            indications,
            status,
            last_dose,
            benefit,
            sent.prescriber_id,
            self.answer(sent.last_order, "prescription.last_order"),
            self.answer(sent.tapering, "prescription.tapering"),
            self.quantity(sent.daily_most, limits.DOSE, path, ".daily_most") if _has(sent, "daily_most") else None,
        )

    def record(self, sent: patient_pb2.MedicationRecord, path: str) -> domain.MedicationRecord:
        record_id, prescriber_id = sent.id, sent.prescriber_id
        if len(record_id) > _NAME:
            self.long(f"{path}.id", _NAME)
        if len(prescriber_id) > _NAME:
            self.long(f"{path}.prescriber_id", _NAME)
        medication = _NO_MEDICATION
        if _has(sent, "medication"):
            medication = self.medication(sent.medication, path, ".medication")
        dose_low, dose_high = self.dose(sent, path)
        frequency = self.frequency(sent.frequency, path) if _has(sent, "frequency") else None
        as_needed = ANSWER.get(sent.as_needed)
        if as_needed is None:
            as_needed = self.enum(domain.Answer, f"{path}.as_needed")
        known_on = self.day(sent.known_on, path, ".known_on") if _has(sent, "known_on") else None
        start = self.day(sent.start_date, path, ".start_date") if _has(sent, "start_date") else None
        end = self.day(sent.end_date, path, ".end_date") if _has(sent, "end_date") else None
        # A record may end on the day it starts: handed out and never taken.
        if end is not None and start is not None and end < start:
            self.wrong.append((f"{path}.end_date", "must not be before start_date"))
        days_supply = self.days_supply(sent.days_supply, path) if _has(sent, "days_supply") else None
        refills = self.refills(sent.refills, path) if _has(sent, "refills") else None
        quantity = self.quantity(sent.quantity, limits.FILL, path, ".quantity") if _has(sent, "quantity") else None
        indications = self.indications(sent.indications, path) if sent.indications else ()
        status = RECORD_STATUS.get(sent.status)
        if status is None:
            status = self.enum(domain.RecordStatus, f"{path}.status")
        kind = RECORD_KIND.get(sent.kind)
        if kind is None:
            kind = self.enum(domain.RecordKind, f"{path}.kind")
        return _record(
            medication,
            record_id,
            kind,
            status,
            known_on,
            start,
            end,
            days_supply,
            quantity,
            refills,
            dose_low,
            dose_high,
            frequency,
            as_needed,
            indications,
            prescriber_id,
        )

    def medication(self, sent: medication_pb2.Medication, path: str, name: str = "") -> domain.Medication:
        text = sent.text
        if len(text) > _TEXT:
            self.long(f"{path}{name}.text", _TEXT)
        return _medication(self.codings(sent.codings, path, name), text)

    def codings(self, sent: Sequence[common_pb2.Coding], path: str, name: str) -> tuple[domain.Coding, ...]:
        read: list[domain.Coding] = []
        for each in sent:
            system, code, display = each.system, each.code, each.display
            if len(system) + len(code) + len(display) > _NAME:  # else none of the three is too long
                at = f"{path}{name}.codings[{len(read)}]"
                for part, text, most in (("system", system, _NAME), ("code", code, _NAME), ("display", display, _TEXT)):
                    if len(text) > most:
                        self.long(f"{at}.{part}", most)
            read.append(_coding(system, code, display))
        if len(read) > _MOST_CODINGS:
            self.fits(len(read), f"{path}{name}.codings", _MOST_CODINGS)
        return tuple(read)

    def dose(
        self, sent: prescription_pb2.Prescription | patient_pb2.MedicationRecord, path: str
    ) -> tuple[domain.Quantity | None, domain.Quantity | None]:
        """Least and greatest amount of one administration; equal for a fixed dose."""
        if _has(sent, "dose_quantity"):
            fixed = self.quantity(sent.dose_quantity, limits.DOSE, path, ".dose_quantity")
            return fixed, fixed
        if not _has(sent, "dose_range"):
            return None, None
        return self.dose_range(sent.dose_range, path)

    def dose_range(
        self, sent: medication_pb2.DoseRange, path: str
    ) -> tuple[domain.Quantity | None, domain.Quantity | None]:
        low = high = None
        if _has(sent, "low"):
            low = self.quantity(sent.low, limits.DOSE, path, ".dose_range.low")
        if _has(sent, "high"):
            high = self.quantity(sent.high, limits.DOSE, path, ".dose_range.high")
        if low is not None and high is not None and low.unit == high.unit and low.value > high.value:
            self.wrong.append((f"{path}.dose_range", "low must not be above high"))
        return low, high

    def quantity(self, sent: common_pb2.Quantity, units: Units, path: str, name: str) -> domain.Quantity | None:
        value, unit = sent.value, sent.unit
        if LEAST <= value <= units.greatest.get(unit, 0):
            return _quantity(value, unit)
        return self._rare_quantity(sent, units, path + name)

    def _rare_quantity(self, sent: common_pb2.Quantity, units: Units, path: str) -> domain.Quantity | None:
        """A quantity that is at fault, has no value, or is counted in a unit of its own."""
        value, unit = sent.value, sent.unit
        greatest = units.greatest.get(unit)
        counted = len(unit) > 2 and unit[0] == "{" and unit[-1] == "}" and not set("{}") & set(unit[1:-1])
        if greatest is None and units.counted and counted:
            greatest = units.counted
        right_unit = greatest is not None and len(unit) <= _NAME
        if not right_unit:
            self.wrong.append((f"{path}.unit", f"must be a UCUM unit (case-sensitive): {units.accepted}"))
        if not _has(sent, "value"):
            if right_unit:
                why = "a unit without a value says no amount" if unit else "an empty quantity says no amount"
                self.skipped.append(NotProcessed(path, why))
            return None
        if not self.number(value, LEAST, greatest or limits.OTHER_UNITS.value, f"{path}.value") or not right_unit:
            return None
        return _quantity(value, unit)

    def number(self, value: float, least: float, greatest: float, path: str) -> bool:
        """Whether `value` is finite and within its limits; the limits themselves are in."""
        if least <= value <= greatest:
            return True
        if not math.isfinite(value):
            self.wrong.append((path, "must be a finite number"))
        elif value <= 0 < least:
            self.wrong.append((path, "must be greater than 0"))
        elif value < least:
            self.wrong.append((path, f"must be {least:g} or more"))
        else:
            self.wrong.append((path, f"must be {greatest:,g} or less here"))
        return False

    def days_supply(self, days: int, path: str) -> int | None:
        if 1 <= days <= _MOST_DAYS:
            return days
        self.wrong.append((f"{path}.days_supply", f"must be 1 to {_MOST_DAYS}"))
        return None

    def refills(self, refills: int, path: str) -> int | None:
        if 0 <= refills <= _MOST_REFILLS:
            return refills
        self.wrong.append((f"{path}.refills", f"must be 0 to {_MOST_REFILLS}"))
        return None

    def frequency(self, sent: medication_pb2.Frequency, path: str) -> domain.Frequency | None:
        usual = _USUAL_FREQUENCIES.get((sent.times, sent.period, sent.period_unit))
        if usual is not None and not _has(sent, "times_max") and not _has(sent, "period_max"):
            return usual
        return self._rare_frequency(sent, f"{path}.frequency")

    def _rare_frequency(self, sent: medication_pb2.Frequency, path: str) -> domain.Frequency | None:
        """Any frequency: as administrations in a whole number of hours."""
        before = len(self.wrong)
        unit_hours = _HOURS.get(sent.period_unit)
        if unit_hours is None and sent.period_unit:
            self.wrong.append((f"{path}.period_unit", 'must be "h", "d" or "wk"'))
        for name in ("times", "times_max"):
            if _has(sent, name) and not 1 <= getattr(sent, name) <= _MOST_TIMES:
                self.wrong.append((f"{path}.{name}", f"must be 1 to {_MOST_TIMES}"))
        if _has(sent, "times") and _has(sent, "times_max") and sent.times_max < sent.times:
            self.wrong.append((f"{path}.times_max", "must not be below times"))
        most = _MOST_HOURS / (unit_hours or 1)
        for name in ("period", "period_max"):
            if _has(sent, name):
                self.number(getattr(sent, name), 1 / 60 / (unit_hours or 1), most, f"{path}.{name}")
        if _has(sent, "period") and _has(sent, "period_max") and sent.period_max < sent.period:
            self.wrong.append((f"{path}.period_max", "must not be below period"))
        if len(self.wrong) > before:
            return None
        lacking = [name for name in ("times", "period") if not _has(sent, name)]
        lacking += [] if sent.period_unit else ["period_unit"]
        if unit_hours is None or lacking:
            self.skipped.append(NotProcessed(path, f"{', '.join(lacking)} not sent: how often is not known"))
            return None
        shortest = _hours(sent.period, unit_hours)
        longest = _hours(sent.period_max, unit_hours) if _has(sent, "period_max") else shortest
        # Least in the longest period and most in the shortest, both counted in one period that holds each a whole
        # number of times: every 4 to 6 hours is 2 to 3 times in 12.
        period = math.lcm(shortest.numerator, longest.numerator)
        low = sent.times * period / longest
        high = (sent.times_max if _has(sent, "times_max") else sent.times) * period / shortest
        return _frequency(int(low), int(high), period)

    def indications(self, sent: Sequence[condition_pb2.Condition], path: str) -> tuple[domain.Condition, ...]:
        if not self.fits(len(sent), f"{path}.indications", _MOST_INDICATIONS):
            return ()
        return tuple([self.condition(each, f"{path}.indications[{i}]") for i, each in enumerate(sent)])

    def condition(self, sent: condition_pb2.Condition, path: str) -> domain.Condition:
        text, record_id = sent.text, sent.id
        if len(text) > _TEXT:
            self.long(f"{path}.text", _TEXT)
        if len(record_id) > _NAME:
            self.long(f"{path}.id", _NAME)
        status = CONDITION_STATUS.get(sent.status)
        if status is None:
            status = self.enum(domain.ConditionStatus, f"{path}.status")
        onset = self.day(sent.onset, path, ".onset") if _has(sent, "onset") else None
        recorded_on = self.day(sent.recorded_on, path, ".recorded_on") if _has(sent, "recorded_on") else None
        return _condition(self.codings(sent.codings, path, ""), text, status, onset, recorded_on, record_id)

    # --- the patient ---------------------------------------------------------------------------------------------

    def patient(self, sent: patient_pb2.Patient, born_earliest: int | None, born_latest: int | None) -> domain.Patient:
        if len(sent.id) > _NAME:
            self.long("patient.id", _NAME)
        age = None
        if _has(sent, "age_years"):
            age = sent.age_years
            if not 0 <= age <= limits.AGE.value:
                self.wrong.append(("patient.age_years", f"must be 0 to {limits.AGE.value}"))
        sex = SEX.get(sent.sex)
        if sex is None:
            sex = self.enum(domain.Sex, "patient.sex")
        conditions, records, allergies, care = _NO_CONDITIONS, _NO_RECORDS, _NO_ALLERGIES, _NO_CARE
        if _has(sent, "conditions"):
            conditions = self.conditions(sent.conditions)
        if _has(sent, "medications"):
            records = self.records(sent.medications)
        if _has(sent, "allergies"):
            allergies = self.allergies(sent.allergies)
        if _has(sent, "care_options_tried"):
            care = self.care(sent.care_options_tried)
        return _patient(
            sent.id,
            born_earliest,
            born_latest,
            age,
            sex,
            self.answer(sent.pregnant, "patient.pregnant"),
            self.answer(sent.lactating, "patient.lactating"),
            self.hepatic(sent.hepatic) if _has(sent, "hepatic") else _NO_HEPATIC,
            self.renal(sent.renal) if _has(sent, "renal") else _NO_RENAL,
            conditions,
            records,
            allergies,
            self.answer(sent.alcohol_use, "patient.alcohol_use"),
            self.answer(sent.drives_or_operates_machinery, "patient.drives_or_operates_machinery"),
            self.answer(sent.falls, "patient.falls"),
            care,
            self.answer(sent.spasticity_needed_for_function, "patient.spasticity_needed_for_function"),
            self.answer(sent.cyp2c19_reduced, "patient.cyp2c19_reduced"),
        )

    def birth_date(self, sent: date_pb2.Date) -> tuple[int | None, int | None]:
        """First and last day it may have been."""
        year, month, day = sent.year, sent.month, sent.day
        if day or not limits.YEAR_FIRST.value <= year <= limits.YEAR_LAST.value or not 0 <= month <= 12:
            known = self.day(sent, "patient.birth_date", "")
            return known, known
        first = date(year, month or 1, 1).toordinal() - EPOCH
        last_month = month or 12
        return first, date(year, last_month, monthrange(year, last_month)[1]).toordinal() - EPOCH

    def conditions(self, sent: patient_pb2.ConditionList) -> domain.Listed[domain.Condition]:
        completeness = self.completeness(sent.completeness, "patient.conditions")
        if len(sent.items) > _MOST_ITEMS:
            self.fits(len(sent.items), "patient.conditions.items", _MOST_ITEMS)
            return _NO_CONDITIONS
        read = [self.condition(each, path) for each, path in zip(sent.items, _CONDITION_PATHS, strict=False)]
        return domain.Listed(tuple(read), completeness)

    def records(self, sent: patient_pb2.MedicationRecordList) -> domain.Listed[domain.MedicationRecord]:
        completeness = self.completeness(sent.completeness, "patient.medications")
        if len(sent.items) > _MOST_ITEMS:
            self.fits(len(sent.items), "patient.medications.items", _MOST_ITEMS)
            return _NO_RECORDS
        read = [self.record(each, path) for each, path in zip(sent.items, _MEDICATION_PATHS, strict=False)]
        return domain.Listed(tuple(read), completeness)

    def allergies(self, sent: patient_pb2.AllergyList) -> domain.Listed[domain.Allergy]:
        completeness = self.completeness(sent.completeness, "patient.allergies")
        if not self.fits(len(sent.items), "patient.allergies.items", _MOST_ITEMS):
            return _NO_ALLERGIES
        read = []
        for i, each in enumerate(sent.items):
            path = f"patient.allergies.items[{i}]"
            if len(each.id) > _NAME:
                self.long(f"{path}.id", _NAME)
            status = CONDITION_STATUS.get(each.status)
            if status is None:
                status = self.enum(domain.ConditionStatus, f"{path}.status")
            substance = _NO_MEDICATION
            if _has(each, "substance"):
                substance = self.medication(each.substance, path, ".substance")
            read.append(_allergy(substance, status, each.id))
        return domain.Listed(tuple(read), completeness)

    def care(self, sent: patient_pb2.CareTriedList) -> domain.Listed[domain.CareTried]:
        completeness = self.completeness(sent.completeness, "patient.care_options_tried")
        if not self.fits(len(sent.items), "patient.care_options_tried.items", _MOST_ITEMS):
            return _NO_CARE
        read = [self.care_tried(each, f"patient.care_options_tried.items[{i}]") for i, each in enumerate(sent.items)]
        return domain.Listed(tuple(read), completeness)

    def care_tried(self, sent: care_pb2.CareTried, path: str) -> domain.CareTried:
        if len(sent.option_id) > _NAME:
            self.long(f"{path}.option_id", _NAME)
        if len(sent.text) > _TEXT:
            self.long(f"{path}.text", _TEXT)
        outcome = _CARE_OUTCOME.get(sent.outcome)
        if outcome is None:
            outcome = self.enum(domain.CareOutcome, f"{path}.outcome")
        on = self.day(sent.documented_on, path, ".documented_on") if _has(sent, "documented_on") else None
        return _care_tried(sent.option_id, self.codings(sent.codings, path, ""), sent.text, outcome, on)

    def hepatic(self, sent: patient_pb2.Hepatic) -> domain.Hepatic:
        grade = _GRADE.get(sent.grade)
        if grade is None:
            grade = self.enum(domain.HepaticGrade, "patient.hepatic.grade")
        child_pugh_class = _CLASS.get(sent.child_pugh_class)
        if child_pugh_class is None:
            child_pugh_class = self.enum(domain.ChildPughClass, "patient.hepatic.child_pugh_class")
        inputs = self.child_pugh(sent.child_pugh) if _has(sent, "child_pugh") else None
        labs = self.labs(sent.labs) if _has(sent, "labs") else _NO_LABS
        return domain.Hepatic(grade, child_pugh_class, inputs, labs)

    def child_pugh(self, sent: patient_pb2.ChildPughInputs) -> domain.ChildPughInputs | None:
        """All five inputs, or None: a score from fewer would be a guess."""
        path = "patient.hepatic.child_pugh"
        bilirubin = albumin = inr = None
        if _has(sent, "bilirubin"):
            bilirubin = self.quantity(sent.bilirubin, limits.BILIRUBIN, path, ".bilirubin")
        if _has(sent, "albumin"):
            albumin = self.quantity(sent.albumin, limits.ALBUMIN, path, ".albumin")
        if _has(sent, "inr") and self.number(sent.inr, LEAST, limits.INR.value, f"{path}.inr"):
            inr = sent.inr
        ascites = _ASCITES.get(sent.ascites)
        if ascites is None:
            ascites = self.enum(domain.Ascites, f"{path}.ascites")
        encephalopathy = _ENCEPHALOPATHY.get(sent.encephalopathy)
        if encephalopathy is None:
            encephalopathy = self.enum(domain.Encephalopathy, f"{path}.encephalopathy")
        if bilirubin is not None and albumin is not None and inr is not None and ascites and encephalopathy:
            return domain.ChildPughInputs(bilirubin, albumin, inr, ascites, encephalopathy)
        given = (("bilirubin", bilirubin), ("albumin", albumin), ("inr", inr))
        lacking = [name for name, value in given if value is None]
        lacking += [] if ascites else ["ascites"]
        lacking += [] if encephalopathy else ["encephalopathy"]
        self.skipped.append(NotProcessed(path, f"a score needs all five inputs; not known: {', '.join(lacking)}"))
        return None

    def labs(self, sent: patient_pb2.LabResultList) -> domain.Listed[domain.LabResult]:
        completeness = self.completeness(sent.completeness, "patient.hepatic.labs")
        if not self.fits(len(sent.items), "patient.hepatic.labs.items", _MOST_ITEMS):
            return _NO_LABS
        read = []
        for i, each in enumerate(sent.items):
            result = self.lab_result(each, f"patient.hepatic.labs.items[{i}]")
            if result is not None:
                read.append(result)
            elif completeness is domain.Completeness.COMPLETE:
                # What was left out could be the very test that a rule looks for.
                completeness = domain.Completeness.PARTIAL
        return domain.Listed(tuple(read), completeness)

    def lab_result(self, sent: patient_pb2.LabResult, path: str) -> domain.LabResult | None:
        if len(sent.id) > _NAME:
            self.long(f"{path}.id", _NAME)
        on = self.day(sent.resulted_on, path, ".resulted_on") if _has(sent, "resulted_on") else None
        test = _LIVER_TEST.get(sent.test)
        if test is None:
            self.enum(domain.LiverTest, f"{path}.test")
            return None
        if not test:
            self.skipped.append(NotProcessed(f"{path}.test", "which test it is was not sent"))
            return None
        units = _LAB_UNITS[test]
        value = upper_limit = None
        if _has(sent, "value"):
            value = self.quantity(sent.value, units, path, ".value")
        else:
            self.skipped.append(NotProcessed(f"{path}.value", "the result was not sent"))
        if _has(sent, "upper_limit"):
            upper_limit = self.quantity(sent.upper_limit, units, path, ".upper_limit")
            if value is not None and upper_limit is not None and value.unit != upper_limit.unit:
                self.wrong.append((f"{path}.upper_limit.unit", "must be the unit of the value"))
        return None if value is None else _lab_result(test, value, upper_limit, on, sent.id)

    def renal(self, sent: patient_pb2.Renal) -> domain.Renal:
        egfr = crcl = None
        most = limits.RENAL.value
        if _has(sent, "egfr") and self.number(sent.egfr, 0, most, "patient.renal.egfr"):
            egfr = sent.egfr
        if _has(sent, "crcl") and self.number(sent.crcl, 0, most, "patient.renal.crcl"):
            crcl = sent.crcl
        return domain.Renal(egfr, crcl, self.answer(sent.dialysis, "patient.renal.dialysis"))

    # --- parts that all share ------------------------------------------------------------------------------------

    def day(self, sent: date_pb2.Date, path: str, name: str, whole: bool = False) -> int | None:
        """The day number. A possible date that lacks a part is None: at fault when `whole`, else only not used."""
        try:
            day = date(sent.year, sent.month, sent.day).toordinal() - EPOCH
        except (ValueError, OverflowError):
            self._no_day(sent, path + name, whole)
            return None
        if self.first_day <= day <= _LAST_DAY:
            return day
        if _FIRST_DAY <= day <= _LAST_DAY:
            self.wrong.append((path + name, "before patient.birth_date"))
        else:
            self._out_of_years(path + name)
        return None

    def _no_day(self, sent: date_pb2.Date, path: str, whole: bool) -> None:
        year, month, day = sent.year, sent.month, sent.day
        if year and not limits.YEAR_FIRST.value <= year <= limits.YEAR_LAST.value:
            self._out_of_years(path)
        elif not 0 <= month <= 12 or not 0 <= day <= 31 or (day and not month) or (year and month and day):
            self.wrong.append((path, "no such calendar date"))
        elif whole:
            self.wrong.append((path, "year, month and day are required"))
        else:
            lacking = [name for name, part in (("year", year), ("month", month), ("day", day)) if not part]
            self.skipped.append(NotProcessed(path, f"{' and '.join(lacking)} not sent: the date is not used"))

    def _out_of_years(self, path: str) -> None:
        self.wrong.append((path, f"the year must be {limits.YEAR_FIRST.value} to {limits.YEAR_LAST.value}"))

    def answer(self, number: int, path: str) -> domain.Answer:
        answer = ANSWER.get(number)
        return self.enum(domain.Answer, path) if answer is None else answer

    def completeness(self, number: int, path: str) -> domain.Completeness:
        found = COMPLETENESS.get(number)
        return self.enum(domain.Completeness, f"{path}.completeness") if found is None else found

    def enum(self, enum: type[E], path: str) -> E:
        """A number this version does not define."""
        self.wrong.append((path, f"must be 0 to {max(enum)}: this version defines no other number"))
        return enum(0)

    def long(self, path: str, most: int) -> None:
        self.wrong.append((path, f"at most {most} characters"))

    def fits(self, count: int, path: str, most: int) -> bool:
        if count <= most:
            return True
        self.too_many += 1
        self.wrong.append((path, f"at most {most} items"))
        return False


def _hours(period: float, unit_hours: int) -> Fraction:
    """A period in hours, to the minute."""
    return max(Fraction(period * unit_hours).limit_denominator(60), Fraction(1, 60))


def prefixed(violations: Iterable[tuple[str, str]], prefix: str) -> list[tuple[str, str]]:
    """The violations of an item, with paths that start at its batch or stream."""
    return [(f"{prefix}{path}", reason) for path, reason in violations]
