"""The pages as they are served: every one is there, safe, kept by browsers, and says what the knowledge says."""

import html
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from starlette.testclient import TestClient

from safety_service.ask import ask_here
from safety_service.demo import ARTICLE_CASE, article_case
from safety_service.gateway.answer_html import FIELDS
from safety_service.gateway.app import Gateway, application
from safety_service.knowledge.knowledge import Knowledge
from safety_service.report.needs import NEEDS
from safety_service.rules.vocabulary import FACTS
from tests.gateway.calls import call, order

HTML = {"Accept": "text/html"}


def shown(page: str) -> str:
    """The text of a page, as people read it."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def test_the_page_has_the_articles_case_and_its_answer(client: TestClient) -> None:
    response = client.get("/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    text = shown(response.text)
    assert "28 days planned; labelled for two or three weeks" in text
    assert "Opioid (oxycodone) with Cyclobenzaprine IR" in text
    assert '"code": "828348"' in text


def paths(knowledge: Knowledge) -> list[str]:
    return [
        "/",
        "/medications",
        "/options",
        "/rules",
        *(f"/medications/{each}" for each in knowledge.lines),
        *(f"/options/{each}" for each in knowledge.care.options),
        *(f"/rules/{each.id}" for each in knowledge.rules),
    ]


def test_every_page_is_there_and_has_nothing_inline(client: TestClient, knowledge: Knowledge) -> None:
    for path in paths(knowledge):
        response = client.get(path)
        assert response.status_code == 200, path
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|javascript:", response.text), path
        assert not re.search(r'(src|href)="(?!https?://|/|#)', response.text), path


def test_every_link_between_pages_leads_somewhere(client: TestClient, knowledge: Knowledge) -> None:
    found: set[str] = set()
    for path in paths(knowledge):
        page = client.get(path).text
        ids = set(re.findall(r'\sid="([^"]+)"', page))
        assert len(ids) == len(re.findall(r'\sid="([^"]+)"', page)), path
        for each in map(html.unescape, re.findall(r'href="(/[^"]*|#[^"]*)"', page)):
            if each.startswith("#"):
                assert each[1:] in ids, (path, each)
            else:
                found.add(each)
    for each in found:
        assert client.get(each).status_code == 200, each


def test_a_medication_shows_each_limit_with_its_source(client: TestClient, knowledge: Knowledge) -> None:
    for line in knowledge.lines.values():
        text = shown(client.get(f"/medications/{line.id}").text)
        for name, said in line.file.statements.items():
            assert f"{name} " in text
            assert said.says in text
            assert said.section in text
            assert knowledge.sources[said.source].title in text


def test_an_option_shows_its_evidence_and_conflicts(client: TestClient, knowledge: Knowledge) -> None:
    for option in knowledge.care.options.values():
        text = shown(client.get(f"/options/{option.id}").text)
        for words in (option.what, option.patient_text, *option.conflicts, *(each.says for each in option.evidence)):
            assert " ".join(words.split()) in text


def test_a_rule_shows_what_it_rests_on(client: TestClient) -> None:
    page = client.get("/rules/duration.course").text
    assert 'href="/medications/cyclobenzaprine-ir#duration.max_days"' in page
    assert "course_days > drug.duration.max_days" in shown(page)


@pytest.mark.parametrize("path", ["/medications/zzz", "/options/zzz", "/rules/zzz", "/rules/%3Cb%3E"])
def test_what_is_not_there_is_said_to_people(path: str, client: TestClient) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")
    assert "zzz" not in response.text


def test_some_of_a_list(client: TestClient) -> None:
    text = shown(client.get("/options?ids=yoga,tai-chi,zzz").text)
    assert "The 2 that were asked for" in text
    assert "Acupuncture" not in text
    assert "duration.course" in shown(client.get("/rules?ids=duration.course").text)
    assert "asked for" not in shown(client.get("/rules?ids=zzz").text)  # none of them: rather all


def test_browsers_keep_pages_until_they_change(client: TestClient) -> None:
    first = client.get("/rules/duration.course")
    again = client.get("/rules/duration.course", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    (script,) = re.findall(r'src="(/static/page\.js\?[^"]+)"', client.get("/").text)
    assert "immutable" in client.get(script).headers["cache-control"]
    assert client.get("/static/page.js?other").headers["cache-control"] == "no-cache"
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/zzz").status_code == 404


def test_below_a_path(gateway: Gateway) -> None:
    """Behind a proxy that serves it below a path, every link of the page has that path."""
    below = TestClient(application(replace(gateway, base="https://example.org/safety")))
    page = below.get("/").text
    assert re.findall(r'(?:href|src|data-check)="/(?!safety/)', page) == []


def test_without_a_page(gateway: Gateway) -> None:
    bare = TestClient(application(replace(gateway, page=False)))
    assert bare.get("/").status_code == 404
    assert bare.post("/check", content=b"{}").status_code == 404
    assert bare.get("/cds-services").status_code == 200


# --- the check behind it -----------------------------------------------------------------------------------------


def test_the_check_answers_as_the_command_does(client: TestClient, knowledge: Knowledge) -> None:
    """The same request gives the same decision by /check and by `safety-service check --json`."""
    response = client.post("/check", content=ARTICLE_CASE.read_bytes(), headers={"Content-Type": "application/json"})
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    (here,) = ask_here(knowledge, b"test key", [article_case()])
    assert response.json()["decision"] == MessageToDict(here)["decision"]  # type: ignore[arg-type]


def test_the_check_as_html_escapes_what_was_sent(client: TestClient) -> None:
    evil = "<img src=x onerror=alert(1)>"
    request = json.loads(ARTICLE_CASE.read_bytes())
    request["prescription"]["medication"] = {"text": f"cyclobenzaprine 10 mg tablet {evil}"}
    request["patient"]["conditions"]["items"].append({"text": evil, "id": evil})
    request["patient"]["medications"]["items"].append({"medication": {"text": evil}, "id": evil})
    response = client.post("/check", json=request, headers=HTML)
    assert response.status_code == 200
    assert "<img" not in response.text
    assert html.escape(evil, quote=False) in response.text


@pytest.mark.parametrize(
    ("body", "members"),
    [
        ("[]", [None]),
        ("{", [None]),
        ('{"prescription": {"medication": {"text": "x"}, "daysSupply": "x"}}', ["prescription.days_supply"]),
        ('{"zzz": 1}', ["zzz"]),
        ('{"prescription": {}}', ["prescription.medication"]),
        ('{"prescription": {"medication": {"text": "x"}, "refills": -1}}', ["prescription.refills"]),
    ],
)
def test_a_check_that_cannot_be_made_names_the_member(body: str, members: list[Any], client: TestClient) -> None:
    response = client.post("/check", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    issues = response.json()["issue"]
    assert [each.get("expression", [None])[0] for each in issues] == members


def test_a_check_of_other_knowledge_is_refused(client: TestClient) -> None:
    request = {**json.loads(ARTICLE_CASE.read_bytes()), "expectedKnowledgeDigest": "0" * 64}
    assert client.post("/check", json=request).status_code == 409


def test_every_field_that_can_be_asked_for_has_words() -> None:
    paths = {each.send for each in FACTS.values()}
    for path in (*FIELDS, *paths):
        assert path in NEEDS or path.rpartition(".")[0] in NEEDS, path


def test_the_links_of_cards_lead_to_pages(client: TestClient, answered: Any) -> None:
    for card in answered(call(order()))["cards"]:
        for link in card.get("links", ()):
            path = link["url"].removeprefix("https://gateway.example.org")
            assert client.get(path).status_code == 200, path
