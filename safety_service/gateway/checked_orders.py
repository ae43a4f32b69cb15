"""Each order of a call, checked: FHIR in, the decision of the engine out, with all that ties the two together."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import NamedTuple, Protocol

from medsafety.v1 import common_pb2, medication_safety_service_pb2, patient_pb2
from medsafety.v1.medication_safety_service_pb2 import CheckPrescriptionRequest
from safety_service.domain import CheckRequest, Decision, NotProcessed, to_day
from safety_service.gateway.accept import accepted
from safety_service.gateway.fhir import dates
from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.orders import ORDER, read_order, read_record
from safety_service.gateway.fhir.people import Person, read_person
from safety_service.gateway.fhir.pool import Pool, own_reference, subject_of
from safety_service.gateway.fhir.prefetch import Fetched
from safety_service.gateway.fhir.shapes import Resource, kind
from safety_service.gateway.hook_request import Draft
from safety_service.gateway.last_dose import put_last_dose
from safety_service.gateway.stated import Stated, put
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server import limits
from safety_service.server.decode import InvalidRequestError

_ITEM = re.compile(r"patient\.(conditions|medications)\.items\[(\d+)\]")

Engine = Callable[[Knowledge, CheckRequest, bytes], Decision]


@dataclass(frozen=True, slots=True)
class Desk:
    """What orders are checked with. `today` is the server's UTC day."""

    knowledge: Knowledge
    engine: Engine
    fingerprint_key: bytes
    today: Callable[[], date]


class Sent(Protocol):
    """The part of a call that orders are checked from."""

    @property
    def patient_id(self) -> str: ...
    @property
    def drafts(self) -> Sequence[Draft]: ...
    @property
    def stated(self) -> Stated: ...


@dataclass(frozen=True, slots=True)
class Decided:
    """What the engine was asked and answered, for the record; `sent` is the same request in bytes."""

    request: CheckRequest
    decision: Decision
    sent: bytes


@dataclass(frozen=True, slots=True)
class CheckedOrder:
    """An order with its decision, or with the reason why there is none. `said` explains how the order was read.

    `unread`: the order was named only, and neither sent nor found.
    """

    draft: Draft
    decision: Decision | None
    said: tuple[str, ...] = ()
    why_not: str = ""
    unread: bool = False
    decided: Decided | None = None

    @property
    def reference(self) -> str:
        """What the order is called in the answer."""
        return own_reference(self.draft.resource) or self.draft.place


def check_orders(
    desk: Desk,
    sent: Sent,
    selected: Callable[[Draft], bool],
    fetched: Mapping[str, Fetched],
    pool: Pool,
    fetch_notes: Notes,
    overrides: Sequence[medication_safety_service_pb2.PriorOverride] = (),
) -> list[CheckedOrder]:
    """One answer for each medication order that is selected; all others that were sent are what is also ordered.

    `fetched` is what came with the call, by prefetch key; what it could not use is in `fetch_notes`. `overrides` are
    those that this service was told of itself.
    """
    drafts = sent.drafts
    for each in drafts:
        pool.add(each.resource, each.full_url)
    today = desk.today()
    person = read_person(sent.patient_id, fetched, pool, desk.knowledge.care, today)
    person.notes.unused += fetch_notes.unused
    person.notes.said += fetch_notes.said
    if sent.stated.patient is not None:
        person.message.MergeFrom(sent.stated.patient)
    orders = [each for each in drafts if _is_order(each.resource)]
    as_of = _decision_day(today, orders, person.message)
    beside = _Beside(sent.stated, (*sent.stated.overrides, *overrides)[: limits.LIST_ITEMS.value])
    return [
        _check_order(desk, person, each, [other for other in orders if other is not each], pool, as_of, beside)
        for each in orders
        if selected(each)
    ]


class _Beside(NamedTuple):
    """What was said beside the orders and the patient."""

    stated: Stated
    overrides: Sequence[medication_safety_service_pb2.PriorOverride]


def _is_order(resource: Resource) -> bool:
    """Whatever its status, but neither a mistake nor an order not to give something."""
    wrong = resource.get("status") == "entered-in-error" or resource.get("doNotPerform") is True
    return kind(resource) == ORDER and not wrong


def _decision_day(today: date, orders: Sequence[Draft], patient: patient_pb2.Patient) -> date:
    """Today at the place of care, which may be a day ahead of UTC: what is dated tomorrow here is known there."""
    tomorrow = today + timedelta(days=1)
    notes = Notes()
    dated = [dates.read_date(each.resource.get("authoredOn"), "", notes) for each in orders]
    dated += [each.known_on for each in patient.medications.items]
    return tomorrow if any(dates.calendar(each) == tomorrow for each in dated) else today


def _check_order(
    desk: Desk,
    person: Person,
    draft: Draft,
    others: Sequence[Draft],
    pool: Pool,
    as_of: date,
    beside: _Beside,
) -> CheckedOrder:
    notes = Notes()
    resource = draft.resource
    sent = CheckPrescriptionRequest(patient=person.message, as_of=dates.as_message(as_of))
    sent.prescription.CopyFrom(read_order(resource, draft.place, pool, as_of, notes))
    stated = beside.stated.prescriptions.get(sent.prescription.id)
    if stated is not None:
        put(sent.prescription, stated)
    put_last_dose(sent.prescription, resource, draft.place, desk.knowledge, pool, as_of, notes)
    sent.prior_overrides.extend(beside.overrides)
    medications = list(person.medications)
    _leave_out(sent.patient.medications, medications, sent.prescription.id)
    for other in others:
        _add_draft(sent.patient.medications, medications, other, pool, as_of, notes)
    subject = subject_of(resource)
    if subject and subject != f"Patient/{sent.patient.id}":
        notes.not_used(f"{draft.place}.subject", "is another patient than context.patientId, for whom it was checked")
    said = tuple(dict.fromkeys([*notes.said, *person.notes.said]))
    try:
        request = accepted(sent, to_day(as_of))
    except InvalidRequestError as error:
        path, reason = error.violations[0]
        return CheckedOrder(draft, None, said, f"{path}: {reason}")
    unused = (*notes.unused, *person.notes.unused, *request.not_processed)
    request = replace(request, not_processed=unused)
    decision = desk.engine(desk.knowledge, request, desk.fingerprint_key)
    decided = Decided(request, decision, sent.SerializeToString(deterministic=True))
    placed = [
        NotProcessed(_placed(each.path, draft, person.conditions, medications), each.reason)
        for each in decision.not_processed
    ]
    return CheckedOrder(draft, decision._replace(not_processed=tuple(dict.fromkeys(placed))), said, decided=decided)


def _leave_out(target: patient_pb2.MedicationRecordList, places: list[str], order_id: str) -> None:
    """The order itself, where the client has it among the medications already."""
    for i in reversed(range(len(target.items))):
        if target.items[i].id == order_id:
            del target.items[i]
            del places[i]


def _add_draft(
    target: patient_pb2.MedicationRecordList, places: list[str], draft: Draft, pool: Pool, as_of: date, notes: Notes
) -> None:
    """Another order of the same call, which is about to be taken beside this one."""
    held = read_record(_as_planned(draft.resource), draft.place, pool, as_of, notes)
    if held is None:
        return
    own_id = own_reference(draft.resource)
    _leave_out(target, places, own_id or draft.place)
    held.id = own_id or draft.place
    if not held.HasField("known_on"):
        held.known_on.CopyFrom(dates.as_message(as_of))
    target.items.append(held)
    places.append(draft.place)
    if len(target.items) > limits.LIST_ITEMS.value:
        del target.items[0], places[0]
        target.completeness = common_pb2.COMPLETENESS_PARTIAL
    if not target.completeness:
        target.completeness = common_pb2.COMPLETENESS_PARTIAL


def _as_planned(resource: Resource) -> Resource:
    """A draft is about to be taken, whatever its status says; what is an error stays one."""
    if resource.get("status") in ("entered-in-error", "cancelled"):
        return resource
    return {**resource, "status": "draft"}


def _placed(path: str, draft: Draft, conditions: Sequence[str], medications: Sequence[str]) -> str:
    """A path of the contract as the place in this call where it came from."""
    if path == "prescription" or path.startswith("prescription."):
        return f"{draft.place}{path.removeprefix('prescription')}"
    found = _ITEM.match(path)
    if found is None:
        return path
    places = conditions if found[1] == "conditions" else medications
    at = int(found[2])
    return f"{places[at]}{path[found.end() :]}" if at < len(places) else path
