"""What the fold must come to, worked out day by day: slow, short and by another method."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Supplied:
    """A supply as it truly was: `days` taken from `start` on, one a day; whether it counts for the class."""

    ingredient: int
    start: int
    days: int
    in_class: bool


@dataclass(frozen=True)
class Truth:
    """Days of the order's episode, before it, in hand; class days; days since the class episode before (or None)."""

    episode: int
    before: int
    in_hand: int
    class_days: int
    since: int | None
    continues: bool
    companions: frozenset[int]  # the other supplies of its episode, by place in the history
    class_companions: frozenset[int]  # and those of its class episode


def place(supplies: Sequence[Supplied]) -> list[set[int]]:
    """Each supplied day on the earliest day from its start on that no other supply of the ingredient has taken."""
    taken: dict[int, set[int]] = {}
    placed: list[set[int]] = [set() for _ in supplies]
    for i in sorted(range(len(supplies)), key=lambda i: supplies[i].start):  # ties: as they became known
        own, day = taken.setdefault(supplies[i].ingredient, set()), supplies[i].start
        while len(placed[i]) < supplies[i].days:
            if day not in own:
                own.add(day)
                placed[i].add(day)
            day += 1
    return placed


def spells(days: Iterable[int], gap: int) -> list[list[int]]:
    """The days in runs; a new run begins after more than `gap` free days."""
    runs: list[list[int]] = []
    for day in sorted(days):
        if runs and day - runs[-1][-1] - 1 <= gap:
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs


def simulate(history: Sequence[Supplied], order: Supplied, gap: int) -> Truth:
    """What is true of `order`, the last to become known."""
    *placed, own = place([*history, order])
    mine = [i for i, each in enumerate(history) if each.ingredient == order.ingredient]
    others = set().union(*(placed[i] for i in mine))
    episode = next(set(run) for run in spells(others | own, gap) if own & set(run))
    counted = [days for each, days in zip(history, placed, strict=True) if each.in_class]
    runs = spells(set().union(*counted, own), gap)
    at = next(i for i, run in enumerate(runs) if own & set(run))
    return Truth(
        episode=len(episode),
        before=len(episode - own),
        in_hand=sum(day >= order.start for day in others),
        class_days=len(runs[at]),
        since=runs[at][0] - runs[at - 1][-1] - 1 if at else None,
        continues=any(order.start - gap <= day < order.start for day in others),
        companions=frozenset(i for i in mine if placed[i] & episode),
        class_companions=frozenset(i for i, each in enumerate(history) if each.in_class and placed[i] & {*runs[at]}),
    )


@dataclass(frozen=True)
class Taken:
    """A drug as it was truly taken: on the days [start, end), with its classes. A negative key is a drug of its own."""

    key: int
    classes: int
    start: int
    end: int


@dataclass(frozen=True)
class Shared:
    """Classes that share a day with the order; whether a left and a right one share one of its days; most at once."""

    classes: int
    pair: bool
    most: int


def share(drugs: Sequence[Taken], key: int, days: range, left: int, right: int, counted: int) -> Shared:
    """What is taken on each day of the order, other than its own ingredient `key`."""
    classes, pair, most = 0, False, 0
    for day in days:
        today = [(i, each) for i, each in enumerate(drugs) if each.start <= day < each.end and not key == each.key >= 0]
        for i, each in today:
            classes |= each.classes
            pair |= any(each.classes & left and other.classes & right and i != j for j, other in today)
        most = max(most, len({each.key if each.key >= 0 else -1 - i for i, each in today if each.classes & counted}))
    return Shared(classes, pair, most)


def ended(drugs: Sequence[Taken], classes: int, start: int) -> int | None:
    """Days free of any drug of `classes` between its last day before `start` and `start`; None where there was none."""
    days = [day for each in drugs if each.classes & classes for day in range(each.start, each.end) if day < start]
    return start - 1 - max(days) if days else None
