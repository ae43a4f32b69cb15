"""The hooks beside order-select and order-sign: the same checks, with each hook's own context."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from safety_service.gateway.app import Gateway
from safety_service.gateway.discovery import HOOKS, PREFETCH
from tests.gateway.calls import SERVICE, alerts_of, call, decision_of, order, rules_of
from tests.gateway.fhir.test_people import bundle, statement
from tests.gateway.test_cards import article, long_course
from tests.gateway.test_fetch import answer as answering
from tests.gateway.test_fetch import ask, asking, unused, usual
from tests.gateway.test_http import members
from tests.gateway.tokens import Answer, server

ACTIVE = {"status": "active", "authoredOn": "2026-11-24"}


def sent(hook: str, *orders: dict[str, Any], **prefetch: Any) -> dict[str, Any]:
    """A call of a hook; what is dispatched stands in prefetch."""
    if hook == "order-dispatch":
        prefetch["medications"] = bundle(*orders)
    return call(*orders, hook=hook, prefetch=prefetch)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_gives_the_same_alerts(hook: str, answered: Any) -> None:
    others = {"statements": bundle(statement("oxycodone", effectivePeriod={"start": "2026-11-01"})), "dispenses": None}
    others["medications"] = bundle(long_course(**ACTIVE))
    given = answered(sent(hook, long_course(**ACTIVE), **others))
    expected = answered(call(long_course(**ACTIVE), prefetch=others))
    assert "sedation.opioid" in rules_of(given)
    assert "duration.course" in rules_of(given)
    assert {each["fingerprint"] for each in alerts_of(given)} == {each["fingerprint"] for each in alerts_of(expected)}


@pytest.mark.parametrize("hook", HOOKS)
def test_only_who_writes_an_order_is_offered_to_change_it(hook: str, answered: Any) -> None:
    (card, *_) = answered(sent(hook, long_course(**ACTIVE)))["cards"]
    assert card["detail"].startswith("**Change:**")
    assert ("suggestions" in card) == (hook in ("order-select", "order-sign", "medication-refill"))
    assert ("selectionBehavior" in card) == ("suggestions" in card)


def test_each_hook_says_which_page_it_was_written_to(client: TestClient) -> None:
    for service in client.get("/cds-services").json()["services"]:
        assert f"Written to {service['hook']} " in service["usageRequirements"]
        assert "(maturity " in service["usageRequirements"]
        assert service["prefetch"] == PREFETCH


# --- order-dispatch ----------------------------------------------------------------------------------------------


def test_the_order_itself_is_not_also_its_own_history(answered: Any) -> None:
    """Cyclobenzaprine beside itself would be a duplicate, and twice the days."""
    alone = decision_of(answered(sent("order-dispatch", order(**ACTIVE), dispenses=None, statements=None)))
    assert "duplicate.same-ingredient" not in str(alone)
    assert alone["normalizedOrder"]["courseDaysHigh"] == 14


def test_orders_dispatched_together_are_seen_together(answered: Any) -> None:
    oxycodone = order(
        id="mr2", medicationCodeableConcept={"text": "oxycodone hydrochloride 5 MG Oral Tablet"}, **ACTIVE
    )
    given = answered(sent("order-dispatch", order(**ACTIVE), oxycodone))
    assert rules_of(given).count("sedation.opioid") == 2


def test_412_where_no_order_can_be_read(client: TestClient) -> None:
    assert members(client.post(SERVICE, json=call(hook="order-dispatch")), 412) == ["context.dispatchedOrders"]
    other = call(hook="order-dispatch", prefetch={"medications": bundle(order(id="mr9"))})
    assert members(client.post(SERVICE, json=other), 412) == ["context.dispatchedOrders"]


def test_what_is_not_there_is_said_beside_what_is(answered: Any) -> None:
    body = sent("order-dispatch", long_course(**ACTIVE))
    body["context"]["dispatchedOrders"].append("MedicationRequest/mr9")
    *cards, lost = answered(body)["cards"]
    assert cards
    assert lost["summary"] == "This order was not checked: it could not be read. Please review by hand."
    assert lost["extension"]["org.example.medsafety"]["associated"] == ["MedicationRequest/mr9"]


def test_other_orders_are_none_of_our_business(answered: Any) -> None:
    body = call(hook="order-dispatch")
    body["context"]["dispatchedOrders"] = ["ServiceRequest/1"]
    assert answered(body) == {"cards": []}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dispatched-orders", ["MedicationRequest/mr1"]),
        ("order", "MedicationRequest/mr1"),
        ("dispatchedOrders", ["https://ehr.example.org/r4/MedicationRequest/mr1", "MedicationRequest/mr1"]),
    ],
)
def test_members_as_examples_and_early_clients_name_them(name: str, value: Any, answered: Any) -> None:
    body = sent("order-dispatch", long_course(**ACTIVE))
    del body["context"]["dispatchedOrders"]
    body["context"][name] = value
    assert rules_of(answered(body)).count("duration.course") == 1


def test_a_task_may_ask_for_a_part_and_that_is_said(answered: Any) -> None:
    body = sent("order-dispatch", order(**ACTIVE))
    assert "Task" not in str(decision_of(answered(body)).get("said"))
    body["context"]["fulfillmentTasks"] = [{"resourceType": "Task", "focus": {"reference": "MedicationRequest/mr1"}}]
    assert "Task" in str(decision_of(answered(body))["said"])


@pytest.mark.parametrize(
    ("context", "wrong"),
    [
        ({}, ["context.performer", "context.dispatchedOrders"]),
        ({"dispatchedOrders": []}, ["context.performer", "context.dispatchedOrders"]),
        ({"performer": "Organization/o1", "dispatchedOrders": [7]}, ["context.dispatchedOrders[0]"]),
        ({"performer": "Organization/o1", "order": {}}, ["context.order[0]"]),
        ({"performer": "Organization/o1", "dispatchedOrders": ["a/1"] * 51}, ["context.dispatchedOrders"]),
    ],
)
def test_dispatched_orders_at_fault(context: dict[str, Any], wrong: list[str], client: TestClient) -> None:
    body = {**call(hook="order-dispatch"), "context": {"patientId": "p1", **context}}
    assert members(client.post(SERVICE, json=body)) == wrong


def test_orders_are_read_from_the_fhir_server(gateway: Gateway) -> None:
    def knows(path: str, headers: dict[str, str]) -> Answer:
        return answering(long_course(**ACTIVE)) if path == "/r4/MedicationRequest/mr1" else usual(path, headers)

    with server(knows) as (address, asked), asking(gateway, 20, f"{address}/r4") as client:
        body = call(hook="order-dispatch", fhirServer=f"{address}/r4")
        given = ask(client, body)
        assert {"duration.course", "sedation.opioid", "age.beers-relaxant"} <= set(rules_of(given))
        assert unused(given) == {}
        asked.clear()
        body["prefetch"] = {**dict.fromkeys(PREFETCH), "medications": bundle(long_course(**ACTIVE))}
        assert "duration.course" in rules_of(ask(client, body))
        assert asked == []
        body["context"]["dispatchedOrders"] = ["MedicationRequest/../Patient", "MedicationRequest/mr9"]
        assert client.post(SERVICE, json=body).status_code == 412
        assert [path for path, _ in asked] == ["/r4/MedicationRequest/mr9"]


# --- medication-refill and medication-verify ---------------------------------------------------------------------


def test_nobody_may_be_behind_a_refill(client: TestClient) -> None:
    body = call(hook="medication-refill")
    del body["context"]["userId"]
    assert client.post(SERVICE, json=body).status_code == 200
    body["context"]["userId"] = 7
    assert members(client.post(SERVICE, json=body)) == ["context.userId"]
    del body["context"]["medications"]
    assert members(client.post(SERVICE, json=body)) == ["context.userId", "context.medications"]


def test_a_refill_counts_with_the_fills_before(answered: Any) -> None:
    before = {
        "resourceType": "MedicationDispense",
        "id": "d1",
        "status": "completed",
        "medicationCodeableConcept": order()["medicationCodeableConcept"],
        "subject": {"reference": "Patient/p1"},
        "whenHandedOver": "2026-11-11",
        "daysSupply": {"value": 14, "unit": "days", "code": "d"},
    }
    lists = {"medications": None, "statements": None}
    assert "duration.episode" not in rules_of(answered(sent("medication-refill", dispenses=None, **lists)))
    assert "duration.episode" in rules_of(answered(sent("medication-refill", dispenses=bundle(before), **lists)))


@pytest.mark.parametrize(
    "context",
    [{"order": {"resource": long_course()}}, {"order": long_course()}, {"medication": {"resource": long_course()}}],
)
def test_the_order_to_verify_as_the_examples_name_it(context: dict[str, Any], answered: Any) -> None:
    body = call(hook="medication-verify")
    del body["context"]["medication"]
    body["context"] |= context
    assert "duration.course" in rules_of(answered(body))


@pytest.mark.parametrize("context", [{}, {"medication": []}, {"order": {"resource": 7}}, {"medication": {"id": "x"}}])
def test_an_order_to_verify_at_fault(context: dict[str, Any], client: TestClient) -> None:
    body = call(hook="medication-verify")
    del body["context"]["medication"]
    body["context"] |= context
    (member,) = members(client.post(SERVICE, json=body))
    assert member.startswith(("context.medication", "context.order.resource"))
    del body["context"]["userId"]
    assert "context.userId" in members(client.post(SERVICE, json=body))


def test_cards_of_later_hooks_replace_those_of_earlier_ones(client: TestClient) -> None:
    services = client.get("/cds-services").json()["services"]
    assert {each["id"] for each in services} == {"muscle-relaxant-safety"}
    assert article()["hook"] in HOOKS
