"""Small numbers kept out of what is published, also those that could be had by subtraction. Named profiles, no others.

Applied last, to the published copy only; nothing is ever counted on from what comes out of here.

* A profile that rounds hides each count up to its threshold, zero among them, and rounds the rest. That one rounded
  number less another tells no small one is usual, not certain: four rows of at most 7 with a total shown as 30 are 7
  each. `settled` finds these; the page leaves out a table in which one is (`report_page`).
* A profile that does not round hides a row whole when a count in it is small, its passes as well, since these are known
  minus fired. Rows that add up to a total that is shown are then hidden until two or more are, and what is hidden
  together is not small either. Each hidden row stands in one sum of rows alone, so no other sum gives it away.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Profile:
    """Counts from `least` to `most` are hidden; others are rounded to multiples of `rounding`."""

    name: str
    least: int
    most: int
    rounding: int
    says: str

    def small(self, count: int) -> bool:
        return self.least <= count <= self.most

    @property
    def middle(self) -> float:
        """What a hidden number counts as where one must stand for all of them."""
        return (self.least + self.most) / 2

    @property
    def mark(self) -> str:
        """What stands for a hidden number."""
        return f"{self.least}–{self.most}" if self.rounding > 1 else "hidden"


PROFILES: Mapping[str, Profile] = {
    each.name: each
    for each in (
        Profile("opensafely", 0, 7, 5, "counts of 7 or less are hidden, the others rounded to the nearest 5"),
        Profile("cms", 1, 10, 1, "counts of 1 to 10 are hidden, and what would give them away"),
        Profile("omop", 1, 4, 1, "counts below 5 are hidden, and what would give them away"),
    )
}
DEFAULT = "opensafely"


class Counts(NamedTuple):
    """Records a rule fired on, passed on, and could not be evaluated on."""

    fired: int = 0
    passed: int = 0
    open: int = 0

    @property
    def known(self) -> int:
        return self.fired + self.passed

    def __add__(self, other: object) -> Counts:
        assert isinstance(other, Counts)
        return Counts(self.fired + other.fired, self.passed + other.passed, self.open + other.open)


class Shown(NamedTuple):
    """What is published of counts; None is hidden."""

    fired: int | None
    known: int | None
    open: int | None

    @property
    def ratio(self) -> float | None:
        """From the published numbers alone."""
        if self.fired is None or not self.known:
            return None
        return self.fired / self.known


HIDDEN = Shown(None, None, None)


def alone(counts: Counts, profile: Profile) -> Shown:
    """Counts that are part of no sum."""
    if profile.rounding > 1:
        return Shown(*(_rounded(each, profile) for each in (counts.fired, counts.known, counts.open)))
    if any(profile.small(each) for each in counts):
        return HIDDEN
    return Shown(counts.fired, counts.known, counts.open)


def _rounded(count: int, profile: Profile) -> int | None:
    if profile.small(count):
        return None
    return (2 * count + profile.rounding) // (2 * profile.rounding) * profile.rounding


def settled(
    shown: Mapping[Name, int | None], sums: Iterable[tuple[Name, Sequence[Name]]], profile: Profile
) -> set[Name]:
    """The small numbers that rounded ones and what adds up to them leave a single value; all where these contradict.

    `sums`: numbers with their parts, which may be sums themselves; a part that is not in `shown` may be any number.
    By bounds, of one sum after the other: exact where no part is reached by two ways.
    """
    sums = list(sums)
    half = profile.rounding // 2
    low = {name: profile.least if each is None else max(each - half, profile.most + 1) for name, each in shown.items()}
    high = {name: profile.most if each is None else each + half for name, each in shown.items()}
    for free in (part for _, parts in sums for part in parts if part not in shown):
        low[free], high[free] = 0, sys.maxsize
    changed = True
    while changed:
        changed = False
        for name, parts in sums:
            least, most = sum(low[part] for part in parts), sum(high[part] for part in parts)
            found = [(name, max(low[name], least), min(high[name], most))]
            found += [
                (part, max(low[part], low[name] - most + high[part]), min(high[part], high[name] - least + low[part]))
                for part in parts
            ]
            for each, lower, upper in found:
                if lower > upper:
                    return set(low)
                changed |= (lower, upper) != (low[each], high[each])
                low[each], high[each] = lower, upper
    return {name for name in low if low[name] == high[name] and profile.small(low[name])}


def adding_up(rows: Mapping[str, Counts], profile: Profile, total_hidden: bool = False) -> dict[str, Shown]:
    """Rows whose sum is published with `alone`, or is not at all (`total_hidden`: then neither are they)."""
    total = Counts()
    for each in rows.values():
        total += each
    shown = {name: alone(each, profile) for name, each in rows.items()}
    if profile.rounding > 1:
        return shown
    if total_hidden or alone(total, profile) is HIDDEN:
        return {name: each if rows[name] == Counts() and not total_hidden else HIDDEN for name, each in shown.items()}
    hidden = [name for name, each in shown.items() if each is HIDDEN]
    left = sorted((name for name in rows if name not in hidden and any(rows[name])), key=lambda n: (sum(rows[n]), n))
    while hidden and left and not _together(hidden, rows, profile):
        hidden.append(left.pop(0))
    return {name: HIDDEN if name in set(hidden) else each for name, each in shown.items()}


def _together(hidden: list[str], rows: Mapping[str, Counts], profile: Profile) -> bool:
    total = Counts()
    for name in hidden:
        total += rows[name]
    return len(hidden) > 1 and not any(profile.small(each) for each in total)
