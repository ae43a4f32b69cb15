"""The index: the same sums from SQLite and PostgreSQL, made anew at any time, and never in the way."""

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from safety_service.decisions.index import (
    Connection,
    Database,
    IndexUnavailableError,
    catch_up,
    opened,
    reindex,
    segment_of,
)
from safety_service.decisions.ledger import prune
from safety_service.decisions.log import DecisionLog
from safety_service.decisions.records import Feedback, alert_id, read_record
from safety_service.decisions.segment import read, segments
from safety_service.decisions.summary import Asked, Reason, summarize
from safety_service.domain import CheckRequest
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server.errors import CODE_NAMES, RefusedError
from safety_service.server.feedback_handlers import Keeping, summarize_alerts
from tests.decisions.clock import Clock
from tests.decisions.postgres import Postgres
from tests.decisions.silent import Silent

Decide = Callable[..., bytes]
DAY = 86_400 * 1_000_000_000
MONTH = "2026-11"


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "index.sqlite")
    running: Postgres = request.getfixturevalue("postgres")
    return running.new_database()


@pytest.fixture
def database(address: str) -> Iterator[Database]:
    with opened(address, to_write=True) as found:
        yield found


@pytest.fixture
def overridden(log: DecisionLog, decide: Decide, knowledge: Knowledge, request_sent: CheckRequest) -> tuple[bytes, ...]:
    """Three orders of two callers, one checked twice; one alert overridden and one accepted."""
    alerts = check(knowledge, request_sent, b"key").alerts
    other = replace(request_sent, prescription=replace(request_sent.prescription, id="another"))
    ids = (decide(caller="a"), decide(caller="a"), decide(other, caller="a"), decide(caller="b"))
    first = alert_id(ids[0].hex(), alerts[0].fingerprint)
    second = alert_id(ids[2].hex(), alerts[1].fingerprint)
    log.take([Feedback(first.upper(), "overridden", system="urn:x", code="benefit", display="Benefit")], "a")
    log.take([Feedback(second, "accepted")], "a")
    return ids


def test_sums_are_per_order_site_and_month(log: DecisionLog, overridden: object, database: Database) -> None:
    assert catch_up(log.folder, database) == 6
    assert catch_up(log.folder, database) == 0
    found = summarize(database, Asked())
    rows = {(each.site, each.rule_id): each for each in found.rows}

    course = rows["a", "duration.course"]
    assert (course.month, course.orders, course.fired, course.suppressed) == (MONTH, 2, 2, 0)
    assert (course.overridden, course.accepted) == (1, 0)
    assert course.reasons == (Reason("urn:x", "benefit", "Benefit", 1),)
    assert course.per_100(course.overridden) == 50
    start = rows["a", "hepatic.start-dose"]
    assert (start.overridden, start.accepted) == (0, 1)
    assert rows["b", "duration.course"].orders == 1
    assert [each.site for each in found.rows] == sorted(each.site for each in found.rows)
    assert found.rows[0] == course

    assert {each.rule_id for each in summarize(database, Asked(rule_id="duration.course")).rows} == {"duration.course"}
    assert {each.site for each in summarize(database, Asked(site="b")).rows} == {"b"}
    assert summarize(database, Asked(from_month="2026-12")).rows == ()
    assert summarize(database, Asked(to_month="2026-10")).rows == ()
    assert summarize(database, Asked(MONTH, MONTH)).rows == found.rows


def test_of_two_with_one_id_the_later_counts_and_the_same_counts_once(
    log: DecisionLog,
    overridden: tuple[bytes, ...],
    database: Database,
    clock: Clock,
    knowledge: Knowledge,
    request_sent: CheckRequest,
) -> None:
    fingerprint = check(knowledge, request_sent, b"key").alerts[0].fingerprint
    alert = alert_id(overridden[3].hex(), fingerprint)
    told = Feedback(alert, "overridden", id="f-1")
    assert log.take([told, told], "b") == ["f-1", "f-1"]
    catch_up(log.folder, database)
    (row,) = summarize(database, Asked(rule_id="duration.course", site="b")).rows
    assert (row.overridden, row.reasons) == (1, (Reason("", "", "", 1),))

    clock.now += 1
    log.take([replace(told, outcome="accepted")], "b")
    catch_up(log.folder, database)
    (row,) = summarize(database, Asked(rule_id="duration.course", site="b")).rows
    assert (row.overridden, row.accepted, row.reasons) == (0, 1, ())


def test_the_index_made_anew_is_the_same(
    log: DecisionLog, decide: Decide, overridden: tuple[bytes, ...], database: Database
) -> None:
    log.writer.close()
    decide()  # in a segment of its own, so that there is another it could be
    catch_up(log.folder, database)
    before = summarize(database, Asked())
    assert reindex(log.folder, database) == 7
    assert summarize(database, Asked()) == before
    for each in overridden:
        name = segment_of(database, each.hex())
        assert name is not None
        assert each.hex().encode() in (log.folder / name).read_bytes()
    assert len(segments(log.folder)) == 2
    assert segment_of(database, "0" * 32) is None


def test_what_is_pruned_leaves_the_index(log: DecisionLog, decide: Decide, clock: Clock, database: Database) -> None:
    old = decide()
    clock.now += 40 * DAY
    new = decide()
    catch_up(log.folder, database)
    assert len({each.month for each in summarize(database, Asked()).rows}) == 2
    prune(log.folder, clock.now - DAY, clock.now)
    catch_up(log.folder, database)

    assert {each.month for each in summarize(database, Asked()).rows} == {"2027-01"}
    assert segment_of(database, old.hex()) is None
    assert segment_of(database, new.hex()) is not None


def test_nothing_is_half_indexed(database: Database) -> None:
    def half(then: str) -> None:
        with database.together():
            database.run("INSERT INTO about VALUES (9)")
            database.run(then) if then else 1 / 0

    with pytest.raises(ZeroDivisionError):
        half("")
    assert database.run("SELECT schema_version FROM about") == [(1,)]
    with pytest.raises(IndexUnavailableError):
        half("SELECT nothing FROM nowhere")
    assert database.run("SELECT schema_version FROM about") == [(1,)]


@dataclass
class Interrupted:
    """A connection to which something happens before one of its statements, commits counted too."""

    connection: Connection
    before: int
    happen: Callable[[], object]
    count: int = 0

    def _next(self) -> None:
        self.count += 1
        if self.count == self.before:
            self.happen()

    def execute(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        self._next()
        return self.connection.execute(query, parameters)

    def commit(self) -> None:
        self._next()
        self.connection.commit()

    def rollback(self) -> None:
        self.connection.rollback()

    def close(self) -> None:
        self.connection.close()


def interrupted(database: Database, before: int, happen: Callable[[], object]) -> tuple[Database, Interrupted]:
    connection = Interrupted(database.connection, before, happen)
    return replace(database, connection=connection), connection


def test_sums_are_of_one_moment(
    log: DecisionLog, decide: Decide, database: Database, address: str, request_sent: CheckRequest
) -> None:
    """An order is decided and indexed between two of the questions."""
    decide()
    catch_up(log.folder, database)

    def another() -> None:
        decide(replace(request_sent, prescription=replace(request_sent.prescription, id="another")))
        assert catch_up(log.folder, database) == 1

    with opened(address, to_write=False) as reading:
        asked, _ = interrupted(reading, 2, another)
        rows = summarize(asked, Asked()).rows
    assert {(each.orders, each.fired) for each in rows} == {(1, 1)}
    assert {(each.orders, each.fired) for each in summarize(database, Asked()).rows} == {(2, 2)}


def half_indexed(log: DecisionLog, database: Database) -> list[str]:
    """The segments of which not exactly what was read is there."""
    wrong = []
    for name, frames in database.run("SELECT name, frames FROM segments"):
        of = [read_record(each.payload) for each in itertools.islice(read(log.folder / name), frames)]
        there = {kind: sum(each["kind"] == kind for each in of) for kind in ("decision", "feedback")}
        alerts = sum(len(each["alerts"]) + len(each["suppressed"]) for each in of if each["kind"] == "decision")
        ((decisions,),) = database.run("SELECT COUNT(*) FROM decisions WHERE segment = ?", name)
        ((told,),) = database.run("SELECT COUNT(*) FROM feedback WHERE segment = ?", name)
        ((fired,),) = database.run(
            "SELECT COUNT(*) FROM alerts WHERE decision IN (SELECT id FROM decisions WHERE segment = ?)", name
        )
        if (decisions, told, fired) != (there["decision"], there["feedback"], alerts):
            wrong.append(name)
    return wrong


def test_a_database_killed_in_mid_use_holds_nothing_by_half_and_catches_up(
    log: DecisionLog, overridden: object, postgres: Postgres, tmp_path: Path
) -> None:
    """kill -9 of PostgreSQL before the first statement, in the middle, and before the last commit."""
    with opened(str(tmp_path / "index.sqlite"), to_write=True) as whole:
        counted, counting = interrupted(whole, 0, lambda: None)
        assert catch_up(log.folder, counted) == 6
        expected = summarize(whole, Asked())
    for moment in (1, counting.count // 2, counting.count):
        address = postgres.new_database()
        with opened(address, to_write=True) as database:
            killed, _ = interrupted(database, moment, postgres.kill)
            try:
                with pytest.raises(IndexUnavailableError):
                    catch_up(log.folder, killed)
                with pytest.raises(RefusedError) as refused:
                    summarize_alerts(Keeping(None, address), b"", "")
                assert CODE_NAMES[refused.value.status.code] == "UNAVAILABLE"
                assert "decisions index --follow" in refused.value.status.message
            finally:
                postgres.start()
        with opened(address, to_write=True) as database:
            assert half_indexed(log, database) == []
            catch_up(log.folder, database)
            assert half_indexed(log, database) == []
            assert summarize(database, Asked()) == expected


KILLED = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from safety_service.decisions.index import catch_up, opened

class Dying:
    def __init__(self, connection, left):
        self.connection, self.left = connection, left
    def next(self):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)
    def execute(self, *given):
        self.next()
        return self.connection.execute(*given)
    def commit(self):
        self.next()
        self.connection.commit()

with opened(sys.argv[2], to_write=True) as database:
    catch_up(Path(sys.argv[1]), replace(database, connection=Dying(database.connection, int(sys.argv[3]))))
"""


def test_whoever_indexes_may_be_killed_at_any_statement(log: DecisionLog, overridden: object, tmp_path: Path) -> None:
    """SQLite has no server: kill -9 of the process that writes, before the same three statements."""
    with opened(str(tmp_path / "index.sqlite"), to_write=True) as whole:
        counted, counting = interrupted(whole, 0, lambda: None)
        catch_up(log.folder, counted)
        expected = summarize(whole, Asked())
    for moment in (1, counting.count // 2, counting.count):
        address = str(tmp_path / f"{moment}.sqlite")
        ended = subprocess.run([sys.executable, "-c", KILLED, log.folder, address, str(moment)], check=False)
        assert ended.returncode == -signal.SIGKILL
        assert summarize_alerts(Keeping(None, address), b"", "") is not None
        with opened(address, to_write=True) as database:
            assert half_indexed(log, database) == []
            catch_up(log.folder, database)
            assert half_indexed(log, database) == []
            assert summarize(database, Asked()) == expected


def test_a_database_killed_while_it_sums_up_is_unavailable(
    log: DecisionLog, overridden: object, postgres: Postgres
) -> None:
    address = postgres.new_database()
    with opened(address, to_write=True) as database:
        catch_up(log.folder, database)
    with opened(address, to_write=False) as reading:
        killed, _ = interrupted(reading, 3, postgres.kill)
        try:
            with pytest.raises(IndexUnavailableError):
                summarize(killed, Asked())
        finally:
            postgres.start()
    assert summarize_alerts(Keeping(None, address), b"", "").ByteSize() > 100


def test_a_question_to_a_database_that_does_not_answer_has_an_end(
    log: DecisionLog, overridden: object, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("safety_service.decisions.index._MOST_SECONDS", 0.2)
    address = postgres.new_database()
    with opened(address, to_write=True) as database:
        catch_up(log.folder, database)
        with database.together():
            database.run("LOCK TABLE alerts IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(RefusedError) as refused:
                summarize_alerts(Keeping(None, address), b"", "")
    assert CODE_NAMES[refused.value.status.code] == "UNAVAILABLE"


@pytest.mark.parametrize("moment", [1, 6])
def test_a_question_to_a_database_that_is_frozen_in_mid_use_has_an_end(
    moment: int, log: DecisionLog, overridden: object, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGSTOP before the first and the last of its statements."""
    address = postgres.new_database()
    with opened(address, to_write=True) as database:
        catch_up(log.folder, database)
    monkeypatch.setattr("safety_service.decisions.index._MOST_SECONDS", 2)
    frozen: list[threading.Timer] = []
    with ExitStack() as stack:
        reading = stack.enter_context(opened(address, to_write=False))
        asked, asking = interrupted(reading, moment, lambda: frozen.append(stack.enter_context(postgres.frozen())))
        with pytest.raises(IndexUnavailableError):
            summarize(asked, Asked())
        assert asking.count == moment
        assert frozen[0].is_alive()
    monkeypatch.undo()
    assert summarize_alerts(Keeping(None, address), b"", "").ByteSize() > 100


def freezing_at(moment: int, address: str, log: DecisionLog, freeze: Callable[[], object]) -> None:
    with opened(address, to_write=True) as database:
        catch_up(log.folder, interrupted(database, moment, freeze)[0])


@pytest.mark.parametrize("moment", [1, 3])
def test_indexing_into_a_database_that_freezes_has_an_end_and_is_done_again(
    moment: int,
    log: DecisionLog,
    overridden: object,
    postgres: Postgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SIGSTOP before the first of its statements and amid a transaction: nothing of that stays, all is read again."""
    address = postgres.new_database()
    with opened(str(tmp_path / "fresh.sqlite"), to_write=True) as fresh:
        number = catch_up(log.folder, fresh)
    monkeypatch.setattr("safety_service.decisions.index._MOST_SECONDS_TO_WRITE", 1)
    with ExitStack() as stack:
        frozen: list[threading.Timer] = []
        with pytest.raises(IndexUnavailableError, match=r"^no answer within 1 s$"):
            freezing_at(moment, address, log, lambda: frozen.append(stack.enter_context(postgres.frozen())))
        assert frozen[0].is_alive()
    monkeypatch.undo()
    with opened(address, to_write=True) as database:
        assert catch_up(log.folder, database) == number > 0


def test_a_database_that_is_frozen_before_it_is_asked_is_unavailable(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("safety_service.decisions.index._CONNECT_SECONDS", 2)  # the least that is kept
    address = postgres.new_database()
    with postgres.frozen() as frozen:
        with pytest.raises(IndexUnavailableError), opened(address, to_write=False):
            pass
        assert frozen.is_alive()


@pytest.mark.parametrize("greets", [True, False])
def test_a_question_to_a_host_that_falls_silent_has_an_end(greets: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safety_service.decisions.index._MOST_SECONDS", 0.5)
    monkeypatch.setattr("safety_service.decisions.index._CONNECT_SECONDS", 2)
    with Silent(greets=greets) as silent:
        giving_up = threading.Timer(20, silent.hang_up)
        giving_up.start()
        with pytest.raises(RefusedError) as refused:
            summarize_alerts(Keeping(None, silent.address), b"", "")
        assert giving_up.is_alive()
        giving_up.cancel()
        assert silent.asked.is_set() == greets
    assert CODE_NAMES[refused.value.status.code] == "UNAVAILABLE"


def test_while_one_question_waits_others_are_refused_at_once() -> None:
    with Silent() as silent, ThreadPoolExecutor(1) as pool:
        keeping = Keeping(None, silent.address)
        waiting = pool.submit(summarize_alerts, keeping, b"", "")
        assert silent.asked.wait(20)
        for _ in range(3):
            with pytest.raises(RefusedError) as refused:
                summarize_alerts(keeping, b"", "")
            assert CODE_NAMES[refused.value.status.code] == "RESOURCE_EXHAUSTED"
        assert not waiting.done()
        silent.hang_up()
        with pytest.raises(RefusedError) as ended:
            waiting.result(20)
        assert CODE_NAMES[ended.value.status.code] == "UNAVAILABLE"
    with pytest.raises(RefusedError) as again:  # there is room again
        summarize_alerts(keeping, b"", "")
    assert CODE_NAMES[again.value.status.code] == "UNAVAILABLE"


def test_a_question_that_was_answered_in_time_ends_nothing_later(
    log: DecisionLog, overridden: object, postgres: Postgres
) -> None:
    """No thread stays, and no file descriptor."""
    address = postgres.new_database()
    with opened(address, to_write=True) as database:
        catch_up(log.folder, database)
    keeping = Keeping(None, address)
    expected = summarize_alerts(keeping, b"", "")
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        assert summarize_alerts(keeping, b"", "") == expected
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before


def test_an_index_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    for address in (str(tmp_path / "none.sqlite"), f"postgresql://127.0.0.1:1/x?user=a&password={UUID(int=7)}"):
        with pytest.raises(IndexUnavailableError) as raised, opened(address, to_write=False):
            pass
        assert str(UUID(int=7)) not in str(raised.value)
    (tmp_path / "broken.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(IndexUnavailableError), opened(str(tmp_path / "broken.sqlite"), to_write=True):
        pass
