"""What the gateway decides and hears is on record like what the server decides, and shown at /summary."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from safety_service.access.keys import read_keys
from safety_service.decisions.index import catch_up, opened
from safety_service.decisions.log import DecisionLog, Source, open_log
from safety_service.decisions.records import read_record
from safety_service.decisions.replay import replay_today
from safety_service.decisions.segment import read, segments
from safety_service.demo import ARTICLE_CASE
from safety_service.gateway.app import Gateway, application
from safety_service.gateway.caller import Callers, KeySets
from safety_service.gateway.clients import Client
from safety_service.gateway.feedback import OnRecord
from safety_service.gateway.outside import Reader
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import RULES_DATA
from tests.decisions.silent import Silent
from tests.gateway.calls import SERVICE, call, decision_of, order, schema
from tests.gateway.test_feedback import OVERRIDDEN
from tests.gateway.test_pages import shown
from tests.gateway.tokens import BASE, ISS, claims, ec_jwk, signed

PARAMETERS = {"resourceType": "Parameters", "parameter": [{"name": "order", "resource": order()}]}


@pytest.fixture
def log(tmp_path: Path) -> Iterator[DecisionLog]:
    opened_log = open_log(tmp_path / "log", b"k" * 32, Source(RULES_DATA), now_ns=time.time_ns, site="west")
    yield opened_log
    opened_log.close()


@pytest.fixture
def keeping(gateway: Gateway, log: DecisionLog) -> TestClient:
    return TestClient(application(with_log(gateway, log)), raise_server_exceptions=False)


def with_log(gateway: Gateway, log: DecisionLog) -> Gateway:
    index = str(log.folder / "index.sqlite")
    return replace(gateway, decisions=log, feedback=OnRecord(log), index=index)


def records(log: DecisionLog, kind: str = "decision") -> list[Mapping[str, Any]]:
    found = [read_record(frame.payload) for path in segments(log.folder) for frame in read(path)]
    return [each for each in found if each["kind"] == kind]


def test_every_door_records_what_it_answers(keeping: TestClient, log: DecisionLog, knowledge: Knowledge) -> None:
    assert keeping.get("/").status_code == 200  # the example that it shows is no decision
    assert records(log) == []
    cards = keeping.post(SERVICE, json=call(order(), order(id="mr2"))).json()
    checked = keeping.post("/check", content=ARTICLE_CASE.read_bytes()).json()
    bundle = keeping.post("/fhir/$check", json=PARAMETERS)
    assert bundle.status_code == 200
    assert "meta" not in bundle.json()

    found = {each["id"]: each for each in records(log)}
    answered = [decision_of(cards, at)["decisionId"] for at in (0, 1)] + [checked["decisionId"]]
    assert len(found) == 4
    assert {each.replace("-", "") for each in answered} <= set(found)
    assert all(replay_today(each, knowledge).same for each in found.values())
    assert "Patient/p1" not in str(found)


def test_what_cannot_be_recorded_is_refused_or_marked(gateway: Gateway, log: DecisionLog) -> None:
    log.folder.rename(log.folder.with_name("gone"))
    client = TestClient(application(with_log(gateway, log)), raise_server_exceptions=False)
    for address, body in ((SERVICE, call()), ("/fhir/$check", PARAMETERS)):
        refused = client.post(address, json=body)
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert refused.json()["resourceType"] == "OperationOutcome"
    assert client.post("/check", content=ARTICLE_CASE.read_bytes()).status_code == 503
    log.required = False
    answer = client.post(SERVICE, json=call()).json()
    schema("response").validate(answer)
    assert decision_of(answer)["notLogged"] is True
    assert client.post("/fhir/$check", json=PARAMETERS).json()["meta"]["tag"][0]["code"] == "not-logged"
    assert client.post("/check", content=ARTICLE_CASE.read_bytes()).json()["notLogged"] is True


def test_feedback_on_a_card_is_found_with_its_alert(keeping: TestClient, log: DecisionLog) -> None:
    assert "index is missing" in shown(keeping.get("/summary").text)
    assert keeping.get("/summary").status_code == 503
    cards = keeping.post(SERVICE, json=call()).json()["cards"]
    body = {"feedback": [{**OVERRIDDEN, "card": cards[0]["uuid"]}]}
    for _ in range(2):  # the client did not hear the first answer
        assert keeping.post(f"{SERVICE}/feedback", json=body).status_code == 200
    (kept,) = records(log, "feedback")
    assert (kept["code"], kept["comment"]) == ("our-own", "5-day review booked")

    with opened(str(log.folder / "index.sqlite"), to_write=True) as database:
        catch_up(log.folder, database)
    page = keeping.get("/summary")
    assert page.status_code == 200
    assert "our-own (1)" in shown(page.text)
    assert "1 orders" in shown(page.text)
    assert "100.0" in page.text
    assert "No alert is recorded" in shown(keeping.get("/summary?site=elsewhere").text)
    assert "5-day review" not in page.text
    assert not other_origin(keeping, "/summary")
    hostile = keeping.get('/summary?site="><script>alert(1)</script>')
    assert "<script>alert" not in hostile.text


def test_the_page_of_sums_waits_for_one_silent_database_at_a_time(gateway: Gateway, log: DecisionLog) -> None:
    with Silent() as silent, ThreadPoolExecutor(1) as pool:
        client = TestClient(application(replace(gateway, decisions=log, index=silent.address)))
        waiting = pool.submit(client.get, "/summary")
        assert silent.asked.wait(20)
        busy = client.get("/summary")
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
        assert "ask again" in busy.text
        assert not waiting.done()
        silent.hang_up()
        ended = waiting.result(20)
        assert ended.status_code == 503
        assert "index is missing" in shown(ended.text)


def other_origin(client: TestClient, path: str) -> list[str]:
    """The headers that let a page of another origin read the answer."""
    answer = client.get(path, headers={"Origin": "https://elsewhere.example.org"})
    return [each for each in answer.headers if each.startswith("access-control-")]


def test_who_asks_for_tokens_shows_no_sums_and_records_no_stranger(gateway: Gateway, log: DecisionLog) -> None:
    key = read_keys({"keys": [ec_jwk()]})
    callers = Callers({ISS: Client(ISS, keys=key)}, KeySets(Reader(), 1.0, False), BASE)
    client = TestClient(application(replace(with_log(gateway, log), callers=callers)), raise_server_exceptions=False)
    assert client.get("/summary").status_code == 404
    page = client.get("/")
    assert page.status_code == 200
    assert "Alerts in use" not in page.text
    assert client.post("/check", content=ARTICLE_CASE.read_bytes()).status_code == 200
    assert records(log) == []
    feedback = f"{SERVICE}/feedback"

    def post(path: str, body: Any) -> Any:
        return client.post(path, json=body, headers={"Authorization": f"Bearer {signed(claims(path))}"}).json()

    card = post(SERVICE, call())["cards"][0]["uuid"]
    assert post(feedback, {"feedback": [{**OVERRIDDEN, "card": card.upper()}]}) == {}
    assert [each["caller"] for kind in ("decision", "feedback") for each in records(log, kind)] == [f"client:{ISS}"] * 2
    assert records(log, "feedback")[0]["alert_id"] == card


def test_feedback_on_what_is_no_card_is_not_put_on_record(keeping: TestClient, log: DecisionLog) -> None:
    sent = {"feedback": [OVERRIDDEN, {**OVERRIDDEN, "card": "the second"}]}
    response = keeping.post(f"{SERVICE}/feedback", json=sent)
    assert response.status_code == 400
    assert [each["expression"] for each in response.json()["issue"]] == [["feedback[1].card"]]
    assert records(log, "feedback") == []


def test_without_records_there_is_no_summary(client: TestClient) -> None:
    assert client.get("/summary").status_code == 404
    assert "Alerts in use" not in client.get("/").text
