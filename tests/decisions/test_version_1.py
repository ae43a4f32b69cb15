"""Records of version 1, as a server wrote them once, are still read, indexed and replayed."""

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from safety_service.decisions import version_1
from safety_service.decisions.facts import request_of
from safety_service.decisions.index import opened, reindex
from safety_service.decisions.log import DecisionLog
from safety_service.decisions.records import read_record
from safety_service.decisions.replay import replay_today
from safety_service.decisions.segment import Reading, read, segments
from safety_service.domain import CheckRequest
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from tests.decisions.conftest import Decide
from tests.decisions.full_decision import decision

KEPT = Path(__file__).parent / "version_1"


def test_a_segment_of_version_1_is_whole_and_tells_what_was_decided() -> None:
    (path,) = segments(KEPT)
    state = Reading()
    records = [read_record(each.payload) for each in read(path, state)]
    first, *_ = decisions = [each for each in records if each["kind"] == "decision"]

    assert (state.fault, state.torn, state.closed, len(decisions)) == ("", 0, True, 5)
    assert {each["v"] for each in decisions} == {1}
    assert (first["caller"], first["site"], first["overall"]) == ("ward-3", "here", "ALERTS")
    assert first["alerts"][0][:4] == ["duration.course", 1, "HIGH", "cyclobenzaprine-ir"]
    assert first["facts"]["prescription"]["days_supply"] == 14


def test_it_is_decided_again_from_its_facts(knowledge: Knowledge) -> None:
    (path,) = segments(KEPT)
    decisions = [each for each in (read_record(frame.payload) for frame in read(path)) if each["kind"] == "decision"]
    for each in decisions:
        assert check(knowledge, request_of(each["facts"])).as_of == each["facts"]["as_of"]
    assert request_of(decisions[0]["facts"]).patient.medications.items[0].medication.codings[0].code == "1049621"


def test_it_is_indexed(tmp_path: Path) -> None:
    with opened(str(tmp_path / "index"), to_write=True) as database:
        assert reindex(KEPT, database) == 6
        assert database.run("SELECT count(*) FROM decisions") == [(5,)]
        assert database.run("SELECT outcome FROM feedback") == [("overridden",)]


def test_its_digest_is_the_one_that_version_1_wrote() -> None:
    assert version_1.outcome_digest(decision()) == "05b4ec502f114d6bca310b1415d7392d"  # by the code of then


def test_it_is_replayed_by_its_own_digest(
    log: DecisionLog, decide: Decide, knowledge: Knowledge, request_sent: CheckRequest
) -> None:
    decide()
    (path,) = segments(log.folder)
    (record,) = [dict(read_record(each.payload)) for each in read(path) if each.number]
    again = check(knowledge, request_of(record["facts"]))
    old = record | {"v": 1, "outcome": version_1.outcome_digest(again)}
    old = orjson.loads(orjson.dumps(old))

    assert replay_today(record, knowledge).same
    assert replay_today(old, knowledge).same
    assert not replay_today(old | {"v": 2}, knowledge).same
    assert not replay_today(old | {"outcome": "0" * 32}, knowledge).same


@pytest.mark.parametrize("refills", [0, 3])
def test_what_is_otherwise_is_seen_by_it(knowledge: Knowledge, request_sent: CheckRequest, refills: int) -> None:
    other = replace(request_sent, prescription=replace(request_sent.prescription, refills=refills))
    assert version_1.outcome_digest(check(knowledge, other)) != version_1.outcome_digest(check(knowledge, request_sent))
