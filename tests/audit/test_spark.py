"""On Spark as on one machine: the same bytes, the same refusals, kept for the next run whichever engine that is on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from safety_service.audit.synth import Plan, write
from safety_service.knowledge.knowledge import Knowledge
from tests.audit.records import put, run

pytestmark = pytest.mark.long  # the extra `spark` and Java 17: 500 MB that no other test needs
SAME = (
    "alerts.parquet",
    "measures.parquet",
    "rejected.parquet",
    "revisions.parquet",
    "statuses.parquet",
    "report.html",
)


@pytest.fixture(scope="module")
def records(knowledge: Knowledge, tmp_path_factory: pytest.TempPathFactory, seed: int) -> Path:
    """Broken lines too, each table in two files."""
    folder = tmp_path_factory.mktemp("spark")
    write(knowledge, Plan(1_500, seed % 1000, broken=0.03), folder / "first", "csv")
    write(knowledge, Plan(500, seed % 1000 + 1, broken=0.03), folder / "second", "csv.gz")
    return folder


def on_spark(source: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "safety_service", "audit", str(source), "--out", str(out), "--engine", "spark"]
    return subprocess.run(
        [*command, "--master", "local[2]", *more], capture_output=True, text=True, timeout=3000, check=False
    )


def manifest(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "manifest.json").read_text()))


def test_every_result_is_the_same_to_the_byte(records: Path, tmp_path: Path) -> None:
    local = run(tmp_path / "local", records, statuses=True, buckets=5)
    done = on_spark(records, tmp_path / "spark", "--statuses")
    assert done.returncode == 0, done.stderr
    assert local["alerts"] > 1_000
    assert set(local["outputs"]) == set(SAME)
    for name in SAME:
        assert (tmp_path / "spark" / name).read_bytes() == (tmp_path / "local" / name).read_bytes(), name
    assert manifest(tmp_path / "spark") == local


def test_a_new_month_is_read_on_spark_what_was_kept_on_one_machine(records: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    shutil.copytree(records / "first", source)
    run(tmp_path / "out", source, statuses=True)
    for path in (records / "second").iterdir():
        shutil.copy(path, source)
    done = on_spark(source, tmp_path / "out", "--statuses")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / ".work" / "kept.json").read_text())["generation"] == 1
    whole = run(tmp_path / "whole", source, statuses=True)["outputs"]
    revisions = "revisions.parquet"
    found = manifest(tmp_path / "out")["outputs"]
    assert {name: each for name, each in found.items() if name != revisions} == {
        name: each for name, each in whole.items() if name != revisions
    }


def test_what_is_refused_is_refused_alike(tmp_path: Path) -> None:
    source = put(tmp_path / "in", {"rx": [["patiennt", "drug", "start"], ["a", "b", "2024-01-01"]]})
    done = on_spark(source, tmp_path / "out")
    assert done.returncode == 1, done.stderr
    assert "no column is patient; near it: 'patiennt'" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
