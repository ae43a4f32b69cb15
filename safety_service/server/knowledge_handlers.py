"""KnowledgeService: bytes of a request in, bytes of an answer out. All it shows is written out once, at start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import Message

from medsafety.v1 import care_pb2, knowledge_pb2
from medsafety.v1 import knowledge_service_pb2 as wire
from safety_service import __version__
from safety_service.domain import CheckRequest, MatchedBy, Patient, Prescription, RuleKind
from safety_service.engine.facts import candidate_lines, read_order
from safety_service.engine.history import resolved
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.resolve import resolve
from safety_service.server import encode_knowledge as shown
from safety_service.server.decode import InvalidRequestError, decode_medication
from safety_service.server.encode import PHASES, encode_resolved
from safety_service.server.errors import Reason, invalid, refusal
from safety_service.server.handlers import parsed
from safety_service.server.pages import page

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Library:
    """The knowledge, written out in the stable order of each list."""

    knowledge: Knowledge
    key: bytes  # signs page tokens
    medications: Mapping[str, knowledge_pb2.MedicationLine]
    rules: Mapping[str, knowledge_pb2.Rule]
    care_options: Mapping[str, care_pb2.CareOption]
    sources: Mapping[str, knowledge_pb2.Source]


def open_library(knowledge: Knowledge, key: bytes) -> Library:
    """All of it written out."""
    return Library(
        knowledge=knowledge,
        key=key,
        medications={each.id: each for each in shown.encode_medications(knowledge)},
        rules={each.id: each for each in shown.encode_rules(knowledge)},
        care_options={each.id: each for each in shown.encode_care_options(knowledge)},
        sources={each.id: each for each in shown.encode_sources(knowledge)},
    )


def get_knowledge(library: Library, data: bytes) -> Message:
    """GetKnowledge."""
    parsed(wire.GetKnowledgeRequest, data)
    knowledge = library.knowledge
    return wire.GetKnowledgeResponse(
        knowledge=shown.encode_info(knowledge),
        policies=[shown.encode_policy(knowledge)],
        engine_version=__version__,
        server_version=__version__,
        limits=shown.encode_limits(),
        counts=shown.encode_counts(knowledge),
    )


def list_medications(library: Library, data: bytes) -> Message:
    """ListMedications. Raises RefusedError."""
    sent = parsed(wire.ListMedicationsRequest, data)
    items, token = page(
        list(library.medications.values()),
        sent.page_size,
        sent.page_token,
        listed="medications",
        digest=library.knowledge.digest,
        key=library.key,
    )
    return wire.ListMedicationsResponse(
        medications=items, next_page_token=token, knowledge_digest=library.knowledge.digest
    )


def get_medication(library: Library, data: bytes) -> Message:
    """GetMedication. Raises RefusedError."""
    sent = parsed(wire.GetMedicationRequest, data)
    found = _found(library.medications.get(sent.medication_id), sent.medication_id, "medication_id")
    return wire.GetMedicationResponse(medication=found, knowledge_digest=library.knowledge.digest)


def resolve_medication(library: Library, data: bytes) -> Message:
    """ResolveMedication. Raises RefusedError."""
    sent = parsed(wire.ResolveMedicationRequest, data)
    try:
        medication = decode_medication(sent.medication, "medication")
    except InvalidRequestError as error:
        raise invalid(error.violations, error.only_too_many) from None
    knowledge = library.knowledge
    resolution = resolve(knowledge.names, medication)
    lines: tuple[str, ...] = ()
    if resolution.matched_by is not MatchedBy.NONE:
        order = read_order(knowledge, CheckRequest(Prescription(medication), Patient(), 0), resolution)
        lines = tuple(each.id for each in candidate_lines(knowledge, order))
    text = medication.text or next((each.display or each.code for each in medication.codings), "")
    return wire.ResolveMedicationResponse(
        resolved=encode_resolved(resolved("medication", text, resolution, lines)),
        knowledge_digest=knowledge.digest,
    )


def list_rules(library: Library, data: bytes) -> Message:
    """ListRules. Raises RefusedError."""
    sent = parsed(wire.ListRulesRequest, data)
    if not 0 <= sent.kind <= max(RuleKind):
        raise invalid([("kind", f"must be 0 to {max(RuleKind)}: this version defines no other number")], False)
    items, token = page(
        [each for each in library.rules.values() if not sent.kind or each.kind == sent.kind],
        sent.page_size,
        sent.page_token,
        listed=f"rules {sent.kind}",
        digest=library.knowledge.digest,
        key=library.key,
    )
    return wire.ListRulesResponse(rules=items, next_page_token=token, knowledge_digest=library.knowledge.digest)


def get_rule(library: Library, data: bytes) -> Message:
    """GetRule. Raises RefusedError."""
    sent = parsed(wire.GetRuleRequest, data)
    found = _found(library.rules.get(sent.rule_id), sent.rule_id, "rule_id")
    return wire.GetRuleResponse(rule=found, knowledge_digest=library.knowledge.digest)


def list_care_options(library: Library, data: bytes) -> Message:
    """ListCareOptions. Raises RefusedError."""
    sent = parsed(wire.ListCareOptionsRequest, data)
    most = max(PHASES.values())
    if not 0 <= sent.phase <= most:
        raise invalid([("phase", f"must be 0 to {most}: this version defines no other number")], False)
    items, token = page(
        [each for each in library.care_options.values() if not sent.phase or sent.phase in each.phases],
        sent.page_size,
        sent.page_token,
        listed=f"care_options {sent.phase}",
        digest=library.knowledge.digest,
        key=library.key,
    )
    return wire.ListCareOptionsResponse(
        care_options=items, next_page_token=token, knowledge_digest=library.knowledge.digest
    )


def get_care_option(library: Library, data: bytes) -> Message:
    """GetCareOption. Raises RefusedError."""
    sent = parsed(wire.GetCareOptionRequest, data)
    found = _found(library.care_options.get(sent.option_id), sent.option_id, "option_id")
    return wire.GetCareOptionResponse(care_option=found, knowledge_digest=library.knowledge.digest)


def list_sources(library: Library, data: bytes) -> Message:
    """ListSources. Raises RefusedError."""
    sent = parsed(wire.ListSourcesRequest, data)
    items, token = page(
        list(library.sources.values()),
        sent.page_size,
        sent.page_token,
        listed="sources",
        digest=library.knowledge.digest,
        key=library.key,
    )
    return wire.ListSourcesResponse(sources=items, next_page_token=token, knowledge_digest=library.knowledge.digest)


METHODS: Mapping[str, Callable[[Library, bytes], Message]] = {
    "GetKnowledge": get_knowledge,
    "ListMedications": list_medications,
    "GetMedication": get_medication,
    "ResolveMedication": resolve_medication,
    "ListRules": list_rules,
    "GetRule": get_rule,
    "ListCareOptions": list_care_options,
    "GetCareOption": get_care_option,
    "ListSources": list_sources,
}


def _found(found: T | None, sent_id: str, field: str) -> T:
    if found is not None:
        return found
    if not sent_id:
        raise invalid([(field, "required")], False)
    raise refusal(Reason.NOT_FOUND, f"nothing has this {field}")
