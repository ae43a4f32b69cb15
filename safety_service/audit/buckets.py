"""Patients in buckets: each row goes to the bucket of its patient, once, and a bucket is read whole and in order.

A bucket is a range of the patients' hashes, so that buckets read one after the other are in one order, however many
there are: (hash, patient, day known, start, record). It is the unit of memory, of retry and of resuming.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from safety_service.audit.known import PatientRows, Row
from safety_service.audit.tables import PLACE_BITS, TABLES
from safety_service.domain import Sex

HOLES = pa.schema([("patient", pa.string()), ("table", pa.string())])
SCHEMAS = {**TABLES, "holes": HOLES}
_AT_ONCE = 4_096  # rows held as Python objects
_OFFSET = 0xCBF29CE484222325
_PRIME = 0x100000001B3

Hashes = npt.NDArray[np.uint64]


def hashes(patients: pa.Array) -> Hashes:
    """A 64-bit hash of each text (FNV-1a, mixed): the same on every machine and in every version."""
    plain = patients.cast(pa.large_string())
    if not len(plain):
        return np.zeros(0, dtype=np.uint64)
    _, offsets_buffer, data_buffer = plain.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int64)[plain.offset : plain.offset + len(plain) + 1]
    data = np.frombuffer(data_buffer, dtype=np.uint8) if data_buffer is not None else np.zeros(0, dtype=np.uint8)
    lengths = np.diff(offsets)
    found = np.full(len(plain), _OFFSET, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for i in range(int(lengths.max(initial=0))):
            longer = np.flatnonzero(lengths > i)
            found[longer] = (found[longer] ^ data[offsets[longer] + i]) * np.uint64(_PRIME)
        for shift, factor in ((33, 0xFF51AFD7ED558CCD), (33, 0xC4CEB9FE1A85EC53), (33, 1)):
            found ^= found >> np.uint64(shift)
            found *= np.uint64(factor)
    return found


def bucket_of(hashed: Hashes, buckets: int) -> npt.NDArray[np.int64]:
    """The bucket of each hash: equal ranges, in order."""
    return (((hashed >> np.uint64(32)) * np.uint64(buckets)) >> np.uint64(32)).astype(np.int64)


class BucketWriter:
    """Takes rows of any table in any order and writes each to the file of its bucket. Use as a context."""

    def __init__(self, folder: Path, buckets: int, most_bytes: int) -> None:
        self._folder = folder
        self._buckets = buckets
        self._most = most_bytes
        self._held: dict[tuple[int, str], list[pa.Table]] = {}
        self._bytes = 0
        self._writers: dict[tuple[int, str], pq.ParquetWriter] = {}
        self.rows: dict[str, int] = dict.fromkeys(SCHEMAS, 0)

    def __enter__(self) -> BucketWriter:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            for writer in self._writers.values():
                writer.close()

    def add(self, name: str, table: pa.Table) -> None:
        """Rows of the table `name`."""
        self.rows[name] += table.num_rows
        if not table.num_rows:
            return
        at = bucket_of(hashes(table.column("patient").combine_chunks()), self._buckets)
        order = np.argsort(at, kind="stable")
        table = table.take(pa.array(order))
        bounds = np.searchsorted(at[order], np.arange(self._buckets + 1))
        for bucket in np.flatnonzero(np.diff(bounds)):
            part = table.slice(bounds[bucket], bounds[bucket + 1] - bounds[bucket])
            self._held.setdefault((int(bucket), name), []).append(part)
        self._bytes += table.nbytes
        if self._bytes > self._most:
            self._flush()

    def add_holes(self, table: str, patients: Iterable[str]) -> None:
        """Patients of whom a row of `table` was refused."""
        self.add("holes", holes_table(table, patients))

    def _flush(self) -> None:
        for (bucket, name), parts in self._held.items():
            writer = self._writers.get((bucket, name))
            if writer is None:
                path = bucket_file(self._folder, bucket, name)
                writer = pq.ParquetWriter(path, SCHEMAS[name], compression="zstd", compression_level=1)
                self._writers[bucket, name] = writer
            writer.write_table(pa.concat_tables(parts))
        self._held.clear()
        self._bytes = 0


def holes_table(table: str, patients: Iterable[str]) -> pa.Table:
    """Patients of whom a row of `table` was refused, as `HOLES`."""
    named = sorted(set(patients))
    return pa.table([named, [table] * len(named)], schema=HOLES)


def bucket_file(folder: Path, bucket: int, name: str) -> Path:
    """The file of one table of one bucket."""
    return folder / f"{bucket:05d}-{name}.parquet"


class Bucket(NamedTuple):
    """The tables of a bucket in order, and what was taken out: rows said twice, and rows whose id is another's.

    `added`: for each row of a table, whether none of the folders known before has a row of its id. `disputed`: patients
    of whom an id is said several times.
    """

    tables: dict[str, pa.Table]
    duplicates: dict[str, int]
    refused: dict[str, pa.Table]
    added: Mapping[str, pa.Array] = {}  # never written to
    disputed: frozenset[str] = frozenset()


def added_to(folder: Path, bucket: int) -> list[Path]:
    """The files that hold rows of a bucket."""
    return [path for name in SCHEMAS if (path := bucket_file(folder, bucket, name)).exists()]


def read_bucket(
    folders: Sequence[Path], bucket: int, ranks: Sequence[int], only: pa.Array | None = None, known: int = 0
) -> Bucket:
    """A bucket out of the folders that hold rows of it, sorted, each record once.

    `ranks`: by the number that a file was read under, its place in the order of the account, which the rows get as
    theirs; so it does not matter which file was read first. `only`: of these patients. `known`: so many of the folders
    were known before.
    """
    tables: dict[str, pa.Table] = {}
    duplicates: dict[str, int] = {}
    refused: dict[str, pa.Table] = {}
    added: dict[str, pa.Array] = {}
    disputed: set[str] = set()
    for name, schema in SCHEMAS.items():
        parts = [schema.empty_table().append_column(_ADDED, pa.array([], pa.bool_()))]
        for place, folder in enumerate(folders):
            path = bucket_file(folder, bucket, name)
            if path.exists():
                part = pq.read_table(path, schema=schema)
                if only is not None:
                    part = part.filter(pc.is_in(part.column("patient"), only))
                parts.append(part.append_column(_ADDED, pa.array(np.full(part.num_rows, place >= known))))
        table = pa.concat_tables(parts)
        if name in TABLES:
            once = _once(_placed(table, ranks))
            table, duplicates[name] = once.table, once.duplicates
            refused[name] = once.refused.drop_columns(_ADDED)
            disputed |= once.disputed
        table = _sorted(table)
        added[name] = table.column(_ADDED).combine_chunks()
        tables[name] = table.drop_columns(_ADDED)
    return Bucket(tables, duplicates, refused, added, frozenset(disputed))


_ADDED = "added"


def _placed(table: pa.Table, ranks: Sequence[int]) -> pa.Table:
    read = table.column("place").to_numpy()
    line = read & ((1 << PLACE_BITS) - 1)
    placed = np.array(ranks, dtype=np.int64)[read >> PLACE_BITS] << PLACE_BITS | line
    return table.set_column(table.column_names.index("place"), "place", pa.array(placed, pa.int64()))


def _sorted(table: pa.Table) -> pa.Table:
    hashed = pa.array(hashes(table.column("patient").combine_chunks()), pa.uint64())
    keyed = table.append_column("hash", hashed)
    keys = ["hash", "patient"]
    if "known_on" in table.column_names:
        keys.append("known_on")
    if "start" in table.column_names:
        begin = pc.coalesce(table.column("start"), table.column("known_on"))
        keyed = keyed.append_column("begin", begin)
        keys.append("begin")
    keys += [name for name in ("record", "table") if name in table.column_names]
    order = pc.sort_indices(keyed, sort_keys=[(key, "ascending") for key in keys])
    return table.take(order)


class _Once(NamedTuple):
    """A table without its duplicates, how many these were, rows whose id is another's, and whose ids are repeated."""

    table: pa.Table
    duplicates: int
    refused: pa.Table
    disputed: set[str]


def _once(table: pa.Table) -> _Once:
    """Without rows that repeat another, and those rows of the same id that say something else, kept apart.

    Of rows that contradict each other the first by content is kept, so that it does not matter which was read first.
    """
    if table.num_rows < 2:
        return _Once(table, 0, table.slice(0, 0), set())
    order = pc.sort_indices(table, sort_keys=[("patient", "ascending"), ("record", "ascending")])
    ids = table.select(["patient", "record"]).take(order).combine_chunks()
    same = np.ones(table.num_rows - 1, dtype=np.bool_)
    for name in ("patient", "record"):
        column = ids.column(name)
        same &= pc.equal(column.slice(1), column.slice(0, len(column) - 1)).to_numpy(zero_copy_only=False)
    if not same.any():
        return _Once(table, 0, table.slice(0, 0), set())
    at = order.to_numpy()
    group = np.concatenate(([0], np.cumsum(~same)))
    several = np.flatnonzero(np.bincount(group)[group] > 1)
    rows = table.take(pa.array(at[several])).to_pylist()
    said: dict[int, list[tuple[str, int, int]]] = {}
    added = table.column(_ADDED).combine_chunks().to_numpy(zero_copy_only=False).copy()
    disputed: set[str] = set()
    new: dict[int, bool] = {}
    for place_in_order, row in zip(several, rows, strict=True):
        place, number = row.pop("place"), int(group[place_in_order])
        new[number] = row.pop(_ADDED) and new.get(number, True)
        disputed.add(row["patient"])
        said.setdefault(number, []).append((repr(row), place, int(at[place_in_order])))
    repeated: list[int] = []
    other: list[int] = []
    for number, each in said.items():
        first, *rest = sorted(each)
        added[first[2]] = new[number]
        repeated += [i for text, _, i in rest if text == first[0]]
        contents: set[str] = set()
        for text, _, i in rest:
            if text != first[0]:
                (repeated if text in contents else other).append(i)
                contents.add(text)
    keep = np.ones(table.num_rows, dtype=np.bool_)
    keep[repeated + other] = False
    counted = np.ones(table.num_rows, dtype=np.bool_)
    if "unknown_drug" in table.column_names:  # rejected, and counted, when it was read
        counted = ~table.column("unknown_drug").combine_chunks().to_numpy(zero_copy_only=False)
    table = table.set_column(table.column_names.index(_ADDED), _ADDED, pa.array(added))
    refused = table.take(pa.array(sorted(other), pa.int64()))
    return _Once(table.filter(pa.array(keep)), int(counted[repeated].sum()), refused, disputed)


def patients(bucket: Bucket) -> Iterator[PatientRows]:
    """The patients of a bucket who have a medication, in order, each with all rows."""
    side = {
        name: _Beside(bucket.tables[name])
        for name in ("conditions", "labs", "care", "observations", "allergies", "patients", "holes")
    }
    refused: dict[str, set[str]] = {}
    for name, table in bucket.refused.items():
        for patient in table.column("patient").to_pylist():
            refused.setdefault(patient, set()).add(name)
    for rows in _runs(bucket.tables["medications"]):
        patient = rows[0]["patient"]
        of = {name: each.of(patient) for name, each in side.items()}
        person = of["patients"][0] if of["patients"] else {}
        born = person.get("born_earliest")
        yield PatientRows(
            patient=patient,
            medications=rows,
            conditions=of["conditions"],
            labs=of["labs"],
            care=of["care"],
            observations=of["observations"],
            allergies=of["allergies"],
            born=None if born is None else (born, person["born_latest"]),
            sex=Sex(person.get("sex", 0)),
            holes=frozenset({each["table"] for each in of["holes"]} | refused.get(patient, set())),
        )


class _Beside:
    """The rows of another table by patient, when patients are asked for in the order of the table."""

    def __init__(self, table: pa.Table) -> None:
        names = table.column("patient").combine_chunks().dictionary_encode()
        if isinstance(names, pa.ChunkedArray):
            names = names.chunk(0)
        self._place = {patient: i for i, patient in enumerate(names.dictionary.to_pylist())}
        self._bounds = np.flatnonzero(np.diff(names.indices.to_numpy(), prepend=-1, append=-1)).tolist()
        self._table = table
        self._first = 0
        self._held: list[Row] = []  # the rows from there on, some patients at a time

    def of(self, patient: str) -> Sequence[Row]:
        place = self._place.get(patient)
        if place is None:
            return ()
        start, end = self._bounds[place], self._bounds[place + 1]
        if start < self._first or end > self._first + len(self._held):
            self._first = start
            self._held = self._table.slice(start, max(end - start, _AT_ONCE)).to_pylist()
        return self._held[start - self._first : end - self._first]


def _runs(table: pa.Table) -> Iterator[list[dict[str, Any]]]:
    """The rows of each patient, a batch of the table in memory as Python objects at a time."""
    held: list[dict[str, Any]] = []
    for batch in table.to_batches(max_chunksize=_AT_ONCE):
        for row in batch.to_pylist():
            if held and held[0]["patient"] != row["patient"]:
                yield held
                held = []
            held.append(row)
    if held:
        yield held
