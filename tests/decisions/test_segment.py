"""What is written is there; what is missing, changed or cut off is found."""

import os
import signal
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import orjson
import pytest

from safety_service.decisions.ledger import BrokenLedgerError, prune, read_ledger, seal_finished
from safety_service.decisions.segment import CannotWriteError, Reading, Writer, is_being_written, read, segments
from safety_service.decisions.verify import verify

DAY = 86_400 * 1_000_000_000
NOW = 20_000 * DAY


def writer(folder: Path, **options: object) -> Writer:
    return Writer(folder, now_ns=lambda: NOW, **options)  # type: ignore[arg-type]


def payloads(folder: Path) -> list[bytes]:
    """All records but openings and ends."""
    found = [frame.payload for path in segments(folder) for frame in read(path)]
    return [each for each in found if orjson.loads(each)["kind"] == "n"]


def record(number: int) -> bytes:
    return orjson.dumps({"kind": "n", "n": number, "at": NOW + number, "filling": "x" * 50})


def filled(folder: Path, count: int = 5) -> Path:
    """A closed segment with so many records, sealed."""
    writing = writer(folder)
    for number in range(count):
        writing.append(record(number), NOW)
    writing.close()
    seal_finished(folder, NOW)
    (path,) = segments(folder)
    return path


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = filled(tmp_path)
    state = Reading()
    numbers = [frame.number for frame in read(path, state)]

    assert payloads(tmp_path) == [record(each) for each in range(5)]
    assert numbers == list(range(7))  # with the opening and the end
    assert state.closed
    assert not state.torn
    assert not verify(tmp_path).faults
    assert path.stat().st_mode & 0o777 == 0o600


def test_reading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = filled(tmp_path)
    frames = list(read(path))
    for at, frame in enumerate(frames):
        assert list(read(path, start=frame)) == frames[at + 1 :]


def test_a_segment_that_is_written_can_be_read_and_is_not_sealed(tmp_path: Path) -> None:
    writing = writer(tmp_path)
    writing.append(record(0), NOW)
    (path,) = segments(tmp_path)

    assert payloads(tmp_path) == [record(0)]
    assert is_being_written(path)
    assert seal_finished(tmp_path, NOW) == []
    writing.close()
    assert not is_being_written(path)
    assert [each.segment for each in seal_finished(tmp_path, NOW)] == [path.name]


@pytest.mark.parametrize("size", [1, 4, 20, 36, 60])
def test_a_torn_tail_is_kept_apart(tmp_path: Path, size: int) -> None:
    writing = writer(tmp_path)
    for number in range(3):
        writing.append(record(number), NOW)
    (path,) = segments(tmp_path)
    frames = list(read(path))
    os.truncate(path, frames[-2].end + size)
    writing._forget()

    found = verify(tmp_path)
    assert payloads(tmp_path) == [record(0), record(1)]
    assert not found.faults
    assert found.torn == [f"{path.name}: {size} bytes of a record that was cut off"]
    assert seal_finished(tmp_path, NOW)[0].torn == size


@pytest.mark.parametrize("at", range(0, 700, 23))
def test_a_changed_byte_is_found(tmp_path: Path, at: int) -> None:
    path = filled(tmp_path)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)

    assert len(verify(tmp_path).faults) == 1


def test_what_is_missing_or_in_another_order_is_found(tmp_path: Path) -> None:
    path = filled(tmp_path)
    content = path.read_bytes()
    ends = [8, *[frame.end for frame in read(path)]]
    parts = [content[start:end] for start, end in pairwise(ends)]
    for name, changed in {
        "one out": parts[:2] + parts[3:],
        "swapped": [*parts[:2], parts[3], parts[2], *parts[4:]],
        "the last ones out": parts[:4],
        "twice": [*parts[:3], parts[2], *parts[3:]],
        "all out": [],
    }.items():
        path.write_bytes(content[:8] + b"".join(changed))
        assert verify(tmp_path).faults, name
    path.write_bytes(content)
    assert not verify(tmp_path).faults
    path.rename(path.with_name("20250101T000000Z-1-00000000.seg"))
    assert len(verify(tmp_path).faults) == 2  # one is missing, and one is not what it is called


def test_a_segment_that_is_gone_is_missed(tmp_path: Path) -> None:
    filled(tmp_path).unlink()

    assert "the segment is missing" in verify(tmp_path).faults[0]


def test_a_line_of_the_ledger_that_is_changed_or_gone_is_found(tmp_path: Path) -> None:
    writing = writer(tmp_path)
    for number in range(3):
        writing.append(record(number), NOW + number * DAY)
    writing.close()
    seal_finished(tmp_path, NOW)
    ledger = tmp_path / "ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    assert len(lines) == 3
    for changed in (lines[1:], [lines[0], lines[2]], [lines[0].replace(b'"torn":0', b'"torn":1'), *lines[1:]]):
        ledger.write_bytes(b"".join(changed))
        assert "ledger" in verify(tmp_path).faults[0]
        with pytest.raises(BrokenLedgerError):
            read_ledger(tmp_path)
    ledger.write_bytes(b"".join(lines) + b'{"cut o')  # its writer died; the next one writes over it
    assert len(read_ledger(tmp_path)) == 3
    filled_again = writer(tmp_path)
    filled_again.append(record(9), NOW)
    filled_again.close()
    seal_finished(tmp_path, NOW)
    assert len(read_ledger(tmp_path)) == 4


def test_a_new_segment_begins_by_size_and_by_day_also_when_the_clock_goes_back(tmp_path: Path) -> None:
    writing = writer(tmp_path, most_bytes=300)
    times = [NOW, NOW, NOW, NOW + DAY, NOW - 400 * DAY, NOW]
    for number, now in enumerate(times):
        writing.append(record(number), now)
    writing.close()
    seal_finished(tmp_path, NOW)

    assert sorted(payloads(tmp_path)) == [record(each) for each in range(6)]
    assert len(segments(tmp_path)) > 3
    assert not verify(tmp_path).faults


def test_a_day_has_segments_of_its_own(tmp_path: Path) -> None:
    """With room for all of them in one."""
    writing = writer(tmp_path)
    for number, now in enumerate((NOW, NOW + 1, NOW + DAY, NOW - 400 * DAY, NOW)):
        writing.append(record(number), now)
    writing.close()

    held = [[frame.payload for frame in read(each) if b'"kind":"n"' in frame.payload] for each in segments(tmp_path)]
    assert sorted(held) == [[record(0), record(1)], [record(2)], [record(3)], [record(4)]]


def test_pruning_takes_whole_segments_and_keeps_their_hashes(tmp_path: Path) -> None:
    writing = writer(tmp_path)
    for day in range(4):
        writing.append(orjson.dumps({"kind": "n", "at": NOW + day * DAY}), NOW + day * DAY)
    hashes = {each.segment: each.hash for each in seal_finished(tmp_path, NOW)}
    removed = prune(tmp_path, NOW + 2 * DAY, NOW + 9 * DAY)

    assert len(removed) == 2
    assert len(segments(tmp_path)) == 2
    assert {each.segment: each.hash for each in removed}.items() <= hashes.items()
    found = verify(tmp_path)
    assert (found.pruned, found.faults) == (2, [])
    assert prune(tmp_path, NOW + 2 * DAY, NOW + 9 * DAY) == []
    assert len(prune(tmp_path, NOW + 99 * DAY, NOW)) == 1  # the last one is still being written
    writing.close()


def test_nothing_of_a_write_that_failed_is_left(tmp_path: Path) -> None:
    """The limit on the size of files stands for a full disk: a part of the record is written, then no more."""
    program = (
        "import sys, signal\n"
        "from pathlib import Path\n"
        "import resource\n"
        "from safety_service.decisions.segment import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "writer = Writer(Path(sys.argv[1]), now_ns=lambda: 0)\n"
        "kept = 0\n"
        "for number in range(40):\n"
        "    try:\n"
        '        writer.append(b\'{"kind":"n","n":%d,"filling":"\' % number + b\'x\' * 200 + b\'"}\', 0)\n'
        "        kept += 1\n"
        "    except CannotWriteError as error:\n"
        "        assert 'large' in str(error) or 'space' in str(error), error\n"
        "        if number > 9: writer.close()\n"
        "print(kept)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)

    kept = int(ended.stdout)
    assert kept > 3
    assert len(payloads(tmp_path)) == kept
    assert not verify(tmp_path).faults
    assert not verify(tmp_path).torn


def test_a_folder_that_is_gone_or_not_ours_is_an_error_and_no_loss(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    writing = writer(folder, most_bytes=100)
    writing.append(record(0), NOW)
    (path,) = segments(folder)
    path.rename(tmp_path / path.name)
    folder.rmdir()
    with pytest.raises(CannotWriteError, match="No such file"):
        writing.append(record(1), NOW + DAY)
    folder.mkdir()
    writing.append(record(7), NOW)

    assert payloads(folder) == [record(7)]


def test_what_was_appended_survives_a_kill(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from safety_service.decisions.segment import Writer\n"
        "writer = Writer(Path(sys.argv[1]), now_ns=lambda: 0)\n"
        "number = 0\n"
        "while True:\n"
        '    writer.append(b\'{"kind":"n","n":%d}\' % number, 0)\n'
        "    print(number, flush=True)\n"
        "    number += 1\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(200):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        told = [int(line) for line in process.stdout.read().split()]

    numbers = [orjson.loads(each)["n"] for each in payloads(tmp_path)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > max(told, default=199)
    assert not verify(tmp_path).faults
    assert len(seal_finished(tmp_path, NOW)) == 1


def test_sealing_beside_a_writer_seals_only_what_is_finished(tmp_path: Path) -> None:
    writing = writer(tmp_path, most_bytes=1)  # a segment for each record
    ended = threading.Event()

    def seal() -> None:
        while not ended.is_set():
            seal_finished(tmp_path, NOW)

    sealing = threading.Thread(target=seal)
    sealing.start()
    try:
        for number in range(150):
            writing.append(record(number), NOW)
    finally:
        ended.set()
        sealing.join()
    writing.close()
    seal_finished(tmp_path, NOW)

    assert len(payloads(tmp_path)) == len(read_ledger(tmp_path)) == 150
    assert verify(tmp_path).faults == []
