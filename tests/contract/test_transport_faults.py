"""Clients that mean harm below the level of calls: each has a documented end, and others are answered meanwhile."""

import io
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc

from medsafety import CheckPrescriptionRequest, MedsafetyClient
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server.access_log import open_log
from safety_service.server.serve import Serving, start
from safety_service.server.settings import Settings
from tests.access.shown import caller, callers_file
from tests.contract.http2 import (
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    Wire,
    frame,
    message,
    reset,
)

SOON = 20
Refused = Callable[[Callable[[], Any]], Any]


@contextmanager
def running(knowledge: Knowledge, said: io.StringIO | None = None, **settings: Any) -> Iterator[Serving]:
    log = open_log("info", "json", io.StringIO() if said is None else said)
    server = start(Settings(listen="127.0.0.1:0", **settings), knowledge, log)
    try:
        yield server
    finally:
        server.server.stop(None).wait()


def answered(server: Serving, request: CheckPrescriptionRequest, seconds: float = SOON, **more: Any) -> bool:
    """By a connection of its own."""
    with MedsafetyClient(server.address, timeout=seconds, **more) as client:
        return bool(client.check(request).decision.alerts)


# --- slow ones ------------------------------------------------------------------------------------------------------


def test_a_connection_that_says_nothing_is_closed(knowledge: Knowledge, request_sent: CheckPrescriptionRequest) -> None:
    with running(knowledge, handshake_seconds=0.5) as server, ExitStack() as stack:
        silent = [stack.enter_context(Wire(server.address, hello=False)) for _ in range(50)]
        assert answered(server, request_sent)

        for each in silent:
            each.closed_after(SOON)


def test_a_connection_that_begins_and_never_goes_on_is_closed(knowledge: Knowledge) -> None:
    with running(knowledge, handshake_seconds=0.5) as server, Wire(server.address, hello=False) as wire:
        wire.send(b"PRI * HTTP/2.0\r\n")
        wire.closed_after(SOON)


def test_requests_that_are_never_sent_whole_are_ended(
    knowledge: Knowledge, request_sent: CheckPrescriptionRequest
) -> None:
    """Each holds a thread of the four until then; others wait no longer than that."""
    said = io.StringIO()
    with running(knowledge, said, read_seconds=0.5) as server, Wire(server.address) as wire:
        for i in range(4):
            wire.send(wire.call(2 * i + 1) + message(b"\x0a", 2 * i + 1, announced=1000))
        assert wire.read(RST_STREAM) is not None
        assert answered(server, request_sent)
        until = time.monotonic() + SOON
        while server.gate.running:  # a call ends a moment after its answer is there
            assert time.monotonic() < until
            time.sleep(0.01)

    until = time.monotonic() + SOON
    while said.getvalue().count('"CANCELLED"') < 4:
        assert time.monotonic() < until, said.getvalue()
        time.sleep(0.01)  # lines are written on a thread of their own


def test_strangers_hold_no_thread(knowledge: Knowledge, request_sent: CheckPrescriptionRequest, tmp_path: Path) -> None:
    """They are refused before anything of their request is read, however slowly it comes."""
    ward, key = caller("ward")
    with (
        running(knowledge, read_seconds=300, callers_file=callers_file(tmp_path, ward)) as server,
        Wire(server.address) as wire,
    ):
        for i in range(64):
            wire.send(wire.call(2 * i + 1) + message(b"\x0a", 2 * i + 1, announced=1000))

        assert answered(server, request_sent, token=key)
        trailers = wire.read(HEADERS)
        assert trailers is not None


# --- too much -------------------------------------------------------------------------------------------------------


def test_too_much_metadata_is_refused(
    knowledge: Knowledge, refused: Refused, request_sent: CheckPrescriptionRequest
) -> None:
    with running(knowledge) as server, grpc.insecure_channel(server.address) as channel:
        call: Any = channel.unary_unary("/medsafety.v1.MedicationSafetyService/CheckPrescription")
        data = request_sent.SerializeToString()

        assert call(data, timeout=SOON, metadata=(("x-some", "y" * 15_000),))
        refusal = refused(lambda: call(data, timeout=SOON, metadata=(("x-some", "marker" * 2900),)))

        assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "marker" not in refusal.message
        assert call(data, timeout=SOON), "the next call on the same connection is answered"


def test_a_frame_larger_than_agreed_ends_the_connection(
    knowledge: Knowledge, request_sent: CheckPrescriptionRequest
) -> None:
    with running(knowledge) as server, Wire(server.address) as wire:
        wire.send(wire.call(1) + (0xFFFFFF).to_bytes(3, "big") + b"\0\0\0\0\0\1" + bytes(65536))

        wire.closed_after(SOON)
        assert answered(server, request_sent)


def test_a_message_that_announces_more_than_the_limit_is_refused(
    knowledge: Knowledge, request_sent: CheckPrescriptionRequest
) -> None:
    """At once: one that may be as large is waited for."""
    with running(knowledge, read_seconds=300) as server, Wire(server.address) as wire:
        wire.send(wire.call(1) + message(b"x", 1, announced=2**31))

        assert wire.read(HEADERS, stream=1) is not None
        assert answered(server, request_sent)


def test_more_streams_than_agreed_are_refused(knowledge: Knowledge, request_sent: CheckPrescriptionRequest) -> None:
    with running(knowledge, max_concurrent_streams=8) as server, Wire(server.address) as wire:
        agreed = wire.read(SETTINGS)
        assert agreed is not None
        limits = {int.from_bytes(agreed[i : i + 2], "big"): agreed[i + 2 : i + 6] for i in range(0, len(agreed), 6)}
        assert int.from_bytes(limits[3], "big") == 8

        for i in range(40):
            wire.send(wire.call(2 * i + 1) + message(b"\x0a", 2 * i + 1, announced=1000))

        assert wire.read(RST_STREAM) == (7).to_bytes(4, "big"), "REFUSED_STREAM"
        assert len(server.gate.running) + server.gate.pool._work_queue.qsize() <= 8


def test_a_flood_of_resets_is_bounded(knowledge: Knowledge, request_sent: CheckPrescriptionRequest) -> None:
    """Streams opened and given up at once, faster than they are answered: no memory piles up, others are answered."""
    with running(knowledge) as server, Wire(server.address) as wire:
        sent = 0
        try:
            for burst in range(100):
                first = 200 * burst + 1
                wire.send(b"".join(wire.call(i) + reset(i) for i in range(first, first + 200, 2)))
                sent += 100
        except ConnectionError:
            pass  # the server has had enough
        assert sent > 0

        assert answered(server, request_sent)
        until = time.monotonic() + SOON
        while server.server._state.rpc_states and time.monotonic() < until:  # type: ignore[attr-defined]
            time.sleep(0.01)
        assert not server.server._state.rpc_states, "nothing is left of them"  # type: ignore[attr-defined]
        assert not server.gate.running


def test_a_flood_of_pings_is_sent_away(knowledge: Knowledge, request_sent: CheckPrescriptionRequest) -> None:
    with running(knowledge) as server, Wire(server.address) as wire:
        wire.send(frame(PING, 0, 0, b"pingping") * 10)

        told = wire.read(GOAWAY)
        assert told is not None
        assert int.from_bytes(told[4:8], "big") == ENHANCE_YOUR_CALM
        assert answered(server, request_sent)


# --- old ones -------------------------------------------------------------------------------------------------------


def test_a_connection_without_calls_is_closed(knowledge: Knowledge) -> None:
    with running(knowledge, connection_idle_seconds=1) as server, Wire(server.address) as wire:
        assert wire.read(GOAWAY) is not None


def test_an_old_connection_has_to_begin_anew(knowledge: Knowledge, request_sent: CheckPrescriptionRequest) -> None:
    with (
        running(knowledge, connection_age_seconds=1) as server,
        Wire(server.address) as wire,
        MedsafetyClient(server.address, timeout=SOON) as client,
    ):
        assert wire.read(GOAWAY) is not None
        assert client.check(request_sent).decision.alerts, "a client that keeps to the rules does not notice"
