import re
from pathlib import Path
from typing import TypeVar

import pytest
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from safety_service.server import errors
from safety_service.server.errors import Reason, RefusedError, invalid, refusal
from safety_service.server.limits import VIOLATION_BYTES

M = TypeVar("M", bound=Message)
CONTRACT = Path(__file__).parents[2] / "proto" / "medsafety" / "v1" / "medication_safety_service.proto"


def detail(status: status_pb2.Status, kind: type[M]) -> M | None:
    for each in status.details:
        unpacked = kind()
        if each.Unpack(unpacked):
            return unpacked
    return None


def test_reasons_and_codes_are_those_of_the_contracts_table() -> None:
    rows = re.findall(r"^//   ([A-Z_]{4,}) +([A-Z_]{4,}) ", CONTRACT.read_text(), re.MULTILINE)

    assert len(rows) == 18
    assert {name: code_pb2.Code.Value(code) for name, code in rows} == {each.name: each.code for each in Reason}


def test_all_violations_fit_or_are_counted() -> None:
    few = [(f"patient.conditions.items[{i}].status", "must be 0 to 8") for i in range(20)]
    many = few * 500

    for violations, all_listed in ((few, True), (many, False)):
        status = invalid(violations, False).status
        listed = detail(status, error_details_pb2.BadRequest)
        info = detail(status, error_details_pb2.ErrorInfo)
        assert listed is not None
        assert info is not None
        assert (len(listed.field_violations) == len(violations)) is all_listed
        assert info.metadata["violations"] == str(len(violations))
        assert info.metadata["violations_listed"] == str(len(listed.field_violations))
        assert [(each.field, each.description) for each in listed.field_violations] == violations[
            : len(listed.field_violations)
        ]
        # As a trailer it is sent in base64, and clients take 8 KiB of trailers.
        assert status.ByteSize() < VIOLATION_BYTES.value + 600 < 6000


@pytest.mark.parametrize(
    ("count", "message"),
    [(1, "a: wrong"), (2, "a: wrong (and one more)"), (4, "a: wrong (and 3 more)")],
)
def test_the_message_names_the_first_violation(count: int, message: str) -> None:
    assert invalid([("a", "wrong")] * count, False).status.message == message


def test_only_lists_that_are_too_long_have_a_reason_of_their_own() -> None:
    for only_too_many, reason in ((True, "TOO_MANY_ITEMS"), (False, "INVALID_FIELD")):
        info = detail(invalid([("items", "at most 1000 items")], only_too_many).status, error_details_pb2.ErrorInfo)
        assert info is not None
        assert (info.reason, info.domain) == (reason, "medsafety")


def test_when_to_retry() -> None:
    wait = detail(refusal(Reason.OVERLOADED, "x", retry_ms=1250).status, error_details_pb2.RetryInfo)

    assert wait is not None
    assert wait.retry_delay.ToTimedelta().total_seconds() == 1.25
    assert detail(refusal(Reason.NOT_FOUND, "x").status, error_details_pb2.RetryInfo) is None


@pytest.mark.parametrize(
    ("refused", "code"),
    [
        (errors.internal("ab12"), code_pb2.INTERNAL),
        (errors.deadline_exceeded(), code_pb2.DEADLINE_EXCEEDED),
        (errors.cancelled(), code_pb2.CANCELLED),
        (errors.draining(), code_pb2.UNAVAILABLE),
        (errors.malformed(), code_pb2.INVALID_ARGUMENT),
        (errors.too_large("the request", 5_000_000, 4_194_304), code_pb2.RESOURCE_EXHAUSTED),
    ],
)
def test_codes(refused: RefusedError, code: int) -> None:
    assert refused.status.code == code
    assert refused.status.message
