"""Files of records that are only appended to: each record with its length and with a hash over all before it.

A segment is written by one process, which holds a lock on it as long as it lives. A record is one write: when it has
returned, the record survives the death of the process (and, synced, the loss of power). A file may end within a record
whose write was cut off; that torn tail was never answered for, and is told apart.

    segment = magic, frame*        frame = length of payload (4 bytes, big-endian), hash (32 bytes), payload
    hash of a frame = SHA-256(hash of the frame before, payload); before the first: SHA-256(name of the segment)

The first payload of a segment says who writes it and how; the last one of a segment that was closed says so.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import orjson

MAGIC = b"MEDSAFE1"
SUFFIX = ".seg"
HASH_BYTES = 32
_HEAD = struct.Struct(">I32s")
LARGEST = 16 * 1024 * 1024  # of a payload; a length beyond it is no length
_NS_PER_DAY = 86_400 * 1_000_000_000


class CannotWriteError(Exception):
    """A record is not on the disk; the reason names no path and holds nothing of the record."""


class Frame(NamedTuple):
    """A record with its place: `number` counts within the segment, 0 is its opening; `end` is the byte behind it."""

    number: int
    payload: bytes
    hash: bytes
    end: int


@dataclass(slots=True)
class Reading:
    """How far a segment was read, and what is wrong with it."""

    frames: int = 0
    end: int = 0  # bytes that are whole
    size: int = 0
    hash: bytes = b""
    closed: bool = False
    fault: str = ""  # a frame that was changed; a tail that is cut off is none

    @property
    def torn(self) -> int:
        """Bytes behind the last whole record."""
        return self.size - self.end


def first_hash(name: str) -> bytes:
    """What the first frame of a segment goes on from."""
    return hashlib.sha256(name.encode()).digest()


def next_hash(before: bytes, payload: bytes) -> bytes:
    """The hash of a frame."""
    return hashlib.sha256(before + payload).digest()


def read(path: Path, reading: Reading | None = None, start: Frame | None = None) -> Iterator[Frame]:
    """The whole records of a segment in order, of one that is being written too; `start`: those behind that one.

    Ends at a torn tail, and at the first frame that was changed; `reading` then says which. Raises OSError.
    """
    state = Reading() if reading is None else reading
    number, at = (0, len(MAGIC)) if start is None else (start.number + 1, start.end)
    before = first_hash(path.name) if start is None else start.hash
    with path.open("rb") as file:
        state.size = os.fstat(file.fileno()).st_size
        state.hash, state.frames = before, number
        if file.read(len(MAGIC)) != MAGIC:
            state.fault = "" if state.size < len(MAGIC) else "the file does not begin as a segment does"
            return
        state.end = at
        file.seek(at)
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            length, stated = _HEAD.unpack(head)
            if length > LARGEST:
                state.fault = f"record {number} was changed: its length cannot be"
                return
            payload = file.read(length)
            if len(payload) < length:
                return
            if next_hash(before, payload) != stated:
                state.fault = f"record {number} was changed, or one before it is missing"
                return
            at += _HEAD.size + length
            state.end, state.hash, state.frames = at, stated, number + 1
            state.closed = payload.startswith(_CLOSING)
            yield Frame(number, payload, stated, at)
            before = stated
            number += 1


_CLOSING = b'{"kind":"end"'


def segments(folder: Path) -> list[Path]:
    """The segments of a folder by name, which is by the time they were opened. Raises OSError."""
    return sorted(each for each in folder.iterdir() if each.suffix == SUFFIX)


def is_being_written(path: Path) -> bool:
    """Whether a process that lives has it open. Raises OSError."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


class Writer:
    """Appends records to segments of its own, one after the other. Serves all threads of a process.

    A new segment is begun when the day (UTC) or `most_bytes` is over, and after a write that failed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        now_ns: Callable[[], int],
        most_bytes: int = 64 * 1024 * 1024,
        sync: bool = False,
        about: Mapping[str, object] | None = None,
        sealed: Callable[[Path], None] = lambda _: None,
    ) -> None:
        """`about` is told at the beginning of each segment; `sealed` is told of each that is finished."""
        self._folder = folder
        self._now_ns = now_ns
        self._most_bytes = most_bytes
        self._sync = sync
        self._about = about or {}
        self._sealed = sealed
        self._lock = threading.Lock()
        self._file = -1
        self._path = folder
        self._name = ""
        self._day = 0
        self._size = 0
        self._hash = b""
        self._before: tuple[str, str] | None = None  # the segment before, and its last hash

    def append(self, payload: bytes, now_ns: int) -> str:
        """Write a record; returns the name of its segment. Raises CannotWriteError when it is not on the disk."""
        with self._lock:
            try:
                if self._file >= 0 and (now_ns // _NS_PER_DAY != self._day or self._size >= self._most_bytes):
                    self._close()
                if self._file >= 0 and not os.fstat(self._file).st_nlink:
                    self._forget()  # somebody removed the file: nobody would ever find the record in it
                if self._file < 0:
                    self._open(now_ns)
                self._write(payload)
            except OSError as error:
                raise CannotWriteError(error.strerror or type(error).__name__) from None
            return self._name

    def close(self) -> None:
        """End the segment; another record begins a new one. What cannot be written is left out."""
        with self._lock:
            if self._file >= 0:
                try:
                    self._close()
                except OSError:
                    self._forget()

    def _open(self, now_ns: int) -> None:
        began = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC)
        name = f"{began:%Y%m%dT%H%M%SZ}-{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
        # It gets its name when it is locked and opened: before, it could be taken for one that is finished.
        path = self._folder / name
        unnamed = path.with_suffix(".new")
        file = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            opening: dict[str, object] = {"kind": "begin", "at": now_ns, "pid": os.getpid(), **self._about}
            if self._before is not None:
                opening["after"] = self._before
            payload = orjson.dumps(opening)
            hashed = next_hash(first_hash(name), payload)
            written = MAGIC + _HEAD.pack(len(payload), hashed) + payload
            if os.write(file, written) != len(written):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            unnamed.rename(path)
            if self._sync:
                os.fsync(file)
                _sync_folder(self._folder)
        except OSError:
            os.close(file)
            unnamed.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise
        self._file, self._path, self._name, self._day = file, path, name, now_ns // _NS_PER_DAY
        self._size, self._hash = len(written), hashed

    def _write(self, payload: bytes) -> None:
        hashed = next_hash(self._hash, payload)
        frame = _HEAD.pack(len(payload), hashed) + payload
        try:
            if os.write(self._file, frame) != len(frame):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self._sync:
                os.fdatasync(self._file)
        except OSError:
            self._take_back()
            raise
        self._size += len(frame)
        self._hash = hashed

    def _take_back(self) -> None:
        """Nothing of a write that failed may stand before the next one; a file of which that is not sure is left."""
        try:
            os.ftruncate(self._file, self._size)
        except OSError:
            self._forget()

    def _close(self) -> None:
        self._write(_CLOSING + b',"at":%d}' % self._now_ns())
        path = self._path
        self._forget()
        self._sealed(path)

    def _forget(self) -> None:
        self._before = (self._path.name, self._hash.hex())
        os.close(self._file)
        self._file = -1


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
