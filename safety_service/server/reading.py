"""Requests that are not sent to their end hold a thread; whoever takes too long to send one is cut off."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Final

import grpc

from safety_service.server.errors import cancelled, malformed

_LOOKS: Final = 10  # in the time that a request may take


class Reading:
    """Reads the one request of a call, in at most so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun: dict[int, tuple[float, grpc.ServicerContext]] = {}
        self._closed = threading.Event()
        threading.Thread(target=self._look, name="reading", daemon=True).start()

    def one(self, sent: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """The request. Raises RefusedError when there is none, or it has not come in time: then the call is ended."""
        number = id(context)
        since = time.monotonic()
        self._begun[number] = since, context
        try:
            return next(sent)
        except StopIteration:  # which grpc also says when the call has just been ended
            late = time.monotonic() - since > self._seconds
            raise cancelled() if late or not context.is_active() else malformed() from None
        except Exception:  # the call has ended, in whichever way; grpc tells by different types
            raise cancelled() from None
        finally:
            del self._begun[number]

    def close(self) -> None:
        """No more looking; what is being read is not cut off any more."""
        self._closed.set()

    def _look(self) -> None:
        while not self._closed.wait(self._seconds / _LOOKS):
            late = time.monotonic() - self._seconds
            for since, context in list(self._begun.values()):
                if since < late:
                    context.cancel()
