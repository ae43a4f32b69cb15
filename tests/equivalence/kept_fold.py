"""New rows of a night folded onto what the fold kept of all earlier ones, which are not read again.

`states` holds the states of patients, one behind the other; what a night leaves is added at its end. `places.npy` tells
of each patient (whole numbers from 0) where the last state begins, and behind them where the states end. It is replaced
as the last thing: a night that was stopped has changed nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.equivalence.compiled_fold import Ints, States, folded

_SIZE = np.dtype(np.int32).itemsize


class LateRowsError(Exception):
    """Rows that stand before one that was folded already: the state of their patients cannot take them in."""

    def __init__(self, patients: Ints) -> None:
        super().__init__(f"rows before the last known one of {len(patients)} patients")
        self.patients = patients


def fold_onto(folder: Path, rows: dict[str, Ints], gap: int, how: Callable[..., int], anew: Ints | None = None) -> Ints:
    """What the fold says of new rows, which stand by patient, start and record; keeps the states they leave.

    Raises LateRowsError, and keeps nothing, where a row belongs before one that was folded earlier. The patients it
    names are to be given as `anew`, with all their rows among `rows`: their old state is left aside.
    """
    states, places = _opened(folder)
    first = np.flatnonzero(np.diff(rows["patient"], prepend=-1))
    patients = rows["patient"][first]
    at = np.full(len(patients), -1, dtype=np.int64)
    known = patients < len(places) - 1
    at[known] = places[patients[known]]
    if anew is not None:
        at[np.isin(patients, anew)] = -1
    had = np.flatnonzero(at >= 0)
    start, record = states[at[had]], states[at[had] + 1]
    new_start, new_record = rows["start"][first[had]], rows["record"][first[had]]
    late = (new_start < start) | ((new_start == start) & (new_record < record))
    if late.any():
        raise LateRowsError(patients[had[late]])
    out, left, left_at = folded(rows, gap, how, states, at)
    end = int(places[-1])
    grown = np.full(max(len(places), int(patients[-1]) + 2) if len(patients) else len(places), -1, dtype=np.int64)
    grown[: len(places) - 1] = places[:-1]
    grown[patients] = end + left_at
    grown[-1] = end + len(left)
    _keep(folder, left, end, grown)
    return out


def _opened(folder: Path) -> tuple[States, Ints]:
    """The states, read as they are needed, and their places."""
    path = folder / "places.npy"
    if not path.exists():
        return np.zeros(0, dtype=np.int32), np.zeros(1, dtype=np.int64)
    # never written to; mapped so that it can be, because a kernel is compiled apart for what cannot
    return np.asarray(np.memmap(folder / "states", np.int32, mode="c")), np.load(path)


def _keep(folder: Path, left: States, end: int, places: Ints) -> None:
    folder.mkdir(exist_ok=True)
    with (folder / "states").open("r+b" if end else "wb") as file:
        file.seek(end * _SIZE)
        file.write(left.data)
        file.truncate()
        os.fsync(file.fileno())
    unfinished = folder / "places.partial"
    with unfinished.open("wb") as file:
        np.save(file, places)
        os.fsync(file.fileno())
    unfinished.replace(folder / "places.npy")
