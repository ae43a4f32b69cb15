"""The table of docs/cds-hooks-conformance.md is whole and true, and what no other test shows of it."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from starlette.testclient import TestClient

from tests.gateway.calls import DATA, call, order
from tests.gateway.test_cards import article, long_course, oxycodone

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "cds-hooks-conformance.md"
REASONS = ("Not applicable: ", "Not a test: ", "Not offered: ", "For the operator: ")


def rows() -> Iterator[tuple[list[int], str]]:
    for line in TABLE.read_text().splitlines():
        found = re.fullmatch(r"\| ([\d, -]+) \| .+ \| (.+) \|", line)
        if found is None:
            continue
        numbers: list[int] = []
        for part in found[1].split(", "):
            low, _, high = part.partition("-")
            numbers += range(int(low), int(high or low) + 1)
        yield numbers, found[2]


def test_every_requirement_of_a_service_stands_in_the_table_once() -> None:
    with (DATA / "cds-hooks" / "inferno-crd" / "Requirements.csv").open(newline="", encoding="utf-8") as file:
        bound = {int(row["ID*"]) for row in csv.DictReader(file) if "Service" in row["Actors*"]}
    told = Counter(number for numbers, _ in rows() for number in numbers)
    assert len(bound) == 120
    assert {number for number, count in told.items() if count > 1} == set()
    assert set(told) >= bound
    # A range may run over a number that binds clients alone, but not further.
    assert all(number in bound or {number - 1, number + 1} & bound for number in told)


def test_every_test_of_the_table_exists() -> None:
    for _, shown in rows():
        path, _, name = shown.partition("::")
        if name:
            assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE), shown
        else:
            assert shown.startswith(REASONS), shown


# --- what no other test shows ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def answers(answered: Any) -> list[dict[str, Any]]:
    """Answers with every kind of card."""
    bodies = [article(), call(long_course()), call(order(), oxycodone()), call(order(medicationCodeableConcept=None))]
    return [answered(each) for each in bodies]


def cards(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = [card for answer in answers for card in answer["cards"]]
    assert len(found) > 6
    return found


def test_each_service_is_described(client: TestClient) -> None:
    for service in client.get("/cds-services").json()["services"]:
        assert set(service) >= {"hook", "id", "title", "description", "prefetch", "usageRequirements"}
        assert all(isinstance(query, str) and query for query in service["prefetch"].values())


def test_one_id_for_all_hooks(client: TestClient) -> None:
    services = client.get("/cds-services").json()["services"]
    assert len({each["id"] for each in services}) == 1
    assert len({each["hook"] for each in services}) == len(services) >= 2


def test_nothing_is_done_without_a_click(answers: list[dict[str, Any]]) -> None:
    assert not [each for each in answers if "systemActions" in each]


def test_ids_are_unique(answers: list[dict[str, Any]]) -> None:
    ids = [card["uuid"] for card in cards(answers)]
    suggestions = [each for card in cards(answers) for each in card.get("suggestions", ())]
    ids += [each["uuid"] for each in suggestions]
    assert suggestions
    assert all(str(UUID(each)) == each for each in ids)
    assert len(set(ids)) == len(ids)
    assert all(each["label"] and each.get("isRecommended", True) is True for each in suggestions)


def test_actions_update_the_whole_order(answers: list[dict[str, Any]]) -> None:
    actions = [action for card in cards(answers) for each in card.get("suggestions", ()) for action in each["actions"]]
    assert actions
    for action in actions:
        assert set(action) == {"type", "description", "resource"}
        assert (action["type"], action["resource"]["resourceType"]) == ("update", "MedicationRequest")
        assert action["description"]
        assert action["resource"]["id"]
    assert all(len(each["actions"]) == 1 for card in cards(answers) for each in card.get("suggestions", ()))


def test_a_source_is_a_document_and_no_page_of_ours(answers: list[dict[str, Any]]) -> None:
    for card in cards(answers):
        url = card["source"].get("url", "https://gateway.example.org/")
        assert url.startswith("https://")
        # the home page of the service is its own source, where no document is; a page about this card never is
        assert not url.removeprefix("https://gateway.example.org/").startswith(("rules", "medications", "options"))


def test_links_are_absolute_and_without_context(answers: list[dict[str, Any]]) -> None:
    links = [link for card in cards(answers) for link in card.get("links", ())]
    assert links
    for link in links:
        assert set(link) == {"label", "url", "type"}
        assert link["type"] == "absolute"
        assert link["url"].startswith("https://")


def extensions(part: Any) -> Iterator[Any]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "extension":
                yield value
            elif name != "resource":
                yield from extensions(value)
    elif isinstance(part, list):
        for each in part:
            yield from extensions(each)


def test_extensions_are_objects_with_a_name_of_a_domain(answers: list[dict[str, Any]]) -> None:
    found = list(extensions(answers))
    assert found
    for each in found:
        assert isinstance(each, dict)
        assert all(re.fullmatch(r"[a-z]+(\.[a-z]+)+", name) and isinstance(value, dict) for name, value in each.items())


def test_codings_have_code_and_system(answers: list[dict[str, Any]]) -> None:
    for card in cards(answers):
        for coding in (card["source"]["topic"], *card.get("overrideReasons", ())):
            assert coding["code"]
            assert coding["system"].startswith(("https://", "http://"))
            assert coding["display"]
