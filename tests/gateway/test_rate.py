"""One client that calls too often takes nothing from another."""

from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from safety_service.gateway.app import Gateway, application
from safety_service.gateway.clients import Client
from safety_service.gateway.problems import ProblemError
from safety_service.gateway.rate import Rates
from tests.gateway.calls import SERVICE, call
from tests.gateway.test_http import outcome


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_fills_at_a_steady_rate() -> None:
    clock = Clock()
    rates = Rates(2, 3, clock)
    for _ in range(3):
        rates.take("a")
    with pytest.raises(ProblemError) as raised:
        rates.take("a")
    assert (raised.value.status, raised.value.headers) == (429, {"Retry-After": "1"})
    rates.take("b")
    clock.now = 0.49
    with pytest.raises(ProblemError):
        rates.take("a")
    clock.now = 0.5
    rates.take("a")
    clock.now = 1_000
    for _ in range(3):  # never more than the burst
        rates.take("a")
    with pytest.raises(ProblemError):
        rates.take("a")


def test_a_client_may_have_a_limit_of_its_own_and_zero_is_none() -> None:
    clock = Clock()
    rates = Rates(0, 1, clock)
    for _ in range(100):
        rates.take("a")
        rates.take("b", 0)
    rates.take("c", 0.1)
    with pytest.raises(ProblemError) as raised:
        rates.take("c", 0.1)
    assert raised.value.headers == {"Retry-After": "10"}


def test_the_number_of_callers_is_bounded() -> None:
    rates = Rates(1, 1, Clock())
    for i in range(11_000):
        rates.take(str(i))
    assert len(rates._left) == 10_000


def test_every_call_but_of_health_counts(gateway: Gateway) -> None:
    client = TestClient(application(replace(gateway, rates=Rates(1, 2, Clock()))))
    assert client.get("/cds-services").status_code == 200
    assert client.post(SERVICE, json=call()).status_code == 200
    for response in (client.post(SERVICE, json=call()), client.get("/medications"), client.post("/check", json={})):
        assert response.headers["retry-after"] == "1"
        assert outcome(response, 429)[0]["code"] == "throttled"
    assert client.get("/healthz").status_code == 200


class Known:
    """Takes the token for the name of the client."""

    async def verify(self, authorization: str, path: str) -> Client:
        return Client(authorization, calls_per_second=0 if authorization == "free" else None)


def test_clients_count_apart_wherever_they_come_from(gateway: Gateway) -> None:
    known: Any = Known()
    client = TestClient(application(replace(gateway, rates=Rates(1, 2, Clock()), callers=known)))

    def status(name: str) -> int:
        return client.get("/cds-services", headers={"Authorization": name}).status_code

    assert [status("one") for _ in range(3)] == [200, 200, 429]
    assert [status("two") for _ in range(3)] == [200, 200, 429]
    assert [status("free") for _ in range(5)] == [200] * 5
