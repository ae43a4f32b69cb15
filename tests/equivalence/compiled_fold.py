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
from safety_service.engine.fold import IN_CLASS, OBSERVED, OVERLAPPED, clear, expose, observe, overlaps, supply

WIDTH = OBSERVED + OVERLAPPED
ROOM = 64  # exposures of a patient that are kept: those long past make room
Ints = npt.NDArray[np.int64]


def run(patient: Any, start: Any, days: Any, key: Any, bits: Any, chain: Any, gap: int, state: Any, out: Any) -> None:
    """What the fold says of each relaxant (`chain` >= 0) put in `out`, `WIDTH` numbers to a row."""
    for i in range(len(patient)):
        if i == 0 or patient[i] != patient[i - 1]:
            clear(state, 0, ROOM)
        begin = start[i]
        end = begin + days[i]
        if chain[i] >= 0:
            row = i * WIDTH
            observe(state, 0, chain[i], key[i], begin, days[i], days[i], IN_CLASS, gap, out, row)
            overlaps(state, 0, key[i], 0, begin, end, end, 1, 2, 0, out, row + OBSERVED)
        expose(state, 0, key[i], bits[i], bits[i], i, begin, end, begin, end, begin)
        if chain[i] >= 0:
            supply(state, 0, chain[i], i, begin, days[i], days[i], IN_CLASS, gap)


@cache
def compiled() -> Callable[..., None]:
    """`run` and every function of the fold, compiled as they stand."""
    import numba

    scope: dict[str, Any] = {"WIDTH": WIDTH, "ROOM": ROOM}
    assert not set(scope) & set(vars(fold))
    exec(compile(inspect.getsource(fold), "fold", "exec"), scope)
    exec(compile("from __future__ import annotations\n" + inspect.getsource(run), "run", "exec"), scope)
    for name, each in list(scope.items()):
        if inspect.isfunction(each):
            scope[name] = numba.njit(nogil=True)(each)
    found: Callable[..., None] = scope["run"]
    return found


def answers(table: dict[str, Ints], gap: int, how: Callable[..., None]) -> Ints:
    """Rows by `WIDTH`; zeros for what is no relaxant."""
    columns = [table[name] for name in ("patient", "start", "days", "key", "bits", "chain")]
    if how is run:
        out: list[int] = [0] * (len(columns[0]) * WIDTH)
        how(*(each.tolist() for each in columns), gap, [0] * fold.size(ROOM), out)
        return np.array(out, dtype=np.int64).reshape(-1, WIDTH)
    filled = np.zeros(len(columns[0]) * WIDTH, dtype=np.int64)
    how(*columns, gap, np.zeros(fold.size(ROOM), dtype=np.int64), filled)
    return filled.reshape(-1, WIDTH)


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
