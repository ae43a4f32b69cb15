"""What can go wrong with a call or with one prescription of many, as typed errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from medsafety.v1.medication_safety_service_pb2 import CheckPrescriptionResponse, CheckResult

RpcFailure: TypeAlias = "grpc.Call | grpc.aio.AioRpcError"

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with a request: `field` is a path such as `prescription.dose_quantity.value`."""

    field: str
    reason: str


class MedsafetyError(Exception):
    """A call was not answered. An alert is an answer, never an error.

    Attributes:
        code: The gRPC status. `UNAVAILABLE` and `DEADLINE_EXCEEDED` speak of the way to the server; the
            others of the request.
        reason: The service's own word for it, from the table in `medication_safety_service.proto`
            ("INVALID_FIELD", "KNOWLEDGE_MISMATCH"). Empty: the error does not come from the service itself.
        message: One sentence for people; it holds no patient data.
        violations: Every impossible value of the request, by path. Empty unless `reason` is "INVALID_FIELD".
        retry_after_seconds: How long the server asks to wait. None: it does not say.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        violations: tuple[Violation, ...] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(code, reason, message, violations, retry_after_seconds)
        self.code = code
        self.reason = reason
        self.message = message
        self.violations = violations
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        lines = [f"{self.reason or self.code.name}: {self.message}"]
        lines += [f"  {each.field}: {each.reason}" for each in self.violations]
        return "\n".join(lines)


class ItemError(MedsafetyError):
    """One prescription of a batch or stream was not answered; the others were.

    It stands in the place of the answer and is not raised. Paths in `violations` begin as in the message that was
    sent: `items[3].prescription.refills` in a batch, `item.prescription.refills` in a stream.

    Attributes:
        index: Its place among the requests, from 0.
        request_id: As sent in the item. Empty: none was sent.
    """

    def __init__(self, index: int, request_id: str, error: MedsafetyError) -> None:
        super().__init__(error.code, error.reason, error.message, error.violations, error.retry_after_seconds)
        self.index = index
        self.request_id = request_id
        self.args = (index, request_id, error)


def error_of_status(status: Status) -> MedsafetyError:
    """The error that a google.rpc.Status tells of; what this version does not know in it is left out."""
    reason = ""
    violations: tuple[Violation, ...] = ()
    retry_after: float | None = None
    for detail in status.details:
        match _unpacked(detail):
            case ErrorInfo(reason=reason):
                pass
            case BadRequest(field_violations=found):
                violations = tuple(Violation(each.field, each.description) for each in found)
            case RetryInfo(retry_delay=delay):
                retry_after = delay.ToTimedelta().total_seconds()
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    return MedsafetyError(code, reason, status.message, violations, retry_after)


def answer_or_error(index: int, result: CheckResult) -> CheckPrescriptionResponse | ItemError:
    """The answer to item `index` of many, or why there is none."""
    if result.HasField("response"):
        return result.response
    if result.HasField("error"):
        return ItemError(index, result.request_id, error_of_status(result.error))
    neither = MedsafetyError(grpc.StatusCode.UNKNOWN, "", "the server sent neither an answer nor an error")
    return ItemError(index, result.request_id, neither)


def error_of_call(failed: RpcFailure) -> MedsafetyError:
    """The error that a failed call tells of, with its details where the server sent any."""
    for key, value in failed.trailing_metadata() or ():
        if key == _DETAILS_KEY:
            try:
                return error_of_status(Status.FromString(value if isinstance(value, bytes) else value.encode()))
            except DecodeError:
                break  # a proxy's, perhaps: the plain status still stands
    return MedsafetyError(failed.code(), "", failed.details() or "no details")


def _unpacked(detail: Any) -> ErrorInfo | BadRequest | RetryInfo | None:
    for kind in (ErrorInfo, BadRequest, RetryInfo):
        if detail.Is(kind.DESCRIPTOR):
            found = kind()
            try:
                detail.Unpack(found)
            except DecodeError:
                return None
            return found
    return None
