"""One function for each check: bytes of a request in, bytes of an answer out. Nothing here knows gRPC.

A refusal is raised as RefusedError; in a batch or stream the refusal of an item becomes that item's answer. Whatever
else the engine may raise becomes INTERNAL here, so that nothing of a patient leaves by the text of an exception.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, TypeVar

from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2

from medsafety.internal.v1 import wire_pb2
from medsafety.v1 import medication_safety_service_pb2
from safety_service.decisions.log import DecisionLog
from safety_service.decisions.records import Answered
from safety_service.decisions.segment import CannotWriteError
from safety_service.domain import CheckRequest, Decision, View
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server import limits
from safety_service.server.decode import InvalidRequestError, Received, decode, prefixed
from safety_service.server.encode import uuid4_bytes
from safety_service.server.errors import Reason, RefusedError, internal, invalid, malformed, refusal, too_large

Sent = medication_safety_service_pb2.CheckPrescriptionRequest
M = TypeVar("M", bound=Message)
T = TypeVar("T")

Engine: TypeAlias = Callable[[Knowledge, CheckRequest, bytes], Decision]

NS_PER_DAY = 86_400 * 1_000_000_000
RETRY_RECORD_MS = 1_000
NOT_LOGGED = medication_safety_service_pb2.CheckPrescriptionResponse(not_logged=True).SerializeToString()


@dataclass(frozen=True, slots=True)
class Fault:
    """An exception that nobody expected: its type and place, never its text, which could quote a request."""

    error_id: str
    type: str
    place: str


@dataclass(frozen=True, slots=True)
class Desk:
    """What the handlers answer from.

    `engine` decides; `encode` writes (decision, view, request_id, decision_id, nanoseconds since 1970) as a serialised
    CheckPrescriptionResponse; `report` takes faults; `now_ns` is the clock; `random` gives so many random bytes;
    `decisions` keeps each decision before it is answered, None: nothing is kept.
    """

    knowledge: Knowledge
    engine: Engine
    encode: Callable[[Decision, View, str, bytes, int], bytes]
    fingerprint_key: bytes
    report: Callable[[Fault], None]
    now_ns: Callable[[], int] = time.time_ns
    random: Callable[[int], bytes] = os.urandom
    decisions: DecisionLog | None = None


@dataclass(slots=True)
class Tally:
    """What the log tells of a call's answers; nothing of a patient. `overall` is that of a single answer.

    `caller` is who asked, "" where the server is open; `charge` is told how many items a batch has.
    """

    answers: int = 0
    errors: int = 0
    alerts: int = 0
    overall: str = ""
    caller: str = ""  # who asked, by the name of its credential; "" where none is asked for
    charge: Callable[[int], None] = lambda items: None


# --- one prescription --------------------------------------------------------------------------------------------


def check_prescription(desk: Desk, data: bytes, tally: Tally) -> bytes:
    """CheckPrescription. Raises RefusedError."""
    _small_enough(data)
    answer = guarded(desk, lambda: _answer(desk, _received(desk, data, ""), View.FULL, tally, data))
    if len(answer) > limits.ANSWER_BYTES.value:
        raise too_large("the answer", len(answer), limits.ANSWER_BYTES.value)
    return answer


def _received(desk: Desk, data: bytes, prefix: str) -> Received:
    """A serialised CheckPrescriptionRequest, understood. Paths of violations start with `prefix`."""
    sent = _parsed(Sent, data)
    try:
        return decode(sent, desk.now_ns() // NS_PER_DAY)
    except InvalidRequestError as error:
        raise invalid(prefixed(error.violations, prefix), error.only_too_many) from None


def _answer(desk: Desk, received: Received, default_view: View, tally: Tally, data: bytes) -> bytes:
    """A serialised CheckPrescriptionResponse; `data` is what was received."""
    began = time.perf_counter_ns()
    knowledge = desk.knowledge
    if received.policy and received.policy != knowledge.policy.id:
        raise refusal(Reason.UNKNOWN_POLICY, "no such policy; GetKnowledge lists those there are")
    if received.knowledge_digest and received.knowledge_digest != knowledge.digest:
        in_use = {"knowledge_digest": knowledge.digest}
        raise refusal(Reason.KNOWLEDGE_MISMATCH, "the knowledge in use has another digest", metadata=in_use)
    decision = desk.engine(knowledge, received.request, desk.fingerprint_key)
    tally.answers += 1
    tally.alerts += len(decision.alerts)
    tally.overall = decision.overall.name
    decision_id = uuid4_bytes(desk.random(16))
    now = desk.now_ns()
    answer = desk.encode(decision, received.view or default_view, received.request_id, decision_id, now)
    if desk.decisions is None:
        return answer
    answered = Answered(decision, decision_id, now, (time.perf_counter_ns() - began) // 1000)
    return answer if kept(desk, desk.decisions, received.request, answered, tally.caller, data) else answer + NOT_LOGGED


def kept(
    desk: Desk, decisions: DecisionLog, request: CheckRequest, answered: Answered, caller: str, data: bytes
) -> bool:
    """Whether the decision is on record now. Raises RefusedError where nothing may be answered that is not."""
    try:
        decisions.keep(desk.knowledge, caller, data, request, answered)
    except Exception as error:  # a record that cannot be made is a record that cannot be written
        if not isinstance(error, CannotWriteError):
            desk.report(_fault(desk, error))
        if decisions.required:
            message = "the decision could not be recorded, and this server answers nothing that is not"
            raise refusal(Reason.NOT_RECORDED, message, retry_ms=RETRY_RECORD_MS) from None
        return False
    return True


# --- many prescriptions ------------------------------------------------------------------------------------------


def check_batch(desk: Desk, data: bytes, tally: Tally, may_go_on: Callable[[], None]) -> bytes:
    """BatchCheckPrescriptions. Raises RefusedError for the whole batch; `may_go_on` does so between items."""
    # A batch request has the shape of this twin: its items stay bytes, so that one that cannot be read spoils no other.
    sent = parsed(wire_pb2.BatchCheckPrescriptionsResponseParts, data).items
    if len(sent) > limits.BATCH_ITEMS.value:
        raise invalid([("items", f"at most {limits.BATCH_ITEMS.value} items")], True)
    tally.charge(len(sent))
    items = [_item(desk, each, f"items[{i}].") for i, each in enumerate(sent)]
    full = sum(isinstance(each, Received) and each.view is View.FULL for each in items)
    if full > limits.BATCH_FULL_ITEMS.value:
        raise invalid([("items", f"at most {limits.BATCH_FULL_ITEMS.value} items with VIEW_FULL")], True)
    results: list[bytes] = []
    size = 0
    for item, each in zip(items, sent, strict=True):
        may_go_on()
        results.append(_result(desk, item, View.BRIEF, tally, each))
        size += len(results[-1]) + 4
        if size > limits.ANSWER_BYTES.value:
            raise too_large("the answer", size, limits.ANSWER_BYTES.value)
    return wire_pb2.BatchCheckPrescriptionsResponseParts(items=results).SerializeToString()


def check_stream_item(desk: Desk, data: bytes, tally: Tally) -> bytes:
    """The answer to one message of StreamCheckPrescriptions; a refusal is an answer too."""
    item: Received | _Refused
    told = b""
    try:
        sent = parsed(medication_safety_service_pb2.StreamCheckPrescriptionsRequest, data)
        if not sent.HasField("item"):
            raise invalid([("item", "required")], False)
    except RefusedError as refused:
        item = _Refused("", refused.status)
    else:
        told = sent.item.SerializeToString()
        item = _item(desk, told, "item.")
    result = _result(desk, item, View.FULL, tally, told)
    return wire_pb2.StreamCheckPrescriptionsResponseParts(result=result).SerializeToString()


class _Refused(NamedTuple):
    """An item that is not answered."""

    request_id: str
    error: status_pb2.Status


def _item(desk: Desk, data: bytes, prefix: str) -> Received | _Refused:
    """An item of a batch or stream, understood or refused."""
    try:
        return guarded(desk, lambda: _received(desk, data, prefix))
    except RefusedError as refused:
        return _Refused(_echo(data), refused.status)


def _echo(data: bytes) -> str:
    """The request id of an item that is refused, if it can be read."""
    try:
        return Sent.FromString(data).request_id[: limits.REQUEST_ID.value]
    except DecodeError:
        return ""


def _result(desk: Desk, item: Received | _Refused, default_view: View, tally: Tally, data: bytes) -> bytes:
    """A serialised CheckResult; `data` is what was received."""
    if isinstance(item, Received):
        try:
            received = item
            answer = guarded(desk, lambda: _answer(desk, received, default_view, tally, data))
        except RefusedError as refused:
            item = _Refused(item.request_id, refused.status)
        else:
            head = medication_safety_service_pb2.CheckResult(request_id=item.request_id).SerializeToString()
            return head + wire_pb2.CheckResultParts(response=answer).SerializeToString()
    tally.errors += 1
    return medication_safety_service_pb2.CheckResult(request_id=item.request_id, error=item.error).SerializeToString()


# --- for every handler -------------------------------------------------------------------------------------------


def parsed(message: type[M], data: bytes) -> M:
    """The message of these bytes. Raises RefusedError when they are too many or are not one."""
    _small_enough(data)
    return _parsed(message, data)


def _small_enough(data: bytes) -> None:
    if len(data) > limits.REQUEST_BYTES.value:
        raise too_large("the request", len(data), limits.REQUEST_BYTES.value)


def _parsed(message: type[M], data: bytes) -> M:
    try:
        return message.FromString(data)
    except DecodeError:
        raise malformed() from None


def guarded(desk: Desk, work: Callable[[], T]) -> T:
    """The result of `work`. Any exception but RefusedError is reported and becomes INTERNAL."""
    try:
        return work()
    except RefusedError:
        raise
    except Exception as error:  # the last line of defence: nothing may pass
        fault = _fault(desk, error)
        desk.report(fault)
        raise internal(fault.error_id) from None


def _fault(desk: Desk, error: Exception) -> Fault:
    return fault_of(error, desk.random)


def fault_of(error: Exception, random: Callable[[int], bytes] = os.urandom) -> Fault:
    """What may be told of an exception that was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return Fault(random(4).hex(), type(error).__name__, f"{os.path.basename(last.filename)}:{last.lineno}")
