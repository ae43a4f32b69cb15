"""A server without knowledge: it answers what the test tells it to, and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass, field

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from medsafety.v1.feedback_service_pb2_grpc import FeedbackServiceServicer, add_FeedbackServiceServicer_to_server
from medsafety.v1.knowledge_service_pb2_grpc import (
    KnowledgeServiceServicer,
    add_KnowledgeServiceServicer_to_server,
)
from medsafety.v1.medication_safety_service_pb2_grpc import (
    MedicationSafetyServiceServicer,
    add_MedicationSafetyServiceServicer_to_server,
)

Answer = Callable[..., object]


def invalid(*violations: tuple[str, str]) -> Status:
    """The status by which the service refuses values."""
    status = Status(code=grpc.StatusCode.INVALID_ARGUMENT.value[0], message="2 values are not possible")
    bad = BadRequest()
    for path, reason in violations:
        bad.field_violations.add(field=path, description=reason)
    for detail in (ErrorInfo(reason="INVALID_FIELD", domain="medsafety"), bad):
        packed: Any = status.details.add()
        packed.Pack(detail)
    return status


def abort_with(status: Status, context: grpc.ServicerContext) -> None:
    context.abort_with_status(rpc_status.to_status(status))


@dataclass
class Fake:
    """`answers[method]` is called with the request (or the iterator of requests) and the context."""

    target: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    seconds_left: list[float | None] = field(default_factory=list)
    asked: list[Message] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)  # the token of each call
    release: threading.Event = field(default_factory=threading.Event)  # for answers that wait; set at the end

    def answer(self, method: str, request: object, context: grpc.ServicerContext) -> object:
        self.calls.append(method)
        self.seconds_left.append(context.time_remaining())
        self.shown += [str(value) for key, value in context.invocation_metadata() or () if key == "authorization"]
        if isinstance(request, Message):
            copy = type(request)()
            copy.CopyFrom(request)
            self.asked.append(copy)
        return self.answers[method](request, context)


def _methods(servicer: type, fake: Fake) -> object:
    """A servicer each of whose methods asks the fake."""

    def method(name: str) -> Answer:
        return lambda self, request, context: fake.answer(name, request, context)

    names = [name for name in vars(servicer) if not name.startswith("_")]
    return type(servicer.__name__, (servicer,), {name: method(name) for name in names})()


def serve(fake: Fake, credentials: grpc.ServerCredentials | None = None) -> grpc.Server:
    """Starts on a free port and tells the fake its address."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    services = (MedicationSafetyServiceServicer, KnowledgeServiceServicer, FeedbackServiceServicer)
    checks, knowledge, feedback = (_methods(each, fake) for each in services)
    add_MedicationSafetyServiceServicer_to_server(checks, server)  # type: ignore[arg-type]
    add_KnowledgeServiceServicer_to_server(knowledge, server)  # type: ignore[arg-type]
    add_FeedbackServiceServicer_to_server(feedback, server)  # type: ignore[arg-type]
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    fake.target = f"127.0.0.1:{port}"
    server.start()
    return server
