from pathlib import Path

import pytest
from typer.testing import CliRunner

from safety_service.cli import app

RUNNER = CliRunner()


def test_synthetic_records_are_audited(tmp_path: Path) -> None:
    made = RUNNER.invoke(app, ["synth", "--out", str(tmp_path / "in"), "--rows", "60", "--broken", "0.1"])
    assert made.exit_code == 0, made.output
    done = RUNNER.invoke(app, ["audit", str(tmp_path / "in"), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "alerts on" in done.output
    assert " physical lines = 5 header + 0 blank + " in done.output
    assert done.stderr == ""  # no bar where nobody looks
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_file()} == {
        "alerts.parquet",
        "manifest.json",
        "measures.parquet",
        "rejected.parquet",
        "report.html",
        "revisions.parquet",
    }


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["audit", "none.csv"], 1, "none.csv: no such file"),
        (["audit", "bad.csv"], 1, "no column is patient; near it: 'patiennt'"),
        (["audit", "bad.csv", "--memory", "lots"], 2, "--memory: 'lots' is not a size"),
        (["audit", "bad.csv", "--memory", "1MB"], 2, "at least 64MB"),
        (["audit", "bad.csv", "--partial", "renal"], 2, "--partial: 'renal' is none of"),
        (["audit", "bad.csv", "--engine", "flink"], 2, "--engine: 'flink' is none of local, spark"),
        (["audit", "bad.csv", "--master", "local[2]"], 2, "--master is of --engine spark"),
        (["synth", "--format", "xlsx"], 2, "--format: 'xlsx' is none of csv"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.csv").write_text("patiennt,drug,start\na,b,2024-01-01\n")
    done = RUNNER.invoke(app, [*arguments, "--out", "out"])
    assert done.exit_code == code, done.output
    assert said in " ".join(done.stderr.split())
    assert not Path("out/manifest.json").exists()
