"""A real server in this process on a free port, and what the tests of the contract ask it with."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from medsafety.v1.knowledge_service_pb2_grpc import KnowledgeServiceStub
from medsafety.v1.medication_safety_service_pb2 import CheckPrescriptionRequest
from medsafety.v1.medication_safety_service_pb2_grpc import MedicationSafetyServiceStub
from safety_service.demo import ARTICLE_CASE
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import load_knowledge
from safety_service.server.access_log import open_log
from safety_service.server.serve import Serving, start
from safety_service.server.settings import Settings

M = TypeVar("M", bound=Message)


@pytest.fixture(scope="session")
def knowledge() -> Knowledge:
    return load_knowledge()


@pytest.fixture
def request_sent() -> CheckPrescriptionRequest:
    """The article's case, to be changed at will."""
    return json_format.Parse(ARTICLE_CASE.read_bytes(), CheckPrescriptionRequest())


@pytest.fixture(scope="session")
def log_lines() -> io.StringIO:
    """What the shared server has logged."""
    return io.StringIO()


@pytest.fixture(scope="session")
def serving(knowledge: Knowledge, log_lines: io.StringIO) -> Iterator[Serving]:
    """The shared server; a test that stops or burdens it starts its own."""
    server = start(Settings(listen="127.0.0.1:0"), knowledge, open_log("info", "json", log_lines))
    yield server
    server.server.stop(None).wait()


@pytest.fixture(scope="session")
def channel(serving: Serving) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(serving.address) as opened:
        yield opened


@pytest.fixture(scope="session")
def checks(channel: grpc.Channel) -> MedicationSafetyServiceStub:
    return MedicationSafetyServiceStub(channel)


@pytest.fixture(scope="session")
def shows(channel: grpc.Channel) -> KnowledgeServiceStub:
    return KnowledgeServiceStub(channel)


@pytest.fixture(scope="session")
def raw(channel: grpc.Channel) -> Callable[[bytes], bytes]:
    """CheckPrescription by a client that knows nothing of messages."""
    call: Any = channel.unary_unary("/medsafety.v1.MedicationSafetyService/CheckPrescription")
    return lambda data: call(data, timeout=30)


@pytest.fixture(scope="session")
def raw_batch(channel: grpc.Channel) -> Callable[[bytes], bytes]:
    """BatchCheckPrescriptions by such a client."""
    call: Any = channel.unary_unary("/medsafety.v1.MedicationSafetyService/BatchCheckPrescriptions")
    return lambda data: call(data, timeout=30)


class Refusal:
    """An error as a client sees it."""

    def __init__(self, error: Any) -> None:
        self.code: grpc.StatusCode = error.code()
        self.message: str = error.details() or ""
        self.status = rpc_status.from_call(error)

    def detail(self, kind: type[M]) -> M | None:
        for each in self.status.details if self.status is not None else ():
            unpacked = kind()
            if each.Unpack(unpacked):
                return unpacked
        return None

    @property
    def reason(self) -> str:
        info = self.detail(error_details_pb2.ErrorInfo)
        return "" if info is None else info.reason

    @property
    def violations(self) -> dict[str, str]:
        bad = self.detail(error_details_pb2.BadRequest)
        return {} if bad is None else {each.field: each.description for each in bad.field_violations}


@pytest.fixture
def refused() -> Callable[[Callable[[], Any]], Refusal]:
    """Calls, and gives the error that came back."""

    def call(work: Callable[[], Any]) -> Refusal:
        with pytest.raises(grpc.RpcError) as raised:
            work()
        return Refusal(raised.value)

    return call


@pytest.fixture
def server_process() -> Callable[..., Any]:
    """Starts a server in a process of its own: (process, address, its first log lines)."""

    @contextmanager
    def run(*flags: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
        command = [sys.executable, "-m", "safety_service", "serve", "--listen", "127.0.0.1:0", *flags]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **environment}
        )
        assert process.stdout is not None
        try:
            address = ""
            for line in process.stdout:
                said = json.loads(line)
                if said["event"] == "serving":
                    address = said["address"]
                    break
            assert address, "the server did not start"
            yield process, address
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()

    return run
