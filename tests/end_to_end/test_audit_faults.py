"""Killed, without room, without permission: the audit goes on where it was, or says why not and leaves nothing half."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import pytest

from safety_service.audit.synth import Plan, write
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import load_knowledge

CHILD = """
import sys
from pathlib import Path
from safety_service.audit.run import Options, audit
audit(Options((sys.argv[1],), Path(sys.argv[2]), buckets=8, statuses=True))
"""
RESULTS = ("alerts.parquet", "measures.parquet", "statuses.parquet", "rejected.parquet", "report.html")


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


@pytest.fixture(scope="module")
def records(knowledge: Knowledge, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults")
    write(knowledge, Plan(400, seed=11, broken=0.02), folder, "csv")
    return folder


def started(source: Path, out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", CHILD, str(source), str(out)], start_new_session=True)


def digests(out: Path) -> dict[str, str]:
    return dict(json.loads((out / "manifest.json").read_text())["outputs"])


def kills_of(
    number: int, start: Callable[[], subprocess.Popen[bytes]], lasted: float, rng: Random, again: Callable[[], object]
) -> Iterator[None]:
    """Runs killed at random moments, each going on where the one before was; `again` undoes one that ended."""
    killed = ended = 0
    while killed < number:
        child = start()
        try:
            code = child.wait(timeout=rng.uniform(0.2, 0.95) * lasted)
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
            code = child.wait()  # 0: it ended just then
        if code == -signal.SIGKILL:
            killed += 1
            yield
        else:
            assert code == 0
            ended += 1
            assert ended < 10 * number
            again()


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.long)])
def test_killed_at_any_moment_it_comes_to_the_same(records: Path, tmp_path: Path, kills: int, seed: int) -> None:
    began = time.monotonic()
    assert started(records, tmp_path / "whole").wait(timeout=100) == 0
    lasted = time.monotonic() - began
    out = tmp_path / "out"
    for _ in kills_of(kills, lambda: started(records, out), lasted, Random(seed), lambda: shutil.rmtree(out)):
        left = [each.name for each in out.glob("*") if each.is_file() and not each.name.startswith(".")]
        for name in left:  # what stands under its final name is whole
            if name.endswith(".parquet"):
                pq.read_table(out / name)
        if "manifest.json" in left:
            assert set(RESULTS) <= set(left)
    assert started(records, out).wait(timeout=100) == 0
    assert digests(out) == digests(tmp_path / "whole")
    assert not list(out.rglob(".*.partial"))


# A process that limits itself: setting it between fork and exec would run in a copy of this one, threads and all.
LIMITED = "import resource as r, runpy, sys; r.setrlimit(r.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)"
LIMITED += "; runpy.run_module('safety_service', run_name='__main__', alter_sys=True)"


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.long)])
def test_killed_in_a_new_month_it_comes_to_the_same(records: Path, tmp_path: Path, kills: int, seed: int) -> None:
    """What an earlier run came to stands on its own: neither it nor what it revised is lost or counted twice."""
    first, both = tmp_path / "first", tmp_path / "both"
    for folder in (first, both):
        shutil.copytree(records, folder)
    lines = (records / "medications.csv").read_bytes().splitlines(keepends=True)[: 120 * kills]
    (first / "medications.csv").write_bytes(b"".join(lines[::2]))
    (both / "medications.csv").write_bytes(b"".join(lines[::2]))
    (both / "more-medications.csv").write_bytes(b"".join([lines[0], *lines[1::2]]))
    assert started(first, tmp_path / "out").wait(timeout=100) == 0
    before, out = tmp_path / "before", tmp_path / "out"
    for copy in (before, tmp_path / "undisturbed"):
        shutil.copytree(out, copy)
    began = time.monotonic()
    assert started(both, tmp_path / "undisturbed").wait(timeout=100) == 0
    lasted = time.monotonic() - began

    def as_before() -> None:
        shutil.rmtree(out)
        shutil.copytree(before, out)

    for _ in kills_of(kills, lambda: started(both, out), lasted, Random(seed), as_before):
        pass
    assert started(both, tmp_path / "out").wait(timeout=100) == 0
    assert digests(tmp_path / "out") == digests(tmp_path / "undisturbed")
    assert started(both, tmp_path / "whole").wait(timeout=100) == 0
    whole = digests(tmp_path / "whole")
    found = digests(tmp_path / "out")
    assert found.pop("revisions.parquet") != whole.pop("revisions.parquet")
    assert found == whole


def command(source: Path, out: Path, most_bytes: int | None = None) -> subprocess.CompletedProcess[str]:
    """The command, with files of at most `most_bytes`: what a full disk does, without filling one."""
    started = ["-m", "safety_service"] if most_bytes is None else ["-c", LIMITED, str(most_bytes)]
    return subprocess.run(
        [sys.executable, *started, "audit", str(source), "--out", str(out)],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("most_bytes", [100, 6_000, 40_000])
def test_without_room_it_says_so_and_leaves_nothing_half(records: Path, tmp_path: Path, most_bytes: int) -> None:
    done = command(records, tmp_path / "out", most_bytes)
    assert done.returncode == 4, done.stderr
    assert "The results cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "manifest.json").exists()
    for path in (tmp_path / "out").glob("*.parquet"):
        pq.read_table(path)
    assert not list((tmp_path / "out").glob(".*.partial"))
    again = command(records, tmp_path / "out")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "out" / "manifest.json").exists()


def test_where_nothing_can_be_written_it_says_so(records: Path, tmp_path: Path) -> None:
    place = tmp_path / "closed"
    place.mkdir(mode=0o500)
    out = place / "out" if os.geteuid() else Path("/proc/self/out")  # root may write anywhere else
    done = command(records, out)
    assert done.returncode == 4, done.stderr
    assert "The results cannot be written" in done.stderr
    assert str(out.parent) in done.stderr
    assert "Traceback" not in done.stderr
