"""What stands in a record: of a decision, and of feedback on one. JSON, so that it can be read in ten years."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid5

import orjson

from safety_service.decisions.facts import facts_of
from safety_service.decisions.outcome import Outcomes
from safety_service.decisions.rows import named
from safety_service.domain import CheckRequest, Decision

DECISION = "decision"
FEEDBACK = "feedback"
_VERSION = 2  # 1 had the facts by name, and another digest of the outcome
_VERSIONS = (1, _VERSION)
# Of an alert, as answers and CDS Hooks cards write it.
ALERT_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


class Pseudonyms:
    """Keyed names for patients and orders: equal for equal, and of no use to who has not the key."""

    def __init__(self, key: bytes) -> None:
        """`key`: up to 64 bytes."""
        # Each is begun once and copied, which takes half as long.
        self._patient, self._order, self._input = (
            hashlib.blake2b(digest_size=16, key=key, person=kind) for kind in (b"patient", b"order", b"input")
        )

    def patient(self, known_as: str) -> str:
        """The pseudonym of a patient's id; "" for none."""
        return _continued(self._patient, known_as.encode()) if known_as else ""

    def order(self, patient: str, known_as: str) -> str:
        """The pseudonym of the id that an order has among those of a patient; "" for none."""
        return _continued(self._order, f"{patient}\0{known_as}".encode()) if known_as else ""

    def digest(self, sent: bytes) -> str:
        """Of a request: keyed, since a short request could be guessed from a plain hash."""
        return _continued(self._input, sent)


def _continued(begun: hashlib.blake2b, text: bytes) -> str:
    own = begun.copy()
    own.update(text)
    return own.hexdigest()


class Asked(NamedTuple):
    """Who asked what: `caller` and `site` as names, "" when not known; `sent` the request's bytes."""

    caller: str
    site: str
    sent: bytes
    request: CheckRequest


class Answered(NamedTuple):
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
            "patient": pseudonyms.patient(patient),
            "order": pseudonyms.order(patient, request.prescription.id),
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
            "facts": facts.row,
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
    """What a record holds, its facts by name. Raises ValueError when it is no record."""
    held = orjson.loads(payload)
    if not isinstance(held, dict):
        raise ValueError("not a record")
    if held.get("kind") in (DECISION, FEEDBACK) and held.get("v") not in _VERSIONS:
        raise ValueError(f"a record of version {held.get('v')}, which is not known here")
    if held.get("kind") == DECISION and held["v"] != 1:
        try:
            held["facts"] = named(held["facts"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"facts of another form: {error!r}") from None
    return held
