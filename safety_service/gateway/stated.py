"""Facts that FHIR has no code for, as the client states them in the extension of a call.

They have the names of the contract, `{"patient": {"hepatic": {"grade": "HEPATIC_GRADE_MILD"}}}`, which are those that
an answer asks for.
"""

from __future__ import annotations

from typing import Any

import orjson

from medsafety.v1 import patient_pb2
from safety_service.gateway.fhir.shapes import Json
from safety_service.gateway.problems import ProblemError, refused
from safety_service.request_file import UnreadableFileError, read_requests

EXTENSION = "org.example.medsafety"  # the name of the contract page, until the project has a domain of its own
_AS_FHIR = ("conditions", "medications", "allergies")


def read_stated(extension: Json) -> patient_pb2.Patient | None:
    """What is stated of the patient. Raises ProblemError 400 that names every member at fault."""
    held: Any = extension.get(EXTENSION) if isinstance(extension, dict) else None
    if held is None:
        return None
    at = f"extension.{EXTENSION}"
    if not isinstance(held, dict):
        raise refused(400, "structure", "must be an object", at)
    patient = held.get("patient")
    if patient is None:
        return None
    try:
        (read,) = read_requests(orjson.dumps({"patient": patient}), quote=False)
    except UnreadableFileError as error:
        raise ProblemError(400, [("value", each.reason, f"{at}.{each.field}") for each in error.violations]) from None
    given = [name for name in _AS_FHIR if read.patient.HasField(name)]  # type: ignore[arg-type]
    if given:
        raise ProblemError(
            400,
            [("not-supported", "send these as FHIR resources in prefetch", f"{at}.patient.{each}") for each in given],
        )
    return read.patient
