"""Made-up records have what tests and benchmarks need of them: refills that repeat, come early and late, ties, gaps."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from safety_service.audit.synth import REPEATED, Plan, medications, write
from safety_service.knowledge.knowledge import Knowledge

PLAN = Plan(20_000, seed=11)
SIG = ("days_supply", "quantity", "refills", "dose", "times", "as_needed", "route")


@pytest.fixture(scope="module")
def rows(knowledge: Knowledge) -> list[dict[str, Any]]:
    made = pa.concat_tables(medications(knowledge, PLAN)).to_pylist()
    assert len(made) == PLAN.rows
    return [each | {"start": each["ordered_on"] or each["dispensed_on"]} for each in made]


@pytest.fixture(scope="module")
def refills(rows: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any], int]]:
    """Fills of one drug of one patient in turn, with the days free between them (below 0 of an early one)."""
    last: dict[tuple[str, str], dict[str, Any]] = {}
    found = []
    for row in rows:
        before = last.get((row["patient_id"], row["drug_name"]))
        if before is not None and before["days_supply"] is not None:
            free = (row["start"] - before["start"]).days - before["days_supply"]
            if abs(free) <= 40:  # else another course
                found.append((before, row, free))
        last[row["patient_id"], row["drug_name"]] = row
    assert len(found) > PLAN.rows / 2
    return found


def test_most_refills_repeat_the_fill_before_them(refills: list[tuple[dict[str, Any], dict[str, Any], int]]) -> None:
    repeated = sum(all(one[name] == other[name] for name in SIG) for one, other, _ in refills)
    assert repeated / len(refills) == pytest.approx(REPEATED, abs=0.02)
    assert REPEATED == 0.85


def test_refills_come_early_in_time_and_late(refills: list[tuple[dict[str, Any], dict[str, Any], int]]) -> None:
    free = Counter(days for _, _, days in refills)
    share = {
        "more than a week early": sum(n for days, n in free.items() if days < -7),
        "early": sum(n for days, n in free.items() if days < 0),
        "on the day": free[0],
        "late, within the gap": sum(n for days, n in free.items() if 0 < days <= 7),
        "after a gap": sum(n for days, n in free.items() if days > 7),
    }
    told = {name: round(n / len(refills), 2) for name, n in share.items()}
    # of 18 gaps to draw from; supplies shorter than an early refill is early come on one day
    assert told["more than a week early"] == pytest.approx(2 / 18, abs=0.03)
    assert told["early"] == pytest.approx(5 / 18, abs=0.03)
    assert told["on the day"] == pytest.approx(4 / 18, abs=0.03)
    assert told["late, within the gap"] == pytest.approx(5 / 18, abs=0.03)
    assert told["after a gap"] == pytest.approx(4 / 18, abs=0.03)
    assert {-8, -7, 7, 8} <= free.keys()  # both sides of the gap and of an early refill


def test_patients_have_ties_overlaps_and_missing_values(rows: list[dict[str, Any]]) -> None:
    ties = overlaps = 0
    for one, other in pairwise(rows):
        if one["patient_id"] == other["patient_id"]:
            ties += one["start"] == other["start"]
            if one["drug_name"] != other["drug_name"] and one["days_supply"] is not None:
                overlaps += (other["start"] - one["start"]).days < one["days_supply"]
    assert ties / len(rows) > 0.01
    assert overlaps / len(rows) > 0.05
    missing = {name: sum(each[name] in (None, "") for each in rows) / len(rows) for name in SIG}
    expected = {"days_supply": 0.05, "quantity": 0.2, "times": 0.1, "as_needed": 0.2, "route": 0.9}
    assert {name: missing[name] for name in expected} == pytest.approx(expected, abs=0.02)
    assert max(Counter(each["patient_id"] for each in rows).values()) > 60  # a few have very many


def test_broken_rows_are_as_many_as_asked_for(knowledge: Knowledge, tmp_path: Path) -> None:
    plain, broken = replace(PLAN, rows=4_000), replace(PLAN, rows=4_000, broken=0.05)
    lines = []
    for name, plan in (("plain", plain), ("broken", broken)):
        lines.append(write(knowledge, plan, tmp_path / name, "csv")[0].read_bytes().split(b"\n"))
    changed = set(lines[1]) - set(lines[0])
    assert len(changed) / 4_000 == pytest.approx(0.05, abs=0.015)
