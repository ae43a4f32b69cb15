"""Every method that the server has refuses every wrong credential, and no method can be forgotten."""

import base64
import hashlib
import hmac
import io
import json
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from medsafety.v1.knowledge_service_pb2 import GetKnowledgeRequest
from medsafety.v1.knowledge_service_pb2_grpc import KnowledgeServiceStub
from medsafety.v1.medication_safety_service_pb2 import (
    BatchCheckPrescriptionsRequest,
    CheckPrescriptionRequest,
    StreamCheckPrescriptionsRequest,
)
from medsafety.v1.medication_safety_service_pb2_grpc import MedicationSafetyServiceStub
from safety_service.access.scopes import METHODS, Anybody, Scope
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server.access_log import open_log
from safety_service.server.admin import open_admin
from safety_service.server.serve import CannotServeError, Serving, start
from safety_service.server.settings import Settings
from tests.access.shown import (
    AUDIENCE,
    EVERYTHING,
    ISSUER,
    caller,
    callers_file,
    claims,
    jwk,
    jwks_file,
    tampered,
    token,
)

Refused = Callable[[Callable[[], Any]], Any]
SOON = 20
GET_SERVERS = "/grpc.channelz.v1.Channelz/GetServers"


@pytest.fixture(scope="module")
def ward_key() -> tuple[dict[str, Any], str]:
    return caller("ward", "check")


@pytest.fixture(scope="module")
def logged() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(scope="module")
def locked(
    knowledge: Knowledge,
    ward_key: tuple[dict[str, Any], str],
    logged: io.StringIO,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("doors")
    settings = Settings(
        listen="127.0.0.1:0",
        callers_file=callers_file(folder, ward_key[0]),
        jwks_file=jwks_file(folder),
        token_issuer=ISSUER,
        token_audience=AUDIENCE,
    )
    server = start(settings, knowledge, open_log("info", "json", logged))
    yield server
    server.server.stop(None).wait()


@pytest.fixture(scope="module")
def channel(locked: Serving) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(locked.address) as opened:
        yield opened


def bearer(shown: str | None) -> tuple[tuple[str, str], ...]:
    return () if shown is None else (("authorization", f"Bearer {shown}"),)


def reflected(channel: grpc.Channel) -> dict[str, tuple[bool, bool]]:
    """Every method of every service that the server says it has, and whether it takes and gives streams."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    admin = bearer(token(claims("admin")))

    def ask(**asked: Any) -> Any:
        request = reflection_pb2.ServerReflectionRequest(**asked)
        (answer,) = stub.ServerReflectionInfo(iter([request]), timeout=SOON, metadata=admin)
        return answer

    found = {}
    for service in ask(list_services="").list_services_response.service:
        for data in ask(file_containing_symbol=service.name).file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
            for each in file.service:
                if f"{file.package}.{each.name}" == service.name:
                    for method in each.method:
                        path = f"/{service.name}/{method.name}"
                        found[path] = (method.client_streaming, method.server_streaming)
    return found


def call(channel: Any, path: str, kind: tuple[bool, bool], metadata: Any) -> None:
    """Any method, with an empty request; to its end."""
    if kind == (True, True):
        list(channel.stream_stream(path)(iter([b""]), timeout=SOON, metadata=metadata))
    elif kind == (False, True):
        next(iter(channel.unary_stream(path)(b"", timeout=SOON, metadata=metadata)))
    else:
        assert kind == (False, False), f"{path}: write down how this kind is called"
        channel.unary_unary(path)(b"", timeout=SOON, metadata=metadata)


def code_of(work: Callable[[], None]) -> grpc.StatusCode:
    try:
        work()
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


def unsigned(alg: str) -> str:
    parts = [json.dumps(each).encode() for each in ({"alg": alg, "typ": "JWT", "kid": "k1"}, claims())]
    return ".".join(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in parts) + "."


def shared_secret() -> str:
    """Signed by HMAC with the public key as secret: the classic confusion of algorithms."""
    head, _, _ = token().rpartition(".")
    payload = head.partition(".")[2]
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT","kid":"k1"}').rstrip(b"=").decode()
    signature = hmac.new(json.dumps(jwk()).encode(), f"{header}.{payload}".encode(), hashlib.sha256).digest()
    return f"{header}.{payload}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


NOW = int(time.time())
WRONG: dict[str, Callable[[], str | None]] = {
    "nothing": lambda: None,
    "expired": lambda: token(claims(exp=NOW - 3600, iat=NOW - 7200)),
    "not yet valid": lambda: token(claims(nbf=NOW + 3600)),
    "another audience": lambda: token(claims(aud="https://elsewhere.example.org")),
    "no audience": lambda: token(claims(aud=None)),
    "another issuer": lambda: token(claims(iss="https://evil.example.org")),
    "no expiry": lambda: token(claims(exp=None)),
    "no subject": lambda: token(claims(sub=None)),
    "another key": lambda: token(number=1),
    "unknown kid": lambda: token(kid="k2"),
    "tampered": lambda: tampered(token()),
    "cut off": lambda: token()[:-4],
    "alg none": lambda: unsigned("none"),
    "alg NoNe": lambda: unsigned("NoNe"),
    "a shared secret": shared_secret,
    "a key that nobody has": lambda: "ward.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "a caller that is not there": lambda: "nobody.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "a word": lambda: "zzz",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_every_method_refuses_wrong_credentials(channel: grpc.Channel, refused: Refused, wrong: str) -> None:
    shown = WRONG[wrong]()
    methods = reflected(channel)
    assert len(methods) >= 14

    for path, kind in methods.items():
        if METHODS.get(path) is Anybody.MAY:
            continue
        refusal = refused(partial(call, channel, path, kind, bearer(shown)))
        assert refusal.code is grpc.StatusCode.UNAUTHENTICATED, path
        assert refusal.reason == ("CREDENTIALS_MISSING" if shown is None else "CREDENTIALS_INVALID"), path
        assert not refusal.violations
        if shown is not None:
            assert shown not in f"{refusal.message}{refusal.status}"


def test_every_method_refuses_a_caller_without_its_scope(channel: grpc.Channel, refused: Refused) -> None:
    for path, kind in reflected(channel).items():
        needed = METHODS[path]
        if needed is Anybody.MAY:
            continue
        assert isinstance(needed, Scope)
        others = " ".join(each for each in EVERYTHING.split() if each != needed.value)

        refusal = refused(partial(call, channel, path, kind, bearer(token(claims(others)))))

        assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING"), path
        assert refusal.detail(error_details_pb2.ErrorInfo).metadata["scope"] == needed.value


def test_every_method_lets_in_whoever_has_its_scope(channel: grpc.Channel) -> None:
    # An empty request may be refused, but by whoever reads it; feedback, where no decisions are kept.
    read = {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
    read.add(grpc.StatusCode.FAILED_PRECONDITION)
    for path, kind in reflected(channel).items():
        if path == "/grpc.health.v1.Health/List":  # not made by the package that serves it
            continue
        needed = METHODS[path]
        scope = needed.value if isinstance(needed, Scope) else ""
        code = code_of(partial(call, channel, path, kind, bearer(token(claims(scope)))))
        assert code in read, path


def test_every_method_stands_in_the_table(channel: grpc.Channel) -> None:
    assert set(reflected(channel)) <= set(METHODS)


def test_a_method_that_is_not_in_the_table_is_refused(
    channel: grpc.Channel, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/medsafety.v1.KnowledgeService/GetKnowledge"
    monkeypatch.setattr("safety_service.server.doors.METHODS", {k: v for k, v in METHODS.items() if k != path})

    refusal = refused(lambda: call(channel, path, (False, False), bearer(token())))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")


@pytest.fixture(scope="module")
def admin(locked: Serving) -> Iterator[grpc.Channel]:
    """The port for operators, behind the same doors."""
    server, address = open_admin("127.0.0.1:0", locked.health, (locked.gate.doors, locked.log))
    with grpc.insecure_channel(address) as opened:
        yield opened
    server.stop(None).wait()


def test_the_port_for_operators_is_behind_the_doors_too(admin: grpc.Channel, refused: Refused) -> None:
    methods = reflected(admin)
    assert sum("Channelz" in path for path in methods) >= 7

    for path, kind in methods.items():
        if METHODS[path] is Anybody.MAY:
            call(admin, path, kind, ())
            continue
        assert METHODS[path] is Scope.ADMIN
        for name, wrong in WRONG.items():
            refusal = refused(partial(call, admin, path, kind, bearer(wrong())))
            assert refusal.code is grpc.StatusCode.UNAUTHENTICATED, (path, name)
        refusal = refused(partial(call, admin, path, kind, bearer(token(claims("check knowledge feedback")))))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")


def test_a_fault_at_the_doors_lets_nobody_in_and_tells_nothing(
    channel: grpc.Channel,
    admin: grpc.Channel,
    locked: Serving,
    logged: io.StringIO,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of our own services and of those of other packages: a code, and the number of the line in the log."""
    methods = [(each, path, kind) for each in (channel, admin) for path, kind in reflected(each).items()]

    def fails(*_: object) -> None:
        raise LookupError("zzz of /srv/callers.yaml")

    monkeypatch.setattr(locked.gate.doors.credentials, "by_token", fails)
    told = set()
    for opened, path, kind in methods:
        if METHODS[path] is Anybody.MAY:
            continue
        refusal = refused(partial(call, opened, path, kind, bearer(token())))
        assert refusal.code is grpc.StatusCode.INTERNAL, path
        assert re.fullmatch("internal error [0-9a-f]{8}", refusal.message), path
        assert "zzz" not in f"{refusal.status}"
        told.add(refusal.message.split()[-1])

    until = time.monotonic() + SOON
    while True:
        lines = [json.loads(each) for each in logged.getvalue().splitlines()]
        faults = {each["error_id"]: each for each in lines if each["event"] == "fault"}
        if told <= faults.keys():
            break
        assert time.monotonic() < until
        time.sleep(0.01)
    assert {(each["type"], each["place"].partition(":")[0]) for each in faults.values()} == {
        ("LookupError", "test_doors.py")
    }
    assert "zzz" not in logged.getvalue()


@pytest.mark.parametrize("content", [None, b"", b"callers: [", b"\xff\xfe\0", b"{}", b'{"keys": "', b"[" * 100_000])
def test_files_that_break_in_use_let_nobody_else_in(
    knowledge: Knowledge,
    ward_key: tuple[dict[str, Any], str],
    refused: Refused,
    tmp_path: Path,
    content: bytes | None,
) -> None:
    """Both are gone (None) or no longer what they were: who was known is known, and nobody else."""
    files = [callers_file(tmp_path, ward_key[0]), jwks_file(tmp_path)]
    said = io.StringIO()
    settings = Settings(
        listen="127.0.0.1:0",
        callers_file=files[0],
        jwks_file=files[1],
        token_issuer=ISSUER,
        token_audience=AUDIENCE,
    )
    server = start(settings, knowledge, open_log("info", "json", said))
    assert server.gate.doors.credentials is not None
    server.gate.doors.credentials._watched._every = server.gate.doors.credentials._watched._next = 0.0
    channelz, address = open_admin("127.0.0.1:0", server.health, (server.gate.doors, server.log))
    try:
        with grpc.insecure_channel(server.address) as opened, grpc.insecure_channel(address) as operators:
            for each in files:
                each.unlink() if content is None else each.write_bytes(content)
            asked = (opened, "/medsafety.v1.KnowledgeService/GetKnowledge"), (operators, GET_SERVERS)
            for at, path in asked:
                call(at, path, (False, False), bearer(token()))
                for wrong in WRONG.values():
                    refusal = refused(partial(call, at, path, (False, False), bearer(wrong())))
                    assert refusal.code is grpc.StatusCode.UNAUTHENTICATED, path
            refusal = refused(partial(call, *asked[0], (False, False), bearer(ward_key[1])))
            assert refusal.code is grpc.StatusCode.PERMISSION_DENIED, "known, and without the scope"
    finally:
        channelz.stop(None).wait()
        server.server.stop(None).wait()
    server.log._logger.close()  # type: ignore[attr-defined]  # lines are written a moment later
    events = [json.loads(each)["event"] for each in said.getvalue().splitlines()]
    assert events.count("credentials_refused") == 1
    assert "fault" not in events


def test_so_is_that_of_many_workers(
    server_process: Callable[..., Any], ward_key: tuple[dict[str, Any], str], refused: Refused, tmp_path: Path
) -> None:
    operator, key = caller("operator", "admin")
    flags = ["--workers", "1", "--admin-listen", f"unix:{tmp_path}/admin", "--callers-file"]
    with (
        server_process(*flags, str(callers_file(tmp_path, ward_key[0], operator))) as _,
        grpc.insecure_channel(f"unix:{tmp_path}/admin") as opened,
    ):
        grpc.channel_ready_future(opened).result(timeout=SOON)  # a process of its own, which may still be starting
        path = GET_SERVERS
        call(opened, path, (False, False), bearer(key))
        for shown, code in (
            (None, grpc.StatusCode.UNAUTHENTICATED),
            ("operator.zzz", grpc.StatusCode.UNAUTHENTICATED),
            (ward_key[1], grpc.StatusCode.PERMISSION_DENIED),
        ):
            assert refused(partial(call, opened, path, (False, False), bearer(shown))).code is code


def test_health_asks_nobody(channel: grpc.Channel) -> None:
    health: Any = health_pb2_grpc.HealthStub(channel)

    assert health.Check(health_pb2.HealthCheckRequest(), timeout=SOON).status
    assert next(iter(health.Watch(health_pb2.HealthCheckRequest(), timeout=SOON))).status


def test_who_asked_is_known(
    channel: grpc.Channel,
    ward_key: tuple[dict[str, Any], str],
    logged: io.StringIO,
    request_sent: CheckPrescriptionRequest,
) -> None:
    checks = MedicationSafetyServiceStub(channel)
    batch = BatchCheckPrescriptionsRequest(items=[request_sent])
    stream = [StreamCheckPrescriptionsRequest(item=request_sent)]

    assert checks.CheckPrescription(request_sent, timeout=SOON, metadata=bearer(ward_key[1])).decision.alerts
    assert checks.BatchCheckPrescriptions(batch, timeout=SOON, metadata=bearer(token(claims("check")))).items
    assert list(checks.StreamCheckPrescriptions(iter(stream), timeout=SOON, metadata=bearer(ward_key[1])))

    until = time.monotonic() + SOON
    wanted = {
        ("CheckPrescription", "ward"),
        ("BatchCheckPrescriptions", "token:ward-7"),
        ("StreamCheckPrescriptions", "ward"),
    }
    while time.monotonic() < until:
        lines = [json.loads(each) for each in logged.getvalue().splitlines()]
        if wanted <= {
            (each["method"], each["caller"]) for each in lines if each["event"] == "call" and each["code"] == "OK"
        }:
            return
        time.sleep(0.01)
    raise AssertionError("not logged")


def test_two_tokens_are_no_token(channel: grpc.Channel, refused: Refused) -> None:
    knowledge = KnowledgeServiceStub(channel)

    for metadata in (
        (*bearer(token()), *bearer(token())),
        (("authorization", f"Basic {token()}"),),
        (("authorization", "Bearer "),),
        (("authorization", ""),),
    ):
        refusal = refused(partial(knowledge.GetKnowledge, GetKnowledgeRequest(), timeout=SOON, metadata=metadata))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")


# --- what the server does without -----------------------------------------------------------------------------------


@pytest.mark.parametrize("port", ["listen", "admin_listen"])
@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"])
def test_strangers_are_not_served_by_mistake(knowledge: Knowledge, address: str, port: str) -> None:
    given: dict[str, Any] = {"listen": "127.0.0.1:0", port: address}
    settings = Settings(**given)
    with pytest.raises(CannotServeError, match="nothing says who may call"):
        start(settings, knowledge, open_log("info", "json", io.StringIO()))


def test_strangers_are_served_where_the_operator_says_so(knowledge: Knowledge) -> None:
    said = io.StringIO()
    server = start(Settings(listen="0.0.0.0:0", allow_anonymous=True), knowledge, open_log("info", "json", said))
    server.server.stop(None).wait()

    until = time.monotonic() + SOON
    while "no_authentication" not in said.getvalue():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"jwks_file": "no-such-file", "token_issuer": "x", "token_audience": "x"}, "no-such-file: No such file"),
        ({"jwks_file": "no-such-file"}, "needs --token-issuer and --token-audience"),
        ({"callers_file": "no-such-file"}, "no-such-file: No such file"),
        ({"tls_certificate": "no-such-file"}, "go together"),
        ({"tls_certificate": "no-such-file", "tls_key": "no-such-file"}, "no-such-file: No such file"),
        ({"client_authorities": "no-such-file"}, "needs --tls-certificate"),
        ({"client_authorities": "x", "tls_certificate": "x", "tls_key": "x"}, "alone lets nobody do anything"),
    ],
)
def test_doors_that_cannot_be_locked_are_not_opened(
    knowledge: Knowledge, settings: dict[str, Any], why: str, tmp_path: Path
) -> None:
    with pytest.raises(CannotServeError, match=why):
        start(Settings(listen="127.0.0.1:0", **settings), knowledge, open_log("info", "json", io.StringIO()))


# --- rates ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def counted(
    knowledge: Knowledge, ward_key: tuple[dict[str, Any], str], tmp_path: Path
) -> Iterator[tuple[MedicationSafetyServiceStub, str, str]]:
    """A server that gives each caller five requests, and one more in 20 s; the keys of two callers."""
    other, other_key = caller("other")
    settings = Settings(
        listen="127.0.0.1:0",
        callers_file=callers_file(tmp_path, ward_key[0], other),
        rate_per_second=0.05,
        rate_burst=5,
    )
    server = start(settings, knowledge, open_log("info", "json", io.StringIO()))
    with grpc.insecure_channel(server.address) as opened:
        yield MedicationSafetyServiceStub(opened), ward_key[1], other_key
    server.server.stop(None).wait()


def test_who_asks_too_often_is_told_when_to_come_back(
    counted: tuple[MedicationSafetyServiceStub, str, str], refused: Refused, request_sent: CheckPrescriptionRequest
) -> None:
    checks, ward, other = counted
    for _ in range(5):
        checks.CheckPrescription(request_sent, timeout=SOON, metadata=bearer(ward))

    refusal = refused(lambda: checks.CheckPrescription(request_sent, timeout=SOON, metadata=bearer(ward)))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_EXCEEDED")
    assert 0 < refusal.detail(error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() <= 20_000
    assert checks.CheckPrescription(request_sent, timeout=SOON, metadata=bearer(other)).decision.alerts


def test_the_items_of_a_batch_count(
    counted: tuple[MedicationSafetyServiceStub, str, str], refused: Refused, request_sent: CheckPrescriptionRequest
) -> None:
    checks, ward, _ = counted
    batch = BatchCheckPrescriptionsRequest(items=[request_sent] * 50)
    assert len(checks.BatchCheckPrescriptions(batch, timeout=SOON, metadata=bearer(ward)).items) == 50

    refusal = refused(lambda: checks.CheckPrescription(request_sent, timeout=SOON, metadata=bearer(ward)))

    assert refusal.reason == "RATE_EXCEEDED"
    assert refusal.detail(error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() > 800_000


def test_a_stream_is_slowed_and_loses_nothing(knowledge: Knowledge, request_sent: CheckPrescriptionRequest) -> None:
    settings = Settings(listen="127.0.0.1:0", rate_per_second=20, rate_burst=2)
    server = start(settings, knowledge, open_log("info", "json", io.StringIO()))
    with grpc.insecure_channel(server.address) as opened:
        began = time.monotonic()
        items = iter([StreamCheckPrescriptionsRequest(item=request_sent)] * 12)
        answers = list(MedicationSafetyServiceStub(opened).StreamCheckPrescriptions(items, timeout=SOON))
        took = time.monotonic() - began
    server.server.stop(None).wait()

    assert [each.result.WhichOneof("outcome") for each in answers] == ["response"] * 12
    assert took > 0.5, "11 beyond the first, 20 in a second: a lower bound, since time never runs faster"
