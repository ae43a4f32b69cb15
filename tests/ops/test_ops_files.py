"""The files of `ops/`, which nothing here runs: they name flags, metrics and files that exist."""

import configparser
import json
import re
import shlex
from pathlib import Path

import yaml

from safety_service.server.metrics import open_meter
from safety_service.server.settings import Settings
from safety_service.server.transport import METHOD_NAMES
from safety_service.supervisor.whole import Whole
from tests.test_safety_case import NODE, not_found

ROOT = Path(__file__).parents[2]
OPS = ROOT / "ops"
FLAGS = {f"--{name.replace('_', '-')}" for name in Settings.model_fields}
SIGNALS = {"HUP": "SIGHUP reads the knowledge anew"}


def metrics() -> set[str]:
    """Every name that Prometheus may be told."""
    _, registry = open_meter(METHOD_NAMES)
    families = [*registry.collect(), *Whole().collect()]
    names = {sample.name for family in families for sample in family.samples}
    return (
        names
        | {each.name + "_total" for each in families if each.type == "counter"}
        | {each.name for each in families if each.type == "gauge"}
    )


def named(expression: str) -> set[str]:
    return set(re.findall(r"\bmedsafety_\w+", expression))


def test_every_alert_rule_asks_for_metrics_that_exist_and_says_what_to_do() -> None:
    rules = yaml.safe_load((OPS / "prometheus-alerts.yaml").read_text())["groups"][0]["rules"]
    sections = (ROOT / "docs" / "operations.md").read_text()
    assert len({each["alert"] for each in rules}) == len(rules) > 5
    for rule in rules:
        assert named(rule["expr"]), rule["alert"]
        assert named(rule["expr"]) <= metrics(), rule["alert"]
        assert rule["expr"].count("(") == rule["expr"].count(")")
        assert rule["labels"]["severity"] in ("page", "ticket")
        place, section = rule["annotations"]["action"].split(", ")
        assert place == "docs/operations.md"
        assert section.strip('"') in sections, section


def test_every_panel_shows_metrics_that_exist() -> None:
    dashboard = json.loads((OPS / "grafana-dashboard.json").read_text())
    panels = dashboard["panels"]
    assert len({each["id"] for each in panels}) == len(panels)
    shown: set[str] = set()
    for panel in panels:
        for target in panel["targets"]:
            assert named(target["expr"])
            shown |= named(target["expr"])
    assert shown <= metrics()
    assert {each for each in metrics() if each.endswith("_total")} <= shown, "nothing is counted and never looked at"


def test_the_unit_starts_what_there_is_and_reloads_as_documented() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string((OPS / "medsafety.service").read_text())
    service = unit["Service"]
    command = shlex.split(service["ExecStart"].replace("\\\n", " "))
    assert Path(command[0]).name == "safety-service"
    assert command[1] == "serve"
    assert {each for each in command if each.startswith("--")} <= FLAGS
    assert "fingerprint" not in service["ExecStart"], "secrets are not for the command line"
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert service["User"] != "root"
    settings = Settings()
    assert int(service["TimeoutStopSec"]) > settings.drain_seconds + settings.grace_seconds + 10
    # Workers and admin process end by the supervisor; a signal to all of them would end the watch over the drain.
    assert service["KillMode"] == "mixed"


def test_the_containerfile_copies_what_there_is_and_is_not_root() -> None:
    text = (OPS / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    known = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
    assert {word for word, _ in lines} <= known
    for word, rest in lines:
        if word == "COPY" and not rest.startswith("--from"):
            assert all((ROOT / each).exists() for each in rest.split()[:-1]), rest
    assert [rest for word, rest in lines if word == "USER"] == ["10001"]
    arguments = json.loads(next(rest for word, rest in lines if word == "CMD"))
    assert {each for each in arguments if each.startswith("--")} <= FLAGS
    assert "--require-hashes" in text
    assert "://" not in text


def test_what_was_not_run_says_so() -> None:
    for name in ("medsafety.service", "Containerfile"):
        assert re.search(r"^# .*[Nn]ot (run|built) here", (OPS / name).read_text(), re.MULTILINE)
    assert "**none of the four has been run here**" in (ROOT / "docs" / "operations.md").read_text()


def test_every_flag_in_the_document_exists() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    told = set(re.findall(r"--[a-z][a-z-]+", text)) - {"--help"}
    elsewhere = {"--key"}
    assert told - elsewhere <= FLAGS


def faults() -> list[list[str]]:
    """The rows of the table of faults: what breaks, what happens, what shows it."""
    text = (ROOT / "docs" / "operations.md").read_text().partition("\n## Faults\n")[2].partition("\n## ")[0]
    rows = [[each.strip() for each in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return rows[2:]


def test_every_fault_has_an_outcome_and_tests_that_exist() -> None:
    assert len(faults()) >= 15
    for fault, outcome, tests in faults():
        assert fault
        assert outcome
        named = re.findall("`([^`]*)`", tests)
        assert named, fault
        assert all(NODE.fullmatch(each) for each in named), fault
        assert not_found(tests) == []
