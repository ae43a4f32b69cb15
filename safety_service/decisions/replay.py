"""A decision made again from what was kept: is it the same, and what would be otherwise today?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from safety_service import __version__
from safety_service.decisions import version_1
from safety_service.decisions.archive import NotArchivedError, archived_knowledge
from safety_service.decisions.facts import request_of
from safety_service.decisions.outcome import Outcome, Outcomes
from safety_service.domain import CheckRequest, Decision
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge


@dataclass(frozen=True, slots=True)
class Replay:
    """`same`: the whole decision, by its digest. `differences`: in words, what is otherwise than what was recorded."""

    same: bool
    differences: tuple[str, ...]
    note: str = ""


def replay(folder: Path, record: Mapping[str, Any]) -> Replay:
    """Decide from the record's facts and the archived knowledge. Raises NotArchivedError and KnowledgeError."""
    knowledge = archived_knowledge(folder, record["knowledge"], record["policy"])
    note = "" if record["engine"] == __version__ else f"decided by engine {record['engine']}, replayed by {__version__}"
    if not record["whole"]:
        note = "; ".join(
            filter(None, (note, "a drug was named in words that were not kept, so it may be read otherwise"))
        )
    return _compared(record, knowledge, note)


def replay_today(record: Mapping[str, Any], knowledge: Knowledge) -> Replay:
    """Decide from the record's facts by other knowledge."""
    return _compared(record, knowledge, "")


def _compared(record: Mapping[str, Any], knowledge: Knowledge, note: str) -> Replay:
    decision = decided_again(knowledge, record)
    outcome = _told(Outcomes(knowledge).of(decision, {}))
    if record["v"] == 1:
        outcome["digest"] = version_1.outcome_digest(decision)
    differences = _differences(record, outcome)
    if differences and outcome["digest"] == record["outcome"]:
        differences = (
            "the record contradicts itself: its digest fits what is found now, what it tells does not",
            *differences,
        )
    return Replay(not differences, differences, note)


def _told(outcome: Outcome) -> dict[str, Any]:
    """As a record would have it."""
    told: dict[str, Any] = orjson.loads(orjson.dumps(outcome._asdict()))
    return told


def decided_again(knowledge: Knowledge, record: Mapping[str, Any]) -> Decision:
    """The decision from the record's facts.

    Fingerprints are made from the patient's id, which is not kept: overrides that named one of the record's alerts are
    made to name the alert that stands in its place now.
    """
    request = request_of(record["facts"])
    decision = check(knowledge, request)
    if not request.prior_overrides:
        return decision
    now = {(each.rule_id, each.subject, _nth): each.fingerprint for _nth, each in _numbered(decision.alerts)}
    then: dict[tuple[str, str, int], str] = {}
    for rule, _, _, subject, fingerprint, *_ in record["alerts"]:
        nth = sum(key[:2] == (rule, subject) for key in then)
        then[rule, subject, nth] = fingerprint
    swapped = {fingerprint: now[key] for key, fingerprint in then.items() if key in now}
    return check(knowledge, _overriding(request, swapped))


def _numbered(alerts: tuple[Any, ...]) -> list[tuple[int, Any]]:
    """Each alert with how many of the same rule and subject stand before it."""
    seen: dict[tuple[str, str], int] = {}
    found = []
    for each in alerts:
        key = (each.rule_id, each.subject)
        found.append((seen.get(key, 0), each))
        seen[key] = seen.get(key, 0) + 1
    return found


def _overriding(request: CheckRequest, swapped: Mapping[str, str]) -> CheckRequest:
    overrides = [
        replace(each, fingerprint=swapped.get(each.fingerprint, each.fingerprint)) for each in request.prior_overrides
    ]
    return replace(request, prior_overrides=tuple(overrides))


def _differences(record: Mapping[str, Any], outcome: Mapping[str, Any]) -> tuple[str, ...]:
    found = []
    for name in ("overall", "severity", "complete"):
        before, after = record[name], outcome[name]
        if before != after:
            found.append(f"{name}: {before}, now {after}")
    found += _listed("alert", record["alerts"], outcome["alerts"], (2, 5, 6))
    found += _listed("kept back", record["suppressed"], outcome["suppressed"], (2,))
    found += _listed("not evaluated", record["not_evaluated"], outcome["not_evaluated"], (3,))
    if not found and record["outcome"] != outcome["digest"]:
        found.append("the same alerts and open checks; another number, word, source or suggestion in them")
    return tuple(found)


def _listed(what: str, before: list[list[Any]], after: list[list[Any]], compared: tuple[int, ...]) -> list[str]:
    """Rows of (rule, version, ...), by rule and subject."""
    subject = 2 if what == "not evaluated" else 3
    old = {(each[0], each[subject]): each for each in before}
    new = {(each[0], each[subject]): each for each in after}
    found = [f"{what}: {_rule(old[key])} no more" for key in old if key not in new]
    found += [f"{what}: {_rule(new[key])} is new" for key in new if key not in old]
    for key in old:
        if key in new:
            if old[key][1] != new[key][1]:
                found.append(f"{what}: {key[0]} v{old[key][1]}, now v{new[key][1]}")
            if [old[key][i] for i in compared] != [new[key][i] for i in compared]:
                said = [old[key][i] for i in compared], [new[key][i] for i in compared]
                found.append(f"{what}: {key[0]} {said[0]}, now {said[1]}")
    return found


def _rule(row: list[Any]) -> str:
    return f"{row[0]} v{row[1]}"


__all__ = ["NotArchivedError", "Replay", "decided_again", "replay", "replay_today"]
