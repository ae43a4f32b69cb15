"""A decision comes out the same from what was kept, and what would be otherwise today is said."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from safety_service.cases import read_cases
from safety_service.decisions.archive import NotArchivedError, archived_knowledge, bundle_path
from safety_service.decisions.log import DecisionLog
from safety_service.decisions.records import read_record
from safety_service.decisions.replay import replay, replay_today
from safety_service.decisions.segment import read, segments
from safety_service.domain import CheckRequest, Medication, PriorOverride
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import RULES_DATA, load_knowledge

Decide = Callable[..., bytes]


def records(log: DecisionLog) -> list[Mapping[str, Any]]:
    found = [read_record(frame.payload) for path in segments(log.folder) for frame in read(path)]
    return [each for each in found if each["kind"] == "decision"]


def test_decisions_replay_from_the_archived_knowledge(log: DecisionLog, decide: Decide) -> None:
    decided = [decide(case.request) for case in read_cases()[::300]]

    kept = records(log)
    assert {each["id"] for each in kept} == {each.hex() for each in decided}
    assert replay(log.folder, kept[0]).same
    then = archived_knowledge(log.folder, kept[0]["knowledge"], kept[0]["policy"])
    for each in kept:
        found = replay_today(each, then)
        assert (found.same, found.differences) == (True, ()), each["id"]


def test_an_override_that_counted_counts_again(
    log: DecisionLog, decide: Decide, knowledge: Knowledge, request_sent: CheckRequest
) -> None:
    alert = check(knowledge, request_sent, b"key").alerts[0]
    assert alert.interruptive
    override = PriorOverride(alert.fingerprint, None, "Mr Smith knows it")
    decide(replace(request_sent, prior_overrides=(override, PriorOverride("not one of ours"))))

    (record,) = records(log)
    assert record["alerts"][0][5:] == [False, True]
    assert replay_today(record, knowledge).same
    assert "Smith" not in str(record)


def test_what_is_otherwise_today_is_said(tmp_path: Path, log: DecisionLog, decide: Decide) -> None:
    data = tmp_path / "rules_data"
    shutil.copytree(RULES_DATA, data, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    rules = data / "rules" / "sedation.yaml"
    text = rules.read_text()
    begin = text.index("- id: sedation.opioid\n")
    rules.write_text(text[:begin] + text[begin:].replace("version: 1", "version: 2", 1))
    decide()
    (record,) = records(log)
    found = replay_today(record, load_knowledge(data))

    assert not found.same
    assert any("sedation.opioid v1, now v2" in each for each in found.differences)


def test_a_bundle_that_is_gone_or_another_is_refused(log: DecisionLog, decide: Decide) -> None:
    decide()
    (record,) = records(log)
    path = bundle_path(log.folder, record["knowledge"], record["policy"])
    other = bundle_path(log.folder, "0" * 64, record["policy"])
    shutil.copy(path, other)
    with pytest.raises(NotArchivedError, match="not what its name says"):
        archived_knowledge(log.folder, "0" * 64, record["policy"])
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(NotArchivedError, match="unpacked"):
        replay(log.folder, record)
    path.unlink()
    with pytest.raises(NotArchivedError, match="not archived"):
        replay(log.folder, record)


def test_a_record_tells_its_outcome_and_names_nobody(
    log: DecisionLog, decide: Decide, knowledge: Knowledge, request_sent: CheckRequest
) -> None:
    patient = replace(request_sent.patient, id="MRN-4711")
    order = replace(request_sent.prescription, id="Order-of-Smith", dosage_text="1 tab TID, give to John Smith")
    decide(replace(request_sent, patient=patient, prescription=order), caller="ward-3")
    drug = Medication(text="cyclobenzaprine 10 mg tablet for Mrs Miller 03/04/1950")
    decide(replace(request_sent, patient=patient, prescription=replace(order, medication=drug)))

    first, second = records(log)
    assert (first["caller"], first["site"]) == ("ward-3", "here")
    assert first["patient"] == second["patient"] != ""
    assert first["order"] == second["order"] != ""
    assert "duration.course" in [each[0] for each in first["alerts"]]
    assert "sedation.alcohol" in [each[0] for each in first["not_evaluated"]]
    for each in (first, second):
        assert not [word for word in ("MRN", "mith", "iller") if word in str(each)]
        assert not [word for word in ("4711", "1950") if word in str(each["facts"]["prescription"])]
        assert each["whole"]
        assert replay_today(each, knowledge).same


def test_a_record_that_tells_another_outcome_than_its_digest_contradicts_itself(
    log: DecisionLog, decide: Decide, request_sent: CheckRequest
) -> None:
    decide(request_sent)
    (kept,) = records(log)
    found = replay(log.folder, {**kept, "overall": "CLEAR"})
    assert not found.same
    assert "contradicts itself" in found.differences[0]
    found = replay(log.folder, {**kept, "alerts": kept["alerts"][1:]})
    assert not found.same


@pytest.mark.parametrize("change", [{"v": 3}, {"facts": [1] * 6}, {"facts": 7}])
def test_a_record_of_another_form_is_refused(
    change: dict[str, Any], log: DecisionLog, decide: Decide, request_sent: CheckRequest
) -> None:
    decide(request_sent)
    for path in segments(log.folder):
        for frame in read(path):
            held = orjson.loads(frame.payload)
            if held["kind"] == "decision":
                with pytest.raises(ValueError, match=r"version|form"):
                    read_record(orjson.dumps(held | change))
