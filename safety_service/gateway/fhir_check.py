"""`POST /fhir/$check`: FHIR in, FHIR out. Parameters hold the orders and what is known of the patient.

`order` (once or more) is a MedicationRequest; `patient` and every other name is a key of our prefetch, with a resource
or a Bundle; a name without a resource says that there is none. `facts` has what FHIR has no code for, as parts with the
names of the contract: `{"name": "hepatic.grade", "valueCode": "HEPATIC_GRADE_MILD"}`. Names that begin with
`prescription.` tell of the order, where there is one: `prescription.lastOrder`. `overridden` is an alert that somebody
overrode, with the parts `fingerprint`, `overriddenOn` (a whole date) and `reason`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medsafety import CheckPrescriptionRequest
from medsafety.v1 import patient_pb2
from safety_service.domain import View
from safety_service.gateway.checked_orders import CheckedOrder, Desk, check_orders
from safety_service.gateway.discovery import PREFETCH
from safety_service.gateway.fhir import dates
from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.pool import Pool, own_reference, subject_of
from safety_service.gateway.fhir.prefetch import read_prefetch
from safety_service.gateway.fhir.shapes import Json, Resource, kind, record, text
from safety_service.gateway.hook_request import Draft
from safety_service.gateway.problems import ProblemError, refused
from safety_service.gateway.stated import EXTENSION, NOTHING, OVERRIDES, PATIENT, PRESCRIPTIONS, Stated, read_stated
from safety_service.knowledge.knowledge import Knowledge
from safety_service.report import fhir
from safety_service.server import limits
from safety_service.server.encode import encode_response, uuid4_bytes

ORDER, FACTS, OVERRIDDEN = "order", "facts", "overridden"
_MOST_FACTS = 50


@dataclass(frozen=True, slots=True)
class FhirRequest:
    """What is asked: the orders, and what was sent beside them by prefetch key."""

    patient_id: str
    drafts: tuple[Draft, ...]
    prefetch: Resource = field(default_factory=dict)
    stated: Stated = NOTHING


def read_parameters(body: Json) -> FhirRequest:
    """Raises ProblemError 400 that names every member at fault."""
    if not isinstance(body, dict) or kind(body) != "Parameters":
        raise refused(400, "structure", "must be Parameters", "resourceType")
    sent = body.get("parameter")
    if not isinstance(sent, list):
        raise refused(400, "required", "is required", "parameter")
    issues: list[tuple[str, str, str]] = []
    drafts: list[Draft] = []
    prefetch: Resource = {}
    facts: dict[str, Any] = {}
    overridden: list[Resource] = []
    for i, each in enumerate(sent):
        at = f"parameter[{i}]"
        name = text(record(each).get("name"))
        resource = record(each).get("resource")
        if resource is not None and not kind(resource):
            issues.append(("structure", "must be a FHIR resource with a resourceType", f"{at}.resource"))
        elif name == ORDER:
            if kind(resource) == "MedicationRequest":
                drafts.append(Draft(f"{at}.resource", resource))  # type: ignore[arg-type]
            else:
                issues.append(("value", "must be a MedicationRequest", f"{at}.resource"))
        elif name == FACTS:
            _read_facts(record(each).get("part"), at, facts, issues)
        elif name == OVERRIDDEN:
            override: dict[str, Any] = {}
            _read_facts(record(each).get("part"), at, override, issues)
            if "overriddenOn" in override:
                override["overriddenOn"] = _date(override["overriddenOn"], f"{at}.part", issues)
            overridden.append(override)
        elif name in PREFETCH:
            prefetch[name] = resource
        else:
            issues.append(
                (
                    "not-supported",
                    f"must be {ORDER}, {FACTS}, {OVERRIDDEN} or one of {', '.join(PREFETCH)}",
                    f"{at}.name",
                )
            )
    if not drafts and not issues:
        issues.append(("required", "an order is required", "parameter"))
    stated = NOTHING
    if not issues:
        stated = _stated(facts, overridden, drafts)
    if issues:
        raise ProblemError(400, issues)
    patient_id = text(record(prefetch.get("patient")).get("id"))
    if not patient_id:
        patient_id = subject_of(drafts[0].resource).removeprefix("Patient/")
    return FhirRequest(patient_id[: limits.NAME_CHARACTERS.value], tuple(drafts), prefetch, stated)


def _read_facts(parts: Json, at: str, facts: dict[str, Any], issues: list[tuple[str, str, str]]) -> None:
    """Each part by its dotted name; what is wrong with a value the contract says."""
    if not isinstance(parts, list) or len(parts) > _MOST_FACTS:
        issues.append(("structure", f"must be an array of at most {_MOST_FACTS}", f"{at}.part"))
        return
    for j, each in enumerate(parts):
        held = record(each)
        names = text(held.get("name")).split(".")
        values = [value for name, value in held.items() if name.startswith("value")]
        if not all(names) or len(values) != 1 or isinstance(values[0], dict | list):
            issues.append(("value", "must have a name and one simple value", f"{at}.part[{j}]"))
            continue
        target: Any = facts
        for name in names[:-1]:
            target = target.setdefault(name, {}) if isinstance(target, dict) else None
        if not isinstance(target, dict):
            issues.append(("value", "contradicts another part", f"{at}.part[{j}]"))
            continue
        target[names[-1]] = values[0]


def _date(sent: Json, at: str, issues: list[tuple[str, str, str]]) -> Resource:
    on = dates.calendar(dates.read_date(sent, at, Notes()))
    if on is None:
        issues.append(("value", "overriddenOn must be a whole date", at))
        return {}
    return {"year": on.year, "month": on.month, "day": on.day}


def _stated(facts: dict[str, Any], overridden: list[Resource], drafts: Sequence[Draft]) -> Stated:
    of_order = facts.pop("prescription", None)
    if of_order is not None and len(drafts) != 1:
        raise refused(400, "value", "which order this is of cannot be told: send one order", f"{FACTS}.prescription")
    held: Resource = {}
    if facts:
        held[PATIENT] = facts
    if of_order is not None:
        held[PRESCRIPTIONS] = {own_reference(drafts[0].resource) or drafts[0].place: of_order}
    if overridden:
        held[OVERRIDES] = overridden
    try:
        return read_stated({EXTENSION: held} if held else None)
    except ProblemError as problem:
        issues = [(code, why, _own_name(member)) for code, why, member in problem.issues]
        raise ProblemError(400, issues) from None


def _own_name(member: str) -> str:
    """A member of the extension as the parameter it came from."""
    member = member.removeprefix(f"extension.{EXTENSION}.")
    if member.startswith(PRESCRIPTIONS):
        return f"{FACTS}.prescription.{member.rpartition('.')[2]}"
    if member.startswith(OVERRIDES):
        return member.replace(OVERRIDES, OVERRIDDEN, 1)
    return f"{FACTS}{member.removeprefix(PATIENT)}"


def answer_fhir(
    desk: Desk,
    sent: FhirRequest,
    random: Callable[[int], bytes],
    now_ns: int,
    keep: Callable[[CheckedOrder, bytes], bool] = lambda order, decision_id: True,
) -> Resource:
    """A Bundle with the issues and the guidance of each order.

    `keep` records an order with its decision id; where it could not and may answer nevertheless, the Bundle is tagged.
    """
    pool, notes = Pool(), Notes()
    fetched = read_prefetch(sent.prefetch, pool, notes)
    orders = check_orders(desk, sent, lambda draft: True, fetched, pool, notes)
    identified = [(each, uuid4_bytes(random(16))) for each in orders]
    logged = [keep(*each) for each in identified]
    bundles = [_of_order(desk.knowledge, each, sent.patient_id, its_id, now_ns) for each, its_id in identified]
    if not bundles:
        raise refused(400, "value", "none is an order: all are mistakes, or say what not to give", "parameter")
    whole = {**bundles[0], "entry": [entry for each in bundles for entry in each["entry"]]}
    return whole if all(logged) else {**whole, "meta": {"tag": [{"system": EXTENSION, "code": "not-logged"}]}}


def _of_order(
    knowledge: Knowledge, order: CheckedOrder, patient_id: str, decision_id: bytes, now_ns: int
) -> Mapping[str, Any]:
    request = CheckPrescriptionRequest(request_id=order.reference, patient=patient_pb2.Patient(id=patient_id))
    if order.decision is None:
        return fhir.not_checked(f"{order.reference} was not checked: {order.why_not}", decision_id, now_ns)
    response = encode_response(knowledge, order.decision, View.FULL, order.reference, decision_id, now_ns)
    return fhir.bundle(response, request)
