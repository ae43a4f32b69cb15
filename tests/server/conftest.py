"""The article's case as a request, and the knowledge it is answered from."""

import pytest
from google.protobuf import json_format

from medsafety.v1.medication_safety_service_pb2 import CheckPrescriptionRequest
from safety_service.demo import ARTICLE_CASE
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import load_knowledge


@pytest.fixture(scope="session")
def knowledge() -> Knowledge:
    return load_knowledge()


@pytest.fixture
def request_sent() -> CheckPrescriptionRequest:
    """A fresh copy, to be changed at will."""
    return json_format.Parse(ARTICLE_CASE.read_bytes(), CheckPrescriptionRequest())
