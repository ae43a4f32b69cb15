"""A stranger's first command, and the same question asked in both ways."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from safety_service.demo import ARTICLE_CASE, server_process

WIDEST = 100


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`safety-service` in a process of its own, outside the repository."""
    return subprocess.run(
        [sys.executable, "-m", "safety_service", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path.home(),
    )


@pytest.fixture(scope="module")
def printed() -> str:
    done = command("demo")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (
            "hepatic.start-dose",
            ["HIGH", "5 mg, not 10 mg", "mild hepatic impairment", "dose 10 -> 5 mg", "titrate slowly"],
        ),
        ("duration.course", ["HIGH", "28 days", "14 d x (1 + 1 refill) = 28 d", "refills 1 -> 0", "not recommended"]),
        ("sedation.opioid", ["HIGH", "oxycodone", "slow breathing", "FDA communication"]),
        ("sedation.counsel", ["LOW", "drowsiness 38 % (10 mg), 10 % (placebo)"]),
        ("sedation.safety-critical-task", ["MODERATE", "drive or operate machinery"]),
        ("pathway.first-line", ["LOW", "non-drug"]),
    ],
)
def test_the_demo_prints_the_articles_alerts(printed: str, rule: str, words: list[str]) -> None:
    (block,) = (" ".join(each.split()) for each in printed.split("\n\n") if re.search(rf"{re.escape(rule)} v\d", each))
    assert not [each for each in words if each not in block]


def test_the_demo_offers_what_the_article_offers(printed: str) -> None:
    care = next(each for each in printed.split("\n\n") if each.startswith("Care without drugs"))
    for option in (
        "Exercise therapy",
        "Motor control exercise",
        "Tai chi",
        "Yoga",
        "Cognitive behavioral therapy",
        "Progressive relaxation",
        "Mindfulness-based stress reduction",
    ):
        line = next(each for each in care.splitlines() if each.strip().startswith(option))
        assert re.search(r"\[\d+\] .* certainty", line)  # a link and a grade
    heat = " ".join(care[care.index("Heat wrap") :].split())
    assert re.match(r"Heat wrap or other superficial heat \[\d+\] [^\[]*acute[^\[]* only in ACP 2017", heat)
    assert "this patient is at step 1" in care


def test_the_demo_says_what_was_not_checked_and_rests_on_sources(printed: str) -> None:
    assert "send patient.falls" in printed
    assert printed.index("HIGH") < printed.index("MODERATE") < printed.index("LOW ")
    numbers = set(re.findall(r"\[(\d+)\]", printed))
    listed = re.findall(r"^\[(\d+)\] .*", printed, re.MULTILINE)
    assert numbers == set(listed)
    assert len(listed) == len(set(listed))


def test_the_demo_fits_the_page(printed: str) -> None:
    assert not [each for each in printed.splitlines() if len(each) > WIDEST and "http" not in each]
    assert "\x1b" not in printed


def test_a_server_and_this_process_decide_the_same() -> None:
    def decision(*arguments: str) -> Any:
        done = command("check", str(ARTICLE_CASE), "--json", *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["decision"]

    with server_process() as address:
        from_server = decision("--server", address)
    assert from_server == decision()
