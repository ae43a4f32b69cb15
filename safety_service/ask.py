"""The same question, answered in this process or by a server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from medsafety import CheckPrescriptionRequest, CheckPrescriptionResponse, ItemError, MedsafetyClient, MedsafetyError
from medsafety.errors import error_of_status
from medsafety.v1.medication_safety_service_pb2 import CheckResult
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server.encode_fast import FastEncoder
from safety_service.server.errors import DOMAIN, RefusedError
from safety_service.server.handlers import Desk, Fault, Tally, check_prescription

Answer: TypeAlias = CheckPrescriptionResponse | ItemError
# What says nothing about the request: the way to the server, or its time.
UNREACHABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def ask_here(knowledge: Knowledge, key: bytes, requests: Sequence[CheckPrescriptionRequest]) -> Iterator[Answer]:
    """Answers in this process, through the handler of a server, bytes in and out. `key` is that of the fingerprints.

    What is refused, or fails, is an ItemError; nothing is raised.
    """
    faults: list[Fault] = []
    desk = Desk(knowledge, check, FastEncoder(knowledge).response, key, faults.append)
    for index, request in enumerate(requests):
        try:
            data = check_prescription(desk, request.SerializeToString(), Tally())
        except RefusedError as refused:
            error = error_of_status(refused.status)
            if faults:
                fault = faults.pop()
                error = MedsafetyError(error.code, error.reason, f"{error.message}: {fault.type} at {fault.place}")
            yield ItemError(index, request.request_id, error)
        else:
            yield CheckPrescriptionResponse.FromString(data)


def ask_server(client: MedsafetyClient, requests: Sequence[CheckPrescriptionRequest]) -> Iterator[Answer]:
    """Answers of a server: one call for one request, a stream for several.

    Raises MedsafetyError when the server cannot be reached or ends the stream.
    """
    if len(requests) != 1:
        yield from client.check_stream(requests)
        return
    try:
        yield client.check(requests[0])
    except MedsafetyError as error:
        if error.code in UNREACHABLE:
            raise
        yield ItemError(0, requests[0].request_id, error)


def as_result(answer: Answer) -> CheckResult:
    """The answer as it would stand in a batch."""
    if not isinstance(answer, ItemError):
        return CheckResult(request_id=answer.request_id, response=answer)
    status = Status(code=answer.code.value[0], message=answer.message)
    if answer.reason:
        status.details.add().Pack(ErrorInfo(reason=answer.reason, domain=DOMAIN))
    if answer.violations:
        found = [BadRequest.FieldViolation(field=each.field, description=each.reason) for each in answer.violations]
        status.details.add().Pack(BadRequest(field_violations=found))
    return CheckResult(request_id=answer.request_id, error=status)
