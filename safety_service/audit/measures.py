"""Counts into measures: numerator, denominator and what could not be evaluated, by rule, organisation and month.

A roll-up is the sum of its parts, never a mean of ratios. A unit without a record in a month has a row of zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safety_service.audit.replay import LEVELS, month_of
from safety_service.domain import to_date

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

Key = tuple[str, str, str, str, int, str]


def counts_table(counts: Mapping[Key, int]) -> pa.Table:
    """Counts as a table, in order."""
    rows = sorted(counts.items())
    columns = [[key[i] for key, _ in rows] for i in range(6)]
    return pa.table([*columns, [number for _, number in rows]], schema=COUNTS)


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
    active: set[tuple[str, str, str, int]] = set()
    for rule, kind, level, unit, month, answer, records in zip(*(held[name] for name in COUNTS.names), strict=True):
        answers[answer][place[rule, kind, level, unit] * width + month_place[month]] += records
        if level in SPARSE:
            active.add((kind, level, unit, month_place[month]))
    keep = np.ones(len(combinations) * width, dtype=np.bool_)
    for i, (_, kind, level, unit) in enumerate(combinations):
        if level in SPARSE:
            keep[i * width : (i + 1) * width] = [(kind, level, unit, m) in active for m in range(width)]
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
