"""How often each rule fired, was kept back and was overridden, for each site and month, and why."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from safety_service.decisions.index import Database, IndexBusyError, opened


class Reason(NamedTuple):
    """A coded reason of overrides, all "" when none was given, with the number of orders."""

    system: str
    code: str
    display: str
    orders: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What to sum up; months as "2026-11", "" for no limit."""

    from_month: str = ""
    to_month: str = ""
    rule_id: str = ""
    site: str = ""


@dataclass(frozen=True, slots=True)
class AlertSummary:
    """One rule at one site in one month; all numbers are of orders, and one that is checked again counts once."""

    month: str
    site: str
    rule_id: str
    orders: int
    fired: int
    suppressed: int
    overridden: int
    accepted: int
    reasons: tuple[Reason, ...]

    def per_100(self, count: int) -> float:
        """For 100 orders."""
        return 100 * count / self.orders


class Summary(NamedTuple):
    """`indexed_to`: time of the latest record that is counted, in nanoseconds since 1970; None: there is none."""

    rows: tuple[AlertSummary, ...]
    indexed_to: int | None


_WHERE = "(? = '' OR d.month >= ?) AND (? = '' OR d.month <= ?) AND (? = '' OR d.site = ?)"
_RULE = "(? = '' OR a.rule = ?)"
_ORDERS = f"SELECT d.month, d.site, COUNT(DISTINCT d.ordered) FROM decisions d WHERE {_WHERE} GROUP BY d.month, d.site"
_ALERTS = (
    "SELECT d.month, d.site, a.rule, a.fired, COUNT(DISTINCT d.ordered) FROM alerts a JOIN decisions d ON "
    f"d.id = a.decision WHERE {_WHERE} AND {_RULE} GROUP BY d.month, d.site, a.rule, a.fired"
)
_FEEDBACK = (
    "SELECT d.month, d.site, a.rule, f.outcome, COUNT(DISTINCT d.ordered) FROM feedback f JOIN alerts a ON "
    f"a.alert = f.alert JOIN decisions d ON d.id = a.decision WHERE {_WHERE} AND {_RULE} "
    "GROUP BY d.month, d.site, a.rule, f.outcome"
)
_REASONS = (
    "SELECT d.month, d.site, a.rule, f.system, f.code, MAX(f.display), COUNT(DISTINCT d.ordered) FROM feedback f "
    "JOIN alerts a ON a.alert = f.alert JOIN decisions d ON d.id = a.decision "
    f"WHERE f.outcome = 'overridden' AND {_WHERE} AND {_RULE} GROUP BY d.month, d.site, a.rule, f.system, f.code"
)


def summarize(database: Database, asked: Asked) -> Summary:
    """The sums: the latest month first, then by site, the most often overridden rule first. `database` was opened to
    read, or nobody writes meanwhile. Raises IndexUnavailableError.
    """
    where = [asked.from_month] * 2 + [asked.to_month] * 2 + [asked.site] * 2
    rule = [asked.rule_id] * 2
    orders = {(month, site): count for month, site, count in database.run(_ORDERS, *where)}
    counts: dict[tuple[str, str, str], dict[Any, int]] = {}
    for found in (database.run(_ALERTS, *where, *rule), database.run(_FEEDBACK, *where, *rule)):
        for month, site, rule_id, what, count in found:
            counts.setdefault((month, site, rule_id), {})[what] = count
    reasons: dict[tuple[str, str, str], list[Reason]] = {}
    for month, site, rule_id, *reason in database.run(_REASONS, *where, *rule):
        reasons.setdefault((month, site, rule_id), []).append(Reason(*reason))
    rows = [
        AlertSummary(
            month,
            site,
            rule_id,
            orders[month, site],
            count.get(1, 0),
            count.get(0, 0),
            count.get("overridden", 0),
            count.get("accepted", 0),
            _most_first(reasons.get((month, site, rule_id), ())),
        )
        for (month, site, rule_id), count in counts.items()
    ]
    rows.sort(key=lambda each: (-each.overridden, -each.fired, -each.suppressed, each.rule_id))
    rows.sort(key=lambda each: each.site)
    rows.sort(key=lambda each: each.month, reverse=True)
    latest = [at for table in ("decisions", "feedback") for (at,) in database.run(f"SELECT MAX(at) FROM {table}")]
    return Summary(tuple(rows), max((each for each in latest if each is not None), default=None))


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums of the index at an address. One is asked for at a time: a database that does not answer holds one thread
    of a server, and leaves the others to checks.
    """

    index: str
    _asking: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, asked: Asked) -> Summary:
        """Raises IndexUnavailableError, and IndexBusyError at once where another question is being answered."""
        if not self._asking.acquire(blocking=False):
            raise IndexBusyError
        try:
            with opened(self.index, to_write=False) as database:
                return summarize(database, asked)
        finally:
            self._asking.release()


def _most_first(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    return tuple(sorted(reasons, key=lambda each: (-each.orders, each.system, each.code)))
