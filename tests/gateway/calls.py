"""Calls to the service, made up, and how its answers are read."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jsonschema

DATA = Path(__file__).parents[1] / "data"
SERVICE = "/cds-services/muscle-relaxant-safety"
TODAY = date(2026, 11, 25)


def schema(name: str) -> jsonschema.Draft202012Validator:
    import jsonschema  # takes seconds, which every process would pay to collect the tests

    return jsonschema.Draft202012Validator(json.loads((DATA / "schemas" / f"{name}.schema.json").read_text()))


def assert_nothing_empty(value: Any, *may_be_empty: str, name: str = "") -> None:
    """No null, "", [] or {} anywhere but where it is allowed, and in the orders of others."""
    if name == "resource":
        return
    assert value not in (None, "", [], {}) or name in may_be_empty, name
    if isinstance(value, dict):
        for inner, held in value.items():
            assert_nothing_empty(held, *may_be_empty, name=inner)
    elif isinstance(value, list):
        for held in value:
            assert_nothing_empty(held, *may_be_empty, name=f"{name}[]")


def order(**members: Any) -> dict[str, Any]:
    """Cyclobenzaprine 10 mg three times a day for 14 days, without refills; members given replace or, as None, go."""
    held = {
        "resourceType": "MedicationRequest",
        "id": "mr1",
        "status": "draft",
        "intent": "order",
        "medicationCodeableConcept": {
            "coding": [
                {
                    "system": "http://www.nlm.nih.gov/research/umls/rxnorm",
                    "code": "828348",
                    "display": "Cyclobenzaprine hydrochloride 10 MG Oral Tablet",
                }
            ]
        },
        "subject": {"reference": "Patient/p1"},
        "authoredOn": "2026-11-25",
        "dosageInstruction": [
            {
                "timing": {"repeat": {"frequency": 3, "period": 1, "periodUnit": "d"}},
                "asNeededBoolean": False,
                "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "tablet"}}],
            }
        ],
        "dispenseRequest": {
            "numberOfRepeatsAllowed": 0,
            "expectedSupplyDuration": {"value": 14, "unit": "days", "code": "d"},
        },
        **members,
    }
    return {name: value for name, value in held.items() if value is not None}


def call(*orders: dict[str, Any], hook: str = "order-sign", **members: Any) -> dict[str, Any]:
    """A call with these orders; at order-dispatch they are named only, and have to be in prefetch."""
    sent = orders or (order(),)
    bundle = {"resourceType": "Bundle", "entry": [{"resource": each} for each in sent]}
    context: dict[str, Any] = {"userId": "Practitioner/d1", "patientId": "p1"}
    match hook:
        case "order-dispatch":
            context = {"patientId": "p1", "performer": "Organization/o1"}
            context["dispatchedOrders"] = [f"MedicationRequest/{each['id']}" for each in sent]
        case "medication-refill":
            context["medications"] = bundle
        case "medication-verify":
            context["medication"] = sent[0]
        case _:
            context["draftOrders"] = bundle
    if hook == "order-select":
        context["selections"] = [f"MedicationRequest/{each['id']}" for each in orders]
    return {"hook": hook, "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea", "context": context, **members}


def alerts_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """All alerts, in the order of the cards."""
    held = [card["extension"]["org.example.medsafety"] for card in answer["cards"]]
    return [alert for each in held for alert in each.get("alerts", ())]


def rules_of(answer: dict[str, Any]) -> list[str]:
    """The rules that fired, in order."""
    return [each["ruleId"] for each in alerts_of(answer)]


def decision_of(answer: dict[str, Any], at: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = answer["extension"]["org.example.medsafety"]["decisions"][at]
    return found
