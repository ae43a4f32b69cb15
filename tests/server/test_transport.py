import io
import json
import threading
import time
from itertools import count
from queue import SimpleQueue
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status

from safety_service.knowledge.knowledge import Knowledge
from safety_service.server import handlers, limits, serve
from safety_service.server.access_log import open_log
from safety_service.server.errors import RefusedError
from safety_service.server.settings import Settings
from safety_service.server.transport import Mark, Messages, OpenStreams, _read_ahead


def test_a_stream_is_read_ahead_only_so_far() -> None:
    read: Messages = SimpleQueue()
    room = threading.Semaphore(limits.STREAM_IN_FLIGHT.value)
    numbers = count()
    threading.Thread(target=_read_ahead, args=((b"%d" % i for i in numbers), read, room), daemon=True).start()

    until = time.monotonic() + 10
    while read.qsize() < 64 and time.monotonic() < until:
        time.sleep(0.001)
    time.sleep(0.05)  # would be enough for thousands more
    assert read.qsize() == 64

    assert read.get() == b"0"
    room.release()
    while read.qsize() < 64 and time.monotonic() < until:
        time.sleep(0.001)
    assert next(numbers) == 65


def test_a_stream_that_ends_or_breaks_is_marked() -> None:
    def breaks() -> "list[bytes]":
        raise ValueError("in its own way")

    for sent in (iter([b"1"]), iter(breaks, None)):
        read: Messages = SimpleQueue()
        _read_ahead(sent, read, threading.Semaphore(64))  # type: ignore[arg-type]
        while (last := read.get()) is not Mark.END:
            assert last == b"1"


def test_draining_ends_streams_behind_what_they_have_read() -> None:
    streams = OpenStreams(2)
    one, two = streams.open(), streams.open()
    with pytest.raises(RefusedError, match="too many streams"):
        streams.open()
    one.put(b"1")
    assert streams.waiting() == 1
    streams.close(two)

    streams.drain()
    streams.drain()

    assert [one.get(), one.get()] == [b"1", Mark.DRAINING]
    assert one.empty()
    assert two.empty()
    with pytest.raises(RefusedError, match="stopping"):
        streams.open()


class Fails:
    """A tracer with a defect."""

    def __init__(self, endpoint: str, ratio: float) -> None:
        pass

    def chosen(self, context: grpc.ServicerContext) -> None:
        raise LookupError("zzz-secret")

    def close(self) -> None:
        pass


def breaks(*_: Any) -> None:
    raise LookupError("zzz-secret")


@pytest.mark.parametrize("broken", ["tracer", "doors", "answer"])
@pytest.mark.parametrize("method", ["CheckPrescription", "BatchCheckPrescriptions", "StreamCheckPrescriptions"])
def test_what_nobody_expected_is_internal_without_its_text(
    knowledge: Knowledge, broken: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = io.StringIO()
    settings = Settings(listen="127.0.0.1:0")
    if broken == "tracer":
        monkeypatch.setattr(serve, "Tracer", Fails)
        settings = Settings(listen="127.0.0.1:0", trace_endpoint="http://127.0.0.1:1")
    elif broken == "answer":
        for name in ("check_prescription", "check_batch", "check_stream_item"):
            monkeypatch.setattr(handlers, name, breaks)
    server = serve.start(settings, knowledge, open_log("info", "json", said))
    if broken == "doors":
        monkeypatch.setattr(server.gate.doors, "admit", breaks)
    channel: Any = grpc.insecure_channel(server.address)
    path = f"/medsafety.v1.MedicationSafetyService/{method}"
    with channel, pytest.raises(grpc.RpcError) as raised:
        list(channel.stream_stream(path)(iter([b""]), timeout=30))  # on the wire a unary call is no other
    assert raised.value.code() is grpc.StatusCode.INTERNAL
    until = time.monotonic() + 10
    while not server.gate.idle() and time.monotonic() < until:
        time.sleep(0.01)
    assert server.gate.idle()
    server.drain()
    assert server.gate.reading._closed.is_set()

    server.log._logger.close()  # type: ignore[attr-defined]  # lines are written a moment later
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    assert [(each["method"], each["code"]) for each in lines if each["event"] == "call"] == [(method, "INTERNAL")]
    faults = [each for each in lines if each["event"] == "fault"]
    assert [each["type"] for each in faults] == ["LookupError"]
    assert faults[0]["error_id"] in str(rpc_status.from_call(raised.value))  # type: ignore[arg-type]
    assert "zzz-secret" not in said.getvalue() + str(raised.value)
