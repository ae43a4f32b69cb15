"""Counts into measures: numerator, denominator and what could not be evaluated, by rule, organisation and month.

A roll-up is the sum of its parts, never a mean of ratios. A unit without a record in a month has a row of zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

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


def measures(counts: pa.Table, versions: Mapping[str, int]) -> pa.Table:
    """Every rule by unit and month of the record; months from the first to the last that any record has.

    For all together and for each practice every rule has a row in every month, also where nobody was asked. A
    prescriber and a drug have one for each rule that ever had an answer, in the months in which they have a record.
    """
    held = {name: counts.column(name).to_pylist() for name in COUNTS.names}
    rules = [ANY_ALERT, *versions]
    months = _months(held["month"])
    kinds = sorted(set(held["record_kind"]))
    groups = dict.fromkeys(zip(*(held[name] for name in ("rule_id", "record_kind", "level", "unit")), strict=True))
    practices = sorted({unit for _, _, level, unit in groups if level == "practice"})
    for rule in rules:
        for kind in kinds:
            groups[rule, kind, "all", ""] = None
            groups.update(((rule, kind, "practice", unit), None) for unit in practices)
    order = {rule: i for i, rule in enumerate(rules)}
    combinations = sorted(groups, key=lambda each: (order[each[0]], each[1], LEVELS.index(each[2]), each[3]))
    place = {each: i for i, each in enumerate(combinations)}
    month_place = {month: i for i, month in enumerate(months)}

    width = len(months)
    answers = {name: np.zeros(len(combinations) * width, dtype=np.int64) for name in ANSWERS}
    keys = zip(*(held[name] for name in ("rule_id", "record_kind", "level", "unit")), strict=True)
    row = np.fromiter((place[key] for key in keys), np.int64, counts.num_rows)
    column = np.fromiter((month_place[month] for month in held["month"]), np.int64, counts.num_rows)
    records = counts.column("records").to_numpy()
    of_answer = np.array(held["answer"], dtype=np.str_)
    for name, cells in answers.items():
        which = of_answer == name
        np.add.at(cells, row[which] * width + column[which], records[which])
    sparse = np.array([level in SPARSE for _, _, level, _ in combinations], dtype=np.bool_)
    units = {unit: i for i, unit in enumerate(dict.fromkeys(each[1:] for each in combinations))}
    unit = np.array([units[each[1:]] for each in combinations], dtype=np.int64)
    active = np.zeros((len(units), width), dtype=np.bool_)
    active[unit[row], column] = True
    keep = (active[unit] | ~sparse[:, np.newaxis]).ravel()
    at = np.flatnonzero(keep)
    fired, passed, not_evaluable = (answers[name][at] for name in ANSWERS)
    known = fired + passed
    combination = pa.array(at // width if width else at)
    columns = {
        "rule_id": _taken([each[0] for each in combinations], combination, pa.string()),
        "rule_version": _taken([versions.get(each[0], 0) for each in combinations], combination, pa.int16()),
        "record_kind": _taken([each[1] for each in combinations], combination, pa.string()),
        "level": _taken([each[2] for each in combinations], combination, pa.string()),
        "unit": _taken([each[3] for each in combinations], combination, pa.string()),
        "month": _taken([to_date(month) for month in months], pa.array(at % width if width else at), pa.date32()),
        "numerator": pa.array(fired),
        "denominator": pa.array(known),
        "not_evaluable": pa.array(not_evaluable),
        "ratio": pa.array(fired / np.maximum(known, 1), mask=known == 0),
    }
    return pa.table(columns, schema=MEASURES)


def _taken(values: list[Any], at: pa.Array, kind: pa.DataType) -> pa.Array:
    return pa.array(values, kind).take(at)


def _months(days: Iterable[int]) -> list[int]:
    found = set(days)
    if not found:
        return []
    months = [min(found)]
    while months[-1] < max(found):
        months.append(month_of(months[-1] + 31))
    return months


def total(table: pa.Table, column: str) -> int:
    """The sum of a column."""
    return int(pc.sum(table.column(column)).as_py() or 0)
