"""What another policy would change, as a table: alerts before and after, and the difference per 100 orders."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from safety_service.domain import Severity
from safety_service.report.layout import wrapped
from safety_service.simulate import SEVERITIES, Comparison, Counts, Side, per_100

_NAME = 31
_COLUMNS = f"{'before':>8} {'after':>7} {'/100':>6}"
_HEADS = ("alerts", "interrupting", "suppressed")


def simulation_text(found: Comparison) -> Iterator[Text]:
    """The whole comparison; of the rules only those that differ."""
    yield from wrapped(f"{found.orders:,} orders decided twice{_left_out(found)}", "", "  ", "bold")
    yield from wrapped(_told(found.before), "before  ", " " * 8)
    yield from wrapped(_told(found.after), "after   ", " " * 8)
    yield Text()
    moved = sum(found.moved.values())
    yield Text(f"Another overall: {moved:,} orders, {per_100(moved, found.orders):.1f} of 100", style="bold")
    for (before, after), number in sorted(found.moved.items()):
        yield Text(f"  {f'{before.name} -> {after.name}':<{_NAME - 2}}{number:>8}")
    interrupted = found.before.interrupted_orders, found.after.interrupted_orders
    yield Text(f"{'Orders that interrupt':<{_NAME}}{_change(*interrupted, found.orders)}".rstrip())
    yield Text()
    yield Text(f"{'':<{_NAME}}{''.join(f'{head:>23}' for head in _HEADS)}".rstrip(), style="bold")
    yield Text(f"{'':<{_NAME}}{_COLUMNS * len(_HEADS)}", style="dim")
    yield from _row("All", *_pair(found, ""), found.orders)
    for severity in SEVERITIES:
        yield from _row(f"  {severity.name}", *_pair(found, "", severity), found.orders)
    same = 0
    for rule_id in found.rule_ids:
        severities = [each for each in SEVERITIES if _pair(found, rule_id, each) != (Counts(), Counts())]
        if all(one == other for one, other in (_pair(found, rule_id, each) for each in severities)):
            same += 1
            continue
        yield from _row(rule_id, *_pair(found, rule_id), found.orders)
        if len(severities) > 1:
            for each in severities:
                yield from _row(f"  {each.name}", *_pair(found, rule_id, each), found.orders)
    if same:
        yield Text(f"{same} other rules that fired: no difference", style="dim")


def _left_out(found: Comparison) -> str:
    parts = [
        f"{number:,} {word}"
        for number, word in (
            (found.refused, "refused, not counted"),
            (found.failed, "failed, not counted"),
            (found.errors, "with a check that failed"),
        )
        if number
    ]
    return f" ({'; '.join(parts)})" if parts else ""


def _told(side: Side) -> str:
    knowledge = side.knowledge
    policy = f"policy {knowledge.policy.id} {knowledge.policy.version} ({knowledge.policy_digest[:12]})"
    stop = f"stops from {knowledge.stop_level.name}"
    return f"{policy}, {stop}; knowledge {knowledge.version} ({knowledge.digest[:12]})"


def _pair(found: Comparison, rule_id: str, severity: Severity = Severity.UNSPECIFIED) -> tuple[Counts, Counts]:
    return found.before.of(rule_id, severity), found.after.of(rule_id, severity)


def _row(name: str, before: Counts, after: Counts, orders: int) -> Iterator[Text]:
    columns = (
        (before.fired, after.fired),
        (before.interruptive, after.interruptive),
        (before.suppressed, after.suppressed),
    )
    if len(name) > _NAME:
        yield Text(name)
        name = ""
    yield Text(f"{name:<{_NAME}}{''.join(_change(*each, orders) for each in columns)}".rstrip())


def _change(before: int, after: int, orders: int) -> str:
    """Before, after and the difference per 100 orders, in the width of `_COLUMNS`."""
    moved = per_100(after - before, orders)
    return f"{before:>8} {after:>7} {f'{moved:+.1f}' if after != before else '':>6}"
