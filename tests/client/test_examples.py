"""The examples of the Python client, against the real server."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from medsafety.v1.decision_pb2 import Alert
from safety_service.demo import ARTICLE_CASE, server_process
from safety_service.knowledge.load import load_knowledge

EXAMPLES = Path(__file__).parents[2] / "clients" / "python" / "examples"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with server_process() as started:
        yield started


@pytest.fixture(scope="module")
def dur_pps() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dur_pps", EXAMPLES / "dur_pps.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def printed(name: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_quick_start(address: str) -> None:
    lines = printed("quick_start.py", address)

    assert lines[0].startswith("28 days planned")
    assert "sedation.alcohol: send patient.alcohol_use" in lines


def test_the_segments_of_the_articles_case(address: str) -> None:
    lines = printed("dur_pps.py", str(ARTICLE_CASE), "--server", address)

    assert lines[:3] == [
        "439-E4=MX 528-FS=1",
        "  544-FY=28 days planned; labelled for two or three weeks",
        "  excessive duration  (duration.course)",
    ]
    assert "440-E5" not in "".join(lines), "an act that nobody has done"
    assert any(line.startswith("439-E4=AT 528-FS=1") for line in lines), "the opioid"


def test_what_the_pharmacist_did_goes_in_when_told(address: str) -> None:
    lines = printed("dur_pps.py", str(ARTICLE_CASE), "--server", address, "--acted", "dose-changed")

    assert "439-E4=HD 440-E5=M0 441-E6=1C 528-FS=1" in lines


def test_an_alert_with_two_reasons_makes_two_segments(dur_pps: ModuleType) -> None:
    alert = Alert(title="Start at 5 mg", dur_codes=["HD", "MC"], clinical_significance=1)

    assert list(dur_pps.segments(alert)) == [
        {"439-E4": "HD", "528-FS": "1", "544-FY": "Start at 5 mg"},
        {"439-E4": "MC", "528-FS": "1", "544-FY": "Start at 5 mg"},
    ]
    assert list(dur_pps.segments(Alert(title="No code"))) == []


def test_every_reason_that_a_rule_names_has_words(dur_pps: ModuleType) -> None:
    named = {code for rule in load_knowledge().rules for code in rule.codes.dur}

    assert named <= set(dur_pps.REASONS), "say in words what these mean, with a source"
