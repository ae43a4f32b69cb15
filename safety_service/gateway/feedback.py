"""What clinicians did with the cards: read as the contract says, and handed on whole or not at all."""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson

from safety_service.decisions import records
from safety_service.decisions.log import DecisionLog
from safety_service.decisions.segment import CannotWriteError
from safety_service.gateway.fhir.shapes import Json, Resource
from safety_service.gateway.problems import ProblemError, refused

_RFC3339 = re.compile(
    r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?"
    r"(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_MOST_ITEMS = 500
_MOST_CHARACTERS = 10_000  # of a comment
_KEPT = 1_000


@dataclass(frozen=True, slots=True)
class Feedback:
    """What was done with one card. `reason` is as the client sent it: a code it does not have from us is kept too."""

    card: str
    outcome: str
    accepted_suggestions: tuple[str, ...]
    reason: Resource | None
    comment: str
    at: str

    def as_json(self) -> Resource:
        """For a file: one object, empty members left out."""
        held: Resource = {"card": self.card, "outcome": self.outcome, "outcomeTimestamp": self.at}
        if self.accepted_suggestions:
            held["acceptedSuggestions"] = [{"id": each} for each in self.accepted_suggestions]
        override: Resource = {}
        if self.reason is not None:
            override["reason"] = self.reason
        if self.comment:
            override["userComment"] = self.comment
        if override:
            held["overrideReason"] = override
        return held


class FeedbackSink(Protocol):
    """Where feedback goes. All of a call is taken or none: `take` raises OSError when it could not be kept."""

    def take(self, service: str, received_at: str, items: Sequence[Feedback], caller: str = "") -> None: ...


class InMemory:
    """The latest feedback, gone with the process."""

    def __init__(self) -> None:
        self.items: deque[tuple[str, str, Feedback]] = deque(maxlen=_KEPT)

    def take(self, service: str, received_at: str, items: Sequence[Feedback], caller: str = "") -> None:
        self.items.extend((service, received_at, each) for each in items)


class JsonLines:
    """A file that is only appended to, one object a line. Comments may hold patient data: guard the file."""

    def __init__(self, path: Path) -> None:
        """Raises OSError when the file cannot be written."""
        self._file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
        self._one_at_a_time = threading.Lock()

    def take(self, service: str, received_at: str, items: Sequence[Feedback], caller: str = "") -> None:
        lines = b"".join(
            orjson.dumps({"service": service, "receivedAt": received_at, **each.as_json()}) + b"\n" for each in items
        )
        with self._one_at_a_time:
            end = os.fstat(self._file).st_size
            try:
                if os.write(self._file, lines) != len(lines):
                    raise OSError("the disk is full")
                os.fsync(self._file)
            except OSError:
                os.ftruncate(self._file, end)
                raise


@dataclass(frozen=True, slots=True)
class OnRecord:
    """With the decisions: a card goes by the id of its first alert, so that both are found together.

    `take` raises ProblemError 400 when a card is not of that form: it would be on record and belong to nothing.
    """

    decisions: DecisionLog

    def take(self, service: str, received_at: str, items: Sequence[Feedback], caller: str = "") -> None:
        wrong = [i for i, each in enumerate(items) if not records.ALERT_ID.fullmatch(each.card)]
        if wrong:
            raise ProblemError(400, [("value", "must be the uuid of a card", f"feedback[{i}].card") for i in wrong])
        try:
            self.decisions.take([_record(each) for each in items], caller)
        except CannotWriteError as error:
            raise OSError(str(error)) from None


def _record(feedback: Feedback) -> records.Feedback:
    reason = feedback.reason or {}
    return records.Feedback(
        alert_id=feedback.card.lower(),
        outcome="accepted" if feedback.outcome == "accepted" else "overridden",
        system=reason.get("system", ""),
        code=reason.get("code", ""),
        display=reason.get("display", ""),
        comment=feedback.comment,
        at=feedback.at,
        accepted_suggestions=feedback.accepted_suggestions,
    )


def read_feedback(body: Json) -> tuple[Feedback, ...]:
    """Raises ProblemError 400 that names every member at fault."""
    if not isinstance(body, dict):
        raise refused(400, "structure", "the body must be a JSON object")
    sent = body.get("feedback")
    if not isinstance(sent, list) or not sent:
        code = "required" if sent is None else "structure"
        raise refused(400, code, "must be an array with at least one item", "feedback")
    if len(sent) > _MOST_ITEMS:
        raise refused(400, "too-costly", f"at most {_MOST_ITEMS} items", "feedback")
    issues: list[tuple[str, str, str]] = []
    items = [_item(each, f"feedback[{i}]", issues) for i, each in enumerate(sent)]
    if issues:
        raise ProblemError(400, issues)
    return tuple(items)


def _item(sent: Any, at: str, issues: list[tuple[str, str, str]]) -> Feedback:
    if not isinstance(sent, dict):
        issues.append(("structure", "must be an object", at))
        sent = {}
    outcome = _text(sent.get("outcome"))
    if outcome not in ("accepted", "overridden"):
        issues.append(_issue(sent, "outcome", "must be accepted or overridden", at))
    if not _text(sent.get("card")):
        issues.append(_issue(sent, "card", "must be the uuid of a card", at))
    when = _text(sent.get("outcomeTimestamp"))
    if not _RFC3339.fullmatch(when):
        issues.append(_issue(sent, "outcomeTimestamp", "must be an RFC 3339 time with a zone", at))
    accepted = _accepted(sent, outcome, at, issues)
    reason, comment = _override(sent.get("overrideReason"), f"{at}.overrideReason", issues)
    return Feedback(_text(sent.get("card")), outcome, accepted, reason, comment, when)


def _accepted(sent: Resource, outcome: str, at: str, issues: list[tuple[str, str, str]]) -> tuple[str, ...]:
    held = sent.get("acceptedSuggestions")
    if held is None and outcome != "accepted":
        return ()
    if not isinstance(held, list) or not held:
        issues.append(_issue(sent, "acceptedSuggestions", "must be an array with at least one id", at))
        return ()
    ids = [_text(each.get("id")) if isinstance(each, dict) else "" for each in held]
    issues += [
        ("value", "must be the uuid of a suggestion", f"{at}.acceptedSuggestions[{i}].id")
        for i, each in enumerate(ids)
        if not each
    ]
    return tuple(ids)


def _override(sent: Any, at: str, issues: list[tuple[str, str, str]]) -> tuple[Resource | None, str]:
    if sent is None:
        return None, ""
    if not isinstance(sent, dict):
        issues.append(("structure", "must be an object", at))
        return None, ""
    reason, comment = sent.get("reason"), sent.get("userComment")
    if reason is None and comment is None:
        issues.append(("required", "reason or userComment is required", at))
    if comment is not None and not _text(comment, _MOST_CHARACTERS):
        issues.append(("value", f"must be a string of 1 to {_MOST_CHARACTERS} characters", f"{at}.userComment"))
    kept: Resource | None = None
    if reason is not None:
        kept = (
            {name: _text(reason.get(name)) for name in ("code", "system", "display")}
            if isinstance(reason, dict)
            else {}
        )
        kept = {name: value for name, value in kept.items() if value}
        if "code" not in kept:
            issues.append(("required", "a code is required", f"{at}.reason.code"))
    return kept, _text(comment, _MOST_CHARACTERS)


def _issue(sent: Resource, name: str, why: str, at: str) -> tuple[str, str, str]:
    return ("required" if sent.get(name) is None else "value", why, f"{at}.{name}")


def _text(value: Json, most: int = 256) -> str:
    return value.strip() if isinstance(value, str) and len(value) <= most else ""
