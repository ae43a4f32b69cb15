"""What was said of earlier records and is said otherwise now, and the records that came late and changed it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from safety_service.audit.buckets import Bucket
from safety_service.audit.known import ALWAYS, PatientRows, Row
from safety_service.audit.replay import ALERTS
from safety_service.domain import Sex, to_day

_SAID = pa.struct([ALERTS.field(name) for name in ("rule_version", "severity", "facts", "missing", "evidence_records")])
_LATE = pa.struct([("table", pa.string()), ("record", pa.string())])
REVISIONS = pa.schema(
    [
        ("run", pa.int32()),  # the run that changed it, the first being 0
        ("patient", pa.string()),
        ("index_record", pa.string()),
        ("index_date", pa.date32()),
        ("rule_id", pa.string()),
        ("subject", pa.string()),
        ("change", pa.string()),  # added, withdrawn or changed
        ("before", _SAID),
        ("now", _SAID),
        ("because", pa.list_(_LATE)),  # came with this run, known by the day; no record: given for the first time
    ]
)
_TABLES = ("medications", "conditions", "labs", "care", "observations", "allergies")


class Late(NamedTuple):
    """A row that one view of a patient has and the other has not: when it counts from, its table and record."""

    day: int
    table: str
    record: str


def changed_since(before: PatientRows | None, now: PatientRows) -> int | None:
    """The first day on which another answer is possible; None where both views are the same."""
    if before is None:
        return ALWAYS
    days = [each.day for each in late_rows(before, now)]
    return min(days) if days else None


def late_rows(before: PatientRows, now: PatientRows) -> list[Late]:
    """What differs between two views of a patient, rows that are gone too, in the order of days."""
    found: set[Late] = set()
    for table in _TABLES:
        had, has = (_contents(getattr(each, table, ())) for each in (before, now))
        for content in had.keys() ^ has.keys():
            row = has.get(content) or had[content]
            found.add(Late(_from_day(table, row), table, row["record"]))
    if (before.born, before.sex) != (now.born, now.sex):
        found.add(Late(ALWAYS, "patients", ""))
    for table in before.holes ^ now.holes:
        found.add(Late(ALWAYS, table, ""))
    return sorted(found)


def first_added_days(bucket: Bucket) -> dict[str, int]:
    """By patient the first day on which another answer is possible for the rows that were added to a bucket.

    As `changed_since`, for patients of whom no id is said several times; of others it says nothing that is of use.
    """
    days = []
    for table in _TABLES:
        rows = bucket.tables[table].filter(bucket.added[table])
        names = [name for name in ("known_on", "onset") if name in rows.column_names]
        day = pc.fill_null(pc.coalesce(*(rows.column(name) for name in names)), ALWAYS)
        days.append(pa.table({"patient": rows.column("patient"), "day": day}))
    first = pa.concat_tables(days).group_by("patient").aggregate([("day", "min")])
    found = dict(zip(first.column("patient").to_pylist(), first.column("day_min").to_pylist(), strict=True))
    told = bucket.tables["patients"].filter(bucket.added["patients"])
    something = pc.or_(told.column("born_earliest").is_valid(), pc.not_equal(told.column("sex"), int(Sex.UNSPECIFIED)))
    found |= dict.fromkeys(told.column("patient").filter(something).to_pylist(), ALWAYS)
    holes = bucket.tables["holes"]
    had = _holes(holes.filter(pc.invert(bucket.added["holes"])))
    return found | {patient: ALWAYS for patient, _ in _holes(holes.filter(bucket.added["holes"])) - had}


def _holes(table: pa.Table) -> set[tuple[str, str]]:
    return set(zip(table.column("patient").to_pylist(), table.column("table").to_pylist(), strict=True))


def _contents(rows: Sequence[Row]) -> dict[tuple[Any, ...], Row]:
    return {tuple(value for name, value in row.items() if name != "place"): row for row in rows}


def _from_day(table: str, row: Row) -> int:
    day = row["known_on"]
    if day is None and table == "conditions":
        day = row["onset"]
    return ALWAYS if day is None else int(day)


def revised(run: int, before: pa.Table, now: pa.Table, known: set[tuple[str, str]]) -> pa.Table:
    """Alerts that differ on records known before: `before` and `now` are `ALERTS` of the records checked again.

    The reasons are to be filled in, by `with_reasons`.
    """
    return pa.Table.from_pylist(list(_revisions(run, _by_key(before), _by_key(now), known)), schema=REVISIONS)


def with_reasons(revisions: pa.Table, late: Mapping[str, Sequence[Late]]) -> pa.Table:
    """With what came late of each patient and was known by the day."""
    because = [
        [{"table": each.table, "record": each.record} for each in late.get(patient, ()) if each.day <= to_day(on)]
        for patient, on in zip(*(revisions.column(name).to_pylist() for name in ("patient", "index_date")), strict=True)
    ]
    at = REVISIONS.get_field_index("because")
    return revisions.set_column(at, REVISIONS.field(at), pa.array(because, REVISIONS.field(at).type))


Key = tuple[str, str, str, str, int]  # patient, record, rule, subject, and which of several


def _by_key(alerts: pa.Table) -> dict[Key, dict[str, Any]]:
    found: dict[Key, dict[str, Any]] = {}
    several: dict[tuple[str, str, str, str], int] = defaultdict(int)
    for row in alerts.to_pylist():
        key = row["patient"], row["index_record"], row["rule_id"], row["subject"]
        found[*key, several[key]] = row
        several[key] += 1
    return found


def _revisions(
    run: int,
    before: Mapping[Key, Mapping[str, Any]],
    now: Mapping[Key, Mapping[str, Any]],
    known: set[tuple[str, str]],
) -> Iterator[dict[str, Any]]:
    for key in dict.fromkeys([*before, *now]):
        patient, record, rule, subject, _ = key
        was, is_now = before.get(key), now.get(key)
        if was == is_now or (patient, record) not in known:
            continue
        on: date = (was or is_now or {})["index_date"]
        yield {
            "run": run,
            "patient": patient,
            "index_record": record,
            "index_date": on,
            "rule_id": rule,
            "subject": subject,
            "change": "added" if was is None else "withdrawn" if is_now is None else "changed",
            "before": _said(was),
            "now": _said(is_now),
        }


def _said(alert: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if alert is None else {field.name: alert[field.name] for field in _SAID}
