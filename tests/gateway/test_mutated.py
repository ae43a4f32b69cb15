"""Requests changed at random, strangers' and our own: never a 5xx, what is refused is explained, no memory lost."""

import copy
import gc
import json
import random
import resource
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from safety_service.gateway.discovery import SERVICE_ID
from tests.gateway.calls import DATA, SERVICE, call, order
from tests.gateway.from_openapi import calls
from tests.gateway.test_cards import article
from tests.gateway.test_fhir_check import parameters

JUNK: list[Any] = [
    None, True, False, 0, -1, 1, 3.5, 1e308, -1e-308, 2**63, 10**40, "", " ", "x", "0", "2026-13-40", "0001-01-01",
    "9999-12-31", "2026-11-25T99:99:99Z", "\u0000", "💊" * 50, "a" * 5_000, "Patient/p1",
    "#x", "#", "http://127.0.0.1:1/x", "../..", "<b>", "MedicationRequest", "Bundle", "OperationOutcome",
    [], {}, [None], [[]], [{}], {"": None}, {"resourceType": "Bundle"}, {"value": "x"}, {"reference": 7},
    {"resourceType": "MedicationRequest"}, {"coding": [{"code": 7}]}, ["x"] * 300,
]  # fmt: skip
WORDS = ("resourceType", "value", "unit", "code", "reference", "entry", "repeat", "period", "start", "extension", "id")


def places(part: Any) -> Iterator[tuple[Any, Any]]:
    """Every member: its holder and its name or number."""
    if isinstance(part, dict):
        for name in list(part):
            yield part, name
            yield from places(part[name])
    elif isinstance(part, list):
        for i in range(len(part)):
            yield part, i
            yield from places(part[i])


def mutated(body: Any, chance: random.Random) -> Any:
    changed = copy.deepcopy(body)
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        found = list(places(changed))
        if not found:
            return chance.choice(JUNK)
        holder, name = chance.choice(found)
        match chance.randrange(7):
            case 0 | 1:
                holder[name] = copy.deepcopy(chance.choice(JUNK))
            case 2:
                del holder[name]
            case 3:  # another part of the same request
                other, other_name = chance.choice(found)
                holder[name] = copy.deepcopy(other.get(other_name) if isinstance(other, dict) else holder[name])
            case 4:
                if isinstance(holder, dict):
                    holder[chance.choice(WORDS)] = copy.deepcopy(chance.choice(JUNK))
                else:
                    holder.insert(0, copy.deepcopy(chance.choice(JUNK)))
            case 5:
                holder[name] = [copy.deepcopy(holder[name])] * chance.choice((1, 2, 30))
            case 6:
                holder[name] = {"resource": copy.deepcopy(holder[name])}
    return changed


def corpus() -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = [(SERVICE, article()), ("/fhir/$check", parameters(statements=None))]
    for path in sorted((DATA / "cds-hooks").glob("*/*.json")):
        try:
            body = json.loads(path.read_bytes())
        except ValueError:
            continue
        if isinstance(body, dict) and "hook" in body:
            found.append((SERVICE, body))
    example = DATA.parents[1] / "rules_data" / "examples" / "article-case.json"
    feedback = {"feedback": [{"card": "c", "outcome": "overridden", "outcomeTimestamp": "2026-11-22T10:05:31Z"}]}
    found += [
        (
            SERVICE,
            call(
                order(),
                hook=hook,
                prefetch={"medications": {"resourceType": "Bundle", "entry": [{"resource": order(status="active")}]}},
            ),
        )
        for hook in ("order-dispatch", "medication-refill", "medication-verify")
    ]
    found += [("/check", json.loads(example.read_bytes())), (f"{SERVICE}/feedback", feedback)]
    return found + found[:2] * 5 + found[-2:] * 5  # our own as often as the strangers'


def assert_answered(client: TestClient, path: str, content: str) -> int:
    """Never a 5xx; what is refused is explained."""
    response = client.post(path, content=content, headers={"Content-Type": "application/json"})
    assert response.status_code < 500, (path, content[:2_000], response.text)
    if response.status_code != 200:
        outcome = response.json()
        assert outcome["resourceType"] == "OperationOutcome"
        assert all(each["diagnostics"] for each in outcome["issue"])
    return response.status_code


def test_a_few(client: TestClient, seed: int) -> None:
    chance, bodies = random.Random(seed), corpus()
    seen = set()
    for _ in range(600):
        path, body = chance.choice(bodies)
        content = json.dumps(mutated(body, chance))
        if chance.random() < 0.02:
            content = content[: chance.randrange(len(content) + 1)]
        seen.add(assert_answered(client, path, content))
    assert {200, 400} <= seen


# --- by hypothesis: from the OpenAPI document, and from the strangers' requests ----------------------------------


def sent(client: TestClient) -> st.SearchStrategy[tuple[str, Any]]:
    """A body that the document allows, as it is or changed; or a stranger's request, changed."""
    allowed = calls(client.get("/openapi.json").json(), SERVICE_ID)
    random_change = st.randoms(use_true_random=False)
    strangers = st.builds(
        lambda each, chance: (each[0], mutated(each[1], chance)), st.sampled_from(corpus()), random_change
    )
    changed = st.builds(lambda each, chance: (each[0], mutated(each[1], chance)), allowed, random_change)
    return st.one_of(allowed, changed, strangers, strangers)


def search(client: TestClient, strategy: st.SearchStrategy[tuple[str, Any]], number: int, at: int) -> Counter[int]:
    """The statuses of `number` calls."""
    seen: Counter[int] = Counter()

    @hypothesis.seed(at)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def each(call: tuple[str, Any]) -> None:
        path, body = call
        seen[assert_answered(client, path, json.dumps(body))] += 1

    each()
    return seen


def test_what_the_document_allows_is_answered(client: TestClient, seed: int) -> None:
    seen = search(client, sent(client), 150, seed)
    assert seen[200]
    assert seen[400]


def resident() -> float:
    """MiB that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_twenty_thousand_and_no_memory_lost(client: TestClient, seed: int, log_lines: Any) -> None:
    """In rounds, since hypothesis remembers the examples of one search; the first fill what is remembered of words."""
    strategy, seen = sent(client), Counter[int]()
    held: list[float] = []
    for i in range(20):
        seen += search(client, strategy, 1_000, seed + i)
        log_lines.seek(0)
        log_lines.truncate(0)
        gc.collect()
        held.append(resident())
    print(f"{sum(seen.values()):,} calls: {dict(seen)}; MiB after each 1,000: {[round(each) for each in held]}")
    assert sum(seen.values()) >= 20_000
    grown = held[-1] - held[4]
    assert grown < 40, f"{grown:.0f} MiB more after 15,000 requests"
