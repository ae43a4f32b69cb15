"""An audit from files to results: read into buckets, check bucket by bucket, put together, balance.

What was read and what came of it is kept in `OUT/.work`, under a key made of all that the answers depend on but the
files: a run that was stopped goes on where it was, one that names more files reads those only, and one that names other
files, knowledge or options begins anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import safety_service
from safety_service import __version__
from safety_service.audit import files
from safety_service.audit.check import (
    DAYS,
    RESULTS,
    Job,
    is_current,
    knowledge_of,
    result_file,
    result_of,
    rows_folder,
    told_said,
)
from safety_service.audit.column_map import Map, read_map
from safety_service.audit.disclosure import DEFAULT, PROFILES
from safety_service.audit.files import OutputError, TableFile
from safety_service.audit.inputs import CONCEPT, Inputs
from safety_service.audit.known import Told
from safety_service.audit.lines import plain_name
from safety_service.audit.local import Engine, Local, Reading
from safety_service.audit.measures import COUNTS, MEASURES, MOST_ROWS, Stored, measures
from safety_service.audit.reading import FileCounts
from safety_service.audit.replay import ALERTS, STATUSES
from safety_service.audit.report_page import LAW, Audited, report_counts, report_page
from safety_service.audit.revisions import REVISIONS
from safety_service.audit.tables import REJECTED, TABLES
from safety_service.domain import Completeness
from safety_service.knowledge.knowledge import Knowledge

WORK = ".work"
_SEEN = "inputs.json"
_TICK = 2_000_000_000  # ns: no file system tells times less exactly
MEMORY = 2 << 30
ENGINES = ("local", "spark")
_EXPANDS = 160  # bytes in memory for a byte of a plain file: what a record comes to takes more than the record
_PACKED = 6  # bytes of text in a byte of a compressed or Parquet file
_HEADROOM = 4  # months may come until there are so many times the rows, before all is read anew into more buckets
_MOST_BUCKETS = 1024
_OF_A_BUCKET = 512 << 10  # bytes held for each bucket while it is filled
_LOINC_ONLY = ("fhir", "omop measurement")  # a liver test under a code that is not known here passes unseen
_OF_A_COUNT = 256  # bytes held for a row of counts while it is added up
_WINDOW = 50_000  # lines of a file whose rejected ones are held at once


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
    engine: str = "local"  # or spark
    master: str = ""  # of Spark; empty: as Spark is configured, else all cores of this machine
    buckets: int = 0  # 0: as the memory asks
    workers: int = 1
    statuses: bool = False
    partial: frozenset[str] = frozenset()  # tables that are not complete
    disclosure: str = DEFAULT  # profile by which small numbers are kept out of the report
    prescribers: bool = False  # the report has a table of them
    verify_inputs: bool = False  # hash files that are as they were, too
    knowledge_dir: Path | None = None
    policy_file: Path | None = None


def audit(options: Options, progress: Progress | None = None, knowledge: Knowledge | None = None) -> dict[str, Any]:
    """Runs or resumes an audit and returns its manifest. `knowledge` is what `options` name, if it was read already.

    Raises InputError or MapError for files that cannot be understood, OutputError when results cannot be written,
    DoesNotBalanceError when rows went missing.
    """
    tell = progress or Quiet()
    paths = files.expand(options.inputs)
    told_map = read_map(options.map_file) if options.map_file is not None else {}
    knowledge = knowledge or knowledge_of(options.knowledge_dir, options.policy_file)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        work = options.out / WORK
        work.mkdir(exist_ok=True)
        tell.stage("Reading", sum(path.stat().st_size for path in paths))
        before = {} if options.verify_inputs else files.read_json(work / _SEEN) or {}
        named = [_named(path, before) for path in paths]
        with _engine(options, knowledge) as engine:
            kept = _read(options, engine, named, told_map, knowledge, work, tell)
            files.write_json(work / _SEEN, {str(each.path.absolute()): each.seen for each in named})
            job = _job(options, named, kept, work)
            results = _check_buckets(engine, kept, job, tell)
        manifest = _put_together(options, named, kept, job, results, knowledge)
        _drop_replaced(kept, job)
        return manifest
    except OSError as error:
        raise OutputError(f"{error.filename or options.out}: {error.strerror or error}") from error


@contextmanager
def _engine(options: Options, knowledge: Knowledge) -> Iterator[Engine]:
    if options.engine == "spark":
        from safety_service.audit.spark import on_spark

        with on_spark(options.master, options.knowledge_dir, options.policy_file) as engine:
            yield engine
    else:
        yield Local(knowledge, options.workers)


class Named(NamedTuple):
    """An input file, the digest of its content, and what the file system said of it, the digest in it.

    `hashed`: its content was read for that, not taken to be as it was.
    """

    path: Path
    digest: str
    seen: dict[str, Any]
    hashed: bool


def _named(path: Path, before: Mapping[str, Mapping[str, Any]]) -> Named:
    """A file by its content; `before`: what was seen of files in an earlier run.

    One that was changed just before it was read could be changed again with the same time: it is not taken as known.
    """
    now, state = time.time_ns(), _state(path)
    was = before.get(str(path.absolute()))
    if was is not None and was["state"] == state and was["at"] - max(state[1:3]) > _TICK:
        return Named(path, str(was["digest"]), dict(was), hashed=False)
    digest = files.digest(path)
    return Named(path, digest, {"state": state, "at": now, "digest": digest}, hashed=True)


def _state(path: Path) -> list[int]:
    said = path.stat()
    return [said.st_size, said.st_mtime_ns, said.st_ctime_ns, said.st_ino]


# --- reading -----------------------------------------------------------------------------------------------------


def _read(
    options: Options,
    engine: Engine,
    named: Sequence[Named],
    told_map: Map,
    knowledge: Knowledge,
    work: Path,
    tell: Progress,
) -> dict[str, Any]:
    """Reads what was not read before into buckets; what is kept of all that was read."""
    key = _key(
        {
            "map": {table: said.model_dump() for table, said in told_map.items()},
            "knowledge": knowledge.digest,
            "policy": knowledge.policy_digest,
            "kernel": kernel_digest(),
            "partial": sorted(options.partial),
            "statuses": options.statuses,
        }
    )
    buckets = _buckets(options, named)
    kept = files.read_json(work / "kept.json")
    new: Sequence[Named] = named
    inputs = None
    if kept is not None and kept["key"] == key and _holds(kept["buckets"], buckets, options) and _is_whole(work, kept):
        left = _not_read(kept, named)
        if left is not None:
            concepts = [each.path for each in named if each not in left and _form(kept, each) == CONCEPT]
            inputs = Inputs([each.path for each in left], told_map, concepts, kept["medications"]) if left else None
            if inputs is None:
                tell.advance(sum(each.path.stat().st_size for each in named))
                return dict(kept)
            if _reads_the_same(kept, inputs, left):
                new = left
            else:
                inputs = None
    if inputs is None:
        _begin_anew(work)
        buckets = _buckets(options, named, _HEADROOM)
        rows_of = dict.fromkeys(TABLES, 0)
        kept = {"key": key, "buckets": buckets, "generation": -1, "files": [], "rows": rows_of, "stored": {}}
        inputs = Inputs([each.path for each in new], told_map)
    assert kept is not None
    tell.advance(sum(each.path.stat().st_size for each in named if each not in new))
    generation = kept["generation"] + 1
    counted = [FileCounts(each.path.name, each.digest, each.seen["state"][0], inputs.form(each.path)) for each in new]
    reading = Reading(
        [each.path for each in new],
        len(kept["files"]),
        inputs,
        told_map,
        kept["buckets"],
        rows_folder(work, generation),
        counted,
        options.memory // 16,
    )
    rows = engine.read(reading, tell.advance)
    for each in new:
        if _state(each.path) != each.seen["state"]:
            raise files.InputError(f"{each.path}: changed while it was read")
    kept = {
        **kept,
        "generation": generation,
        "files": [*kept["files"], *map(asdict, counted)],
        "rows": {name: kept["rows"][name] + rows[name] for name in TABLES},
        "medications": inputs.medications,
        "stored": {**kept["stored"], **_sizes(work, rows_folder(work, generation))},
    }
    files.write_json(work / "kept.json", kept)
    return kept


def _buckets(options: Options, named: Sequence[Named], headroom: int = 1) -> int:
    """As many as the memory asks for, with room for `headroom` times the rows."""
    size = headroom * sum(_plain_size(each.path) for each in named)
    most = min(_MOST_BUCKETS, options.memory // _OF_A_BUCKET)
    return options.buckets or min(most, max(1, -(-size * _EXPANDS * options.workers // options.memory)))


def _holds(has: int, asked: int, options: Options) -> bool:
    """As many buckets as there are do: those told, or enough of them for the memory."""
    return has == asked if options.buckets else has >= asked


def _not_read(kept: Mapping[str, Any], named: Sequence[Named]) -> list[Named] | None:
    """The files that were not read before. None when one that was is not named any more."""
    before = Counter((each["name"], each["digest"]) for each in kept["files"])
    left = []
    for each in named:
        if before[each.path.name, each.digest]:
            before[each.path.name, each.digest] -= 1
        else:
            left.append(each)
    return None if before.total() else left


def _form(kept: Mapping[str, Any], named: Named) -> str:
    known = ((each["name"], each["digest"], str(each["form"])) for each in kept["files"])
    return next((form for name, digest, form in known if (name, digest) == (named.path.name, named.digest)), "")


def _reads_the_same(kept: Mapping[str, Any], inputs: Inputs, new: Sequence[Named]) -> bool:
    """No row that was read would be read otherwise together with the new files, for what they say of it."""
    had = kept["medications"]
    if any(inputs.medications.get(each, drug) != drug for each, drug in had.items()):
        return False
    if any(inputs.medications.keys() & set(each["missed"]) for each in kept["files"]):
        return False
    more_concepts = any(inputs.form(each.path) == CONCEPT for each in new)
    return not (more_concepts and any(each["form"].startswith("omop ") for each in kept["files"]))


def _sizes(work: Path, folder: Path) -> dict[str, int]:
    return {str(each.relative_to(work)): each.stat().st_size for each in sorted(folder.iterdir())}


def _is_whole(work: Path, kept: Mapping[str, Any]) -> bool:
    """No file of rows was lost or cut since it was written: one that is not there would read as "no rows"."""
    try:
        return all((work / name).stat().st_size == size for name, size in kept["stored"].items())
    except OSError:
        return False


def _begin_anew(work: Path) -> None:
    (work / "kept.json").unlink(missing_ok=True)  # first: it speaks of the others
    for left in work.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def _plain_size(path: Path) -> int:
    packed = files.kind_of(path) == "parquet" or plain_name(path) != path.name
    return path.stat().st_size * (_PACKED if packed else 1)


def kernel_digest() -> str:
    """Of all code that an answer comes from, so that no result of other code is taken over."""
    root = Path(safety_service.__file__).parent
    found = hashlib.sha256(__version__.encode())
    rooms = ("audit", "engine", "knowledge", "rules")
    for path in (root / "domain.py", *(path for room in rooms for path in sorted((root / room).glob("*.py")))):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def _key(content: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


# --- checking ----------------------------------------------------------------------------------------------------


def _told(options: Options, kept: Mapping[str, Any]) -> Told:
    """A table is complete when files of it were given and nobody says otherwise."""

    def of(table: str) -> Completeness:
        if table in options.partial:
            return Completeness.PARTIAL
        if table == "labs" and any("labs" in each["kept"] and each["form"] in _LOINC_ONLY for each in kept["files"]):
            return Completeness.PARTIAL
        if table == "care" and any("care" in each["kept"] and each["form"] == "fhir" for each in kept["files"]):
            return Completeness.PARTIAL
        given = any(each["table"] == table or table in each["kept"] for each in kept["files"])
        return Completeness.COMPLETE if given else Completeness.UNKNOWN

    return Told(of("medications"), of("conditions"), of("labs"), of("care"), of("allergies"))


def _job(options: Options, named: Sequence[Named], kept: Mapping[str, Any], work: Path) -> Job:
    places = _places(kept, named)
    return Job(
        work,
        kept["generation"],
        _told(options, kept),
        options.statuses,
        tuple(each.path.name for each in named),
        tuple(places[number] for number in range(len(places))),
        options.knowledge_dir,
        options.policy_file,
    )


def _places(kept: Mapping[str, Any], named: Sequence[Named]) -> dict[int, int]:
    """By the number that a file was read under, its place among those named."""
    free: dict[tuple[str, str], list[int]] = {}
    for place, each in enumerate(named):
        free.setdefault((each.path.name, each.digest), []).append(place)
    return {number: free[each["name"], each["digest"]].pop(0) for number, each in enumerate(kept["files"])}


def _check_buckets(engine: Engine, kept: Mapping[str, Any], job: Job, tell: Progress) -> list[dict[str, Any]]:
    """The counts of every bucket, checked now or before."""
    tell.stage("Checking", kept["rows"]["medications"])
    done: dict[int, dict[str, Any]] = {}
    for bucket in range(kept["buckets"]):
        last = result_of(job, bucket)
        if last is not None and is_current(job, bucket, *last):
            done[bucket] = last[1]
            tell.advance(done[bucket]["rows"])
    for bucket, counts in engine.check(job, [each for each in range(kept["buckets"]) if each not in done]):
        done[bucket] = counts
        tell.advance(counts["rows"])
    return [done[bucket] for bucket in sorted(done)]


# --- putting together --------------------------------------------------------------------------------------------


def _put_together(
    options: Options,
    named: Sequence[Named],
    kept: Mapping[str, Any],
    job: Job,
    results: Sequence[Mapping[str, Any]],
    knowledge: Knowledge,
) -> dict[str, Any]:
    out = options.out
    last = _last_results(kept, job)

    def parts(name: str) -> Iterator[pa.Table]:
        for bucket, generation in enumerate(last):
            yield from files.pieces(result_file(job.work, generation, bucket, name))

    for name in ("manifest.json", "report.html"):  # they speak of what stands beside them
        (out / name).unlink(missing_ok=True)
    alerts = files.write_tables(out / "alerts.parquet", ALERTS, parts("alerts.parquet"))
    if options.statuses:
        files.write_tables(out / "statuses.parquet", STATUSES, parts("statuses.parquet"))
    versions = {rule.id: rule.version for rule in knowledge.rules}
    stored = _stored_counts(options, job, results)
    _write_measures(out / "measures.parquet", stored, versions, job)
    reasons: Counter[str] = Counter()
    rejected = files.write_tables(
        out / "rejected.parquet", REJECTED, _rejected(kept, job, list(parts("rejected.parquet")), reasons)
    )
    revised = files.write_tables(out / "revisions.parquet", REVISIONS, _revisions(kept, job))
    law = _law(kept, results, rejected)
    names = [
        "alerts.parquet",
        "measures.parquet",
        "rejected.parquet",
        "revisions.parquet",
        *(["statuses.parquet"] if options.statuses else []),
    ]
    places = _places(kept, named)
    inputs = sorted(enumerate(kept["files"]), key=lambda each: places[each[0]])
    manifest = {
        "service_version": __version__,
        "kernel_digest": kernel_digest(),
        "knowledge_version": knowledge.version,
        "knowledge_digest": knowledge.digest,
        "policy_id": knowledge.policy.id,
        "policy_digest": knowledge.policy_digest,
        "inputs": [{name: said for name, said in each.items() if name != "missed"} for _, each in inputs],
        "taken_as_unchanged": sorted(each.path.name for each in named if not each.hashed),
        "complete": told_said(job.told),
        "conservation": law,
        "rejected": dict(sorted(reasons.items())),
        "checked_records": dict(sum((Counter(each["records"]) for each in results), Counter())),
        "alerts": alerts,
        "revisions": revised,
        "report": {"disclosure": options.disclosure, "prescribers": options.prescribers},
    }
    if not law["balances"]:
        raise DoesNotBalanceError(law_text(law))
    days = pa.concat_tables([DAYS.empty_table(), *parts("days.parquet")])
    page = report_page(
        Audited(report_counts(stored, knowledge), days, manifest),
        knowledge,
        PROFILES[options.disclosure],
        prescribers=options.prescribers,
    )
    with files.partial(out / "report.html") as unfinished:
        unfinished.write_text(page, encoding="utf-8")
    manifest["outputs"] = {name: files.digest(out / name) for name in (*names, "report.html")}
    files.write_json(out / "manifest.json", manifest)
    return manifest


def _stored_counts(options: Options, job: Job, results: Sequence[Mapping[str, Any]]) -> Stored:
    """The files of counts that add up to all buckets: the sums that were kept, and what came since."""
    chains = [each["measures"] for each in results]
    kept = _totals(job.work)
    paths: list[Path] = []
    since = -1
    if kept is not None and all(chain[0] <= kept[0] <= job.generation for chain in chains):
        since = kept[0]
        paths.append(kept[1])
    for bucket, chain in enumerate(chains):
        paths += [result_file(job.work, each, bucket, "measures.parquet") for each in chain if each > since]
    return Stored(paths, max(MOST_ROWS, options.memory // _OF_A_COUNT))


def _write_measures(path: Path, stored: Stored, versions: Mapping[str, int], job: Job) -> None:
    """Writes the measures, and keeps the sums behind them where that saves much of the next run's time."""
    kept = _totals(job.work)
    had = pq.read_metadata(kept[1]).num_rows if kept is not None and kept[1] in stored.paths else 0
    if 4 * (stored.rows - had) <= had:
        files.write_tables(path, MEASURES, measures(stored, versions))
        return
    total = job.work / f"total-{job.generation:05d}.parquet"
    with TableFile(total, COUNTS) as sums:
        files.write_tables(path, MEASURES, measures(stored, versions, sums.add))


def _totals(work: Path) -> tuple[int, Path] | None:
    """The last sums of counts that were kept, and the generation up to which they count."""
    found = sorted(work.glob(_TOTALS))
    return (int(found[-1].stem.removeprefix("total-")), found[-1]) if found else None


def _last_results(kept: Mapping[str, Any], job: Job) -> list[int]:
    """The generation of the result of each bucket."""
    found = [result_of(job, bucket) for bucket in range(kept["buckets"])]
    return [-1 if each is None else each[0] for each in found]


def _revisions(kept: Mapping[str, Any], job: Job) -> Iterator[pa.Table]:
    """Of every run, the first to the last."""
    for generation in range(job.generation + 1):
        for bucket in range(kept["buckets"]):
            path = result_file(job.work, generation, bucket, "revisions.parquet")
            if path.exists():
                yield pq.read_table(path)


def _rejected(
    kept: Mapping[str, Any], job: Job, of_buckets: Sequence[pa.Table], reasons: Counter[str]
) -> Iterator[pa.Table]:
    """Rejected lines by file and line, those of some lines of a file at a time; `reasons` counts them."""
    several = [part.select(REJECTED.names) for part in of_buckets]
    found_later = pa.concat_tables([REJECTED.empty_table(), *several])
    stored = [rows_folder(job.work, each) / "rejected.parquet" for each in range(job.generation + 1)]
    keys = [(name, "ascending") for name in ("line", "table", "reason", "row")]
    last_line: dict[str, int] = {}
    for each in kept["files"]:
        last_line[each["name"]] = max(last_line.get(each["name"], 0), each["physical"])
    for name in sorted(last_line):
        of_file = pc.equal(found_later.column("file"), name)
        for first in range(0, last_line[name] + 1, _WINDOW):
            window = (pc.field("file") == name) & (pc.field("line") >= first) & (pc.field("line") < first + _WINDOW)
            parts = [pq.read_table(path, schema=REJECTED, filters=window) for path in stored]
            table = pa.concat_tables([*parts, found_later.filter(of_file).filter(window)]).sort_by(keys)
            reasons.update(table.column("reason").to_pylist())
            yield table


def _drop_replaced(kept: Mapping[str, Any], job: Job) -> None:
    """Removes results that later ones stand for; what they revised and how they changed the counts stays."""
    for path in sorted(job.work.glob(_TOTALS))[:-1]:
        path.unlink()
    last = _last_results(kept, job)
    for folder in sorted((job.work / RESULTS).iterdir()):
        for path in folder.iterdir():
            bucket, _, name = path.name.partition("-")
            if name in _REPLACED and int(folder.name) < last[int(bucket)]:
                path.unlink()


_TOTALS = "total-*.parquet"
_REPLACED = ("counts.json", *(f"{part}.parquet" for part in ("alerts", "statuses", "days", "rejected")))


def _law(kept: Mapping[str, Any], results: Sequence[Mapping[str, Any]], rejected: int) -> dict[str, Any]:
    """Every term counted where it arises, not as what is left of the others."""
    said = {name: sum(each[name] for each in kept["files"]) for name in ("physical", "header", "blank", "not_relevant")}
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
