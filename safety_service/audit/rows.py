"""From the columns of a file to the rows of a table; a row that cannot be used is refused with its first reason."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from safety_service.audit import values
from safety_service.audit.column_map import Mapped
from safety_service.audit.read_csv import Batch, Refused
from safety_service.audit.tables import (
    BETWEEN_CODINGS,
    BETWEEN_CONDITIONS,
    BETWEEN_PARTS,
    DAY,
    TABLES,
    concept,
    concept_text,
    place,
)
from safety_service.domain import CareTried, MatchedBy, RecordKind, RecordStatus
from safety_service.engine.history import recognised
from safety_service.knowledge.drug_names import RXNORM, DrugNames
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.resolve import ATC, NDC, SNOMED
from safety_service.knowledge.value_sets import CareIndex

ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
_DRUG_CODES = {"drug_rxnorm": RXNORM, "drug_ndc": NDC, "drug_atc": ATC, "drug_snomed": SNOMED}


class Rows(NamedTuple):
    """Rows of one table, the lines refused, how many do not concern us, and patients of whom a row was refused."""

    table: pa.Table
    refused: list[Refused]
    not_relevant: int
    holes: list[str]


def rows_of(batch: Batch, mapped: Mapped, file: int, knowledge: Knowledge) -> Rows:
    """The rows of a batch of a mapped file. Equal rows give equal results, wherever they stand."""
    reading = _Reading(batch, mapped)
    columns = _READERS[mapped.table](reading)
    patient = reading.read("patient", values.identifier, pa.string())
    reading.refuse_null(patient, "no-patient", "patient")
    columns["patient"] = patient
    columns["place"] = pa.array(batch.lines + place(file, 0), pa.int64())
    if reading.has("care_concept"):
        columns["care"], columns["relevant"] = _options(columns["care"], knowledge.care)
    relevant = columns.pop("relevant", None)
    keep = np.ones(len(batch.lines), dtype=np.bool_)
    if relevant is not None:
        keep = relevant
    schema = TABLES[mapped.table]
    if mapped.table == "medications":
        unknown, place_unknown = _unknown_drugs(columns["drug"], knowledge.names)
        columns["unknown_drug"] = unknown
        reading.note(place_unknown & keep, "unknown-drug", "drug")
    if "record" in schema.names and "record" not in columns:  # of a patient there is one row
        record = reading.read("record", values.identifier, pa.string())
        columns["record"] = record if record.null_count == 0 else _with_ids(record, columns, schema)
    table = pa.table([columns[name] for name in schema.names], schema=schema)
    refused_at = {i: said for i, said in reading.wrong.items() if keep[i]}
    keep_rows = keep.copy()
    keep_rows[list(refused_at)] = False
    refused = [
        Refused(int(batch.lines[i]), reason, name, batch.raw(i))
        for i, (reason, name) in sorted({**reading.noted, **refused_at}.items())
    ]
    holes = [] if not refused_at else patient.take(pa.array(sorted(refused_at))).drop_null().to_pylist()
    return Rows(table.filter(pa.array(keep_rows)), refused, int((~keep).sum()), holes)


class _Reading:
    """The columns of a batch, and what was found wrong with its rows: the first reason of each."""

    def __init__(self, batch: Batch, mapped: Mapped) -> None:
        self.size = len(batch.lines)
        self.wrong: dict[int, tuple[str, str]] = {}
        self.noted: dict[int, tuple[str, str]] = {}
        self._columns = batch.columns
        self._mapped = mapped

    def has(self, field: str) -> bool:
        return field in self._mapped.columns or field in self._mapped.constants

    def read(self, field: str, parse: values.Parser, kind: pa.DataType) -> pa.Array:
        """A field read by `parse`; null throughout when the file does not have it."""
        if field in self._mapped.constants:
            encoded = pa.DictionaryArray.from_arrays(
                pa.array(np.zeros(self.size, dtype=np.int32)), pa.array([self._mapped.constants[field]])
            )
        elif field in self._mapped.columns:
            chunked = self._columns.column(self._mapped.columns[field])
            encoded = chunked.combine_chunks()
            if isinstance(encoded, pa.ChunkedArray):
                encoded = encoded.chunk(0) if encoded.num_chunks else pa.array([], chunked.type)
        else:
            return pa.nulls(self.size, kind)
        found, bad = values.column(encoded, parse, kind)
        for reason, at in bad.items():
            self.refuse(at, reason, field)
        return found

    def code(self, field: str, parse: values.Parser) -> pa.Array:
        """An enumeration; 0 where the file says nothing."""
        return self.read(field, parse, pa.int8()).fill_null(0)

    def refuse(self, at: npt.NDArray[Any], reason: str, field: str) -> None:
        for i in at:
            self.wrong.setdefault(int(i), (reason, field))

    def refuse_null(self, column: pa.Array, reason: str, field: str) -> None:
        if column.null_count:
            self.refuse(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False)), reason, field)

    def note(self, mask: npt.NDArray[np.bool_], reason: str, field: str) -> None:
        for i in np.flatnonzero(mask):
            self.noted.setdefault(int(i), (reason, field))


def _medications(reading: _Reading) -> dict[str, Any]:
    day = {name: reading.read(name, values.day, DAY) for name in ("dispensed_on", "ordered_on", "known_on", "start")}
    made = pc.coalesce(day["dispensed_on"], day["ordered_on"])
    known_on = pc.coalesce(day["known_on"], made, day["start"])
    reading.refuse_null(known_on, "no-date", "known_on")
    start = pc.coalesce(day["start"], made)
    end = reading.read("end", values.day, DAY)
    early = pc.fill_null(pc.less(end, start), False).to_numpy(zero_copy_only=False)
    reading.refuse(np.flatnonzero(early), "end-before-start", "end")
    kind = reading.code("kind", values.record_kind)
    if not reading.has("kind"):
        kind = pc.if_else(day["dispensed_on"].is_valid(), int(RecordKind.DISPENSING), int(RecordKind.ORDER))
    if reading.has("drug_concept"):
        drug = reading.read("drug_concept", _whole, pa.string())
    else:
        drug = _concepts(reading, "drug_text", {**_DRUG_CODES}, ("drug_code", "drug_system"))
    reading.refuse_null(drug, "no-drug", "drug")
    dose = reading.read("dose", values.amount, pa.float64())
    dose_low = reading.read("dose_low", values.amount, pa.float64())
    times = reading.read("times", values.days, pa.int32())
    times_low = reading.read("times_low", values.count, pa.int32())
    period = reading.read("period_hours", values.days, pa.int32())
    status = reading.code("status", values.record_status)
    relevant = np.asarray(status.to_numpy(zero_copy_only=False) != int(RecordStatus.ENTERED_IN_ERROR))
    return {
        "relevant": relevant,
        "kind": kind.cast(pa.int8()),
        "status": status,
        "known_on": known_on,
        "start": start,
        "end": end,
        "stopped_on": reading.read("stopped_on", values.day, DAY),
        "drug": drug,
        "route": _text(reading, "route"),
        "days_supply": reading.read("days_supply", values.days, pa.int32()),
        "quantity": reading.read("quantity", values.amount, pa.float64()),
        "quantity_unit": _text(reading, "quantity_unit"),
        "refills": reading.read("refills", values.count, pa.int32()),
        "dose_low": pc.coalesce(dose_low, dose),
        "dose_high": dose,
        "dose_unit": _text(reading, "dose_unit"),
        "times_low": pc.if_else(times.is_valid(), pc.coalesce(times_low, times), None),
        "times_high": times,
        "period_hours": pc.if_else(times.is_valid(), pc.coalesce(period, pa.scalar(24, pa.int32())), None),
        "as_needed": reading.code("as_needed", values.yes_no),
        "indications": (
            reading.read("indication_concepts", _whole, pa.string())
            if reading.has("indication_concepts")
            else reading.read("indication_icd10", _indications, pa.string())
        ).fill_null(""),
        "treatment_status": reading.code("treatment_status", values.treatment_status),
        "benefit_documented": reading.code("benefit_documented", values.yes_no),
        "hepatic_grade": reading.code("hepatic_grade", values.hepatic_grade),
        "drives": reading.code("drives", values.yes_no),
        "alcohol_use": reading.code("alcohol_use", values.yes_no),
        "falls": reading.code("falls", values.yes_no),
        "fills": _text(reading, "fills"),
        "prescriber": _text(reading, "prescriber"),
        "practice": _text(reading, "practice"),
    }


def _conditions(reading: _Reading) -> dict[str, Any]:
    if reading.has("condition_concept"):
        condition = reading.read("condition_concept", _whole, pa.string())
    else:
        condition = _concepts(reading, "text", {"icd10": ICD10CM, "snomed": SNOMED}, None)
    reading.refuse_null(condition, "no-condition", "icd10")
    return {
        "condition": condition,
        "status": reading.code("status", values.condition_status),
        "onset": reading.read("onset", values.day, DAY),
        "known_on": reading.read("known_on", values.day, DAY),
        "abated_on": reading.read("abated_on", values.day, DAY),
    }


def _labs(reading: _Reading) -> dict[str, Any]:
    test = reading.code("test", values.liver_test)
    value = reading.read("value", values.number, pa.float64())
    known_on = reading.read("known_on", values.day, DAY)
    reading.refuse_null(value, "bad-number", "value")
    unit = _text(reading, "unit")
    upper = reading.read("upper_limit", values.amount, pa.float64())
    return {
        "relevant": np.asarray(test.to_numpy(zero_copy_only=False) != 0),
        "test": test,
        "value": value,
        "unit": unit,
        "upper_limit": upper,
        "upper_unit": pc.if_else(upper.is_valid(), unit, ""),
        "known_on": known_on,
    }


def _care(reading: _Reading) -> dict[str, Any]:
    if reading.has("care_concept"):
        care = reading.read("care_concept", _whole, pa.string())
    else:
        option = reading.read("option", values.text, pa.string())
        care = _concepts(reading, "text", {"snomed": SNOMED}, None, also=option)
    reading.refuse_null(care, "no-care", "option")
    return {
        "care": care,
        "outcome": reading.code("outcome", values.care_outcome),
        "known_on": reading.read("known_on", values.day, DAY),
    }


def _observations(reading: _Reading) -> dict[str, Any]:
    known_on = reading.read("known_on", values.day, DAY)
    reading.refuse_null(known_on, "no-date", "known_on")
    return {
        "what": reading.code("what", values.observed),
        "value": reading.read("value", values.number, pa.float64()),
        "known_on": known_on,
    }


def _allergies(reading: _Reading) -> dict[str, Any]:
    substance = reading.read("substance_concept", _whole, pa.string())
    reading.refuse_null(substance, "no-substance", "substance")
    return {
        "substance": substance,
        "none_known": reading.code("none_known", values.yes_no),
        "status": reading.code("status", values.condition_status),
        "known_on": reading.read("known_on", values.day, DAY),
    }


def _patients(reading: _Reading) -> dict[str, Any]:
    earliest = reading.read("birth_date", lambda said: (values.birth(said) or (None, None))[0], DAY)
    latest = reading.read("birth_date", lambda said: (values.birth(said) or (None, None))[1], DAY)
    return {
        "record": pa.array([""] * reading.size, pa.string()),
        "born_earliest": earliest,
        "born_latest": latest,
        "sex": reading.code("sex", values.sex),
    }


_READERS: dict[str, Callable[[_Reading], dict[str, Any]]] = {
    "medications": _medications,
    "conditions": _conditions,
    "labs": _labs,
    "care": _care,
    "observations": _observations,
    "allergies": _allergies,
    "patients": _patients,
}


def _text(reading: _Reading, field: str) -> pa.Array:
    return reading.read(field, values.text, pa.string()).fill_null("")


def _concepts(
    reading: _Reading,
    text: str,
    systems: dict[str, str],
    free: tuple[str, str] | None,
    also: pa.Array | None = None,
) -> pa.Array:
    """Words and codes of each row as one text; null where there are none. `also` is used as words before the others."""
    words = reading.read(text, values.text, pa.string())
    if also is not None:
        words = pc.coalesce(also, words)
    parts = [words.fill_null("")]
    said = words.is_valid()
    coded = [(field, pa.scalar(system)) for field, system in systems.items() if reading.has(field)]
    if free is not None and reading.has(free[0]):
        coded.append((free[0], _text(reading, free[1])))
    for field, system in coded:
        code = reading.read(field, values.identifier, pa.string())
        coding = pc.binary_join_element_wise(system, code.fill_null(""), "", BETWEEN_PARTS)
        coding = pc.binary_join_element_wise("", coding, BETWEEN_CODINGS)
        parts.append(pc.if_else(code.is_valid(), coding, ""))
        said = pc.or_(said, code.is_valid())
    joined = parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, "")
    return pc.if_else(said, joined, None)


def _whole(value: object) -> str | None:
    """A concept that its reader has put together."""
    return str(value) or None


def _indications(value: object) -> str | None:
    """ICD-10-CM codes as conditions."""
    said = values.text(value)
    codes = [each for each in re.split(r"[;|,\s]+", said or "") if each]
    coding = [BETWEEN_CODINGS + BETWEEN_PARTS.join((ICD10CM, code, "")) for code in codes]
    return BETWEEN_CONDITIONS.join(coding)


def _options(care: pa.Array, options: CareIndex) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """Care by the id of the option it is, and which of it is one: other procedures are none of our business."""

    def named(each: object) -> str | None:
        held = concept(str(each))
        found = options.match(CareTried("", held.codings, held.text))
        return None if found is None else concept_text(found, [(c.system, c.code, c.display) for c in held.codings])

    found, _ = values.column(care, named, pa.string())
    return found, np.asarray(found.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)


def _unknown_drugs(drug: pa.Array, names: DrugNames) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    found, _ = values.column(
        drug, lambda each: recognised(names, concept(each)).matched_by is MatchedBy.NONE, pa.bool_()
    )
    found = found.fill_null(False)
    return found, np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _with_ids(record: pa.Array, columns: dict[str, Any], schema: pa.Schema) -> pa.Array:
    """Rows without an id get one from what they say, so that it does not depend on where they stand."""
    if not len(record):
        return record
    named = [name for name in schema.names if name not in ("place", "record", "unknown_drug")]
    texts = [pc.cast(columns[name], pa.string()).fill_null("") for name in named]
    joined = pc.binary_join_element_wise(*texts, BETWEEN_PARTS)
    ids = [f"row-{hashlib.blake2b(each.encode(), digest_size=10).hexdigest()}" for each in joined.to_pylist()]
    return pc.coalesce(record, pa.array(ids, pa.string()))
