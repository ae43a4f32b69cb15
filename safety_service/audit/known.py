"""What was known of a patient on the day of each order: the requests that the online service would have been sent.

A record takes part once it is known: earlier records of the order (day known, start, id), never later ones. What is
told of its end takes part from that day on: a record stopped on 1 March is active in a check of February.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from safety_service.audit.tables import BETWEEN_CONDITIONS, OBSERVED, concept
from safety_service.domain import (
    Allergy,
    Answer,
    CareOutcome,
    CareTried,
    CheckRequest,
    Completeness,
    Condition,
    ConditionStatus,
    Frequency,
    Hepatic,
    HepaticGrade,
    LabResult,
    Listed,
    LiverTest,
    MedicationRecord,
    Patient,
    Prescription,
    Quantity,
    RecordKind,
    RecordStatus,
    Renal,
    Sex,
    TreatmentStatus,
)
from safety_service.engine.problems import NEVER
from safety_service.engine.supply import days_of_a_supply

Row = Mapping[str, Any]

ALWAYS = -(2**31)  # a record without a day is taken as known from the beginning


@dataclass(frozen=True, slots=True)
class Told:
    """How complete the records are held to be, by table. What no file tells is not known."""

    medications: Completeness = Completeness.COMPLETE
    conditions: Completeness = Completeness.UNKNOWN
    labs: Completeness = Completeness.UNKNOWN
    care: Completeness = Completeness.UNKNOWN
    allergies: Completeness = Completeness.COMPLETE  # of patients of whom any, or none, is documented


class PatientRows(NamedTuple):
    """All rows of one patient. Medications in the order they became known. `holes`: tables with a row refused.

    `since`: records that became known before this day were checked before and are not checked again.
    """

    patient: str
    medications: Sequence[Row]
    conditions: Sequence[Row] = ()
    labs: Sequence[Row] = ()
    care: Sequence[Row] = ()
    observations: Sequence[Row] = ()
    allergies: Sequence[Row] = ()
    born: tuple[int, int] | None = None
    sex: Sex = Sex.UNSPECIFIED
    holes: frozenset[str] = frozenset()
    since: int = ALWAYS


class Dated(NamedTuple):
    """Something that changes on a day: what it was before, and what it is from then on."""

    day: int
    before: Any
    after: Any

    def on(self, day: int) -> Any:
        return self.after if day >= self.day else self.before


def is_index(row: Row) -> bool:
    """The record is checked by itself: a recognised order or dispensing that was made, not only planned or reported."""
    return not row["unknown_drug"] and row["kind"] != RecordKind.STATEMENT and row["status"] != RecordStatus.PLANNED


def requests(rows: PatientRows, told: Told, most_days: int) -> Iterator[tuple[int, CheckRequest]]:
    """Each record to check, by its place in `rows.medications`, with what was known on its day."""
    known = Known(rows, told, most_days)
    for i, row in enumerate(rows.medications):
        if is_index(row) and row["known_on"] >= rows.since:
            yield i, known.request(i)


class Known:
    """All that is known of one patient, to be asked for a day. `most_days`: more are no days of one supply."""

    def __init__(self, rows: PatientRows, told: Told, most_days: int) -> None:
        self.rows = rows
        self._most_days = most_days
        self._told = told
        self._records: list[Dated] | None = None
        self._conditions = [(_known_on(row, "onset"), _condition(row)) for row in rows.conditions]
        self._labs = [(_known_on(row), _lab(row)) for row in rows.labs]
        self._care = [(_known_on(row), _care(row)) for row in rows.care]

    def request(self, i: int) -> CheckRequest:
        """The request that the online service would have been sent for a record."""
        if self._records is None:
            self._records = [record_of(row, self._most_days) for row in self.rows.medications]
        row = self.rows.medications[i]
        day = row["known_on"]
        history = [self._records[j].on(day) for j in range(i) if not same_supply(self.rows.medications[j], row)]
        patient = with_observed(self.patient(row, day, history), self.rows, day, self._told.allergies)
        return CheckRequest(prescription_of(row), patient, day)

    def patient(self, row: Row, day: int, medications: Iterable[MedicationRecord] = ()) -> Patient:
        """The patient as known on a day, and as the record `row` tells."""
        patient = self.without_answers(day)
        return replace(
            patient,
            hepatic=replace(patient.hepatic, grade=HepaticGrade(row["hepatic_grade"])),
            medications=_listed(medications, self._told.medications, "medications" in self.rows.holes),
            alcohol_use=Answer(row["alcohol_use"]),
            drives_or_operates_machinery=Answer(row["drives"]),
            falls=Answer(row["falls"]),
        )

    def without_answers(self, day: int) -> Patient:
        """The patient as known on a day, without medications and without what only a record tells."""
        rows, told = self.rows, self._told
        contradicted = "patients" in rows.holes
        earliest, latest = (None, None) if rows.born is None or contradicted else rows.born
        return Patient(
            id=rows.patient,
            born_earliest=earliest,
            born_latest=latest,
            sex=Sex.UNSPECIFIED if contradicted else rows.sex,
            hepatic=Hepatic(
                labs=_listed((lab for known, lab in self._labs if known <= day), told.labs, "labs" in rows.holes),
            ),
            conditions=_listed(
                (each.on(day) for known, each in self._conditions if known <= day),
                told.conditions,
                "conditions" in rows.holes,
            ),
            care=_listed((each for known, each in self._care if known <= day), told.care, "care" in rows.holes),
        )

    def changes(self) -> list[int]:
        """The days, in order, on which `without_answers` changes."""
        days = {known for known, _ in (*self._conditions, *self._labs, *self._care)}
        return sorted(days.union(each.day for _, each in self._conditions))

    @property
    def medications_complete(self) -> bool:
        """The records are held to be all there are."""
        return self._told.medications is Completeness.COMPLETE and "medications" not in self.rows.holes


def with_observed(patient: Patient, rows: PatientRows, day: int, allergies: Completeness) -> Patient:
    """With what observations and allergies tell by that day.

    Of kidney function the latest counts, and none where several of that day differ. Pregnancy and breast-feeding are
    known on the day they were documented only. Allergies are told once any, or none, is documented: as completely as
    `allergies` says.
    """
    if rows.observations or "observations" in rows.holes:
        patient = replace(
            patient,
            renal=Renal(egfr=_latest(rows, "egfr", day), crcl=_latest(rows, "crcl", day)),
            pregnant=_ANSWER[_latest(rows, "pregnant", day, since=day)],
            lactating=_ANSWER[_latest(rows, "lactating", day, since=day)],
        )
    known = [row for row in rows.allergies if _known_on(row) <= day and row["status"] not in NEVER]
    if known:
        said = [row for row in known if row["none_known"] != Answer.YES]
        told = _listed(
            map(_allergy, said),
            allergies if len(said) == len(known) else Completeness.COMPLETE,  # "none" is said of all there is
            "allergies" in rows.holes,
        )
        patient = replace(patient, allergies=told)
    return patient


_ANSWER = {None: Answer.UNKNOWN, 0.0: Answer.NO, 1.0: Answer.YES}


def _latest(rows: PatientRows, what: str, day: int, since: int = ALWAYS) -> float | None:
    if "observations" in rows.holes:
        return None  # the one that was refused could be the latest
    code = OBSERVED.index(what)
    fitting = [row for row in rows.observations if row["what"] == code and since <= row["known_on"] <= day]
    last = max((row["known_on"] for row in fitting), default=None)
    values = {row["value"] for row in fitting if row["known_on"] == last}
    return values.pop() if len(values) == 1 else None


def _allergy(row: Row) -> Allergy:
    return Allergy(concept(row["substance"]), ConditionStatus(row["status"]), row["record"])


def same_supply(one: Row, other: Row) -> bool:
    """One is the order, the other a dispensing that fills it: the same tablets, not to be counted twice."""
    if one["kind"] == other["kind"]:
        return False
    return (bool(other["fills"]) and one["record"] == other["fills"]) or (
        bool(one["fills"]) and other["record"] == one["fills"]
    )


def _listed(items: Any, completeness: Completeness, hole: bool) -> Listed[Any]:
    found = tuple(items)
    if hole and completeness is Completeness.COMPLETE:
        completeness = Completeness.PARTIAL
    return Listed(found, completeness)


def _known_on(row: Row, otherwise: str = "known_on") -> int:
    known = row["known_on"] if row["known_on"] is not None else row[otherwise]
    return ALWAYS if known is None else int(known)


def _quantity(value: float | None, unit: str) -> Quantity | None:
    return None if value is None else Quantity(value, unit)


def _frequency(row: Row) -> Frequency | None:
    if row["times_high"] is None:
        return None
    return Frequency(row["times_low"], row["times_high"], row["period_hours"])


def indications_of(text: str) -> tuple[Condition, ...]:
    """The conditions a record is for."""
    found = []
    for each in text.split(BETWEEN_CONDITIONS) if text else ():
        held = concept(each)
        found.append(Condition(held.codings, held.text))
    return tuple(found)


def planned_end(row: Row) -> int | None:
    """The end as it was told with the order.

    The end of a record that is over, stopped on that day or completed, tells when it ended, and was known on that day
    only: what was planned may have been another day, and the record does not say.
    """
    end: int | None = row["end"]
    if end is None or end <= row["known_on"]:
        return end
    stopped_on = row["stopped_on"]
    over = row["status"] in (RecordStatus.STOPPED, RecordStatus.COMPLETED) if stopped_on is None else stopped_on == end
    return None if over else end


def prescription_of(row: Row) -> Prescription:
    """The record as the order under check."""
    return Prescription(
        medication=concept(row["drug"]),
        id=row["record"],
        kind=RecordKind.DISPENSING if row["kind"] == RecordKind.DISPENSING else RecordKind.ORDER,
        dose_low=_quantity(row["dose_low"], row["dose_unit"]),
        dose_high=_quantity(row["dose_high"], row["dose_unit"]),
        frequency=_frequency(row),
        as_needed=Answer(row["as_needed"]),
        route=row["route"],
        ordered_on=row["known_on"],
        start=row["start"],
        end=planned_end(row),
        days_supply=row["days_supply"],
        quantity=_quantity(row["quantity"], row["quantity_unit"]),
        refills=row["refills"],
        indications=indications_of(row["indications"]),
        status=TreatmentStatus(row["treatment_status"]),
        benefit_documented=Answer(row["benefit_documented"]),
        prescriber_id=row["prescriber"],
    )


def record_of(row: Row, most_days: int) -> Dated:
    """The record as one of the history; a supply of more than `most_days` days tells nothing of its end."""
    status = RecordStatus(row["status"])
    end = row["end"]
    record = MedicationRecord(
        medication=concept(row["drug"]),
        id=row["record"],
        kind=RecordKind(row["kind"]),
        status=status,
        known_on=row["known_on"],
        start=row["start"],
        end=end,
        days_supply=row["days_supply"],
        quantity=_quantity(row["quantity"], row["quantity_unit"]),
        refills=row["refills"],
        dose_low=_quantity(row["dose_low"], row["dose_unit"]),
        dose_high=_quantity(row["dose_high"], row["dose_unit"]),
        frequency=_frequency(row),
        as_needed=Answer(row["as_needed"]),
        indications=indications_of(row["indications"]),
        prescriber_id=row["prescriber"],
    )
    stopped = row["stopped_on"]
    if stopped is not None:
        over = stopped if end is None else min(end, stopped)
        before = replace(record, status=RecordStatus.UNSPECIFIED, end=planned_end(row))
        return Dated(stopped, before, replace(record, status=RecordStatus.STOPPED, end=over))
    if status is RecordStatus.STOPPED and end is not None:
        return Dated(end, replace(record, status=RecordStatus.UNSPECIFIED, end=None), record)
    if status is RecordStatus.COMPLETED and end is not None:
        return Dated(end, replace(record, status=RecordStatus.UNSPECIFIED, end=planned_end(row)), record)
    if status in (RecordStatus.COMPLETED, RecordStatus.STOPPED) and not days_of_a_supply(row["days_supply"], most_days):
        record = replace(record, status=RecordStatus.UNKNOWN)  # by which day is not told
    return Dated(ALWAYS, record, record)


def _condition(row: Row) -> Dated:
    held = concept(row["condition"])
    status = ConditionStatus(row["status"])
    known = row["known_on"]
    condition = Condition(held.codings, held.text, status, row["onset"], known, row["record"])
    abated = row["abated_on"]
    if abated is None:
        return Dated(ALWAYS, condition, condition)
    ended = status if status not in (ConditionStatus.UNSPECIFIED, ConditionStatus.ACTIVE) else ConditionStatus.RESOLVED
    return Dated(abated, replace(condition, status=ConditionStatus.ACTIVE), replace(condition, status=ended))


def _lab(row: Row) -> LabResult:
    return LabResult(
        test=LiverTest(row["test"]),
        value=Quantity(row["value"], row["unit"]),
        upper_limit=_quantity(row["upper_limit"], row["upper_unit"]),
        on=row["known_on"],
        id=row["record"],
    )


def _care(row: Row) -> CareTried:
    held = concept(row["care"])
    return CareTried(held.text, held.codings, held.text, CareOutcome(row["outcome"]), row["known_on"])
