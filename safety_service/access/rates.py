"""How often each caller may ask: a bucket of tokens for each, told by one number."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

_MOST: Final = 100_000  # callers remembered; those whose bucket is full again are forgotten first, then the oldest


class Rates:
    """`per_second` requests of each caller in the long run, and up to `burst` at once. 0 per second: no limit.

    A bucket is the moment at which it will be full. Who still has a request left may send a batch, however long; its
    items are owed, and later requests wait until they are paid.
    """

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = 1 / per_second if per_second else 0.0
        self._slack = (burst - 1) * self._interval
        self._clock = clock
        self._full_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def take(self, name: str) -> float:
        """Take one request. Returns 0, or the seconds to wait when there is none; then nothing was taken."""
        if not self._interval:
            return 0.0
        now = self._clock()
        with self._lock:
            full_at = max(self._full_at.get(name, now), now)
            wait = full_at - now - self._slack
            if wait > 1e-9:
                return wait
            self._full_at[name] = full_at + self._interval
            if len(self._full_at) > _MOST:
                self._forget(now)
        return 0.0

    def owe(self, name: str, count: int) -> None:
        """Take `count` more, there or not."""
        if self._interval and count > 0:
            now = self._clock()
            with self._lock:
                self._full_at[name] = max(self._full_at.get(name, now), now) + count * self._interval

    def _forget(self, now: float) -> None:
        self._full_at = {name: full_at for name, full_at in self._full_at.items() if full_at > now}
        if len(self._full_at) > _MOST:
            for name in list(self._full_at)[: _MOST // 4]:  # many at once, since this takes long
                del self._full_at[name]
