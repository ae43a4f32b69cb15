"""What is logged: when the server starts and stops, one line for each call, and faults by type and place.

No line holds anything of a request but its size: no text, no id, not even the client's request id, which may name a
patient. A log that cannot be written never fails a call.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import select
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any, Protocol, TextIO

import orjson
import structlog

from safety_service.server.handlers import Fault, Tally

GATHER_SECONDS = 0.02  # lines of so long are written together
MOST_WAITING = 100_000  # lines, when the reader stalls; what comes beyond is counted, and the count is logged
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Log(Protocol):
    """The part of a structlog logger that is used."""

    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...


class _Lines:
    """Writes whole lines, many at once, on a thread of its own: a write gives up the interpreter, which a call in
    flight would pay for. A reader that has gone is no reason to fail. What a killed process had not written is lost.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: SimpleQueue[str | None] = SimpleQueue()
        self._left_out = 0
        self._writer = threading.Thread(target=self._write, name="log", daemon=True)
        self._writer.start()
        atexit.register(self.close)

    def msg(self, line: str) -> None:
        if self._waiting.qsize() < MOST_WAITING:
            self._waiting.put(line)
        else:
            self._left_out += 1

    debug = info = warning = error = msg

    def close(self) -> None:
        """Write what is waiting."""
        self._waiting.put(None)
        self._writer.join(timeout=5)

    def _write(self) -> None:
        more = True
        while more:
            lines = [self._waiting.get()]
            while not self._waiting.empty():
                lines.append(self._waiting.get())
            more = None not in lines
            if self._left_out:
                left_out = {"event": "lines_left_out", "level": "warning", "count": self._left_out}
                lines.append(orjson.dumps(left_out).decode())
                self._left_out = 0
            with contextlib.suppress(OSError, ValueError):
                for each in _together([f"{line}\n" for line in lines if line is not None]):
                    self._stream.write(each)
                    self._stream.flush()
            if more:
                time.sleep(GATHER_SECONDS)


def _together(lines: list[str]) -> Iterator[str]:
    """Lines joined to what a pipe takes in one piece, so that those of several processes do not mix."""
    joined: list[str] = []
    room = select.PIPE_BUF
    for line in lines:
        size = len(line.encode())
        if joined and size > room:
            yield "".join(joined)
            joined, room = [], select.PIPE_BUF
        joined.append(line)
        room -= size
    yield "".join(joined)


def open_log(level: str, style: str, stream: TextIO | None = None, **always: Any) -> Log:
    """A log on `stream` (standard output by default), as JSON lines or for people; `always` is told in every line."""
    to = sys.stdout if stream is None else stream
    least = _LEVELS[level]
    if style == "json":
        return _JsonLog(_Lines(to), least, always)
    log: Log = structlog.wrap_logger(
        _Lines(to),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=to.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        cache_logger_on_first_use=True,
    ).bind(**always)
    return log


class _JsonLog:
    """Lines for machines. One is written for each call, so it is made without a chain of processors."""

    def __init__(self, lines: _Lines, least: int, always: dict[str, Any]) -> None:
        self._logger = lines
        self._least = least
        self._always = always

    def info(self, event: str, **fields: Any) -> None:
        self.tell(logging.INFO, "info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self.tell(logging.WARNING, "warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self.tell(logging.ERROR, "error", event, fields)

    def tell(self, level: int, name: str, event: str, fields: dict[str, Any]) -> None:
        """Write a line; `fields` is added to."""
        if level < self._least:
            return
        line = self._always | fields if self._always else fields
        line["event"] = event
        line["level"] = name
        line["timestamp"] = datetime.now(UTC)
        self._logger.msg(orjson.dumps(line, option=orjson.OPT_UTC_Z).decode())


def log_call(
    log: Log,
    method: str,
    code: str,
    duration_us: int,
    bytes_in: int,
    bytes_out: int,
    tally: Tally,
    knowledge_digest: str,
) -> None:
    """The line of one call."""
    fields = {
        "method": method,
        "code": code,
        "caller": tally.caller,
        "duration_us": duration_us,
        "bytes_in": bytes_in,
        "bytes_out": bytes_out,
        "answers": tally.answers,
        "errors": tally.errors,
        "alerts": tally.alerts,
        "overall": tally.overall if tally.answers == 1 else "",
        "knowledge": knowledge_digest[:12],
    }
    if type(log) is _JsonLog:
        log.tell(logging.INFO, "info", "call", fields)
    else:
        log.info("call", **fields)


def log_fault(log: Log, fault: Fault) -> None:
    """An exception that nobody expected."""
    log.error("fault", error_id=fault.error_id, type=fault.type, place=fault.place)
