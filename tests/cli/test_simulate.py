"""What another policy would change: the counts are those of two runs of `check`, and nothing is lost on the way."""

from __future__ import annotations

import json
import re
import shutil
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from medsafety import CheckPrescriptionRequest
from safety_service.cli import app
from safety_service.domain import Overall, Severity
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import RULES_DATA, load_knowledge
from safety_service.report.layout import WIDTH
from safety_service.request_file import read_requests
from safety_service.simulate import simulate

POLICY = RULES_DATA / "examples" / "site-policy.yaml"
ORDERS = RULES_DATA / "examples" / "orders.ndjson"
ONE = '{"requestId": "r", "prescription": {"medication": {"text": "Soma"}, "daysSupply": 28}}'


def run(*arguments: str | Path, text: str = "", **environment: str) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)], input=text, env={"COLUMNS": "100", **environment})


@pytest.fixture(scope="module", autouse=True)
def each_knowledge_is_loaded_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("safety_service.cli.load_knowledge", cache(load_knowledge))
        yield


@pytest.fixture(scope="module")
def data(each_knowledge_is_loaded_once: None) -> Any:
    result = run("simulate", "--json", "--policy", POLICY, ORDERS)
    assert result.exit_code == 0
    return json.loads(result.stdout)


def checked(**environment: str) -> list[dict[str, Any]]:
    """The decisions of `check` on the same orders."""
    result = run("check", "--json", ORDERS, **environment)
    assert result.exit_code == 0
    return [json.loads(line)["response"]["decision"] for line in result.stdout.splitlines()]


def severity_of(found: dict[str, Any]) -> str:
    return str(found["severity"]).removeprefix("SEVERITY_")


# --- the counts --------------------------------------------------------------------------------------------------


def test_the_counts_are_those_of_two_runs_of_check(data: Any) -> None:
    sides = {"before": checked(), "after": checked(MEDSAFETY_POLICY_FILE=str(POLICY))}
    assert data["orders"] == len(sides["before"]) == len(sides["after"]) == 40
    by_rule: dict[str, Counter[tuple[str, str, str]]] = {}
    for side, decisions in sides.items():
        counts = by_rule[side] = Counter()
        for decision in decisions:
            for alert in decision.get("alerts", []):
                counts["fired", alert["ruleId"], severity_of(alert)] += 1
                counts["interruptive", alert["ruleId"], severity_of(alert)] += alert.get("interruptive", False)
            for check in decision.get("suppressed", []):
                counts["suppressed", check["ruleId"], severity_of(check)] += 1
        overall = Counter(each["overall"].removeprefix("OVERALL_") for each in decisions)
        assert data[side]["overall"] == {each.name: overall[each.name] for each in Overall if each}
        interrupted = sum(any(a.get("interruptive") for a in each.get("alerts", [])) for each in decisions)
        assert data["interruptedOrders"][side] == interrupted
        assert {(each["policy"]["id"], each["policy"]["digest"]) for each in decisions} == {
            (data[side]["policy"]["id"], data[side]["policy"]["digest"])
        }
    for side, counts in by_rule.items():
        for kind in ("fired", "interruptive", "suppressed"):
            assert data["all"][kind][side] == sum(n for (k, _, _), n in counts.items() if k == kind)
            for severity in ("CONTRAINDICATED", "HIGH", "MODERATE", "LOW"):
                total = sum(n for (k, _, s), n in counts.items() if (k, s) == (kind, severity))
                assert data["severities"][severity][kind][side] == total
            for rule in data["rules"]:
                own = {s: n for (k, r, s), n in counts.items() if (k, r) == (kind, rule["ruleId"]) and n}
                assert rule[kind][side] == sum(own.values())
                told = {s: each[kind][side] for s, each in rule["severities"].items() if each[kind][side]}
                assert told == own
    assert {rule["ruleId"] for rule in data["rules"]} == {r for counts in by_rule.values() for _, r, _ in counts}
    moved = Counter(
        (before["overall"].removeprefix("OVERALL_"), after["overall"].removeprefix("OVERALL_"))
        for before, after in zip(sides["before"], sides["after"], strict=True)
        if before["overall"] != after["overall"]
    )
    assert {(e["before"], e["after"]): e["orders"] for e in data["overallChanges"]} == moved
    assert data["ordersWithAnotherOverall"] == sum(moved.values()) > 0


def test_the_example_shows_every_kind_of_change(data: Any) -> None:
    rules = {each["ruleId"]: each for each in data["rules"]}
    assert rules["pathway.first-line"]["suppressed"]["after"] == rules["pathway.first-line"]["fired"]["before"] > 0
    assert rules["pathway.first-line"]["fired"]["after"] == 0
    assert set(rules["sedation.safety-critical-task"]["severities"]) == {"MODERATE", "HIGH"}
    assert rules["duration.course"]["fired"]["after"] > rules["duration.course"]["fired"]["before"]
    assert data["severities"]["CONTRAINDICATED"]["fired"]["before"] > 0
    for kind, pair in data["severities"]["CONTRAINDICATED"].items():
        assert pair["before"] == pair["after"], kind
    pair = data["all"]["fired"]
    assert pair["per100Before"] == 100 * pair["before"] / 40


def test_the_same_policy_twice_changes_nothing() -> None:
    result = run("simulate", "--policy", POLICY, "--baseline-policy", POLICY, ORDERS)
    assert result.exit_code == 0
    assert "Another overall: 0 orders" in result.stdout
    assert re.search(r"\d+ other rules that fired: no difference", result.stdout)
    assert not re.search(r"[+-]\d+\.\d", result.stdout)


def test_the_baseline_is_what_a_server_here_would_use() -> None:
    as_is = json.loads(
        run("simulate", "--json", "--policy", "default", ORDERS, MEDSAFETY_POLICY_FILE=str(POLICY)).stdout
    )
    assert (as_is["before"]["policy"]["id"], as_is["after"]["policy"]["id"]) == ("example-clinic", "default")
    asked = json.loads(run("simulate", "--json", "--baseline-policy", POLICY, "--policy", "default", ORDERS).stdout)
    assert asked == as_is


def test_two_versions_of_the_knowledge(tmp_path: Path) -> None:
    other = tmp_path / "rules_data"
    shutil.copytree(RULES_DATA, other)
    file = other / "medications" / "cyclobenzaprine-ir.yaml"
    text = file.read_text()
    assert "value: 21" in text
    file.write_text(text.replace("value: 21", "value: 6"))
    found = json.loads(run("simulate", "--json", "--knowledge", other, ORDERS).stdout)
    assert found["before"]["knowledge"]["digest"] != found["after"]["knowledge"]["digest"]
    assert found["before"]["policy"] == found["after"]["policy"]
    (course,) = (each for each in found["rules"] if each["ruleId"] == "duration.course")
    assert course["fired"]["after"] > course["fired"]["before"]
    back = json.loads(
        run("simulate", "--json", "--baseline-knowledge", other, "--knowledge", RULES_DATA, ORDERS).stdout
    )
    assert back["after"] == found["before"]


# --- as text -----------------------------------------------------------------------------------------------------


def test_the_table(data: Any) -> None:
    printed = run("simulate", "--policy", POLICY, ORDERS).stdout
    lines = printed.splitlines()
    assert lines[0] == "40 orders decided twice"
    assert lines[1].startswith("before  policy default ")
    assert lines[2].startswith("after   policy example-clinic 2026.1 (")
    assert all(len(line) <= WIDTH for line in lines)
    totals = next(line for line in lines if line.startswith("All "))
    numbers = [int(each) for each in totals.split() if re.fullmatch(r"\d+", each)]
    assert numbers == [data["all"][kind][side] for kind in data["all"] for side in ("before", "after")]
    differing = [each["ruleId"] for each in data["rules"] if any(p["before"] != p["after"] for p in three(each))]
    shown = [line.split()[0] for line in lines if re.match(r"[a-z]+\.", line)]
    assert set(differing) <= set(shown)
    assert "sedation.counsel" not in shown, "nothing about it differs"
    assert f"{len(data['rules']) - len(shown)} other rules that fired: no difference" in printed


def three(rule: dict[str, Any]) -> Iterator[dict[str, int]]:
    for each in (rule, *rule["severities"].values()):
        for kind in ("fired", "interruptive", "suppressed"):
            yield each[kind]


# --- what is not counted -----------------------------------------------------------------------------------------


def test_what_is_refused_is_named_and_not_counted() -> None:
    text = f'{ONE}\n{{"prescription": {{"refills": -1}}}}\n{{"no_such_field": 1}}\n{ONE}\n'
    result = run("simulate", "--policy", POLICY, "-", text=text)
    assert result.exit_code == 1
    assert result.stdout.startswith("2 orders decided twice (2 refused, not counted)")
    first, second = result.stderr.splitlines()
    assert first.startswith("input items[1]: prescription.")
    assert second.startswith("input: items[2].no_such_field: no such field")


def test_a_file_that_breaks_off_gives_no_table() -> None:
    result = run("simulate", "--policy", POLICY, "-", text=f'{ONE}\n{{"prescription"')
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "cannot be read on after 1 requests" in result.stderr


def test_an_order_that_an_engine_fails_on_is_told_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("with the patient's name in it")

    monkeypatch.setattr("safety_service.simulate.check", broken)
    result = run("simulate", "--policy", POLICY, "-", text=ONE)
    assert result.exit_code == 4
    assert "0 orders decided twice (1 failed, not counted)" in result.stdout
    assert "ZeroDivisionError at test_simulate.py:" in result.stderr
    assert "name in it" not in result.output


def test_what_a_request_insists_on_is_not_looked_at() -> None:
    asked = ONE[:-1] + ', "policy": "another", "expectedKnowledgeDigest": "none"}'
    assert run("simulate", "--policy", POLICY, "-", text=asked).stdout.startswith("1 orders decided twice\n")


def test_a_policy_below_the_floor_is_refused(tmp_path: Path) -> None:
    low = tmp_path / "low.yaml"
    low.write_text(POLICY.read_text().replace("pathway.first-line:", "hepatic.contraindicated:"))
    result = run("simulate", "--policy", low, ORDERS)
    assert result.exit_code == 1
    assert re.search(r"low\.yaml:\d+: hepatic\.contraindicated tells of a contraindication", result.stderr)
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("simulate", str(ORDERS)),
        ("simulate", "--policy", str(POLICY)),
        ("simulate", "--policy", str(POLICY), "no-such-file.json"),
        ("simulate", "--knowledge", "no-such-folder", str(ORDERS)),
    ],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


def test_several_files_are_one_set_of_orders() -> None:
    found = json.loads(run("simulate", "--json", "--policy", POLICY, ORDERS, ORDERS).stdout)
    assert found["orders"] == 80


# --- in bounded memory -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


def test_memory_does_not_grow_with_the_orders(knowledge: Knowledge) -> None:
    """Ten times the orders take no more memory, but for what the collector has not come to."""
    requests = read_requests(ORDERS.read_bytes())

    def many(rounds: int) -> Iterator[tuple[str, CheckPrescriptionRequest]]:
        for number in range(rounds):
            for each in requests:
                sent = CheckPrescriptionRequest()
                sent.CopyFrom(each)
                sent.patient.id = f"patient-{number}"
                yield "x", sent

    simulate(knowledge, knowledge, many(3), 0, b"key")  # what is remembered of words is remembered
    peaks = []
    for rounds in (2, 10):
        tracemalloc.start()
        found = simulate(knowledge, knowledge, many(rounds), 0, b"key")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found.orders == rounds * len(requests)
    assert peaks[1] < peaks[0] + 320 * 2_000  # 320 decisions more would take three times as much
    assert found.before.of(severity=Severity.HIGH) == found.after.of(severity=Severity.HIGH)
