"""What became known after the day of a record changes nothing that is answered for it: made-up patients, cut there."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from safety_service.audit import known
from safety_service.audit.known import PatientRows, Told
from safety_service.audit.replay import Found, decisions, replay
from safety_service.audit.tables import concept_text
from safety_service.domain import Completeness, ConditionStatus, RecordKind, RecordStatus
from safety_service.knowledge.knowledge import Knowledge
from tests.audit.test_batch import _patients

C = Completeness
ALL = Told(*[C.COMPLETE] * 4)
Row = dict[str, Any]
MOST_DAYS = 365  # of the policy for exposures: more are no days of one supply


def as_of(rows: PatientRows, i: int) -> PatientRows:
    """The rows as they would have stood on the day of the medication record `i`, that record the last."""
    day = rows.medications[i]["known_on"]

    def by_then(several: Any) -> list[Row]:
        return [row for row in several if row["known_on"] is None or row["known_on"] <= day]

    return rows._replace(
        medications=[_record(row, day) for row in rows.medications[: i + 1]],
        conditions=[_condition(row, day) for row in rows.conditions if _known_on(row) <= day],
        labs=by_then(rows.labs),
        care=by_then(rows.care),
    )


def _record(row: Any, day: int) -> Row:
    """Before the end was told: a stop that comes later, or a record that is not over yet."""
    status, end = row["status"], row["end"]
    if row["stopped_on"] is not None:
        told = {"end": None} if end == row["stopped_on"] else {}  # filled in on the day of the stop
        return {**row, "status": 0, "stopped_on": None, **told} if row["stopped_on"] > day else dict(row)
    if status in (RecordStatus.STOPPED, RecordStatus.COMPLETED) and end is not None and end > day:
        return {**row, "status": 0, "end": None}
    has_days = row["days_supply"] is not None and row["days_supply"] <= MOST_DAYS
    if end is None and status in (RecordStatus.STOPPED, RecordStatus.COMPLETED) and not has_days:
        return {**row, "status": int(RecordStatus.UNKNOWN)}  # over, on a day that nobody told
    return dict(row)


def _condition(row: Any, day: int) -> Row:
    if row["abated_on"] is not None and row["abated_on"] > day:
        return {**row, "abated_on": None, "status": int(ConditionStatus.ACTIVE)}
    return dict(row)


def _known_on(row: Any) -> int:
    first = row["known_on"] if row["known_on"] is not None else row["onset"]
    return -(2**31) if first is None else int(first)


def differences(knowledge: Knowledge, seed: int, number: int) -> Iterator[str]:
    for rows in _patients(knowledge, Random(seed), number):
        for i, _, whole in decisions(knowledge, rows, ALL):
            cut = {at: answered for at, _, answered in decisions(knowledge, as_of(rows, i), ALL)}[i]
            if (cut.alerts, cut.checks, cut.overall) != (whole.alerts, whole.checks, whole.overall):
                yield f"{rows.patient} {i}"


@pytest.mark.parametrize("number", [60, pytest.param(3_000, marks=[pytest.mark.long, pytest.mark.timeout(1200)])])
def test_an_answer_follows_from_what_was_known_on_its_day(number: int, knowledge: Knowledge, seed: int) -> None:
    assert list(differences(knowledge, seed + number, number)) == []


@pytest.mark.parametrize(("days", "answer"), [(None, "not_evaluable"), (500, "not_evaluable"), (14, "passed")])
def test_a_record_that_is_over_on_a_day_nobody_told_may_still_be_taken(
    days: int | None, answer: str, knowledge: Knowledge, seed: int
) -> None:
    alike = {
        **_patients(knowledge, Random(seed), 1)[0].medications[0],
        **{"status": 0, "end": None, "stopped_on": None, "fills": "", "unknown_drug": False, "indications": ""},
    }
    first = {"record": "1", "kind": RecordKind.DISPENSING, "known_on": 19_000, "start": 19_000, "route": "oral"}
    second = {"record": "2", "kind": RecordKind.ORDER, "known_on": 19_040, "start": 19_040, "route": "oral"}
    completed = {"status": RecordStatus.COMPLETED, "days_supply": days, "quantity": None, "refills": 0}
    rows = PatientRows(
        "p",
        [
            {**alike, **first, **completed, "drug": concept_text("oxycodone 5 mg tablet", [])},
            {**alike, **second, "drug": concept_text("methocarbamol 750 mg tablet", [])},
        ],
    )
    found = Found()
    replay(knowledge, rows, ALL, found)
    assert {each for *_, answers in found.measures for rule, each in answers if rule == "sedation.opioid"} == {answer}


def _always_over(each: known.Dated, day: int) -> Any:
    return each.after


def _end_of_a_later_stop(row: Any) -> Any:
    return row["end"]


@pytest.mark.parametrize(
    ("owner", "name", "fault"),
    [(known.Dated, "on", _always_over), (known, "planned_end", _end_of_a_later_stop)],
)
def test_looking_ahead_is_noticed(
    owner: Any, name: str, fault: Any, knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(owner, name, fault)
    assert next(differences(knowledge, seed + 60, 600), "") != ""
