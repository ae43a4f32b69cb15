"""A patient's records through the engine's own check, one after the other: the definition of what an audit answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from safety_service.audit.known import PatientRows, Row, Told, requests
from safety_service.domain import Alert, Check, CheckStatus, Decision, Overall, RecordKind, Role, to_date
from safety_service.engine.check import Weighed, tell, weigh
from safety_service.engine.history import display_name
from safety_service.knowledge.knowledge import Knowledge
from safety_service.rules.vocabulary import SLOTS

_FACT = pa.struct([("name", pa.string()), ("value", pa.string()), ("unit", pa.string())])
_THRESHOLD = pa.struct(
    [(name, pa.string()) for name in ("fact", "operator", "value", "unit", "basis", "limit")],
)
ALERTS = pa.schema(
    [
        ("patient", pa.string()),
        ("index_record", pa.string()),
        ("index_date", pa.date32()),
        ("month", pa.date32()),
        ("record_kind", pa.string()),
        ("rule_id", pa.string()),
        ("rule_version", pa.int16()),
        ("severity", pa.string()),
        ("subject", pa.string()),
        ("drug", pa.string()),
        ("prescriber", pa.string()),
        ("practice", pa.string()),
        ("facts", pa.list_(_FACT)),
        ("thresholds", pa.list_(_THRESHOLD)),
        ("missing", pa.list_(pa.string())),  # facts that could add to it
        ("evidence_records", pa.list_(pa.string())),
        ("evidence_codes", pa.list_(pa.string())),  # of conditions
    ]
)
STATUSES = pa.schema(
    [
        ("patient", pa.string()),
        ("index_record", pa.string()),
        ("index_date", pa.date32()),
        ("rule_id", pa.string()),
        ("status", pa.string()),
        ("missing", pa.list_(pa.string())),
    ]
)
LEVELS = ("all", "practice", "prescriber", "drug")
KINDS = {int(kind): kind.name.lower() for kind in RecordKind}
KINDS[int(RecordKind.UNSPECIFIED)] = RecordKind.ORDER.name.lower()
# What a record's answer to a rule is, when it was asked for several drugs: the first of these that one of them is.
_FIRST = (
    CheckStatus.FIRED,
    CheckStatus.ERROR,
    CheckStatus.NOT_EVALUATED,
    CheckStatus.PASSED,
    CheckStatus.SUPPRESSED,
    CheckStatus.NOT_APPLICABLE,
)
_RANK = {status: i for i, status in enumerate(_FIRST)}


@dataclass(slots=True)
class Found:
    """What a part of the records came to: alerts and statuses as columns, and counts that add up over parts.

    `measures`: records by (rule, record kind, level, unit, month, answer), with "" as the rule of any alert of MODERATE
    or above. `days`: records of a relaxant by (what is counted, record kind, drug, days), -1 where they are not known.
    """

    alerts: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in ALERTS.names})
    statuses: dict[str, list[Any]] | None = None
    measures: Counter[tuple[str, str, str, str, int, str]] = field(default_factory=Counter)
    days: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)
    records: Counter[str] = field(default_factory=Counter)  # checked, by kind


def replay(knowledge: Knowledge, rows: PatientRows, told: Told, found: Found) -> None:
    """Adds what the records of one patient come to."""
    for i, weighed, decision in decisions(knowledge, rows, told):
        _add(found, rows.medications[i], weighed, decision)


def decisions(knowledge: Knowledge, rows: PatientRows, told: Told) -> Iterator[tuple[int, Weighed, Decision]]:
    """The Decision on each record that is checked, by its place among the medications."""
    for i, request in requests(rows, told):
        weighed = weigh(knowledge, request)
        yield i, weighed, tell(knowledge, weighed)


def month_of(day: int) -> int:
    """The first day of the month of a day."""
    return day - to_date(day).day + 1


def _add(found: Found, row: Row, weighed: Weighed, decision: Decision) -> None:
    day = row["known_on"]
    month = month_of(day)
    kind = KINDS[row["kind"]]
    drug = display_name(weighed.order.resolution)
    found.records[kind] += 1
    shared = {
        "patient": row["patient"],
        "index_record": row["record"],
        "index_date": to_date(day),
        "month": to_date(month),
        "record_kind": kind,
        "drug": drug,
        "prescriber": row["prescriber"],
        "practice": row["practice"],
    }
    for alert in decision.alerts:
        _add_alert(found.alerts, shared, alert)
    answers = record_answers(decision.checks)
    units = (("all", ""), ("practice", row["practice"]), ("prescriber", row["prescriber"]), ("drug", drug))
    for rule_id, (status, _) in answers.items():
        if status in COUNTED:
            for level, unit in units:
                found.measures[rule_id, kind, level, unit, month, COUNTED[status]] += 1
    if weighed.lines:
        any_alert = _OVERALL[decision.overall]
        for level, unit in units:
            found.measures["", kind, level, unit, month, any_alert] += 1
        values = weighed.spoken[0].facts.values
        for what in ("course_days", "episode_days"):
            low, high = values[SLOTS[what]], values[SLOTS[what] + 1]
            found.days[what, kind, drug, low if low == high else -1] += 1
    if found.statuses is not None:
        for rule_id, (status, missing) in answers.items():
            _append(
                found.statuses,
                {
                    "patient": row["patient"],
                    "index_record": row["record"],
                    "index_date": to_date(day),
                    "rule_id": rule_id,
                    "status": status.name.lower(),
                    "missing": missing,
                },
            )


_OVERALL = {
    Overall.ALERTS: "fired",
    Overall.INCOMPLETE: "not_evaluable",
    Overall.ADVICE: "passed",
    Overall.CLEAR: "passed",
}
COUNTED = {
    CheckStatus.FIRED: "fired",
    CheckStatus.PASSED: "passed",
    CheckStatus.NOT_EVALUATED: "not_evaluable",
    CheckStatus.ERROR: "not_evaluable",
}


def record_answers(checks: tuple[Check, ...]) -> dict[str, tuple[CheckStatus, list[str]]]:
    """One answer for each rule of a record, with the facts that are missing, in the catalogue's order."""
    found: dict[str, tuple[CheckStatus, list[str]]] = {}
    for each in checks:
        known = found.get(each.rule_id)
        if known is None or _RANK[each.status] < _RANK[known[0]]:
            found[each.rule_id] = each.status, [missing.fact for missing in each.missing]
    return found


def _add_alert(columns: dict[str, list[Any]], shared: dict[str, Any], alert: Alert) -> None:
    records = [each.reference for each in alert.implicated if each.role in (Role.CO_AGENT, Role.HISTORY)]
    codes = [each.reference for each in alert.implicated if each.role is Role.CONDITION]
    _append(
        columns,
        {
            **shared,
            "rule_id": alert.rule_id,
            "rule_version": alert.rule_version,
            "severity": alert.severity.name.lower(),
            "subject": alert.subject,
            "facts": [{"name": each.name, "value": each.value, "unit": each.unit} for each in alert.facts],
            "thresholds": [each._asdict() for each in alert.thresholds],
            "missing": [each.fact for each in alert.missing],
            "evidence_records": list(dict.fromkeys(records)),
            "evidence_codes": list(dict.fromkeys(codes)),
        },
    )


def _append(columns: dict[str, list[Any]], row: dict[str, Any]) -> None:
    for name, values in columns.items():
        values.append(row[name])
