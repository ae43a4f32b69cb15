"""How many calls one client may make: a bucket that fills at a steady rate, one for each client or address."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from safety_service.gateway.problems import refused

_MOST_CALLERS = 10_000  # the one not seen for longest is forgotten: its bucket is full again by then, or nearly


@dataclass(slots=True)
class Rates:
    """`per_second` 0: no limit, but for clients that have one of their own."""

    per_second: float
    burst: int
    clock: Callable[[], float] = time.monotonic
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)  # calls left, and when

    def take(self, caller: str, per_second: float | None = None) -> None:
        """One call of a caller. Raises ProblemError 429 that says when the next one is answered."""
        rate = self.per_second if per_second is None else per_second
        if rate <= 0:
            return
        now = self.clock()
        left, before = self._left.pop(caller, (float(self.burst), now))
        left = min(float(self.burst), left + (now - before) * rate)
        if left < 1:
            self._left[caller] = left, now
            wait = math.ceil((1 - left) / rate)
            raise refused(429, "throttled", "too many calls of this client", headers={"Retry-After": str(wait)})
        self._left[caller] = left - 1, now
        if len(self._left) > _MOST_CALLERS:
            self._left.popitem(last=False)
