"""Records that nobody here made: patients out of another project's simulator. What is not known is counted as that."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.audit.records import run, table

EXTRACT = Path(__file__).parents[1] / "data" / "clinosim" / "extract.ndjson.gz"


@pytest.fixture(scope="module")
def resources() -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(EXTRACT.read_bytes()).splitlines()]


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("clinosim") / "out"
    return out, run(out, EXTRACT, statuses=True)


def test_every_line_is_accounted_for(resources: list[dict[str, Any]], audited: tuple[Path, dict[str, Any]]) -> None:
    law = audited[1]["conservation"]
    assert law["balances"]
    assert law["physical"] == len(resources) > 1_500
    kinds = Counter(each["resourceType"] for each in resources)
    assert law["not_relevant"] >= kinds["MedicationAdministration"] > 0
    kept = audited[1]["inputs"][0]["kept"]
    assert kept["patients"] == kinds["Patient"] == 40
    assert kept["conditions"] == kinds["Condition"]
    to_drugs = sum(each.get("category") == ["medication"] for each in resources)
    assert kept["allergies"] + audited[1]["rejected"]["not-confirmed"] == to_drugs > 0


def test_a_drug_that_is_not_known_is_counted_as_unknown(
    resources: list[dict[str, Any]], audited: tuple[Path, dict[str, Any]]
) -> None:
    out, manifest = audited
    ordered = Counter(
        each["medicationCodeableConcept"]["text"] for each in resources if each["resourceType"] == "MedicationRequest"
    )
    rejected = [json.loads(row["row"]) for row in table(out, "rejected") if row["reason"] == "unknown-drug"]
    unknown = Counter(each["medicationCodeableConcept"]["text"] for each in rejected)
    assert unknown["Sliding scale insulin"] == ordered["Sliding scale insulin"] > 10
    assert set(unknown) & {"Cyclobenzaprine", "Sertraline", "Atorvastatin", "Metformin"} == set()
    assert manifest["checked_records"] == {"order": ordered.total() - unknown.total()}
    assert manifest["rejected"]["unknown-drug"] == unknown.total()


def test_their_relaxant_is_checked(resources: list[dict[str, Any]], audited: tuple[Path, dict[str, Any]]) -> None:
    """The simulator orders cyclobenzaprine under the skin."""
    ordered = {
        each["id"]: each["subject"]["reference"].removeprefix("Patient/")
        for each in resources
        if each["resourceType"] == "MedicationRequest" and "Cyclobenzaprine" in json.dumps(each)
    }
    alerts = [row for row in table(audited[0], "alerts") if row["rule_id"] == "product.route"]
    assert {row["index_record"].rpartition("/")[2]: row["patient"] for row in alerts} == ordered
    assert len(ordered) == 5


def test_a_vitamin_under_the_name_of_its_group_raises_no_alert(audited: tuple[Path, dict[str, Any]]) -> None:
    """The simulator orders vitamin D with the display name "Vitamin D (Cholecalciferol)"."""
    assert not [row for row in table(audited[0], "alerts") if row["rule_id"] == "product.code-text"]
