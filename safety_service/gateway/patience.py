"""What a connection is held to before a request has begun: its headers come in time, and are not endless.

The body has a time and a size of its own, where it is read. gRPC does both by itself.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES: Final = 64 * 1024


def patient_for(seconds: float) -> type[asyncio.Protocol]:
    """The protocol of uvicorn, which closes a connection that sends no whole headers for so long, or too many."""

    class Patient(HttpToolsProtocol):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self._end: asyncio.TimerHandle | None = None  # while headers are awaited
            self._came = 0  # bytes of them

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._await_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            self._have_headers()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._end is None and self.cycle.response_complete:
                self._await_headers()  # of the next request on this connection
            self._came += len(data)
            super().data_received(data)
            if self._end is not None and self._came > HEAD_BYTES:
                self.transport.close()

        def on_headers_complete(self) -> None:
            self._have_headers()
            super().on_headers_complete()

        def _await_headers(self) -> None:
            self._came = 0
            self._end = self.loop.call_later(seconds, self.transport.close)

        def _have_headers(self) -> None:
            if self._end is not None:
                self._end.cancel()
                self._end = None

    return Patient
