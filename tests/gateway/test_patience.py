"""An answer given before the whole body has come is seen by whoever still sends, and what it sends has an end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from safety_service.gateway.patience import HEAD_BYTES, patient_for
from safety_service.server.limits import REQUEST_BYTES

SOON = 20
Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
REFUSED = b"HTTP/1.1 401 Unauthorized"


async def refuses(scope: Any, receive: Any, send: Any) -> None:
    """Reads no body."""
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": b"no"})


def head(size: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size


async def answer(reader: asyncio.StreamReader) -> bytes:
    """The first line of an answer, whose rest is read too."""
    told = await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(2) == b"no"
    return told.partition(b"\r\n")[0]


async def sent_until_closed(writer: asyncio.StreamWriter, piece: bytes, pause: float) -> int:
    """How many bytes of an endless body went out."""
    sent = 0
    try:
        while True:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
            await asyncio.sleep(pause)
    except ConnectionError:
        return sent


def connected(seconds: float, client: Client) -> None:
    """Runs a client of a server with such patience; fails when it has not ended soon."""

    async def run() -> None:
        config = uvicorn.Config(refuses, log_config=None, access_log=False, lifespan="off", timeout_keep_alive=300)
        config.load()
        protocol: Any = patient_for(seconds)
        state = ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: protocol(config, state, {}), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            async with asyncio.timeout(SOON):
                await client(reader, writer)
        finally:
            writer.close()
            server.close()

    asyncio.run(run())


@pytest.mark.parametrize("read_first", [True, False])
def test_who_is_refused_in_mid_body_sends_all_of_it_and_sees_why(read_first: bool) -> None:
    """200 kB in pieces, more than headers may have; the connection stays good for the next request."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            writer.write(head(200_000))
            if read_first:
                assert await answer(reader) == REFUSED
            for _ in range(100):
                writer.write(b"x" * 2_000)
                await writer.drain()
                await asyncio.sleep(0.001)
            if not read_first:
                assert await answer(reader) == REFUSED

    connected(300, client)


def test_the_rest_of_a_body_ends_at_the_size_of_a_request() -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head(1 << 40))
        assert await answer(reader) == REFUSED
        assert await sent_until_closed(writer, b"x" * 65_536, 0) >= REQUEST_BYTES.value

    connected(300, client)


def test_the_rest_of_a_body_has_as_long_as_headers_have() -> None:
    """It comes drop by drop, each in time."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head(1 << 40))
        assert await answer(reader) == REFUSED
        assert await sent_until_closed(writer, b"x", 0.01) < REQUEST_BYTES.value

    connected(0.5, client)


@pytest.mark.parametrize("more", [b"", b"GET /"])
def test_the_request_behind_the_rest_of_a_body_is_not_waited_for_without_end(more: bytes) -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head(10))
        assert await answer(reader) == REFUSED
        writer.write(b"x" * 10 + more)
        assert await reader.read() == b""

    connected(0.5, client)


def test_headers_behind_the_rest_of_a_body_are_held_to_the_size_of_headers() -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head(10))
        assert await answer(reader) == REFUSED
        writer.write(b"x" * 10 + b"GET / HTTP/1.1\r\n")
        assert await sent_until_closed(writer, b"X-Some: " + b"y" * 1_000 + b"\r\n", 0) < 100 * HEAD_BYTES

    connected(300, client)
