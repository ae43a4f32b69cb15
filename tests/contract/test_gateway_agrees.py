"""A thousand patients and orders made up from facts, sent to both doors as each would have them: the same decision."""

import json
import random
import urllib.request
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from medsafety.v1.decision_pb2 import CheckStatus
from medsafety.v1.medication_safety_service_pb2 import CheckPrescriptionRequest
from medsafety.v1.medication_safety_service_pb2_grpc import MedicationSafetyServiceStub
from tests.gateway.processes import gateway_process

KEY = "org.example.medsafety"
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
LOINC = "http://loinc.org"
ANSWERS = ("", "ANSWER_YES", "ANSWER_NO")
ORDERS = (
    ("cyclobenzaprine hydrochloride 10 MG Oral Tablet", (5, 10, 20)),
    ("cyclobenzaprine hydrochloride 15 MG Extended Release Oral Capsule", (15, 30)),
    ("methocarbamol 750 MG Oral Tablet", (750, 1500)),
    ("carisoprodol 350 MG Oral Tablet", (250, 350)),
    ("metaxalone 800 MG Oral Tablet", (400, 800)),
    ("tizanidine 4 MG Oral Tablet", (2, 4, 8)),
    ("baclofen 10 MG Oral Tablet", (5, 10, 20)),
    ("orphenadrine citrate 100 MG Extended Release Oral Tablet", (100,)),
    ("chlorzoxazone 500 MG Oral Tablet", (250, 500, 750)),
    ("dantrolene sodium 25 MG Oral Capsule", (25, 100)),
    ("diazepam 5 MG Oral Tablet", (2, 5, 10)),
    ("oxycodone hydrochloride 5 MG Oral Tablet", (5, 10)),
)
OTHERS = (
    "oxycodone",
    "lorazepam",
    "ciprofloxacin",
    "fluvoxamine",
    "sertraline",
    "tizanidine",
    "cyclobenzaprine",
    "zzzz",
)
PROBLEMS = ("M54.50", "M62.830", "G35", "K74.60", "I21.9", "H40.9", "G89.29", "Z99.99", "F11.20", "M54.5")
FREQUENCIES = ((1, 1, "d"), (2, 1, "d"), (3, 1, "d"), (4, 1, "d"), (1, 6, "h"), (1, 8, "h"), (3, 1, "wk"))
COMPLETENESS = ("", "COMPLETENESS_PARTIAL", "COMPLETENESS_COMPLETE")


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with gateway_process() as address:
        yield f"{address}/cds-services/muscle-relaxant-safety"


def day(on: date) -> dict[str, int]:
    return {"year": on.year, "month": on.month, "day": on.day}


def listed(complete: str, items: list[Any]) -> dict[str, Any] | None:
    """A list of the contract; None where nothing is known of it."""
    if not complete and not items:
        return None
    return {"items": items, "completeness": complete or "COMPLETENESS_PARTIAL"}


def bundled(complete: str, resources: list[Any]) -> dict[str, Any]:
    """The same as a prefetch key: absent, a page of more, or all there is."""
    if not complete and not resources:
        return {}
    more = {} if complete == "COMPLETENESS_COMPLETE" else {"link": [{"relation": "next", "url": "x"}]}
    return {"resourceType": "Bundle", "entry": [{"resource": each} for each in resources], **more}


def made(chance: random.Random, today: date) -> tuple[dict[str, Any], dict[str, Any]]:
    """The body of a hook, and the request of the contract with the same facts."""
    name, doses = chance.choice(ORDERS)
    dose, (times, period, unit) = chance.choice(doses), chance.choice(FREQUENCIES)
    ordered = today - timedelta(days=chance.randrange(3))
    order: dict[str, Any] = {"id": "MedicationRequest/m1", "medication": {"text": name}, "kind": "RECORD_KIND_ORDER"}
    order |= {"orderedOn": day(ordered)}
    resource: dict[str, Any] = {
        "resourceType": "MedicationRequest",
        "id": "m1",
        "status": "draft",
        "intent": "order",
        "medicationCodeableConcept": {"text": name},
        "subject": {"reference": "Patient/p1"},
        "authoredOn": ordered.isoformat(),
    }
    sig: dict[str, Any] = {}
    supply: dict[str, Any] = {}
    if chance.random() < 0.9:
        order["doseQuantity"] = {"value": dose, "unit": "mg"}
        sig["doseAndRate"] = [{"doseQuantity": {"value": dose, "unit": "mg", "code": "mg"}}]
    if chance.random() < 0.9:
        order["frequency"] = {"times": times, "period": period, "periodUnit": unit}
        sig["timing"] = {"repeat": {"frequency": times, "period": period, "periodUnit": unit}}
    needed = chance.choice(ANSWERS)
    if needed:
        order["asNeeded"] = needed
        sig["asNeededBoolean"] = needed == "ANSWER_YES"
    if chance.random() < 0.8:
        order["daysSupply"] = days = chance.choice((3, 7, 14, 15, 21, 22, 30, 90))
        supply["expectedSupplyDuration"] = {"value": days, "code": "d"}
        if chance.random() < 0.7:
            order["refills"] = supply["numberOfRepeatsAllowed"] = chance.choice((0, 0, 1, 2))
    purposes = chance.sample(PROBLEMS, chance.randrange(3))
    if purposes:
        order["indications"] = [{"codings": [{"system": ICD, "code": each}]} for each in purposes]
        resource["reasonCode"] = [{"coding": [{"system": ICD, "code": each}]} for each in purposes]
    if sig:
        resource["dosageInstruction"] = [sig]
    if supply:
        resource["dispenseRequest"] = supply

    patient: dict[str, Any] = {"id": "p1"}
    prefetch: dict[str, Any] = {}
    stated: dict[str, Any] = {}
    person: dict[str, Any] = {"resourceType": "Patient", "id": "p1"}
    if chance.random() < 0.8:
        born = date(chance.choice((1945, 1958, 1961, 1990, 2012)), chance.randrange(1, 13), 5)
        patient["birthDate"] = day(born)
        person["birthDate"] = born.isoformat()
    if chance.random() < 0.6:
        sex = chance.choice(("male", "female"))
        patient["sex"] = f"SEX_{sex.upper()}"
        person["gender"] = sex
    prefetch["patient"] = person
    for name in ("alcoholUse", "drivesOrOperatesMachinery", "falls", "spasticityNeededForFunction"):
        told = chance.choice(ANSWERS)
        if told:
            patient[name] = stated[name] = told
    if chance.random() < 0.5:
        grade = f"HEPATIC_GRADE_{chance.choice(('NONE', 'MILD', 'MODERATE', 'SEVERE'))}"
        patient["hepatic"] = {"grade": grade}
        stated["hepatic"] = {"grade": grade}
    if chance.random() < 0.5:
        egfr = chance.choice((12.0, 29.0, 30.0, 59.0, 90.0))
        patient["renal"] = {"egfr": egfr}
        quantity = {"value": egfr, "unit": "mL/min/{1.73_m2}"}
        prefetch["kidney"] = bundled("COMPLETENESS_COMPLETE", [{
            "resourceType": "Observation", "status": "final", "effectiveDateTime": ordered.isoformat(),
            "code": {"coding": [{"system": LOINC, "code": "98979-8"}]}, "valueQuantity": quantity,
        }])  # fmt: skip
    put(patient, prefetch, "conditions", "conditions", *problems(chance))
    put(patient, prefetch, "medications", "statements", *medicines(chance, today))
    if patient.get("medications", {}).get("completeness") == "COMPLETENESS_COMPLETE":
        prefetch |= {"medications": None, "dispenses": None}  # all three keys together are the list
    context = {"userId": "Practitioner/d1", "patientId": "p1",
               "draftOrders": {"resourceType": "Bundle", "entry": [{"resource": resource}]}}  # fmt: skip
    body = {"hook": "order-sign", "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea", "context": context}
    body |= {"prefetch": prefetch, "extension": {KEY: {"patient": stated}}}
    return body, {"prescription": order, "patient": patient}


def put(
    patient: Any, prefetch: Any, name: str, key: str, complete: str, items: list[Any], resources: list[Any]
) -> None:
    held = listed(complete, items)
    if held is not None:
        patient[name] = held
        prefetch[key] = bundled(complete, resources)


def problems(chance: random.Random) -> tuple[str, list[Any], list[Any]]:
    codes = chance.sample(PROBLEMS, chance.randrange(4))
    items = [
        {"id": f"Condition/c{i}", "codings": [{"system": ICD, "code": each}], "status": "CONDITION_STATUS_ACTIVE"}
        for i, each in enumerate(codes)
    ]
    active = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]}
    resources = [
        {"resourceType": "Condition", "id": f"c{i}", "code": {"coding": [{"system": ICD, "code": each}]},
         "clinicalStatus": active}
        for i, each in enumerate(codes)
    ]  # fmt: skip
    return chance.choice(COMPLETENESS), items, resources


def medicines(chance: random.Random, today: date) -> tuple[str, list[Any], list[Any]]:
    items, resources = [], []
    for i, name in enumerate(chance.sample(OTHERS, chance.randrange(4))):
        start = today - timedelta(days=chance.choice((1, 10, 40)))
        known = start + timedelta(days=1)
        item = {"id": f"MedicationStatement/s{i}", "medication": {"text": name}, "status": "RECORD_STATUS_ACTIVE"}
        items.append({**item, "kind": "RECORD_KIND_STATEMENT", "startDate": day(start), "knownOn": day(known)})
        statement: dict[str, Any] = {"resourceType": "MedicationStatement", "id": f"s{i}", "status": "active"}
        statement |= {"dateAsserted": known.isoformat(), "effectivePeriod": {"start": start.isoformat()}}
        resources.append({**statement, "medicationCodeableConcept": {"text": name}})
    return chance.choice(COMPLETENESS), items, resources


def test_a_thousand_agree(service: str, checks: MedicationSafetyServiceStub, seed: int) -> None:
    chance = random.Random(seed)
    fired: set[str] = set()
    for number in range(1_000):
        body, facts = made(chance, datetime.now(UTC).date())
        sent = urllib.request.Request(service, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(sent, timeout=30) as response:
            answer = json.load(response)
        (by_hook,) = answer["extension"][KEY]["decisions"]
        request = ParseDict({**facts, "asOf": by_hook["asOf"]}, CheckPrescriptionRequest())
        by_grpc = checks.CheckPrescription(request, timeout=30).decision
        cards = [each["extension"][KEY].get("alerts", []) for each in answer["cards"]]
        assert [[each["fingerprint"] for each in some] for some in cards if some] == [
            [each.fingerprint for each in card.reasons] for card in by_grpc.cards
        ], (number, body, facts)
        told = {(each["ruleId"], each.get("subject", ""), each["status"]) for each in by_hook.get("checks", [])}
        untold = (CheckStatus.CHECK_STATUS_PASSED, CheckStatus.CHECK_STATUS_NOT_APPLICABLE)
        assert told == {
            (each.rule_id, each.subject, CheckStatus.Name(each.status))
            for each in by_grpc.checks
            if each.status not in untold
        }, (number, body, facts)
        assert by_hook.get("counts", {}).get("passed", 0) == by_grpc.counts.passed
        fired |= {each.rule_id for each in by_grpc.alerts}
    assert len(fired) > 40  # it is a test of much, not of one rule a thousand times
