"""A client of HTTP/2 that keeps no rules: frames by hand, to see what a server does with those who mean harm."""

import contextlib
import socket
import struct
import time
from types import TracebackType

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1
CHECK = "/medsafety.v1.MedicationSafetyService/CheckPrescription"
ENHANCE_YOUR_CALM = 11


class Wire:
    """A connection. Streams have odd numbers, from 1."""

    def __init__(self, address: str, hello: bool = True) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self._held = b""
        if hello:
            self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS))

    def __enter__(self) -> "Wire":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, content: bytes) -> None:
        self.socket.sendall(content)

    def call(self, stream: int, path: str = CHECK, *more: tuple[str, str], end: bool = False) -> bytes:
        """The headers of a call, and nothing of its message."""
        named = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "x"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            *more,
        ]
        block = b"".join(b"\0" + _text(name) + _text(value) for name, value in named)
        return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)

    def read(self, kind: int, seconds: float = 20, stream: int | None = None) -> bytes | None:
        """The content of the next frame of a kind, others are passed over. None: the server has closed."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            head = self._exactly(9, until)
            if head is None:
                return None
            length = int.from_bytes(head[:3], "big")
            content = self._exactly(length, until)
            if content is None:
                return None
            of = int.from_bytes(head[5:9], "big")
            if head[3] == SETTINGS and not head[4] & ACK:
                with contextlib.suppress(OSError):
                    self.send(frame(SETTINGS, ACK))
            if head[3] == kind and (stream is None or of == stream):
                return content
        raise AssertionError(f"no frame of kind {kind} in {seconds} s")

    def closed_after(self, seconds: float) -> float:
        """How long until the server closes. Fails when it does not in so many seconds."""
        began = time.monotonic()
        self.socket.settimeout(seconds)
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            pass
        except TimeoutError:
            raise AssertionError(f"still open after {seconds} s") from None
        return time.monotonic() - began

    def _exactly(self, count: int, until: float) -> bytes | None:
        while len(self._held) < count:
            self.socket.settimeout(max(0.01, until - time.monotonic()))
            try:
                more = self.socket.recv(65536)
            except ConnectionError:
                return None
            if not more:
                return None
            self._held += more
        found, self._held = self._held[:count], self._held[count:]
        return found


def frame(kind: int, flags: int = 0, stream: int = 0, content: bytes = b"") -> bytes:
    return len(content).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + content


def reset(stream: int) -> bytes:
    """Nobody wants the answer any more."""
    return frame(RST_STREAM, 0, stream, struct.pack(">I", 8))


def message(content: bytes, stream: int, announced: int | None = None) -> bytes:
    """A message of gRPC in a frame; `announced` bytes it says it has."""
    size = len(content) if announced is None else announced
    return frame(DATA, 0, stream, b"\0" + size.to_bytes(4, "big") + content)


def _text(text: str) -> bytes:
    data = text.encode()
    if len(data) < 127:
        return bytes([len(data)]) + data
    rest, size = len(data) - 127, b"\x7f"
    while rest >= 128:
        size += bytes([rest % 128 + 128])
        rest //= 128
    return size + bytes([rest]) + data
