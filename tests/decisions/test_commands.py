"""`safety-service decisions`, as an operator types it."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import orjson
import pytest
from typer.testing import CliRunner

from safety_service.cli import app
from safety_service.decisions.index import IndexUnavailableError, opened
from safety_service.decisions.log import DecisionLog
from safety_service.decisions.records import alert_id
from safety_service.decisions.segment import segments
from safety_service.decisions.summary import Asked, summarize
from safety_service.domain import CheckRequest
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from tests.decisions.clock import Clock
from tests.decisions.postgres import Postgres

Decide = Callable[..., bytes]


@pytest.fixture
def run(log: DecisionLog, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs a command that must end with a code; returns what it printed."""
    monkeypatch.setenv("MEDSAFETY_DECISIONS_DIR", str(log.folder))

    def call(*words: str, code: int = 0) -> str:
        ended = CliRunner().invoke(app, ["decisions", *words])
        assert ended.exit_code == code, ended.output
        return ended.output

    return call


def test_from_a_decision_to_its_sums(
    run: Callable[..., str], decide: Decide, knowledge: Knowledge, request_sent: CheckRequest
) -> None:
    decision = decide()
    decision_id = str(UUID(bytes=decision))
    alert = check(knowledge, request_sent, b"key").alerts[0]
    shown = orjson.loads(run("show", decision_id))
    assert shown["alerts"][0][0] == "duration.course"
    told = run("feedback", alert_id(decision.hex(), alert.fingerprint), "overridden", "--code", "benefit")
    assert run("index") == "2 records indexed\n"
    assert run("index") == "0 records indexed\n"
    assert run("reindex") == "2 records indexed\n"
    line = next(each for each in run("summary").splitlines() if each.startswith("duration.course"))
    assert line.split()[1:] == ["100.0", "0.0", "100.0", "0.0", "benefit", "1"]
    assert "No alert" in run("summary", "--rule", "none.such")
    assert len(told.strip()) == 32
    assert run("replay", "--today", decision_id).count("the same decision") == 2
    assert "no such decision" in run("show", str(UUID(int=99)), code=4)
    run("show", "not an id", code=2)


def test_verify_and_prune(run: Callable[..., str], log: DecisionLog, decide: Decide, clock: Clock) -> None:
    for _ in range(12):  # beyond the size of a segment of this test
        decide()
    log.close()
    assert "12 records in" in run("verify")
    first = segments(log.folder)[0]
    content = bytearray(first.read_bytes())
    content[300] ^= 1
    first.write_bytes(content)
    assert "was changed" in run("verify", code=1)
    content[300] ^= 1
    first.write_bytes(content)
    assert "2 files removed" in run("prune", "--before", "2027-01-01")
    assert "nothing is missing" in run("verify")


def test_the_index_follows_and_may_go_at_any_time(log: DecisionLog, decide: Decide) -> None:
    address = log.folder / "index.sqlite"
    command = [sys.executable, "-m", "safety_service", "decisions", "index", "--follow", "--dir", str(log.folder)]

    def wait_for(path: Path) -> None:
        until = time.monotonic() + 60
        while not path.exists():
            assert time.monotonic() < until, "no index was made"
            time.sleep(0.05)

    decide()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(address)
        for each in log.folder.glob("index.sqlite*"):
            each.unlink()
        decide()
        wait_for(address)
        second = subprocess.run(
            [each for each in command if each != "--follow"], capture_output=True, text=True, check=False
        )
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "another process is indexing" in second.stderr
    assert out.splitlines()[-1].endswith("records indexed")


def test_an_index_in_postgresql_that_is_killed_is_told_of_and_caught_up_with(
    log: DecisionLog, decide: Decide, request_sent: CheckRequest, postgres: Postgres, tmp_path: Path
) -> None:
    address = postgres.new_database()
    command = [sys.executable, "-m", "safety_service", "decisions", "index", "--follow", "--dir", str(log.folder)]

    def wait_for(what: Callable[[], bool]) -> None:
        until = time.monotonic() + 60
        while not what():
            assert time.monotonic() < until, (tmp_path / "told").read_text()
            time.sleep(0.05)

    def orders() -> int:
        try:
            with opened(address, to_write=False) as database:
                return max((each.orders for each in summarize(database, Asked()).rows), default=0)
        except IndexUnavailableError:
            return -1

    decide()
    with (tmp_path / "told").open("wb") as told:
        process = subprocess.Popen([*command, "--index", address], stdout=subprocess.DEVNULL, stderr=told)
    try:
        wait_for(lambda: orders() == 1)
        try:
            postgres.kill()
            assert orders() == -1
            decide(replace(request_sent, prescription=replace(request_sent.prescription, id="another")))
            wait_for(lambda: "not indexed: " in (tmp_path / "told").read_text())
        finally:
            postgres.start()
        wait_for(lambda: orders() == 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    lines = (tmp_path / "told").read_text().splitlines()
    assert all(each.startswith("not indexed: ") for each in lines), "an error in a line, no trace"
