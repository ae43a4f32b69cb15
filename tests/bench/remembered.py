"""A server of ours that answers from memory, so that what stands around a check is not lost beside the check itself.

It is the real server, with settings as JSON in its first argument: connections, doors, deadlines, metrics, log and
records are its own. Only reading the request, deciding and writing the answer are those of the first call, remembered.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import cache
from typing import Any

from safety_service.domain import Decision
from safety_service.engine.check import check
from safety_service.server import handlers
from safety_service.server.decode import Received, decode
from safety_service.server.in_use import Standing
from safety_service.server.serve import start
from safety_service.server.settings import Settings

_decided: dict[int, Decision] = {}


@cache
def _received(data: bytes, today: int) -> Received:
    return decode(handlers.Sent.FromString(data), today)


def _decide(knowledge: Any, request: Any, key: bytes) -> Decision:
    decision = _decided.get(id(request))  # the requests are kept by `_received`
    if decision is None:
        decision = _decided[id(request)] = check(knowledge, request, key)
    return decision


def main() -> None:
    serving = start(Settings(**json.loads(sys.argv[1])), engine=_decide)
    standing = serving.gate.in_use.now
    encode = standing.desk.encode
    answers: dict[int, bytes] = {}

    def remembered(decision: Decision, *others: Any) -> bytes:
        answer = answers.get(id(decision))
        if answer is None:
            answer = answers[id(decision)] = encode(decision, *others)
        return answer

    handlers._received = lambda desk, data, prefix: _received(data, desk.now_ns() // handlers.NS_PER_DAY)
    serving.gate.in_use.now = Standing(replace(standing.desk, encode=remembered), standing.library)
    print(f"serving on {serving.address}", flush=True)
    serving.server.wait_for_termination()


if __name__ == "__main__":
    main()
