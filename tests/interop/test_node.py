"""The Node client and connect-node against the real server: the tests of clients/node, its stubs and its example."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NODE = ROOT / "clients" / "node"

pytestmark = [pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm"), pytest.mark.timeout(300)]


def _run(*command: str, cwd: Path = NODE, **variables: str) -> str:
    assert (NODE / "node_modules").is_dir(), "run make clients, which installs what the client needs"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")} | variables
    done = subprocess.run(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_client_and_connect_do_what_their_tests_say(target: str) -> None:
    told = _run("npm", "test", MEDSAFETY_TARGET=target, MEDSAFETY_PYTHON=sys.executable)
    counts = dict(re.findall(r"^\S+ (pass|skipped) (\d+)$", told, re.MULTILINE))
    assert int(counts["pass"]) > 20, told
    assert counts["skipped"] == "0", told

    # Built by the tests; here so that the two do not build at the same time.
    lines = _run("node", "dist/examples/quick-start.js", target).splitlines()
    assert lines[0].startswith("28 days planned")
    assert any(re.fullmatch(r"[\w.-]+: send patient\.[\w.]+", line) for line in lines)
    assert lines == _run(sys.executable, "clients/python/examples/quick_start.py", target, cwd=ROOT).splitlines()


def test_the_messages_are_those_of_the_contract() -> None:
    _run("make", "--no-print-directory", "node-stubs-check", cwd=ROOT)
