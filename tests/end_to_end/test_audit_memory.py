"""What `--memory` bounds: the peak of the whole process stays below what the documents say, on more than fits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from safety_service.audit.synth import Plan, write
from safety_service.knowledge.load import load_knowledge

CHILD = """
import resource, sys
from pathlib import Path
from safety_service.audit.run import Options, audit
options = {"buckets": int(sys.argv[3])} if sys.argv[3] != "0" else {}
audit(Options((sys.argv[1],), Path(sys.argv[2]), memory=64 << 20, statuses=True, **options))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10)
"""
BESIDE = 600 << 20  # docs/audit.md: the interpreter, its libraries and the knowledge


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_peak_stays_within_what_is_said(tmp_path: Path) -> None:
    write(load_knowledge(), Plan(40_000, seed=5), tmp_path / "in", "csv")

    def peak(buckets: int) -> int:
        command = [sys.executable, "-c", CHILD, str(tmp_path / "in"), str(tmp_path / f"out{buckets}"), str(buckets)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(done.stdout)

    bounded, at_once = peak(0), peak(1)
    print(f"--memory 64MB: peak {bounded >> 20} MB; all at once: {at_once >> 20} MB")
    assert bounded < (64 << 20) + BESIDE
    assert at_once > (64 << 20) + BESIDE
