"""The audit on Spark: files are read where they are assigned, rows go to their patient's bucket, buckets are checked.

Spark only moves rows. A file is read by the same `read_file`, a bucket is checked by the same `check_bucket` as on one
machine, both in `mapInArrow`; so are the results, and what is kept of them for the next run. All workers see the inputs
and `--out` under the same paths (a shared file system), and have this package with the extra `spark`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from safety_service.audit import files
from safety_service.audit.buckets import SCHEMAS, bucket_file, bucket_of, hashes, holes_table
from safety_service.audit.check import Job, check_bucket, knowledge_of
from safety_service.audit.column_map import MapError
from safety_service.audit.files import InputError, OutputError, TableFile
from safety_service.audit.local import Reading
from safety_service.audit.reading import FileCounts, read_file
from safety_service.audit.tables import REJECTED, TABLES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Mapper = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]

# A row of any table: its bucket, the table, and one struct that is not null.
_ROWS = pa.schema(
    [("bucket", pa.int32()), ("table", pa.string()), *((name, pa.struct(list(each))) for name, each in SCHEMAS.items())]
)
_COUNTED = pa.schema([("bucket", pa.int32()), ("counts", pa.string())])
_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    "spark.speculation": "false",  # two attempts of one task would write one file
    "spark.sql.adaptive.enabled": "false",  # buckets stay parted as asked
    "spark.sql.execution.arrow.maxRecordsPerBatch": "10000",
}
_REFUSALS = {error.__name__: error for error in (InputError, MapError)}


@contextmanager
def on_spark(master: str, knowledge_dir: Path | None, policy_file: Path | None) -> Iterator[Spark]:
    """The engine, on `master` or as Spark is configured, else on all cores of this machine.

    Raises ModuleNotFoundError without the extra, OutputError when a task fails.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("medication-safety-audit")
    if master:
        builder = builder.master(master)
    if master.startswith("local"):
        builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
    for name, value in _SETTINGS.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    try:
        yield Spark(session, knowledge_dir, policy_file)
    except PySparkException as error:
        raise OutputError(f"a task of Spark failed: {_reason(str(error))}") from error
    finally:
        session.stop()


def _reason(text: str) -> str:
    """The last line of a Python traceback in a failure of Spark."""
    lines = [line.strip() for line in text.splitlines()]
    return next((line for line in reversed(lines) if re.match(r"\w+(\.\w+)*(Error|Exception): ", line)), lines[0])


@dataclass(frozen=True, slots=True)
class Spark:
    """A session, and the knowledge that its workers read for themselves."""

    session: SparkSession
    knowledge_dir: Path | None
    policy_file: Path | None

    def read(self, reading: Reading, seen: Callable[[int], None]) -> Mapping[str, int]:
        """Each file by one task; its rows, parted by patient, are stored by the tasks of their buckets."""
        shutil.rmtree(reading.folder, ignore_errors=True)
        reading.folder.mkdir(parents=True)
        files_frame = self.session.range(0, len(reading.paths), 1, max(1, len(reading.paths)))
        rows = files_frame.mapInArrow(_reader(reading, self.knowledge_dir, self.policy_file), _spark_schema(_ROWS))
        parts = max(1, min(reading.buckets, 4 * self.session.sparkContext.defaultParallelism))
        parted = rows.repartition(parts, "bucket").sortWithinPartitions("bucket", "table")
        total: Counter[str] = Counter()
        for row in parted.mapInArrow(_storer(reading.folder), _spark_schema(_COUNTED)).collect():
            name, number = json.loads(row["counts"])
            total[name] += number
        _gather(reading)
        seen(sum(each.bytes for each in reading.counted))
        return {name: total[name] for name in TABLES}

    def check(self, job: Job, buckets: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each bucket by one task."""
        if buckets:
            frame = self.session.range(0, len(buckets), 1, len(buckets))
            for row in frame.mapInArrow(_checker(job, list(buckets)), _spark_schema(_COUNTED)).collect():
                yield row["bucket"], json.loads(row["counts"])


def _reader(reading: Reading, knowledge_dir: Path | None, policy_file: Path | None) -> Mapper:
    """Numbers of files into the rows of the frame."""
    said = [asdict(each) for each in reading.counted]
    paths, first, inputs, told_map = list(reading.paths), reading.first, reading.inputs, reading.told_map
    buckets, folder = reading.buckets, reading.folder

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        knowledge = knowledge_of(knowledge_dir, policy_file)
        for number in (each for batch in batches for each in batch.column(0).to_pylist()):
            counts = FileCounts(**said[number])
            try:
                with TableFile(_refused(folder, number), REJECTED) as rejected:
                    for piece in read_file(paths[number], first + number, inputs, told_map, knowledge, counts):
                        rejected.add(piece.rejected)
                        if piece.rows is not None:
                            yield from _parted(piece.table, piece.rows, buckets)
                            yield from _parted("holes", holes_table(piece.table, piece.holes), buckets)
                files.write_json(_counts(folder, number), asdict(counts))
            except (InputError, MapError) as error:
                files.write_json(_counts(folder, number), {"error": type(error).__name__, "text": str(error)})

    return read


def _storer(folder: Path) -> Mapper:
    """Rows in the order of bucket and table into files; how many of each."""

    def store(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for (bucket, name), tables in _runs(batches):
            number = 0
            with TableFile(bucket_file(folder, bucket, name), SCHEMAS[name]) as file:
                for table in tables:
                    file.add(table)
                    number += table.num_rows
            yield _counted(bucket, [name, number])

    return store


def _checker(job: Job, buckets: Sequence[int]) -> Mapper:
    """Places among the buckets into counts."""

    def check(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        knowledge = knowledge_of(job.knowledge_dir, job.policy_file)
        for at in (each for batch in batches for each in batch.column(0).to_pylist()):
            yield _counted(buckets[at], check_bucket(knowledge, job, buckets[at]))

    return check


def _counted(bucket: int, said: object) -> pa.RecordBatch:
    columns = [pa.array([bucket], pa.int32()), pa.array([json.dumps(said)])]
    return pa.RecordBatch.from_arrays(columns, schema=_COUNTED)


def _gather(reading: Reading) -> None:
    """What the tasks counted and refused, put together. Raises what a file was refused with."""
    folder = reading.folder
    for number, counts in enumerate(reading.counted):
        said = files.read_json(_counts(folder, number))
        if "error" in said:
            raise _REFUSALS[said["error"]](said["text"])
        for name, value in said.items():
            setattr(counts, name, value)
    refused = [_refused(folder, number) for number in range(len(reading.counted))]
    files.write_tables(folder / "rejected.parquet", REJECTED, (part for path in refused for part in files.pieces(path)))
    for number in range(len(reading.counted)):
        _refused(folder, number).unlink()
        _counts(folder, number).unlink()


def _counts(folder: Path, number: int) -> Path:
    return folder / f"file-{number:05d}.json"


def _refused(folder: Path, number: int) -> Path:
    return folder / f"file-{number:05d}-rejected.parquet"


def _parted(name: str, table: pa.Table, buckets: int) -> Iterator[pa.RecordBatch]:
    """Rows of one table as rows of the frame."""
    if not table.num_rows:
        return
    bucket = bucket_of(hashes(table.column("patient").combine_chunks()), buckets)
    whole = table.combine_chunks().to_batches()[0]
    row = pa.StructArray.from_arrays(whole.columns, fields=list(SCHEMAS[name]))
    columns = {each: row if each == name else pa.nulls(len(row), _ROWS.field(each).type) for each in SCHEMAS}
    yield pa.RecordBatch.from_arrays(
        [pa.array(bucket, pa.int32()), pa.array([name] * len(row)), *columns.values()], schema=_ROWS
    )


def _runs(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[tuple[int, str], Iterator[pa.Table]]]:
    """The tables of each bucket, one after the other, out of rows in the order of both."""
    pieces = (piece for batch in batches for piece in _cut(batch))
    held = next(pieces, None)

    def of(key: tuple[int, str]) -> Iterator[pa.Table]:
        nonlocal held
        while held is not None and held[0] == key:
            yield held[1]
            held = next(pieces, None)

    while held is not None:
        key = held[0]
        yield key, of(key)


def _cut(batch: pa.RecordBatch) -> Iterator[tuple[tuple[int, str], pa.Table]]:
    bucket, table = (batch.column(name) for name in ("bucket", "table"))
    start = 0
    while start < len(batch):
        key = bucket[start].as_py(), table[start].as_py()
        same = pc.and_(pc.equal(bucket, key[0]), pc.equal(table, key[1]))
        end = start + int(pc.sum(same.slice(start)).as_py())
        rows = batch.column(key[1]).slice(start, end - start)
        yield key, pa.Table.from_batches([pa.RecordBatch.from_struct_array(rows)]).cast(SCHEMAS[key[1]])
        start = end


def _spark_schema(schema: pa.Schema) -> Any:
    from pyspark.sql.pandas.types import from_arrow_schema

    return from_arrow_schema(schema)
