"""A patient's records through the engine's own check, one after the other: the definition of what an audit answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa

from safety_service.audit.known import PatientRows, Row, Told, requests
from safety_service.domain import (
    AlertWords,
    Check,
    CheckStatus,
    FactUsed,
    Implicated,
    Overall,
    RecordKind,
    Role,
    Threshold,
    to_date,
)
from safety_service.engine.check import Answered, Weighed, answered, weigh
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
RANKED = (
    CheckStatus.FIRED,
    CheckStatus.ERROR,
    CheckStatus.NOT_EVALUATED,
    CheckStatus.PASSED,
    CheckStatus.SUPPRESSED,
    CheckStatus.NOT_APPLICABLE,
)
RANK = {status: i for i, status in enumerate(RANKED)}


Answers = tuple[tuple[str, str], ...]
Group = tuple[str, str, str, str, int, Answers]


@dataclass(slots=True)
class Found:
    """What a part of the records came to: alerts and statuses as columns, and counts that add up over parts.

    `measures`: records by (record kind, drug, prescriber, practice, month, answers), the answers as (rule, answer) with
    "" as the rule of any alert of MODERATE or above. `days`: records of a relaxant by (what is counted, record kind,
    drug, days), -1 where they are not known.
    """

    alerts: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in ALERTS.names})
    statuses: dict[str, list[Any]] | None = None
    measures: Counter[Group] = field(default_factory=Counter)
    days: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)
    records: Counter[str] = field(default_factory=Counter)  # checked, by kind


def replay(knowledge: Knowledge, rows: PatientRows, told: Told, found: Found) -> None:
    """Adds what the records of one patient come to."""
    for i, weighed, answers in decisions(knowledge, rows, told):
        add(found, rows.medications[i], weighed, answers)


def decisions(knowledge: Knowledge, rows: PatientRows, told: Told) -> Iterator[tuple[int, Weighed, Answered]]:
    """The alerts and answers on each record that is checked, by its place among the medications."""
    for i, request in requests(rows, told, knowledge.policy_numbers["policy.exposure.most_days"]):
        weighed = weigh(knowledge, request)
        yield i, weighed, answered(knowledge, weighed)


def month_of(day: int) -> int:
    """The first day of the month of a day."""
    return day - to_date(day).day + 1


def add(found: Found, row: Row, weighed: Weighed, answers: Answered) -> None:
    """Adds what one record comes to."""
    day = row["known_on"]
    month = month_of(day)
    kind = KINDS[row["kind"]]
    drug = display_name(weighed.order.resolution)
    found.records[kind] += 1
    shared = (
        row["patient"], row["record"], to_date(day), to_date(month), kind, drug, row["prescriber"], row["practice"],
    )  # fmt: skip
    for alert in answers.alerts:
        said = facts_column(alert.facts), thresholds_column(alert.thresholds)
        could_add = [each.fact for each in alert.missing]
        add_alert(found.alerts, shared, alert.words, *said, could_add, alert.implicated)
    of_rules = record_answers(answers.checks)
    counted = [(rule_id, COUNTED[status]) for rule_id, (status, _) in of_rules.items() if status in COUNTED]
    if weighed.lines:
        counted.append(("", OVERALL[answers.overall]))
        values = weighed.spoken[0].facts.values
        for what in ("course_days", "episode_days"):
            low, high = values[SLOTS[what]], values[SLOTS[what] + 1]
            found.days[what, kind, drug, low if low == high else -1] += 1
    found.measures[kind, drug, row["prescriber"], row["practice"], month, tuple(counted)] += 1
    if found.statuses is not None:
        for rule_id, (status, missing) in of_rules.items():
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


OVERALL = {
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


def record_answers(checks: Sequence[Check]) -> dict[str, tuple[CheckStatus, list[str]]]:
    """One answer for each rule of a record, with the facts that are missing, in the catalogue's order."""
    found: dict[str, tuple[CheckStatus, list[str]]] = {}
    for each in checks:
        known = found.get(each.rule_id)
        if known is None or RANK[each.status] < RANK[known[0]]:
            found[each.rule_id] = each.status, [missing.fact for missing in each.missing] if each.missing else []
    return found


Shared = tuple[str, str, date, date, str, str, str, str]


def facts_column(facts: Sequence[FactUsed]) -> list[dict[str, str]]:
    """The facts of an alert, as the table of alerts holds them."""
    return [{"name": each.name, "value": each.value, "unit": each.unit} for each in facts]


def thresholds_column(thresholds: Sequence[Threshold]) -> list[dict[str, str]]:
    """The thresholds of an alert, as the table of alerts holds them."""
    return [each._asdict() for each in thresholds]


def add_alert(
    columns: dict[str, list[Any]],
    shared: Shared,
    words: AlertWords,
    facts: list[dict[str, str]],
    thresholds: list[dict[str, str]],
    missing: Sequence[str],
    implicated: Sequence[Implicated],
) -> None:
    """Adds an alert to the columns of `ALERTS`; `shared` is what all alerts of a record have in common."""
    for column, value in zip(
        columns.values(), alert_row(shared, words, facts, thresholds, missing, implicated), strict=True
    ):
        column.append(value)


def alert_row(
    shared: Shared,
    words: AlertWords,
    facts: list[dict[str, str]],
    thresholds: list[dict[str, str]],
    missing: Sequence[str],
    implicated: Sequence[Implicated],
) -> tuple[Any, ...]:
    """An alert as a row of `ALERTS`."""
    records: list[str] = []
    codes: list[str] = []
    if len(implicated) > 1:
        records = [each.reference for each in implicated if each.role in (Role.CO_AGENT, Role.HISTORY)]
        codes = [each.reference for each in implicated if each.role is Role.CONDITION]
    patient, record, day, month, kind, drug, prescriber, practice = shared
    return (
        patient, record, day, month, kind, words.rule_id, words.rule_version, words.severity.name.lower(),
        words.subject, drug, prescriber, practice, facts, thresholds, list(missing), list(dict.fromkeys(records)),
        list(dict.fromkeys(codes)),
    )  # fmt: skip


def _append(columns: dict[str, list[Any]], row: dict[str, Any]) -> None:
    for name, values in columns.items():
        values.append(row[name])
