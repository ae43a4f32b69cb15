"""From a decision to the answer on the wire, field by field: the definition of what an answer looks like.

`encode_fast` gives the same answers sooner; tests hold it to this module.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from google.type import date_pb2

from medsafety.v1 import (
    care_pb2,
    common_pb2,
    decision_pb2,
    knowledge_pb2,
    medication_safety_service_pb2,
    review_pb2,
)
from safety_service import domain
from safety_service.domain import CheckStatus, MatchedBy, Severity, View, to_date
from safety_service.engine.cards import Card, cards
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.schema import CareOption, Evidence, Review, Source

ACT_CODES = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
SCHEMA_VERSION = "1"

# How a severity may be shown: indicator, severity of a DetectedIssue, NCPDP clinical significance.
SHOWN = {
    Severity.LOW: (decision_pb2.INDICATOR_INFO, decision_pb2.DETECTED_ISSUE_SEVERITY_LOW, 3),
    Severity.MODERATE: (decision_pb2.INDICATOR_WARNING, decision_pb2.DETECTED_ISSUE_SEVERITY_MODERATE, 2),
    Severity.HIGH: (decision_pb2.INDICATOR_WARNING, decision_pb2.DETECTED_ISSUE_SEVERITY_HIGH, 1),
    Severity.CONTRAINDICATED: (decision_pb2.INDICATOR_CRITICAL, decision_pb2.DETECTED_ISSUE_SEVERITY_HIGH, 1),
}
PHASES = {
    "": care_pb2.PAIN_PHASE_UNSPECIFIED,
    "acute": care_pb2.PAIN_PHASE_ACUTE,
    "subacute": care_pb2.PAIN_PHASE_SUBACUTE,
    "chronic": care_pb2.PAIN_PHASE_CHRONIC,
}
TIERS = {
    "first-line": care_pb2.CARE_TIER_FIRST_LINE,
    "adjunct": care_pb2.CARE_TIER_ADJUNCT,
    "multidisciplinary": care_pb2.CARE_TIER_MULTIDISCIPLINARY,
    "not-helpful": care_pb2.CARE_TIER_NOT_HELPFUL,
}
DIRECTIONS = {
    "for": "for",
    "against": "against",
    "no-clear-benefit": "no clear benefit",
    "insufficient": "insufficient evidence",
    "no-recommendation": "no recommendation",
}
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}  # of a UUID
_UNTOLD_IN_BRIEF = (CheckStatus.PASSED, CheckStatus.NOT_APPLICABLE)


def encode_response(
    knowledge: Knowledge,
    decision: domain.Decision,
    view: View,
    request_id: str,
    decision_id: bytes,
    evaluated_ns: int,
) -> medication_safety_service_pb2.CheckPrescriptionResponse:
    """The whole answer. `decision_id` are the 16 bytes of a UUID, `evaluated_ns` is since 1970, UTC."""
    return medication_safety_service_pb2.CheckPrescriptionResponse(
        request_id=request_id,
        decision_id=uuid_text(decision_id),
        evaluated_at=timestamp(evaluated_ns),
        decision=encode_decision(knowledge, decision, view),
        alert_ids=alert_ids(decision_id, decision.alerts),
    )


def encode_decision(knowledge: Knowledge, decision: domain.Decision, view: View) -> decision_pb2.Decision:
    """A decision in a view; UNSPECIFIED is not one of them."""
    full = view is View.FULL
    return decision_pb2.Decision(
        overall=number(decision.overall),
        highest_severity=number(decision.highest_severity),
        complete=decision.complete,
        as_of=day(decision.as_of),
        alerts=[encode_alert(knowledge, each, full) for each in decision.alerts],
        checks=[encode_check(each, full) for each in decision.checks if full or each.status not in _UNTOLD_IN_BRIEF],
        suppressed=[encode_check(each, full) for each in decision.suppressed],
        resolved_medications=[
            encode_resolved(each)
            for i, each in enumerate(decision.resolved_medications)
            if full or i == 0 or each.matched_by is MatchedBy.NONE or each.conflict
        ],
        not_processed=[
            decision_pb2.NotProcessed(path=each.path, reason=each.reason) for each in decision.not_processed
        ],
        normalized_order=encode_order(decision.normalized_order),
        care_pathway=encode_pathway(decision.care_pathway) if full else None,
        care_option_ids=decision.care_option_ids,
        care_options=[
            encode_care_option(knowledge.care.options[each], knowledge.sources) for each in decision.care_option_ids
        ]
        if full
        else (),
        knowledge=encode_knowledge_info(knowledge, decision.knowledge_version, decision.knowledge_digest, full),
        policy=encode_policy_info(knowledge, decision.policy_id, decision.policy_digest, full),
        counts=encode_counts(decision),
        engine_version=decision.engine_version,
        conflicts=decision.conflicts,
        cards=[encode_card(each) for each in cards(decision.alerts)] if full else (),
    )


def encode_suggestion(suggestion: domain.Suggestion, full: bool) -> decision_pb2.Suggestion:
    """A change to the order; its words in FULL only."""
    return decision_pb2.Suggestion(
        field=suggestion.field,
        current=suggestion.current,
        proposed=suggestion.proposed,
        unit=suggestion.unit,
        text=suggestion.text if full else "",
    )


def encode_implicated(implicated: domain.Implicated, full: bool) -> decision_pb2.Implicated:
    """What is involved; its words in FULL only."""
    return decision_pb2.Implicated(
        role=number(implicated.role), reference=implicated.reference, display=implicated.display if full else ""
    )


def encode_card(card: Card) -> decision_pb2.Card:
    """A card, its reasons by the fingerprints of their alerts."""
    return decision_pb2.Card(
        severity=number(card.severity),
        indicator=SHOWN[card.severity][0],
        title=card.title,
        partners=[encode_implicated(each, True) for each in card.partners],
        reasons=[
            decision_pb2.CardReason(
                fingerprint=each.alert.fingerprint,
                rule_id=each.alert.rule_id,
                severity=number(each.alert.severity),
                title=each.title,
                text=None if each.text == each.alert.message else each.text,
                action=None if each.action == each.alert.action else each.action,
            )
            for each in card.reasons
        ],
        suggestions=[encode_suggestion(each, True) for each in card.suggestions],
    )


def encode_alert(knowledge: Knowledge, alert: domain.Alert, full: bool) -> decision_pb2.Alert:
    """An alert that fired, explained."""
    indicator, issue_severity, significance = SHOWN[alert.severity]
    encoded = decision_pb2.Alert(
        fingerprint=alert.fingerprint,
        rule_id=alert.rule_id,
        rule_version=alert.rule_version,
        kind=number(alert.kind),
        severity=number(alert.severity),
        subject=alert.subject,
        facts=[
            decision_pb2.FactUsed(name=each.name, value=each.value, unit=each.unit, evidence=each.evidence)
            for each in alert.facts
        ],
        thresholds=[
            decision_pb2.Threshold(
                fact=each.fact,
                comparison=each.operator,
                value=each.value,
                unit=each.unit,
                basis=each.basis,
                limit=each.limit,
                default_value=each.default,
            )
            for each in alert.thresholds
        ],
        missing=[encode_missing(each, full) for each in alert.missing],
        suggestions=[encode_suggestion(each, full) for each in alert.suggestions],
        implicated=[encode_implicated(each, full) for each in alert.implicated],
        pathway_step=alert.pathway_step,
        indicator=indicator,
        detected_issue_severity=issue_severity,
        clinical_significance=significance,
        interruptive=alert.interruptive,
        overridden_before=encode_override(alert.overridden_before, full),
        default_severity=number(alert.words.default_severity),
    )
    if full:
        encoded.title = alert.title
        encoded.message = alert.message
        encoded.action = alert.action
        encoded.computation = alert.computation
        encoded.dur_codes.extend(alert.dur_codes)
        encoded.act_codes.extend(act_codes(alert.act_codes))
        encoded.patient_text = alert.words.patient_text
        encoded.citations.extend([encode_citation(each) for each in alert.citations])
        encoded.care_options.extend(
            [encode_care_link(knowledge.care.options[each], knowledge.sources) for each in alert.care_option_ids]
        )
    return encoded


def encode_override(override: domain.PriorOverride | None, full: bool) -> decision_pb2.OverriddenBefore | None:
    """An earlier override of an alert; None when there was none."""
    if override is None:
        return None
    return decision_pb2.OverriddenBefore(
        overridden_on=None if override.on is None else day(override.on), reason=override.reason if full else ""
    )


def encode_missing(missing: domain.Missing, full: bool) -> decision_pb2.Missing:
    """A fact that could change an answer."""
    return decision_pb2.Missing(fact=missing.fact, path=missing.path, why=missing.why if full else "")


def encode_check(check: domain.Check, full: bool) -> decision_pb2.Check:
    """The answer of one rule."""
    return decision_pb2.Check(
        rule_id=check.rule_id,
        rule_version=check.rule_version,
        subject=check.subject,
        status=number(check.status),
        reason=check.reason,
        missing=[encode_missing(each, full) for each in check.missing],
        severity=number(check.severity),
    )


def encode_citation(citation: domain.Citation) -> decision_pb2.Citation:
    """Where a statement stands."""
    return decision_pb2.Citation(
        source_id=citation.source_id,
        title=citation.title,
        publisher=citation.publisher,
        section=citation.section,
        date=citation.date,
        url=citation.url,
        authority=citation.authority,
        verb=citation.verb,
        basis=citation.basis,
        read_as=citation.read_as,
        status=standing(citation.status),
    )


def encode_resolved(resolved: domain.ResolvedMedication) -> decision_pb2.ResolvedMedication:
    """What a medication was recognised as."""
    return decision_pb2.ResolvedMedication(
        reference=resolved.reference,
        as_sent=resolved.as_sent,
        matched_by=number(resolved.matched_by),
        matched_on=resolved.matched_on,
        ingredients=[
            decision_pb2.ResolvedIngredient(
                name=each.name, strength=None if each.strength_ug is None else strength(each.strength_ug, each.per)
            )
            for each in resolved.ingredients
        ],
        form=resolved.form,
        medication_ids=resolved.lines,
        conflict=resolved.conflict,
    )


def encode_order(order: domain.NormalizedOrder) -> decision_pb2.NormalizedOrder:
    """The order as the rules saw it."""
    return decision_pb2.NormalizedOrder(
        single_dose_low_mg=milligrams(order.single_dose_low_ug),
        single_dose_high_mg=milligrams(order.single_dose_high_ug),
        daily_dose_low_mg=milligrams(order.daily_dose_low_ug),
        daily_dose_high_mg=milligrams(order.daily_dose_high_ug),
        start_date=None if order.start is None else day(order.start),
        days_low=order.days_low,
        days_high=order.days_high,
        days_source=order.days_source.replace("-", "_"),
        refills=order.refills,
        course_days_low=order.course_days_low,
        course_days_high=order.course_days_high,
        new_start=number(order.new_start),
        notes=order.notes,
    )


def encode_pathway(pathway: domain.CarePathway) -> decision_pb2.CarePathway:
    """The steps of care with the patient's place in them."""
    return decision_pb2.CarePathway(
        phase=PHASES[pathway.phase],
        current_step=pathway.current_step,
        steps=[
            decision_pb2.PathwayStep(number=each.number, title=each.title, text=each.text, reached=each.reached)
            for each in pathway.steps
        ],
        note=pathway.note,
    )


def encode_counts(decision: domain.Decision) -> decision_pb2.CheckCounts:
    """How many checks gave which answer."""
    count = [each.status for each in decision.checks].count
    return decision_pb2.CheckCounts(
        fired=count(CheckStatus.FIRED),
        passed=count(CheckStatus.PASSED),
        not_applicable=count(CheckStatus.NOT_APPLICABLE),
        not_evaluated=count(CheckStatus.NOT_EVALUATED),
        suppressed=count(CheckStatus.SUPPRESSED) + len(decision.suppressed),
        error=count(CheckStatus.ERROR),
    )


def encode_knowledge_info(knowledge: Knowledge, version: str, digest: str, full: bool) -> knowledge_pb2.KnowledgeInfo:
    """The knowledge that decided."""
    info = knowledge_pb2.KnowledgeInfo(version=version, digest=digest)
    if full:
        info.schema_version = SCHEMA_VERSION
        info.review_status = review_status(knowledge)
    return info


def encode_policy_info(knowledge: Knowledge, policy_id: str, digest: str, full: bool) -> knowledge_pb2.PolicyInfo:
    """The policy that decided; what a site changes of it is told by GetKnowledge."""
    info = knowledge_pb2.PolicyInfo(id=policy_id, digest=digest)
    if full:
        info.version = knowledge.policy.version
        info.title = knowledge.policy.title
        info.stop_level = number(knowledge.stop_level)
    return info


def review_status(knowledge: Knowledge) -> review_pb2.ReviewStatus.ValueType:
    """The least reviewed part decides."""
    if knowledge.reviewed:
        return review_pb2.REVIEW_STATUS_REVIEWED
    return review_pb2.REVIEW_STATUS_NOT_REVIEWED


# --- non-drug options --------------------------------------------------------------------------------------------


def ranking(option: CareOption) -> Evidence | None:
    """The statement an option is ranked by: the first that is for it and grades its certainty, else the first."""
    graded = [each for each in option.evidence if each.direction == "for" and each.certainty]
    return next(iter(graded or option.evidence), None)


def option_url(option: CareOption, sources: Mapping[str, Source]) -> str:
    """A page on the option: the document it is ranked by, else the first of its documents that has an address."""
    best = ranking(option)
    for each in (*(() if best is None else (best,)), *option.evidence):
        source = sources.get(each.source)
        if source is not None and source.url.startswith("http"):
            return source.url
    return ""


def encode_care_link(option: CareOption, sources: Mapping[str, Source]) -> care_pb2.CareOptionLink:
    """A pointer to an option."""
    best = ranking(option)
    return care_pb2.CareOptionLink(
        option_id=option.id,
        tier=TIERS[option.tier],
        certainty="" if best is None else best.certainty or "",
        url=option_url(option, sources),
    )


def encode_care_option(option: CareOption, sources: Mapping[str, Source]) -> care_pb2.CareOption:
    """The whole record of an option."""
    best = ranking(option)
    return care_pb2.CareOption(
        id=option.id,
        name=option.name,
        description=option.what,
        tier=TIERS[option.tier],
        phases=phases(option.phases),
        effect_on_pain="" if best is None else best.pain or "",
        effect_on_function="" if best is None else best.function or "",
        certainty="" if best is None else best.certainty or "",
        comparator="" if best is None else best.comparator or "",
        evidence=[encode_evidence(each, sources.get(each.source)) for each in option.evidence],
        url=option_url(option, sources),
        review=encode_review(option.review),
    )


def encode_evidence(evidence: Evidence, source: Source | None) -> care_pb2.CareEvidence:
    """What one body says of one option."""
    year = None if source is None else _YEAR.search(source.date)
    return care_pb2.CareEvidence(
        body=evidence.body,
        source_id=evidence.source,
        year=None if year is None else int(year[0]),
        direction=DIRECTIONS[evidence.direction],
        strength=evidence.strength or "",
        certainty=evidence.certainty or "",
        effect_on_pain=evidence.pain or "",
        effect_on_function=evidence.function or "",
        comparator=evidence.comparator or "",
        phases=phases(evidence.phases),
        status="" if source is None else standing(source.status),
        read_as=evidence.read_as.value,
        text=evidence.says,
    )


def encode_review(review: Review) -> review_pb2.Review:
    """Who has signed, if anyone."""
    if review.status != "reviewed":
        return review_pb2.Review(status=review_pb2.REVIEW_STATUS_NOT_REVIEWED)
    encoded = review_pb2.Review(status=review_pb2.REVIEW_STATUS_REVIEWED, reviewer=review.reviewer or "")
    parts = (review.on or "").split("-")
    if len(parts) == 3 and all(each.isdecimal() for each in parts):
        encoded.reviewed_on.CopyFrom(date_pb2.Date(year=int(parts[0]), month=int(parts[1]), day=int(parts[2])))
    return encoded


def standing(status: str) -> str:
    """The standing of a document, empty when it is current as far as known."""
    return "" if status in ("current", "unknown") else status


# --- small parts -------------------------------------------------------------------------------------------------


def number(ours: IntEnum) -> Any:
    """One of our enums as the contract's: the numbers are the same, their types are not."""
    return ours


def act_codes(codes: Iterable[str]) -> list[common_pb2.Coding]:
    """HL7 v3-ActCode codes."""
    return [common_pb2.Coding(system=ACT_CODES, code=each) for each in codes]


def phases(names: Iterable[str]) -> list[care_pb2.PainPhase.ValueType]:
    """Phases of back pain."""
    return [PHASES[each] for each in names]


def day(number: int) -> date_pb2.Date:
    """A day number as a calendar date."""
    on = to_date(number)
    return date_pb2.Date(year=on.year, month=on.month, day=on.day)


def milligrams(micrograms: int | None) -> float | None:
    """Micrograms as mg."""
    return None if micrograms is None else micrograms / 1000


def strength(micrograms: int, per: str) -> common_pb2.Quantity:
    """A strength as mg of one unit of the form, or as a concentration."""
    return common_pb2.Quantity(value=micrograms / 1000, unit=f"mg/{per}" if per else "mg")


def timestamp(nanoseconds: int) -> Timestamp:
    """Nanoseconds since 1970, UTC."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return Timestamp(seconds=seconds, nanos=rest)


def uuid_text(sixteen: bytes) -> str:
    """The usual spelling of a UUID."""
    text = sixteen.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def uuid4_bytes(random: bytes) -> bytes:
    """The version 4 UUID of 16 random bytes."""
    return uuid_bytes(random, 4)


def uuid_bytes(sixteen: bytes, version: int) -> bytes:
    """The UUID of a version that 16 bytes make."""
    stamped = bytearray(sixteen)
    stamped[6] = stamped[6] & 0x0F | version << 4
    stamped[8] = stamped[8] & 0x3F | 0x80
    return bytes(stamped)


def alert_ids(decision_id: bytes, alerts: Iterable[domain.Alert]) -> list[str]:
    """The version 5 UUID of each alert: namespace `decision_id`, name `fingerprint`. As `uuid.uuid5`, but sooner."""
    found = []
    for each in alerts:
        text = hashlib.sha1(decision_id + each.fingerprint.encode(), usedforsecurity=False).hexdigest()
        version_and_variant = f"5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}"
        found.append(f"{text[:8]}-{text[8:12]}-{version_and_variant}-{text[20:32]}")
    return found
