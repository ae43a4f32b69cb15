import io
import subprocess
import sys
import time
from collections.abc import Callable
from threading import Event

import orjson
import pytest

from safety_service.server import access_log
from safety_service.server.access_log import log_call, log_fault, open_log
from safety_service.server.handlers import Fault, Tally


class Gone(io.StringIO):
    """Nobody reads it any more; counts the attempts."""

    attempts = 0

    def write(self, _: str) -> int:
        self.attempts += 1
        raise BrokenPipeError


def eventually(true: Callable[[], bool]) -> None:
    """Lines are written on a thread of their own."""
    until = time.monotonic() + 10
    while not true():
        assert time.monotonic() < until, "it was not written"
        time.sleep(0.002)


def written(stream: io.StringIO) -> str:
    """What has been written, once something has."""
    eventually(lambda: stream.getvalue().endswith("\n"))
    return stream.getvalue()


def test_a_call_is_one_json_line() -> None:
    stream = io.StringIO()
    log_call(
        open_log("info", "json", stream),
        "CheckPrescription",
        "OK",
        120,
        800,
        5000,
        Tally(1, 0, 6, "ALERTS", "ward"),
        "d" * 64,
    )

    (line,) = written(stream).splitlines()
    said = orjson.loads(line)
    said.pop("timestamp")
    assert said == {
        "event": "call",
        "level": "info",
        "method": "CheckPrescription",
        "code": "OK",
        "caller": "ward",
        "duration_us": 120,
        "bytes_in": 800,
        "bytes_out": 5000,
        "answers": 1,
        "errors": 0,
        "alerts": 6,
        "overall": "ALERTS",
        "knowledge": "d" * 12,
    }


def test_many_answers_have_no_overall() -> None:
    stream = io.StringIO()
    log_call(open_log("info", "json", stream), "B", "OK", 1, 1, 1, Tally(2, 0, 6, "ALERTS"), "d")

    assert orjson.loads(written(stream))["overall"] == ""


def test_a_fault_is_told_by_type_and_place() -> None:
    stream = io.StringIO()
    log_fault(open_log("error", "json", stream), Fault("ab12", "KeyError", "check.py:7"))

    said = orjson.loads(written(stream))
    assert (said["level"], said["error_id"], said["type"], said["place"]) == ("error", "ab12", "KeyError", "check.py:7")


@pytest.mark.parametrize("style", ["json", "console"])
def test_below_its_level_nothing_is_written(style: str) -> None:
    stream = io.StringIO()
    log = open_log("warning", style, stream)
    log.info("call")
    log.warning("noticed")
    (line,) = written(stream).splitlines()
    assert "noticed" in line


def test_a_log_that_nobody_reads_fails_no_call() -> None:
    stream = Gone()
    log = open_log("info", "json", stream)

    for attempts in (1, 2):  # the log outlives the first failure
        log.info("call")
        eventually(lambda: stream.attempts == attempts)  # noqa: B023


def test_many_lines_come_whole_and_in_order() -> None:
    stream = io.StringIO()
    log = open_log("info", "json", stream)
    for i in range(1000):
        log.info("call", number=i)
    eventually(lambda: stream.getvalue().count("\n") == 1000)
    assert [orjson.loads(line)["number"] for line in stream.getvalue().splitlines()] == list(range(1000))


def test_what_waits_is_written_when_the_process_ends() -> None:
    program = "from safety_service.server.access_log import open_log\nlog = open_log('info', 'json')\n"
    program += "for i in range(500): log.info('call', number=i)\n"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60)
    assert len(ended.stdout.splitlines()) == 500


def test_a_stalled_reader_costs_lines_not_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "MOST_WAITING", 10)
    stalled = Event()

    class Stalled(io.StringIO):
        def write(self, text: str) -> int:
            stalled.wait(10)
            return super().write(text)

    stream = Stalled()
    log = open_log("info", "json", stream)
    for i in range(1000):
        log.info("call", number=i)
    stalled.set()
    until = time.monotonic() + 5
    told = 0
    while told < 1000 and time.monotonic() < until:
        time.sleep(0.005)
        lines = [orjson.loads(line) for line in stream.getvalue().splitlines()]
        told = sum(line["count"] if line["event"] == "lines_left_out" else 1 for line in lines)
    assert told == 1000
    assert any(line["event"] == "lines_left_out" for line in lines)
