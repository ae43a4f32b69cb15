"""OMOP CDM tables as the tables of the audit: concept ids become codes and names by the CONCEPT table beside them.

Read are drug_exposure, person, condition_occurrence and measurement, as CSV or Parquet, recognised by their columns.

* `drug_exposure_end_date` is not read: the CDM has it filled in where the source says nothing, and a guess is no fact.
  `days_supply` is, and `verbatim_end_date`, the last day with the drug.
* `condition_end_date` is not read: it is mostly the end of a visit. A condition counts on.
* A result with an operator other than `=` is no value by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from safety_service.audit import values
from safety_service.audit.column_map import Mapped
from safety_service.audit.read_csv import Batch
from safety_service.audit.rows import ICD10CM
from safety_service.audit.tables import concept_text
from safety_service.knowledge.drug_names import RXNORM
from safety_service.knowledge.observation_codes import CLEARANCE, CLEARANCE_UNITS, EGFR, EGFR_UNITS
from safety_service.knowledge.resolve import ATC, NDC, SNOMED

_SYSTEMS = {"RxNorm": RXNORM, "NDC": NDC, "ATC": ATC, "SNOMED": SNOMED, "ICD10CM": ICD10CM}
_VOCABULARIES = (*_SYSTEMS, "RxNorm Extension", "LOINC", "UCUM", "Gender", "Type Concept", "Meas Value Operator")
_KINDS = (("dispens", "dispensing"), ("claim", "dispensing"), ("administration", "statement"), ("self", "statement"))
_FACTS = {**dict.fromkeys(EGFR, "egfr"), **dict.fromkeys(CLEARANCE, "crcl")}
_UNITS = {"egfr": EGFR_UNITS, "crcl": CLEARANCE_UNITS}
TABLES = {  # columns by which each is known
    "drug_exposure": ("person_id", "drug_concept_id", "drug_exposure_start_date"),
    "condition_occurrence": ("person_id", "condition_concept_id", "condition_start_date"),
    "measurement": ("person_id", "measurement_concept_id", "measurement_date"),
    "person": ("person_id", "gender_concept_id", "year_of_birth"),
    "concept": ("concept_id", "concept_name", "vocabulary_id", "concept_code"),
}


def table_of(columns: Sequence[str]) -> str:
    """The table of the CDM with these columns; empty for any other."""
    lower = {each.lower() for each in columns}
    return next((name for name, needed in TABLES.items() if lower >= set(needed)), "")


class Concepts:
    """Vocabulary, code and name of the concepts of those vocabularies that are read."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        parts = []
        for batch in batches:
            table = _lower(batch.columns)
            if table_of(table.column_names) == "concept":
                held = table.select(["concept_id", "vocabulary_id", "concept_code", "concept_name"])
                wanted = pc.is_in(held.column("vocabulary_id"), pa.array(_VOCABULARIES))
                parts.append(held.filter(wanted).cast(_CONCEPT))
        table = (pa.concat_tables(parts) if parts else _CONCEPT.empty_table()).sort_by("concept_id").combine_chunks()
        self._ids = table.column("concept_id").to_numpy()
        self._table = table

    def __len__(self) -> int:
        return len(self._ids)

    def find(self, concept_id: object) -> tuple[str, str, str]:
        """(vocabulary, code, name) of an id; empty texts where it is none or zero."""
        try:
            wanted = int(str(concept_id))
        except ValueError:
            return "", "", ""
        at = int(np.searchsorted(self._ids, wanted))
        if at == len(self._ids) or self._ids[at] != wanted:
            return "", "", ""
        row = self._table.slice(at, 1).to_pylist()[0]
        return row["vocabulary_id"], row["concept_code"], row["concept_name"]


_CONCEPT = pa.schema(
    [("concept_id", pa.int64()), ("vocabulary_id", pa.string()), ("concept_code", pa.string()),
     ("concept_name", pa.string())]
)  # fmt: skip


def read_omop(batches: Iterable[Batch], concepts: Concepts) -> Iterator[Batch]:
    """Batches of a table of the CDM as batches of a table of the audit. CONCEPT itself holds no record."""
    for batch in batches:
        table = _lower(batch.columns)
        name = table_of(table.column_names)
        if name == "concept":
            batch.columns = pa.table({})
            batch.not_relevant = len(batch.lines)
            yield batch
            continue
        told = _Table(table, concepts)
        columns = pa.table(dict(_READERS[name][1](told)))
        if name == "measurement":
            what = told.mapped(lambda each: _FACTS.get(concepts.find(each)[1]), "measurement_concept_id")
            facts = pc.indices_nonzero(what.is_valid())
            if len(facts):
                yield _part(batch, pa.table(dict(_kidneys(told, what))), "observations", facts.to_numpy())
                batch.physical = 0
                others = pc.indices_nonzero(what.is_null())
                yield _part(batch, columns, _READERS[name][0], others.to_numpy())
                continue
        batch.columns = columns
        batch.mapped = Mapped(_READERS[name][0], {each: each for each in columns.column_names}, {}, ())
        yield batch


def _part(batch: Batch, columns: pa.Table, table: str, at: npt.NDArray[np.int64]) -> Batch:
    """Some rows of a batch as a batch of their own, which counts the lines of all unless they are counted."""
    names = {each: each for each in columns.column_names}
    part = Batch(columns.take(pa.array(at)), batch.lines[at], lambda i: batch.raw(int(at[i])), batch.physical,
                 batch.header, batch.blank, batch.refused, Mapped(table, names, {}, ()))  # fmt: skip
    batch.header = batch.blank = 0
    batch.refused = []
    return part


def _lower(table: pa.Table) -> pa.Table:
    return table.rename_columns([each.lower() for each in table.column_names])


class _Table:
    """Columns by name, and each distinct value looked up once."""

    def __init__(self, table: pa.Table, concepts: Concepts) -> None:
        self._table = table
        self.concepts = concepts
        self.size = table.num_rows

    def plain(self, name: str) -> pa.Array:
        """A column as it is; null throughout when the table does not have it."""
        if name not in self._table.column_names:
            return pa.nulls(self.size, pa.string())
        return self._table.column(name).combine_chunks()

    def mapped(self, said: Callable[..., str | None], *names: str) -> pa.Array:
        """A text from the values of some columns, asked once for each combination."""
        known: dict[tuple[Any, ...], str | None] = {}
        columns = [self.plain(name).to_pylist() for name in names]
        found = []
        for row in zip(*columns, strict=True):
            if row not in known:
                known[row] = said(*row)
            found.append(known[row])
        return pa.array(found, pa.string())

    def looked_up(self, part: int, name: str) -> pa.Array:
        return self.mapped(lambda each: self.concepts.find(each)[part] or None, name)

    def concept(self, *names: str) -> pa.Array:
        """Codes and name of what the columns `names` hold, the last of them a text of the source."""

        def said(*row: Any) -> str | None:
            *ids, source = row
            held = [self.concepts.find(each) for each in ids]
            codings = [(_SYSTEMS[system], code, text) for system, code, text in held if system in _SYSTEMS]
            text = next((name for _, _, name in held if name), None) or values.text(source or "") or ""
            return concept_text(text, list(dict.fromkeys(codings))) if text or codings else None

        return self.mapped(said, *names)


def _kind(name: str) -> str:
    """What a drug exposure is by the name of its type; an order where that does not say."""
    lower = name.lower()
    return next((kind for word, kind in _KINDS if word in lower), "order")


def _day_after(said: object) -> str | None:
    text = values.text(said) if said is not None else None
    if text is None:
        return None
    try:
        return (date.fromisoformat(text[:10]) + timedelta(1)).isoformat()
    except (ValueError, OverflowError):
        return text


def _drug_exposure(table: _Table) -> Mapping[str, pa.Array]:
    kinds = table.mapped(lambda each: _kind(table.concepts.find(each)[2]), "drug_type_concept_id")
    start = table.plain("drug_exposure_start_date")
    ordered = pc.equal(kinds, "order")
    refills = table.plain("refills")
    return {
        "patient": table.plain("person_id"),
        "record": table.plain("drug_exposure_id"),
        "kind": kinds,
        "known_on": start,
        "start": start,
        "end": table.mapped(_day_after, "verbatim_end_date"),
        "drug_concept": table.concept("drug_concept_id", "drug_source_concept_id", "drug_source_value"),
        "route": table.looked_up(2, "route_concept_id"),
        "days_supply": table.plain("days_supply"),
        "quantity": table.plain("quantity"),
        "refills": pc.if_else(ordered, refills, pa.scalar(None, refills.type)),
        "prescriber": table.plain("provider_id"),
        "practice": table.plain("care_site_id"),
    }


def _condition_occurrence(table: _Table) -> Mapping[str, pa.Array]:
    start = table.plain("condition_start_date")
    names = ("condition_concept_id", "condition_source_concept_id", "condition_source_value")
    return {
        "patient": table.plain("person_id"),
        "record": table.plain("condition_occurrence_id"),
        "condition_concept": table.concept(*names),
        "onset": start,
        "known_on": start,
    }


def _measurement(table: _Table) -> Mapping[str, pa.Array]:
    operators = table.looked_up(2, "operator_concept_id")
    plain = pc.fill_null(pc.equal(operators, "="), True)
    value = table.plain("value_as_number")
    unit = table.looked_up(1, "unit_concept_id")
    return {
        "patient": table.plain("person_id"),
        "record": table.plain("measurement_id"),
        "test": table.looked_up(1, "measurement_concept_id"),
        "value": pc.if_else(plain, value, pa.scalar(None, value.type)),
        "unit": pc.coalesce(unit, table.mapped(lambda each: each and values.text(each), "unit_source_value")),
        "upper_limit": table.plain("range_high"),
        "known_on": table.plain("measurement_date"),
    }


def _kidneys(table: _Table, what: pa.Array) -> Mapping[str, pa.Array]:
    """Kidney function as an observation; a value in another unit says nothing."""

    def in_unit(name: str | None, code: str | None, source: Any) -> str | None:
        said = {str(each).lower() for each in (code, source) if each}
        return "yes" if name is not None and said & set(_UNITS[name]) else None

    labs = _measurement(table)
    unit = table.looked_up(1, "unit_concept_id").to_pylist()
    source = table.plain("unit_source_value").to_pylist()
    fits = pa.array(
        [in_unit(*each) is not None for each in zip(what.to_pylist(), unit, source, strict=True)], pa.bool_()
    )
    value = labs["value"]
    return {
        "patient": labs["patient"],
        "record": labs["record"],
        "what": what,
        "value": pc.if_else(fits, value, pa.scalar(None, value.type)),
        "known_on": labs["known_on"],
    }


def _person(table: _Table) -> Mapping[str, pa.Array]:
    def born(year: Any, month: Any, day: Any) -> str | None:
        parts = [values.identifier(each) if each is not None else None for each in (year, month, day)]
        known = [each for each in parts[: parts.index(None) if None in parts else 3] if each]
        return "-".join(each.zfill(2) for each in known) or None

    return {
        "patient": table.plain("person_id"),
        "birth_date": table.mapped(born, "year_of_birth", "month_of_birth", "day_of_birth"),
        "sex": table.mapped(lambda each: table.concepts.find(each)[1] or None, "gender_concept_id"),
    }


_READERS: Mapping[str, tuple[str, Callable[[_Table], Mapping[str, pa.Array]]]] = {
    "drug_exposure": ("medications", _drug_exposure),
    "condition_occurrence": ("conditions", _condition_occurrence),
    "measurement": ("labs", _measurement),
    "person": ("patients", _person),
}
