"""Which files are read, and files written so that a half-written one never stands under its final name."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from glob import glob
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from safety_service.audit.lines import plain_name

TABULAR = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".parquet": "parquet", ".pq": "parquet"}
KINDS = {**TABULAR, ".ndjson": "fhir", ".jsonl": "fhir"}
ROWS_IN_GROUP = 131_072


class InputError(Exception):
    """Something about the files named that ends the audit before it begins; the text says what to do."""


class OutputError(Exception):
    """The results cannot be written where they should go."""


def expand(inputs: Sequence[str]) -> list[Path]:
    """The files named by paths, folders and globs, each once, in the order of their names. Raises InputError."""
    found: dict[Path, None] = {}
    for each in inputs:
        named = [Path(match) for match in sorted(glob(each, recursive=True))] or [Path(each)]
        for path in named:
            if path.is_dir():
                inside = [p for p in sorted(path.rglob("*")) if p.is_file() and _kind(p) and not _hidden(p, path)]
                if not inside:
                    raise InputError(f"{path}: no file in it that is read ({', '.join(KINDS)}, also .gz and .zst)")
                found.update(dict.fromkeys(inside))
            elif not path.exists():
                raise InputError(f"{each}: no such file")
            elif not _kind(path):
                raise InputError(f"{path}: not a kind of file that is read ({', '.join(KINDS)}, also .gz and .zst)")
            else:
                found[path] = None
    return sorted(found, key=lambda path: (path.name, str(path)))


def _kind(path: Path) -> str:
    return KINDS.get(Path(plain_name(path)).suffix.lower(), "")


def kind_of(path: Path) -> str:
    """csv, parquet or fhir."""
    return _kind(path)


def _hidden(path: Path, below: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.relative_to(below).parts)


def digest(path: Path, seen: Callable[[int], None] = lambda _: None) -> str:
    """SHA-256 of a file's content; `seen` is told of each piece."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 22):
            found.update(piece)
            seen(len(piece))
    return found.hexdigest()


@contextmanager
def partial(path: Path) -> Iterator[Path]:
    """A name to write to; what is there becomes `path` when all of it was written, and is removed otherwise."""
    unfinished = path.with_name(f".{path.name}.partial")
    try:
        yield unfinished
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Any) -> None:
    """JSON with sorted keys, whole or not at all."""
    with partial(path) as unfinished:
        unfinished.write_text(
            json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def read_json(path: Path) -> Any:
    """The content of a JSON file, or None when it is not there."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def write_table(path: Path, table: pa.Table) -> None:
    """A Parquet file, whole or not at all."""
    write_tables(path, table.schema, [table])


class TableFile:
    """A Parquet file that is written piece by piece and stands under its name when the context ends well."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._stack = ExitStack()
        self._path, self._schema = path, schema

    def __enter__(self) -> TableFile:
        unfinished = self._stack.enter_context(partial(self._path))
        self._writer = self._stack.enter_context(pq.ParquetWriter(unfinished, self._schema, compression="zstd"))
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def add(self, table: pa.Table) -> None:
        """Writes rows."""
        if table.num_rows:
            self._writer.write_table(table)


def write_tables(path: Path, schema: pa.Schema, tables: Iterator[pa.Table] | Sequence[pa.Table]) -> int:
    """Tables one after the other in one Parquet file whose bytes do not depend on how the rows were cut; its rows."""
    written = 0
    with partial(path) as unfinished, pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
        held: list[pa.Table] = []
        rows = 0
        for table in tables:
            held.append(table)
            rows += table.num_rows
            while rows >= ROWS_IN_GROUP:
                whole = pa.concat_tables(held)
                writer.write_table(_plain(whole.slice(0, ROWS_IN_GROUP)), row_group_size=ROWS_IN_GROUP)
                held = [whole.slice(ROWS_IN_GROUP)]
                rows -= ROWS_IN_GROUP
                written += ROWS_IN_GROUP
        if rows or not written:
            whole = pa.concat_tables(held) if held else schema.empty_table()
            writer.write_table(_plain(whole), row_group_size=ROWS_IN_GROUP)
            written += rows
    return written


def _plain(table: pa.Table) -> pa.Table:
    """The same rows in one piece: pages are cut by pieces too."""
    return table.combine_chunks()


def pieces(path: Path) -> Iterator[pa.Table]:
    """The rows of a Parquet file, some in memory at a time."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=ROWS_IN_GROUP // 8):
            yield pa.Table.from_batches([batch])
