"""Numbers for Prometheus: how many calls ended how, how long they took, what was decided. Nothing of patient or caller.

Children are made once, so that a call only adds. Under a supervisor each worker adds to files of its own in a folder
that the admin process reads; numbers of workers that have gone stay in the sums.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from google.rpc import code_pb2

from safety_service.domain import Overall
from safety_service.server.errors import CODE_NAMES
from safety_service.server.handlers import Tally

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Histogram

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # as prometheus_client reads it, when it is first imported
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


_LIKELY = [
    (code, CODE_NAMES[code])
    for code in (
        code_pb2.OK,
        code_pb2.INVALID_ARGUMENT,
        code_pb2.RESOURCE_EXHAUSTED,
        code_pb2.UNAVAILABLE,
        code_pb2.INTERNAL,
    )
]


class CannotMeasureError(Exception):
    """The package is missing, or the address cannot be served on."""


class _Calls(dict[tuple[str, int], "Counter"]):
    """By method and code; what was not foreseen is made when it is first asked for."""

    def __init__(self, family: Counter, methods: Sequence[str]) -> None:
        super().__init__({(name, code): family.labels(name, text) for name in methods for code, text in _LIKELY})
        self._family = family

    def __missing__(self, key: tuple[str, int]) -> Counter:
        self[key] = made = self._family.labels(key[0], CODE_NAMES[key[1]])
        return made


class _Seconds(dict[str, "Histogram"]):
    """By method."""

    def __init__(self, family: Histogram, methods: Sequence[str]) -> None:
        super().__init__({name: family.labels(name) for name in methods})
        self._family = family

    def __missing__(self, method: str) -> Histogram:
        self[method] = made = self._family.labels(method)
        return made


@dataclass(frozen=True, slots=True)
class Meter:
    """Adds calls."""

    calls: _Calls
    seconds: _Seconds
    overall: dict[str, Counter]
    answers: Counter
    errors: Counter
    alerts: Counter

    def call(self, method: str, code: int, spent_us: int, tally: Tally) -> None:
        """A call that has ended."""
        self.calls[method, code].inc()
        self.seconds[method].observe(spent_us / 1e6)
        if tally.answers:
            self.answers.inc(tally.answers)
            self.alerts.inc(tally.alerts)
            if tally.answers == 1:
                self.overall[tally.overall].inc()
        if tally.errors:
            self.errors.inc(tally.errors)


def gather_in(folder: Path) -> None:
    """Let this process, and those it starts, add to files in `folder`. To be called before anything is measured."""
    os.environ[FOLDER] = str(folder)


def open_meter(methods: Sequence[str]) -> tuple[Meter, CollectorRegistry]:
    """All children at zero, so that a rate is known from the first call on. Raises CannotMeasureError."""
    try:
        from prometheus_client import CollectorRegistry, Counter, Histogram
    except ModuleNotFoundError:
        raise CannotMeasureError("metrics need the extra [metrics]: prometheus_client is not installed") from None
    registry = CollectorRegistry()
    calls = Counter("medsafety_calls", "Calls that have ended.", ("method", "code"), registry=registry)
    seconds = Histogram(
        "medsafety_call_seconds",
        "Time in the service for one call; of a stream, as long as it is open.",
        ("method",),
        buckets=SECONDS,
        registry=registry,
    )
    overall = Counter(
        "medsafety_overall", "Answers to single checks, by what they say.", ("overall",), registry=registry
    )
    return (
        Meter(
            calls=_Calls(calls, methods),
            seconds=_Seconds(seconds, methods),
            overall={each.name: overall.labels(each.name) for each in Overall},
            answers=Counter("medsafety_answers", "Prescriptions that were answered.", registry=registry),
            errors=Counter(
                "medsafety_item_errors", "Items of batches and streams that were refused.", registry=registry
            ),
            alerts=Counter("medsafety_alerts", "Alerts in the answers.", registry=registry),
        ),
        registry,
    )


def serve_metrics(listen: str, registry: CollectorRegistry) -> tuple[str, Callable[[], None]]:
    """Tell the numbers at http://`listen`/metrics: the address with its port, and how to stop.

    Raises CannotMeasureError.
    """
    from prometheus_client import start_http_server

    host, _, port = listen.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), registry)
    except (OSError, OverflowError, ValueError) as error:
        raise CannotMeasureError(f"cannot serve metrics on {listen}: {error}") from None

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return f"{host}:{server.server_port}", stop
