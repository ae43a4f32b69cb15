"""Decisions and alerts as JSON in the names of the contract (its JSON mapping), for the `extension` of an answer.

Written from the plain types because the generic mapping of protobuf takes milliseconds; tests hold it to that mapping.
What depends on the knowledge alone is written once and put in as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from medsafety.v1 import decision_pb2
from safety_service import domain
from safety_service.domain import CheckStatus
from safety_service.gateway.remembered import Remembered
from safety_service.server import encode

Object = dict[str, Any]

# Not told one by one: what passed or has nothing to say is counted.
_COUNTED = (CheckStatus.PASSED, CheckStatus.NOT_APPLICABLE)


def kept(**fields: Any) -> Object:
    """An object without what is empty: neither the contract's JSON nor CDS Hooks has empty members."""
    return {name: value for name, value in fields.items() if value not in (None, "", 0, False) and value != []}


def alert_json(alert: domain.Alert, alert_id: str) -> orjson.Fragment:
    """An alert; its non-drug options by id only, since their records stand once beside all alerts."""
    words = alert.words
    own = kept(
        alertId=alert_id,
        fingerprint=alert.fingerprint,
        facts=[] if alert.facts is words.facts else _facts(alert.facts),
        missing=missing_json(alert.missing),
        implicated=[implicated_json(each) for each in alert.implicated],
        careOptionIds=list(alert.care_option_ids),
        pathwayStep=alert.pathway_step,
        interruptive=alert.interruptive,
        overriddenBefore=None if alert.overridden_before is None else _override_json(alert.overridden_before),
    )
    if alert.facts is words.facts:
        own |= _facts_of_words(words)
    return orjson.Fragment(orjson.dumps(own)[:-1] + _words_json(words))


def _facts(facts: Iterable[domain.FactUsed]) -> list[Object]:
    return [kept(name=each.name, value=each.value, unit=each.unit, evidence=list(each.evidence)) for each in facts]


_facts_of_words: Remembered[domain.AlertWords, Object] = Remembered(lambda words: kept(facts=_facts(words.facts)))


def _words_members(words: domain.AlertWords) -> bytes:
    """The members that are the same for every patient with the same facts, and the end of the object."""
    indicator, issue_severity, significance = encode.SHOWN[words.severity]
    members = kept(
        ruleId=words.rule_id,
        ruleVersion=words.rule_version,
        kind=f"RULE_KIND_{words.kind.name}",
        severity=f"SEVERITY_{words.severity.name}",
        subject=words.subject,
        title=words.title,
        message=words.message,
        action=words.action,
        computation=words.computation,
        thresholds=[
            kept(
                fact=each.fact,
                comparison=each.operator,
                value=each.value,
                unit=each.unit,
                basis=each.basis,
                limit=each.limit,
                defaultValue=each.default,
            )
            for each in words.thresholds
        ],
        citations=[citation_json(each) for each in words.citations],
        suggestions=[
            kept(field=each.field, current=each.current, proposed=each.proposed, unit=each.unit, text=each.text)
            for each in words.suggestions
        ],
        durCodes=list(words.dur_codes),
        actCodes=[{"system": encode.ACT_CODES, "code": each} for each in words.act_codes],
        indicator=decision_pb2.Indicator.Name(indicator),
        detectedIssueSeverity=decision_pb2.DetectedIssueSeverity.Name(issue_severity),
        clinicalSignificance=significance,
        patientText=words.patient_text,
        defaultSeverity=f"SEVERITY_{words.default_severity.name}" if words.default_severity else "",
    )
    return b"," + orjson.dumps(members)[1:]


_words_json: Remembered[domain.AlertWords, bytes] = Remembered(_words_members)


def _override_json(before: domain.PriorOverride) -> Object:
    return kept(
        overriddenOn=None if before.on is None else date_json(before.on),
        reason=before.reason,
    )


def implicated_json(implicated: domain.Implicated) -> Object:
    """A record that is involved, and how."""
    return kept(
        role=f"IMPLICATED_ROLE_{implicated.role.name}", reference=implicated.reference, display=implicated.display
    )


def missing_json(missing: Iterable[domain.Missing]) -> list[Object]:
    """Facts that could change an answer, with the field to send."""
    return [kept(fact=each.fact, path=each.path, why=each.why) for each in missing]


def citation_json(citation: domain.Citation) -> Object:
    """Where a statement stands."""
    return kept(
        sourceId=citation.source_id,
        title=citation.title,
        publisher=citation.publisher,
        section=citation.section,
        date=citation.date,
        url=citation.url,
        authority=citation.authority,
        verb=citation.verb,
        basis=citation.basis,
        readAs=citation.read_as,
        status=encode.standing(citation.status),
    )


def _check(check: domain.Check) -> orjson.Fragment:
    held = kept(
        ruleId=check.rule_id,
        ruleVersion=check.rule_version,
        subject=check.subject,
        status=f"CHECK_STATUS_{check.status.name}",
        reason=check.reason,
        missing=missing_json(check.missing),
    )
    return orjson.Fragment(orjson.dumps(held))


check_json: Remembered[domain.Check, orjson.Fragment] = Remembered(_check)


def decision_json(decision: domain.Decision) -> Object:
    """A decision without its alerts and without the records of the options; checks that passed are only counted."""
    order = decision.normalized_order
    counts = encode.encode_counts(decision)
    return kept(
        overall=f"OVERALL_{decision.overall.name}",
        highestSeverity=f"SEVERITY_{decision.highest_severity.name}" if decision.highest_severity else "",
        complete=decision.complete,
        asOf=date_json(decision.as_of),
        checks=[check_json(each) for each in decision.checks if each.status not in _COUNTED],
        suppressed=[
            kept(ruleId=each.rule_id, ruleVersion=each.rule_version, subject=each.subject, reason=each.reason)
            for each in decision.suppressed
        ],
        resolvedMedications=[
            kept(
                reference=each.reference,
                asSent=each.as_sent,
                matchedBy=f"MATCHED_BY_{each.matched_by.name}" if each.matched_by else "",
                matchedOn=each.matched_on,
                form=each.form,
                medicationIds=list(each.lines),
                conflict=each.conflict,
            )
            for each in decision.resolved_medications
        ],
        notProcessed=[kept(path=each.path, reason=each.reason) for each in decision.not_processed],
        normalizedOrder=_order(order),
        careOptionIds=list(decision.care_option_ids),
        knowledge=kept(version=decision.knowledge_version, digest=decision.knowledge_digest),
        policy=kept(id=decision.policy_id, digest=decision.policy_digest),
        counts=kept(
            fired=counts.fired,
            passed=counts.passed,
            notApplicable=counts.not_applicable,
            notEvaluated=counts.not_evaluated,
            suppressed=counts.suppressed,
            error=counts.error,
        ),
        engineVersion=decision.engine_version,
        conflicts=list(decision.conflicts),
    )


def _order(order: domain.NormalizedOrder) -> Mapping[str, Any]:
    held: Object = {
        "singleDoseLowMg": encode.milligrams(order.single_dose_low_ug),
        "singleDoseHighMg": encode.milligrams(order.single_dose_high_ug),
        "dailyDoseLowMg": encode.milligrams(order.daily_dose_low_ug),
        "dailyDoseHighMg": encode.milligrams(order.daily_dose_high_ug),
        "startDate": None if order.start is None else date_json(order.start),
        "daysLow": order.days_low,
        "daysHigh": order.days_high,
        "daysSource": order.days_source or None,
        "refills": order.refills,
        "courseDaysLow": order.course_days_low,
        "courseDaysHigh": order.course_days_high,
        "newStart": f"ANSWER_{order.new_start.name}" if order.new_start else None,
        "notes": list(order.notes) or None,
    }
    return {name: value for name, value in held.items() if value is not None}


def date_json(day: int) -> Object:
    """A day number as google.type.Date."""
    on = domain.to_date(day)
    return {"year": on.year, "month": on.month, "day": on.day}
