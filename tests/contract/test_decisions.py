"""Decisions and feedback through a real server: kept before they are answered, whatever happens then."""

import random
import resource
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from medsafety.v1 import feedback_service_pb2 as wire
from medsafety.v1.feedback_service_pb2_grpc import FeedbackServiceStub
from medsafety.v1.medication_safety_service_pb2 import (
    BatchCheckPrescriptionsRequest,
    CheckPrescriptionRequest,
    StreamCheckPrescriptionsRequest,
)
from medsafety.v1.medication_safety_service_pb2_grpc import MedicationSafetyServiceStub
from safety_service.decisions.index import catch_up, opened
from safety_service.decisions.records import read_record
from safety_service.decisions.replay import replay_today
from safety_service.decisions.segment import read, segments
from safety_service.decisions.verify import verify
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server.access_log import open_log
from safety_service.server.serve import CannotServeError, Serving, start
from safety_service.server.settings import Settings
from tests.decisions.silent import Silent

ServerProcess = Callable[..., Any]
MARK = "Mustermann"


def records(folder: Path, kind: str = "decision") -> list[Mapping[str, Any]]:
    found = [read_record(frame.payload) for path in segments(folder) for frame in read(path)]
    return [each for each in found if each["kind"] == kind]


def ids(folder: Path) -> set[str]:
    return {each["id"] for each in records(folder)}


def plain(decision_id: str) -> str:
    return decision_id.replace("-", "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "decisions"


@pytest.fixture
def keeping(folder: Path, knowledge: Knowledge) -> Iterator[Serving]:
    settings = Settings(listen="127.0.0.1:0", decisions_dir=folder, site="north")
    server = start(settings, knowledge, open_log("error", "json"))
    yield server
    server.server.stop(None).wait()


@pytest.fixture
def channel_of(keeping: Serving) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(keeping.address) as channel:
        yield channel


@pytest.fixture
def kept_checks(channel_of: grpc.Channel) -> MedicationSafetyServiceStub:
    return MedicationSafetyServiceStub(channel_of)


@pytest.fixture
def feedback(channel_of: grpc.Channel) -> FeedbackServiceStub:
    return FeedbackServiceStub(channel_of)


# --- decisions ---------------------------------------------------------------------------------------------------


def test_every_answer_is_on_record(
    folder: Path,
    kept_checks: MedicationSafetyServiceStub,
    request_sent: CheckPrescriptionRequest,
    knowledge: Knowledge,
) -> None:
    one = kept_checks.CheckPrescription(request_sent, timeout=30)
    assert ids(folder) == {plain(one.decision_id)}
    bad = CheckPrescriptionRequest()
    batch = kept_checks.BatchCheckPrescriptions(
        BatchCheckPrescriptionsRequest(items=[request_sent, bad, request_sent]), timeout=30
    )
    sent = iter([StreamCheckPrescriptionsRequest(item=request_sent), StreamCheckPrescriptionsRequest(item=bad)])
    stream = list(kept_checks.StreamCheckPrescriptions(sent, timeout=30))

    answers = [one, batch.items[0].response, batch.items[2].response, stream[0].result.response]
    assert ids(folder) == {plain(each.decision_id) for each in answers}
    assert not any(each.not_logged for each in answers)
    found = records(folder)
    assert {each["site"] for each in found} == {"north"}
    assert len({each["input"] for each in found}) == 1
    assert len(found[0]["alerts"]) == len(one.decision.alerts)
    assert replay_today(found[0], knowledge).same
    assert not verify(folder).faults


def test_a_server_that_stops_seals_its_records(
    server_process: ServerProcess, folder: Path, request_sent: CheckPrescriptionRequest
) -> None:
    with (
        server_process("--decisions-dir", str(folder)) as (process, address),
        grpc.insecure_channel(address) as channel,
    ):
        MedicationSafetyServiceStub(channel).CheckPrescription(request_sent, timeout=30)
        process.terminate()
        assert process.wait(30) == 0
    (entry,) = [orjson.loads(line) for line in (folder / "ledger.jsonl").read_bytes().splitlines()]
    assert (entry["what"], entry["frames"], entry["torn"]) == ("sealed", 3, 0)


@pytest.mark.parametrize("required", ["refuse", "answer"])
def test_a_full_disk_refuses_or_marks_and_loses_nothing(
    server_process: ServerProcess, folder: Path, request_sent: CheckPrescriptionRequest, required: str
) -> None:
    flags = ("--decisions-dir", str(folder), "--decisions-required", required)
    with server_process(*flags) as (process, address), grpc.insecure_channel(address) as channel:
        stub = MedicationSafetyServiceStub(channel)
        first = stub.CheckPrescription(request_sent, timeout=30)
        (segment,) = segments(folder)
        everything = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (segment.stat().st_size + 100, everything[1]))
        if required == "refuse":
            with pytest.raises(grpc.RpcError) as raised:
                stub.CheckPrescription(request_sent, timeout=30)
            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "recorded" in (raised.value.details() or "")
        else:
            unkept = stub.CheckPrescription(request_sent, timeout=30)
            assert unkept.not_logged
            assert unkept.decision == first.decision
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, everything)
        last = stub.CheckPrescription(request_sent, timeout=30)

    assert not last.not_logged
    assert ids(folder) == {plain(first.decision_id), plain(last.decision_id)}
    assert not verify(folder).faults
    assert not verify(folder).torn


def test_a_file_that_was_removed_is_begun_anew(
    folder: Path, kept_checks: MedicationSafetyServiceStub, request_sent: CheckPrescriptionRequest
) -> None:
    kept_checks.CheckPrescription(request_sent, timeout=30)
    segments(folder)[0].unlink()
    after = kept_checks.CheckPrescription(request_sent, timeout=30)

    assert ids(folder) == {plain(after.decision_id)}


def test_a_clock_that_jumps_changes_no_answer_and_loses_no_record(
    folder: Path,
    keeping: Serving,
    kept_checks: MedicationSafetyServiceStub,
    feedback: FeedbackServiceStub,
    request_sent: CheckPrescriptionRequest,
) -> None:
    """Forth and back, between two calls of a connection that stays. The same order counts once in a month."""
    request_sent.as_of.year, request_sent.as_of.month, request_sent.as_of.day = 2026, 11, 2
    in_use, log = keeping.gate.in_use, keeping.decisions
    assert log is not None
    answers, moments = [], []
    for year in (2026, 2028, 2024, 1970, 2026):
        moment = int(datetime(year, 6, 15, tzinfo=UTC).timestamp()) * 10**9
        desk = replace(in_use.now.desk, now_ns=lambda moment=moment: moment)  # type: ignore[misc]
        in_use.now = in_use.now._replace(desk=desk)
        log.now_ns = log.writer._now_ns = desk.now_ns
        answers.append(kept_checks.CheckPrescription(request_sent, timeout=30))
        item = wire.Feedback(alert_id=answers[-1].alert_ids[0], outcome=wire.FEEDBACK_OUTCOME_ACCEPTED)
        feedback.RecordFeedback(wire.RecordFeedbackRequest(items=[item]), timeout=30)
        moments.append(moment)

    assert all(each.decision == answers[0].decision for each in answers)
    assert [each.evaluated_at.seconds * 10**9 for each in answers] == moments
    assert ids(folder) == {plain(each.decision_id) for each in answers}
    assert len(records(folder, "feedback")) == 5
    assert not verify(folder).faults
    with opened(str(folder / "index.sqlite"), to_write=True) as database:
        assert catch_up(folder, database) == 10
    sums = feedback.SummarizeAlerts(wire.SummarizeAlertsRequest(rule_id="duration.course"), timeout=30).summaries
    assert [(each.month, each.accepted) for each in sums] == [
        ("2028-06", 1), ("2026-06", 1), ("2024-06", 1), ("1970-06", 1)
    ]  # fmt: skip


def test_a_folder_that_cannot_be_used_stops_the_start(tmp_path: Path, knowledge: Knowledge) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "key").write_text("short")
    for options in (
        {"decisions_dir": tmp_path / "file"},
        {"decisions_dir": tmp_path / "file" / "below"},
        {"decisions_dir": tmp_path / "log", "decisions_key_file": tmp_path / "key"},
        {"decisions_dir": tmp_path / "log", "decisions_key_file": tmp_path / "none"},
    ):
        with pytest.raises(CannotServeError, match=r"decisions cannot be kept|key of the pseudonyms"):
            start(Settings(listen="127.0.0.1:0", **options), knowledge, open_log("error", "json"))  # type: ignore[arg-type]


def killed_under_load(
    server_process: ServerProcess, folder: Path, request: CheckPrescriptionRequest, seconds: float
) -> set[str]:
    """The ids of the decisions that clients heard of before the server was killed."""
    told: list[str] = []

    def ask(address: str) -> None:
        with grpc.insecure_channel(address) as channel:
            stub = MedicationSafetyServiceStub(channel)
            try:
                while True:
                    told.append(stub.CheckPrescription(request, timeout=30).decision_id)
            except grpc.RpcError:
                return

    with server_process("--decisions-dir", str(folder), "--decisions-segment-bytes", "65536") as (process, address):
        clients = [threading.Thread(target=ask, args=(address,)) for _ in range(3)]
        for each in clients:
            each.start()
        while not told:
            time.sleep(0.005)
        time.sleep(seconds)
        process.kill()
        for each in clients:
            each.join()
    return {plain(each) for each in told}


@pytest.mark.timeout(3600)  # a server is started for each
@pytest.mark.parametrize("times", [5, pytest.param(50, marks=pytest.mark.long)])
def test_no_acknowledged_decision_is_lost_by_kill_9(
    server_process: ServerProcess, folder: Path, request_sent: CheckPrescriptionRequest, seed: int, times: int
) -> None:
    moments = random.Random(seed)
    acknowledged: set[str] = set()
    for _ in range(times):
        acknowledged |= killed_under_load(server_process, folder, request_sent, moments.uniform(0, 0.5))

    kept = ids(folder)
    found = verify(folder)
    print(f"{times} kills: {len(acknowledged)} acknowledged, {len(kept)} kept, {len(found.torn)} cut off")
    assert len(acknowledged) >= times
    assert acknowledged <= kept
    assert not found.faults


# --- nothing of a patient ----------------------------------------------------------------------------------------


def marked(message: Message, *, texts: bool) -> None:
    """Writes the mark into every text that is there, and adds some where there may be more."""
    for field, value in message.ListFields():
        repeated = field.is_repeated
        if field.type == FieldDescriptor.TYPE_STRING:
            if field.name.endswith("unit"):
                continue
            if repeated:
                value.append(MARK)
            elif texts and field.name in ("text", "display", "dosage_text"):
                setattr(message, field.name, f"{value} for {MARK} 0170 5551234")
            else:
                setattr(message, field.name, f"{MARK}{field.number}")
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            for each in value if repeated else [value]:
                marked(each, texts=texts)


def everything(request: CheckPrescriptionRequest) -> None:
    """Fills what the article's case leaves empty."""
    request.prescription.prescriber_id = request.prescription.route = request.prescription.id = "x"
    request.prescription.quantity.value, request.prescription.quantity.unit = 42, f"{{{MARK}}}"
    request.prescription.indications.add(id="x", text="x").codings.add(system="x", code="x", display="x")
    request.prior_overrides.add(fingerprint="x", reason="x")
    patient = request.patient
    patient.id = "x"
    patient.allergies.items.add(id="x").substance.text = "penicillin"
    patient.care_options_tried.items.add(option_id="x", text="yoga").codings.add(system="x", code="x", display="yoga")
    patient.hepatic.labs.items.add(id="x", test=1).value.value = 30
    record = patient.medications.items.add(id="x", prescriber_id="x")
    record.medication.text = "diazepam 5 mg tablet"


@pytest.mark.parametrize("texts", [True, False])
def test_no_record_holds_a_text_of_the_request(
    folder: Path,
    kept_checks: MedicationSafetyServiceStub,
    request_sent: CheckPrescriptionRequest,
    knowledge: Knowledge,
    texts: bool,
) -> None:
    everything(request_sent)
    policy, digest = request_sent.policy, request_sent.expected_knowledge_digest
    marked(request_sent, texts=texts)
    request_sent.policy, request_sent.expected_knowledge_digest = policy, digest
    answer = kept_checks.CheckPrescription(request_sent, timeout=30)

    assert MARK in str(answer)
    assert plain(answer.decision_id) in ids(folder)
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes().lower()
            assert MARK.lower().encode() not in content, path.name
            assert b"5551234" not in content, path.name
    (record,) = records(folder)
    assert replay_today(record, knowledge).same


# --- feedback ----------------------------------------------------------------------------------------------------


def test_feedback_is_kept_and_summed_up(
    folder: Path,
    kept_checks: MedicationSafetyServiceStub,
    feedback: FeedbackServiceStub,
    request_sent: CheckPrescriptionRequest,
) -> None:
    answer = kept_checks.CheckPrescription(request_sent, timeout=30)
    reason = wire.OverrideReason(system="urn:reasons", code="benefit", display="Benefit outweighs risk")
    item = wire.Feedback(
        alert_id=answer.alert_ids[0], outcome=wire.FEEDBACK_OUTCOME_OVERRIDDEN, reason=reason, comment="short course"
    )
    item.occurred_at.FromJsonString("2026-11-25T12:00:00Z")
    first = feedback.RecordFeedback(wire.RecordFeedbackRequest(items=[item, item]), timeout=30)
    again = feedback.RecordFeedback(wire.RecordFeedbackRequest(items=[item]), timeout=30)

    assert first.feedback_ids[0] == first.feedback_ids[1] == again.feedback_ids[0]
    (kept,) = records(folder, "feedback")
    assert (kept["comment"], kept["code"], kept["done_at"]) == ("short course", "benefit", "2026-11-25T12:00:00Z")

    with opened(str(folder / "index.sqlite"), to_write=True) as database:
        catch_up(folder, database)
    sums = feedback.SummarizeAlerts(wire.SummarizeAlertsRequest(rule_id="duration.course"), timeout=30)
    (row,) = sums.summaries
    assert (row.site, row.orders, row.fired, row.overridden, row.overridden_per_100) == ("north", 1, 1, 1, 100)
    assert row.reasons[0].reason == reason
    assert row.reasons[0].count == 1
    assert sums.indexed_to.seconds >= answer.evaluated_at.seconds


def test_checks_and_feedback_go_on_without_an_index(
    folder: Path,
    kept_checks: MedicationSafetyServiceStub,
    feedback: FeedbackServiceStub,
    request_sent: CheckPrescriptionRequest,
    refused: Callable[[Callable[[], Any]], Any],
) -> None:
    for content in (None, b"no database" * 500):
        if content is not None:
            (folder / "index.sqlite").write_bytes(content)
        refusal = refused(lambda: feedback.SummarizeAlerts(wire.SummarizeAlertsRequest(), timeout=30))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "INDEX_UNAVAILABLE")
        answer = kept_checks.CheckPrescription(request_sent, timeout=30)
        item = wire.Feedback(alert_id=answer.alert_ids[0], outcome=wire.FEEDBACK_OUTCOME_ACCEPTED)
        assert feedback.RecordFeedback(wire.RecordFeedbackRequest(items=[item]), timeout=30).feedback_ids


def test_checks_go_on_while_the_database_of_the_index_says_nothing(
    folder: Path, knowledge: Knowledge, request_sent: CheckPrescriptionRequest, refused: Callable[..., Any]
) -> None:
    """More questions for sums than there are threads: one waits, the others are refused at once."""
    with ExitStack() as stack:
        silent = stack.enter_context(Silent())
        settings = Settings(listen="127.0.0.1:0", decisions_dir=folder, decisions_index=silent.address)
        server = start(settings, knowledge, open_log("error", "json"))
        stack.callback(lambda: server.server.stop(None).wait())
        channel = stack.enter_context(grpc.insecure_channel(server.address))
        asks = FeedbackServiceStub(channel).SummarizeAlerts
        waiting = asks.future(wire.SummarizeAlertsRequest(), timeout=30)
        assert silent.asked.wait(20)
        for _ in range(2 * settings.threads):
            refusal = refused(lambda: asks(wire.SummarizeAlertsRequest(), timeout=30))
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
            assert MedicationSafetyServiceStub(channel).CheckPrescription(request_sent, timeout=30).decision_id
        assert not waiting.done()
        silent.hang_up()
        refusal = refused(lambda: waiting.result(30))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "INDEX_UNAVAILABLE")


def test_feedback_that_is_wrong_names_each_field_and_nothing_is_kept(
    folder: Path, feedback: FeedbackServiceStub, refused: Callable[[Callable[[], Any]], Any]
) -> None:
    good = wire.Feedback(alert_id="1" * 8 + "-1111-1111-1111-" + "1" * 12, outcome=wire.FEEDBACK_OUTCOME_ACCEPTED)
    bad = wire.Feedback(feedback_id="ä", alert_id="x", comment="c" * 10_001, accepted_suggestion_ids=["s"] * 101)
    bad.reason.display = "d" * 1_000
    refusal = refused(lambda: feedback.RecordFeedback(wire.RecordFeedbackRequest(items=[good, bad]), timeout=30))

    fields = ("feedback_id", "alert_id", "outcome", "reason.code", "reason.display", "comment")
    assert set(refusal.violations) == {f"items[1].{each}" for each in (*fields, "accepted_suggestion_ids")}
    assert refusal.reason == "INVALID_FIELD"
    assert records(folder, "feedback") == []
    many = refused(lambda: feedback.RecordFeedback(wire.RecordFeedbackRequest(items=[good] * 501), timeout=30))
    assert many.reason == "TOO_MANY_ITEMS"
    for months in ({"from_month": "2026-13"}, {"to_month": "November"}):
        refusal = refused(lambda: feedback.SummarizeAlerts(wire.SummarizeAlertsRequest(**months), timeout=30))  # noqa: B023
        assert set(refusal.violations) == set(months)


def test_a_server_that_keeps_nothing_says_so(
    channel: grpc.Channel, refused: Callable[[Callable[[], Any]], Any]
) -> None:
    stub = FeedbackServiceStub(channel)
    for call in (
        lambda: stub.RecordFeedback(wire.RecordFeedbackRequest(), timeout=30),
        lambda: stub.SummarizeAlerts(wire.SummarizeAlertsRequest(), timeout=30),
    ):
        refusal = refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_KEPT")
