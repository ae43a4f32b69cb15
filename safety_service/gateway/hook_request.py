"""The body of a CDS Hooks call: what must be there, said by member, and what strangers write differently."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from safety_service.gateway.fhir.pool import bundled, own_reference, type_and_id
from safety_service.gateway.fhir.shapes import Json, Resource, kind, listed, record, text
from safety_service.gateway.problems import ProblemError, refused
from safety_service.gateway.stated import NOTHING, Stated, read_stated

ORDER_SELECT, ORDER_SIGN = "order-select", "order-sign"
ORDER_DISPATCH, MEDICATION_REFILL, MEDICATION_VERIFY = "order-dispatch", "medication-refill", "medication-verify"
WRITING = (ORDER_SELECT, ORDER_SIGN, MEDICATION_REFILL)  # at the others the order is signed, by somebody else
FHIR_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_MOST_DISPATCHED = 50
_NAME = 256
_URL = re.compile(r"https?://\S+", re.ASCII)
_REQUIRED = "is required"


@dataclass(frozen=True, slots=True)
class Authorization:
    """A token for the client's FHIR server."""

    token: str
    scope: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A resource among the orders, with its place in the request."""

    place: str
    resource: Resource
    full_url: str = ""


@dataclass(frozen=True, slots=True)
class HookRequest:
    """A call that can be answered. `prefetch` holds what was sent, key by key, null included.

    `dispatched` are references to orders that are not in the call itself: at order-dispatch.
    """

    hook: str
    patient_id: str
    drafts: tuple[Draft, ...]
    dispatched: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    selections: tuple[str, ...] = ()
    prefetch: Resource = field(default_factory=dict)
    fhir_server: str = ""
    authorization: Authorization | None = None
    stated: Stated = NOTHING


class _Reading:
    """The members at fault, all of them."""

    __slots__ = ("issues",)

    def __init__(self) -> None:
        self.issues: list[tuple[str, str, str]] = []

    def wrong(self, member: str, why: str, code: str = "value") -> None:
        self.issues.append(("required" if why == _REQUIRED else code, why, member))

    def string(self, held: Resource, name: str, member: str) -> str:
        """A required string that is not empty."""
        value = held.get(name)
        if value is None:
            self.wrong(member, _REQUIRED)
        elif not isinstance(value, str) or not value.strip():
            self.wrong(member, "must be a string that is not empty")
        elif len(value) > _NAME:
            self.wrong(member, f"at most {_NAME} characters", "too-long")
        else:
            return value.strip()
        return ""

    def optional(self, held: Resource, name: str, member: str) -> str:
        return "" if held.get(name) is None else self.string(held, name, member)


def read_hook_request(body: Json, hooks: Collection[str]) -> HookRequest:
    """Raises ProblemError 400 that names every member at fault."""
    if not isinstance(body, dict):
        raise refused(400, "structure", "the body must be a JSON object")
    reading = _Reading()
    hook = reading.string(body, "hook", "hook")
    if hook and hook not in hooks:
        reading.wrong("hook", f"this service is called on {', '.join(hooks)}", "not-supported")
    reading.string(body, "hookInstance", "hookInstance")
    fhir_server, authorization = _server(body, reading)
    prefetch = body.get("prefetch")
    if prefetch is not None and not isinstance(prefetch, dict):
        reading.wrong("prefetch", "must be an object", "structure")
    context = body.get("context")
    patient_id = ""
    drafts: tuple[Draft, ...] = ()
    selections: tuple[str, ...] = ()
    dispatched: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    if context is None:
        reading.wrong("context", _REQUIRED)
    elif not isinstance(context, dict):
        reading.wrong("context", "must be an object", "structure")
    else:
        if hook in _WITHOUT_USER:
            reading.optional(context, "userId", "context.userId")
        elif "userId" not in context and ("user" in body or "patient" in body):
            reading.wrong(
                "context.userId", "is required; user and patient beside hook are of CDS Hooks before 1.0", "required"
            )
        else:
            reading.string(context, "userId", "context.userId")
        patient_id = type_and_id(reading.string(context, "patientId", "context.patientId")).removeprefix("Patient/")
        reading.optional(context, "encounterId", "context.encounterId")
        match hook:
            case "order-dispatch":
                dispatched, said = _dispatched(context, reading)
            case "medication-verify":
                drafts = _verified(context, reading)
            case "medication-refill":
                drafts = _bundle(context, "medications", reading)
            case _:
                drafts = _bundle(context, "draftOrders", reading)
        if hook == ORDER_SELECT:
            selections = _selections(context, reading)
    stated = NOTHING
    try:
        stated = read_stated(body.get("extension"))
    except ProblemError as problem:
        reading.issues += problem.issues
    if reading.issues:
        raise ProblemError(400, reading.issues)
    return HookRequest(
        hook,
        patient_id,
        drafts,
        dispatched,
        said,
        selections,
        record(prefetch),
        fhir_server,
        authorization,
        stated,
    )


_WITHOUT_USER = (ORDER_DISPATCH, MEDICATION_REFILL)


def _server(body: Resource, reading: _Reading) -> tuple[str, Authorization | None]:
    server = reading.optional(body, "fhirServer", "fhirServer")
    if server and not _URL.fullmatch(server):
        reading.wrong("fhirServer", "must be an http or https address")
    sent = body.get("fhirAuthorization")
    if sent is None:
        return server, None
    if not isinstance(sent, dict):
        reading.wrong("fhirAuthorization", "must be an object", "structure")
        return server, None
    if not server:
        reading.wrong("fhirServer", "is required beside fhirAuthorization", "required")
    token = _token(sent, reading)
    kind_of_token = reading.string(sent, "token_type", "fhirAuthorization.token_type")
    if kind_of_token and kind_of_token.lower() != "bearer":
        reading.wrong("fhirAuthorization.token_type", "must be Bearer")
    expires = sent.get("expires_in")
    if isinstance(expires, bool) or not isinstance(expires, int):
        reading.wrong("fhirAuthorization.expires_in", _REQUIRED if expires is None else "must be a whole number")
    scope = sent.get("scope")
    if not isinstance(scope, str):
        reading.wrong("fhirAuthorization.scope", _REQUIRED if scope is None else "must be a string")
    reading.string(sent, "subject", "fhirAuthorization.subject")
    reading.optional(sent, "patient", "fhirAuthorization.patient")
    return server, Authorization(token, text(scope))


def _token(sent: Resource, reading: _Reading) -> str:
    """An access token may be long, and goes into a header as it is."""
    token = sent.get("access_token")
    if token is None:
        reading.wrong("fhirAuthorization.access_token", _REQUIRED)
    elif not isinstance(token, str) or not token or not token.isascii() or not token.isprintable() or " " in token:
        reading.wrong("fhirAuthorization.access_token", "must be printable ASCII without spaces")
    else:
        return token
    return ""


def _bundle(context: Resource, name: str, reading: _Reading) -> tuple[Draft, ...]:
    bundle = context.get(name)
    member = f"context.{name}"
    if bundle is None:
        reading.wrong(member, _REQUIRED)
        return ()
    if not isinstance(bundle, dict) or kind(bundle) != "Bundle":
        reading.wrong(member, "must be a Bundle", "structure")
        return ()
    if not listed(bundle.get("entry")):
        reading.wrong(f"{member}.entry", _REQUIRED)
        return ()
    found = tuple(
        Draft(f"{member}.entry[{i}].resource", resource, full_url) for i, full_url, resource in bundled(bundle)
    )
    read = {each.place for each in found}
    for i, _ in enumerate(listed(bundle["entry"])):
        if f"{member}.entry[{i}].resource" not in read:
            reading.wrong(f"{member}.entry[{i}].resource", "must be a FHIR resource with a resourceType", "structure")
    return found


def _verified(context: Resource, reading: _Reading) -> tuple[Draft, ...]:
    """The one order: the table of the hook calls it `medication`, its examples `order.resource`."""
    name = "order" if "medication" not in context and "order" in context else "medication"
    member, sent = f"context.{name}", context.get(name)
    if sent is None:
        reading.wrong(member, _REQUIRED)
        return ()
    if not kind(sent) and "resource" in record(sent):
        member, sent = f"{member}.resource", record(sent)["resource"]
    if not kind(sent):
        reading.wrong(member, "must be a FHIR resource with a resourceType", "structure")
        return ()
    return (Draft(member, record(sent)),)


def _dispatched(context: Resource, reading: _Reading) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """References to the orders, and what has to be said of them; examples and early clients name members otherwise."""
    name = next((each for each in ("dispatchedOrders", "dispatched-orders", "order") if each in context), "")
    member = f"context.{name or 'dispatchedOrders'}"
    sent: Any = context.get(name)
    reading.string(context, "performer", "context.performer")
    if sent is None:
        reading.wrong(member, _REQUIRED)
        return (), ()
    if name == "order":
        sent = [sent]
    if not isinstance(sent, list) or not sent:
        reading.wrong(member, "must be an array with at least one reference")
        return (), ()
    if len(sent) > _MOST_DISPATCHED:
        reading.wrong(member, f"at most {_MOST_DISPATCHED}", "too-costly")
        return (), ()
    for i, each in enumerate(sent):
        if not isinstance(each, str) or not each.strip():
            reading.wrong(f"{member}[{i}]", "must be a string such as MedicationRequest/1")
    tasks = any(context.get(each) for each in ("fulfillmentTasks", "fulfillment-tasks", "task"))
    said = ("the order was checked as a whole, not the part of it that a Task asks for",) if tasks else ()
    return tuple(dict.fromkeys(type_and_id(text(each)) for each in sent)), said


def _selections(context: Resource, reading: _Reading) -> tuple[str, ...]:
    sent: Any = context.get("selections")
    member = "context.selections"
    if sent is None:
        reading.wrong(member, _REQUIRED)
        return ()
    if not isinstance(sent, list) or not sent:
        reading.wrong(member, "must be an array with at least one id")
        return ()
    for i, each in enumerate(sent):
        if not isinstance(each, str) or not each.strip():
            reading.wrong(f"{member}[{i}]", "must be a string such as MedicationRequest/1")
    return tuple(text(each) for each in sent)


def is_selected(draft: Draft, selections: Sequence[str]) -> bool:
    """Whether an order is one of the selections; they name it by type and id, or by its fullUrl."""
    own = own_reference(draft.resource)
    return any(each and each in (own, draft.full_url, text(draft.resource.get("id"))) for each in selections)
