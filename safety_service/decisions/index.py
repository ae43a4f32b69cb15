"""Segments read into a database that can be asked: SQLite, or PostgreSQL (extra `postgres`). It can be made anew.

Nothing is only in the index. It is written by a process of its own, so that no answer waits for it, and it may be lost
at any time. What is indexed of a segment is committed together with how far the segment was read.
"""

from __future__ import annotations

import math
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from safety_service.decisions.ledger import read_ledger
from safety_service.decisions.records import DECISION, FEEDBACK, alert_id, read_record
from safety_service.decisions.segment import Frame, Reading, read, segments

SCHEMA = 1
_AT_ONCE = 2_000  # records in a transaction
_MOST_SECONDS = 10  # for all of a question to PostgreSQL: a thread of the server waits for the answer
_CONNECT_SECONDS = 5  # of them, for each host of its address
_MOST_SECONDS_TO_WRITE = 120  # for one statement of who writes: forgetting a large segment takes longest
_TABLES = (
    "CREATE TABLE IF NOT EXISTS about (schema_version INTEGER NOT NULL)",
    """CREATE TABLE IF NOT EXISTS segments (
        name TEXT PRIMARY KEY, frames BIGINT NOT NULL, end_byte BIGINT NOT NULL, hash TEXT NOT NULL, fault TEXT NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS decisions (
        id TEXT PRIMARY KEY, at BIGINT NOT NULL, month TEXT NOT NULL, site TEXT NOT NULL, ordered TEXT NOT NULL,
        patient TEXT NOT NULL, overall TEXT NOT NULL, knowledge TEXT NOT NULL, segment TEXT NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS decisions_by_month ON decisions (month, site)",
    "CREATE INDEX IF NOT EXISTS decisions_by_segment ON decisions (segment)",
    """CREATE TABLE IF NOT EXISTS alerts (
        decision TEXT NOT NULL, alert TEXT NOT NULL, rule TEXT NOT NULL, subject TEXT NOT NULL, fired BIGINT NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS alerts_by_decision ON alerts (decision)",
    "CREATE INDEX IF NOT EXISTS alerts_by_alert ON alerts (alert)",
    """CREATE TABLE IF NOT EXISTS feedback (
        id TEXT PRIMARY KEY, content TEXT NOT NULL, alert TEXT NOT NULL, outcome TEXT NOT NULL, system TEXT NOT NULL,
        code TEXT NOT NULL, display TEXT NOT NULL, at BIGINT NOT NULL, segment TEXT NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS feedback_by_alert ON feedback (alert)",
)
_NAMES = ("about", "segments", "decisions", "alerts", "feedback")


class IndexUnavailableError(Exception):
    """The database cannot be reached, read or written; the reason holds no secret of its address."""


class IndexBusyError(Exception):
    """Another question is being answered."""


class Connection(Protocol):
    """What SQLite and PostgreSQL have in common here."""

    def execute(self, query: str, parameters: Sequence[Any] = ...) -> Any: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Database:
    """An open index. `mark` is what stands for a parameter."""

    connection: Connection
    mark: str
    errors: tuple[type[Exception], ...]

    def run(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of a query. Raises IndexUnavailableError."""
        try:
            cursor = self.connection.execute(query.replace("?", self.mark), parameters)
            return [] if cursor.description is None else [tuple(row) for row in cursor.fetchall()]
        except self.errors as error:
            raise IndexUnavailableError(type(error).__name__) from None

    @contextmanager
    def together(self) -> Iterator[None]:
        """All of it or nothing. Raises IndexUnavailableError."""
        try:
            yield
            self.connection.commit()
        except BaseException as error:
            with suppress(*self.errors):
                self.connection.rollback()
            if isinstance(error, self.errors):
                raise IndexUnavailableError(type(error).__name__) from None
            raise


@contextmanager
def opened(address: str, *, to_write: bool) -> Iterator[Database]:
    """The index at a path, or at a `postgresql://` address. Who only reads sees one state of it, whatever is written
    meanwhile. Raises IndexUnavailableError, also where PostgreSQL does not answer: a question has 10 s, and whoever
    writes 120 s for each statement.
    """
    of = _postgres if address.startswith(("postgresql://", "postgres://")) else _sqlite
    with of(address, to_write) as database:
        if to_write:
            with database.together():
                for each in _TABLES:
                    database.run(each)
                held = database.run("SELECT schema_version FROM about")
                if not held:
                    database.run("INSERT INTO about VALUES (?)", SCHEMA)
                elif held != [(SCHEMA,)]:
                    raise IndexUnavailableError("made by another version: run decisions reindex")
        yield database


@contextmanager
def _sqlite(address: str, to_write: bool) -> Iterator[Database]:
    try:
        if to_write:
            os.close(os.open(address, os.O_CREAT | os.O_RDWR, 0o600))
            connection = sqlite3.connect(address, timeout=5)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
        else:
            uri = f"{Path(address).absolute().as_uri()}?mode=ro"
            connection = sqlite3.connect(uri, uri=True, timeout=1, isolation_level=None)
            connection.execute("BEGIN")
    except (sqlite3.Error, OSError) as error:
        raise IndexUnavailableError(type(error).__name__) from None
    with closing(connection):
        yield Database(connection, "?", (sqlite3.Error,))


@contextmanager
def _postgres(address: str, to_write: bool) -> Iterator[Database]:
    try:
        import psycopg
    except ModuleNotFoundError:
        raise IndexUnavailableError("PostgreSQL needs the extra [postgres]") from None
    end = time.monotonic() + _MOST_SECONDS
    try:
        connection: Any = psycopg.connect(address, connect_timeout=_CONNECT_SECONDS)
    except psycopg.Error as error:
        raise IndexUnavailableError(type(error).__name__) from None
    with closing(connection), _bounded(connection, None if to_write else end) as bounded:
        if not to_write:
            try:
                connection.isolation_level, connection.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
                # For a database that is only slow: it stops working on what nobody waits for any more.
                connection.execute(f"SET statement_timeout = '{_MOST_SECONDS} s'")
            except psycopg.Error as error:
                raise IndexUnavailableError(type(error).__name__) from None
        if connection.info.parameter_status("server_encoding") != "UTF8":
            raise IndexUnavailableError("the database must be of encoding UTF8")
        yield Database(bounded, "%s", (psycopg.Error,))


@contextmanager
def _bounded(connection: Any, end: float | None) -> Iterator[Connection]:
    """A connection that ends at that moment, or else at a statement that takes longer than who writes may wait.

    Raises IndexUnavailableError.
    """
    if end is not None:
        with _cut_off(connection, end - time.monotonic()):
            yield connection
        return
    seconds = _MOST_SECONDS_TO_WRITE
    watch = _Watch(seconds)
    with _own_socket(connection) as same:
        thread = threading.Thread(target=watch.run, args=(same,), daemon=True)
        thread.start()
        try:
            yield _Watched(connection, watch)
        except IndexUnavailableError:
            if watch.cut:
                raise IndexUnavailableError(f"no answer within {seconds} s") from None
            raise
        finally:
            watch.over.set()
            thread.join()


class _Watch:
    """Ends a connection on which one statement takes longer than `seconds`. A thread for all of them, not for each."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.until = math.inf  # when the statement that runs must have been answered
        self.over = threading.Event()
        self.cut = False

    def run(self, same: socket.socket) -> None:
        while not self.over.wait(self.seconds / 20):
            if time.monotonic() > self.until:
                self.cut = True
                _hang_up(same)
                return


class _Watched:
    """A connection of which each statement is watched."""

    def __init__(self, connection: Connection, watch: _Watch) -> None:
        self._connection, self._watch = connection, watch

    @contextmanager
    def _timed(self) -> Iterator[None]:
        self._watch.until = time.monotonic() + self._watch.seconds
        try:
            yield
        finally:
            self._watch.until = math.inf

    def execute(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        with self._timed():
            return self._connection.execute(query, parameters)

    def commit(self) -> None:
        with self._timed():
            self._connection.commit()

    def rollback(self) -> None:
        with self._timed():
            self._connection.rollback()

    def close(self) -> None:
        self._connection.close()


def _own_socket(connection: Any) -> socket.socket:
    """Its socket under a number of our own: nobody closes and reuses it. Raises IndexUnavailableError."""
    try:
        return socket.socket(fileno=os.dup(connection.fileno()))
    except (OSError, connection.Error) as error:
        raise IndexUnavailableError(type(error).__name__) from None


def _hang_up(same: socket.socket) -> None:
    with suppress(OSError):  # it has ended already
        same.shutdown(socket.SHUT_RDWR)


@contextmanager
def _cut_off(connection: Any, seconds: float) -> Iterator[None]:
    """Ends a connection after so many seconds; whoever waits for it gets an error.

    A database that is frozen, or out of reach, ends nothing by itself. Raises IndexUnavailableError.
    """
    with _own_socket(connection) as same:
        timer = threading.Timer(max(seconds, 0), _hang_up, (same,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


# --- writing -----------------------------------------------------------------------------------------------------


def reindex(folder: Path, database: Database) -> int:
    """Make it anew from the segments; returns the number of records. Raises IndexUnavailableError and OSError."""
    with database.together():
        for each in _NAMES:
            database.run(f"DROP TABLE IF EXISTS {each}")
        for each in _TABLES:
            database.run(each)
        database.run("INSERT INTO about VALUES (?)", SCHEMA)
    return catch_up(folder, database)


def catch_up(folder: Path, database: Database) -> int:
    """Index what has been written since, and forget what was pruned; returns the number of new records.

    Raises IndexUnavailableError, OSError, and BrokenLedgerError.
    """
    known = {
        name: (frames, end, bytes.fromhex(hashed))
        for name, frames, end, hashed in database.run("SELECT name, frames, end_byte, hash FROM segments")
    }
    pruned = {each.segment for each in read_ledger(folder) if each.is_pruned}
    for name in pruned & known.keys():
        _forget(database, name)
    new = 0
    for path in segments(folder):
        if path.name not in pruned:
            new += _segment(database, path, known.get(path.name))
    return new


def _forget(database: Database, segment: str) -> None:
    with database.together():
        database.run("DELETE FROM alerts WHERE decision IN (SELECT id FROM decisions WHERE segment = ?)", segment)
        for table in ("decisions", "feedback"):
            database.run(f"DELETE FROM {table} WHERE segment = ?", segment)
        database.run("DELETE FROM segments WHERE name = ?", segment)


def _segment(database: Database, path: Path, known: tuple[int, int, bytes] | None) -> int:
    if known is not None and path.stat().st_size == known[1]:
        return 0
    start = None if known is None or not known[0] else Frame(known[0] - 1, b"", known[2], known[1])
    state = Reading()
    new = 0
    frames = read(path, state, start)
    while True:
        with database.together():
            taken = 0
            for frame in frames:
                new += _index(database, path.name, read_record(frame.payload))
                taken += 1
                if taken == _AT_ONCE:
                    break
            database.run(
                "INSERT INTO segments VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
                "frames = excluded.frames, end_byte = excluded.end_byte, hash = excluded.hash, fault = excluded.fault",
                path.name,
                state.frames,
                state.end,
                state.hash.hex(),
                state.fault,
            )
        if taken < _AT_ONCE:
            return new


def _index(database: Database, segment: str, record: Mapping[str, Any]) -> int:
    if record["kind"] == DECISION:
        _decision(database, segment, record)
    elif record["kind"] == FEEDBACK:
        _feedback(database, segment, record)
    else:
        return 0
    return 1


def _decision(database: Database, segment: str, record: Mapping[str, Any]) -> None:
    moment = datetime.fromtimestamp(record["at"] // 1_000_000_000, UTC)
    site = record["caller"] or record["site"]
    decision = record["id"]
    database.run(
        "INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
        decision,
        record["at"],
        f"{moment:%Y-%m}",
        site,
        record["order"] or decision,
        record["patient"],
        record["overall"],
        record["knowledge"],
        segment,
    )
    for rule, _, _, subject, fingerprint, *_ in record["alerts"]:
        own = alert_id(decision, fingerprint)
        database.run("INSERT INTO alerts VALUES (?, ?, ?, ?, 1)", decision, own, rule, subject)
    for rule, _, _, subject in record["suppressed"]:
        database.run("INSERT INTO alerts VALUES (?, '', ?, ?, 0)", decision, rule, subject)


def _feedback(database: Database, segment: str, record: Mapping[str, Any]) -> None:
    """Of two of one caller with the same id the one that was recorded later counts."""
    database.run(
        "INSERT INTO feedback VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
        "content = excluded.content, alert = excluded.alert, outcome = excluded.outcome, system = excluded.system, "
        "code = excluded.code, display = excluded.display, at = excluded.at, segment = excluded.segment "
        "WHERE excluded.at > feedback.at",
        f"{record['caller']}\n{record['id']}",
        record["content"],
        record["alert_id"].lower(),
        record["outcome"],
        record.get("system", ""),
        record.get("code", ""),
        record.get("display", ""),
        record["at"],
        segment,
    )


# --- asking ------------------------------------------------------------------------------------------------------


def segment_of(database: Database, decision: str) -> str | None:
    """The segment that holds a decision. Raises IndexUnavailableError."""
    rows = database.run("SELECT segment FROM decisions WHERE id = ?", decision)
    return rows[0][0] if rows else None
