"""The fold's own functions over a table of whole numbers: as they are, or compiled by numba. Nothing is written twice.

Rows stand by patient, start and record; what is answered for each follows from the rows before it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from safety_service.engine import fold
from safety_service.engine.fold import (
    CHAIN,
    CHAINS,
    COUNT,
    EXPOSURE,
    EXPOSURES,
    IN_CLASS,
    LAST_START,
    MOST_CHAINS,
    NONE,
    OBSERVED,
    OVERLAPPED,
    clear,
    expose,
    observe,
    overlaps,
    supply,
)

WIDTH = OBSERVED + OVERLAPPED
LAST_ROW = 2  # start and record of it
ROOM = 64  # exposures of a patient that are kept: those long past make room
Ints = npt.NDArray[np.int64]
States = npt.NDArray[np.int32]  # the states of patients, one behind the other: all numbers of the fold fit


def run(
    patient: Any, start: Any, days: Any, key: Any, bits: Any, chain: Any, record: Any,
    gap: int, state: Any, out: Any, kept: Any, at: Any, left: Any, left_at: Any,
) -> int:  # fmt: skip
    """What the fold says of each relaxant (`chain` >= 0) put in `out`, `WIDTH` numbers to a row.

    `at`: of each patient where in `kept` the state is that earlier rows left; below 0, or no `at`: there is none.
    The states that these rows leave are put in `left`, from where `left_at` is told, if it has room; returns their end.
    """
    n = -1
    end = 0
    for i in range(len(patient)):
        if i == 0 or patient[i] != patient[i - 1]:
            n += 1
            clear(state, 0, ROOM)
            if len(at) > 0 and at[n] >= 0:
                take_up(state, kept, at[n])
        begin = start[i]
        until = begin + days[i]
        if chain[i] >= 0:
            row = i * WIDTH
            observe(state, 0, chain[i], key[i], begin, days[i], days[i], IN_CLASS, gap, out, row)
            overlaps(state, 0, key[i], 0, begin, until, until, 1, 2, 0, out, row + OBSERVED)
        expose(state, 0, key[i], bits[i], bits[i], record[i], begin, until, begin, until, begin)
        if chain[i] >= 0:
            supply(state, 0, chain[i], record[i], begin, days[i], days[i], IN_CLASS, gap)
        if len(left_at) > 0 and (i + 1 == len(patient) or patient[i + 1] != patient[i]):
            left_at[n] = end
            end = put_by(state, left, end, begin, record[i])
    return end


def put_by(state: Any, left: Any, to: int, start: int, record: int) -> int:
    """Copies what is in use of a state to `left`, behind the last row that it knows; returns where it ends there."""
    left[to] = start
    left[to + 1] = record
    to += LAST_ROW
    for i in range(CHAINS):
        left[to + i] = state[i]
    to += CHAINS
    used = to
    left[used] = 0
    to += 1
    for chain in range(MOST_CHAINS):
        c = CHAINS + chain * CHAIN
        if state[c + LAST_START] != NONE:
            left[used] |= 1 << chain
            for i in range(CHAIN):
                left[to + i] = state[c + i]
            to += CHAIN
    exposures = state[COUNT] * EXPOSURE
    for i in range(exposures):
        left[to + i] = state[EXPOSURES + i]
    to += exposures
    return to


def take_up(state: Any, kept: Any, at: int) -> None:
    """The inverse of `put_by`, into a cleared state."""
    at += LAST_ROW
    for i in range(CHAINS):
        state[i] = kept[at + i]
    at += CHAINS
    used = kept[at]
    at += 1
    for chain in range(MOST_CHAINS):
        if used & 1 << chain:
            for i in range(CHAIN):
                state[CHAINS + chain * CHAIN + i] = kept[at + i]
            at += CHAIN
    for i in range(state[COUNT] * EXPOSURE):
        state[EXPOSURES + i] = kept[at + i]


@cache
def compiled() -> Callable[..., int]:
    """`run` and every function of the fold, compiled as they stand."""
    import numba

    scope: dict[str, Any] = {"WIDTH": WIDTH, "ROOM": ROOM, "LAST_ROW": LAST_ROW}
    assert not set(scope) & set(vars(fold))
    exec(compile(inspect.getsource(fold), "fold", "exec"), scope)
    for each in (put_by, take_up, run):
        exec(compile("from __future__ import annotations\n" + inspect.getsource(each), "run", "exec"), scope)
    for name, made in list(scope.items()):
        if inspect.isfunction(made):
            scope[name] = numba.njit(nogil=True)(made)
    found: Callable[..., int] = scope["run"]
    return found


_NO_STATES = np.zeros(0, dtype=np.int32)
_NOWHERE = np.zeros(0, dtype=np.int64)


def answers(table: dict[str, Ints], gap: int, how: Callable[..., int]) -> Ints:
    """Rows by `WIDTH`; zeros for what is no relaxant."""
    return folded(table, gap, how, _NO_STATES, _NOWHERE, leave=False)[0]


def folded(
    table: dict[str, Ints], gap: int, how: Callable[..., int], kept: States, at: Ints, leave: bool = True
) -> tuple[Ints, States, Ints]:
    """Rows by `WIDTH`, onto the states that are kept; the states these leave, and where that of each patient begins."""
    columns = [table[name] for name in ("patient", "start", "days", "key", "bits", "chain")]
    rows = len(columns[0])
    columns.append(table["record"] if "record" in table else np.arange(rows))
    patients = np.count_nonzero(np.diff(columns[0], prepend=-1)) if leave else 0
    left_at = np.zeros(patients, dtype=np.int64)
    left = np.empty(patients * (LAST_ROW + 1 + fold.size(ROOM)), dtype=np.int32)
    out = np.zeros(rows * WIDTH, dtype=np.int64)
    state = np.zeros(fold.size(ROOM), dtype=np.int64)
    if how is not run:
        end = how(*columns, gap, state, out, kept, at, left, left_at)
        return out.reshape(-1, WIDTH), left[:end], left_at
    lists = [each.tolist() for each in (out, left, left_at)]
    said, states, places = lists
    end = how(*(each.tolist() for each in columns), gap, state.tolist(), said, kept, at.tolist(), states, places)
    return np.array(said).reshape(-1, WIDTH), np.array(states[:end], dtype=np.int32), np.array(places, dtype=np.int64)


def made(rows: int, seed: int) -> dict[str, Ints]:
    """Made-up supplies: five relaxants, an opioid and a benzodiazepine; early, late, on one day, twice."""
    rng = np.random.default_rng(seed)
    patient = np.sort(rng.integers(0, max(rows // 7, 1), rows))
    start = rng.integers(0, 700, rows)
    close = rng.random(rows) < 0.5
    start[close] = start[close] // 14 * 14 + rng.integers(0, 3, int(close.sum()))
    order = np.lexsort((start, patient))
    patient, start = patient[order], start[order]
    key = rng.choice(7, rows, p=(0.3, 0.15, 0.1, 0.05, 0.05, 0.2, 0.15))
    return {
        "patient": patient,
        "start": start + 19_000,
        "days": rng.choice((1, 5, 7, 10, 14, 21, 28, 30, 90), rows),
        "key": key,
        "bits": np.where(key == 5, 1, np.where(key == 6, 2, 0)),
        "chain": np.where(key < 5, key, -1),
    }
