"""An audit from files to results: read into buckets, check bucket by bucket, put together, balance.

Everything unfinished stands in `OUT/.work`, under a key made of all that the answers depend on: a run that was stopped
goes on where it was, and one that has other input, knowledge or options begins anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

import safety_service
from safety_service import __version__
from safety_service.audit import files
from safety_service.audit.batch import check_rows
from safety_service.audit.buckets import Bucket, BucketWriter, read_bucket
from safety_service.audit.column_map import Map, Mapped, map_columns, read_map
from safety_service.audit.disclosure import DEFAULT, PROFILES
from safety_service.audit.files import OutputError
from safety_service.audit.inputs import Inputs
from safety_service.audit.known import Told
from safety_service.audit.lines import plain_name
from safety_service.audit.measures import COUNTS, added_up, counts_table, measures
from safety_service.audit.read_csv import Refused
from safety_service.audit.replay import ALERTS, STATUSES
from safety_service.audit.report_page import LAW, Audited, report_page
from safety_service.audit.rows import rows_of
from safety_service.audit.tables import REJECTED, TABLES, place_of
from safety_service.domain import Completeness
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import load_knowledge

WORK = ".work"
MEMORY = 2 << 30
_EXPANDS = 8  # bytes in memory for a byte of a plain file, on the safe side
_PACKED = 6  # bytes of text in a byte of a compressed or Parquet file
_MOST_BUCKETS = 1024
_LOINC_ONLY = ("fhir", "omop measurement")  # a liver test under a code that is not known here passes unseen
DAYS = pa.schema(
    [
        ("what", pa.string()),
        ("record_kind", pa.string()),
        ("drug", pa.string()),
        ("days", pa.int32()),
        ("records", pa.int64()),
    ]
)


class DoesNotBalanceError(Exception):
    """Rows were lost or counted twice: the results cannot be trusted. The text is the law with its numbers."""


class Progress(Protocol):
    """Is told how far the audit is."""

    def stage(self, name: str, total: int) -> None: ...
    def advance(self, done: int) -> None: ...


class Quiet:
    """Tells nobody."""

    def stage(self, name: str, total: int) -> None: ...
    def advance(self, done: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Options:
    """What is audited and how. `memory` (bytes) bounds a bucket; `knowledge_dir`, `policy_file` are as for a server."""

    inputs: tuple[str, ...]
    out: Path
    map_file: Path | None = None
    memory: int = MEMORY
    buckets: int = 0  # 0: as the memory asks
    workers: int = 1
    statuses: bool = False
    partial: frozenset[str] = frozenset()  # tables that are not complete
    disclosure: str = DEFAULT  # profile by which small numbers are kept out of the report
    prescribers: bool = False  # the report has a table of them
    knowledge_dir: Path | None = None
    policy_file: Path | None = None


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


def audit(options: Options, progress: Progress | None = None, knowledge: Knowledge | None = None) -> dict[str, Any]:
    """Runs or resumes an audit and returns its manifest. `knowledge` is what `options` name, if it was read already.

    Raises InputError or MapError for files that cannot be understood, OutputError when results cannot be written,
    DoesNotBalanceError when rows went missing.
    """
    tell = progress or Quiet()
    paths = files.expand(options.inputs)
    told_map = read_map(options.map_file) if options.map_file is not None else {}
    knowledge = knowledge or _knowledge(options)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        work = options.out / WORK
        work.mkdir(exist_ok=True)
        tell.stage("Reading", sum(path.stat().st_size for path in paths))
        read = _read(options, paths, told_map, knowledge, work, tell)
        results = _check_buckets(options, read, knowledge, work, tell)
        return _put_together(options, read, results, knowledge, work)
    except OSError as error:
        raise OutputError(f"{error.filename or options.out}: {error.strerror or error}") from error


def _knowledge(options: Options) -> Knowledge:
    if options.knowledge_dir is None:
        return load_knowledge(policy_file=options.policy_file)
    return load_knowledge(options.knowledge_dir, options.policy_file)


# --- reading -----------------------------------------------------------------------------------------------------


def _read(
    options: Options, paths: Sequence[Path], told_map: Map, knowledge: Knowledge, work: Path, tell: Progress
) -> dict[str, Any]:
    """Fills the buckets, or finds them filled; returns what is known of the input."""
    digests = [files.digest(path) for path in paths]
    size = sum(_plain_size(path) for path in paths)
    buckets = options.buckets or min(_MOST_BUCKETS, max(1, -(-size * _EXPANDS * options.workers // options.memory)))
    key = _key(
        {
            "inputs": [[path.name, digest] for path, digest in zip(paths, digests, strict=True)],
            "map": {table: said.model_dump() for table, said in told_map.items()},
            "knowledge": knowledge.digest,
            "policy": knowledge.policy_digest,
            "kernel": kernel_digest(),
            "partial": sorted(options.partial),
            "statuses": options.statuses,
            "buckets": buckets,
        }
    )
    known = files.read_json(work / "read.json")
    if known is not None and known["key"] == key:
        return dict(known)
    for left in work.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    counted = []
    inputs = Inputs(paths, told_map)
    refused: list[tuple[str, Refused, str]] = []
    with BucketWriter(work / "buckets", buckets, options.memory // 16) as writer:
        for number, (path, digest) in enumerate(zip(paths, digests, strict=True)):
            counts = FileCounts(path.name, digest, path.stat().st_size, inputs.form(path))
            found = _read_file(path, number, inputs, told_map, knowledge, writer, counts)
            refused += [(path.name, *each) for each in found]
            counted.append(counts)
            tell.advance(path.stat().st_size)
    files.write_table(work / "rejected.parquet", _rejected(refused))
    read = {
        "key": key,
        "buckets": buckets,
        "files": [asdict(each) for each in counted],
        "rows": {name: writer.rows[name] for name in TABLES},
    }
    files.write_json(work / "read.json", read)
    return read


def _plain_size(path: Path) -> int:
    packed = files.kind_of(path) == "parquet" or plain_name(path) != path.name
    return path.stat().st_size * (_PACKED if packed else 1)


def kernel_digest() -> str:
    """Of all code that an answer comes from, so that no result of other code is taken over."""
    root = Path(safety_service.__file__).parent
    found = hashlib.sha256(__version__.encode())
    for room in ("audit", "engine", "knowledge", "rules"):
        for path in sorted((root / room).glob("*.py")):
            found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def _key(content: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _read_file(
    path: Path,
    number: int,
    inputs: Inputs,
    told_map: Map,
    knowledge: Knowledge,
    writer: BucketWriter,
    counts: FileCounts,
) -> Iterator[tuple[Refused, str]]:
    mapped: Mapped | None = None
    for batch in inputs.batches(path):
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
        refused = batch.refused
        if mapped is not None and batch.columns.column_names:
            rows = rows_of(batch, mapped, number, knowledge.names)
            writer.add(mapped.table, rows.table)
            writer.add_holes(mapped.table, rows.holes)
            counts.not_relevant += rows.not_relevant
            counts.kept[mapped.table] = counts.kept.get(mapped.table, 0) + rows.table.num_rows
            refused = sorted([*refused, *rows.refused])
        for each in refused:
            counts.rejected[each.reason] = counts.rejected.get(each.reason, 0) + 1
            yield each, mapped.table if mapped is not None and batch.columns.column_names else counts.table


def _rejected(refused: Sequence[tuple[str, Refused, str]]) -> pa.Table:
    rows = [(file, each.line, table, each.reason, each.column, each.row) for file, each, table in refused]
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in REJECTED]
    return pa.table(columns, schema=REJECTED)


# --- checking ----------------------------------------------------------------------------------------------------


def _told(options: Options, read: Mapping[str, Any]) -> Told:
    """A table is complete when files of it were given and nobody says otherwise."""

    def of(table: str) -> Completeness:
        if table in options.partial:
            return Completeness.PARTIAL
        if table == "labs" and any("labs" in each["kept"] and each["form"] in _LOINC_ONLY for each in read["files"]):
            return Completeness.PARTIAL
        given = any(each["table"] == table or table in each["kept"] for each in read["files"])
        return Completeness.COMPLETE if given else Completeness.UNKNOWN

    return Told(of("medications"), of("conditions"), of("labs"), of("care"))


def _check_buckets(
    options: Options, read: Mapping[str, Any], knowledge: Knowledge, work: Path, tell: Progress
) -> list[dict[str, Any]]:
    """The counts of every bucket, checked now or before."""
    (work / "results").mkdir(exist_ok=True)
    told = _told(options, read)
    names = [str(path) for path in files.expand(options.inputs)]
    tell.stage("Checking", read["rows"]["medications"])
    done: dict[int, dict[str, Any]] = {}
    for bucket in range(read["buckets"]):
        known = files.read_json(_result(work, bucket, "counts.json"))
        if known is not None:
            done[bucket] = known
            tell.advance(known["rows"])
    left = [bucket for bucket in range(read["buckets"]) if bucket not in done]
    if options.workers == 1 or len(left) < 2:
        _start_worker(knowledge, told, options, [Path(name).name for name in names], work)
        for bucket in left:
            done[bucket] = check_bucket(bucket)
            tell.advance(done[bucket]["rows"])
    else:
        arguments = (None, told, options, [Path(name).name for name in names], work)
        with ProcessPoolExecutor(
            options.workers, get_context("spawn"), initializer=_start_worker, initargs=arguments
        ) as pool:
            for bucket, counts in zip(left, pool.map(check_bucket, left), strict=True):
                done[bucket] = counts
                tell.advance(counts["rows"])
    return [done[bucket] for bucket in sorted(done)]


@dataclass(frozen=True, slots=True)
class _Worker:
    """What one process checks buckets with."""

    knowledge: Knowledge
    told: Told
    statuses: bool
    names: Sequence[str]  # of the input files
    work: Path


_worker: _Worker | None = None


def _start_worker(knowledge: Knowledge | None, told: Told, options: Options, names: Sequence[str], work: Path) -> None:
    global _worker
    _worker = _Worker(knowledge or _knowledge(options), told, options.statuses, names, work)


def check_bucket(number: int) -> dict[str, Any]:
    """Checks one bucket and writes what it comes to; its counts, written last, say that it is done."""
    worker = _worker
    assert worker is not None
    bucket = read_bucket(worker.work / "buckets", number)
    found = check_rows(worker.knowledge, bucket, worker.told, worker.statuses)
    files.write_table(_result(worker.work, number, "alerts.parquet"), pa.table(found.alerts, schema=ALERTS))
    if found.statuses is not None:
        files.write_table(_result(worker.work, number, "statuses.parquet"), pa.table(found.statuses, schema=STATUSES))
    files.write_table(_result(worker.work, number, "measures.parquet"), counts_table(found.measures))
    days = sorted(found.days.items())
    columns = [[key[i] for key, _ in days] for i in range(4)]
    files.write_table(
        _result(worker.work, number, "days.parquet"), pa.table([*columns, [n for _, n in days]], schema=DAYS)
    )
    files.write_table(_result(worker.work, number, "rejected.parquet"), _bucket_rejected(bucket, worker.names))
    counts = {
        "rows": bucket.tables["medications"].num_rows,
        "records": dict(found.records),
        "alerts": len(found.alerts["rule_id"]),
        "duplicates": bucket.duplicates,
        "rejected": {name: table.num_rows for name, table in bucket.refused.items()},
        "audited": {name: _audited(bucket.tables[name]) for name in TABLES},
    }
    files.write_json(_result(worker.work, number, "counts.json"), counts)
    return counts


def _audited(table: pa.Table) -> int:
    """Rows that took part. A drug that is not recognised took part as such, and is counted among the rejected."""
    if "unknown_drug" not in table.column_names:
        return int(table.num_rows)
    return int(table.num_rows - sum(table.column("unknown_drug").to_pylist()))


def _bucket_rejected(bucket: Bucket, names: Sequence[str]) -> pa.Table:
    refused = []
    for name, table in bucket.refused.items():
        for row in table.to_pylist():
            file, line = place_of(row.pop("place"))
            shown = json.dumps({k: v for k, v in row.items() if v not in (None, "")}, ensure_ascii=False).encode()
            refused.append((names[file], Refused(line, "duplicate-id", "record", shown), name))
    return _rejected(refused)


def _result(work: Path, bucket: int, name: str) -> Path:
    return work / "results" / f"{bucket:05d}-{name}"


# --- putting together --------------------------------------------------------------------------------------------


def _put_together(
    options: Options, read: Mapping[str, Any], results: Sequence[Mapping[str, Any]], knowledge: Knowledge, work: Path
) -> dict[str, Any]:
    out = options.out

    def parts(name: str) -> Iterator[pa.Table]:
        for bucket in range(len(results)):
            yield pq.read_table(_result(work, bucket, name))

    for name in ("manifest.json", "report.html"):  # they speak of what stands beside them
        (out / name).unlink(missing_ok=True)
    alerts = files.write_tables(out / "alerts.parquet", ALERTS, parts("alerts.parquet"))
    if options.statuses:
        files.write_tables(out / "statuses.parquet", STATUSES, parts("statuses.parquet"))
    versions = {rule.id: rule.version for rule in knowledge.rules}
    counts = added_up(parts("measures.parquet")) if results else COUNTS.empty_table()
    files.write_table(out / "measures.parquet", measures(counts, versions))
    rejected = pa.concat_tables([pq.read_table(work / "rejected.parquet"), *parts("rejected.parquet")])
    order = [("file", "ascending"), ("line", "ascending")]
    files.write_table(out / "rejected.parquet", rejected.sort_by(order))
    law = _law(read, results, rejected.num_rows)
    names = [
        "alerts.parquet",
        "measures.parquet",
        "rejected.parquet",
        *(["statuses.parquet"] if options.statuses else []),
    ]
    manifest = {
        "service_version": __version__,
        "kernel_digest": kernel_digest(),
        "knowledge_version": knowledge.version,
        "knowledge_digest": knowledge.digest,
        "policy_id": knowledge.policy.id,
        "policy_digest": knowledge.policy_digest,
        "inputs": read["files"],
        "complete": {name: level.name.lower() for name, level in asdict(_told(options, read)).items()},
        "conservation": law,
        "rejected": dict(sorted(Counter(rejected.column("reason").to_pylist()).items())),
        "checked_records": dict(sum((Counter(each["records"]) for each in results), Counter())),
        "alerts": alerts,
        "report": {"disclosure": options.disclosure, "prescribers": options.prescribers},
    }
    if not law["balances"]:
        raise DoesNotBalanceError(law_text(law))
    days = pa.concat_tables([DAYS.empty_table(), *parts("days.parquet")])
    page = report_page(
        Audited(counts, days, manifest), knowledge, PROFILES[options.disclosure], prescribers=options.prescribers
    )
    with files.partial(out / "report.html") as unfinished:
        unfinished.write_text(page, encoding="utf-8")
    manifest["outputs"] = {name: files.digest(out / name) for name in (*names, "report.html")}
    files.write_json(out / "manifest.json", manifest)
    return manifest


def _law(read: Mapping[str, Any], results: Sequence[Mapping[str, Any]], rejected: int) -> dict[str, Any]:
    """Every term counted where it arises, not as what is left of the others."""
    said = {name: sum(each[name] for each in read["files"]) for name in ("physical", "header", "blank", "not_relevant")}
    said["rejected"] = rejected
    said["duplicate"] = sum(sum(each["duplicates"].values()) for each in results)
    said["audited"] = sum(sum(each["audited"].values()) for each in results)
    return {**said, "balances": said["physical"] == sum(said[name] for name in LAW)}


def law_text(law: Mapping[str, Any]) -> str:
    """`physical lines = header + blank + ...`, with the numbers."""
    terms = " + ".join(f"{law[name]:,} {name.replace('_', ' ')}" for name in LAW)
    total = sum(law[name] for name in LAW)
    sign = "=" if law["balances"] else f"is not {total:,} ="
    return f"{law['physical']:,} physical lines {sign} {terms}"
