"""What another policy or other knowledge would change: the same orders decided twice, and the alerts counted."""

from __future__ import annotations

import os
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from medsafety import CheckPrescriptionRequest
from safety_service.domain import CheckStatus, Decision, Overall, Severity
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server.decode import InvalidRequestError, decode

MOST_REFUSALS_TOLD = 20
SEVERITIES = (Severity.CONTRAINDICATED, Severity.HIGH, Severity.MODERATE, Severity.LOW)


@dataclass(slots=True)
class Counts:
    """Alerts that were told (`fired`), those of them that interrupt, and those that policy kept back."""

    fired: int = 0
    interruptive: int = 0
    suppressed: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.fired + other.fired, self.interruptive + other.interruptive, self.suppressed + other.suppressed
        )


@dataclass(slots=True)
class Side:
    """What one policy with its knowledge made of all orders. `rules` is by rule id and severity."""

    knowledge: Knowledge
    overall: Counter[Overall] = field(default_factory=Counter)
    interrupted_orders: int = 0
    rules: dict[tuple[str, Severity], Counts] = field(default_factory=dict)

    def add(self, decision: Decision) -> None:
        self.overall[decision.overall] += 1
        self.interrupted_orders += any(alert.interruptive for alert in decision.alerts)
        for alert in decision.alerts:
            counts = self._counts(alert.rule_id, alert.severity)
            counts.fired += 1
            counts.interruptive += alert.interruptive
        for kept_back in decision.suppressed:
            self._counts(kept_back.rule_id, kept_back.severity).suppressed += 1

    def _counts(self, rule_id: str, severity: Severity) -> Counts:
        return self.rules.setdefault((rule_id, severity), Counts())

    def of(self, rule_id: str = "", severity: Severity = Severity.UNSPECIFIED) -> Counts:
        """The counts of a rule ("" = all), of a severity (UNSPECIFIED = all)."""
        found = (
            counts
            for (own_rule, own_severity), counts in self.rules.items()
            if rule_id in ("", own_rule) and severity in (Severity.UNSPECIFIED, own_severity)
        )
        return sum(found, Counts())


@dataclass(slots=True)
class Comparison:
    """The two sides, over the orders that both decided.

    `moved` counts orders by overall before and after, where these differ. `failed`: an engine raised, and the order is
    not counted. `refusals` are the first of those refused or failed, each with its place and reason.
    """

    before: Side
    after: Side
    orders: int = 0
    refused: int = 0
    failed: int = 0
    moved: Counter[tuple[Overall, Overall]] = field(default_factory=Counter)
    errors: int = 0
    refusals: list[str] = field(default_factory=list)

    @property
    def rule_ids(self) -> list[str]:
        """All rules that fired on a side, in the order of their ids."""
        return sorted({rule_id for rule_id, _ in (*self.before.rules, *self.after.rules)})

    def refuse(self, place: str, reason: str) -> None:
        self.refused += 1
        self._tell(place, reason)

    def fail(self, place: str, error: Exception) -> None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        self.failed += 1
        self._tell(place, f"{type(error).__name__} at {os.path.basename(last.filename)}:{last.lineno}")

    def _tell(self, place: str, reason: str) -> None:
        if len(self.refusals) < MOST_REFUSALS_TOLD:
            self.refusals.append(f"{place}: {reason}")


def simulate(
    before: Knowledge,
    after: Knowledge,
    requests: Iterable[tuple[str, CheckPrescriptionRequest | str]],
    today: int,
    key: bytes,
) -> Comparison:
    """Decides each request twice. A request comes with its place; a text in its stead is why it could not be read.

    `today` is the UTC day for requests without any date, `key` that of the fingerprints in `prior_overrides`. Which
    policy and knowledge a request insists on is not looked at.
    """
    found = Comparison(Side(before), Side(after))
    for place, sent in requests:
        if isinstance(sent, str):
            found.refuse(place, sent)
            continue
        try:
            request = decode(sent, today).request
        except InvalidRequestError as error:
            found.refuse(place, "; ".join(f"{path}: {reason}" for path, reason in error.violations))
            continue
        try:
            first, second = check(before, request, key), check(after, request, key)
        except Exception as error:  # its text could quote the request
            found.fail(place, error)
            continue
        found.orders += 1
        found.before.add(first)
        found.after.add(second)
        found.errors += any(e.status is CheckStatus.ERROR for each in (first, second) for e in each.checks)
        if first.overall is not second.overall:
            found.moved[first.overall, second.overall] += 1
    return found


# --- as data -----------------------------------------------------------------------------------------------------


def as_data(found: Comparison) -> dict[str, object]:
    """All of it in plain types, for JSON."""
    return {
        "orders": found.orders,
        "refused": found.refused,
        "failed": found.failed,
        "ordersWithAFailedCheck": found.errors,
        "before": _side(found.before),
        "after": _side(found.after),
        "ordersWithAnotherOverall": sum(found.moved.values()),
        "overallChanges": [
            {"before": before.name, "after": after.name, "orders": number}
            for (before, after), number in sorted(found.moved.items())
        ],
        "interruptedOrders": _pair(found.orders, found.before.interrupted_orders, found.after.interrupted_orders),
        "all": _compared(found),
        "severities": {each.name: _compared(found, severity=each) for each in SEVERITIES},
        "rules": [
            {
                "ruleId": rule_id,
                **_compared(found, rule_id),
                "severities": dict(_severities(found, rule_id)),
            }
            for rule_id in found.rule_ids
        ],
    }


def _side(side: Side) -> dict[str, object]:
    knowledge = side.knowledge
    return {
        "policy": {
            "id": knowledge.policy.id,
            "version": knowledge.policy.version,
            "digest": knowledge.policy_digest,
            "stopLevel": knowledge.stop_level.name,
        },
        "knowledge": {"version": knowledge.version, "digest": knowledge.digest},
        "overall": {each.name: side.overall[each] for each in Overall if each},
    }


def _severities(found: Comparison, rule_id: str) -> Iterator[tuple[str, object]]:
    for severity in SEVERITIES:
        if (rule_id, severity) in found.before.rules or (rule_id, severity) in found.after.rules:
            yield severity.name, _compared(found, rule_id, severity)


def _compared(
    found: Comparison, rule_id: str = "", severity: Severity = Severity.UNSPECIFIED
) -> dict[str, dict[str, float]]:
    before, after = found.before.of(rule_id, severity), found.after.of(rule_id, severity)
    return {
        "fired": _pair(found.orders, before.fired, after.fired),
        "interruptive": _pair(found.orders, before.interruptive, after.interruptive),
        "suppressed": _pair(found.orders, before.suppressed, after.suppressed),
    }


def _pair(orders: int, before: int, after: int) -> dict[str, float]:
    return {
        "before": before,
        "after": after,
        "per100Before": per_100(before, orders),
        "per100After": per_100(after, orders),
    }


def per_100(number: int, orders: int) -> float:
    """So many per 100 orders; 0 without orders."""
    return round(100 * number / orders, 4) if orders else 0.0
