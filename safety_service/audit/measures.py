"""Counts into measures: numerator, denominator and what could not be evaluated, by rule, organisation and month.

A roll-up is the sum of its parts, never a mean of ratios. A unit without a record in a month has a row of zeros.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from safety_service.audit.files import TableFile
from safety_service.audit.replay import LEVELS, Group, month_of
from safety_service.domain import to_date

Ints = npt.NDArray[np.int64]
ANSWERS = ("fired", "passed", "not_evaluable")
SPARSE = ("prescriber", "drug")  # most of their months have no record
ANY_ALERT = ""  # as a rule: any alert of MODERATE or above on a record of a relaxant
MEASURES = pa.schema(
    [
        ("rule_id", pa.string()),
        ("rule_version", pa.int16()),
        ("record_kind", pa.string()),
        ("level", pa.string()),
        ("unit", pa.string()),
        ("month", pa.date32()),
        ("numerator", pa.int64()),
        ("denominator", pa.int64()),
        ("not_evaluable", pa.int64()),
        ("ratio", pa.float64()),  # null where the denominator is 0
    ]
)
COUNTS = pa.schema(
    [
        ("rule_id", pa.string()),
        ("record_kind", pa.string()),
        ("level", pa.string()),
        ("unit", pa.string()),
        ("month", pa.int32()),
        ("answer", pa.string()),
        ("records", pa.int64()),
    ]
)

CHUNK = 1 << 14  # groups of records looked at together
MOST_ROWS = 1 << 16  # of counts in memory at once


def counts_table(counts: Mapping[Group, int]) -> pa.Table:
    """Groups of records by rule, level and unit: a group with the same answers is looked into once."""
    answers = {each: i for i, each in enumerate(dict.fromkeys(group[5] for group in counts))}
    rules = {rule: i for i, rule in enumerate(dict.fromkeys(rule for each in answers for rule, _ in each))}
    said = np.zeros((len(answers), len(rules)), dtype=np.int8)  # 0: not counted
    for each, i in answers.items():
        for rule, answer in each:
            said[i, rules[rule]] = ANSWERS.index(answer) + 1
    number = np.fromiter(counts.values(), np.int64, len(counts))
    pattern = np.fromiter((answers[group[5]] for group in counts), np.int64, len(counts))
    parts = [COUNTS.empty_table()]
    for level in LEVELS:
        units = [(group[0], _unit(level, group), group[4]) for group in counts]
        place = {unit: i for i, unit in enumerate(sorted(set(units)))}
        unit_of = np.fromiter((place[unit] for unit in units), np.int64, len(units))
        parts += _level(level, list(place), unit_of, list(rules), said, pattern, number)
    return pa.concat_tables(parts)


def _unit(level: str, group: Group) -> str:
    _, drug, prescriber, practice, _, _ = group
    return {"all": "", "practice": practice, "prescriber": prescriber, "drug": drug}[level]


def _level(
    level: str,
    units: list[tuple[str, str, int]],
    unit_of: Ints,
    rules: list[str],
    said: Any,
    pattern: Ints,
    number: Ints,
) -> Iterator[pa.Table]:
    order = np.argsort(unit_of, kind="stable")
    for first in range(0, len(order), CHUNK):
        at = order[first : first + CHUNK]
        starts = np.flatnonzero(np.diff(unit_of[at], prepend=-1))
        for code, answer in enumerate(ANSWERS, start=1):
            each = np.where(said[pattern[at]] == code, number[at, np.newaxis], 0)
            sums = np.add.reduceat(each, starts, axis=0)
            row, column = np.nonzero(sums)
            unit = pa.array(unit_of[at][starts][row])
            yield pa.table(
                [
                    pa.array(rules, pa.string()).take(pa.array(column)),
                    pa.array([kind for kind, _, _ in units], pa.string()).take(unit),
                    pa.array([level] * len(row), pa.string()),
                    pa.array([name for _, name, _ in units], pa.string()).take(unit),
                    pa.array([month for _, _, month in units], pa.int32()).take(unit),
                    pa.array([answer] * len(row), pa.string()),
                    pa.array(sums[row, column]),
                ],
                schema=COUNTS,
            )


def added_up(tables: Iterable[pa.Table]) -> pa.Table:
    """The counts of several parts together."""
    total = COUNTS.empty_table()
    keys = COUNTS.names[:-1]
    for table in tables:
        grouped = pa.concat_tables([total, table]).group_by(keys).aggregate([("records", "sum")])
        total = grouped.rename_columns([*keys, "records"]).cast(COUNTS)
    return total


class Stored(NamedTuple):
    """Counts in files, each in the order of the rules, a part of them in memory at a time."""

    paths: Sequence[Path]

    def where(self, condition: pc.Expression) -> pa.Table:
        """The counts for which a condition holds, added up."""
        return added_up(pq.read_table(path, schema=COUNTS, filters=condition) for path in self.paths)

    def by_rule(self, rules: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
        """The counts of each rule, in the order given; several rules are read at once as far as they fit."""
        rows = sum(pq.read_metadata(path).num_rows for path in self.paths)
        several = max(1, len(rules) * MOST_ROWS // max(rows, 1))
        for first in range(0, len(rules), several):
            some = rules[first : first + several]
            if several >= len(rules):
                counts = added_up(pq.read_table(path, schema=COUNTS) for path in self.paths)
            else:
                counts = self.where(pc.field("rule_id").isin(some))
            for rule in some:
                yield rule, counts.filter(pc.equal(counts.column("rule_id"), rule))

    def cells(self) -> pa.Table:
        """Each (record kind, level, unit, month) that has a record, once."""
        names = ["record_kind", "level", "unit", "month"]
        found = COUNTS.empty_table().select(names)
        for path in self.paths:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=1 << 16, columns=names):
                    found = pa.concat_tables([found, pa.Table.from_batches([batch])])
                    if found.num_rows > 1 << 20:
                        found = found.group_by(names).aggregate([])
        return found.group_by(names).aggregate([])


def write_counts(path: Path, counts: pa.Table) -> None:
    """Counts as a file in which those of one rule stand together."""
    counts = counts.sort_by([(name, "ascending") for name in COUNTS.names[:-1]])
    rules = counts.column("rule_id").combine_chunks().dictionary_encode() if counts.num_rows else None
    with TableFile(path, COUNTS) as file:
        if rules is not None:
            bounds = np.flatnonzero(np.diff(rules.indices.to_numpy(), prepend=-1, append=-1))
            for start, end in itertools.pairwise(bounds.tolist()):
                file.add(counts.slice(start, end - start))


class _Grid(NamedTuple):
    """Units in the order of the table, months, and which cells (unit x months + month) have a record."""

    kinds: pa.Array
    levels: pa.Array
    names: pa.Array
    keys: pa.Array
    dense: Ints  # places of units that have a row in every month
    sparse: npt.NDArray[np.bool_]
    months: list[int]
    active: Ints

    def places(self, counts: pa.Table) -> Ints:
        """The place of the unit of each count."""
        return np.asarray(pc.index_in(_unit_keys(counts), self.keys).to_numpy(), dtype=np.int64)


def _unit_keys(table: pa.Table) -> pa.Array:
    parts = [table.column(name).combine_chunks() for name in ("record_kind", "level", "unit")]
    return pc.binary_join_element_wise(*parts, "\x1f")


def _grid(cells: pa.Table) -> _Grid:
    months = _months(cells.column("month").to_pylist())
    units = set(zip(*(cells.column(name).to_pylist() for name in ("record_kind", "level", "unit")), strict=True))
    practices = {unit for _, level, unit in units if level == "practice"}
    for kind in {kind for kind, _, _ in units}:
        units.add((kind, "all", ""))
        units.update((kind, "practice", unit) for unit in practices)
    ordered = sorted(units, key=lambda each: (each[0], LEVELS.index(each[1]), each[2]))
    kinds, levels, names = (pa.array([each[i] for each in ordered], pa.string()) for i in range(3))
    keys = pc.binary_join_element_wise(kinds, levels, names, "\x1f")
    sparse = np.array([level in SPARSE for _, level, _ in ordered], dtype=np.bool_)
    grid = _Grid(kinds, levels, names, keys, np.flatnonzero(~sparse), sparse, months, np.zeros(0, dtype=np.int64))
    return grid._replace(active=np.unique(_cells(grid, cells)))


def _cells(grid: _Grid, counts: pa.Table) -> Ints:
    month = pc.index_in(counts.column("month").combine_chunks(), pa.array(grid.months, pa.int32())).to_numpy()
    return np.asarray(grid.places(counts) * len(grid.months) + month, dtype=np.int64)


def measures(stored: Stored, versions: Mapping[str, int]) -> Iterator[pa.Table]:
    """Every rule by unit and month of the record; months from the first to the last that any record has.

    For all together and for each practice every rule has a row in every month, also where nobody was asked. A
    prescriber and a drug have one for each rule that ever had an answer, in the months in which they have a record.
    """
    grid = _grid(stored.cells())
    for rule, counts in stored.by_rule([ANY_ALERT, *versions]):
        yield _of_rule(rule, versions.get(rule, 0), counts, grid)


def _of_rule(rule: str, version: int, counts: pa.Table, grid: _Grid) -> pa.Table:
    width = len(grid.months)
    cells = _cells(grid, counts)
    asked = np.zeros(len(grid.sparse), dtype=np.bool_)
    asked[cells // max(width, 1)] = True
    asked &= grid.sparse
    every_month = (grid.dense[:, np.newaxis] * width + np.arange(width)).ravel()
    rows = np.sort(np.concatenate([every_month, grid.active[asked[grid.active // max(width, 1)]]]))
    number = counts.column("records").to_numpy()
    found: dict[str, Ints] = {}
    for answer in ANSWERS:
        found[answer] = np.zeros(len(rows), dtype=np.int64)
        said = pc.equal(counts.column("answer"), answer).to_numpy()
        np.add.at(found[answer], np.searchsorted(rows, cells[said]), number[said])
    known = found["fired"] + found["passed"]
    unit = pa.array(rows // max(width, 1))
    columns = {
        "rule_id": pa.array([rule], pa.string()).take(pa.array(np.zeros(len(rows), dtype=np.int64))),
        "rule_version": pa.array(np.full(len(rows), version, dtype=np.int16)),
        "record_kind": grid.kinds.take(unit),
        "level": grid.levels.take(unit),
        "unit": grid.names.take(unit),
        "month": pa.array([to_date(each) for each in grid.months], pa.date32()).take(pa.array(rows % max(width, 1))),
        "numerator": pa.array(found["fired"]),
        "denominator": pa.array(known),
        "not_evaluable": pa.array(found["not_evaluable"]),
        "ratio": pa.array(found["fired"] / np.maximum(known, 1), mask=known == 0),
    }
    return pa.table(columns, schema=MEASURES)


def _months(days: Iterable[int]) -> list[int]:
    found = set(days)
    if not found:
        return []
    months = [min(found)]
    while months[-1] < max(found):
        months.append(month_of(months[-1] + 31))
    return months
