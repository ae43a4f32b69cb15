"""Two workers against one, with the load on the same two cores; and what batches cost the single checks beside them."""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from medsafety.v1 import medication_safety_service_pb2
from safety_service.demo import article_case
from tests.bench import echo
from tests.bench.figures import Figure, Goal, Row
from tests.bench.load import LoadError, stop

TWO = Goal(required=1.5, target=1.8)
SECONDS = 3
CONNECTIONS, STREAMS = 16, 4
_START_SECONDS = 60
_BATCH = "/medsafety.v1.MedicationSafetyService/BatchCheckPrescriptions"


def measure(rounds: int) -> list[Row]:
    """Raises LoadError."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))  # the load shares the cores of the workers
    try:
        with _serving(1) as one, _serving(2) as two, tempfile.NamedTemporaryFile() as body:
            message = article_case().SerializeToString()
            body.write(b"\0" + len(message).to_bytes(4, "big") + message)
            body.flush()
            for address in (one, two):
                _answered(address, body.name, 1)  # warm
            rates: list[tuple[float, float]] = []
            for n in range(rounds):
                order = (one, two) if n % 2 else (two, one)
                found = {address: _answered(address, body.name, SECONDS) for address in order}
                rates.append((found[one], found[two]))
            alone, beside = _beside_batches(one, rounds)
    finally:
        os.sched_setaffinity(0, mine)
    singles, doubles = [each[0] for each in rates], [each[1] for each in rates]
    return [
        Row("two workers / one, checks per second, load on the same cores", Figure.ratio(doubles, singles), "x", TWO),
        Row("  one worker", Figure.of(singles), "checks/s"),
        Row("  two workers", Figure.of(doubles), "checks/s"),
        Row("p99 of single checks alone, one worker", Figure.of(alone), "ms"),
        Row("  the same, while batches of 1,000 run without a pause", Figure.of(beside), "ms"),
    ]


@contextmanager
def _serving(workers: int) -> Iterator[str]:
    with tempfile.NamedTemporaryFile() as log:
        command = [sys.executable, "-m", "safety_service", "serve", "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(
            [*command, "--workers", str(workers)], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            if workers == 1:
                os.sched_setaffinity(process.pid, {0})  # pinned, as a worker is
            yield _address(process, Path(log.name), "serving" if workers == 1 else "supervising")
        finally:
            stop(process)


def _address(process: subprocess.Popen[bytes], log: Path, event: str) -> str:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        for line in log.read_text().splitlines():
            if f'"event":"{event}"' in line:
                return str(json.loads(line)["address"])
        time.sleep(0.05)
    raise LoadError(f"the server did not start:\n{log.read_text()[-2000:]}")


def _answered(address: str, body: str, seconds: int) -> float:
    """Answers per second. Raises LoadError when any call has another status than OK."""
    h2load = shutil.which("h2load")
    if h2load is None:
        raise LoadError("h2load was not found (Debian: the package nghttp2-client)")
    command = [h2load, "-t", "1", "-D", str(seconds), "-c", str(CONNECTIONS), "-m", str(STREAMS), "-d", body]
    command += ["-H", "content-type: application/grpc", "-H", "te: trailers", f"http://{address}/{echo.ECHO}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    rate = re.search(r"finished in [\d.]+s, ([\d.]+) req/s", done.stdout)
    failed = re.search(r"(\d+) failed, (\d+) errored", done.stdout)
    if rate is None or failed is None or failed.groups() != ("0", "0"):
        raise LoadError(f"not every call was answered:\n{done.stdout}{done.stderr}")
    return float(rate[1])


def _beside_batches(address: str, rounds: int) -> tuple[list[float], list[float]]:
    """p99 in ms of single checks one after the other: alone, and while large batches run."""
    request = article_case().SerializeToString()
    items = [article_case()] * 1000
    batch = medication_safety_service_pb2.BatchCheckPrescriptionsRequest(items=items).SerializeToString()
    stopping = threading.Event()
    running = threading.Event()

    def batches() -> None:
        with grpc.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
            ask: Any = channel.unary_unary(_BATCH)
            while not stopping.is_set():
                if running.wait(0.01):
                    ask(batch, timeout=60)

    thread = threading.Thread(target=batches)
    thread.start()
    alone: list[float] = []
    beside: list[float] = []
    try:
        with grpc.insecure_channel(address) as channel:
            ask: Any = channel.unary_unary(f"/{echo.ECHO}")
            for _ in range(rounds):
                running.clear()
                time.sleep(1)
                alone.append(_p99(ask, request))
                running.set()
                time.sleep(0.2)
                beside.append(_p99(ask, request))
    finally:
        stopping.set()
        running.set()
        thread.join()
    return alone, beside


def _p99(ask: Callable[..., bytes], request: bytes) -> float:
    times: list[float] = []
    for _ in range(300):
        began = time.perf_counter()
        ask(request, timeout=30)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.quantiles(times, n=100)[98]
