"""The dose of the order before, where the order under check names it as the one that it replaces."""

from __future__ import annotations

from datetime import date

from medsafety.v1 import common_pb2, prescription_pb2
from medsafety.v1.medication_safety_service_pb2 import CheckPrescriptionRequest
from safety_service.domain import to_day
from safety_service.engine.history import recognised, strength_of
from safety_service.engine.supply import micrograms
from safety_service.gateway.accept import accepted
from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.orders import ORDER, read_order
from safety_service.gateway.fhir.pool import Pool
from safety_service.gateway.fhir.shapes import Resource, kind, record, text
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server.decode import InvalidRequestError


def put_last_dose(
    order: prescription_pb2.Prescription,
    resource: Resource,
    place: str,
    knowledge: Knowledge,
    pool: Pool,
    as_of: date,
    notes: Notes,
) -> None:
    """Fills `last_dose` in mg from `priorPrescription`, if that is of the same ingredient and has one fixed dose."""
    reference = record(resource.get("priorPrescription"))
    if not reference or order.HasField("last_dose"):
        return
    at = f"{place}.priorPrescription"
    prior = pool.find(text(reference.get("reference")), resource)
    if prior is None or kind(prior) != ORDER:
        notes.say(f"{at} was not sent with the call: the last dose is not known from it")
        return
    before = CheckPrescriptionRequest(prescription=read_order(prior, at, pool, as_of, Notes()))
    now = CheckPrescriptionRequest()
    now.prescription.medication.CopyFrom(order.medication)
    try:
        earlier = accepted(before, to_day(as_of)).prescription
        ordered = accepted(now, to_day(as_of)).prescription
    except InvalidRequestError:
        return
    one, other = (recognised(knowledge.names, each.medication) for each in (earlier, ordered))
    dose = earlier.dose_high
    if len(one.names) != 1 or one.names != other.names or dose is None or earlier.dose_low not in (None, dose):
        notes.say(f"{at} is of another medication, or has no fixed dose: the last dose is not known from it")
        return
    amount = micrograms(dose, strength_of(one, one.names[0]))
    if amount:
        order.last_dose.CopyFrom(common_pb2.Quantity(value=amount / 1000, unit="mg"))
        notes.say(f"{at}: {amount / 1000:g} mg was taken as the last dose")
