"""Requests that nobody here wrote: valid ones get valid cards, broken ones a 4xx that names the member, none a 5xx."""

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.gateway.calls import DATA, SERVICE, assert_nothing_empty, schema

FILES = sorted((DATA / "cds-hooks").glob("*/*.json"))
HOOKS = ("order-select", "order-sign")
# Inferno's, of another IG: one order, by another name, and a service request at that; nothing is ours in it.
DISPATCH = DATA / "cds-hooks" / "inferno-crd" / "order_dispatch_hook_request.json"


def test_there_are_strangers() -> None:
    assert len(FILES) > 150


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_stranger(path: Path, client: TestClient) -> None:
    content = path.read_bytes()
    response = client.post(SERVICE, content=content, headers={"Content-Type": "application/json"})
    if path == DISPATCH:
        assert (response.status_code, response.json()) == (200, {"cards": []})
    elif _is_valid(content):
        assert response.status_code == 200, response.text
        answer = response.json()
        schema("response").validate(answer)
        assert_nothing_empty(answer, "cards")
    else:
        assert response.status_code == 400
        outcome = response.json()
        assert outcome["resourceType"] == "OperationOutcome"
        if isinstance(_parsed(content), dict):
            assert all(each["expression"] for each in outcome["issue"])


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _is_valid(content: bytes) -> bool:
    """By the tolerant schema of the contract page, and for a hook that is offered."""
    body = _parsed(content)
    return isinstance(body, dict) and body.get("hook") in HOOKS and schema("request").is_valid(body)
