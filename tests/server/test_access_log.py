import io

import orjson
import pytest

from safety_service.server.access_log import log_call, log_fault, open_log
from safety_service.server.handlers import Fault, Tally


class Gone(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_a_call_is_one_json_line() -> None:
    stream = io.StringIO()
    log_call(
        open_log("info", "json", stream), "CheckPrescription", "OK", 120, 800, 5000, Tally(1, 0, 6, "ALERTS"), "d" * 64
    )

    (line,) = stream.getvalue().splitlines()
    said = orjson.loads(line)
    said.pop("timestamp")
    assert said == {
        "event": "call",
        "level": "info",
        "method": "CheckPrescription",
        "code": "OK",
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

    assert orjson.loads(stream.getvalue())["overall"] == ""


def test_a_fault_is_told_by_type_and_place() -> None:
    stream = io.StringIO()
    log_fault(open_log("error", "json", stream), Fault("ab12", "KeyError", "check.py:7"))

    said = orjson.loads(stream.getvalue())
    assert (said["level"], said["error_id"], said["type"], said["place"]) == ("error", "ab12", "KeyError", "check.py:7")


@pytest.mark.parametrize("style", ["json", "console"])
def test_below_its_level_nothing_is_written(style: str) -> None:
    stream = io.StringIO()
    log = open_log("warning", style, stream)
    log.info("call")
    assert not stream.getvalue()
    log.warning("noticed")
    assert "noticed" in stream.getvalue()


def test_a_log_that_nobody_reads_fails_no_call() -> None:
    open_log("info", "json", Gone()).info("call")
