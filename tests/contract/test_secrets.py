"""Markers in every field of every request, in metadata and in credentials: nothing that the processes emit has them.

What is answered to the caller itself may repeat what it sent, by contract; errors, logs, both outputs, metrics, traces
and what operators are shown may not.
"""

import copy
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from medsafety.v1 import feedback_service_pb2, knowledge_service_pb2
from medsafety.v1.medication_safety_service_pb2 import (
    BatchCheckPrescriptionsRequest,
    BatchCheckPrescriptionsResponse,
    CheckPrescriptionRequest,
    StreamCheckPrescriptionsRequest,
    StreamCheckPrescriptionsResponse,
)
from safety_service.server.knowledge_handlers import METHODS
from tests.access.shown import AUDIENCE, ISSUER, caller, callers_file, claims, jwks_file, tampered, token
from tests.gateway.calls import SERVICE, call
from tests.gateway.test_fhir_check import parameters

TEXT = "Qz7MarkedPatientXv"
NUMBER = 739_173_917
MARKERS = (TEXT, str(NUMBER), "739173917.5", "7.39173917")
SOON = 30
CHECKS = "/medsafety.v1.MedicationSafetyService"
KNOWLEDGE = "/medsafety.v1.KnowledgeService"
FEEDBACK = "/medsafety.v1.FeedbackService"
DEEPEST = 8

Fields = tuple[FieldDescriptor, ...]


def paths(of: Descriptor, above: Fields = ()) -> Iterator[Fields]:
    """Every field that a message can hold, as the way to it."""
    for each in of.fields:
        way = (*above, each)
        if each.message_type is None:
            yield way
        elif len(way) < DEEPEST:
            yield from paths(each.message_type, way)


def planted(message: Message, way: Fields) -> None:
    """Set the field at the end of the way to a marker of its type; lists get one more."""
    at: Any = message
    for each in way[:-1]:
        at = getattr(at, each.name)
        at = at.add() if each.is_repeated else at
    last = way[-1]
    marker = _marker(last)
    if last.is_repeated:
        getattr(at, last.name).append(marker)
    else:
        setattr(at, last.name, marker)


def _marker(field: FieldDescriptor) -> Any:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return TEXT if field.type == FieldDescriptor.TYPE_STRING else TEXT.encode()
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return True
    if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return NUMBER + 0.5
    return NUMBER


def leaks(text: str) -> list[str]:
    return [each for each in MARKERS if each in text]


def address_of(event: str, out: Path) -> str:
    """The address that a process has logged with this event; empty before it has."""
    lines = [line for line in out.read_text().splitlines(keepends=True) if line.endswith("}\n")]
    return next((str(json.loads(line)["address"]) for line in lines if f'"{event}"' in line), "")


@contextmanager
def process(folder: Path, *arguments: str) -> Iterator[tuple[str, Callable[[], str]]]:
    """A process of ours: its address, and all it has written, to be asked for once it has ended."""
    out = folder / f"{arguments[0]}.out"
    command = [sys.executable, "-m", "safety_service", *arguments, "--listen", "127.0.0.1:0", "--log-level", "debug"]
    environment = os.environ | {"LANG": "C", "OTEL_BSP_MAX_QUEUE_SIZE": "100000"}  # no span is dropped
    with out.open("wb") as written:
        running = subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT, env=environment)
    try:
        address = ""
        while not address:
            assert running.poll() is None, out.read_text()
            time.sleep(0.05)
            address = address_of("serving", out)

        def ended() -> str:
            running.send_signal(signal.SIGTERM)
            assert running.wait(SOON) == 0
            return out.read_text()

        yield address, ended
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()


# --- the server -----------------------------------------------------------------------------------------------------


class Errors:
    """All that the server has told of errors, those of items too."""

    def __init__(self, channel: grpc.Channel, good: str) -> None:
        self._channel: Any = channel
        self.good = (
            ("authorization", f"Bearer {good}"),
            ("x-marked", TEXT),
            ("x-marked-bin", TEXT.encode()),
            ("tracestate", f"marked={TEXT}"),
            ("baggage", f"{TEXT}={NUMBER}"),
        )
        self.told: list[str] = []
        self.answers = 0

    def ask(self, path: str, data: bytes, metadata: Any = None) -> bytes:
        work = self._channel.unary_unary(path)
        try:
            answer: bytes = work(data, timeout=SOON, metadata=self.good if metadata is None else metadata)
        except grpc.RpcError as error:
            self._tell(error)
            return b""
        self.answers += 1
        return answer

    def stream(self, path: str, sent: list[bytes]) -> list[bytes]:
        work = self._channel.stream_stream(path)
        return list(work(iter(sent), timeout=10 * SOON, metadata=self.good))

    def items(self, results: Any) -> None:
        for each in results:
            if each.HasField("error"):
                self.told.append(_text(each.error))
            else:
                self.answers += 1

    def _tell(self, error: Any) -> None:
        self.told.append(f"{error.details()} {error.trailing_metadata()}")
        status = rpc_status.from_call(error)
        if status is not None:
            self.told.append(_text(status))


def _text(status: status_pb2.Status) -> str:
    """With the details as bytes, in which any text stands as it is."""
    return f"{status} {b' '.join(each.value for each in status.details).decode('latin-1')}"


@contextmanager
def collector() -> Iterator[tuple[str, list[Span]]]:
    """Where spans go, as OpenTelemetry's own collector takes them: its address, and what has come."""
    spans: list[Span] = []

    def export(request: ExportTraceServiceRequest, _: grpc.ServicerContext) -> ExportTraceServiceResponse:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                spans.extend(scope.spans)
        return ExportTraceServiceResponse()

    method = grpc.unary_unary_rpc_method_handler(
        export, ExportTraceServiceRequest.FromString, ExportTraceServiceResponse.SerializeToString
    )
    server = grpc.server(ThreadPoolExecutor(1))
    name = "opentelemetry.proto.collector.trace.v1.TraceService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Export": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}", spans
    finally:
        server.stop(None).wait()


def without_times(span: Span) -> str:
    """All of a span but its times, in whose digits any number could be."""
    copied = Span()
    copied.CopyFrom(span)
    copied.ClearField("start_time_unix_nano")
    copied.ClearField("end_time_unix_nano")
    return str(copied)


def shown_to_operators(address: str, key: str) -> list[str]:
    """All that channelz, reflection and health of the port for operators tell, and their errors."""
    told: list[str] = []
    good = (("authorization", f"Bearer {key}"),)
    with grpc.insecure_channel(address) as channel:
        channelz: Any = channelz_pb2_grpc.ChannelzStub(channel)
        ask = {"timeout": SOON, "metadata": good}
        for server in channelz.GetServers(channelz_pb2.GetServersRequest(), **ask).server:
            told.append(str(server))
            of = channelz_pb2.GetServerSocketsRequest(server_id=server.ref.server_id)
            for each in [*server.listen_socket, *channelz.GetServerSockets(of, **ask).socket_ref]:
                one = channelz_pb2.GetSocketRequest(socket_id=each.socket_id)
                told.append(str(channelz.GetSocket(one, **ask)))
        for top in channelz.GetTopChannels(channelz_pb2.GetTopChannelsRequest(), **ask).channel:  # that of the traces
            told.append(str(top))
            for sub in top.subchannel_ref:
                of_sub = channelz_pb2.GetSubchannelRequest(subchannel_id=sub.subchannel_id)
                told.append(str(channelz.GetSubchannel(of_sub, **ask)))
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        listed = reflection_pb2.ServerReflectionRequest(list_services="")
        told += map(str, reflection.ServerReflectionInfo(iter([listed]), **ask))
        assert len(told) >= 5
        errors = Errors(channel, key)
        marked = health_pb2.HealthCheckRequest(service=TEXT).SerializeToString()
        errors.ask("/grpc.health.v1.Health/Check", marked)
        errors.ask("/grpc.channelz.v1.Channelz/GetServer", b"\xff" + TEXT.encode())
        errors.ask(f"/grpc.channelz.v1.Channelz/{TEXT}", b"")
        assert len(errors.told) >= 3
    return told + errors.told


@pytest.fixture(scope="module")
def requests() -> list[CheckPrescriptionRequest]:
    """The smallest request and a whole one, with a marker in each field in turn."""
    made = []
    for way in paths(CheckPrescriptionRequest.DESCRIPTOR):
        for drug in ("", "Cyclobenzaprine 10 mg tablet"):
            request = CheckPrescriptionRequest()
            request.prescription.medication.text = drug
            try:
                planted(request, way)
            except ValueError:  # a value that the field cannot hold cannot be sent either
                continue
            made.append(request)
    return made


def test_the_server_emits_nothing_of_what_it_is_sent(requests: list[CheckPrescriptionRequest], tmp_path: Path) -> None:
    ward, key = caller("ward")
    lock = ["--callers-file", str(callers_file(tmp_path, ward)), "--jwks-file", str(jwks_file(tmp_path))]
    lock += ["--token-issuer", ISSUER, "--token-audience", AUDIENCE, "--rate-per-second", "1000000"]
    lock += ["--metrics-listen", "127.0.0.1:0", "--decisions-dir", str(tmp_path / "decisions")]
    lock += ["--admin-listen", "127.0.0.1:0", "--trace-ratio", "1", "--trace-endpoint"]
    shown = [
        token(),
        token(claims(sub=TEXT, exp=1)),
        tampered(token()),
        token(claims(scope=TEXT)),
        f"ward.{TEXT}",
        TEXT,
    ]
    assert len(requests) > 200
    with (
        collector() as (endpoint, spans),
        process(tmp_path, "serve", *lock, endpoint) as (address, ended),
        grpc.insecure_channel(address) as channel,
    ):
        errors = Errors(channel, key)
        for each in requests:
            errors.ask(f"{CHECKS}/CheckPrescription", each.SerializeToString())
        for first in range(0, len(requests), 50):
            batch = BatchCheckPrescriptionsRequest(items=requests[first : first + 50])
            answer = errors.ask(f"{CHECKS}/BatchCheckPrescriptions", batch.SerializeToString())
            errors.items(BatchCheckPrescriptionsResponse.FromString(answer).items)
        items = [StreamCheckPrescriptionsRequest(item=each).SerializeToString() for each in requests]
        for data in errors.stream(f"{CHECKS}/StreamCheckPrescriptions", items):
            errors.items([StreamCheckPrescriptionsResponse.FromString(data).result])
        asked = [(KNOWLEDGE, method, knowledge_service_pb2) for method in METHODS]
        asked += [(FEEDBACK, method, feedback_service_pb2) for method in ("RecordFeedback", "SummarizeAlerts")]
        for service, method, module in asked:
            kind: type[Message] = getattr(module, f"{method}Request")
            for way in paths(kind.DESCRIPTOR):  # type: ignore[arg-type]
                message = kind()
                try:
                    planted(message, way)
                except ValueError:
                    continue
                errors.ask(f"{service}/{method}", message.SerializeToString())
        for data in (TEXT.encode(), b"\xff" + TEXT.encode(), b"\x0a\x7f" + TEXT.encode()):
            errors.ask(f"{CHECKS}/CheckPrescription", data)
        errors.ask(f"/medsafety.v1.{TEXT}/{TEXT}", b"")
        for credential in shown:
            for scheme in ("Bearer", "Basic", TEXT):
                metadata = (("authorization", f"{scheme} {credential}"),)
                errors.ask(f"{CHECKS}/CheckPrescription", requests[0].SerializeToString(), metadata)
        for parent in (f"00-{'a' * 32}-{'b' * 16}-01", f"00-{TEXT}-01", f"{TEXT}01"):
            marked = (*errors.good, ("traceparent", parent))
            errors.ask(f"{CHECKS}/CheckPrescription", requests[0].SerializeToString(), marked)
        operators = shown_to_operators(address_of("admin", tmp_path / "serve.out"), key)
        with urlopen(f"http://{address_of('metrics', tmp_path / 'serve.out')}/metrics", timeout=SOON) as metrics:
            measured = metrics.read().decode()
        written = ended()

    assert [each for each in operators if leaks(each)] == []
    assert len(spans) == written.count('"event":"call"'), "each call is traced"
    assert {"OK", "INVALID_ARGUMENT"} < {each.status.message or "OK" for each in spans}
    assert [each for each in map(without_times, spans) if leaks(each)] == []
    assert "CheckPrescription" in measured
    assert [line for line in measured.splitlines() if leaks(line)] == []
    assert errors.answers > 100, "many are answered"
    assert len(errors.told) > 100, "and many refused"
    assert [each for each in errors.told if leaks(each)] == []
    assert [line for line in written.splitlines() if leaks(line)] == []
    secrets = [key, key.partition(".")[2], *(part for each in shown for part in each.split(".") if len(part) > 20)]
    emitted = "\n".join([written, measured, *errors.told, *operators, *map(str, spans)])
    assert [each for each in secrets if each in emitted] == []
    assert '"code":"INVALID_ARGUMENT"' in written, "the log was there to be searched"
    assert '"code":"UNAUTHENTICATED"' in written
    assert '"caller":"ward"' in written


# --- the gateway ----------------------------------------------------------------------------------------------------


def leaves(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value of a JSON document that is not an object or list."""
    inner: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, held in inner:
        yield from leaves(held, (*above, name))
    if not isinstance(value, dict | list):
        yield above


def with_marker(document: Any, way: tuple[Any, ...], marker: Any) -> Any:
    changed = copy.deepcopy(document)
    at = changed
    for name in way[:-1]:
        at = at[name]
    at[way[-1]] = marker
    return changed


def test_the_gateway_emits_nothing_of_what_it_is_sent(tmp_path: Path) -> None:
    patient = {"resourceType": "Patient", "id": "p1", "birthDate": "1958-01-01", "gender": "female"}
    feedback = {"feedback": [{"card": "c", "outcome": "overridden", "outcomeTimestamp": "2026-11-22T10:05:31Z"}]}
    sent = {
        SERVICE: call(
            prefetch={"patient": patient},
            extension={"org.example.medsafety": {"patient": {"drivesOrOperatesMachinery": "ANSWER_YES"}}},
        ),
        f"{SERVICE}/feedback": feedback,
        "/fhir/$check": parameters(patient=patient),
        "/check": {
            "prescription": {
                "medication": {"text": "Cyclobenzaprine 10 mg"},
                "daysSupply": 14,
                "doseQuantity": {"value": 1, "unit": "{tbl}"},
                "asNeeded": "ANSWER_NO",
            },
        },
    }
    problems: list[str] = []
    answers = 0
    with process(tmp_path, "gateway") as (address, ended):

        def ask(path: str, body: bytes | None, **headers: str) -> None:
            nonlocal answers
            asked = Request(f"http://{address}{path}", body, {"Content-Type": "application/json", **headers})
            try:
                with urlopen(asked, timeout=SOON) as answer:
                    answer.read()
                answers += 1
            except HTTPError as error:
                problems.append(f"{error.code} {error.headers} {error.read().decode()}")

        for path, document in sent.items():
            for way in leaves(document):
                for marker in (TEXT, NUMBER):
                    ask(path, json.dumps(with_marker(document, way, marker)).encode())
            ask(path, TEXT.encode())
            ask(path, json.dumps(document).encode(), Authorization=f"Bearer {TEXT}", **{"X-Marked": TEXT})
        for path in (f"/{TEXT}", f"/rules/{TEXT}", f"/medications/{TEXT}?{TEXT}={TEXT}", f"/options/{TEXT}"):
            ask(path, None)
        written = ended()

    assert answers > 20, "many are answered"
    assert len(problems) > 20, "and many refused"
    assert [each for each in problems if leaks(each)] == []
    assert [line for line in written.splitlines() if leaks(line)] == []
    assert written.count('"event":"call"') > 40, "the log was there to be searched"
