"""Requests changed at random, field by field and byte by byte: an answer or a documented error, never a fault."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from medsafety.v1.medication_safety_service_pb2 import (
    BatchCheckPrescriptionsRequest,
    BatchCheckPrescriptionsResponse,
    CheckPrescriptionRequest,
    CheckPrescriptionResponse,
)
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server.encode_fast import FastEncoder
from safety_service.server.errors import Reason, RefusedError
from safety_service.server.handlers import Desk, Fault, Tally, check_batch, check_prescription
from tests.contract.random_requests import SENT, requests

DOCUMENTED = {each.code for each in Reason}


@pytest.fixture(scope="session")
def answer(knowledge: Knowledge) -> Callable[[bytes], None]:
    """Answers without a server; a fault fails the test with its place."""
    faults: list[Fault] = []
    desk = Desk(knowledge, check, FastEncoder(knowledge).response, b"key", faults.append)

    def documented(refused: RefusedError) -> None:
        assert not faults, faults
        assert refused.status.code in DOCUMENTED
        info = error_details_pb2.ErrorInfo()
        assert refused.status.details[0].Unpack(info)
        assert info.reason in Reason.__members__

    def ask(data: bytes) -> None:
        faults.clear()
        try:
            alone = CheckPrescriptionResponse.FromString(check_prescription(desk, data, Tally()))
        except RefusedError as refused:
            documented(refused)
        else:
            assert alone.decision.overall
        try:
            batch = b"\x0a" + _length(len(data)) + data
            together = BatchCheckPrescriptionsResponse.FromString(check_batch(desk, batch, Tally(), lambda: None))
        except RefusedError as refused:
            documented(refused)
        else:
            assert not faults, faults
            (item,) = together.items
            assert item.WhichOneof("outcome") == "response" or item.error.code in DOCUMENTED

    return ask


def _length(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + _length(number >> 7)


@settings(max_examples=20 * settings().max_examples)
@given(data=SENT)
def test_no_request_is_a_fault(answer: Callable[[bytes], None], data: bytes) -> None:
    answer(data)


@settings(max_examples=3 * settings().max_examples)
@given(data=SENT)
def test_no_request_gets_unknown_or_internal_from_a_server(raw: Callable[[bytes], bytes], data: bytes) -> None:
    refused: Any = None
    try:
        answered = CheckPrescriptionResponse.FromString(raw(data))
    except grpc.RpcError as error:
        refused = error
    if refused is None:
        assert answered.decision.overall
    else:
        assert refused.code().value[0] in DOCUMENTED, refused


@given(items=st.lists(requests(), max_size=5))
def test_a_batch_answers_each_item(raw_batch: Callable[[bytes], bytes], items: list[CheckPrescriptionRequest]) -> None:
    data = BatchCheckPrescriptionsRequest(items=items).SerializeToString()

    answered = BatchCheckPrescriptionsResponse.FromString(raw_batch(data))

    assert len(answered.items) == len(items)
    for item in answered.items:
        assert item.WhichOneof("outcome") == "response" or item.error.code in DOCUMENTED
