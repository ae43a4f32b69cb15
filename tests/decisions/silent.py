"""A PostgreSQL that lets everybody in and then says nothing: frozen, or behind a network that drops everything."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType


def _message(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("!i", len(content) + 4) + content


def _parameter(name: bytes, value: bytes) -> bytes:
    return _message(b"S", name + b"\0" + value + b"\0")


_WELCOME = b"".join(
    (
        _message(b"R", struct.pack("!i", 0)),  # AuthenticationOk
        _parameter(b"server_encoding", b"UTF8"),
        _parameter(b"client_encoding", b"UTF8"),
        _parameter(b"server_version", b"17.0"),
        _message(b"K", struct.pack("!ii", 1, 1)),
        _message(b"Z", b"I"),
    )
)


class Silent:
    """Runs while it is entered. `asked` is set once a question has come that gets no answer."""

    def __init__(self, *, greets: bool = True) -> None:
        self.asked = threading.Event()
        self._greets = greets
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept)

    @property
    def address(self) -> str:
        port = self._listening.getsockname()[1]
        return f"postgresql://someone@127.0.0.1:{port}/x?sslmode=disable&gssencmode=disable"

    def __enter__(self) -> Silent:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # ends accept
        self._thread.join()
        self._listening.close()
        self.hang_up()

    def hang_up(self) -> None:
        """End every connection there is."""
        while self._open:
            with self._open.pop() as each, suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError):
            client.recv(65536)  # the startup packet
            if self._greets:
                client.sendall(_WELCOME)
                if client.recv(65536):
                    self.asked.set()
