"""Streams, deadlines, too much work at once, and stopping without losing an answer."""

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from medsafety.v1.medication_safety_service_pb2 import (
    BatchCheckPrescriptionsRequest,
    CheckPrescriptionRequest,
    StreamCheckPrescriptionsRequest,
)
from medsafety.v1.medication_safety_service_pb2_grpc import MedicationSafetyServiceStub
from safety_service.domain import CheckRequest, Decision
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server.access_log import open_log
from safety_service.server.serve import Serving, start
from safety_service.server.settings import Settings

Refused = Callable[[Callable[[], Any]], Any]
SOON = 20  # seconds; far more than anything here takes


class Worker:
    """The engine, which waits for a permit before each check."""

    def __init__(self, permits: int = 0) -> None:
        self.permits = threading.Semaphore(permits)
        self.begun = threading.Semaphore(0)
        self.count = 0

    def __call__(self, knowledge: Knowledge, request: CheckRequest, key: bytes) -> Decision:
        self.count += 1
        self.begun.release()
        assert self.permits.acquire(timeout=SOON)
        return check(knowledge, request, key)


@contextmanager
def serving_with(knowledge: Knowledge, worker: Worker, **settings: Any) -> Iterator[tuple[Serving, grpc.Channel]]:
    log = open_log("info", "json", io.StringIO())
    server = start(Settings(listen="127.0.0.1:0", **settings), knowledge, log, worker)
    try:
        with grpc.insecure_channel(server.address) as channel:
            yield server, channel
    finally:
        for _ in range(1000):
            worker.permits.release()
        server.server.stop(None).wait()


def eventually(true: Callable[[], bool]) -> None:
    until = time.monotonic() + SOON
    while not true():
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.005)


def draining(server: Serving) -> threading.Thread:
    """Ends when the server has; it takes no new work any more."""
    ending = threading.Thread(target=server.drain)
    ending.start()
    assert server.gate.stopping.wait(SOON)
    return ending


def item(request: CheckPrescriptionRequest, request_id: str) -> StreamCheckPrescriptionsRequest:
    sent = StreamCheckPrescriptionsRequest(item=request)
    sent.item.request_id = request_id
    return sent


class Sender:
    """What a client sends on a stream, as the test says."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[StreamCheckPrescriptionsRequest | None] = SimpleQueue()

    def __iter__(self) -> Iterator[StreamCheckPrescriptionsRequest]:
        return iter(self.queue.get, None)

    def send(self, request: StreamCheckPrescriptionsRequest) -> None:
        self.queue.put(request)

    def close(self) -> None:
        self.queue.put(None)


# --- streams -----------------------------------------------------------------------------------------------------


def test_a_stream_answers_each_in_order_and_outlives_bad_items(
    checks: MedicationSafetyServiceStub, request_sent: CheckPrescriptionRequest
) -> None:
    sent = [item(request_sent, f"n{i}") for i in range(300)]
    sent[7].item.prescription.days_supply = -1
    sent[8].Clear()

    answers = [each.result for each in checks.StreamCheckPrescriptions(iter(sent), timeout=SOON)]

    outcomes = [each.WhichOneof("outcome") for each in answers]
    assert outcomes == ["error" if i in (7, 8) else "response" for i in range(300)]
    assert [each.request_id for each in answers] == [f"n{i}" if i != 8 else "" for i in range(300)]


def test_malformed_bytes_in_a_stream_spoil_one_answer(
    channel: grpc.Channel, request_sent: CheckPrescriptionRequest
) -> None:
    call: Any = channel.stream_stream("/medsafety.v1.MedicationSafetyService/StreamCheckPrescriptions")
    good = item(request_sent, "good").SerializeToString()

    answers = list(call(iter([good, b"\xff\xff", good]), timeout=SOON))

    assert len(answers) == 3
    assert b"MALFORMED_MESSAGE" in answers[1]
    assert b"MALFORMED_MESSAGE" not in answers[2]


def test_an_answer_does_not_wait_for_the_next_request(
    checks: MedicationSafetyServiceStub, request_sent: CheckPrescriptionRequest
) -> None:
    sender = Sender()
    answers = checks.StreamCheckPrescriptions(iter(sender), timeout=SOON)

    for i in range(3):
        sender.send(item(request_sent, f"n{i}"))
        assert next(answers).result.request_id == f"n{i}"
    sender.close()

    assert list(answers) == []


def test_streams_do_not_take_the_threads_of_other_calls(
    knowledge: Knowledge, request_sent: CheckPrescriptionRequest
) -> None:
    with serving_with(knowledge, Worker(1000), threads=1) as (_, channel):
        stub = MedicationSafetyServiceStub(channel)
        senders = [Sender() for _ in range(8)]
        streams = [stub.StreamCheckPrescriptions(iter(each), timeout=SOON) for each in senders]
        for sender, stream in zip(senders, streams, strict=True):
            sender.send(item(request_sent, "open"))
            next(stream)

        assert stub.CheckPrescription(request_sent, timeout=SOON).decision.alerts
        for sender in senders:
            sender.close()


def test_more_streams_than_allowed_are_refused(
    knowledge: Knowledge, refused: Refused, request_sent: CheckPrescriptionRequest
) -> None:
    with serving_with(knowledge, Worker(1000), max_streams=1) as (_, channel):
        stub = MedicationSafetyServiceStub(channel)
        first = Sender()
        stream = stub.StreamCheckPrescriptions(iter(first), timeout=SOON)
        first.send(item(request_sent, "first"))
        next(stream)

        refusal = refused(lambda: next(stub.StreamCheckPrescriptions(iter([]), timeout=SOON)))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert refusal.detail(error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() > 0

        first.close()
        assert list(stream) == []
        again = stub.StreamCheckPrescriptions(iter([item(request_sent, "again")]), timeout=SOON)
        assert next(again).result.request_id == "again"


def test_a_client_that_goes_away_leaves_nothing_behind(
    knowledge: Knowledge, request_sent: CheckPrescriptionRequest
) -> None:
    with serving_with(knowledge, Worker(1000), max_streams=1) as (_, channel):
        stub = MedicationSafetyServiceStub(channel)

        def opened_and_left() -> bool:
            sender = Sender()
            stream = stub.StreamCheckPrescriptions(iter(sender), timeout=SOON)
            sender.send(item(request_sent, "x"))
            try:
                next(stream)
            except grpc.RpcError:
                return False  # the one before has not been noticed to be gone
            stream.cancel()
            return True

        for _ in range(3):  # each needs the only place
            eventually(opened_and_left)


# --- deadlines and load ------------------------------------------------------------------------------------------


def test_work_past_its_deadline_is_not_begun(
    knowledge: Knowledge, refused: Refused, request_sent: CheckPrescriptionRequest
) -> None:
    worker = Worker(1000)
    with serving_with(knowledge, worker, deadline_floor_ms=60_000) as (_, channel):
        stub = MedicationSafetyServiceStub(channel)

        refusal = refused(lambda: stub.CheckPrescription(request_sent, timeout=SOON))

        assert refusal.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert refusal.message == "no time left before the deadline"
        assert worker.count == 0
        assert stub.CheckPrescription(request_sent).decision.alerts, "no deadline is no hurry"


def test_a_batch_stops_at_its_deadline(
    knowledge: Knowledge, refused: Refused, request_sent: CheckPrescriptionRequest
) -> None:
    worker = Worker()
    with serving_with(knowledge, worker) as (_, channel):
        stub = MedicationSafetyServiceStub(channel)
        batch = BatchCheckPrescriptionsRequest(items=[request_sent] * 50)

        refusal = refused(lambda: stub.BatchCheckPrescriptions(batch, timeout=0.2))
        assert refusal.code is grpc.StatusCode.DEADLINE_EXCEEDED
        for _ in range(50):
            worker.permits.release()
        # The thread is free again for other calls, and the rest of the batch was not worked on.
        assert stub.CheckPrescription(request_sent, timeout=SOON).decision.alerts
        assert worker.count <= 3


def test_too_many_waiting_calls_are_turned_away_with_a_time_to_retry(
    knowledge: Knowledge, request_sent: CheckPrescriptionRequest
) -> None:
    worker = Worker()
    with serving_with(knowledge, worker, threads=1, max_waiting=1) as (server, channel):
        stub = MedicationSafetyServiceStub(channel)
        calls = [stub.CheckPrescription.future(request_sent, timeout=SOON)]
        assert worker.begun.acquire(timeout=SOON)
        calls += [stub.CheckPrescription.future(request_sent, timeout=SOON) for _ in range(5)]
        eventually(lambda: server.gate.pool._work_queue.qsize() == 5)
        health: Any = health_pb2_grpc.HealthStub(channel)
        alive = health.Check(health_pb2.HealthCheckRequest(), timeout=SOON)
        assert alive.status == health_pb2.HealthCheckResponse.SERVING, "health answers when all threads are busy"
        for _ in range(6):
            worker.permits.release()

        codes = sorted(each.code().name for each in calls)

        assert codes == ["OK"] * 3 + ["RESOURCE_EXHAUSTED"] * 3


def test_a_single_check_is_answered_while_large_batches_run(
    knowledge: Knowledge, refused: Refused, request_sent: CheckPrescriptionRequest
) -> None:
    """With one thread for either: batches have their own, and are turned away by their own measure."""
    go_on = threading.Event()
    begun = threading.Event()

    def engine(knowledge: Knowledge, request: CheckRequest, key: bytes) -> Decision:
        if request.prescription.days_supply == 5:
            begun.set()
            assert go_on.wait(SOON)
        return check(knowledge, request, key)

    in_batch = CheckPrescriptionRequest()
    in_batch.CopyFrom(request_sent)
    in_batch.prescription.days_supply = 5
    batch = BatchCheckPrescriptionsRequest(items=[in_batch] * 20)
    log = open_log("info", "json", io.StringIO())
    settings = Settings(listen="127.0.0.1:0", threads=1, batch_threads=1, max_waiting_batches=1)
    server = start(settings, knowledge, log, engine)
    with grpc.insecure_channel(server.address) as channel:
        stub = MedicationSafetyServiceStub(channel)
        batches = [stub.BatchCheckPrescriptions.future(batch, timeout=SOON)]
        assert begun.wait(SOON)
        batches += [stub.BatchCheckPrescriptions.future(batch, timeout=SOON) for _ in range(4)]
        eventually(lambda: server.gate.batch_pool._work_queue.qsize() == 4)

        assert stub.CheckPrescription(request_sent, timeout=SOON).decision.alerts
        assert not any(each.done() for each in batches)

        go_on.set()
        codes = sorted(each.code().name for each in batches)
        refusal = refused(next(each for each in batches if each.code() is not grpc.StatusCode.OK).result)
    server.server.stop(None).wait()
    assert codes == ["OK"] * 3 + ["RESOURCE_EXHAUSTED"] * 2
    assert refusal.reason == "OVERLOADED"
    assert refusal.detail(error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() > 0


# --- stopping ----------------------------------------------------------------------------------------------------


def test_what_a_stream_has_read_is_answered_before_it_ends(
    knowledge: Knowledge, refused: Refused, request_sent: CheckPrescriptionRequest
) -> None:
    worker = Worker()
    with serving_with(knowledge, worker, grace_seconds=SOON) as (server, channel):
        stub = MedicationSafetyServiceStub(channel)
        sender = Sender()
        stream = stub.StreamCheckPrescriptions(iter(sender), timeout=SOON)
        for i in range(5):
            sender.send(item(request_sent, f"n{i}"))
        assert worker.begun.acquire(timeout=SOON)
        eventually(lambda: server.gate.streams.waiting() == 4)
        ending = draining(server)
        sender.send(item(request_sent, "too late"))
        for _ in range(9):
            worker.permits.release()

        assert [next(stream).result.request_id for _ in range(5)] == [f"n{i}" for i in range(5)]
        refusal = refused(lambda: next(stream))

        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        ending.join(SOON)
        assert not ending.is_alive()


def test_a_running_call_is_answered_before_the_server_ends(
    knowledge: Knowledge, request_sent: CheckPrescriptionRequest
) -> None:
    worker = Worker()
    with serving_with(knowledge, worker, grace_seconds=SOON) as (server, channel):
        stub = MedicationSafetyServiceStub(channel)
        running = stub.CheckPrescription.future(request_sent, timeout=SOON)
        assert worker.begun.acquire(timeout=SOON)

        ending = draining(server)
        with pytest.raises(grpc.RpcError) as raised, grpc.insecure_channel(server.address) as late:
            MedicationSafetyServiceStub(late).CheckPrescription(request_sent, timeout=SOON)
        worker.permits.release()

        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        assert running.result().decision.alerts
        ending.join(SOON)
        assert not ending.is_alive()


def test_a_watch_of_the_health_does_not_hold_up_the_end(knowledge: Knowledge) -> None:
    with serving_with(knowledge, Worker(), grace_seconds=600) as (server, channel):
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=600)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING

        ending = draining(server)

        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        ending.join(SOON)
        assert not ending.is_alive()
