"""A file as numbered physical lines, in blocks: each byte of it belongs to a line, and each line is accounted for."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

BLOCK_BYTES = 8 << 20
COMPRESSED = (".gz", ".zst", ".zstd")

Ints = npt.NDArray[np.int64]


class Block(NamedTuple):
    """Lines from number `first` on (the first of a file is 1): line i is `data[starts[i]:ends[i]]`, without its end."""

    first: int
    data: bytes
    starts: Ints
    ends: Ints
    cut: bool  # the file breaks off in the last line of this block

    def line(self, i: int) -> bytes:
        return self.data[self.starts[i] : self.ends[i]]

    def numbers(self) -> Ints:
        """The number of each line."""
        return np.arange(self.first, self.first + len(self.starts), dtype=np.int64)


def plain_name(path: Path) -> str:
    """The name of a file without the ending of its compression."""
    return path.name[: -len(path.suffix)] if path.suffix.lower() in COMPRESSED else path.name


def blocks(path: Path, size: int = BLOCK_BYTES) -> Iterator[Block]:
    """The lines of a file. A compressed file that breaks off gives what it holds, `cut` at its end.

    Raises OSError for a file that cannot be read.
    """
    left = b""
    first = 1
    for chunk, cut in _chunks(path, size):
        data = left + chunk
        if not cut and chunk:
            end = data.rfind(b"\n") + 1
            left = data[end:]
            data = data[:end]
        else:
            left = b""
        if not data and not cut:
            continue
        block = _block(first, data, cut)
        first += len(block.starts)
        yield block


def _chunks(path: Path, size: int) -> Iterator[tuple[bytes, bool]]:
    """Pieces of the file's content; the last is empty, or `cut`."""
    with _open(path) as file:
        while True:
            try:
                chunk = file.read(size)
            except (EOFError, zlib.error, gzip.BadGzipFile, OSError) as error:
                if path.suffix.lower() not in COMPRESSED or (isinstance(error, OSError) and error.errno is not None):
                    raise
                yield b"", True
                return
            yield chunk, False
            if not chunk:
                return


class _Gzip:
    """What a gzip file holds up to where it breaks off; `gzip` itself gives up the last pieces it had read."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._inflate = zlib.decompressobj(wbits=31)
        self._broken = False

    def __enter__(self) -> _Gzip:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        if self._broken:
            raise EOFError
        found: list[bytes] = []
        length = 0
        while length < size:
            packed = self._inflate.unconsumed_tail or self._file.read(1 << 20)
            if not packed and not self._inflate.eof:
                self._broken = True
                break
            if self._inflate.eof:
                packed = self._inflate.unused_data or packed
                packed = packed or self._file.read(1 << 20)
                if not packed.strip(b"\0"):
                    break
                self._inflate = zlib.decompressobj(wbits=31)
            try:
                piece = self._inflate.decompress(packed, size - length)
            except zlib.error:
                self._broken = True
                break
            found.append(piece)
            length += len(piece)
        if self._broken and not found:
            raise EOFError
        return b"".join(found)


def _open(path: Path) -> IO[bytes]:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return cast("IO[bytes]", _Gzip(path))
    if suffix in COMPRESSED:
        return cast("IO[bytes]", pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"))
    return path.open("rb")


def _block(first: int, data: bytes, cut: bool) -> Block:
    marks = np.frombuffer(data, dtype=np.uint8)
    breaks = np.flatnonzero(marks == 10)
    starts = np.concatenate(([0], breaks + 1))
    ends = np.concatenate((breaks, [len(data)]))
    if not cut and len(starts) and starts[-1] == len(data):  # what follows the last line break is no line
        starts, ends = starts[:-1], ends[:-1]
    returned = (ends > starts) & (marks[np.maximum(ends - 1, 0)] == 13) if len(marks) else np.zeros(len(ends), bool)
    return Block(first, data, starts.astype(np.int64), ends.astype(np.int64) - returned, cut)
