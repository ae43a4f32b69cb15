"""What stands around a check: who calls, deadline, metrics, an unsampled trace, the log line, the decision's record.

Together, and the record alone, as the CPU of a server that does it less that of one which does none, over a bare echo
in the same run; and each part by itself, without gRPC. The servers answer from memory (`remembered`): a whole check
takes many times what stands around it, and on a busy machine differs by more than that from round to round. A part by
itself is done again and again, with all it needs in the processor's caches; within a server it takes longer.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc

from safety_service.decisions.records import Answered
from safety_service.demo import article_case
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server.access_log import log_call, open_log
from safety_service.server.decode import decode
from safety_service.server.doors import open_doors
from safety_service.server.handlers import Tally
from safety_service.server.keeping import decision_log
from safety_service.server.metrics import open_meter
from safety_service.server.settings import Settings
from safety_service.server.tracing import Tracer
from safety_service.server.transport import METHOD_NAMES
from tests.access.shown import caller, callers_file
from tests.bench import echo
from tests.bench.clock import interleaved
from tests.bench.figures import Figure, Goal, Row
from tests.bench.load import Load, Server, cpu_of, running

MOST = Goal(required=0.25, at_most=True)
_TIMES = 2000
_ENDPOINT = "http://127.0.0.1:4317"  # nobody listens: nothing is sampled
_ROUNDS = 4  # short ones are many: a neighbour's moment spoils one of them


class _Context:
    """As much of a call as the parts ask for. `time_remaining` is worked out as gRPC does."""

    def __init__(self, token: str) -> None:
        self._metadata = (("user-agent", "bench"), ("authorization", f"Bearer {token}"))
        self._until = time.time() + 3600

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata

    def time_remaining(self) -> float:
        return max(self._until - time.time(), 0)


def measure(knowledge: Knowledge, rounds: int, calls: int) -> list[Row]:
    """Raises LoadError."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        who, token = caller("bench")
        callers = callers_file(folder, who)
        echoes, rows = _whole(folder, callers, token, rounds, calls)
        return rows + _parts(knowledge, folder, callers, token, rounds, echoes)


def _whole(folder: Path, callers: Path, token: str, rounds: int, calls: int) -> tuple[float, list[Row]]:
    """Microseconds of the echo, and the rows of servers with everything, with records only, and with nothing."""
    none: dict[str, object] = {"listen": "127.0.0.1:0", "log_level": "error"}
    everything: dict[str, object] = {
        "listen": "127.0.0.1:0",
        "callers_file": str(callers),
        "metrics_listen": "127.0.0.1:0",
        "trace_endpoint": _ENDPOINT,
        "trace_ratio": 0,
        "decisions_dir": str(folder / "decisions"),
    }
    request = article_case().SerializeToString()
    headers = (f"authorization: Bearer {token}", "grpc-timeout: 30S")
    with ExitStack() as stack:

        def server(settings: dict[str, object]) -> Server:
            return stack.enter_context(running(["tests.bench.remembered", json.dumps(settings)]))

        def load(server: Server, headers: tuple[str, ...]) -> tuple[Server, Load]:
            return server, Load(echo.ECHO, request, _length(server, request, headers), calls, headers=headers)

        loads = {
            "echo": load(stack.enter_context(running([echo.__file__])), ()),
            "none": load(server(none), ()),
            "records": load(server(none | {"decisions_dir": str(folder / "records")}), ()),
            "all": load(server(everything), headers),
        }
        spent: dict[str, list[float]] = {each: [] for each in loads}
        for each in loads.values():
            cpu_of(*each)  # warm
        names = list(loads)
        for n in range(_ROUNDS * rounds):
            for turn in range(len(names)):
                name = names[(n + turn) % len(names)]
                spent[name].append(cpu_of(*loads[name]) * 1e6)
    echoes = Figure.of(spent["echo"])

    def over_none(name: str) -> Figure:
        return Figure.ratio([each - less for each, less in zip(spent[name], spent["none"], strict=True)], spent["echo"])

    return echoes.median, [
        Row("all cross-cutting work / echo, server CPU", over_none("all"), "x", MOST),
        Row("  of it the records of decisions", over_none("records"), "x"),
        Row("  a remembered answer with all of it", Figure.of(spent["all"]), "us CPU"),
        Row("  a remembered answer with none of it", Figure.of(spent["none"]), "us CPU"),
        Row("  echo of the same request", echoes, "us CPU"),
    ]


def _length(server: Server, request: bytes, headers: tuple[str, ...]) -> int:
    metadata = [(key, value) for key, _, value in (each.partition(": ") for each in headers) if key == "authorization"]
    with grpc.insecure_channel(server.address) as channel:
        ask: Any = channel.unary_unary(f"/{echo.ECHO}")
        answer: bytes = ask(request, timeout=30, metadata=metadata)
    return len(answer)


def _parts(knowledge: Knowledge, folder: Path, callers: Path, token: str, rounds: int, echo_us: float) -> list[Row]:
    message = article_case()
    data = message.SerializeToString()
    request = decode(message, 20_000).request
    decision = check(knowledge, request)
    context: Any = _Context(token)
    tally = Tally(1, 0, len(decision.alerts), decision.overall.name)
    settings = Settings(callers_file=callers, decisions_dir=folder / "parts")
    meter, _ = open_meter(METHOD_NAMES)
    tracer = Tracer(_ENDPOINT, 0)
    decisions = decision_log(settings, knowledge)
    assert decisions is not None
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        log = open_log("info", "json", nowhere)
        doors = open_doors(settings, log)

        def record() -> None:
            answered = Answered(decision, os.urandom(16), time.time_ns(), 700)
            decisions.keep(knowledge, "bench", data, request, answered)

        parts = {
            "who calls (a key, seen before)": lambda: doors.admit(f"/{echo.ECHO}", context),
            "deadline": lambda: context.time_remaining() <= 0,
            "metrics": lambda: meter.call("CheckPrescription", 0, 700, tally),
            "trace, not sampled": lambda: tracer.chosen(context),
            "log line": lambda: log_call(log, "CheckPrescription", "OK", 700, len(data), 9000, tally, knowledge.digest),
            "record of the decision": record,
        }

        def many(part: Any) -> Any:
            def once() -> None:
                for _ in range(_TIMES):
                    part()

            return once

        times = interleaved([many(each) for each in parts.values()], rounds)
    tracer.close()
    decisions.close()
    rows = []
    for name, seconds in zip(parts, times, strict=True):
        figure = Figure.of([each / _TIMES * 1e6 for each in seconds])
        rows.append(Row(f"  {name}: {figure.median / echo_us:.1%} of the echo", figure, "us CPU"))
    return rows
