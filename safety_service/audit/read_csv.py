"""A CSV file as batches of text columns, each row with its line; what is not a row of it is rejected with its line."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv

from safety_service.audit.column_map import MapError
from safety_service.audit.lines import Block, Ints, blocks

_DELIMITERS = (",", "\t", ";", "|")


class Refused(NamedTuple):
    """A line that is no row: its number, the reason code, the column at fault, and all of it."""

    line: int
    reason: str
    column: str
    row: bytes


@dataclass(slots=True)
class Batch:
    """Rows of one file: columns, the line of each, and a way back to its bytes. The rest of its lines are counted."""

    columns: pa.Table
    lines: Ints
    raw: Callable[[int], bytes]  # by place in the batch
    physical: int
    header: int = 0
    blank: int = 0
    refused: list[Refused] = field(default_factory=list)


def read_csv(path: Path) -> Iterator[Batch]:
    """Batches of rows, all columns text. Raises MapError for a file without a header, OSError when unreadable."""
    names: list[str] = []
    delimiter = ","
    for block in blocks(path):
        header = blank = 0
        start = 0
        if not names:
            while start < len(block.starts) and not block.line(start).strip():
                start += 1
            blank = start
            if start < len(block.starts):
                names, delimiter = _header(path, block.line(start))
                header = 1
                start += 1
        yield _batch(block, start, names, delimiter, header, blank)
    if not names:
        raise MapError(f"{path.name}: empty; a header line is expected")


def _header(path: Path, line: bytes) -> tuple[list[str], str]:
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MapError(f"{path.name}: the header is not UTF-8") from None
    delimiter = max(_DELIMITERS, key=text.count)
    names = [each.strip() for each in next(csv.reader([text], delimiter=delimiter))]
    if len(names) < 2:
        raise MapError(f"{path.name}: the header has one column: {text[:80]!r}; comma, tab, ; or | is expected")
    return names, delimiter


def _batch(block: Block, start: int, names: Sequence[str], delimiter: str, header: int, blank: int) -> Batch:
    refused: list[Refused] = []
    numbers = block.numbers()

    def refuse(i: int, reason: str) -> None:
        refused.append(Refused(int(numbers[i]), reason, "", block.line(i)))

    lengths = block.ends - block.starts
    state: Ints = np.zeros(len(lengths), dtype=np.int64)  # 0 plain row, 1 with quotes, 2 not a row
    state[:start] = 2
    empty = lengths == 0
    empty[:start] = False
    state[empty] = 2
    blank += int(empty.sum())
    if block.cut and len(state) > start:
        state[-1] = 2
        refuse(len(state) - 1, "truncated-file")
        blank -= int(empty[-1])
    marks = np.frombuffer(block.data, dtype=np.uint8)
    if not _is_utf8(block.data):
        for i in _lines_with(block, marks >= 128):
            if state[i] < 2 and not _is_utf8(block.line(i)):
                state[i] = 2
                refuse(i, "not-utf8")
    for i in _lines_with(block, (marks == 0) | ((marks == 13) & ~_before_break(block))):
        if state[i] < 2:
            state[i] = 2
            refuse(i, "control-character")
    for i in _lines_with(block, marks == 34):
        if state[i] == 0:
            state[i] = 1
    counts = _count(block, marks == ord(delimiter))
    for at in np.flatnonzero((state == 0) & (counts != len(names) - 1)).tolist():
        state[at] = 2
        if block.line(at).strip():
            refuse(at, "column-count")
        else:
            blank += 1
    quoted = _quoted(block, np.flatnonzero(state == 1), len(names), delimiter, state, refuse)
    plain = np.flatnonzero(state == 0)
    columns = _plain_rows(block, plain, names, delimiter)
    rows = np.concatenate([plain, np.flatnonzero(state == 1)])
    if quoted:
        columns = pa.concat_tables([columns, quoted_table(quoted, names)])
    return Batch(
        columns=columns,
        lines=numbers[rows],
        raw=lambda i: block.line(int(rows[i])),
        physical=len(lengths),
        header=header,
        blank=blank,
        refused=refused,
    )


def quoted_table(rows: Sequence[Sequence[str]], names: Sequence[str]) -> pa.Table:
    """Rows as a table of text columns."""
    return pa.table({name: pa.array([row[i] for row in rows], pa.string()) for i, name in enumerate(names)})


def _quoted(
    block: Block, lines: Ints, width: int, delimiter: str, state: Ints, refuse: Callable[[int, str], None]
) -> list[list[str]]:
    found = []
    for i in lines:
        text = block.line(int(i)).decode("utf-8")
        try:
            rows = list(csv.reader([text], delimiter=delimiter, strict=True))
        except csv.Error:
            rows = []
        if len(rows) != 1:
            state[i] = 2
            refuse(int(i), "bad-quotes")
        elif len(rows[0]) != width:
            state[i] = 2
            refuse(int(i), "column-count")
        else:
            found.append(rows[0])
    return found


def _plain_rows(block: Block, lines: Ints, names: Sequence[str], delimiter: str) -> pa.Table:
    texts = {name: pa.string() for name in names}
    if not len(lines):
        return pa.table({name: pa.array([], pa.string()) for name in names})
    whole = len(lines) == len(block.starts) and not block.cut
    data = block.data if whole else b"\n".join([block.line(int(i)) for i in lines]) + b"\n"
    return pa.csv.read_csv(
        pa.BufferReader(data),
        read_options=pa.csv.ReadOptions(column_names=list(names), block_size=max(len(data) + 1, 1 << 16)),
        parse_options=pa.csv.ParseOptions(delimiter=delimiter, quote_char=False, ignore_empty_lines=False),
        convert_options=pa.csv.ConvertOptions(column_types=texts, strings_can_be_null=False),
    )


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _before_break(block: Block) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """The bytes that end a line together with the line break after them."""
    marks = np.frombuffer(block.data, dtype=np.uint8)
    found = np.zeros(len(marks), dtype=np.bool_)
    found[:-1] = marks[1:] == 10
    found[-1:] = True
    return found


def _lines_with(block: Block, marks: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[int]:
    """The lines that hold one of the marked bytes."""
    at = np.flatnonzero(marks)
    return [int(i) for i in np.unique(np.searchsorted(block.starts, at, side="right") - 1)]


def _count(block: Block, marks: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Ints:
    """How many marked bytes each line holds."""
    total = np.concatenate(([0], np.cumsum(marks)))
    return np.asarray(total[block.ends] - total[block.starts], dtype=np.int64)
