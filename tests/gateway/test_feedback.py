"""Feedback is kept whole or refused whole."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from safety_service.gateway.app import Gateway, application
from safety_service.gateway.feedback import InMemory, JsonLines
from safety_service.knowledge.knowledge import Knowledge
from tests.gateway.calls import SERVICE

FEEDBACK = f"{SERVICE}/feedback"
CARD = "4e0a3a1e-3283-4575-ab82-028d55fe2719"
AT = "2026-11-22T10:05:31Z"
OVERRIDDEN = {
    "card": CARD,
    "outcome": "overridden",
    "overrideReason": {
        "reason": {"code": "our-own", "system": "https://client.example.org"},
        "userComment": "5-day review booked",
    },
    "outcomeTimestamp": AT,
}
ACCEPTED = {"card": CARD, "outcome": "accepted", "acceptedSuggestions": [{"id": "s1"}], "outcomeTimestamp": AT}


@pytest.fixture
def sink() -> InMemory:
    return InMemory()


@pytest.fixture
def post(knowledge: Knowledge, gateway: Gateway, sink: InMemory) -> Any:
    client = TestClient(application(Gateway(knowledge, b"k", "http://x.example", gateway.log, feedback=sink)))
    return lambda body: client.post(FEEDBACK, json=body)


def test_it_is_kept_codes_of_the_client_included(post: Any, sink: InMemory) -> None:
    response = post({"feedback": [OVERRIDDEN, ACCEPTED, OVERRIDDEN]})
    assert response.status_code == 200
    assert [each.as_json() for _, _, each in sink.items] == [OVERRIDDEN, ACCEPTED, OVERRIDDEN]


@pytest.mark.parametrize(
    ("item", "member"),
    [(7, "feedback[1]"), ({**ACCEPTED, "card": ""}, "feedback[1].card"), ({**ACCEPTED, "card": 7}, "feedback[1].card"),
     ({**ACCEPTED, "outcome": "ignored"}, "feedback[1].outcome"),
     ({**ACCEPTED, "acceptedSuggestions": []}, "feedback[1].acceptedSuggestions"),
     ({**ACCEPTED, "acceptedSuggestions": [{}]}, "feedback[1].acceptedSuggestions[0].id"),
     ({**ACCEPTED, "outcomeTimestamp": "2026-11-22 10:05"}, "feedback[1].outcomeTimestamp"),
     ({**ACCEPTED, "outcomeTimestamp": "2026-11-22T10:05:31"}, "feedback[1].outcomeTimestamp"),
     ({**OVERRIDDEN, "overrideReason": {}}, "feedback[1].overrideReason"),
     ({**OVERRIDDEN, "overrideReason": {"reason": {"display": "x"}}}, "feedback[1].overrideReason.reason.code"),
     ({**OVERRIDDEN, "overrideReason": {"userComment": ""}}, "feedback[1].overrideReason.userComment")],
)  # fmt: skip
def test_one_bad_item_and_nothing_is_kept(item: Any, member: str, post: Any, sink: InMemory) -> None:
    response = post({"feedback": [ACCEPTED, item]})
    assert response.status_code == 400
    assert member in [each["expression"][0] for each in response.json()["issue"]]
    assert not sink.items


@pytest.mark.parametrize("body", [[], {}, {"feedback": []}, {"feedback": {}}, {"feedback": [ACCEPTED] * 501}])
def test_no_feedback(body: Any, post: Any) -> None:
    assert post(body).status_code == 400


def test_a_file_is_only_appended_to_and_only_ours_to_read(tmp_path: Path, post: Any, sink: InMemory) -> None:
    post({"feedback": [OVERRIDDEN, ACCEPTED]})
    items = [each for _, _, each in sink.items]
    path = tmp_path / "feedback.jsonl"
    for _ in range(2):
        JsonLines(path).take("s", AT, items)
    lines = [json.loads(each) for each in path.read_text().splitlines()]
    assert len(lines) == 4
    assert lines[0] == {"service": "s", "receivedAt": AT, **OVERRIDDEN}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_disk_that_is_full_is_told_and_nothing_half_written_stays(
    knowledge: Knowledge, gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "feedback.jsonl"
    held = JsonLines(path)
    client = TestClient(application(Gateway(knowledge, b"k", "http://x.example", gateway.log, feedback=held)))
    assert client.post(FEEDBACK, json={"feedback": [ACCEPTED]}).status_code == 200
    before = path.read_bytes()
    real = __import__("os").write
    monkeypatch.setattr("safety_service.gateway.feedback.os.write", lambda file, data: real(file, data[:10]))
    response = client.post(FEEDBACK, json={"feedback": [ACCEPTED]})
    assert response.status_code == 503
    assert path.read_bytes() == before
