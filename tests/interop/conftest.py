"""A real server in a process of its own, for clients that are processes too."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the server listens; few calls may wait, so that a test can be one too many."""
    flags = ["--listen", "127.0.0.1:0", "--threads", "1", "--max-waiting-batches", "4"]
    flags += ["--decisions-dir", str(tmp_path_factory.mktemp("decisions"))]
    process = subprocess.Popen(
        [sys.executable, "-m", "safety_service", "serve", *flags], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        while said["event"] != "serving":
            said = json.loads(process.stdout.readline())
        yield said["address"]
    finally:
        process.kill()
        process.communicate()
