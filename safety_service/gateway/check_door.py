"""The contract over HTTP: a CheckPrescriptionRequest in its JSON mapping in, the answer of the gRPC handler out."""

from __future__ import annotations

import grpc

from medsafety import CheckPrescriptionRequest, CheckPrescriptionResponse, MedsafetyError
from medsafety.errors import error_of_status
from safety_service.gateway.problems import ProblemError, refused
from safety_service.request_file import UnreadableFileError, read_requests
from safety_service.server.errors import RefusedError
from safety_service.server.handlers import Desk, Tally, check_prescription

_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 413,
    grpc.StatusCode.UNAVAILABLE: 503,
}


def read_request(content: bytes) -> CheckPrescriptionRequest:
    """One request. Raises ProblemError 400 that names every member at fault."""
    if not content.lstrip().startswith(b"{"):
        raise refused(400, "structure", "the body must be a JSON object")
    try:
        requests = read_requests(content, "body.json", quote=False)
    except UnreadableFileError as error:
        raise ProblemError(400, [("value", each.reason, _member(each.field)) for each in error.violations]) from None
    if len(requests) != 1:
        raise refused(400, "structure", "one request in a call")
    return requests[0]


def _member(field: str) -> str:
    return "" if field == "body.json" else field


def answer_request(desk: Desk, request: CheckPrescriptionRequest) -> CheckPrescriptionResponse:
    """The answer. Raises ProblemError with what the handler refuses."""
    try:
        data = check_prescription(desk, request.SerializeToString(), Tally())
    except RefusedError as error:
        raise problem_of(error_of_status(error.status)) from None
    return CheckPrescriptionResponse.FromString(data)


def problem_of(error: MedsafetyError) -> ProblemError:
    """A refusal of the contract as a status of HTTP."""
    status = _STATUS.get(error.code, 500)
    if status == 500:
        return refused(500, "exception", error.message)
    if status == 503:
        return refused(503, "transient", error.message, headers={"Retry-After": "1"})
    issues: list[tuple[str, str, str]] = [("value", each.reason, each.field) for each in error.violations]
    return ProblemError(status, issues or [("processing", error.message, "")])
