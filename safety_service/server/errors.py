"""What a refusal looks like: google.rpc.Status with ErrorInfo and, where fields are at fault, BadRequest.

The reasons and their codes are those of the table in `medication_safety_service.proto`. No text here repeats anything
that was sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from safety_service.server.limits import VIOLATION_BYTES

DOMAIN = "medsafety"
CODE_NAMES: Mapping[int, str] = {number: name for name, number in code_pb2.Code.items()}


class Reason(Enum):
    """Why a call or an item was refused; the value is the code of google.rpc."""

    def __init__(self, code: int, name: str) -> None:
        self.code = code
        self.text = name

    INVALID_FIELD = (code_pb2.INVALID_ARGUMENT, "INVALID_FIELD")
    MALFORMED_MESSAGE = (code_pb2.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
    TOO_MANY_ITEMS = (code_pb2.INVALID_ARGUMENT, "TOO_MANY_ITEMS")
    MESSAGE_TOO_LARGE = (code_pb2.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
    UNKNOWN_POLICY = (code_pb2.NOT_FOUND, "UNKNOWN_POLICY")
    KNOWLEDGE_MISMATCH = (code_pb2.FAILED_PRECONDITION, "KNOWLEDGE_MISMATCH")
    NOT_FOUND = (code_pb2.NOT_FOUND, "NOT_FOUND")
    BAD_PAGE_TOKEN = (code_pb2.INVALID_ARGUMENT, "BAD_PAGE_TOKEN")
    STALE_PAGE_TOKEN = (code_pb2.FAILED_PRECONDITION, "STALE_PAGE_TOKEN")
    CREDENTIALS_MISSING = (code_pb2.UNAUTHENTICATED, "CREDENTIALS_MISSING")
    CREDENTIALS_INVALID = (code_pb2.UNAUTHENTICATED, "CREDENTIALS_INVALID")
    SCOPE_MISSING = (code_pb2.PERMISSION_DENIED, "SCOPE_MISSING")
    RATE_EXCEEDED = (code_pb2.RESOURCE_EXHAUSTED, "RATE_EXCEEDED")
    OVERLOADED = (code_pb2.RESOURCE_EXHAUSTED, "OVERLOADED")
    DRAINING = (code_pb2.UNAVAILABLE, "DRAINING")
    NOT_RECORDED = (code_pb2.UNAVAILABLE, "NOT_RECORDED")
    NOT_KEPT = (code_pb2.FAILED_PRECONDITION, "NOT_KEPT")
    INDEX_UNAVAILABLE = (code_pb2.UNAVAILABLE, "INDEX_UNAVAILABLE")


class RefusedError(Exception):
    """A call or an item that is not answered; `status` says why."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status


def refusal(
    reason: Reason,
    message: str,
    *,
    violations: Sequence[tuple[str, str]] = (),
    metadata: Mapping[str, str] | None = None,
    retry_ms: int | None = None,
) -> RefusedError:
    """The error to raise. `violations` are (path, reason); those that do not fit are counted in the metadata."""
    told: dict[str, str] = dict(metadata or {})
    bad_request = error_details_pb2.BadRequest()
    room = VIOLATION_BYTES.value
    for path, why in violations:
        room -= len(path) + len(why) + 8
        if room < 0:
            break
        bad_request.field_violations.add(field=path, description=why)
    if violations:
        told["violations"] = str(len(violations))
        told["violations_listed"] = str(len(bad_request.field_violations))
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=reason.text, domain=DOMAIN, metadata=told)]
    if violations:
        details.append(bad_request)
    if retry_ms is not None:
        wait = Duration(seconds=retry_ms // 1000, nanos=retry_ms % 1000 * 1_000_000)
        details.append(error_details_pb2.RetryInfo(retry_delay=wait))
    return RefusedError(status_pb2.Status(code=reason.code, message=message, details=[_any(each) for each in details]))


def invalid(violations: Sequence[tuple[str, str]], only_too_many: bool) -> RefusedError:
    """Fields at fault: all of them, the first one also in the message."""
    path, why = violations[0]
    others = len(violations) - 1
    more = "" if not others else " (and one more)" if others == 1 else f" (and {others} more)"
    reason = Reason.TOO_MANY_ITEMS if only_too_many else Reason.INVALID_FIELD
    return refusal(reason, f"{path}: {why}{more}", violations=violations)


def malformed() -> RefusedError:
    """Bytes that are not the message, or text that is not UTF-8."""
    return refusal(Reason.MALFORMED_MESSAGE, "the bytes are not this message, or a text in it is not UTF-8")


def too_large(what: str, size: int, most: int) -> RefusedError:
    """A request or an answer above its limit."""
    metadata = {"bytes": str(size), "limit": str(most)}
    return refusal(Reason.MESSAGE_TOO_LARGE, f"{what} has {size:,} bytes; the limit is {most:,}", metadata=metadata)


def internal(error_id: str) -> RefusedError:
    """A fault of the service. The log knows type and place of `error_id`, nothing of the request."""
    return RefusedError(status_pb2.Status(code=code_pb2.INTERNAL, message=f"internal error {error_id}"))


def deadline_exceeded() -> RefusedError:
    """No time is left to answer."""
    return RefusedError(status_pb2.Status(code=code_pb2.DEADLINE_EXCEEDED, message="no time left before the deadline"))


def cancelled() -> RefusedError:
    """The client has gone; nobody will read this."""
    return RefusedError(status_pb2.Status(code=code_pb2.CANCELLED, message="cancelled by the client"))


def draining() -> RefusedError:
    """The server is stopping; another one may answer at once."""
    return refusal(Reason.DRAINING, "the server is stopping; retry reaches another one", retry_ms=0)


def _any(message: Message) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed
