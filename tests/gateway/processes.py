"""A gateway in a process of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gateway_process(*flags: str, **environment: str) -> Iterator[str]:
    """Gives its address, and ends it as an operator would."""
    command = [sys.executable, "-m", "safety_service", "gateway", "--listen", "127.0.0.1:0", *flags]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    )
    assert process.stdout is not None
    try:
        address = ""
        for line in process.stdout:
            said = json.loads(line)
            if said["event"] == "serving":
                address = said["address"]
                break
        assert address, process.stderr and process.stderr.read()
        yield f"{'https' if '--tls-certificate' in flags else 'http'}://{address}"
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert errors == ""
