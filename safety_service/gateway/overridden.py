"""Which alerts a client's users overrode lately, so that the same alert does not interrupt again.

Kept in this process, of the latest cards alone, and apart for each client; feedback tells of a card, a check asks of a
patient. What a client keeps itself it sends as `priorOverrides`, and both count.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

from medsafety.v1 import medication_safety_service_pb2
from safety_service.gateway.feedback import Feedback
from safety_service.gateway.fhir import dates
from safety_service.server import limits

MOST_CARDS = 20_000
MOST_PATIENTS = 20_000
_MOST_OF_ONE = 100
Who = tuple[str, str]  # the client, "" where everybody may call, and the patient


@dataclass(frozen=True, slots=True)
class _Override:
    on: date
    reason: str


@dataclass(slots=True)
class Overridden:
    """The cards shown and the alerts overridden; the oldest are forgotten first."""

    most_cards: int = MOST_CARDS
    most_patients: int = MOST_PATIENTS
    _cards: OrderedDict[tuple[str, str], tuple[Who, tuple[str, ...]]] = field(default_factory=OrderedDict)
    _overridden: OrderedDict[Who, dict[str, _Override]] = field(default_factory=OrderedDict)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def shown(self, who: Who, cards: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        """`cards` by their uuid, with the fingerprints of their alerts."""
        with self._one_at_a_time:
            for card, fingerprints in cards:
                self._cards[who[0], card] = who, fingerprints
            while len(self._cards) > self.most_cards:
                self._cards.popitem(last=False)

    def told(self, client: str, items: Sequence[Feedback], today: date) -> None:
        """Feedback of a client; that on a card which is not known any more changes nothing."""
        with self._one_at_a_time:
            for each in items:
                held = self._cards.get((client, each.card.lower()))
                if held is None:
                    continue
                who, fingerprints = held
                of_patient = self._overridden.setdefault(who, {})
                for fingerprint in fingerprints:
                    of_patient.pop(fingerprint, None)
                    if each.outcome == "overridden":
                        of_patient[fingerprint] = _Override(today, _reason(each))
                while len(of_patient) > _MOST_OF_ONE:
                    del of_patient[next(iter(of_patient))]
                self._overridden.move_to_end(who)
            while len(self._overridden) > self.most_patients:
                self._overridden.popitem(last=False)

    def before(self, who: Who) -> list[medication_safety_service_pb2.PriorOverride]:
        """What was overridden for a patient, for the next check."""
        held = self._overridden.get(who)
        if not held or not who[1]:
            return []
        with self._one_at_a_time:
            return [
                medication_safety_service_pb2.PriorOverride(
                    fingerprint=fingerprint, overridden_on=dates.as_message(each.on), reason=each.reason
                )
                for fingerprint, each in held.items()
            ]


def _reason(feedback: Feedback) -> str:
    coded = feedback.reason or {}
    words = coded.get("display") or coded.get("code") or ""
    return "; ".join(filter(None, (words, feedback.comment)))[: limits.TEXT_CHARACTERS.value]
