import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
from google.protobuf import descriptor_pb2, json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from medsafety.v1.medication_safety_service_pb2 import CheckPrescriptionRequest
from safety_service.server.serve import Serving

SERVICES = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
    "medsafety.v1.FeedbackService",
    "medsafety.v1.KnowledgeService",
    "medsafety.v1.MedicationSafetyService",
]
BUF = shutil.which("buf", path=str(Path(sys.executable).parent)) or shutil.which("buf")


@pytest.mark.parametrize("name", ["", *SERVICES])
def test_each_service_is_serving(channel: grpc.Channel, name: str) -> None:
    health: Any = health_pb2_grpc.HealthStub(channel)

    answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_gives_the_contract(channel: grpc.Channel) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="medsafety.v1.KnowledgeService"),
    ]

    services, file = list(stub.ServerReflectionInfo(iter(asked), timeout=10))

    assert sorted(each.name for each in services.list_services_response.service) == SERVICES
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(each)
        for each in file.file_descriptor_response.file_descriptor_proto
    ]
    assert any(each.name == "medsafety/v1/knowledge_service.proto" for each in files)


def curl(serving: Serving, method: str, data: bytes) -> list[dict[str, object]]:
    """What a client that nobody here wrote gets, knowing the contract by reflection alone."""
    assert BUF is not None
    command = [BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--data", "@-"]
    command.append(f"http://{serving.address}/medsafety.v1.{method}")
    done = subprocess.run(command, input=data, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    text = done.stdout.decode()
    answers = []
    while text.strip():
        end = text.find("\n}\n")
        answers.append(orjson.loads(text[: end + 2]))
        text = text[end + 3 :]
    return answers


@pytest.mark.skipif(BUF is None, reason="buf is not installed")
def test_buf_curl_checks_a_prescription(serving: Serving, request_sent: CheckPrescriptionRequest) -> None:
    (answer,) = curl(
        serving, "MedicationSafetyService/CheckPrescription", json_format.MessageToJson(request_sent).encode()
    )

    decision = answer["decision"]
    assert isinstance(decision, dict)
    assert decision["overall"] == "OVERALL_ALERTS"
    assert "hepatic.start-dose" in [each["ruleId"] for each in decision["alerts"]]


@pytest.mark.skipif(BUF is None, reason="buf is not installed")
def test_buf_curl_streams_prescriptions(serving: Serving, request_sent: CheckPrescriptionRequest) -> None:
    one = json_format.MessageToJson(request_sent, indent=None)
    data = f'{{"item": {one}}}\n{{"item": {{}}}}\n{{"item": {one}}}\n'

    answers = curl(serving, "MedicationSafetyService/StreamCheckPrescriptions", data.encode())

    results = [each["result"] for each in answers]
    assert [sorted(each) for each in results if isinstance(each, dict)] == [
        ["requestId", "response"],
        ["error"],
        ["requestId", "response"],
    ]


@pytest.mark.skipif(BUF is None, reason="buf is not installed")
def test_buf_curl_reads_the_knowledge(serving: Serving) -> None:
    (answer,) = curl(serving, "KnowledgeService/GetRule", b'{"ruleId": "duration.course"}')

    assert isinstance(answer["rule"], dict)
    assert answer["rule"]["kind"] == "RULE_KIND_DURATION"
