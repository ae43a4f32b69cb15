"""What every call is held to: method, type, size, JSON, and an OperationOutcome for whatever is wrong."""

import io
import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from safety_service.domain import CheckRequest, Decision
from safety_service.gateway.app import Gateway, application
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server import limits
from safety_service.server.access_log import open_log
from tests.gateway.calls import SERVICE, call, order, schema

JSON = {"Content-Type": "application/json"}


def outcome(response: Any, status: int) -> list[dict[str, Any]]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/fhir+json"
    body = response.json()
    assert body["resourceType"] == "OperationOutcome"
    issues: list[dict[str, Any]] = body["issue"]
    return issues


def members(response: Any, status: int = 400) -> list[str]:
    return [each["expression"][0] for each in outcome(response, status)]


def test_discovery(client: TestClient) -> None:
    response = client.get("/cds-services")
    assert response.status_code == 200
    answer = response.json()
    schema("discovery").validate(answer)
    assert [each["hook"] for each in answer["services"]] == [
        "order-select",
        "order-sign",
        "order-dispatch",
        "medication-refill",
        "medication-verify",
    ]
    assert {each["id"] for each in answer["services"]} == {"muscle-relaxant-safety"}


def test_prefetch_uses_only_what_2_0_allows(client: TestClient) -> None:
    for service in client.get("/cds-services").json()["services"]:
        for query in service["prefetch"].values():
            assert query.count("{{") == 1
            assert "{{context.patientId}}" in query
            parameters = query.partition("?")[2].split("&") if "?" in query else []
            assert {each.partition("=")[0] for each in parameters} <= {"patient", "code", "_sort", "_count"}


@pytest.mark.parametrize("path", ["/cds-services", SERVICE, f"{SERVICE}/feedback"])
def test_browsers_may_call_it(path: str, client: TestClient) -> None:
    asked = {
        "Origin": "https://sandbox.cds-hooks.org",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    response = client.options(path, headers=asked)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "*"
    allowed = response.headers["access-control-allow-headers"].lower()
    assert "authorization" in allowed
    assert "content-type" in allowed
    assert client.get("/cds-services", headers={"Origin": "https://x.example"}).headers["access-control-allow-origin"]


def test_404_is_for_unknown_paths_and_services_only(client: TestClient) -> None:
    outcome(client.get("/nothing"), 404)
    outcome(client.post("/cds-services/other", json=call()), 404)
    outcome(client.post("/cds-services/other/feedback", json={}), 404)


def test_405(client: TestClient) -> None:
    outcome(client.get(SERVICE), 405)
    outcome(client.delete("/cds-services"), 405)


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "multipart/form-data"])
def test_415(media_type: str, client: TestClient) -> None:
    outcome(client.post(SERVICE, content=json.dumps(call()), headers={"Content-Type": media_type}), 415)


@pytest.mark.parametrize(
    "media_type", ["application/json", "application/json; charset=utf-8", "application/fhir+json", "APPLICATION/JSON"]
)
def test_types_that_are_taken(media_type: str, client: TestClient) -> None:
    response = client.post(SERVICE, content=json.dumps(call()), headers={"Content-Type": media_type})
    assert response.status_code == 200


def test_413_by_what_is_stated_and_by_what_comes(client: TestClient) -> None:
    most = limits.REQUEST_BYTES.value
    outcome(client.post(SERVICE, content=b" " * (most + 1), headers=JSON), 413)
    outcome(client.post(SERVICE, content=(b" " * 100_000 for _ in range(most // 100_000 + 2)), headers=JSON), 413)


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"a": nan}', b'"\xff"', b"[" * 2000 + b"]" * 2000, b'{"a": "\\ud800"}']
)
def test_what_is_not_json(content: bytes, client: TestClient) -> None:
    assert "expression" not in outcome(client.post(SERVICE, content=content, headers=JSON), 400)[0]


def test_every_member_at_fault_is_named(client: TestClient) -> None:
    assert members(client.post(SERVICE, json={})) == ["hook", "hookInstance", "context"]
    body = call(fhirAuthorization={"access_token": "a b", "token_type": "mac", "expires_in": "soon"}, prefetch=[])
    body["context"] = {"userId": 7, "patientId": " ", "encounterId": {}, "draftOrders": {"resourceType": "List"}}
    assert members(client.post(SERVICE, json=body)) == [
        "fhirServer",
        "fhirAuthorization.access_token",
        "fhirAuthorization.token_type",
        "fhirAuthorization.expires_in",
        "fhirAuthorization.scope",
        "fhirAuthorization.subject",
        "prefetch",
        "context.userId",
        "context.patientId",
        "context.encounterId",
        "context.draftOrders",
    ]


@pytest.mark.parametrize(
    ("bundle", "member"),
    [({"resourceType": "Bundle"}, "context.draftOrders.entry"),
     ({"resourceType": "Bundle", "entry": []}, "context.draftOrders.entry"),
     ({"resourceType": "Bundle", "entry": [{"resource": {}}]}, "context.draftOrders.entry[0].resource"),
     ({"resourceType": "Bundle", "entry": [7]}, "context.draftOrders.entry[0].resource")],
)  # fmt: skip
def test_orders_at_fault(bundle: dict[str, Any], member: str, client: TestClient) -> None:
    body = call()
    body["context"]["draftOrders"] = bundle
    assert members(client.post(SERVICE, json=body)) == [member]


@pytest.mark.parametrize("selections", [None, [], "MedicationRequest/mr1", [7], [""]])
def test_selections_at_fault(selections: Any, client: TestClient) -> None:
    body = call(order(), hook="order-select")
    body["context"]["selections"] = selections
    assert all(each.startswith("context.selections") for each in members(client.post(SERVICE, json=body)))


def test_another_hook_is_not_taken(client: TestClient) -> None:
    assert members(client.post(SERVICE, json=call(hook="patient-view"))) == ["hook"]


def _broken(knowledge: Knowledge, request: CheckRequest, key: bytes) -> Decision:
    raise RuntimeError(f"a text that quotes {request.prescription.medication.text}")


def test_a_fault_says_nothing_of_the_request_and_the_next_call_is_answered(knowledge: Knowledge) -> None:
    lines = io.StringIO()
    log = open_log("info", "json", lines)
    client = TestClient(
        application(Gateway(knowledge, b"k", "http://x.example", log, engine=_broken)), raise_server_exceptions=False
    )
    issues = outcome(client.post(SERVICE, json=call()), 500)
    assert issues[0]["diagnostics"].startswith("internal error ")
    assert client.get("/cds-services").status_code == 200
    log._logger.close()  # type: ignore[attr-defined]
    assert "RuntimeError" in lines.getvalue()
    assert "quotes" not in lines.getvalue()
    assert "Cyclobenzaprine" not in lines.getvalue()


def test_too_many_at_once(knowledge: Knowledge, gateway: Gateway) -> None:
    none_allowed = Gateway(knowledge, b"k", "http://x.example", gateway.log, max_concurrent=0)
    response = TestClient(application(none_allowed)).post(SERVICE, json=call())
    outcome(response, 503)
    assert response.headers["retry-after"] == "1"


def test_the_log_holds_nothing_of_the_patient(client: TestClient, log_lines: io.StringIO, gateway: Gateway) -> None:
    client.post(SERVICE, json=call())
    client.post(f"{SERVICE}?patient=p1", json={"context": {"patientId": "p1"}})
    gateway.log._logger.close()  # type: ignore[attr-defined]
    written = [json.loads(each) for each in log_lines.getvalue().splitlines()]
    assert {"method", "status", "duration_us", "bytes_in", "bytes_out", "event", "level", "timestamp"} == set(
        written[-1]
    )
    assert "p1" not in log_lines.getvalue()
    assert "mr1" not in log_lines.getvalue()


def test_openapi_tells_of_every_path(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {
        "/cds-services",
        "/cds-services/{id}",
        "/cds-services/{id}/feedback",
        "/fhir/$check",
        "/check",
    }
