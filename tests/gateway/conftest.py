"""The gateway without a network, at a fixed day, and what its answers are held to."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from safety_service.gateway.app import Gateway, application
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import load_knowledge
from safety_service.server.access_log import open_log
from tests.gateway.calls import SERVICE, TODAY, assert_nothing_empty, schema


@pytest.fixture(scope="session")
def knowledge() -> Knowledge:
    return load_knowledge()


@pytest.fixture(scope="session")
def log_lines() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(scope="session")
def gateway(knowledge: Knowledge, log_lines: io.StringIO) -> Gateway:
    return Gateway(
        knowledge, b"test key", "https://gateway.example.org", open_log("info", "json", log_lines), today=lambda: TODAY
    )


@pytest.fixture(scope="session")
def client(gateway: Gateway) -> Iterator[TestClient]:
    with TestClient(application(gateway), raise_server_exceptions=False) as opened:
        yield opened


@pytest.fixture(scope="session")
def answered(client: TestClient) -> Callable[[Any], dict[str, Any]]:
    """Calls the service, and gives an answer that is valid by the strict schema."""
    strict = schema("response")

    def call(body: Any) -> dict[str, Any]:
        response = client.post(SERVICE, json=body)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/json"
        answer: dict[str, Any] = response.json()
        strict.validate(answer)
        assert_nothing_empty(answer, "cards")
        return answer

    return call
