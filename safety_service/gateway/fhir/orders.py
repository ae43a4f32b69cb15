"""MedicationRequest, MedicationDispense and MedicationStatement: the order under check, and records beside it."""

from __future__ import annotations

from datetime import date

from medsafety.v1 import common_pb2, condition_pb2, medication_pb2, patient_pb2, prescription_pb2
from safety_service.gateway.fhir import dates
from safety_service.gateway.fhir.conditions import read_condition
from safety_service.gateway.fhir.dosage import Instructions, Target, read_instructions
from safety_service.gateway.fhir.medication import read_codings, read_medication
from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.pool import Pool, own_reference, type_and_id
from safety_service.gateway.fhir.quantities import Span, read_amount, read_span
from safety_service.gateway.fhir.shapes import Resource, kind, listed, record, text, whole
from safety_service.gateway.fhir.timing import first_day_without
from safety_service.server import limits

ORDER, DISPENSE, STATEMENT = "MedicationRequest", "MedicationDispense", "MedicationStatement"

_ACTIVE = patient_pb2.RECORD_STATUS_ACTIVE
_COMPLETED = patient_pb2.RECORD_STATUS_COMPLETED
_STOPPED = patient_pb2.RECORD_STATUS_STOPPED
_PLANNED = patient_pb2.RECORD_STATUS_PLANNED
_UNKNOWN = patient_pb2.RECORD_STATUS_UNKNOWN
_NEVER = patient_pb2.RECORD_STATUS_ENTERED_IN_ERROR  # read as if it had not been sent
# A dispensing that is completed was handed out, which does not say that the taking has ended.
_STATUS: dict[str, dict[str, patient_pb2.RecordStatus.ValueType]] = {
    ORDER: {
        "active": _ACTIVE,
        "completed": _COMPLETED,
        "stopped": _STOPPED,
        "draft": _PLANNED,
        "unknown": _UNKNOWN,
        "cancelled": _NEVER,
        "entered-in-error": _NEVER,
    },
    DISPENSE: {
        "preparation": _PLANNED,
        "in-progress": _PLANNED,
        "stopped": _STOPPED,
        "unknown": _UNKNOWN,
        "cancelled": _NEVER,
        "declined": _NEVER,
        "entered-in-error": _NEVER,
    },
    STATEMENT: {
        "active": _ACTIVE,
        "completed": _COMPLETED,
        "stopped": _STOPPED,
        "intended": _PLANNED,
        "unknown": _UNKNOWN,
        "not-taken": _NEVER,
        "entered-in-error": _NEVER,
    },
}
_NOT_YET = ("proposal", "plan", "option")  # intents


def read_order(resource: Resource, place: str, pool: Pool, today: date, notes: Notes) -> prescription_pb2.Prescription:
    """The order under check, whatever its status. `today` is the day of the call."""
    order = prescription_pb2.Prescription(
        id=own_reference(resource) or place,
        kind=medication_pb2.RECORD_KIND_DISPENSING if kind(resource) == DISPENSE else medication_pb2.RECORD_KIND_ORDER,
    )
    read_medication(order.medication, resource, place, pool, notes)
    told = _instructions(resource, place, notes)
    told.put_dose(order)
    order.route = told.route
    order.dosage_text = told.words
    _put_day(order, "ordered_on", resource.get(_DAY[kind(resource)]), f"{place}.{_DAY[kind(resource)]}", notes)
    if told.course.start is not None:
        order.start_date.CopyFrom(told.course.start)
    _put_supply(order, resource, told, place, today, notes)
    order.indications.extend(_indications(resource, place, pool, notes))
    requester = record(resource.get("requester"))
    order.prescriber_id = type_and_id(text(requester.get("reference")))
    if told.daily_most is not None:
        order.daily_most.CopyFrom(told.daily_most.message())
    if told.goes_down:
        order.tapering = common_pb2.ANSWER_YES
        notes.say(f"{place}.dosageInstruction: each step is less than the one before: read as a taper")
    order.last_order = _last_order(resource)
    return order


_COURSE = "http://terminology.hl7.org/CodeSystem/medicationrequest-course-of-therapy"
# HL7: an acute course ends with the order and is not renewed; a continuous one goes on beyond it.
_LAST_ORDER = {"acute": common_pb2.ANSWER_YES, "continuous": common_pb2.ANSWER_NO}


def _last_order(resource: Resource) -> common_pb2.Answer.ValueType:
    codings = map(record, listed(record(resource.get("courseOfTherapyType")).get("coding")))
    found = {_LAST_ORDER.get(text(each.get("code"))) for each in codings if text(each.get("system")) == _COURSE}
    return found.pop() or common_pb2.ANSWER_UNSPECIFIED if len(found) == 1 else common_pb2.ANSWER_UNSPECIFIED


_DAY = {ORDER: "authoredOn", DISPENSE: "whenHandedOver", STATEMENT: "dateAsserted"}


def read_record(
    resource: Resource, place: str, pool: Pool, today: date, notes: Notes
) -> patient_pb2.MedicationRecord | None:
    """A record of the history; None for what is no record of taking a medication."""
    name = kind(resource)
    if resource.get("doNotPerform") is True:
        notes.say(f"{place} says what not to take, and is no record of taking it")
        return None
    status = _STATUS[name].get(text(resource.get("status")), patient_pb2.RECORD_STATUS_UNSPECIFIED)
    if status == _NEVER:
        return None
    if name == ORDER and text(resource.get("intent")) in _NOT_YET:
        status = _PLANNED
    held = patient_pb2.MedicationRecord(id=own_reference(resource), status=status, kind=_KIND[name])
    read_medication(held.medication, resource, place, pool, notes)
    told = _instructions(resource, place, notes)
    told.put_dose(held)
    day = _DAY[name]
    if name == DISPENSE and "whenHandedOver" not in resource:
        day = "whenPrepared"
    _put_day(held, "known_on", resource.get(day), f"{place}.{day}", notes)
    if told.course.start is not None:
        held.start_date.CopyFrom(told.course.start)
    _put_supply(held, resource, told, place, today, notes)
    if name == STATEMENT:
        _put_effective(held, resource, place, notes)
    held.indications.extend(_indications(resource, place, pool, notes))
    held.prescriber_id = type_and_id(text(record(resource.get("requester")).get("reference")))
    return held


_KIND = {
    ORDER: medication_pb2.RECORD_KIND_ORDER,
    DISPENSE: medication_pb2.RECORD_KIND_DISPENSING,
    STATEMENT: medication_pb2.RECORD_KIND_STATEMENT,
}


def _instructions(resource: Resource, place: str, notes: Notes) -> Instructions:
    name = "dosage" if kind(resource) == STATEMENT else "dosageInstruction"
    return read_instructions(resource.get(name), f"{place}.{name}", notes)


def _put_day(target: Target, name: str, sent: object, place: str, notes: Notes) -> None:
    on = dates.read_date(sent, place, notes)
    if on is not None:
        getattr(target, name).CopyFrom(on)


# --- how long ----------------------------------------------------------------------------------------------------


def _put_supply(target: Target, resource: Resource, told: Instructions, place: str, today: date, notes: Notes) -> None:
    """Days of one fill, refills, quantity and end.

    What a fill is expected to last counts first, then the bounds of the instructions, which are those of the whole
    course: with refills beside them it is open whether the bounds include these.
    """
    if kind(resource) == DISPENSE:
        days = read_span(resource.get("daysSupply"), f"{place}.daysSupply", notes)
        quantity = read_amount(resource.get("quantity"), f"{place}.quantity", notes)
        refills = None
    else:
        request = record(resource.get("dispenseRequest"))
        at = f"{place}.dispenseRequest"
        days = read_span(request.get("expectedSupplyDuration"), f"{at}.expectedSupplyDuration", notes)
        quantity = read_amount(request.get("quantity"), f"{at}.quantity", notes)
        refills = whole(request.get("numberOfRepeatsAllowed"))
        if refills is None and "numberOfRepeatsAllowed" in request:
            notes.not_used(f"{at}.numberOfRepeatsAllowed", "is not a whole number")
    begins = _begins(target) or today
    end = first_day_without(told.course, begins)
    days_supply = _days(days, begins)
    if days_supply is not None:
        target.days_supply = days_supply
        _compare(days_supply, refills, end, begins, place, notes)
    elif end is not None:
        target.end_date.CopyFrom(end)
        if refills:
            notes.not_used(
                f"{place}.dispenseRequest.numberOfRepeatsAllowed",
                "the bounds of the timing may include the refills already: send expectedSupplyDuration",
            )
            refills = None
    elif quantity is None and record(record(resource.get("dispenseRequest")).get("validityPeriod")):
        notes.not_used(
            f"{place}.dispenseRequest.validityPeriod",
            "says until when it may be dispensed, not how long it is taken: send expectedSupplyDuration",
        )
    if quantity is not None:
        target.quantity.CopyFrom(quantity.message())
    if refills is not None:
        target.refills = refills


def _begins(target: Target) -> date | None:
    for name in ("start_date", "ordered_on" if isinstance(target, prescription_pb2.Prescription) else "known_on"):
        if target.HasField(name):  # type: ignore[arg-type]
            return dates.calendar(getattr(target, name))
    return None


def _days(span: Span | None, begins: date) -> int | None:
    """Whole days; months are counted in the calendar from the first day."""
    if span is None:
        return None
    if not span.months:
        return span.days
    after = dates.plus_months(begins, span.months)
    return None if after is None else (after - begins).days


def _compare(days: int, refills: int | None, end: object, begins: date, place: str, notes: Notes) -> None:
    """Says where the bounds of the timing and the days supplied are of different lengths."""
    last = dates.calendar(end)  # type: ignore[arg-type]
    if last is None:
        return
    bounds = (last - begins).days
    fills = 1 + (refills or 0)
    # An end that is meant as the first day without it is a day longer when read as FHIR says.
    if not {bounds, bounds - 1} & {days, days * fills}:
        notes.say(
            f"{place}: the timing is bounded to {bounds} d, the supply is {days} d x {fills}: the supply was used"
        )


def _put_effective(held: patient_pb2.MedicationRecord, resource: Resource, place: str, notes: Notes) -> None:
    """When a statement says that it is taken."""
    period = record(resource.get("effectivePeriod"))
    start = dates.read_date(period.get("start") or resource.get("effectiveDateTime"), f"{place}.effective", notes)
    last = dates.read_date(period.get("end"), f"{place}.effectivePeriod.end", notes)
    end = dates.day_after(last, f"{place}.effectivePeriod.end", notes)
    if start is not None:
        held.start_date.CopyFrom(start)
    if end is not None:
        held.end_date.CopyFrom(end)


# --- what for ----------------------------------------------------------------------------------------------------


def _indications(resource: Resource, place: str, pool: Pool, notes: Notes) -> list[condition_pb2.Condition]:
    found = []
    for i, each in enumerate(listed(resource.get("reasonCode"))):
        concept = record(each)
        condition = condition_pb2.Condition(text=text(concept.get("text")))
        condition.codings.extend(read_codings(concept, f"{place}.reasonCode[{i}]", notes))
        if condition.text or condition.codings:
            found.append(condition)
    for i, each in enumerate(listed(resource.get("reasonReference"))):
        at = f"{place}.reasonReference[{i}]"
        reference = record(each)
        target = pool.find(text(reference.get("reference")), resource)
        if target is not None and kind(target) == "Condition":
            read = read_condition(target, at, notes)
            if read is not None:
                found.append(read)
        elif text(reference.get("display")):
            found.append(condition_pb2.Condition(text=text(reference.get("display"))))
        else:
            notes.not_used(at, "the Condition was not sent with the call")
    most = limits.INDICATIONS.value
    if len(found) > most:
        notes.not_used(f"{place}.reasonCode", f"more than {most}: the first {most} were used")
    return found[:most]
