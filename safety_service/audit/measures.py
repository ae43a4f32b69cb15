"""Counts into measures: numerator, denominator and what could not be evaluated, by rule, organisation and month.

A roll-up is the sum of its parts, never a mean of ratios. A practice without a record in a month has a row of zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from operator import and_, or_
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


class _Coded(NamedTuple):
    """Counts in the order of their keys, each key once: by column all values, in order, and where each is there."""

    values: dict[str, pa.Array]
    codes: dict[str, Ints]
    records: Ints

    def of_rule(self, rule: str) -> slice:
        """Where those of one rule are."""
        names = self.values["rule_id"].to_pylist()
        at = names.index(rule) if rule in names else len(names)
        start, end = np.searchsorted(self.codes["rule_id"], [at, at + 1])
        return slice(int(start), int(end))

    def where(self, wanted: Sequence[tuple[str | None, str | None]]) -> _Coded:
        """Those of these pairs of a rule and a level, of which None is any."""
        rules, levels = (self.values[name].to_pylist() for name in ("rule_id", "level"))
        pairs = ((a, b) for a in rules for b in levels)
        chosen = [any(rule in (None, a) and level in (None, b) for rule, level in wanted) for a, b in pairs]
        mask = np.array(chosen, dtype=np.bool_)[self.codes["rule_id"] * len(levels) + self.codes["level"]]
        return _Coded(self.values, {name: each[mask] for name, each in self.codes.items()}, self.records[mask])

    def table(self) -> pa.Table:
        """The same as `COUNTS`."""
        columns = [self.values[name].take(pa.array(self.codes[name])) for name in _KEYS]
        return pa.table([*columns, pa.array(self.records)], schema=COUNTS)


_KEYS = COUNTS.names[:-1]
_WORDS = [field.name for field in COUNTS if field.type == pa.string()]


def added_up(tables: Iterable[pa.Table]) -> pa.Table:
    """The counts of several parts together, in the order of their keys, those that come to nothing left out."""
    return _added_up(tables).table()


def _added_up(tables: Iterable[pa.Table]) -> _Coded:
    table = pa.concat_tables(list(tables) or [COUNTS.empty_table()])
    values: dict[str, pa.Array] = {}
    key = np.zeros(table.num_rows, dtype=np.int64)
    for name in _KEYS:
        codes, values[name] = _codes(table.column(name))
        key *= len(values[name])
        key += codes
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    records = np.add.reduceat(table.column("records").to_numpy()[order], starts) if len(starts) else key
    left = np.flatnonzero(records)
    key, records = key[starts][left], records[left]
    found: dict[str, Ints] = {}
    for name in reversed(_KEYS):
        key, found[name] = np.divmod(key, max(len(values[name]), 1))
    return _Coded(values, found, records)


def _codes(column: pa.ChunkedArray) -> tuple[Ints, pa.Array]:
    """The place of each value among the values in order."""
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0) if whole.num_chunks else pa.array([], column.type)
    encoded = whole if isinstance(whole, pa.DictionaryArray) else whole.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order.to_numpy()] = np.arange(len(order))
    return rank[encoded.indices.to_numpy()], encoded.dictionary.take(order)


class Stored:
    """Counts in files, which add up, those below 0 too. `most`: so many are held in memory at once.

    `rows`: how many there are before they are added up. `fits`: all of them are held at once.
    """

    def __init__(self, paths: Sequence[Path], most: int = MOST_ROWS) -> None:
        self.paths = paths
        self.rows = sum(int(pq.read_metadata(path).num_rows) for path in paths)
        self.fits = self.rows <= most
        self._most = most
        self._all: _Coded | None = None

    def where(self, wanted: Sequence[tuple[str | None, str | None]]) -> pa.Table:
        """The counts of these pairs of a rule and a level, of which None is any, added up."""
        if self.fits:
            return self._held().where(wanted).table()
        pairs = [(("rule_id", rule), ("level", level)) for rule, level in wanted]
        each = [[pc.field(name) == value for name, value in pair if value is not None] for pair in pairs]
        return self._read(reduce(or_, [reduce(and_, both) for both in each])).table()

    def of_rules(self, rules: Sequence[str]) -> Iterator[tuple[Sequence[str], _Coded]]:
        """The counts of the rules in the order given, some rules at a time as far as they fit."""
        if self.fits:
            yield rules, self._held()
            return
        several = max(1, len(rules) * self._most // self.rows)
        for first in range(0, len(rules), several):
            some = rules[first : first + several]
            yield some, self._read(pc.field("rule_id").isin(some))

    def _held(self) -> _Coded:
        if self._all is None:
            self._all = _added_up(pq.ParquetFile(path, read_dictionary=_WORDS).read() for path in self.paths)
        return self._all

    def _read(self, condition: pc.Expression) -> _Coded:
        return _added_up(pq.read_table(path, schema=COUNTS, filters=condition) for path in self.paths)


def write_counts(path: Path, counts: pa.Table) -> None:
    """Counts, in the order of their keys, as a file in which those of some rules can be found."""
    with TableFile(path, COUNTS) as file:
        for first in range(0, counts.num_rows, _TOGETHER):
            file.add(counts.slice(first, _TOGETHER))


_TOGETHER = 1 << 16


class _Grid(NamedTuple):
    """Units in the order of the table and months, of which a cell is a pair (unit x months + month)."""

    kinds: pa.Array
    levels: pa.Array
    names: pa.Array
    places: Mapping[Unit, int]
    dense: Ints  # cells that every rule has a row of
    months: list[int]

    def cells(self, counts: _Coded) -> Ints:
        """The cell of each count."""
        units, at = _units(counts)
        places = np.array([self.places[unit] for unit in units], dtype=np.int64)
        place = {month: i for i, month in enumerate(self.months)}
        month = np.array([place.get(each, -1) for each in counts.values["month"].to_pylist()], dtype=np.int64)
        return places[at] * len(self.months) + month[counts.codes["month"]]


Unit = tuple[str, str, str]  # record kind, level, name


def _units(counts: _Coded) -> tuple[list[Unit], Ints]:
    """The units of counts, and the place of each count's among them."""
    names = ("record_kind", "level", "unit")
    values = [counts.values[name].to_pylist() for name in names]
    shape = [max(len(each), 1) for each in values]
    joint = np.ravel_multi_index([counts.codes[name] for name in names], shape)
    present = np.flatnonzero(np.bincount(joint, minlength=1))
    place = np.zeros(int(np.prod(shape)), dtype=np.int64)
    place[present] = np.arange(len(present))
    codes = np.unravel_index(present, shape)
    return list(zip(*([each[i] for i in at] for each, at in zip(values, codes, strict=True)), strict=True)), place[
        joint
    ]


def _grid(counted: Iterable[_Coded]) -> _Grid:
    units: set[Unit] = set()
    days: set[int] = set()
    for counts in counted:
        units.update(_units(counts)[0])
        days.update(counts.values["month"].take(pa.array(np.unique(counts.codes["month"]))).to_pylist())
    months = _months(days)
    practices = {unit for _, level, unit in units if level == "practice"}
    for kind in {kind for kind, _, _ in units}:
        units.add((kind, "all", ""))
        units.update((kind, "practice", unit) for unit in practices)
    ordered = sorted(units, key=lambda each: (each[0], LEVELS.index(each[1]), each[2]))
    kinds, levels, names = (pa.array([each[i] for each in ordered], pa.string()) for i in range(3))
    always = np.flatnonzero([level not in SPARSE for _, level, _ in ordered])
    dense = (always[:, np.newaxis] * len(months) + np.arange(len(months))).ravel()
    return _Grid(kinds, levels, names, {unit: i for i, unit in enumerate(ordered)}, dense, months)


def measures(
    stored: Stored, versions: Mapping[str, int], keep: Callable[[pa.Table], None] | None = None
) -> Iterator[pa.Table]:
    """Every rule by unit and month of the record; months from the first to the last that any record has.

    For all together and for each practice every rule has a row in every month, also where nobody was asked. A
    prescriber and a drug have one where there is an answer: that there is none means 0. `keep` is given the sums.
    """
    rules = [ANY_ALERT, *versions]
    grid = _grid(counts for _, counts in stored.of_rules(rules))
    for some, counts in stored.of_rules(rules):
        if keep is not None:
            keep(counts.table())
        cells = grid.cells(counts)
        for rule in some:
            yield _of_rule(rule, versions.get(rule, 0), counts, cells, grid)


def _of_rule(rule: str, version: int, counts: _Coded, cells: Ints, grid: _Grid) -> pa.Table:
    width = max(len(grid.months), 1)
    of_rule = counts.of_rule(rule)
    cells = cells[of_rule]
    rows = np.sort(np.concatenate([grid.dense, cells]))
    rows = rows[np.diff(rows, prepend=-1) != 0]
    at = np.searchsorted(rows, cells)
    answers = counts.values["answer"].to_pylist()
    found: dict[str, Ints] = {}
    for answer in ANSWERS:
        found[answer] = np.zeros(len(rows), dtype=np.int64)
        if answer in answers:
            said = counts.codes["answer"][of_rule] == answers.index(answer)
            found[answer][at[said]] = counts.records[of_rule][said]  # each is there once
    known = found["fired"] + found["passed"]
    unit = pa.array(rows // width)
    columns = {
        "rule_id": pa.array([rule], pa.string()).take(pa.array(np.zeros(len(rows), dtype=np.int64))),
        "rule_version": pa.array(np.full(len(rows), version, dtype=np.int16)),
        "record_kind": grid.kinds.take(unit),
        "level": grid.levels.take(unit),
        "unit": grid.names.take(unit),
        "month": pa.array([to_date(each) for each in grid.months], pa.date32()).take(pa.array(rows % width)),
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
