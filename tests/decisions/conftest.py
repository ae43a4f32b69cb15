"""Decision logs in a folder of the test, and records to put in them."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from safety_service.decisions.log import DecisionLog, Source, open_log
from safety_service.decisions.records import Answered
from safety_service.demo import article_case
from safety_service.domain import CheckRequest
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import RULES_DATA, load_knowledge
from safety_service.server.decode import decode
from tests.decisions.clock import Clock
from tests.decisions.postgres import Postgres


@pytest.fixture(scope="session")
def knowledge() -> Knowledge:
    return load_knowledge()


@pytest.fixture(scope="session")
def request_sent() -> CheckRequest:
    """The article's case, understood."""
    return decode(article_case(), 20_000).request


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(tmp_path: Path, clock: Clock) -> Iterator[DecisionLog]:
    opened = open_log(tmp_path / "log", b"k" * 32, Source(RULES_DATA), now_ns=clock, site="here", most_bytes=20_000)
    yield opened
    opened.close()


Decide = Callable[..., bytes]


@pytest.fixture
def decide(log: DecisionLog, clock: Clock, knowledge: Knowledge, request_sent: CheckRequest) -> Decide:
    """Decides and records; returns the 16 bytes of the decision's id."""
    numbers = itertools.count(1)
    log.use(knowledge)

    def one(request: CheckRequest = request_sent, caller: str = "") -> bytes:
        decision_id = next(numbers).to_bytes(16, "big")
        decision = check(knowledge, request, b"key")
        log.keep(knowledge, caller, b"sent", request, Answered(decision, decision_id, clock(), 150))
        return decision_id

    return one
