"""No small number is published, and none can be worked out from what is."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safety_service.audit.disclosure import HIDDEN, PROFILES, Counts, Profile, Shown, adding_up, alone, settled

EXACT = [each for each in PROFILES.values() if each.rounding == 1]
NUMBERS = st.one_of(st.integers(0, 14), st.integers(0, 60))
COUNTS = st.builds(Counts, NUMBERS, NUMBERS, NUMBERS)
TABLE = st.dictionaries(st.sampled_from("abcdefgh"), COUNTS, min_size=1)


@pytest.mark.parametrize(
    ("profile", "count", "shown"),
    [
        ("opensafely", 0, None), ("opensafely", 7, None), ("opensafely", 8, 10), ("opensafely", 12, 10),
        ("opensafely", 13, 15), ("cms", 0, 0), ("cms", 1, None), ("cms", 10, None), ("cms", 11, 11),
        ("omop", 0, 0), ("omop", 1, None), ("omop", 4, None), ("omop", 5, 5),
    ],
)  # fmt: skip
def test_the_profiles(profile: str, count: int, shown: int | None) -> None:
    assert alone(Counts(fired=count), PROFILES[profile]).fired == shown


def test_passes_that_are_few_are_not_told_by_a_difference() -> None:
    assert alone(Counts(100, 3, 0), PROFILES["cms"]) == HIDDEN


def test_a_row_that_a_total_would_give_away_takes_another_with_it() -> None:
    rows = {"a": Counts(3, 20), "b": Counts(15, 30), "c": Counts(40, 40)}
    shown = adding_up(rows, PROFILES["cms"])
    assert [name for name, each in shown.items() if each is HIDDEN] == ["a", "b"]


def test_rows_that_are_small_together_take_more() -> None:
    rows = {"a": Counts(2, 20), "b": Counts(3, 20), "c": Counts(40, 40), "d": Counts(50, 50)}
    shown = adding_up(rows, PROFILES["cms"])
    assert [name for name, each in shown.items() if each is HIDDEN] == ["a", "b", "c"]


def test_a_hidden_total_hides_what_adds_up_to_it() -> None:
    rows = {"a": Counts(30, 30), "b": Counts(20, 2)}
    assert set(adding_up(rows, PROFILES["cms"], total_hidden=True).values()) == {HIDDEN}


def published(total: Shown, tables: list[dict[str, Shown]], number: int) -> list[tuple[dict[str, int], int]]:
    """What a reader has as equations over unknowns `table/row/column`: (coefficients, result)."""
    equations = []
    for i, table in enumerate(tables):
        for row, shown in table.items():
            known = {f"{i}/{row}/0": 1, f"{i}/{row}/1": 1}
            for coefficients, value in (
                ({f"{i}/{row}/0": 1}, shown.fired), (known, shown.known), ({f"{i}/{row}/2": 1}, shown.open)
            ):  # fmt: skip
                if value is not None:
                    equations.append((coefficients, value))
        for columns, value in (((0,), total.fired), ((0, 1), total.known), ((2,), total.open)):
            if value is not None:
                equations.append(({f"{i}/{row}/{c}": 1 for row in table for c in columns}, value))
    for c in range(3):  # all tables add up to the same, whether it is shown or not
        for i in range(1, number):
            same = {f"0/{row}/{c}": 1 for row in tables[0]} | {f"{i}/{row}/{c}": -1 for row in tables[i]}
            equations.append((same, 0))
    return equations


def solved(equations: list[tuple[dict[str, int], int]], unknowns: list[str]) -> dict[str, Fraction]:
    """The unknowns that the equations settle (Gauss, exact)."""
    rows = [[Fraction(c.get(name, 0)) for name in unknowns] + [Fraction(value)] for c, value in equations]
    done: list[list[Fraction]] = []
    for column in range(len(unknowns)):
        pivot = next((row for row in rows if row[column]), None)
        if pivot is None:
            continue
        rows.remove(pivot)
        pivot = [each / pivot[column] for each in pivot]
        rows = [[a - row[column] * b for a, b in zip(row, pivot, strict=True)] if row[column] else row for row in rows]
        done = [[a - row[column] * b for a, b in zip(row, pivot, strict=True)] for row in done]
        done.append(pivot)
    found = {}
    for row in done:
        named = [name for name, each in zip(unknowns, row[:-1], strict=True) if each]
        if len(named) == 1:
            found[named[0]] = row[-1]
    return found


@given(st.sampled_from(EXACT), TABLE, st.integers(0, 3), st.randoms(use_true_random=False))
def test_no_small_number_follows_from_all_that_is_published(
    profile: Profile, rows: dict[str, Counts], cuts: int, random: object
) -> None:
    """Two tables of the same records, by different units, with their common total: all equations solved together."""
    other: dict[str, Counts] = {}
    for i, each in enumerate(rows.values()):
        name = "xyz"[(i + cuts) % 3]
        other[name] = other.get(name, Counts()) + each
    total = Counts()
    for each in rows.values():
        total += each
    shown_total = alone(total, profile)
    tables = [adding_up(each, profile, total_hidden=shown_total is HIDDEN) for each in (rows, other)]
    unknowns = [f"{i}/{row}/{c}" for i, table in enumerate((rows, other)) for row in table for c in range(3)]
    known = solved(published(shown_total, tables, 2), unknowns)
    for name, value in known.items():
        at, row, column = name.split("/")
        truth = (rows, other)[int(at)][row][int(column)]
        assert value == truth
        assert not profile.small(truth), (name, truth)
    for table, shown in zip((rows, other), tables, strict=True):
        hidden = [table[row] for row, each in shown.items() if each is HIDDEN]
        if hidden and shown_total is not HIDDEN:
            together = Counts()
            for each in hidden:
                together += each
            assert not any(profile.small(each) for each in together)
        assert adding_up(table, profile, shown_total is HIDDEN) == shown


@given(TABLE)
def test_rounded_numbers_leave_a_small_one_open(rows: dict[str, Counts]) -> None:
    """Each hidden count could be at least two numbers, by its total and by the rows beside it."""
    profile = PROFILES["opensafely"]
    total = Counts()
    for each in rows.values():
        total += each
    shown_total, shown = alone(total, profile), adding_up(rows, profile)
    for column in range(3):
        for name in rows:
            if shown[name][column] is not None:
                assert shown[name][column] % 5 == 0  # type: ignore[operator]
                assert shown[name][column] >= 10  # type: ignore[operator]
                continue
            if shown_total[column] is None:
                continue
            low, high = shown_total[column] - 2, shown_total[column] + 2  # type: ignore[operator]
            for other in set(rows) - {name}:
                said = shown[other][column]
                low -= 7 if said is None else said + 2
                high -= 0 if said is None else said - 2
            assert min(high, 7) - max(low, 0) >= 1


@given(st.lists(st.sampled_from((0, 1, 7, 8, 9, 12)), min_size=2, max_size=4), st.integers(1, 3))
def test_what_rounded_sums_settle_is_what_trying_all_numbers_finds(truth: list[int], cut: int) -> None:
    """A sum of the first parts, and of all: against all the numbers that round to what is shown."""
    profile = PROFILES["opensafely"]

    def rounded(number: int) -> int | None:
        return alone(Counts(number), profile).fired

    names = "abcd"[: len(truth)]
    shown = {**dict(zip(names, map(rounded, truth), strict=True)), "first": rounded(sum(truth[:cut]))}
    shown["all"] = rounded(sum(truth))
    told = [[each for each in range(15) if rounded(each) == shown[name]] for name in names]
    could = [
        each for each in product(*told)
        if rounded(sum(each[:cut])) == shown["first"] and rounded(sum(each)) == shown["all"]
    ]  # fmt: skip
    numbers = {**dict(zip(names, zip(*could, strict=True), strict=True)), "first": [sum(each[:cut]) for each in could]}
    one = {name for name, each in numbers.items() if shown[name] is None and len(set(each)) == 1}
    assert settled(shown, [("first", names[:cut]), ("all", ["first", *names[cut:]])], profile) - {"all"} == one


@given(st.sampled_from(list(PROFILES.values())), TABLE)
def test_what_is_published_can_be_put_through_the_profile_again(profile: Profile, rows: dict[str, Counts]) -> None:
    for each in adding_up(rows, profile).values():
        for number in each:
            assert number is None or alone(Counts(number), profile).fired == number
