"""CPU seconds of several ways to do one thing, in turn, so that a slow minute of the machine slows them all."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence

PASS_SECONDS = 0.02


def interleaved(passes: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """CPU seconds of one pass, for each way and round. Who begins changes with the round, and short passes repeat."""
    repeats = []
    for each in passes:
        each()
        repeats.append(max(1, round(PASS_SECONDS / max(_seconds(each, 1), 1e-9))))
    times: list[list[float]] = [[] for _ in passes]
    gc.collect()
    gc.disable()
    try:
        for n in range(rounds):
            for i in range(len(passes)):
                at = (i + n) % len(passes)
                times[at].append(_seconds(passes[at], repeats[at]))
    finally:
        gc.enable()
    return times


def _seconds(once: Callable[[], object], repeats: int) -> float:
    began = time.process_time()
    for _ in range(repeats):
        once()
    return (time.process_time() - began) / repeats
