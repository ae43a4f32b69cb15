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
from typing import TypeAlias, TypeVar

from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2

from medsafety.internal.v1 import wire_pb2
from medsafety.v1 import common_pb2, medication_safety_service_pb2
from safety_service.domain import CheckRequest, Decision, View
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server import limits
from safety_service.server.decode import InvalidRequestError, decode, prefixed
from safety_service.server.encode import uuid4_bytes
from safety_service.server.errors import Reason, RefusedError, internal, invalid, malformed, refusal, too_large

Sent = medication_safety_service_pb2.CheckPrescriptionRequest
M = TypeVar("M", bound=Message)
T = TypeVar("T")

Engine: TypeAlias = Callable[[Knowledge, CheckRequest, bytes], Decision]

_NS_PER_DAY = 86_400 * 1_000_000_000


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
    CheckPrescriptionResponse; `report` takes faults; `now_ns` is the clock; `random` gives so many random bytes.
    """

    knowledge: Knowledge
    engine: Engine
    encode: Callable[[Decision, View, str, bytes, int], bytes]
    fingerprint_key: bytes
    report: Callable[[Fault], None]
    now_ns: Callable[[], int] = time.time_ns
    random: Callable[[int], bytes] = os.urandom


@dataclass(slots=True)
class Tally:
    """What the log tells of a call's answers; nothing of a patient. `overall` is that of a single answer."""

    answers: int = 0
    errors: int = 0
    alerts: int = 0
    overall: str = ""


# --- one prescription --------------------------------------------------------------------------------------------


def check_prescription(desk: Desk, data: bytes, tally: Tally) -> bytes:
    """CheckPrescription. Raises RefusedError."""
    sent = parsed(Sent, data)
    answer = guarded(desk, lambda: _check(desk, sent, View.FULL, "", tally))
    if len(answer) > limits.ANSWER_BYTES.value:
        raise too_large("the answer", len(answer), limits.ANSWER_BYTES.value)
    return answer


def _check(desk: Desk, sent: Sent, default_view: View, prefix: str, tally: Tally) -> bytes:
    """A serialised CheckPrescriptionResponse. Paths of violations start with `prefix`."""
    now_ns = desk.now_ns()
    try:
        request = decode(sent, now_ns // _NS_PER_DAY)
    except InvalidRequestError as error:
        raise invalid(prefixed(error.violations, prefix), error.only_too_many) from None
    knowledge = desk.knowledge
    if sent.policy and sent.policy != knowledge.policy.id:
        raise refusal(Reason.UNKNOWN_POLICY, "no such policy; GetKnowledge lists those there are")
    if sent.expected_knowledge_digest and sent.expected_knowledge_digest != knowledge.digest:
        in_use = {"knowledge_digest": knowledge.digest}
        raise refusal(Reason.KNOWLEDGE_MISMATCH, "the knowledge in use has another digest", metadata=in_use)
    decision = desk.engine(knowledge, request, desk.fingerprint_key)
    tally.answers += 1
    tally.alerts += len(decision.alerts)
    tally.overall = decision.overall.name
    view = View(sent.view) if sent.view else default_view
    return desk.encode(decision, view, sent.request_id, uuid4_bytes(desk.random(16)), now_ns)


# --- many prescriptions ------------------------------------------------------------------------------------------


def check_batch(desk: Desk, data: bytes, tally: Tally, may_go_on: Callable[[], None]) -> bytes:
    """BatchCheckPrescriptions. Raises RefusedError for the whole batch; `may_go_on` does so between items."""
    # A batch request has the shape of this twin: its items stay bytes, so that one that cannot be read spoils no other.
    sent = parsed(wire_pb2.BatchCheckPrescriptionsResponseParts, data).items
    if len(sent) > limits.BATCH_ITEMS.value:
        raise invalid([("items", f"at most {limits.BATCH_ITEMS.value} items")], True)
    requests = [_item(each) for each in sent]
    full = sum(each is not None and each.view == common_pb2.VIEW_FULL for each in requests)
    if full > limits.BATCH_FULL_ITEMS.value:
        raise invalid([("items", f"at most {limits.BATCH_FULL_ITEMS.value} items with VIEW_FULL")], True)
    results: list[bytes] = []
    size = 0
    for i, request in enumerate(requests):
        may_go_on()
        results.append(_result(desk, request, View.BRIEF, f"items[{i}].", tally))
        size += len(results[-1]) + 4
        if size > limits.ANSWER_BYTES.value:
            raise too_large("the answer", size, limits.ANSWER_BYTES.value)
    return wire_pb2.BatchCheckPrescriptionsResponseParts(items=results).SerializeToString()


def check_stream_item(desk: Desk, data: bytes, tally: Tally) -> bytes:
    """The answer to one message of StreamCheckPrescriptions; a refusal is an answer too."""
    try:
        sent = parsed(medication_safety_service_pb2.StreamCheckPrescriptionsRequest, data)
        if not sent.HasField("item"):
            raise invalid([("item", "required")], False)
    except RefusedError as refused:
        result = _error_result("", refused.status, tally)
    else:
        result = _result(desk, sent.item, View.FULL, "item.", tally)
    return wire_pb2.StreamCheckPrescriptionsResponseParts(result=result).SerializeToString()


def _item(data: bytes) -> Sent | None:
    """An item of a batch, None when it cannot be read."""
    try:
        return Sent.FromString(data)
    except DecodeError:
        return None


def _result(desk: Desk, sent: Sent | None, default_view: View, prefix: str, tally: Tally) -> bytes:
    """A serialised CheckResult; `sent` None is an item that could not be read."""
    if sent is None:
        return _error_result("", malformed().status, tally)
    try:
        answer = guarded(desk, lambda: _check(desk, sent, default_view, prefix, tally))
    except RefusedError as refused:
        return _error_result(sent.request_id, refused.status, tally)
    head = medication_safety_service_pb2.CheckResult(request_id=sent.request_id).SerializeToString()
    return head + wire_pb2.CheckResultParts(response=answer).SerializeToString()


def _error_result(request_id: str, error: status_pb2.Status, tally: Tally) -> bytes:
    tally.errors += 1
    echo = request_id[: limits.REQUEST_ID.value]
    return medication_safety_service_pb2.CheckResult(request_id=echo, error=error).SerializeToString()


# --- for every handler -------------------------------------------------------------------------------------------


def parsed(message: type[M], data: bytes) -> M:
    """The message of these bytes. Raises RefusedError when they are too many or are not one."""
    if len(data) > limits.REQUEST_BYTES.value:
        raise too_large("the request", len(data), limits.REQUEST_BYTES.value)
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
        last = traceback.extract_tb(error.__traceback__)[-1]
        fault = Fault(desk.random(4).hex(), type(error).__name__, f"{os.path.basename(last.filename)}:{last.lineno}")
        desk.report(fault)
        raise internal(fault.error_id) from None
