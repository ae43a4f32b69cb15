"""What was not sent is asked of the FHIR server that was named, where that is allowed; else it is not known."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from safety_service.gateway.app import Gateway, application
from safety_service.gateway.discovery import PREFETCH
from safety_service.gateway.fetch import Fetcher
from safety_service.gateway.outside import Reader
from tests.gateway.calls import SERVICE, call, decision_of, order, rules_of
from tests.gateway.fhir.test_people import bundle, statement
from tests.gateway.tokens import Answer, server

EMPTY = {"resourceType": "Bundle", "type": "searchset"}
OPIOID = bundle(statement("oxycodone", effectivePeriod={"start": "2026-11-01"}))
TOKEN = "a-secret-token"


def answer(content: Any, status: int = 200, **headers: str) -> Answer:
    return status, headers, json.dumps(content).encode()


def usual(path: str, headers: dict[str, str]) -> Answer:
    """An FHIR server that knows the patient and an opioid, and nothing else."""
    if path == "/r4/Patient/p1":
        return answer({"resourceType": "Patient", "id": "p1", "birthDate": "1950-01-01"})
    return answer(OPIOID if path.startswith("/r4/MedicationStatement?") else EMPTY)


@contextmanager
def asking(gateway: Gateway, seconds: float, *servers: str) -> Iterator[TestClient]:
    fetcher = Fetcher(Reader(), seconds, frozenset(servers))
    with TestClient(application(replace(gateway, fetcher=fetcher)), raise_server_exceptions=False) as opened:
        yield opened


def with_server(address: str, token: str = TOKEN, **members: Any) -> dict[str, Any]:
    authorization = {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "user/*.read",
        "subject": "x",
    }
    return call(order(), fhirServer=f"{address}/r4", fhirAuthorization=authorization, **members)


def ask(client: TestClient, body: Any) -> Any:
    response = client.post(SERVICE, json=body)
    assert response.status_code == 200, response.text
    assert TOKEN not in response.text
    return response.json()


def unused(answered: Any) -> dict[str, str]:
    return {each["path"]: each["reason"] for each in decision_of(answered).get("notProcessed", [])}


def test_what_was_not_sent_is_fetched_with_the_token(gateway: Gateway) -> None:
    with server(usual) as (address, asked), asking(gateway, 20, f"{address}/r4") as client:
        answered = ask(client, with_server(address))
        assert "sedation.opioid" in rules_of(answered)
        assert "age.beers-relaxant" in rules_of(answered)
        assert unused(answered) == {}
        assert len(asked) == len(PREFETCH)
        assert {headers["authorization"] for _, headers in asked} == {f"Bearer {TOKEN}"}
        assert all(headers["accept"].startswith("application/fhir+json") for _, headers in asked)


def test_what_was_sent_is_not_fetched(gateway: Gateway) -> None:
    """null is an answer too: the client looked, and there is none."""
    with server(usual) as (address, asked), asking(gateway, 20, f"{address}/r4") as client:
        answered = ask(client, with_server(address, prefetch=dict.fromkeys(PREFETCH)))
        assert asked == []
        assert "sedation.opioid" not in rules_of(answered)
        sent = {key: None for key in PREFETCH if key != "statements"}
        assert "sedation.opioid" in rules_of(ask(client, with_server(address, prefetch=sent)))
        assert [path.partition("?")[0] for path, _ in asked] == ["/r4/MedicationStatement"]


def test_another_server_is_never_asked(gateway: Gateway) -> None:
    with server(usual) as (address, asked), asking(gateway, 20, "https://ehr.example.org/r4") as client:
        for named in (address, f"{address}/r4/../r4", address.replace("127.0.0.1", "localhost")):
            answered = ask(client, {**with_server(address), "fhirServer": named})
            assert "may be asked" in unused(answered)["fhirServer"]
            assert "sedation.opioid" not in rules_of(answered)
        assert asked == []


def test_without_leave_nobody_is_asked(gateway: Gateway, answered: Any) -> None:
    with server(usual) as (address, asked):
        assert "sedation.opioid" not in rules_of(answered(with_server(address)))
        assert asked == []


@pytest.mark.parametrize("patient", ["p1/../../admin", "p1?x=y", "p 1", "../Patient/p1", "p1%2F..", "x" * 65])
def test_an_id_that_is_none_goes_nowhere(patient: str, gateway: Gateway) -> None:
    with server(usual) as (address, asked), asking(gateway, 20, f"{address}/r4") as client:
        body = with_server(address)
        body["context"]["patientId"] = patient
        client.post(SERVICE, json=body)
        assert [path for path, _ in asked if "admin" in path or ".." in path or "x=y" in path] == []
        assert all(path.startswith("/r4/") for path, _ in asked)


FAULTS: dict[str, tuple[Answer, str]] = {
    "refused": (answer({}, 403), "status 403"),
    "no such": (answer({}, 404), "status 404"),
    "fault": (answer({}, 500), "status 500"),
    "moved": (answer({}, 302, Location="/r4/secret"), "status 302"),
    "no json": ((200, {}, b"<html>"), "not JSON"),
    "no resource": (answer([1]), "no FHIR resource"),
    "too much": ((200, {}, b" " * 5_000_000), "more than 4,194,304 bytes"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_read_is_not_known(name: str, gateway: Gateway) -> None:
    wrong, why = FAULTS[name]

    def faulty(path: str, headers: dict[str, str]) -> Answer:
        return wrong if path.startswith("/r4/MedicationStatement") else usual(path, headers)

    with server(faulty) as (address, asked), asking(gateway, 20, f"{address}/r4") as client:
        answered = ask(client, with_server(address))
        assert why in unused(answered)["prefetch.statements"]
        assert [path for path, _ in asked if "secret" in path] == []
        open_rules = [each["ruleId"] for each in decision_of(answered)["checks"]]
        assert "sedation.opioid" in open_rules  # not evaluated, which is not "none"
        assert "age.beers-relaxant" in rules_of(answered)  # the rest was read


def test_an_outcome_is_not_none(gateway: Gateway) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]}

    def faulty(path: str, headers: dict[str, str]) -> Answer:
        return answer(outcome) if path.startswith("/r4/MedicationStatement") else usual(path, headers)

    with server(faulty) as (address, _), asking(gateway, 20, f"{address}/r4") as client:
        assert "prefetch.statements" in unused(ask(client, with_server(address)))


def test_a_slow_server_costs_no_more_than_the_time_there_is(gateway: Gateway) -> None:
    def slow(path: str, headers: dict[str, str]) -> Answer:
        if path.startswith("/r4/MedicationStatement"):
            time.sleep(4)
        return usual(path, headers)

    with server(slow) as (address, _), asking(gateway, 2, f"{address}/r4") as client:
        answered = ask(client, with_server(address))
        assert "in time" in unused(answered)["prefetch.statements"]
        assert "sedation.opioid" not in rules_of(answered)


def test_a_server_that_is_not_there(gateway: Gateway) -> None:
    with server(usual) as (address, _):
        pass
    with asking(gateway, 5, f"{address}/r4") as client:
        assert "could not be reached" in unused(ask(client, with_server(address)))["prefetch.statements"]


def reasons(answered: Any) -> str:
    return "; ".join(each["reason"] for each in decision_of(answered)["notProcessed"])


def pages(next_of: Any, at: str = "/r4/MedicationStatement") -> Any:
    """A server whose lists of statements have pages; `next_of` tells the address of the next from that of one."""

    def paged(path: str, headers: dict[str, str]) -> Answer:
        if not path.startswith(at):
            return usual(path, headers)
        link = next_of(path)
        drug = "oxycodone" if "page=3" in path else "paracetamol"
        entry = bundle(statement(drug, id=path[-6:], effectivePeriod={"start": "2026-11-01"}))["entry"]
        more = {} if link is None else {"link": [{"relation": "self", "url": "x"}, {"relation": "next", "url": link}]}
        return answer({**EMPTY, "total": 3, "entry": entry, **more})

    return paged


def numbered(address: list[str], last: int, at: str = "/r4/MedicationStatement") -> Any:
    def next_of(path: str) -> str | None:
        number = int(path.partition("page=")[2] or 1)
        return None if number == last else f"{address[0]}{at}?page={number + 1}"

    return next_of


def test_pages_are_read_to_the_last(gateway: Gateway) -> None:
    held: list[str] = [""]
    with server(pages(numbered(held, 3))) as (address, asked), asking(gateway, 20, f"{address}/r4") as client:
        held[0] = address
        answered = ask(client, with_server(address))
        assert unused(answered) == {}
        assert "sedation.opioid" in rules_of(answered)  # it stands on the third page
        read = [path for path, _ in asked if "MedicationStatement" in path]
        assert [path.partition("?")[2] for path in read[1:]] == ["page=2", "page=3"]
        assert {headers["authorization"] for _, headers in asked} == {f"Bearer {TOKEN}"}


def test_more_pages_than_are_read_are_a_part(gateway: Gateway) -> None:
    held: list[str] = [""]
    with server(pages(numbered(held, 50))) as (address, asked), asking(gateway, 20, f"{address}/r4") as client:
        held[0] = address
        answered = ask(client, with_server(address))
        assert "more pages than are read" in reasons(answered)
        assert "sedation.opioid" in rules_of(answered)  # what was read counts
        assert len([path for path, _ in asked if "MedicationStatement" in path]) == 10


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://127.0.0.1:1/secret",
        "{address}/secret",
        "{address}/r4x/MedicationStatement?page=2",
        "{address}/r4/../secret",
        "{address}/r4?same",
        "/r4/MedicationStatement?page=2",
        "{address}@evil.example/r4/",
        "",
    ],
)
def test_a_next_page_elsewhere_is_not_read(elsewhere: str, gateway: Gateway) -> None:
    held: list[str] = [""]
    next_of = lambda path: elsewhere.replace("{address}", held[0])  # noqa: E731
    with server(pages(next_of)) as (address, asked), asking(gateway, 20, f"{address}/r4") as client:
        held[0] = address
        answered = ask(client, with_server(address))
        assert "prefetch.statements" in unused(answered)
        assert "sedation.opioid" in {each["ruleId"] for each in decision_of(answered)["checks"]}
        assert [path for path, _ in asked if "secret" in path or "r4x" in path or "page=2" in path] == []


def test_pages_that_do_not_come_in_time_are_a_part(gateway: Gateway) -> None:
    held: list[str] = [""]
    over = threading.Event()

    def slow(path: str, headers: dict[str, str]) -> Answer:
        if "page=4" in path:
            over.wait(30)
        return pages(numbered(held, 5))(path, headers)  # type: ignore[no-any-return]

    with server(slow) as (address, _), asking(gateway, 6, f"{address}/r4") as client:
        held[0] = address
        answered = ask(client, with_server(address))
        over.set()
        assert "did not tell it all in time" in reasons(answered)
        assert "sedation.opioid" in rules_of(answered)


def test_the_latest_needs_no_page_of_the_earlier(gateway: Gateway) -> None:
    """Of a kidney function five are asked for: that there are more says nothing."""
    held: list[str] = [""]
    paged = pages(numbered(held, 3, "/r4/Observation"), "/r4/Observation")
    with server(paged) as (address, asked), asking(gateway, 20, f"{address}/r4") as client:
        held[0] = address
        answered = ask(client, with_server(address))
        assert not {"prefetch.kidney", "prefetch.pregnancy"} & set(unused(answered))
        assert len([path for path, _ in asked if "page=" in path]) == 2  # those of the liver tests
