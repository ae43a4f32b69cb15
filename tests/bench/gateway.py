"""The gateway as its clients find it: CPU for each answer with cards against an echo of the same JSON, tokens apart."""

from __future__ import annotations

import http.client
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import Figure, Goal, Row
from tests.bench.load import LoadError, Server, running
from tests.gateway.tokens import ISS, claims, ec_jwk, signed

CARDS = Goal(required=2, at_most=True)
PATH = "/cds-services/muscle-relaxant-safety"
_RATE = 100
_CALL = Path(__file__).parents[1] / "data" / "cds-hooks" / "sandbox-shape" / "order-sign_cyclobenzaprine10_tid_30d.json"


@dataclass(frozen=True, slots=True)
class Measured:
    """Rows of the table, and what was asked."""

    rows: list[Row]
    notes: list[str]


def measure(rounds: int, calls: int) -> Measured:
    """Raises LoadError when a server fails."""
    body = _CALL.read_bytes()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clients = folder / "clients.yaml"
        clients.write_text(json.dumps({"clients": [{"iss": ISS, "jwks": {"keys": [ec_jwk()]}}]}))
        start = ["safety_service", "gateway", "--listen", "127.0.0.1:0"]
        gateway = stack.enter_context(running(start))
        guarded = stack.enter_context(running([*start, "--clients-file", str(clients)]))
        answer = folder / "answer.json"
        answer.write_bytes(_ask(gateway, body))
        echo = stack.enter_context(running([str(Path(__file__).with_name("echo_http.py")), str(answer)]))
        spent: dict[str, list[float]] = {"cards": [], "echo": [], "token": []}
        for _ in range(rounds):
            spent["cards"].append(_cpu(gateway, body, calls))
            spent["echo"].append(_cpu(echo, body, calls))
            tokens = [signed({**claims(), "aud": f"http://{guarded.address}{PATH}"}) for _ in range(calls)]
            spent["token"].append(_cpu(guarded, body, calls, tokens))
        late = _latencies(gateway, body, calls)
        length = answer.stat().st_size
    token = [with_token - without for with_token, without in zip(spent["token"], spent["cards"], strict=True)]
    percentile = statistics.quantiles(late, n=100)
    ratio = Figure.ratio(spent["cards"], spent["echo"])
    rows = [
        Row("gateway, cards / echo of the same JSON, server CPU", ratio, "x", CARDS),
        Row("  answer with cards", Figure.of([each * 1e6 for each in spent["cards"]]), "us CPU"),
        Row("  echo of the same JSON", Figure.of([each * 1e6 for each in spent["echo"]]), "us CPU"),
        Row("  a token more, ES384", Figure.of([each * 1e6 for each in token]), "us CPU"),
        Row(f"gateway at {_RATE} requests/s, median", Figure.of([percentile[49] * 1e3]), "ms"),
        Row("  99 of 100 within", Figure.of([percentile[98] * 1e3]), "ms"),
    ]
    asked = f"{len(body):,} bytes in, {length:,} out, one connection, {calls} calls a round"
    notes = [f"Gateway: {_CALL.stem}, {asked}."]
    return Measured(rows, notes)


def _connection(server: Server) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(server.address, timeout=30)


def _send(connection: http.client.HTTPConnection, body: bytes, token: str = "") -> bytes:
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    connection.request("POST", PATH, body, headers)
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise LoadError(f"status {response.status}: {content[:200]!r}")
    return content


def _ask(server: Server, body: bytes) -> bytes:
    connection = _connection(server)
    content = _send(connection, body)
    connection.close()
    return content


def _cpu(server: Server, body: bytes, calls: int, tokens: Sequence[str] = ()) -> float:
    """CPU seconds of the server for each answer."""
    connection = _connection(server)
    before = server.cpu_seconds()
    for i in range(calls):
        _send(connection, body, tokens[i] if tokens else "")
    spent = server.cpu_seconds() - before
    connection.close()
    return spent / calls


def _latencies(server: Server, body: bytes, calls: int) -> list[float]:
    """Seconds from when a call was due to its answer, calls due at an even rate."""
    connection = _connection(server)
    began = time.perf_counter() + 0.1
    late: list[float] = []
    for i in range(calls):
        due = began + i / _RATE
        time.sleep(max(0.0, due - time.perf_counter()))
        _send(connection, body)
        late.append(time.perf_counter() - due)
    connection.close()
    return late
