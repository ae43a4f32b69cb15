"""How many calls one client may make: the buckets of `access`, with the answer that says when the next one is taken."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from safety_service.access.rates import Rates
from safety_service.gateway.problems import refused


@dataclass(slots=True)
class CallRates:
    """`per_second` 0: no limit, but for clients that have one of their own."""

    per_second: float
    burst: int
    clock: Callable[[], float] = time.monotonic
    _by_rate: dict[float, Rates] = field(default_factory=dict)  # as many as the clients file has numbers

    def take(self, caller: str, per_second: float | None = None) -> None:
        """One call of a caller. Raises ProblemError 429 that says when the next one is answered."""
        rate = self.per_second if per_second is None else per_second
        if rate not in self._by_rate:
            self._by_rate[rate] = Rates(rate, self.burst, self.clock)
        wait = self._by_rate[rate].take(caller)
        if wait:
            headers = {"Retry-After": str(math.ceil(wait))}
            raise refused(429, "throttled", "too many calls of this client", headers=headers)
