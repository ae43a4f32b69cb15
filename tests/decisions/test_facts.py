"""What is kept of a request decides the same, and holds nothing of what was written in it."""

import orjson
import pytest

from safety_service.cases import read_cases
from safety_service.decisions.facts import facts_of, request_of
from safety_service.decisions.outcome import Outcomes
from safety_service.domain import (
    CheckRequest,
)
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge


@pytest.fixture(scope="module")
def outcomes(knowledge: Knowledge) -> Outcomes:
    return Outcomes(knowledge)


def kept_and_back(knowledge: Knowledge, request: CheckRequest) -> tuple[dict[str, str], bytes, CheckRequest, bool]:
    facts = facts_of(knowledge, request)
    written = orjson.dumps(facts.document)
    return facts.swapped, written, request_of(orjson.loads(written)), facts.whole


def test_every_case_is_decided_the_same_from_its_facts(knowledge: Knowledge, outcomes: Outcomes) -> None:
    wrong = []
    cases = read_cases()
    for case in cases[::60]:
        swapped, _, again, whole = kept_and_back(knowledge, case.request)
        before = outcomes.digest(check(knowledge, case.request), swapped)
        after = outcomes.digest(check(knowledge, again), {})
        if not whole or before != after:
            wrong.append(case.id)
    assert not wrong, f"{len(wrong)} of {len(cases[::60])}: {wrong[:5]}"
