"""A night onto what was kept says, number by number, what one run over everything says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.equivalence.compiled_fold import Ints, answers, compiled, made, run
from tests.equivalence.kept_fold import LateRowsError, fold_onto

GAP = 7
Rows = dict[str, Ints]


def everything(rows: int, seed: int) -> Rows:
    return {**made(rows, seed), "record": np.arange(rows)}


def some(table: Rows, at: npt.NDArray[Any]) -> Rows:
    return {name: each[at] for name, each in table.items()}


@pytest.mark.parametrize(
    ("rows", "how"), [(3_000, run), (60_000, compiled), pytest.param(3_000_000, compiled, marks=pytest.mark.long)]
)
def test_nights_one_after_the_other_say_what_one_run_says(rows: int, how: object, tmp_path: Path, seed: int) -> None:
    """Patients who were there, who stay away, and who are new; many rows of one patient in one night."""
    table = everything(rows, seed)
    kernel = compiled() if how is compiled else run
    whole = answers(table, GAP, kernel)
    nights = np.quantile(table["start"], [0, 0.7, 0.8, 0.8, 0.9, 1])  # one of them is empty
    came = np.searchsorted(nights[1:-1], table["start"], side="right")
    for night in range(len(nights) - 1):
        at = came == night
        np.testing.assert_array_equal(fold_onto(tmp_path, some(table, at), GAP, kernel), whole[at])
    said = whole[table["chain"] >= 0]
    assert (said != 0).any(axis=0).sum() > 10


@pytest.mark.parametrize("same_day", [False, True])
def test_a_row_before_a_known_one_is_refused_and_its_patient_folded_anew(
    same_day: bool, tmp_path: Path, seed: int
) -> None:
    table = everything(20_000, seed)
    kernel = compiled()
    whole = answers(table, GAP, kernel)
    patient, start = table["patient"], table["start"]
    goes_on = np.append((patient[1:] == patient[:-1]) & ((start[1:] == start[:-1]) == same_day), False)
    late = goes_on & (np.arange(len(start)) % 5 == 0)  # each has a later row, on the same day or after it
    newest = np.append(patient[1:] != patient[:-1], True) & (patient % 3 == 0) & ~np.isin(patient, patient[late])
    new = late | newest
    fold_onto(tmp_path, some(table, ~new), GAP, kernel)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(LateRowsError) as refused:
        fold_onto(tmp_path, some(table, new), GAP, kernel)
    np.testing.assert_array_equal(refused.value.patients, np.unique(patient[late]))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    again = new | np.isin(patient, refused.value.patients)
    found = fold_onto(tmp_path, some(table, again), GAP, kernel, refused.value.patients)
    np.testing.assert_array_equal(found, whole[again])
    after = {"start": start + 800, "record": table["record"] + len(start)}  # another night onto it
    both = {name: np.concatenate([each, after.get(name, each)]) for name, each in table.items()}
    both = some(both, np.lexsort((both["record"], both["start"], both["patient"])))
    last = both["record"] >= len(start)
    found = fold_onto(tmp_path, some(both, last), GAP, kernel)
    np.testing.assert_array_equal(found, answers(both, GAP, kernel)[last])


def test_a_night_that_was_stopped_has_changed_nothing(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = everything(3_000, seed)
    whole = answers(table, GAP, run)
    new = table["start"] > np.quantile(table["start"], 0.9)
    fold_onto(tmp_path, some(table, ~new), GAP, run)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "save", stopped)
    with pytest.raises(KeyboardInterrupt):
        fold_onto(tmp_path, some(table, new), GAP, run)
    monkeypatch.undo()
    np.testing.assert_array_equal(fold_onto(tmp_path, some(table, new), GAP, run), whole[new])
