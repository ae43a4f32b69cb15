"""What `--memory` bounds: the peak of the whole process stays below what the documents say, on more than fits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from safety_service.audit.run import _EXPANDS
from safety_service.audit.synth import Plan, write
from safety_service.knowledge.load import load_knowledge

CHILD = """
import resource, sys
from pathlib import Path
from safety_service.audit.run import Options, audit
audit(Options((sys.argv[1],), Path(sys.argv[2]), memory=64 << 20, statuses=True, buckets=int(sys.argv[3])))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10)
"""
BESIDE = 600 << 20  # docs/audit.md: the interpreter, its libraries and the knowledge


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_peak_stays_within_what_is_said(tmp_path: Path) -> None:
    write(load_knowledge(), Plan(40_000, seed=5), tmp_path / "in", "csv")
    read = sum(path.stat().st_size for path in (tmp_path / "in").iterdir())
    full = -(-read * _EXPANDS // (64 << 20))  # buckets, as full as they get before all is read anew into more of them
    command = [sys.executable, "-c", CHILD, str(tmp_path / "in"), str(tmp_path / "out"), str(full)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak = int(done.stdout)
    print(f"--memory 64MB, {full} full buckets: peak {peak >> 20} MB")
    assert full > 10
    assert peak < (64 << 20) + BESIDE
