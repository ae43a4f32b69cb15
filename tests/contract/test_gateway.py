"""The gateway as a process, and the same answers at both doors."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from medsafety.v1.medication_safety_service_pb2 import CheckPrescriptionRequest
from medsafety.v1.medication_safety_service_pb2_grpc import MedicationSafetyServiceStub
from tests.gateway.processes import gateway_process

SANDBOX = Path(__file__).parents[1] / "data" / "cds-hooks" / "sandbox-shape"
SERVICE = "/cds-services/muscle-relaxant-safety"


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    with gateway_process() as address:
        yield address


def call(address: str, body: bytes | None = None) -> Any:
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"} if body else {})
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 200
        return json.load(response)


def test_it_serves(gateway: str) -> None:
    services = call(f"{gateway}/cds-services")["services"]
    assert {each["hook"] for each in services} == {"order-select", "order-sign"}
    path = SANDBOX / "order-sign_cyclobenzaprine10_tid_30d.json"
    cards = call(gateway + SERVICE, path.read_bytes())["cards"]
    assert cards[0]["links"][0]["url"].startswith(gateway)


# The facts of each file, as a client of the other door would send them: dose by the piece, the last day of the timing
# as the first day without.
FACTS: dict[str, dict[str, Any]] = {
    "order-select_cyclobenzaprine10_tid_30d": {"times": 3, "start": "2026-11-22", "end": "2026-12-23"},
    "order-sign_cyclobenzaprine10_tid_30d": {"times": 3, "days": 30, "start": "2026-11-22"},
    "order-sign_carisoprodol350_qid_21d": {"times": 4, "days": 21},
    "order-sign_tizanidine4_tid_14d": {"times": 3, "days": 14},
}


def test_every_sandbox_request_has_its_facts() -> None:
    assert {each.stem for each in SANDBOX.glob("*.json")} == set(FACTS)


@pytest.mark.parametrize("name", sorted(FACTS))
def test_the_sandbox_and_grpc_get_the_same_alerts(name: str, gateway: str, checks: MedicationSafetyServiceStub) -> None:
    body = json.loads((SANDBOX / f"{name}.json").read_bytes())
    answer = call(gateway + SERVICE, json.dumps(body).encode())
    (decision,) = answer["extension"]["org.example.medsafety"]["decisions"]
    resource = body["context"]["draftOrders"]["entry"][0]["resource"]
    concept = resource["medicationCodeableConcept"]
    facts = FACTS[name]
    prescription: dict[str, Any] = {
        "id": "MedicationRequest/request-123",
        "medication": {"codings": concept["coding"], "text": concept["text"]},
        "doseQuantity": {"value": 1, "unit": "{pill}"},
        "frequency": {"times": facts["times"], "period": 1, "periodUnit": "d"},
        "orderedOn": day(resource["authoredOn"]),
    }
    if "start" in facts:
        prescription["startDate"] = day(facts["start"])
    if "days" in facts:
        prescription["daysSupply"] = facts["days"]
    if "end" in facts:
        prescription["endDate"] = day(facts["end"])
    request = ParseDict(
        {"prescription": prescription, "patient": {"id": body["context"]["patientId"]}, "asOf": decision["asOf"]},
        CheckPrescriptionRequest(),
    )
    response = checks.CheckPrescription(request, timeout=30)
    held = [card["extension"]["org.example.medsafety"] for card in answer["cards"]]
    alerts = [each.get("alerts", []) for each in held if "notChecked" not in each]
    cards = response.decision.cards
    assert [card["summary"] for card in answer["cards"][: len(cards)]] == [each.title for each in cards]
    assert [[each["fingerprint"] for each in some] for some in alerts] == [
        [each.fingerprint for each in card.reasons] for card in cards
    ]
    assert alerts


def day(text: str) -> dict[str, int]:
    year, month, number = map(int, text.split("-"))
    return {"year": year, "month": month, "day": number}
