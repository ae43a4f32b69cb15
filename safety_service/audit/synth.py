"""Made-up records of a population, for tests and benchmarks: refills early and late, ties, overlaps, gaps, broken rows.

The same seed gives the same rows, in pieces of patients, so that any number is made in little memory. Nobody is real.

Most refills repeat the fill before them whole: days, quantity, refills, dose, how often, route, and what is missing of
these. That part (`REPEATED`) is a choice of this generator and no statement about any population. Refills of one order
are copies of it: were all different, what is remembered of a record's shape would seldom be used again, as in no
records that people keep.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from safety_service.domain import to_day
from safety_service.knowledge.knowledge import Knowledge

FIRST = to_day(date(2022, 1, 1))
DAYS = 3 * 365
REPEATED = 0.85  # of the refills, those that repeat the fill before them
ROWS_OF_A_PATIENT = 6.8  # about: measured, only to know how many patients a number of rows asks for
_PIECE = 20_000  # patients made at once
_OTHER = ("lisinopril 10 mg tablet", "metformin 500 mg tablet", "atorvastatin 20 mg tablet", "omeprazole 20 mg capsule",
          "amoxicillin 500 mg capsule", "levothyroxine 50 mcg tablet")  # fmt: skip
_SUPPLIES = (5, 7, 10, 14, 14, 15, 20, 21, 21, 22, 28, 30, 30, 45, 60, 90)
_GAPS = (-9, -8, -7, -3, -1, 0, 0, 0, 0, 1, 2, 5, 6, 7, 8, 9, 14, 40)  # days from the end of one supply to the next
FORMS = ("csv", "csv.gz", "parquet")
BREAKS = (
    "bad-date",
    "negative-number",
    "not-utf8",
    "column-count",
    "unknown-drug",
    "duplicate-id",
    "bad-quotes",
    "no-patient",
    "bad-number",
    "bad-code",
)

Ints = npt.NDArray[np.int64]


class Drugs(NamedTuple):
    """What is prescribed: names as records have them, doses in mg (0: none said), and how often each is chosen."""

    names: tuple[str, ...]
    doses: tuple[float, ...]
    weights: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Plan:
    """How many medication rows are made, by which seed, which part of them broken; `integers`: ids are numbers."""

    rows: int
    seed: int = 1
    broken: float = 0.0
    integers: bool = False


def drugs_of(knowledge: Knowledge) -> Drugs:
    """Every product of every line, every ingredient of the sets that rules ask for, and some that no rule knows of."""
    found: dict[str, tuple[float, float]] = {}
    lines = list(knowledge.lines.values())
    for line in lines:
        for product in line.file.products:
            release = " extended release" if product.release == "er" else ""
            for strength in product.strengths_mg:
                name = f"{line.ingredient} {strength:g} mg{release} {product.forms[0]}"
                found[name] = float(strength), 0.3 / len(lines) / len(product.strengths_mg)
    partners = sorted({each.name for each_set in knowledge.medication_sets for each in each_set.ingredients})
    relaxants = {line.ingredient for line in lines}
    partners = [each for each in partners if each not in relaxants and "," not in each]
    found |= {f"{name} 5 mg tablet": (0.0, 0.3 / len(partners)) for name in partners}
    found |= {name: (0.0, 0.4 / len(_OTHER)) for name in _OTHER}
    weights = np.array([weight for _, weight in found.values()])
    return Drugs(tuple(found), tuple(dose for dose, _ in found.values()), weights / weights.sum())


def medications(knowledge: Knowledge, plan: Plan) -> Iterator[pa.Table]:
    """Rows of medications, patient by patient, until there are `plan.rows`."""
    drugs = drugs_of(knowledge)
    icd = _icd_codes(knowledge)
    made = first = 0
    while made < plan.rows:
        rng = np.random.default_rng([plan.seed, first])
        table = _piece(rng, first, drugs, icd, plan)
        table = table.slice(0, min(table.num_rows, plan.rows - made))
        made += table.num_rows
        first += _PIECE
        yield table


def _piece(rng: np.random.Generator, first: int, drugs: Drugs, icd: Sequence[str], plan: Plan) -> pa.Table:
    courses = rng.poisson(1.6, _PIECE) + 1
    courses[rng.random(_PIECE) < 0.002] += 40  # a few have very many
    patient = np.repeat(np.arange(first, first + _PIECE), courses)
    fills = np.minimum(rng.geometric(0.38, len(patient)), 24)
    of_course = np.repeat(np.arange(len(patient)), fills)
    drug = rng.choice(len(drugs.names), len(patient), p=drugs.weights)
    whole, early = rng.integers(0, DAYS, len(patient)), rng.integers(0, 60, len(patient))
    begin = FIRST + np.where(rng.random(len(patient)) < 0.3, early, whole)
    starts_of_course = np.concatenate(([0], np.cumsum(fills)[:-1]))
    as_before = _copied(np.random.default_rng([plan.seed, first, 3]), len(of_course), starts_of_course)
    supply = rng.choice(_SUPPLIES, len(of_course))[as_before]
    step = np.maximum(supply + rng.choice(_GAPS, len(of_course)), 0)
    ends = np.cumsum(step)
    before = ends - step
    start = begin[of_course] + before - before[starts_of_course][of_course]
    size = len(of_course)
    chosen = drug[of_course]
    person = patient[of_course]

    def some(part: float, values: Any) -> pa.Array:
        return pa.array(values, mask=rng.random(size) >= part)

    def said(part: float, *words: str) -> pa.Array:
        return pa.array(np.where(rng.random(size) < part, rng.choice(words, size), ""))

    def again(values: pa.Array) -> pa.Array:
        """As in the fill that is repeated, what is missing too."""
        return values.take(pa.array(as_before))

    dispensed = rng.random(len(patient))[of_course] < 0.7
    made_on = _dates(start)
    dose = np.array(drugs.doses)[chosen] * rng.choice((1.0, 1.0, 1.0, 2.0, 0.5), size)
    order = np.lexsort((start, person))
    record = np.arange(size) + first * 1000
    columns = {
        "patient_id": pa.array(person if plan.integers else np.char.add("P", np.char.zfill(person.astype(str), 8))),
        "record_id": pa.array(record if plan.integers else np.char.add("R", record.astype(str))),
        "ordered_on": pa.array(made_on, mask=dispensed),
        "dispensed_on": pa.array(made_on, mask=~dispensed),
        "drug_name": pa.array(drugs.names).take(pa.array(chosen)),
        "days_supply": again(some(0.95, supply.astype(np.int32))),
        "quantity": again(some(0.8, (supply * rng.integers(1, 4, size)).astype(np.float64))),
        "quantity_unit": pa.array(np.full(size, "{tbl}")),
        "refills": again(
            pa.array(rng.choice((0, 0, 0, 1, 2), size).astype(np.int32), mask=dispensed | (rng.random(size) < 0.1))
        ),
        "dose": again(pa.array(dose, mask=(dose == 0) | (rng.random(size) < 0.1))),
        "dose_unit": pa.array(np.full(size, "mg")),
        "times": again(some(0.9, rng.integers(1, 5, size).astype(np.int32))),
        "as_needed": again(said(0.8, "no", "no", "yes")),
        "indication": said(0.5, *icd),
        "treatment_status": said(0.2, "new", "continuing"),
        "benefit_documented": said(0.2, "yes", "no"),
        "hepatic_grade": said(0.3, "none", "none", "mild", "moderate", "severe"),
        "drives": said(0.3, "yes", "no"),
        "alcohol_use": said(0.3, "yes", "no"),
        "falls": said(0.3, "yes", "no"),
        "route": again(said(0.1, "oral", "oral", "intravenous")),
        "prescriber_id": pa.array(np.char.add("D", (person * 7 % 4001).astype(str))),
        "practice_id": pa.array(np.char.add("O", (person * 7 % 4001 % 97).astype(str))),
    }
    return pa.table(columns).take(pa.array(order))


def _copied(rng: np.random.Generator, size: int, first: Ints) -> Ints:
    """For each fill the one that it is a copy of: itself where it is the `first` of a course, or is made anew."""
    anew = rng.random(size) >= REPEATED
    anew[first] = True
    return np.maximum.accumulate(np.where(anew, np.arange(size), 0))


def _dates(days: Ints) -> npt.NDArray[np.datetime64]:
    return days.astype("datetime64[D]")


def _icd_codes(knowledge: Knowledge) -> list[str]:
    """One code of each set of conditions, and one of none."""
    return [*(each.icd10cm[0].code for each in knowledge.condition_sets if each.icd10cm), "I10"]


def other_tables(knowledge: Knowledge, plan: Plan, patients: int) -> Iterator[tuple[str, pa.Table]]:
    """Rows of the other tables for so many patients, in pieces: (table, rows)."""
    icd = _icd_codes(knowledge)
    options = sorted(knowledge.care.options)
    for first in range(0, patients, _PIECE):
        rng = np.random.default_rng([plan.seed, first, 1])
        several = np.arange(first, min(first + _PIECE, patients))

        def named(person: Ints) -> pa.Array:
            return pa.array(person if plan.integers else np.char.add("P", np.char.zfill(person.astype(str), 8)))

        def ids(letter: str, size: int, first: int = first) -> pa.Array:
            return pa.array(np.char.add(letter, (np.arange(size) + first * 10).astype(str)))

        born = to_day(date(1930, 1, 1)) + rng.integers(0, 75 * 365, len(several))
        yield (
            "patients",
            pa.table(
                {
                    "patient_id": named(several),
                    "birth_date": pa.array(_dates(born), mask=rng.random(len(several)) < 0.03),
                    "sex": pa.array(rng.choice(("female", "male", ""), len(several), p=(0.5, 0.48, 0.02))),
                }
            ),
        )
        person = rng.choice(several, len(several))
        size = len(person)
        known = FIRST + rng.integers(-365, DAYS, size)
        yield (
            "conditions",
            pa.table(
                {
                    "patient_id": named(person),
                    "record_id": ids("C", size),
                    "icd10": pa.array(rng.choice(icd, size)),
                    "status": pa.array(rng.choice(("active", "active", "resolved", ""), size)),
                    "onset": pa.array(_dates(known - rng.integers(0, 200, size)), mask=rng.random(size) < 0.5),
                    "recorded_on": pa.array(_dates(known)),
                    "abated_on": pa.array(_dates(known + rng.integers(1, 300, size)), mask=rng.random(size) < 0.8),
                }
            ),
        )
        person = rng.choice(several, len(several))
        yield (
            "labs",
            pa.table(
                {
                    "patient_id": named(person),
                    "record_id": ids("L", size),
                    "test": pa.array(rng.choice(("1742-6", "1920-8", "6768-6", "1975-2", "creatinine"), size)),
                    "value": pa.array(rng.choice((10.0, 40.0, 119.0, 120.0, 121.0, 200.0), size)),
                    "unit": pa.array(np.full(size, "U/L")),
                    "upper_limit": pa.array(np.full(size, 40.0), mask=rng.random(size) < 0.2),
                    "date": pa.array(_dates(FIRST + rng.integers(-100, DAYS, size))),
                }
            ),
        )
        person = rng.choice(several, len(several) // 2)
        size = len(person)
        yield (
            "care",
            pa.table(
                {
                    "patient_id": named(person),
                    "record_id": ids("T", size),
                    "care_option": pa.array(rng.choice(options, size)),
                    "outcome": pa.array(rng.choice(("planned", "ongoing", "helped", "failed", "declined", ""), size)),
                    "date": pa.array(_dates(FIRST + rng.integers(-100, DAYS, size))),
                }
            ),
        )


# --- as files ----------------------------------------------------------------------------------------------------


def write(knowledge: Knowledge, plan: Plan, out: Path, form: str) -> list[Path]:
    """The records as files in `out`: csv, csv.gz or parquet. Broken rows are made in text only, and counted by none."""
    out.mkdir(parents=True, exist_ok=True)
    paths = {name: out / f"{name}.{form}" for name in ("medications", "patients", "conditions", "labs", "care")}
    _write(paths["medications"], medications(knowledge, plan), form, plan)
    patients = int(plan.rows / ROWS_OF_A_PATIENT) + 1
    others: dict[str, list[pa.Table]] = {}
    for name, table in other_tables(knowledge, plan, patients):
        others.setdefault(name, []).append(table)
    for name, tables in others.items():
        _write(paths[name], iter(tables), form, Plan(0))
    return list(paths.values())


def _write(path: Path, tables: Iterator[pa.Table], form: str, plan: Plan) -> None:
    """Writes tables one after the other."""
    pieces = 0
    if form == "parquet":
        writer = None
        for table in tables:
            pieces += 1
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
        if writer is not None:
            writer.close()
        return
    rng = np.random.default_rng([plan.seed, 2])
    with gzip.GzipFile(path, "wb", 1, mtime=0) if form == "csv.gz" else path.open("wb") as file:
        for table in tables:
            text = _csv(table, header=pieces == 0)
            file.write(_broken(text, plan.broken, rng, header=pieces == 0) if plan.broken else text)
            pieces += 1


def _csv(table: pa.Table, header: bool) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.csv.WriteOptions(include_header=header, quoting_style="none")
    pa.csv.write_csv(table, sink, options)
    return bytes(sink.getvalue())


def _broken(text: bytes, part: float, rng: np.random.Generator, header: bool) -> bytes:
    """The same lines, some of them broken, each in one of the ways of `BREAKS`."""
    lines = text.split(b"\n")
    for i in np.flatnonzero(rng.random(len(lines) - 1) < part):
        if i == 0 and header:
            continue
        lines[i] = break_line(lines[i], str(rng.choice(BREAKS)))
    return b"\n".join(lines)


def break_line(line: bytes, how: str) -> bytes:
    """A line of medications broken so that it is refused with the reason `how`."""
    fields = line.split(b",")
    match how:
        case "bad-date":
            at = 3 if fields[3] else 2
            fields[at] = b"2023-02-30"
        case "negative-number":
            fields[5] = b"-7"
        case "not-utf8":
            fields[4] = b"cyclobenzaprine \xff\xfe 10 mg"
        case "column-count":
            fields = fields[:-2]
        case "unknown-drug":
            fields[4] = b"zzyzxoprine 10 mg tablet"
        case "duplicate-id":
            other = [*fields]
            other[5] = b"3" if fields[5] != b"3" else b"4"
            return line + b"\n" + b",".join(other)
        case "bad-quotes":
            fields[4] = b'"' + fields[4]
        case "no-patient":
            fields[0] = b""
        case "bad-number":
            fields[6] = b"many"
        case "bad-code":
            fields[12] = b"perhaps"
    return b",".join(fields)
