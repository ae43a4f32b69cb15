"""One client that calls too often takes nothing from another."""

from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from safety_service.access.keys import read_keys
from safety_service.gateway.app import Gateway, application
from safety_service.gateway.caller import Callers, KeySets, Verified
from safety_service.gateway.clients import Client
from safety_service.gateway.outside import Reader
from safety_service.gateway.problems import ProblemError, refused
from safety_service.gateway.rate import CallRates
from tests.gateway.calls import SERVICE, call
from tests.gateway.test_http import outcome
from tests.gateway.tokens import BASE, ISS, ec_jwk, signed


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_fills_at_a_steady_rate() -> None:
    clock = Clock()
    rates = CallRates(2, 3, clock)
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
    rates = CallRates(0, 1, clock)
    for _ in range(100):
        rates.take("a")
        rates.take("b", 0)
    rates.take("c", 0.1)
    with pytest.raises(ProblemError) as raised:
        rates.take("c", 0.1)
    assert raised.value.headers == {"Retry-After": "10"}


def test_every_call_but_of_health_counts(gateway: Gateway) -> None:
    client = TestClient(application(replace(gateway, rates=CallRates(1, 2, Clock()))))
    assert client.get("/cds-services").status_code == 200
    assert client.post(SERVICE, json=call()).status_code == 200
    for response in (client.post(SERVICE, json=call()), client.get("/medications"), client.post("/check", json={})):
        assert response.headers["retry-after"] == "1"
        assert outcome(response, 429)[0]["code"] == "throttled"
    assert client.get("/healthz").status_code == 200


class Known:
    """Takes the token for the name of the client."""

    async def verify(self, authorization: str, path: str) -> Verified:
        if authorization == "wrong":
            raise refused(401, "login", "wrong")
        return Verified(Client(authorization, calls_per_second=0 if authorization == "free" else None), "jti", 0.0)

    def use(self, token: Verified) -> None:
        pass


def test_clients_count_apart_wherever_they_come_from(gateway: Gateway) -> None:
    known: Any = Known()
    client = TestClient(application(replace(gateway, rates=CallRates(1, 2, Clock()), callers=known)))

    def status(name: str) -> int:
        return client.get("/cds-services", headers={"Authorization": name}).status_code

    assert [status("one") for _ in range(3)] == [200, 200, 429]
    assert [status("two") for _ in range(3)] == [200, 200, 429]
    assert [status("free") for _ in range(5)] == [200] * 5
    assert [status("wrong") for _ in range(4)] == [401, 401, 429, 429]  # by the address, which takes nothing from these
    assert status("three") == 200


def test_who_is_told_to_wait_sends_the_same_token_again(gateway: Gateway) -> None:
    clock = Clock()
    callers = Callers({ISS: Client(ISS, keys=read_keys({"keys": [ec_jwk()]}))}, KeySets(Reader(), 1.0, False), BASE)
    client = TestClient(application(replace(gateway, rates=CallRates(1, 1, clock), callers=callers)))

    def status(token: str) -> int:
        return client.get("/cds-services", headers={"Authorization": f"Bearer {token}"}).status_code

    first, second = signed(), signed()
    assert [status(first), status(second), status(second)] == [200, 429, 429]
    clock.now = 1.0
    assert status(first) == 401  # what was used takes nothing of the rate of its client
    assert [status(second), status(second)] == [200, 429]
