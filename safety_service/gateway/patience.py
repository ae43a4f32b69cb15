"""What a connection is held to while nobody reads its requests: headers come in time, and are not endless; so is the
rest of a body that was answered before it had all come, which is taken in so that the client gets to see the answer.

Any other body has a time and a size of its own, where it is read. gRPC does both by itself.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from safety_service.server.limits import REQUEST_BYTES

HEAD_BYTES: Final = 64 * 1024


def patient_for(seconds: float) -> type[asyncio.Protocol]:
    """The protocol of uvicorn, which closes a connection that sends no whole headers, or no whole rest of a body, for
    so long, or too many bytes of them.
    """

    class Patient(HttpToolsProtocol):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self._end: asyncio.TimerHandle | None = None  # while headers, or the rest of a body, are awaited
            self._came = 0  # bytes of them
            self._most = 0
            self._is_whole = False  # whether all of the latest request has come

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._await(HEAD_BYTES)

        def connection_lost(self, exc: Exception | None) -> None:
            self._have()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._end is None and self.cycle.response_complete:
                self._await(HEAD_BYTES if self._is_whole else REQUEST_BYTES.value)
            self._came += len(data)
            super().data_received(data)
            if self._end is not None and self._came > self._most:
                self.transport.close()

        def on_headers_complete(self) -> None:
            self._have()
            self._is_whole = False
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._is_whole = True
            if self._end is not None:  # a rest of a body was awaited; now the next headers are
                self._have()
                self._await(HEAD_BYTES)
            super().on_message_complete()

        def _await(self, most: int) -> None:
            self._came, self._most = 0, most
            self._end = self.loop.call_later(seconds, self.transport.close)

        def _have(self) -> None:
            if self._end is not None:
                self._end.cancel()
                self._end = None

    return Patient
