"""Whatever is sent, the answer is an answer or a documented error, and the server stays up."""

import io
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2

from medsafety.v1.common_pb2 import Quantity
from medsafety.v1.medication_safety_service_pb2 import (
    BatchCheckPrescriptionsRequest,
    CheckPrescriptionRequest,
    CheckPrescriptionResponse,
)
from medsafety.v1.medication_safety_service_pb2_grpc import MedicationSafetyServiceStub
from safety_service.demo import ARTICLE_CASE

Refused = Callable[[Callable[[], Any]], Any]
Raw = Callable[[bytes], bytes]
INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture(autouse=True)
def _the_server_stays_up(raw: Raw) -> Iterator[None]:
    yield
    good = json_format.Parse(ARTICLE_CASE.read_bytes(), CheckPrescriptionRequest())
    assert CheckPrescriptionResponse.FromString(raw(good.SerializeToString())).request_id == "article-case"


def test_an_unknown_drug_is_answered_and_named(
    checks: MedicationSafetyServiceStub, request_sent: CheckPrescriptionRequest
) -> None:
    request_sent.prescription.medication.Clear()
    request_sent.prescription.medication.text = "zzyzxamine 10 mg"

    decision = checks.CheckPrescription(request_sent).decision

    assert "prescription.medication" in [each.path for each in decision.not_processed]
    assert not decision.complete
    assert decision.resolved_medications[0].matched_by == 0


@pytest.mark.parametrize("value", [-10.0, 0.0, float("nan"), float("inf"), float("-inf"), 1e9, 1e-9])
def test_impossible_numbers(
    checks: MedicationSafetyServiceStub, refused: Refused, request_sent: CheckPrescriptionRequest, value: float
) -> None:
    request_sent.prescription.dose_quantity.value = value

    refusal = refused(lambda: checks.CheckPrescription(request_sent))

    assert (refusal.code, refusal.reason) == (INVALID, "INVALID_FIELD")
    assert list(refusal.violations) == ["prescription.dose_quantity.value"]


def test_a_wrong_unit(
    checks: MedicationSafetyServiceStub, refused: Refused, request_sent: CheckPrescriptionRequest
) -> None:
    request_sent.prescription.dose_quantity.unit = "mgg"

    refusal = refused(lambda: checks.CheckPrescription(request_sent))

    assert refusal.code is INVALID
    assert "ug, mg, g" in refusal.violations["prescription.dose_quantity.unit"]


def test_a_missing_unit_is_unknown_and_never_mg(
    checks: MedicationSafetyServiceStub, request_sent: CheckPrescriptionRequest
) -> None:
    request_sent.prescription.dose_quantity.unit = ""

    decision = checks.CheckPrescription(request_sent).decision

    assert not decision.normalized_order.HasField("single_dose_high_mg")
    (start_dose,) = [each for each in decision.checks if each.rule_id == "hepatic.start-dose"]
    assert start_dose.missing


def test_contradictory_dates(
    checks: MedicationSafetyServiceStub, refused: Refused, request_sent: CheckPrescriptionRequest
) -> None:
    request_sent.prescription.end_date.year = 2026
    request_sent.prescription.end_date.month = 10
    request_sent.prescription.end_date.day = 1
    request_sent.patient.birth_date.year = 2026
    request_sent.patient.birth_date.month = 10
    request_sent.patient.birth_date.day = 30
    request_sent.as_of.year = 2026
    request_sent.as_of.month = 2
    request_sent.as_of.day = 31

    violations = refused(lambda: checks.CheckPrescription(request_sent)).violations

    assert violations["prescription.end_date"] == "before patient.birth_date"
    assert violations["as_of"] == "no such calendar date"
    assert violations["patient.medications.items[0].start_date"] == "before patient.birth_date"


def test_an_empty_request(raw: Raw, refused: Refused) -> None:
    refusal = refused(lambda: raw(b""))

    assert (refusal.code, refusal.reason, refusal.violations) == (
        INVALID,
        "INVALID_FIELD",
        {"prescription": "required"},
    )


def test_unknown_enum_numbers(
    checks: MedicationSafetyServiceStub, refused: Refused, request_sent: CheckPrescriptionRequest
) -> None:
    request_sent.patient.sex = 77  # type: ignore[assignment]
    request_sent.patient.conditions.items[1].status = -3  # type: ignore[assignment]

    refusal = refused(lambda: checks.CheckPrescription(request_sent))

    assert refusal.code is INVALID
    assert set(refusal.violations) == {"patient.sex", "patient.conditions.items[1].status"}


def test_all_violations_at_once(
    checks: MedicationSafetyServiceStub, refused: Refused, request_sent: CheckPrescriptionRequest
) -> None:
    request_sent.request_id = "x" * 65
    request_sent.prescription.dose_quantity.CopyFrom(Quantity(value=float("nan"), unit="mgg"))
    request_sent.prescription.days_supply = -14
    request_sent.prescription.frequency.times = 0
    request_sent.patient.age_years = 500
    request_sent.patient.medications.items[0].refills = -1

    refusal = refused(lambda: checks.CheckPrescription(request_sent))

    assert list(refusal.violations) == [
        "request_id",
        "prescription.dose_quantity.unit",
        "prescription.dose_quantity.value",
        "prescription.frequency.times",
        "prescription.days_supply",
        "patient.age_years",
        "patient.medications.items[0].refills",
    ]
    assert all(refusal.violations.values())


def test_thousands_of_violations_still_reach_the_client(
    checks: MedicationSafetyServiceStub, refused: Refused, request_sent: CheckPrescriptionRequest
) -> None:
    for _ in range(499):
        record = request_sent.patient.medications.items.add(days_supply=-1, refills=-1)
        record.dose_quantity.CopyFrom(Quantity(value=-1, unit="mgg"))

    refusal = refused(lambda: checks.CheckPrescription(request_sent))

    info = refusal.detail(error_details_pb2.ErrorInfo)
    assert refusal.code is INVALID
    assert info.metadata["violations"] == str(499 * 4)
    assert 40 < len(refusal.violations) == int(info.metadata["violations_listed"])


@pytest.mark.parametrize("size", [4 * 1024 * 1024 + 1, 5_000_000])
def test_a_large_request(raw: Raw, refused: Refused, size: int) -> None:
    refusal = refused(lambda: raw(b"\x00" * size))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")


def test_a_huge_request_is_stopped_by_the_transport(raw: Raw, refused: Refused) -> None:
    assert refused(lambda: raw(b"\x00" * 9_000_000)).code is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a\x02\xff\xfe",  # request_id is not UTF-8
        b"\x12\x04\x0a\x02\xc3\x28",  # prescription.id is not UTF-8
        b"\x0a\x05abc",  # a length beyond the end
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",  # a tag that does not end
        b"\x0f",  # a wire type that does not exist
        b"\x0b",  # a group that does not end
        b"\x00\x00",  # field number 0
        b"plain text",
        b"\x12" * 1000,
    ],
)
def test_malformed_utf8_and_malformed_wire(raw: Raw, refused: Refused, data: bytes) -> None:
    refusal = refused(lambda: raw(data))

    assert (refusal.code, refusal.reason) == (INVALID, "MALFORMED_MESSAGE")


def test_deeply_nested_bytes_are_refused(raw: Raw, refused: Refused) -> None:
    nested = b""
    for _ in range(300):
        nested = b"\x7b" + nested + b"\x7c"  # a group within a group

    assert refused(lambda: raw(nested)).code is INVALID


def test_fields_of_a_later_version_are_passed_over(raw: Raw, request_sent: CheckPrescriptionRequest) -> None:
    later = request_sent.SerializeToString() + b"\xfa\x3e\x03abc"  # field 1007

    assert CheckPrescriptionResponse.FromString(raw(later)).decision.alerts


def test_an_unknown_method(channel: grpc.Channel, refused: Refused) -> None:
    call: Any = channel.unary_unary("/medsafety.v1.MedicationSafetyService/NoSuchMethod")

    assert refused(lambda: call(b"")).code is grpc.StatusCode.UNIMPLEMENTED


def test_too_many_items(checks: MedicationSafetyServiceStub, refused: Refused) -> None:
    batch = BatchCheckPrescriptionsRequest(items=[CheckPrescriptionRequest()] * 1001)

    refusal = refused(lambda: checks.BatchCheckPrescriptions(batch))

    assert (refusal.code, refusal.reason) == (INVALID, "TOO_MANY_ITEMS")
    assert list(refusal.violations) == ["items"]


def test_policy_and_knowledge(
    checks: MedicationSafetyServiceStub, refused: Refused, request_sent: CheckPrescriptionRequest
) -> None:
    request_sent.policy = "no-such-policy"
    refusal = refused(lambda: checks.CheckPrescription(request_sent))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_POLICY")

    request_sent.policy = "default"
    request_sent.expected_knowledge_digest = "0" * 64
    refusal = refused(lambda: checks.CheckPrescription(request_sent))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "KNOWLEDGE_MISMATCH")


def test_neither_errors_nor_logs_hold_what_was_sent(
    checks: MedicationSafetyServiceStub,
    refused: Refused,
    request_sent: CheckPrescriptionRequest,
    log_lines: io.StringIO,
) -> None:
    secret = "Jane-Doe-4711"
    marked = request_sent.SerializeToString().replace(b"article-case", secret.encode()[:12])
    sent = CheckPrescriptionRequest.FromString(marked)
    for text in (sent.prescription, sent.patient, sent.patient.medications.items[0]):
        text.id = secret
    sent.prescription.dosage_text = sent.prescription.prescriber_id = secret
    sent.prescription.medication.text = f"{secret} cyclobenzaprine"
    checks.CheckPrescription(sent)

    sent.prescription.dose_quantity.unit = secret
    sent.prescription.frequency.period_unit = secret
    sent.policy = secret
    refusal = refused(lambda: checks.CheckPrescription(sent))

    assert refusal.code is INVALID
    assert secret[:12] not in f"{refusal.message}{refusal.status}"
    until = time.monotonic() + 10
    while (logged := log_lines.getvalue()).count("INVALID_ARGUMENT") == 0 and time.monotonic() < until:
        time.sleep(0.01)  # lines are written on a thread of their own
    assert secret[:12] not in logged
    lines = [json.loads(each) for each in logged.splitlines()]
    calls = [each for each in lines if each["event"] == "call"]
    assert {"OK", "INVALID_ARGUMENT"} <= {each["code"] for each in calls}
    allowed = """event level timestamp method code caller duration_us bytes_in bytes_out answers errors alerts
    overall knowledge"""
    assert all(set(each) == set(allowed.split()) for each in calls)
