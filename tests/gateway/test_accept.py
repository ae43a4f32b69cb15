"""One definition of what is possible: the contract's. Here it takes out instead of refusing, and says so."""

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import given

from medsafety.v1.medication_safety_service_pb2 import CheckPrescriptionRequest
from safety_service.domain import Completeness
from safety_service.gateway.accept import accepted
from safety_service.server.decode import InvalidRequestError, decode
from tests.contract.random_requests import requests

DAY = 20_000
RELAXANT = {"medication": {"text": "cyclobenzaprine 10 mg tablet"}}


def test_what_is_possible_is_the_request_of_the_other_door() -> None:
    sent = ParseDict({"prescription": {**RELAXANT, "refills": 1}}, CheckPrescriptionRequest())
    assert accepted(sent, DAY) == decode(sent, DAY).request


def test_what_is_impossible_is_unknown_and_named() -> None:
    prescription = {
        **RELAXANT,
        "doseQuantity": {"value": 1e9, "unit": "mg"},
        "frequency": {"times": 500, "period": 1, "periodUnit": "d"},
        "daysSupply": 400,
        "refills": 1,
        "orderedOn": {"year": 2026, "month": 2, "day": 30},
    }
    sent = ParseDict({"prescription": prescription}, CheckPrescriptionRequest())
    request = accepted(sent, DAY)
    told = request.prescription
    assert (told.dose_high, told.frequency, told.days_supply, told.ordered_on) == (None, None, None, None)
    assert told.refills == 1
    assert {each.path for each in request.not_processed} >= {
        "prescription.dose_quantity.value",
        "prescription.frequency.times",
        "prescription.days_supply",
        "prescription.ordered_on",
    }


def test_an_order_without_a_medication_is_refused() -> None:
    sent = ParseDict({"prescription": {"daysSupply": 400}}, CheckPrescriptionRequest())
    with pytest.raises(InvalidRequestError):
        accepted(sent, DAY)


def test_a_list_that_is_too_long_does_not_become_none() -> None:
    sent = ParseDict({"prescription": RELAXANT}, CheckPrescriptionRequest())
    for _ in range(501):
        sent.patient.conditions.items.add(text="x")
    sent.patient.conditions.completeness = 2  # type: ignore[assignment]
    assert accepted(sent, DAY).patient.conditions.completeness is Completeness.UNKNOWN


@given(requests())
def test_nothing_but_a_missing_medication_is_refused(sent: CheckPrescriptionRequest) -> None:
    sent.ClearField("prior_overrides")  # the gateway sends none
    plain = _read(decode, sent)
    told = _read(accepted, sent)
    if isinstance(told, set):
        assert isinstance(plain, set)
        assert told <= {"prescription", "prescription.medication"}
    elif not isinstance(plain, set):
        assert told == plain.request


def _read(by: Any, sent: CheckPrescriptionRequest) -> Any:
    """What is read, or the paths at fault."""
    try:
        return by(sent, DAY)
    except InvalidRequestError as error:
        return {path for path, _ in error.violations}
