"""The audit on one machine: files are read one after the other, buckets are checked in one process or several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

from safety_service.audit.buckets import BucketWriter
from safety_service.audit.check import Job, check_bucket, knowledge_of
from safety_service.audit.column_map import Map
from safety_service.audit.files import TableFile
from safety_service.audit.inputs import Inputs
from safety_service.audit.reading import FileCounts, read_file
from safety_service.audit.tables import REJECTED
from safety_service.knowledge.knowledge import Knowledge


@dataclass(frozen=True, slots=True)
class Reading:
    """Files to read as buckets into a folder. `first`: the number of the first; `counted` is filled as they are read.

    `most_bytes`: of rows that are held before they are written.
    """

    paths: Sequence[Path]
    first: int
    inputs: Inputs
    told_map: Map
    buckets: int
    folder: Path
    counted: Sequence[FileCounts]
    most_bytes: int


class Engine(Protocol):
    """Reads files and checks buckets, in whatever order and wherever."""

    def read(self, reading: Reading, seen: Callable[[int], None]) -> Mapping[str, int]:
        """How many rows of each table there were; `seen` is told of bytes. Raises what `read_file` raises."""

    def check(self, job: Job, buckets: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """The counts of each bucket, in any order."""


@dataclass(frozen=True, slots=True)
class Local:
    """One machine, with so many processes."""

    knowledge: Knowledge
    workers: int

    def read(self, reading: Reading, seen: Callable[[int], None]) -> Mapping[str, int]:
        """One file after the other."""
        with (
            BucketWriter(reading.folder, reading.buckets, reading.most_bytes) as writer,
            TableFile(reading.folder / "rejected.parquet", REJECTED) as rejected,
        ):
            for number, (path, counts) in enumerate(zip(reading.paths, reading.counted, strict=True), reading.first):
                pieces = read_file(path, number, reading.inputs, reading.told_map, self.knowledge, counts)
                for piece in pieces:
                    if piece.rows is not None:
                        writer.add(piece.table, piece.rows)
                        writer.add_holes(piece.table, piece.holes)
                    rejected.add(piece.rejected)
                seen(counts.bytes)
        return writer.rows

    def check(self, job: Job, buckets: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """In this process, or in several."""
        if self.workers == 1 or len(buckets) < 2:
            for bucket in buckets:
                yield bucket, check_bucket(self.knowledge, job, bucket)
            return
        with ProcessPoolExecutor(self.workers, get_context("spawn")) as pool:
            yield from zip(buckets, pool.map(_check, [job] * len(buckets), buckets), strict=True)


def _check(job: Job, bucket: int) -> dict[str, Any]:
    return check_bucket(knowledge_of(job.knowledge_dir, job.policy_file), job, bucket)
