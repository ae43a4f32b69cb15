"""Made-up records for the tests of the audit, as files and back."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from safety_service.audit.run import Options, audit
from safety_service.audit.synth import Plan, write
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import load_knowledge

TABLES = ("medications", "patients", "conditions", "labs", "care")


def made(knowledge: Knowledge, folder: Path, rows: int, seed: int, broken: float = 0.0) -> dict[str, list[list[str]]]:
    """Synthetic records as lists of fields, the header first."""
    write(knowledge, Plan(rows, seed, broken), folder, "csv")
    return {name: read(folder / f"{name}.csv") for name in TABLES}


def read(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def put(folder: Path, tables: dict[str, list[list[str]]]) -> Path:
    folder.mkdir(parents=True)
    for name, rows in tables.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
    return folder


def run(out: Path, *inputs: Path, **options: Any) -> dict[str, Any]:
    return audit(Options(inputs=tuple(str(each) for each in inputs), out=out, **options), None, _knowledge())


@cache
def _knowledge() -> Knowledge:
    return load_knowledge()


def table(out: Path, name: str) -> list[dict[str, Any]]:
    return pq.read_table(out / f"{name}.parquet").to_pylist()  # type: ignore[no-any-return]


def write_rows(path: Path, header: Sequence[str], *rows: Sequence[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    return path
