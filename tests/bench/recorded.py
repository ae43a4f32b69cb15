"""What it costs to have each decision on record before it is answered, against a bare echo, and its parts."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import orjson

from safety_service.cases import Case
from safety_service.decisions.facts import facts_of
from safety_service.decisions.log import Source, open_log
from safety_service.decisions.outcome import Outcomes
from safety_service.decisions.records import Answered, Asked, Pseudonyms, decision_record
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import RULES_DATA
from safety_service.server.decode import decode
from safety_service.server.handlers import Sent
from tests.bench import echo
from tests.bench.clock import interleaved
from tests.bench.figures import Figure, Goal, Row
from tests.bench.load import Load, cpu_of, running
from tests.bench.wire import on_the_wire

ALL_CROSS_CUTTING = Goal(required=0.25, at_most=True)
_TODAY = 20_000  # never used: the cases say as of when
_CASES = 200


def measure(knowledge: Knowledge, cases: Sequence[Case], rounds: int, calls: int) -> list[Row]:
    """The same server with and without a record, and the echo, in turns; then the parts without a server."""
    sent = [message for each in cases if (message := on_the_wire(each.request)) is not None]
    sent = sent[:: max(1, len(sent) // _CASES)]
    return [*_served(sent[len(sent) // 2].SerializeToString(), rounds, calls), *_parts(knowledge, sent, rounds)]


def _served(body: bytes, rounds: int, calls: int) -> list[Row]:
    serve = ["safety_service", "serve", "--listen", "127.0.0.1:0"]
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        plain = stack.enter_context(running(serve))
        recording = stack.enter_context(running([*serve, "--decisions-dir", folder]))
        bare = stack.enter_context(running(["tests.bench.echo"]))
        channel = stack.enter_context(grpc.insecure_channel(plain.address))
        call: Any = channel.unary_unary(f"/{echo.ECHO}")
        size = len(call(body, timeout=30))
        loads = {
            "plain": (plain, Load(echo.ECHO, body, size, calls)),
            "recording": (recording, Load(echo.ECHO, body, size, calls)),
            "bare": (bare, Load(echo.ECHO, body, len(body), calls)),
        }
        times: dict[str, list[float]] = {name: [] for name in loads}
        for number in range(rounds + 1):
            for name, (server, load) in loads.items():
                spent = cpu_of(server, load)
                if number:  # the first warms up
                    times[name].append(spent)
        size_each = sum(each.stat().st_size for each in Path(folder).glob("*.seg")) / (calls * (rounds + 1))
    extra = [with_record - without for with_record, without in zip(times["recording"], times["plain"], strict=True)]
    return [
        Row("a record, of the CPU of a bare echo", Figure.ratio(extra, times["bare"]), "", ALL_CROSS_CUTTING),
        Row("a check with its record, of one without", Figure.ratio(times["recording"], times["plain"])),
        Row("bytes of a record", Figure.of([size_each]), "B"),
    ]


def _parts(knowledge: Knowledge, sent: Sequence[Sent], rounds: int) -> list[Row]:
    requests = [decode(each, _TODAY).request for each in sent]
    asked = [Asked("", "", b"x" * 500, each) for each in requests]
    answered = [Answered(check(knowledge, each), bytes(16), 1, 1) for each in requests]
    outcomes = Outcomes(knowledge)
    facts = [facts_of(knowledge, each) for each in requests]
    names = Pseudonyms(b"k" * 32)
    payloads = [decision_record(outcomes, names, *each) for each in zip(asked, answered, strict=True)]

    def over(work: Callable[[int], object]) -> Callable[[], None]:
        def once() -> None:
            for at in range(len(requests)):
                work(at)

        return once

    with tempfile.TemporaryDirectory() as folder:
        log = open_log(Path(folder), b"k" * 32, Source(RULES_DATA), now_ns=time.time_ns)
        passes = {
            "check, for comparison": over(lambda at: check(knowledge, requests[at])),
            "a record, whole": over(
                lambda at: log.writer.append(decision_record(outcomes, names, asked[at], answered[at]), 1)
            ),
            "  facts without names": over(lambda at: facts_of(knowledge, requests[at])),
            "  outcome and its digest": over(lambda at: outcomes.of(answered[at].decision, facts[at].swapped)),
            "  JSON of the facts": over(lambda at: orjson.dumps(facts[at].row)),
            "  chained and written": over(lambda at: log.writer.append(payloads[at], 1)),
        }
        times = interleaved(list(passes.values()), rounds)
        log.close()
    return [
        Row(name, Figure.of([each / len(requests) * 1e6 for each in found]), "us CPU")
        for name, found in zip(passes, times, strict=True)
    ]
