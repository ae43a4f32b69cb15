"""Procedures and referrals that are non-drug options of the knowledge; any other procedure is none of our business."""

from __future__ import annotations

from medsafety.v1 import care_pb2
from safety_service.domain import CareTried, Coding
from safety_service.gateway.fhir import dates
from safety_service.gateway.fhir.medication import read_codings
from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.shapes import Resource, kind, record, text
from safety_service.knowledge.value_sets import CareIndex

_DONE = care_pb2.CARE_OUTCOME_UNSPECIFIED  # what came of it, neither resource says
_OUTCOME = {
    "Procedure": {
        "completed": _DONE,
        "stopped": _DONE,
        "on-hold": _DONE,
        "in-progress": care_pb2.CARE_OUTCOME_ONGOING,
        "preparation": care_pb2.CARE_OUTCOME_PLANNED,
    },
    "ServiceRequest": {
        "completed": _DONE,
        "active": care_pb2.CARE_OUTCOME_PLANNED,
        "draft": care_pb2.CARE_OUTCOME_PLANNED,
        "on-hold": care_pb2.CARE_OUTCOME_PLANNED,
    },
}


def read_care(resource: Resource, place: str, options: CareIndex, notes: Notes) -> care_pb2.CareTried | None:
    """The option, or None when it is not one that the knowledge names."""
    code = record(resource.get("code"))
    tried = care_pb2.CareTried(text=text(code.get("text")))
    tried.codings.extend(read_codings(code, f"{place}.code", notes))
    codings = tuple(Coding(each.system, each.code, each.display) for each in tried.codings)
    found = options.match(CareTried("", codings, tried.text))
    outcome = _OUTCOME[kind(resource)].get(text(resource.get("status")))
    if found is None or outcome is None or resource.get("doNotPerform") is True:
        return None
    tried.option_id = found
    tried.outcome = outcome
    day = "authoredOn"
    if kind(resource) == "Procedure":
        day = "performedDateTime" if "performedDateTime" in resource else "performedPeriod"
    sent = resource.get(day)
    on = dates.read_date(record(sent).get("start") if day == "performedPeriod" else sent, f"{place}.{day}", notes)
    if on is not None:
        tried.documented_on.CopyFrom(on)
    return tried
