"""Servers in processes of their own: the same decision everywhere and after a restart, and an orderly end."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc

from medsafety.v1.decision_pb2 import MATCHED_BY_SITE_CODE, MATCHED_BY_UNSPECIFIED
from medsafety.v1.medication_safety_service_pb2 import CheckPrescriptionRequest, CheckPrescriptionResponse
from medsafety.v1.medication_safety_service_pb2_grpc import MedicationSafetyServiceStub
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server.encode_fast import FastEncoder
from safety_service.server.handlers import Desk, Fault, Tally, check_prescription

ServerProcess = Callable[..., Any]


def canonical(answer: CheckPrescriptionResponse) -> str:
    """The decision as JSON with sorted keys: what may be compared and hashed."""
    return json.dumps(json_format.MessageToDict(answer.decision), sort_keys=True)


def test_every_process_decides_the_same(server_process: ServerProcess, request_sent: CheckPrescriptionRequest) -> None:
    answers = []
    for seed in ("1", "2", "2"):  # the third is the second started again
        with (
            server_process(PYTHONHASHSEED=seed) as (_, address),
            grpc.insecure_channel(address) as channel,
        ):
            answers.append(MedicationSafetyServiceStub(channel).CheckPrescription(request_sent, timeout=30))

    assert len({canonical(each) for each in answers}) == 1
    assert answers[0].decision.alerts
    assert len({each.decision_id for each in answers}) == 3
    assert len({each.alert_ids[0] for each in answers}) == 3


def test_a_server_reads_the_codes_of_its_site(server_process: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "site.csv").write_text("system,code,rxcui,name\nndc,12345-678-90,828348,\n")
    request = CheckPrescriptionRequest()
    request.prescription.medication.codings.add(system="http://hl7.org/fhir/sid/ndc", code="12345-0678-90")
    answers = {}
    for name, flags, environment in (
        ("flag", ("--site-codes", str(tmp_path / "site.csv")), {}),
        ("variable", (), {"MEDSAFETY_SITE_CODES": str(tmp_path / "site.csv")}),
        ("none", (), {}),
    ):
        with server_process(*flags, **environment) as (_, address), grpc.insecure_channel(address) as channel:
            answers[name] = MedicationSafetyServiceStub(channel).CheckPrescription(request, timeout=30).decision

    mapped = answers["flag"].resolved_medications[0]
    assert mapped.matched_by == MATCHED_BY_SITE_CODE
    assert [each.name for each in mapped.ingredients] == ["cyclobenzaprine"]
    assert answers["flag"] == answers["variable"]
    assert answers["none"].resolved_medications[0].matched_by == MATCHED_BY_UNSPECIFIED
    assert "NDC '12345-0678-90' is not among the site codes" in answers["none"].not_processed[0].reason
    assert answers["none"].knowledge.digest != answers["flag"].knowledge.digest


def test_a_server_does_not_start_with_bad_site_codes(tmp_path: Path) -> None:
    (tmp_path / "site.csv").write_text("system,code,rxcui,name\nndc,1,0,\nndc,2,,zzyqx\n")
    command = [sys.executable, "-m", "safety_service", "serve", "--listen", "127.0.0.1:0"]
    ended = subprocess.run(
        [*command, "--site-codes", str(tmp_path / "site.csv")], capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode == 4
    assert "site.csv:2: rxcui: RxNorm code '0' is not in the dictionary" in ended.stderr
    assert "site.csv:3: name: 'zzyqx'" in ended.stderr


def test_a_year_later_the_decision_is_the_same(knowledge: Knowledge, request_sent: CheckPrescriptionRequest) -> None:
    request_sent.as_of.year, request_sent.as_of.month, request_sent.as_of.day = 2026, 11, 2
    faults: list[Fault] = []

    def at(year: int) -> CheckPrescriptionResponse:
        seconds = (year - 1970) * 31_556_952
        encode = FastEncoder(knowledge).response
        desk = Desk(knowledge, check, encode, b"key", faults.append, now_ns=lambda: seconds * 10**9)
        return CheckPrescriptionResponse.FromString(check_prescription(desk, request_sent.SerializeToString(), Tally()))

    now, later = at(2026), at(2027)

    assert now.evaluated_at.seconds + 31_556_952 == later.evaluated_at.seconds
    assert canonical(now) == canonical(later)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_server_answers_what_it_began(
    server_process: ServerProcess, request_sent: CheckPrescriptionRequest, stop: signal.Signals
) -> None:
    codes: list[grpc.StatusCode] = []
    answered = threading.Event()

    with server_process("--grace-seconds", "20") as (process, address), grpc.insecure_channel(address) as channel:
        stub = MedicationSafetyServiceStub(channel)

        def keep_calling() -> None:
            while True:
                try:
                    stub.CheckPrescription(request_sent, timeout=30)
                except grpc.RpcError as error:
                    codes.append(error.code())
                    return
                codes.append(grpc.StatusCode.OK)
                answered.set()

        callers = [threading.Thread(target=keep_calling) for _ in range(4)]
        for each in callers:
            each.start()
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        assert answered.wait(30)
        process.send_signal(stop)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        for each in callers:
            each.join(30)

        assert process.wait(30) == 0
        said = [json.loads(line)["event"] for line in process.stdout or ()]

    assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    assert codes.count(grpc.StatusCode.UNAVAILABLE) == 4
    assert said[-1] == "stopped"
    assert "draining" in said
    assert "fault" not in said


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_server_stopped_as_soon_as_it_serves_ends_in_order(
    server_process: ServerProcess, stop: signal.Signals
) -> None:
    with server_process() as (process, _):
        process.send_signal(stop)

        assert process.wait(30) == 0
        assert [json.loads(line)["event"] for line in process.stdout or ()][-2:] == ["draining", "stopped"]


def test_a_server_reads_changed_files_on_sighup_and_by_itself(
    server_process: ServerProcess, request_sent: CheckPrescriptionRequest, tmp_path: Path
) -> None:
    policy = tmp_path / "site.yaml"

    def write(version: str) -> None:
        (tmp_path / "new").write_text(f'extends: default\nid: our-site\ntitle: Ours\nversion: "{version}"\n')
        (tmp_path / "new").replace(policy)

    write("1")
    flags = ("--policy-file", str(policy), "--watch-seconds", "0.1", "--admin-listen", "127.0.0.1:0")
    with server_process(*flags) as (process, address), grpc.insecure_channel(address) as channel:
        stub = MedicationSafetyServiceStub(channel)
        with grpc.insecure_channel(read_until(process, "admin")["address"]) as admin:
            health: Any = health_pb2_grpc.HealthStub(admin)
            told = health.Check(health_pb2.HealthCheckRequest(), timeout=30)
        assert told.status == health_pb2.HealthCheckResponse.SERVING
        assert stub.CheckPrescription(request_sent, timeout=30).decision.policy.version == "1"
        write("2")
        read_until(process, "reloaded")
        assert stub.CheckPrescription(request_sent, timeout=30).decision.policy.version == "2"
        process.send_signal(signal.SIGHUP)
        read_until(process, "reloaded")
        policy.write_text("extends: [")
        assert read_until(process, "reload_refused")["file"] == "site.yaml"
        assert stub.CheckPrescription(request_sent, timeout=30).decision.policy.version == "2"
        process.terminate()
        assert process.wait(30) == 0


def read_until(process: subprocess.Popen[str], event: str) -> dict[str, Any]:
    for line in process.stdout or ():
        said: dict[str, Any] = json.loads(line)
        if said["event"] == event:
            return said
    raise AssertionError(f"no {event}")


def test_a_second_signal_ends_at_once(server_process: ServerProcess) -> None:
    with server_process("--drain-seconds", "600") as (process, address), grpc.insecure_channel(address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        next(watch)
        process.send_signal(signal.SIGTERM)
        while next(watch).status != health_pb2.HealthCheckResponse.NOT_SERVING:
            pass
        process.send_signal(signal.SIGTERM)

        assert process.wait(30) == 0


def test_a_port_in_use_is_an_error_and_not_shared(server_process: ServerProcess) -> None:
    with server_process() as (process, address):
        command = [*process.args[:-1], address]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False, text=True)

    assert done.returncode != 0
    assert address in done.stdout + done.stderr
