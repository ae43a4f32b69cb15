"""What FHIR has no place for, as the client states it in the extension of a call, in the names of the contract.

{"patient": {"hepatic": {"grade": "HEPATIC_GRADE_MILD"}},
 "prescriptions": {"MedicationRequest/mr1": {"lastOrder": "ANSWER_YES", "tapering": "ANSWER_NO"}},
 "priorOverrides": [{"fingerprint": "...", "overriddenOn": {"year": 2026, "month": 11, "day": 20}}]}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from google.protobuf.message import Message

from medsafety import CheckPrescriptionRequest
from medsafety.v1 import medication_safety_service_pb2, patient_pb2, prescription_pb2
from safety_service.gateway.fhir.shapes import Json, Resource
from safety_service.gateway.problems import ProblemError, refused
from safety_service.request_file import UnreadableFileError, read_requests
from safety_service.server.decode import InvalidRequestError, decode

EXTENSION = "org.example.medsafety"  # the name of the contract page, until the project has a domain of its own
PATIENT, PRESCRIPTIONS, OVERRIDES = "patient", "prescriptions", "priorOverrides"
_AS_FHIR = ("conditions", "medications", "allergies")
OF_ORDER = ("last_order", "tapering", "last_dose", "benefit_documented", "treatment_status")
_MOST_ORDERS = 100


@dataclass(frozen=True, slots=True)
class Stated:
    """`prescriptions` by the reference of the order."""

    patient: patient_pb2.Patient | None = None
    prescriptions: Mapping[str, prescription_pb2.Prescription] = field(default_factory=dict)
    overrides: tuple[medication_safety_service_pb2.PriorOverride, ...] = ()


NOTHING = Stated()


def read_stated(extension: Json) -> Stated:
    """What is stated. Raises ProblemError 400 that names every member at fault."""
    held: Any = extension.get(EXTENSION) if isinstance(extension, dict) else None
    if held is None:
        return NOTHING
    at = f"extension.{EXTENSION}"
    if not isinstance(held, dict):
        raise refused(400, "structure", "must be an object", at)
    issues: list[tuple[str, str, str]] = []
    patient = _patient(held, at, issues) if held.get(PATIENT) is not None else None
    prescriptions = _prescriptions(held.get(PRESCRIPTIONS), f"{at}.{PRESCRIPTIONS}", issues)
    overrides = _overrides(held, at, issues) if held.get(OVERRIDES) is not None else ()
    if issues:
        raise ProblemError(400, issues)
    return Stated(patient, prescriptions, overrides)


def _patient(held: Resource, at: str, issues: list[tuple[str, str, str]]) -> patient_pb2.Patient | None:
    read = _read({PATIENT: held[PATIENT]}, at, issues)
    if read is None:
        return None
    given = [name for name in _AS_FHIR if read.patient.HasField(name)]  # type: ignore[arg-type]
    issues += [("not-supported", "send these as FHIR resources in prefetch", f"{at}.patient.{each}") for each in given]
    return read.patient


def _prescriptions(sent: Json, at: str, issues: list[tuple[str, str, str]]) -> dict[str, prescription_pb2.Prescription]:
    if sent is None:
        return {}
    if not isinstance(sent, dict) or len(sent) > _MOST_ORDERS:
        issues.append(("structure", f"must be an object with the references of at most {_MOST_ORDERS} orders", at))
        return {}
    found = {}
    for reference, facts in sent.items():
        here: list[tuple[str, str, str]] = []
        read = _read({"prescription": facts}, at, here)
        own = f"{at}.{reference[:64]}"
        issues += [(code, why, member.replace(f"{at}.prescription", own, 1)) for code, why, member in here]
        if read is None:
            continue
        others = [each.name for each, _ in read.prescription.ListFields() if each.name not in OF_ORDER]
        issues += [("not-supported", "send this in the order itself", f"{own}.{each}") for each in others]
        found[reference] = read.prescription
    return found


def _overrides(
    held: Resource, at: str, issues: list[tuple[str, str, str]]
) -> tuple[medication_safety_service_pb2.PriorOverride, ...]:
    read = _read({OVERRIDES: held[OVERRIDES]}, at, issues)
    if read is None:
        return ()
    read.prescription.medication.text = "any"  # the contract's own checks, which need an order to check
    try:
        decode(read, 0)
    except InvalidRequestError as error:
        issues += [
            ("value", why, f"{at}.{path.replace('prior_overrides', OVERRIDES)}") for path, why in error.violations
        ]
    return tuple(read.prior_overrides)


def _read(facts: Resource, at: str, issues: list[tuple[str, str, str]]) -> CheckPrescriptionRequest | None:
    try:
        (read,) = read_requests(orjson.dumps(facts), quote=False)
    except UnreadableFileError as error:
        for each in error.violations:
            issues.append(("value", each.reason, f"{at}.{each.field.replace('prior_overrides', OVERRIDES)}"))
        return None
    return read


def put(target: Message, stated: Message) -> None:
    """What is stated of the order, in place of what was read of it."""
    for each, _ in stated.ListFields():
        target.ClearField(each.name)
    target.MergeFrom(stated)
