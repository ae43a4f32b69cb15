"""The pure functions from bytes to bytes: defaults, limits, refusals, and what becomes of a fault."""

import dataclasses
from collections.abc import Callable

import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from medsafety.v1 import common_pb2
from medsafety.v1.medication_safety_service_pb2 import (
    BatchCheckPrescriptionsRequest,
    BatchCheckPrescriptionsResponse,
    CheckPrescriptionRequest,
    CheckPrescriptionResponse,
    StreamCheckPrescriptionsRequest,
    StreamCheckPrescriptionsResponse,
)
from safety_service.domain import CheckRequest, Decision
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server import limits
from safety_service.server.encode_fast import FastEncoder
from safety_service.server.errors import RefusedError, deadline_exceeded
from safety_service.server.handlers import (
    Desk,
    Fault,
    Tally,
    check_batch,
    check_prescription,
    check_stream_item,
)

SECRET = "Jane-Doe-4711"


@pytest.fixture
def faults() -> list[Fault]:
    return []


@pytest.fixture
def desk(knowledge: Knowledge, faults: list[Fault]) -> Desk:
    return Desk(knowledge, check, FastEncoder(knowledge).response, b"key", faults.append)


def reason_of(status: status_pb2.Status) -> str:
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    assert info.domain == "medsafety"
    return info.reason


def refused(work: Callable[[], bytes]) -> status_pb2.Status:
    with pytest.raises(RefusedError) as raised:
        work()
    return raised.value.status


def go_on() -> None:
    """There is time."""


def batch(desk: Desk, *items: CheckPrescriptionRequest, tally: Tally | None = None) -> BatchCheckPrescriptionsResponse:
    data = BatchCheckPrescriptionsRequest(items=items).SerializeToString()
    return BatchCheckPrescriptionsResponse.FromString(check_batch(desk, data, tally or Tally(), go_on))


# --- one prescription --------------------------------------------------------------------------------------------


def test_the_default_view_of_one_check_is_full(desk: Desk, request_sent: CheckPrescriptionRequest) -> None:
    tally = Tally()
    answer = CheckPrescriptionResponse.FromString(check_prescription(desk, request_sent.SerializeToString(), tally))

    assert answer.request_id == "article-case"
    assert answer.decision.alerts[0].title
    assert (tally.answers, tally.errors, tally.overall) == (1, 0, "ALERTS")
    assert tally.alerts == len(answer.decision.alerts)

    request_sent.view = common_pb2.VIEW_BRIEF
    brief = CheckPrescriptionResponse.FromString(check_prescription(desk, request_sent.SerializeToString(), Tally()))
    assert not brief.decision.alerts[0].title


def test_the_clock_gives_only_the_default_day_and_the_stamp(desk: Desk, request_sent: CheckPrescriptionRequest) -> None:
    for field in ("ordered_on", "start_date"):
        request_sent.prescription.ClearField(field)
    at = dataclasses.replace(desk, now_ns=lambda: 20_000 * 86_400 * 10**9 + 5)

    answer = CheckPrescriptionResponse.FromString(check_prescription(at, request_sent.SerializeToString(), Tally()))

    assert (answer.evaluated_at.seconds, answer.evaluated_at.nanos) == (20_000 * 86_400, 5)
    as_of = answer.decision.as_of
    assert (as_of.year, as_of.month, as_of.day) == (2024, 10, 4)


def test_policy_and_digest_are_checked(desk: Desk, request_sent: CheckPrescriptionRequest) -> None:
    request_sent.policy, request_sent.expected_knowledge_digest = "default", desk.knowledge.digest
    check_prescription(desk, request_sent.SerializeToString(), Tally())

    request_sent.policy = "other"
    status = refused(lambda: check_prescription(desk, request_sent.SerializeToString(), Tally()))
    assert (status.code, reason_of(status)) == (code_pb2.NOT_FOUND, "UNKNOWN_POLICY")

    request_sent.policy, request_sent.expected_knowledge_digest = "", "other"
    status = refused(lambda: check_prescription(desk, request_sent.SerializeToString(), Tally()))
    assert (status.code, reason_of(status)) == (code_pb2.FAILED_PRECONDITION, "KNOWLEDGE_MISMATCH")


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05abc", b"\x0a\x02\xff\xfe", b"\x12\x02\x0a\xff"])
def test_bytes_that_are_not_the_message(desk: Desk, data: bytes) -> None:
    status = refused(lambda: check_prescription(desk, data, Tally()))

    assert (status.code, reason_of(status)) == (code_pb2.INVALID_ARGUMENT, "MALFORMED_MESSAGE")


def test_a_request_above_its_limit_is_not_read(desk: Desk) -> None:
    data = b"\x00" * (limits.REQUEST_BYTES.value + 1)

    for work in (
        lambda: check_prescription(desk, data, Tally()),
        lambda: check_batch(desk, data, Tally(), go_on),
    ):
        status = refused(work)
        assert (status.code, reason_of(status)) == (code_pb2.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")


# --- faults ------------------------------------------------------------------------------------------------------


def broken(knowledge: Knowledge, request: CheckRequest, key: bytes) -> Decision:
    if request.patient.id == SECRET:
        raise KeyError(f"{SECRET} is quoted by this exception")
    return check(knowledge, request, key)


def test_a_fault_is_internal_and_tells_nothing_of_the_request(
    desk: Desk, faults: list[Fault], request_sent: CheckPrescriptionRequest
) -> None:
    request_sent.patient.id = SECRET
    failing = dataclasses.replace(desk, engine=broken)

    status = refused(lambda: check_prescription(failing, request_sent.SerializeToString(), Tally()))

    (fault,) = faults
    assert status.code == code_pb2.INTERNAL
    assert status.message == f"internal error {fault.error_id}"
    assert not status.details
    assert fault.type == "KeyError"
    assert fault.place.startswith("test_handlers.py:")
    assert SECRET not in f"{status}{fault}"


def test_a_fault_of_one_item_spoils_no_other(
    desk: Desk, faults: list[Fault], request_sent: CheckPrescriptionRequest
) -> None:
    bad = CheckPrescriptionRequest()
    bad.CopyFrom(request_sent)
    bad.patient.id = SECRET

    answer = batch(dataclasses.replace(desk, engine=broken), request_sent, bad, request_sent)

    assert [each.WhichOneof("outcome") for each in answer.items] == ["response", "error", "response"]
    assert answer.items[1].error.code == code_pb2.INTERNAL
    assert len(faults) == 1


# --- batches -----------------------------------------------------------------------------------------------------


def test_a_batch_is_answered_in_order_and_brief(desk: Desk, request_sent: CheckPrescriptionRequest) -> None:
    items = []
    for i in range(5):
        items.append(CheckPrescriptionRequest())
        items[-1].CopyFrom(request_sent)
        items[-1].request_id = f"item-{i}" if i != 3 else ""
    items[2].view = common_pb2.VIEW_FULL
    tally = Tally()

    answer = batch(desk, *items, tally=tally)

    assert [each.request_id for each in answer.items] == ["item-0", "item-1", "item-2", "", "item-4"]
    assert [each.response.request_id for each in answer.items] == [each.request_id for each in answer.items]
    assert [bool(each.response.decision.alerts[0].title) for each in answer.items] == [False, False, True, False, False]
    assert (tally.answers, tally.errors) == (5, 0)


def test_an_item_answers_as_if_it_were_sent_alone(desk: Desk, request_sent: CheckPrescriptionRequest) -> None:
    request_sent.view = common_pb2.VIEW_FULL
    alone = CheckPrescriptionResponse.FromString(check_prescription(desk, request_sent.SerializeToString(), Tally()))

    (item,) = batch(desk, request_sent).items

    assert item.response.decision == alone.decision


def test_a_bad_item_is_answered_by_its_own_error(desk: Desk, request_sent: CheckPrescriptionRequest) -> None:
    bad = CheckPrescriptionRequest(request_id="bad")
    bad.prescription.days_supply = -1
    tally = Tally()

    answer = batch(desk, request_sent, bad, request_sent, tally=tally)

    error = answer.items[1]
    assert error.request_id == "bad"
    assert (error.error.code, reason_of(error.error)) == (code_pb2.INVALID_ARGUMENT, "INVALID_FIELD")
    listed = error_details_pb2.BadRequest()
    error.error.details[1].Unpack(listed)
    assert [each.field for each in listed.field_violations] == [
        "items[1].prescription.medication",
        "items[1].prescription.days_supply",
    ]
    assert (tally.answers, tally.errors) == (2, 1)


def test_an_item_that_cannot_be_read_spoils_no_other(desk: Desk, request_sent: CheckPrescriptionRequest) -> None:
    good = request_sent.SerializeToString()
    data = b""
    for item in (good, b"\x0a\x02\xff\xfe", good):
        head = BatchCheckPrescriptionsRequest(items=[CheckPrescriptionRequest()]).SerializeToString()[:1]
        data += head + _length(len(item)) + item

    answer = BatchCheckPrescriptionsResponse.FromString(check_batch(desk, data, Tally(), go_on))

    assert [each.WhichOneof("outcome") for each in answer.items] == ["response", "error", "response"]
    assert reason_of(answer.items[1].error) == "MALFORMED_MESSAGE"


def _length(number: int) -> bytes:
    written = b""
    while number > 127:
        written += bytes([number & 127 | 128])
        number >>= 7
    return written + bytes([number])


def test_an_empty_batch_has_an_empty_answer(desk: Desk) -> None:
    assert batch(desk) == BatchCheckPrescriptionsResponse()


@pytest.mark.parametrize(
    ("count", "view", "most"),
    [
        (1001, common_pb2.VIEW_UNSPECIFIED, "at most 1000 items"),
        (101, common_pb2.VIEW_FULL, "100 items with VIEW_FULL"),
    ],
)
def test_a_batch_that_is_too_long_is_refused_before_any_work(
    desk: Desk, count: int, view: common_pb2.View.ValueType, most: str
) -> None:
    worked: list[CheckRequest] = []

    def count_work(knowledge: Knowledge, request: CheckRequest, key: bytes) -> Decision:
        worked.append(request)
        return check(knowledge, request, key)

    item = CheckPrescriptionRequest(view=view)
    item.prescription.medication.text = "baclofen"
    status = refused(lambda: batch(dataclasses.replace(desk, engine=count_work), *[item] * count).SerializeToString())

    assert (status.code, reason_of(status)) == (code_pb2.INVALID_ARGUMENT, "TOO_MANY_ITEMS")
    assert most in status.message
    assert not worked


def test_the_longest_batches_are_answered(desk: Desk, request_sent: CheckPrescriptionRequest) -> None:
    assert len(batch(desk, *[request_sent] * 1000).items) == 1000
    request_sent.view = common_pb2.VIEW_FULL
    assert len(batch(desk, *[request_sent] * 100).items) == 100


def test_an_answer_above_its_limit_is_refused(desk: Desk, request_sent: CheckPrescriptionRequest) -> None:
    large = dataclasses.replace(desk, encode=lambda *_: b"x" * (limits.ANSWER_BYTES.value // 2))

    data = BatchCheckPrescriptionsRequest(items=[request_sent] * 3).SerializeToString()
    status = refused(lambda: check_batch(large, data, Tally(), go_on))
    assert (status.code, reason_of(status)) == (code_pb2.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")

    larger = dataclasses.replace(desk, encode=lambda *_: b"x" * (limits.ANSWER_BYTES.value + 1))
    status = refused(lambda: check_prescription(larger, request_sent.SerializeToString(), Tally()))
    assert reason_of(status) == "MESSAGE_TOO_LARGE"


def test_the_deadline_is_looked_at_between_items(desk: Desk, request_sent: CheckPrescriptionRequest) -> None:
    tally = Tally()
    asked = 0

    def time_for_two() -> None:
        nonlocal asked
        asked += 1
        if asked > 2:
            raise deadline_exceeded()

    data = BatchCheckPrescriptionsRequest(items=[request_sent] * 9).SerializeToString()
    status = refused(lambda: check_batch(desk, data, tally, time_for_two))

    assert status.code == code_pb2.DEADLINE_EXCEEDED
    assert tally.answers == 2


# --- streams -----------------------------------------------------------------------------------------------------


def streamed(desk: Desk, data: bytes) -> StreamCheckPrescriptionsResponse:
    return StreamCheckPrescriptionsResponse.FromString(check_stream_item(desk, data, Tally()))


def test_a_stream_answers_in_full(desk: Desk, request_sent: CheckPrescriptionRequest) -> None:
    answer = streamed(desk, StreamCheckPrescriptionsRequest(item=request_sent).SerializeToString())

    assert answer.result.request_id == "article-case"
    assert answer.result.response.decision.alerts[0].title


@pytest.mark.parametrize(
    ("data", "reason", "path"),
    [
        (b"", "INVALID_FIELD", "item"),
        (b"\x0a\x00", "INVALID_FIELD", "item.prescription"),
        (b"\xff", "MALFORMED_MESSAGE", ""),
        (b"\x00" * (limits.REQUEST_BYTES.value + 1), "MESSAGE_TOO_LARGE", ""),
    ],
)
def test_a_bad_message_of_a_stream_is_answered_by_its_own_error(
    desk: Desk, data: bytes, reason: str, path: str
) -> None:
    error = streamed(desk, data).result.error

    assert reason_of(error) == reason
    if path:
        listed = error_details_pb2.BadRequest()
        error.details[1].Unpack(listed)
        assert [each.field for each in listed.field_violations] == [path]
