"""Every byte of a file belongs to a numbered line, however it is cut, packed or broken off."""

import gzip
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from safety_service.audit.lines import blocks

RNG = Random(1)
LINES = [b"row %d,%d" % (i, RNG.randrange(10**40)) for i in range(20_000)]
TEXT = b"\r\n".join(LINES) + b"\r\n"


def read(path: Path, size: int) -> tuple[list[bytes], bool]:
    found: list[bytes] = []
    cut = False
    for block in blocks(path, size):
        assert block.numbers()[0] == len(found) + 1 if len(block.starts) else True
        found += [block.line(i) for i in range(len(block.starts))]
        cut |= block.cut
    return found, cut


@pytest.mark.parametrize("size", [100, 4096, 1 << 20])
def test_lines_do_not_depend_on_the_size_of_blocks(tmp_path: Path, size: int) -> None:
    plain = tmp_path / "a.csv"
    plain.write_bytes(TEXT)
    assert read(plain, size) == (LINES, False)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"a", [b"a"]),
        (b"a\n", [b"a"]),
        (b"a\n\n", [b"a", b""]),
        (b"\n\na", [b"", b"", b"a"]),
        (b"a\r\nb\rc\n", [b"a", b"b\rc"]),
    ],
)
def test_small_files(tmp_path: Path, content: bytes, lines: list[bytes]) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert read(path, 1 << 20) == (lines, False)


def test_gzip_of_one_and_of_several_members(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    for content in (gzip.compress(TEXT), gzip.compress(TEXT[:10_003]) + gzip.compress(TEXT[10_003:])):
        path.write_bytes(content)
        assert read(path, 4096) == (LINES, False)


def test_zstd(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.zst"
    with pa.CompressedOutputStream(str(path), "zstd") as file:
        file.write(TEXT)
    assert read(path, 4096) == (LINES, False)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_file_that_breaks_off_gives_what_it_holds_and_says_so(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.csv{suffix}"
    if suffix == ".gz":
        path.write_bytes(gzip.compress(TEXT))
    else:
        with pa.CompressedOutputStream(str(path), "zstd") as file:
            file.write(TEXT)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found, cut = read(path, 4096)
    assert cut
    assert 1 < len(found) < len(LINES)
    assert found[:-1] == LINES[: len(found) - 1]


def test_a_gzip_file_without_its_end_mark_is_cut_too(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(TEXT)[:-4])
    assert read(path, 4096) == ([*LINES, b""], True)


def test_what_is_no_gzip_file_is_one_line_that_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(b"patient,drug\n")
    assert read(path, 4096) == ([b""], True)
