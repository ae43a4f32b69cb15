"""Clients of the gateway that mean harm below the level of calls: each has a documented end, others are answered."""

import json
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection

import pytest

from safety_service.gateway.patience import HEAD_BYTES
from tests.gateway.processes import gateway_process

SOON = 20
READ_SECONDS = 1
HEAD = b"POST /fhir/$check HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    with gateway_process("--read-seconds", str(READ_SECONDS)) as address:
        yield address


def connection(address: str) -> socket.socket:
    host, _, port = address.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=SOON)


def answered(address: str) -> bool:
    with urllib.request.urlopen(f"{address}/cds-services", timeout=SOON) as response:
        return bool(json.load(response)["services"])


def told_before_it_closes(client: socket.socket) -> bytes:
    """All that comes; fails when it is not closed soon."""
    told = b""
    try:
        while more := client.recv(65536):
            told += more
    except ConnectionError:
        pass
    except TimeoutError:
        raise AssertionError(f"still open after {SOON} s") from None
    return told


def cut_off(client: socket.socket, piece: bytes, seconds: float, pause: float) -> bool:
    """Whether it is closed while this is sent again and again."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            client.sendall(piece)
        except ConnectionError:
            return True
        time.sleep(pause)
    return False


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET /", HEAD, b"GET /cds-services HTTP/1.1\r\nHost: x\r\n\r\n\r\n"])
def test_headers_that_never_end_are_not_waited_for(gateway: str, sent: bytes) -> None:
    """The last has had its answer, and begins another request."""
    with ExitStack() as stack:
        slow = [stack.enter_context(connection(gateway)) for _ in range(20)]
        for each in slow:
            each.sendall(sent)
        assert answered(gateway)
        for each in slow:
            told = told_before_it_closes(each)
            assert (b"200 OK" in told) == sent.endswith(b"\r\n\r\n\r\n")


def test_headers_that_come_drop_by_drop_are_cut_off(gateway: str) -> None:
    """Each is in time, the whole is not."""
    with connection(gateway) as client:
        client.sendall(b"GET /")
        assert cut_off(client, b"x", SOON, READ_SECONDS / 10)
        assert answered(gateway)


def test_headers_without_end_are_cut_off() -> None:
    """By their size, long before their time is over."""
    with gateway_process("--read-seconds", "300") as gateway, connection(gateway) as client:
        client.sendall(HEAD)
        assert cut_off(client, b"X-Some: " + b"y" * 1000 + b"\r\n", SOON, 0)
        assert answered(gateway)


def test_many_requests_on_one_connection_are_no_long_headers(gateway: str) -> None:
    with closing(HTTPConnection(gateway.removeprefix("http://"), timeout=SOON)) as client:
        for _ in range(5):
            client.request("GET", "/healthz", headers={"X-Some": "y" * (HEAD_BYTES // 2)})
            with client.getresponse() as response:
                assert (response.status, response.read()) == (200, b'{"status":"ok"}')


def test_a_body_that_never_ends_is_answered_408(gateway: str) -> None:
    with connection(gateway) as client:
        client.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
        assert answered(gateway)
        told = told_before_it_closes(client)
        assert told.startswith(b"HTTP/1.1 408")
