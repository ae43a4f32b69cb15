"""Servers in processes of their own, bounded loads on them, and the CPU they take."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SERVER_CORE, LOAD_CORE = 0, 1
_START_SECONDS = 90
_LOAD_SECONDS = 60
_STOP_SECONDS = 15
# As `python -m`, but with our `tests`: an installed package (textstat) brings one of its own, which would hide it.
_OURS = f"""
import runpy, sys, types
tests = sys.modules["tests"] = types.ModuleType("tests")
tests.__path__ = [{str(Path(__file__).parents[1])!r}]
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
_SERVING = re.compile(rb"^(?=.*serving).*?(127\.0\.0\.1:\d+)", re.MULTILINE)


class LoadError(Exception):
    """A server did not start, or a load was not answered as it should be."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `address` is HOST:PORT."""

    process: subprocess.Popen[bytes]
    address: str

    def cpu_seconds(self) -> float:
        """User and system time of all its threads since it started, to the nanosecond.

        By the clock of the process: what /proc tells counts in hundredths of a second, which is more than a round's
        worth of echoes.
        """
        return time.clock_gettime(_clock_of(self.process.pid))


def _clock_of(pid: int) -> int:
    """The clock of a process's CPU time, as clock_getcpuclockid(3) makes it, which Python does not offer."""
    return (~pid << 3) | 2


@dataclass(frozen=True, slots=True)
class Load:
    """What to send, how often. `body` is the message, `answer_bytes` how many its answer has (give or take `slack`)."""

    method: str
    body: bytes
    answer_bytes: int
    calls: int
    connections: int = 4
    streams: int = 16
    token: str = ""
    slack: int = 16  # a time and an id in the answer, not always as long
    headers: tuple[str, ...] = ()


def pin_load() -> bool:
    """Keep this process, and the loads it starts, off the server's core; False with one core only."""
    cores = os.sched_getaffinity(0)
    if not {SERVER_CORE, LOAD_CORE} <= cores:
        return False
    os.sched_setaffinity(0, {LOAD_CORE})
    return True


@contextmanager
def running(arguments: list[str]) -> Iterator[Server]:
    """A server for as long as the block lasts, on its own core: a module, or a file of ours. Raises LoadError."""
    module, *flags = arguments
    named = ["-c", _OURS, module] if module.startswith("tests.") else ["-m", module]
    if module.endswith(".py"):
        named = [module]
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, *named, *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            if LOAD_CORE in os.sched_getaffinity(0) and SERVER_CORE not in os.sched_getaffinity(0):
                os.sched_setaffinity(process.pid, {SERVER_CORE})
            yield Server(process, _address(process, Path(log.name)))
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started here."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cpu_of(server: Server, load: Load) -> float:
    """CPU seconds of the server for each answer. Raises LoadError unless every call got an answer of its length."""
    h2load = shutil.which("h2load")
    if h2load is None:
        raise LoadError("h2load was not found (Debian: the package nghttp2-client)")
    with tempfile.NamedTemporaryFile() as body:
        body.write(b"\0" + len(load.body).to_bytes(4, "big") + load.body)
        body.flush()
        command = [h2load, "-t", "1", "-n", str(load.calls), "-c", str(load.connections), "-m", str(load.streams)]
        command += ["-d", body.name, "-H", "content-type: application/grpc", "-H", "te: trailers"]
        for header in load.headers:
            command += ["-H", header]
        if load.token:
            command += ["-H", f"authorization: Bearer {load.token}"]
        before = server.cpu_seconds()
        done = subprocess.run(
            [*command, f"http://{server.address}/{load.method}"], capture_output=True, text=True, timeout=_LOAD_SECONDS
        )
        spent = server.cpu_seconds() - before
    succeeded = re.search(r"(\d+) succeeded", done.stdout)
    received = re.search(r"\((\d+)\) data", done.stdout)
    if succeeded is None or received is None or int(succeeded[1]) != load.calls:
        raise LoadError(f"not every call was answered:\n{done.stdout}{done.stderr}")
    mean = int(received[1]) / load.calls - 5
    if abs(mean - load.answer_bytes) > load.slack:
        raise LoadError(f"{load.method}: answers of {mean:.0f} bytes, expected {load.answer_bytes}")
    return spent / load.calls


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where the server serves, as it tells once it does."""
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        found = _SERVING.search(log.read_bytes())
        if found is not None:
            return found[1].decode()
        time.sleep(0.02)
    raise LoadError(f"the server did not start:\n{log.read_text(errors='replace')[-2000:]}")
