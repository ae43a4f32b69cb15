import threading
import time
from itertools import count
from queue import SimpleQueue

import pytest

from safety_service.server import limits
from safety_service.server.errors import RefusedError
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
