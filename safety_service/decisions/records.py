"""What stands in a record: of a decision, and of feedback on one. JSON, so that it can be read in ten years."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal
from uuid import UUID, uuid5

import orjson

from safety_service.decisions.facts import facts_of
from safety_service.decisions.outcome import Outcomes
from safety_service.domain import CheckRequest, Decision

DECISION = "decision"
FEEDBACK = "feedback"
_VERSION = 1
# Of an alert, as answers and CDS Hooks cards write it.
ALERT_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Keyed names for patients and orders: equal for equal, and of no use to who has not the key."""

    key: bytes

    def of(self, kind: bytes, *parts: str) -> str:
        """The pseudonym of an id; "" for none."""
        if not parts[-1]:
            return ""
        text = "\0".join(parts).encode()
        return hashlib.blake2b(text, digest_size=16, key=self.key, person=kind).hexdigest()

    def digest(self, sent: bytes) -> str:
        """Of a request: keyed, since a short request could be guessed from a plain hash."""
        return hashlib.blake2b(sent, digest_size=16, key=self.key, person=b"input").hexdigest()


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asked what: `caller` and `site` as names, "" when not known; `sent` the request's bytes."""

    caller: str
    site: str
    sent: bytes
    request: CheckRequest


@dataclass(frozen=True, slots=True)
class Answered:
    """What was decided: with the 16 bytes of its id, when (nanoseconds since 1970), and in how many microseconds."""

    decision: Decision
    decision_id: bytes
    at: int
    spent_us: int


def decision_record(outcomes: Outcomes, pseudonyms: Pseudonyms, asked: Asked, answered: Answered) -> bytes:
    """The record of a decision, serialised."""
    request, decision = asked.request, answered.decision
    facts = facts_of(outcomes.knowledge, request)
    outcome = outcomes.of(decision, facts.swapped)
    patient = request.patient.id
    return orjson.dumps(
        {
            "kind": DECISION,
            "v": _VERSION,
            "id": answered.decision_id.hex(),
            "at": answered.at,
            "caller": asked.caller,
            "site": asked.site,
            "patient": pseudonyms.of(b"patient", patient),
            "order": pseudonyms.of(b"order", patient, request.prescription.id),
            "input": pseudonyms.digest(asked.sent),
            "knowledge": decision.knowledge_digest,
            "policy": decision.policy_digest,
            "engine": decision.engine_version,
            "overall": outcome.overall,
            "severity": outcome.severity,
            "complete": outcome.complete,
            "alerts": outcome.alerts,
            "suppressed": outcome.suppressed,
            "not_evaluated": outcome.not_evaluated,
            "outcome": outcome.digest,
            "us": answered.spent_us,
            "whole": facts.whole,
            "facts": facts.document,
        }
    )


def alert_id(decision_id: str, fingerprint: str) -> str:
    """The id that the answer gave an alert."""
    return str(uuid5(UUID(decision_id), fingerprint))


# --- feedback ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Feedback:
    """What one person did with one alert. `at` is RFC 3339, "" when not known; `id` is the client's, "" for none."""

    alert_id: str
    outcome: Literal["accepted", "overridden"]
    id: str = ""
    system: str = ""
    code: str = ""
    display: str = ""
    comment: str = ""
    at: str = ""
    accepted_suggestions: tuple[str, ...] = ()

    @property
    def content(self) -> str:
        """Of all that was sent; the same for the same."""
        return hashlib.blake2b(orjson.dumps(asdict(self)), digest_size=16).hexdigest()

    @property
    def known_as(self) -> str:
        """Its id, as sent or made from its content."""
        return self.id or self.content


def feedback_record(feedback: Feedback, caller: str, received: int) -> bytes:
    """The record of feedback, serialised; `received` in nanoseconds since 1970."""
    held = {name: value for name, value in asdict(feedback).items() if value}
    held |= {"id": feedback.known_as, "content": feedback.content, "done_at": feedback.at, "at": received}
    return orjson.dumps({"kind": FEEDBACK, "v": _VERSION, "caller": caller, **held})


def read_record(payload: bytes) -> Mapping[str, Any]:
    """What a record holds. Raises ValueError when it is no record."""
    held = orjson.loads(payload)
    if not isinstance(held, dict):
        raise ValueError("not a record")
    return held
