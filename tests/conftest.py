"""How every test runs: fixed random seeds unless asked otherwise, and no skip that goes unnoticed.

Environment, set by the Makefile:
    HYPOTHESIS_PROFILE  `ci` (the default, the same examples every time) or `long` (random, many more).
    SEED                for tests with a random generator of their own; a fixed number by default.
    STRICT              not empty: a skipped test is a failed test.
"""

import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester"]

FIXED_SEED = 20_240_229

settings.register_profile("ci", derandomize=True, deadline=None, database=None, print_blob=True)
settings.register_profile(
    "long",
    max_examples=5_000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def seed() -> int:
    """The seed for a test's own random generator: fixed, but for a long run, which prints it."""
    return int(os.environ.get("SEED") or FIXED_SEED)


def pytest_report_header() -> str:
    strict = "a skip fails" if os.environ.get("STRICT") else "skips are listed at the end"
    profile = os.environ.get("HYPOTHESIS_PROFILE", "ci")
    return f"hypothesis profile: {profile}, seed: {os.environ.get('SEED') or FIXED_SEED}, {strict}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("STRICT") and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which STRICT forbids: {_reason(report)}"


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        terminalreporter.section(f"not run: {len(skipped)} skipped")
        for report in skipped:
            terminalreporter.write_line(f"SKIPPED {report.nodeid}: {_reason(report)}")
