"""One bucket checked, whole or only where rows were added, and written as files; its counts, written last, end it.

Rows and results are kept by generation: the rows of each run that read new files, and what came of them. A bucket's
result stands until rows are added to it. Then only the patients who have new rows are checked again, and of those only
the records of the first changed day and later: an answer depends on nothing that became known after it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from safety_service.audit import files
from safety_service.audit.batch import Checker, uncollected
from safety_service.audit.buckets import Bucket, added_to, hashes, patients, read_bucket
from safety_service.audit.files import TableFile
from safety_service.audit.known import ALWAYS, PatientRows, Told
from safety_service.audit.measures import added_up, counts_table, write_counts
from safety_service.audit.replay import ALERTS, STATUSES, Found
from safety_service.audit.revisions import (
    Late,
    changed_since,
    first_added_days,
    late_rows,
    revised,
    with_reasons,
)
from safety_service.audit.tables import REJECTED, TABLES, place_of
from safety_service.domain import RecordStatus, to_date
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import load_knowledge

DAYS = pa.schema(
    [
        ("what", pa.string()),
        ("record_kind", pa.string()),
        ("drug", pa.string()),
        ("days", pa.int32()),
        ("records", pa.int64()),
    ]
)
REFUSED = pa.schema([("patient", pa.string()), *REJECTED])
ROWS = "rows"
RESULTS = "results"
_HELD = 4_096  # rows of results held as Python objects at once
_GROUPS = 512  # of records, likewise
_COUNTS = 400_000  # rows of counts held before they are added up


@dataclass(frozen=True, slots=True)
class Job:
    """What a bucket is checked with; small enough to be sent to another process.

    `names`: the input files in the order of the account. `ranks`: the place in it of each file, by the number it was
    read under. `generation`: the last one that has rows.
    """

    work: Path
    generation: int
    told: Told
    statuses: bool
    names: tuple[str, ...]
    ranks: tuple[int, ...]
    knowledge_dir: Path | None
    policy_file: Path | None


class Counts(NamedTuple):
    """What a bucket holds, by table, and how many records of each kind were checked."""

    records: dict[str, int]
    duplicates: dict[str, int]
    rejected: dict[str, int]
    audited: dict[str, int]


@lru_cache(maxsize=1)
def knowledge_of(knowledge_dir: Path | None, policy_file: Path | None) -> Knowledge:
    """The knowledge that options name, read once in a process."""
    if knowledge_dir is None:
        return load_knowledge(policy_file=policy_file)
    return load_knowledge(knowledge_dir, policy_file)


def rows_folder(work: Path, generation: int) -> Path:
    """Where the rows of one generation stand."""
    return work / ROWS / f"{generation:05d}"


def result_file(work: Path, generation: int, bucket: int, name: str) -> Path:
    """A file of the result of a bucket."""
    return work / RESULTS / f"{generation:05d}" / f"{bucket:05d}-{name}"


def result_of(job: Job, bucket: int) -> tuple[int, dict[str, Any]] | None:
    """The last result of a bucket: its generation and counts. None where it was never checked."""
    for generation in range(job.generation, -1, -1):
        counts = files.read_json(result_file(job.work, generation, bucket, "counts.json"))
        if counts is not None:
            return generation, counts
    return None


def is_current(job: Job, bucket: int, generation: int, counts: Mapping[str, Any]) -> bool:
    """A result of `generation` still stands: no rows came since, and as much is held to be complete as then."""
    if counts["told"] != told_said(job.told):
        return False
    later = range(generation + 1, job.generation + 1)
    return not any(added_to(rows_folder(job.work, each), bucket) for each in later)


def told_said(told: Told) -> dict[str, str]:
    """How complete each table is held to be, in words."""
    return {name: level.name.lower() for name, level in asdict(told).items()}


def check_bucket(knowledge: Knowledge, job: Job, number: int) -> dict[str, Any]:
    """The counts of a bucket, checked as far as its last result does not stand any more."""
    last = result_of(job, number)
    if last is not None and is_current(job, number, *last):
        return last[1]
    result_file(job.work, job.generation, number, "").parent.mkdir(parents=True, exist_ok=True)
    if last is None or last[1]["told"] != told_said(job.told):
        return _check_all(knowledge, job, number, last)
    return _check_added(knowledge, job, number, *last)


# --- all of a bucket ---------------------------------------------------------------------------------------------


def _check_all(
    knowledge: Knowledge, job: Job, number: int, before: tuple[int, Mapping[str, Any]] | None
) -> dict[str, Any]:
    """Checks every record. `before`: the result that it replaces, which knew less of the tables."""
    bucket = read_bucket([rows_folder(job.work, each) for each in range(job.generation + 1)], number, job.ranks)
    with ExitStack() as stack:
        alerts = stack.enter_context(TableFile(_to(job, number, "alerts.parquet"), ALERTS))
        answers = TableFile(_to(job, number, "statuses.parquet"), STATUSES) if job.statuses else None
        found = Gathered(job.statuses, alerts.add, _drop if answers is None else stack.enter_context(answers).add)
        checker = Checker(knowledge, job.told, found.found)
        with uncollected():
            for rows in patients(bucket if job.statuses else checker.without_plain(bucket)):
                _check(checker, found, rows)
        checker.found()
        found.gather(0)
    write_counts(_to(job, number, "measures.parquet"), found.counts())
    files.write_table(_to(job, number, "days.parquet"), _days_table(found.found.days))
    files.write_table(_to(job, number, "rejected.parquet"), _refused(bucket, job.names))
    _write_revisions(job, number, None if before is None else _revised_by_tables(job, number, bucket, *before))
    rows = bucket.tables["medications"].num_rows
    return _ended(job, number, rows, _counts(bucket, found.found), [job.generation])


def _revised_by_tables(job: Job, number: int, bucket: Bucket, generation: int, said: Mapping[str, Any]) -> pa.Table:
    """What is said otherwise than by the result of `generation`, when some tables were not given yet."""
    earlier = read_bucket([rows_folder(job.work, each) for each in range(generation + 1)], number, job.ranks)
    old = pq.read_table(result_file(job.work, generation, number, "alerts.parquet"))
    revisions = revised(job.generation, old, pq.read_table(_to(job, number, "alerts.parquet")), _records(earlier))
    some = pc.unique(revisions.column("patient"))
    given = [Late(ALWAYS, table, "") for table, level in told_said(job.told).items() if said["told"][table] != level]
    known = patients(_of(earlier, some))
    late = {rows.patient: [*given, *late_rows(next(known), rows)] for rows in patients(_of(bucket, some))}
    return with_reasons(revisions, late)


def _check(checker: Checker, found: Gathered, rows: PatientRows) -> None:
    """One patient more."""
    checker.check(rows)
    if checker.held() > _GROUPS:
        checker.found()
    found.gather(_HELD)


class Gathered:
    """What patients come to, as tables as soon as there is enough of it: Python objects take far more room."""

    def __init__(self, statuses: bool, alerts: Callable[[pa.Table], None], answers: Callable[[pa.Table], None]) -> None:
        self.found = Found(statuses={name: [] for name in STATUSES.names} if statuses else None)
        self._alerts, self._answers = alerts, answers
        self._measures: list[pa.Table] = []

    def gather(self, most: int) -> None:
        """Hands on what is more than `most` rows."""
        found = self.found
        if len(found.alerts["rule_id"]) > most:
            self._alerts(pa.table(found.alerts, schema=ALERTS))
            found.alerts = {name: [] for name in ALERTS.names}
        if found.statuses is not None and len(found.statuses["rule_id"]) > most:
            self._answers(pa.table(found.statuses, schema=STATUSES))
            found.statuses = {name: [] for name in STATUSES.names}
        if len(found.measures) > min(most, _GROUPS):
            self._measures.append(counts_table(found.measures))
            found.measures = Counter()
            if sum(each.num_rows for each in self._measures) > _COUNTS:
                self._measures = [added_up(self._measures)]

    def counts(self) -> pa.Table:
        """The counts for measures of all that was gathered."""
        return added_up(self._measures)


# --- what was added to a bucket ----------------------------------------------------------------------------------


def _check_added(
    knowledge: Knowledge, job: Job, number: int, generation: int, said: Mapping[str, Any]
) -> dict[str, Any]:
    """Checks the patients who have rows that came after the result of `generation`, and puts it in their place."""
    folders = [rows_folder(job.work, each) for each in range(job.generation + 1)]
    earlier = folders[: generation + 1]
    touched = _patients_in(folders[generation + 1 :], number)
    bucket = read_bucket(folders, number, job.ranks, touched, known=len(earlier))
    contested = read_bucket(earlier if bucket.disputed else [], number, job.ranks, pa.array(sorted(bucket.disputed)))
    new_alerts: list[pa.Table] = [ALERTS.empty_table()]
    new_statuses: list[pa.Table] = [STATUSES.empty_table()]
    now = Gathered(job.statuses, new_alerts.append, new_statuses.append)
    before = Gathered(False, _drop, _drop)
    check_before, check_now = (Checker(knowledge, job.told, each.found) for each in (before, now))
    since: dict[str, int] = {}
    late: dict[str, list[Late]] = {}
    known: set[tuple[str, str]] = set()
    left = bucket if job.statuses else _without_plain(check_now, bucket)
    views = _Views(left, contested)
    with uncollected():
        for rows in patients(left):
            day, was = views.of(rows)
            if day is None:
                continue  # all of it was known: only said again
            _check(check_now, now, rows._replace(since=day))
            if was is not None:
                since[rows.patient], late[rows.patient] = day, late_rows(was, rows)
                known.update((rows.patient, each["record"]) for each in was.medications)
                _check(check_before, before, was._replace(since=day))
    for checker, gathered in ((check_now, now), (check_before, before)):
        checker.found()
        gathered.gather(0)
    parts = [name for name in _PARTS if job.statuses or name != "statuses"]
    stored = {name: pq.read_table(result_file(job.work, generation, number, f"{name}.parquet")) for name in parts}
    kept, dropped = _apart(stored["alerts"], since)
    alerts = pa.concat_tables(new_alerts)
    files.write_table(_to(job, number, "alerts.parquet"), _in_order(kept, alerts))
    if job.statuses:
        kept, _ = _apart(stored["statuses"], since)
        files.write_table(_to(job, number, "statuses.parquet"), _in_order(kept, pa.concat_tables(new_statuses)))
    write_counts(_to(job, number, "measures.parquet"), added_up([now.counts(), _negative(before.counts())]))
    days = [stored["days"], _days_table(now.found.days), _negative(_days_table(before.found.days))]
    files.write_table(_to(job, number, "days.parquet"), _days_added(days))
    others = stored["rejected"].filter(pc.invert(pc.is_in(stored["rejected"].column("patient"), touched)))
    files.write_table(_to(job, number, "rejected.parquet"), pa.concat_tables([others, _refused(bucket, job.names)]))
    again = alerts.filter(pc.is_in(alerts.column("patient"), pa.array(list(since), pa.string())))
    _write_revisions(job, number, with_reasons(revised(job.generation, dropped, again, known), late))
    was_counted, is_now = _counted_before(bucket, contested, before.found), _counts(bucket, now.found)
    counted = Counts(*(_changed(said[x], getattr(was_counted, x), getattr(is_now, x)) for x in Counts._fields))
    was = contested.tables["medications"].num_rows + int(pc.sum(_settled(bucket)["medications"]).as_py() or 0)
    rows_now = said["rows"] - was + bucket.tables["medications"].num_rows
    return _ended(job, number, rows_now, counted, [*said["measures"], job.generation])


def _without_plain(checker: Checker, bucket: Bucket) -> Bucket:
    """Counts, as columns, what is new of patients who only ever had plain drugs; the bucket without them.

    What was known is shown as planned: history, which is not checked. No answer on it is another one now.
    """
    table = bucket.tables["medications"]
    planned = pa.scalar(int(RecordStatus.PLANNED), pa.int8())
    status = pc.if_else(bucket.added["medications"], table.column("status"), planned)
    shown = table.set_column(table.column_names.index("status"), "status", status)
    others = checker.without_plain(bucket._replace(tables={**bucket.tables, "medications": shown}))
    return _of(bucket, pc.unique(others.tables["medications"].column("patient")))


class _Views:
    """What was known of patients before some rows were added, asked for in the order of patients, one at a time.

    Where no id is said several times, that is what is known now without the rows that were added. `contested`: what was
    known of the other patients.
    """

    def __init__(self, bucket: Bucket, contested: Bucket) -> None:
        self._disputed = bucket.disputed
        self._contested = patients(_of(contested, pc.unique(bucket.tables["medications"].column("patient"))))
        self._next = next(self._contested, None)
        self._first = first_added_days(bucket)
        settled = _settled(bucket)
        tables = {name: table.filter(settled[name]) for name, table in bucket.tables.items()}
        records = tables["medications"]
        place = pc.index_in(records.column("patient"), pa.array(list(self._first), pa.string()))
        first = pa.array(list(self._first.values()), pa.int64()).take(place)
        again = pc.fill_null(pc.greater_equal(records.column("known_on").cast(pa.int64()), first), False)
        revisited = pc.unique(records.column("patient").filter(again))
        self._revisited = set(revisited.to_pylist())
        self._settled = patients(_of(Bucket(tables, {}, {}), revisited))

    def of(self, rows: PatientRows) -> tuple[int | None, PatientRows | None]:
        """The first day on which another answer is possible (None: no such day), and what was known before.

        Of the latter None where no record that was known is of that day or later.
        """
        was = None
        if rows.patient in self._disputed:
            if self._next is not None and self._next.patient == rows.patient:
                was, self._next = self._next, next(self._contested, None)
            return changed_since(was, rows), was
        if rows.patient in self._revisited:
            was = next(self._settled)
            assert was.patient == rows.patient
        return self._first.get(rows.patient), was


def _settled(bucket: Bucket) -> dict[str, pa.Array]:
    """Which rows were known, of patients of whom no id is said several times."""
    disputed = pa.array(sorted(bucket.disputed), pa.string())
    return {
        name: pc.and_not(pc.invert(bucket.added[name]), pc.is_in(table.column("patient"), disputed).combine_chunks())
        for name, table in bucket.tables.items()
    }


def _of(bucket: Bucket, some: pa.Array) -> Bucket:
    """A bucket of some patients."""

    def rows(table: pa.Table) -> pa.Table:
        return table.filter(pc.is_in(table.column("patient"), some))

    added = {
        name: each.filter(pc.is_in(bucket.tables[name].column("patient"), some).combine_chunks())
        for name, each in bucket.added.items()
    }
    tables = {name: rows(each) for name, each in bucket.tables.items()}
    return bucket._replace(tables=tables, refused={n: rows(each) for n, each in bucket.refused.items()}, added=added)


def _counted_before(bucket: Bucket, contested: Bucket, found: Found) -> Counts:
    """What was counted of the patients of a bucket before; `found`: what records that are checked again came to."""
    settled = _settled(bucket)
    counts = _counts(contested, found)
    known = {name: bucket.tables[name].filter(settled[name]) for name in TABLES}
    return counts._replace(audited={name: counts.audited[name] + _audited(known[name]) for name in TABLES})


_PARTS = ("alerts", "statuses", "days", "rejected")


def _patients_in(folders: Iterable[Path], number: int) -> pa.Array:
    paths = [path for folder in folders for path in added_to(folder, number)]
    return pc.unique(pa.chunked_array([c for path in paths for c in _patients_of(path).chunks], pa.string()))


def _patients_of(path: Path) -> pa.ChunkedArray:
    return pq.read_table(path, columns=["patient"]).column("patient")


def _apart(table: pa.Table, since: Mapping[str, int]) -> tuple[pa.Table, pa.Table]:
    """Rows that stand, and those of the records that were checked again."""
    if not since:
        return table, table.slice(0, 0)
    place = pc.index_in(table.column("patient"), pa.array(list(since), pa.string()))
    first = pa.array([to_date(max(day, -700_000)) for day in since.values()], pa.date32()).take(place)
    again = pc.fill_null(pc.greater_equal(table.column("index_date"), first), False)
    return table.filter(pc.invert(again)), table.filter(again)


def _in_order(kept: pa.Table, added: pa.Table) -> pa.Table:
    """Both, patients in the order of their hashes; of a patient what stands comes first, since it is earlier."""
    if not added.num_rows:
        return kept
    table = pa.concat_tables([kept, added])
    keys = pa.table(
        {
            "hash": pa.array(hashes(table.column("patient").combine_chunks()), pa.uint64()),
            "patient": table.column("patient"),
            "place": pa.array(range(table.num_rows), pa.int64()),
        }
    )
    return table.take(pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names]))


def _negative(table: pa.Table) -> pa.Table:
    at = table.column_names.index("records")
    return table.set_column(at, "records", pc.negate(table.column("records")))


def _days_added(tables: Iterable[pa.Table]) -> pa.Table:
    keys = DAYS.names[:-1]
    total = pa.concat_tables(tables).group_by(keys).aggregate([("records", "sum")])
    total = total.rename_columns([*keys, "records"]).cast(DAYS)
    return total.filter(pc.not_equal(total.column("records"), 0)).sort_by([(key, "ascending") for key in keys])


def _changed(said: Mapping[str, int], was: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    total = Counter(said)
    total.subtract(was)
    total.update(now)
    return {name: number for name, number in total.items() if number or name in said}


# --- shared ------------------------------------------------------------------------------------------------------


def _drop(_: pa.Table) -> None:
    """Not asked for."""


def _write_revisions(job: Job, number: int, revisions: pa.Table | None) -> None:
    """A file for what there is only: all of them are read in every run to come."""
    path = _to(job, number, "revisions.parquet")
    path.unlink(missing_ok=True)
    if revisions is not None and revisions.num_rows:
        files.write_table(path, revisions)


def _to(job: Job, number: int, name: str) -> Path:
    return result_file(job.work, job.generation, number, name)


def _ended(job: Job, number: int, rows: int, counts: Counts, measures: list[int]) -> dict[str, Any]:
    """`measures`: the generations whose counts for measures add up to what the bucket comes to."""
    said = {"rows": rows, **counts._asdict(), "told": told_said(job.told), "measures": measures}
    files.write_json(_to(job, number, "counts.json"), said)
    return said


def _counts(bucket: Bucket, found: Found) -> Counts:
    return Counts(
        records=dict(found.records),
        duplicates=bucket.duplicates,
        rejected={name: _audited(table) for name, table in bucket.refused.items()},
        audited={name: _audited(bucket.tables[name]) for name in TABLES},
    )


def _audited(table: pa.Table) -> int:
    """Rows that took part. A drug that is not recognised took part as such, and is counted among the rejected."""
    if "unknown_drug" not in table.column_names:
        return int(table.num_rows)
    return int(table.num_rows - (pc.sum(table.column("unknown_drug")).as_py() or 0))


def _days_table(days: Mapping[tuple[str, str, str, int], int]) -> pa.Table:
    ordered = sorted(days.items())
    columns = [[key[i] for key, _ in ordered] for i in range(4)]
    return pa.table([*columns, [number for _, number in ordered]], schema=DAYS)


def _records(bucket: Bucket) -> set[tuple[str, str]]:
    """The records of medications: (patient, record)."""
    table = bucket.tables["medications"]
    return set(zip(table.column("patient").to_pylist(), table.column("record").to_pylist(), strict=True))


def _refused(bucket: Bucket, names: tuple[str, ...]) -> pa.Table:
    return pa.Table.from_pylist(list(_refused_rows(bucket, names)), schema=REFUSED)


def _refused_rows(bucket: Bucket, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for name, table in bucket.refused.items():
        for row in table.to_pylist():
            if row.get("unknown_drug"):
                continue  # told as rejected when it was read
            file, line = place_of(row.pop("place"))
            shown = json.dumps({k: v for k, v in row.items() if v not in (None, "")}, ensure_ascii=False).encode()
            yield {
                "patient": row["patient"],
                "file": names[file],
                "line": line,
                "table": name,
                "reason": "duplicate-id",
                "column": "record",
                "row": shown,
            }
