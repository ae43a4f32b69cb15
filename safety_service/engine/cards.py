"""Alerts merged for people: one card for the order itself and one for each partner, nothing said twice.

An alert is what a program works with: one rule, its facts, its source. A card is what a person is shown. All alerts
about the order alone make one card; those that name partners (other drugs) make one card for each set of partners that
some alert ties together. A card is as severe as the worst of its reasons.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from safety_service.domain import Alert, Implicated, Role, Severity, Suggestion

_SENTENCE = re.compile(r"(?<=[.!?]) (?=[A-Z\d])")


class Reason(NamedTuple):
    """One alert of a card: its title, and of its text and action what no reason before it has said."""

    alert: Alert
    title: str
    text: str
    action: str


class Card(NamedTuple):
    """`partners` is empty for the card of the order itself. `suggestions` has each field of the order once."""

    severity: Severity
    title: str
    partners: tuple[Implicated, ...]
    reasons: tuple[Reason, ...]
    suggestions: tuple[Suggestion, ...]


def cards(alerts: Sequence[Alert]) -> tuple[Card, ...]:
    """The cards of a decision, the most severe first; every alert is a reason of exactly one."""
    groups: list[tuple[dict[str, Implicated], list[Alert]]] = []
    for alert in alerts:
        partners = {each.reference: each for each in alert.implicated if each.role is Role.CO_AGENT}
        own: list[Alert] = [alert]
        apart = []
        for group in groups:
            if partners.keys() & group[0].keys() or not (partners or group[0]):
                partners = group[0] | partners
                own = [*group[1], *own]
            else:
                apart.append(group)
        groups = [*apart, (partners, own)]
    made = [_card(tuple(partners.values()), members) for partners, members in groups]
    return tuple(sorted(made, key=lambda each: (-each.severity, bool(each.partners))))


def _card(partners: tuple[Implicated, ...], alerts: Sequence[Alert]) -> Card:
    ordered = sorted(alerts, key=lambda each: -each.severity)  # stable: the catalogue's order within a severity
    told: set[str] = set()
    reasons = []
    for alert in ordered:
        text = _new(alert.message, told)
        reasons.append(Reason(alert, alert.title, text, _new(alert.action, told)))
    return Card(
        ordered[0].severity,
        ordered[0].title,
        partners,
        tuple(reasons),
        least_changes(each for alert in ordered for each in alert.suggestions),
    )


def _new(text: str, told: set[str]) -> str:
    """The sentences of `text` that are not in `told` yet, which then holds them."""
    fresh = []
    for sentence in _sentences(text):
        plain = sentence.rstrip(".").casefold()
        if plain not in told:
            told.add(plain)
            fresh.append(sentence)
    return " ".join(fresh)


@lru_cache(maxsize=4096)
def _sentences(text: str) -> tuple[str, ...]:
    return tuple(_SENTENCE.split(text)) if text else ()


def least_changes(suggestions: Iterable[Suggestion]) -> tuple[Suggestion, ...]:
    """One change for each field: the least that is proposed, so that all who propose one are content."""
    found: dict[str, Suggestion] = {}
    for each in suggestions:
        held = found.get(each.field)
        if held is None or _amount(each) < _amount(held):
            found[each.field] = each
    return tuple(found.values())


def _amount(suggestion: Suggestion) -> float:
    """What is proposed, as a number; words propose no less than any number."""
    try:
        return float(suggestion.proposed)
    except ValueError:
        return math.inf
