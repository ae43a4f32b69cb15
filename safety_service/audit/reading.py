"""One input file as pieces of rows of the tables, with every line of it counted; the same in whichever process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from safety_service.audit.column_map import Map, Mapped, map_columns
from safety_service.audit.inputs import Inputs
from safety_service.audit.lines import plain_name
from safety_service.audit.read_csv import Refused
from safety_service.audit.rows import rows_of
from safety_service.audit.tables import REJECTED
from safety_service.knowledge.knowledge import Knowledge


@dataclass(slots=True)
class FileCounts:
    """One input file: what it is, and every line of it."""

    name: str
    digest: str
    bytes: int
    form: str
    table: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    unused_columns: list[str] = field(default_factory=list)
    physical: int = 0
    header: int = 0
    blank: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    not_relevant: int = 0
    kept: dict[str, int] = field(default_factory=dict)  # by table
    missed: list[str] = field(default_factory=list)  # Medications that it refers to and no file has


class Piece(NamedTuple):
    """Rows of one table, patients of whom a row of it was refused, and the lines refused, as `tables.REJECTED`."""

    table: str
    rows: pa.Table | None
    holes: Sequence[str]
    rejected: pa.Table


def read_file(
    path: Path, number: int, inputs: Inputs, told_map: Map, knowledge: Knowledge, counts: FileCounts
) -> Iterator[Piece]:
    """The pieces of a file, the `number`-th of the audit; `counts` is filled as they come.

    Raises InputError or MapError for a file that cannot be understood, OSError for one that cannot be read.
    """
    mapped: Mapped | None = None
    missed: set[str] = set()
    for batch in inputs.batches(path, missed):
        if batch.mapped is not None:
            mapped = batch.mapped
        elif mapped is None and batch.columns.column_names:
            mapped = map_columns(plain_name(path), batch.columns.column_names, told_map)
            counts.table, counts.columns = mapped.table, dict(mapped.columns)
            counts.unused_columns = list(mapped.unused)
        counts.physical += batch.physical
        counts.header += batch.header
        counts.blank += batch.blank
        counts.not_relevant += batch.not_relevant
        table, refused = counts.table, batch.refused
        rows: pa.Table | None = None
        holes: Sequence[str] = ()
        if mapped is not None and batch.columns.column_names:
            found = rows_of(batch, mapped, number, knowledge)
            table, rows, holes = mapped.table, found.table, found.holes
            counts.not_relevant += found.not_relevant
            counts.kept[table] = counts.kept.get(table, 0) + rows.num_rows
            refused = sorted([*refused, *found.refused])
        for each in refused:
            counts.rejected[each.reason] = counts.rejected.get(each.reason, 0) + 1
        yield Piece(table, rows, holes, rejected_table(counts.name, table, refused))
    counts.missed = sorted(missed)


def rejected_table(file: str, table: str, refused: Sequence[Refused]) -> pa.Table:
    """Refused lines of one file as `tables.REJECTED`."""
    rows = [(file, each.line, table, each.reason, each.column, each.row) for each in refused]
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in REJECTED]
    return pa.table(columns, schema=REJECTED)
