"""Where the time of a check goes inside the server: each stage of the handler by itself, without gRPC."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from safety_service.cases import Case
from safety_service.domain import View
from safety_service.engine.check import DEFAULT_FINGERPRINT_KEY, check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server.access_log import log_call, open_log
from safety_service.server.decode import decode
from safety_service.server.encode_fast import FastEncoder
from safety_service.server.handlers import Desk, Fault, Sent, Tally, check_prescription, parsed
from tests.bench.figures import Figure, Row
from tests.bench.wire import on_the_wire

T = TypeVar("T")

_ID = bytes(16)
_DIGEST = "0" * 64
_TODAY = 20_000  # never used: the cases say as of when


def stages(knowledge: Knowledge, cases: Sequence[Case], rounds: int) -> list[Row]:
    """CPU of the handler and of each stage, as the mean over all cases."""
    sent = [message.SerializeToString() for each in cases if (message := on_the_wire(each.request)) is not None]
    messages = [parsed(Sent, each) for each in sent]
    requests = [decode(each, _TODAY).request for each in messages]
    decisions = [check(knowledge, each) for each in requests]
    encode = FastEncoder(knowledge).response
    desk = Desk(knowledge, check, encode, DEFAULT_FINGERPRINT_KEY, _raise)
    tally = Tally(1, 0, 2, "ALERTS")
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        log = open_log("info", "json", nowhere)
        passes = {
            "handler of a full check, without gRPC": _each(lambda data: check_prescription(desk, data, tally), sent),
            "  parse": _each(lambda data: parsed(Sent, data), sent),
            "  decode": _each(lambda message: decode(message, _TODAY), messages),
            "  check": _each(lambda request: check(knowledge, request), requests),
            "  encode": _each(lambda decision: encode(decision, View.FULL, "benchmark", _ID, 1), decisions),
            "  log line": _each(lambda data: log_call(log, "Check", "OK", 1, len(data), 1, tally, _DIGEST), sent),
        }
        for once in passes.values():
            once()
        times: dict[str, list[float]] = {name: [] for name in passes}
        for _ in range(rounds):
            for name, once in passes.items():
                began = time.process_time()
                once()
                times[name].append((time.process_time() - began) / len(sent) * 1e6)
    return [Row(name, Figure.of(us), "us CPU") for name, us in times.items()]


def _each(work: Callable[[T], object], over: Sequence[T]) -> Callable[[], None]:
    def once() -> None:
        for each in over:
            work(each)

    return once


def _raise(fault: Fault) -> None:
    raise RuntimeError(f"{fault.type} at {fault.place}")
