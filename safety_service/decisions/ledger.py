"""The final hash of every segment that is finished, and of those that were removed: one chained line each.

A segment is finished when its writer closed it, or has died; whoever opens the folder next seals what the dead left.
The ledger is what a missing segment is missed by, so keep a copy of its last line where nobody who can write here can.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from safety_service.decisions.segment import Reading, is_being_written, read, segments

NAME = "ledger.jsonl"
_LOCK = ".ledger.lock"


class Entry(NamedTuple):
    """`what` happened to a segment: sealed, or pruned, when it was removed for its age."""

    what: str
    segment: str
    hash: str
    frames: int
    bytes: int
    torn: int
    at: int

    @property
    def is_pruned(self) -> bool:
        return self.what == "pruned"


class BrokenLedgerError(Exception):
    """A line of the ledger was changed, or is missing."""


def read_ledger(folder: Path) -> list[Entry]:
    """The entries in order. Raises BrokenLedgerError and OSError."""
    path = folder / NAME
    return [] if not path.exists() else [entry for entry, _ in _lines(path)]


def _lines(path: Path) -> Iterator[tuple[Entry, str]]:
    before = ""
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
        if not line.endswith(b"\n"):
            return  # cut off while it was written; it will be written anew
        try:
            held: dict[str, Any] = orjson.loads(line)
            chained = held.pop("chain")
            entry = Entry(**held)
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            raise BrokenLedgerError(f"line {number} of {path.name} cannot be read") from None
        before = _chain(before, entry)
        if chained != before:
            raise BrokenLedgerError(f"line {number} of {path.name} was changed, or one before it is missing")
        yield entry, before


def _chain(before: str, entry: Entry) -> str:
    return hashlib.sha256(before.encode() + orjson.dumps(entry._asdict())).hexdigest()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    file = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _append(folder: Path, entries: Iterable[Entry]) -> None:
    path = folder / NAME
    held = list(_lines(path)) if path.exists() else []
    before = held[-1][1] if held else ""
    whole = sum(len(_line(entry, chain)) for entry, chain in held)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(file, whole)
        os.lseek(file, whole, os.SEEK_SET)
        for entry in entries:
            before = _chain(before, entry)
            os.write(file, _line(entry, before))
        os.fsync(file)
    finally:
        os.close(file)


def _line(entry: Entry, chain: str) -> bytes:
    return orjson.dumps({**entry._asdict(), "chain": chain}) + b"\n"


def seal_finished(folder: Path, now_ns: int) -> list[Entry]:
    """Enter every segment that nobody writes any more and that is not entered yet.

    One that was changed is entered with what is whole of it: `verify` says what is wrong. Raises BrokenLedgerError and
    OSError.
    """
    with _locked(folder):
        known = {each.segment for each in read_ledger(folder)}
        found = []
        for path in segments(folder):
            if path.name in known or is_being_written(path):
                continue
            state = Reading()
            for _ in read(path, state):
                pass
            found.append(Entry("sealed", path.name, state.hash.hex(), state.frames, state.end, state.torn, now_ns))
        if found:
            _append(folder, found)
        return found


def prune(folder: Path, before_ns: int, now_ns: int) -> list[Entry]:
    """Remove the sealed segments of which every record is older; their hashes stay. Raises as `seal_finished`."""
    seal_finished(folder, now_ns)
    with _locked(folder):
        entries = read_ledger(folder)
        gone = {each.segment for each in entries if each.is_pruned}
        removed = []
        for each in entries:
            path = folder / each.segment
            if each.is_pruned or each.segment in gone or not path.exists() or latest(path) >= before_ns:
                continue
            removed.append(each._replace(what="pruned", at=now_ns))
        if removed:
            _append(folder, removed)  # before the files go: what is entered and still there is removed the next time
        for each in entries + removed:
            if each.segment in gone or each.is_pruned:
                (folder / each.segment).unlink(missing_ok=True)
        return removed


def latest(path: Path) -> int:
    """The time of the latest record of a segment, in nanoseconds since 1970. Raises OSError."""
    records = (orjson.loads(frame.payload) for frame in read(path))
    return max((each.get("at", 0) for each in records if each["kind"] != "end"), default=0)
