"""What Prometheus is told of all workers: their own counts added up, and how their processes are."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from safety_service.server.metrics import CannotMeasureError
from safety_service.supervisor.messages import State

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

_PAGE_BYTES, _TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")


@dataclass(slots=True, eq=False)
class Whole:
    """The last that the supervisor told."""

    state: State = field(default_factory=State)

    def collect(self) -> Iterable[Metric]:
        """For prometheus_client, at each time of asking."""
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

        state = self.state
        yield GaugeMetricFamily("medsafety_workers_serving", "Workers that answer.", len(state.serving))
        memory = GaugeMetricFamily("medsafety_worker_resident_bytes", "Memory of a worker.", labels=["worker"])
        cpu = CounterMetricFamily("medsafety_worker_cpu_seconds", "CPU time of a worker's process.", labels=["worker"])
        for number, pid in state.serving:
            with suppress(OSError):
                folder = Path(f"/proc/{pid}")
                resident = int((folder / "statm").read_text().split()[1]) * _PAGE_BYTES
                fields = (folder / "stat").read_text().rpartition(") ")[2].split()
                memory.add_metric([str(number)], resident)
                cpu.add_metric([str(number)], (int(fields[11]) + int(fields[12])) / _TICKS)
        yield memory
        yield cpu
        for name, meaning, value in (
            ("medsafety_worker_deaths", "Processes that ended without being told to.", state.deaths),
            ("medsafety_workers_replaced", "Workers replaced by a restart or because they were spent.", state.replaced),
            ("medsafety_reloads", "Times that new knowledge or policy was taken up.", state.reloads),
            ("medsafety_reloads_refused", "Times that it was refused and the old one kept.", state.reloads_refused),
        ):
            yield CounterMetricFamily(name, meaning, value)


def registry_of(folder: Path, whole: Whole) -> CollectorRegistry:
    """What the workers count in `folder`, and the whole. Raises CannotMeasureError."""
    try:
        from prometheus_client import CollectorRegistry
        from prometheus_client.multiprocess import MultiProcessCollector
    except ModuleNotFoundError:
        raise CannotMeasureError("metrics need the extra [metrics]: prometheus_client is not installed") from None
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    registry.register(whole)
    return registry
