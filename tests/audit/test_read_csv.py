"""A CSV file row by row: what is no row is refused with its line and reason, and every line is counted."""

from pathlib import Path

import pytest

from safety_service.audit.column_map import MapError
from safety_service.audit.read_csv import Batch, read_csv

HEADER = b"patient,drug,start\n"


def batches(tmp_path: Path, content: bytes) -> list[Batch]:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    return list(read_csv(path))


def rows(batch: Batch) -> dict[int, tuple[str, ...]]:
    values = [batch.columns.column(i).to_pylist() for i in range(batch.columns.num_columns)]
    return dict(zip(batch.lines.tolist(), zip(*values, strict=True), strict=True))


def test_rows_plain_and_quoted_keep_their_lines(tmp_path: Path) -> None:
    [batch] = batches(tmp_path, HEADER + b'a,x,1\r\n"b, c","say ""x""",2\n\n   \nd,\xc3\xa9,\n')
    assert rows(batch) == {2: ("a", "x", "1"), 3: ("b, c", 'say "x"', "2"), 6: ("d", "é", "")}
    assert (batch.physical, batch.header, batch.blank) == (6, 1, 2)
    assert [batch.raw(i) for i in range(3)] == [b"a,x,1", b"d,\xc3\xa9,", b'"b, c","say ""x""",2']


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a,b", "column-count"),
        (b"a,b,c,d", "column-count"),
        (b'"a,b",c', "column-count"),
        (b"a,b\xff,c", "not-utf8"),
        (b'a,"b,c', "bad-quotes"),
        (b'a,"b"x,c', "bad-quotes"),
        (b"a,b\0,c", "control-character"),
        (b"a,b\rc,d", "control-character"),
    ],
)
def test_a_line_that_is_no_row_is_refused_whole_and_costs_no_other(tmp_path: Path, line: bytes, reason: str) -> None:
    [batch] = batches(tmp_path, HEADER + b"p,q,1\n" + line + b"\nr,s,2\n")
    assert list(rows(batch)) == [2, 4]
    assert [(each.line, each.reason, each.row) for each in batch.refused] == [(3, reason, line)]


@pytest.mark.parametrize("delimiter", [b",", b"\t", b";", b"|"])
def test_the_delimiter_is_that_of_the_header(tmp_path: Path, delimiter: bytes) -> None:
    content = b"\xef\xbb\xbf" + HEADER.replace(b",", delimiter) + delimiter.join([b"a", b"b", b"c"])
    found = batches(tmp_path, content)
    assert found[0].columns.column_names == ["patient", "drug", "start"]
    assert [row for batch in found for row in rows(batch).items()] == [(2, ("a", "b", "c"))]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"one\n1\n", b"\xff,b\n"])
def test_a_file_without_a_header_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(MapError, match=r"a\.csv: "):
        batches(tmp_path, content)


def test_a_header_alone_is_no_row(tmp_path: Path) -> None:
    [batch] = batches(tmp_path, b"\n" + HEADER)
    assert (batch.columns.num_rows, batch.physical, batch.header, batch.blank) == (0, 2, 1, 1)
