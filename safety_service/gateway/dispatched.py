"""Orders that a call only names: where they are among what was sent, and what is to be asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from safety_service.gateway.checked_orders import CheckedOrder
from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.orders import ORDER
from safety_service.gateway.fhir.pool import Pool, own_reference
from safety_service.gateway.fhir.prefetch import Fetched, read_prefetch
from safety_service.gateway.fhir.shapes import Resource
from safety_service.gateway.hook_request import FHIR_ID, Draft
from safety_service.gateway.problems import refused


def medication_orders(references: Sequence[str]) -> list[str]:
    """The references to medication orders; no other order is any of our business."""
    return [each for each in references if each.startswith(f"{ORDER}/")]


def to_ask(references: Sequence[str], prefetch: Resource) -> dict[str, str]:
    """By key of prefetch, the query for each order that was not sent; none for an id that is no id of FHIR."""
    held = {
        own_reference(resource)
        for each in read_prefetch(prefetch, Pool(), Notes()).values()
        for _, resource in each.resources
    }
    return {
        each: each
        for each in medication_orders(references)
        if each not in held and FHIR_ID.fullmatch(each.removeprefix(f"{ORDER}/"))
    }


def found_orders(references: Sequence[str], fetched: Mapping[str, Fetched]) -> tuple[list[Draft], list[CheckedOrder]]:
    """The orders, and an answer for each that is not there. Raises ProblemError 412 when none is."""
    named = medication_orders(references)
    held = {
        own_reference(resource): Draft(place, resource)
        for each in fetched.values()
        for place, resource in each.resources
    }
    found = [held[each] for each in named if each in held]
    if named and not found:
        raise refused(
            412,
            "required",
            "none of the orders was in prefetch, and the FHIR server did not tell them",
            "context.dispatchedOrders",
        )
    lost = [
        CheckedOrder(
            Draft("context.dispatchedOrders", {"resourceType": ORDER, "id": each.removeprefix(f"{ORDER}/")}),
            None,
            why_not=f"{each} was not in prefetch, and the FHIR server did not tell it",
            unread=True,
        )
        for each in named
        if each not in held
    ]
    return found, lost
