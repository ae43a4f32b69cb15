"""The Node client and connect-node against the real server: the tests of clients/node, its stubs and its example."""

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from safety_service.knowledge.load import load_knowledge
from safety_service.server.access_log import open_log
from safety_service.server.serve import start
from safety_service.server.settings import Settings
from tests.access.shown import authority, caller, callers_file, certificate, written

ROOT = Path(__file__).parents[2]
NODE = ROOT / "clients" / "node"

pytestmark = [pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm"), pytest.mark.timeout(300)]

# Asks once with each token given, over TLS, and prints what came of it.
ASK = """
import { readFileSync } from "node:fs";
import { credentials } from "@grpc/grpc-js";
import { MedsafetyClient } from "medsafety";
const [target, ca, ...tokens] = process.argv.slice(1);
for (const token of tokens) {
  const client = new MedsafetyClient(target, { credentials: credentials.createSsl(readFileSync(ca)), token });
  const request = { prescription: { medication: { text: "Cyclobenzaprine 10 mg tablet" } } };
  const options = { timeoutMs: 30_000 };
  console.log(await client.check(request, options).then(() => "answered", (error) => error.reason || error.message));
  client.close();
}
"""


def _run(*command: str, cwd: Path = NODE, **variables: str) -> str:
    assert (NODE / "node_modules").is_dir(), "run make clients, which installs what the client needs"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")} | variables
    done = subprocess.run(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_client_and_connect_do_what_their_tests_say(target: str, tmp_path: Path) -> None:
    told = _run("npm", "test", MEDSAFETY_TARGET=target, MEDSAFETY_PYTHON=sys.executable)
    counts = dict(re.findall(r"^\S+ (pass|skipped) (\d+)$", told, re.MULTILINE))
    assert int(counts["pass"]) > 20, told
    assert counts["skipped"] == "0", told

    # What follows uses what the tests have built; so it is not another test, which could run beside them.
    lines = _run("node", "dist/examples/quick-start.js", target).splitlines()
    assert lines[0].startswith("28 days planned")
    assert any(re.fullmatch(r"[\w.-]+: send patient\.[\w.]+", line) for line in lines)
    assert lines == _run(sys.executable, "clients/python/examples/quick_start.py", target, cwd=ROOT).splitlines()

    assert _asked_over_tls(tmp_path) == ["answered", "CREDENTIALS_INVALID"]


def test_the_messages_are_those_of_the_contract() -> None:
    _run("make", "--no-print-directory", "node-stubs-check", cwd=ROOT)


def _asked_over_tls(folder: Path) -> list[str]:
    """What a Node client gets with the key of a caller, and with another, from a server that asks who calls."""
    ca, _ = written(folder, "authority", authority())
    chain, key = written(folder, "server", certificate())
    known, token = caller("ward", "check")
    settings = Settings(
        listen="localhost:0", tls_certificate=chain, tls_key=key, callers_file=callers_file(folder, known)
    )
    server = start(settings, load_knowledge(), open_log("info", "json", io.StringIO()))
    try:
        command = ["node", "--input-type=module", "-e", ASK, "--", server.address, str(ca)]
        return _run(*command, token, caller("stranger", "check")[1]).splitlines()
    finally:
        server.server.stop(None).wait()
