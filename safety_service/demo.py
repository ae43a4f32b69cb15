"""The article's case, sent to a real server by the real client: what `safety-service demo` does before it prints."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from google.protobuf.json_format import Parse

import rules_data
from medsafety import CheckPrescriptionRequest

ARTICLE_CASE = Path(rules_data.__file__).parent / "examples" / "article-case.json"

_START_SECONDS = 30
_STOP_SECONDS = 15


class ServerFailedError(Exception):
    """The server did not come up; the text ends with what it said."""


def article_case() -> CheckPrescriptionRequest:
    """Chronic back pain with spasm, 68 years, mild hepatic impairment, drives, oxycodone; made up, no real patient."""
    return Parse(ARTICLE_CASE.read_bytes(), CheckPrescriptionRequest())


@contextmanager
def server_process() -> Iterator[str]:
    """A server in a process of its own, for as long as the block lasts; gives its address. Raises ServerFailedError."""
    command = [sys.executable, "-m", "safety_service", "serve", "--listen", "127.0.0.1:0", "--log-format", "json"]
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen(
            [*command, "--log-level", "info"], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield _address(process, Path(log.name))
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where the server serves, as it logs once it does: it has taken a free port itself."""
    until = time.monotonic() + _START_SECONDS
    running = True
    while running and time.monotonic() < until:
        running = process.poll() is None
        for line in log.read_text(errors="replace").splitlines():
            if '"serving"' in line:
                return str(json.loads(line)["address"])
        time.sleep(0.02)
    raise ServerFailedError(f"The server did not start. It said:\n{log.read_text(errors='replace')[-2000:]}")
