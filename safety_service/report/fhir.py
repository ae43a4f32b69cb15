"""An answer as FHIR R4: a Bundle with one DetectedIssue per alert, a GuidanceResponse and an OperationOutcome.

What could not be decided is no DetectedIssue: the GuidanceResponse asks for the data that would settle it, and the
OperationOutcome says it in words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias
from uuid import NAMESPACE_OID, UUID, uuid5

from google.protobuf.timestamp_pb2 import Timestamp

from medsafety import CheckPrescriptionRequest, CheckPrescriptionResponse, MedsafetyError
from medsafety.v1.decision_pb2 import (
    Alert,
    CheckStatus,
    Decision,
    DetectedIssueSeverity,
    Implicated,
    ImplicatedRole,
    Overall,
)
from safety_service.knowledge.observation_codes import LOINC
from safety_service.report.answer import OpenQuestion, open_questions
from safety_service.report.layout import word
from safety_service.report.needs import need

Resource: TypeAlias = dict[str, Any]

MODULE = "muscle-relaxant-safety"
MODULE_WORDS = "Muscle relaxant safety"

_RELATIVE = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64}")
_SEVERITY: Mapping[int, str] = {
    DetectedIssueSeverity.DETECTED_ISSUE_SEVERITY_LOW: "low",
    DetectedIssueSeverity.DETECTED_ISSUE_SEVERITY_MODERATE: "moderate",
    DetectedIssueSeverity.DETECTED_ISSUE_SEVERITY_HIGH: "high",
}
_TYPE: Mapping[int, str] = {
    ImplicatedRole.IMPLICATED_ROLE_CONDITION: "Condition",
    ImplicatedRole.IMPLICATED_ROLE_LAB: "Observation",
}


def bundle(response: CheckPrescriptionResponse, request: CheckPrescriptionRequest) -> Resource:
    """A Bundle of type collection. `request` gives the patient's pseudonym, which answers do not repeat."""
    issues = [
        _detected_issue(alert, alert_id, response, request)
        for alert, alert_id in zip(response.decision.alerts, response.alert_ids, strict=True)
    ]
    outcome = _operation_outcome(response)
    guidance = _guidance(response, request, issues, outcome)
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": _instant(response.evaluated_at),
        "entry": [{"fullUrl": _urn(each), "resource": each} for each in [*issues, guidance, outcome]],
    }


def _urn(resource: Resource) -> str:
    return f"urn:uuid:{resource['id']}"


def not_checked(why: str, decision_id: bytes, now_ns: int) -> Resource:
    """A Bundle of type collection that says only why there is no answer. `now_ns` is since 1970, UTC."""
    when = Timestamp()
    when.FromNanoseconds(now_ns)
    outcome = {
        "resourceType": "OperationOutcome",
        "id": str(UUID(bytes=decision_id)),
        "issue": [_issue("error", "required", why)],
    }
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": _instant(when),
        "entry": [{"fullUrl": _urn(outcome), "resource": outcome}],
    }


def refusal(error: MedsafetyError) -> Resource:
    """An OperationOutcome for a request that was not answered."""
    texts = [f"{each.field}: {each.reason}" for each in error.violations] or [str(error)]
    return {"resourceType": "OperationOutcome", "issue": [_issue("error", "invalid", each) for each in texts]}


def _detected_issue(
    alert: Alert, alert_id: str, response: CheckPrescriptionResponse, request: CheckPrescriptionRequest
) -> Resource:
    rule = f"{alert.rule_id} v{alert.rule_version}"
    coding = [{"system": each.system, "code": each.code} for each in alert.act_codes]
    texts = [alert.message, alert.action]
    issue: Resource = _without_empty(
        {
            "resourceType": "DetectedIssue",
            "id": alert_id,
            "identifier": [{"type": {"text": "fingerprint"}, "value": alert.fingerprint}],
            "status": "final",
            "code": {"coding": coding, "text": alert.title or rule},
            "severity": _SEVERITY.get(alert.detected_issue_severity, ""),
            "patient": _patient(request),
            "identifiedDateTime": _instant(response.evaluated_at),
            "author": {"type": "Device", "display": _author(response.decision)},
            "implicated": [_reference(each) for each in alert.implicated],
            "evidence": [{"code": [{"text": each}]} for each in _facts(alert)],
            "detail": "\n".join([*filter(None, texts), f"Rule {rule}"]),
            "reference": next((each.url for each in alert.citations if each.url), ""),
            "mitigation": [_mitigation(alert)] if alert.HasField("overridden_before") else [],
        }
    )
    return issue


def _patient(request: CheckPrescriptionRequest) -> Resource:
    return {"identifier": {"value": request.patient.id}} if request.patient.id else {}


def _guidance(
    response: CheckPrescriptionResponse,
    request: CheckPrescriptionRequest,
    issues: Sequence[Resource],
    outcome: Resource,
) -> Resource:
    """Whether all was decided, by which knowledge, and the data that is still required."""
    decision = response.decision
    wanted, _ = open_questions(decision)
    guidance: Resource = _without_empty(
        {
            "resourceType": "GuidanceResponse",
            "id": str(uuid5(NAMESPACE_OID, f"{response.decision_id} guidance")),
            "requestIdentifier": {"value": response.request_id} if response.request_id else {},
            "moduleCodeableConcept": {
                "coding": [{"version": decision.knowledge.version, "code": MODULE, "display": MODULE_WORDS}],
                "text": f"{_author(decision)}, digest {decision.knowledge.digest}, policy {decision.policy.id}",
            },
            "status": "data-required" if wanted else "success",
            "subject": _patient(request),
            "occurrenceDateTime": _instant(response.evaluated_at),
            "performer": {"type": "Device", "display": _author(decision)},
            "reasonReference": [{"reference": _urn(each)} for each in issues],
            "evaluationMessage": [{"reference": _urn(outcome)}],
            "dataRequirement": [_requirement(each) for each in wanted],
        }
    )
    return guidance


def _requirement(question: OpenQuestion) -> Resource:
    """`id` is the field of the contract, for clients that send facts by it."""
    asked = need(question.path)
    return {
        "id": question.path,
        "type": asked.type,
        "mustSupport": list(asked.elements),
        "codeFilter": [{"path": "code", "code": [{"system": LOINC, "code": each} for each in asked.codes]}]
        if asked.codes
        else [],
    }


def _mitigation(alert: Alert) -> Resource:
    """What was decided when the same alert was there before."""
    before = alert.overridden_before
    on = before.overridden_on
    date = f"{on.year:04}-{on.month:02}-{on.day:02}" if before.HasField("overridden_on") else ""
    return {"action": {"text": f"Overridden: {before.reason}" if before.reason else "Overridden"}, "date": date}


def _reference(implicated: Implicated) -> Resource:
    """By identifier where the id is no FHIR reference: only the sender knows under which address a record lives."""
    if _RELATIVE.fullmatch(implicated.reference):
        return {"reference": implicated.reference, "display": implicated.display}
    kind = _TYPE.get(implicated.role, "")
    return {"type": kind, "identifier": {"value": implicated.reference}, "display": implicated.display}


def _facts(alert: Alert) -> Iterator[str]:
    for fact in alert.facts:
        yield f"{fact.name} = {fact.value} {fact.unit}".rstrip()


def _author(decision: Decision) -> str:
    return f"Medication safety service, engine {decision.engine_version}, knowledge {decision.knowledge.version}"


def _operation_outcome(response: CheckPrescriptionResponse) -> Resource:
    decision = response.decision
    issues = [_issue("information", "informational", f"Overall: {word(Overall.DESCRIPTOR, decision.overall)}")]
    for check in decision.checks:
        rule = f"{check.rule_id} v{check.rule_version}"
        if check.status == CheckStatus.CHECK_STATUS_ERROR:
            issues.append(_issue("error", "exception", f"{rule} failed: {check.reason}"))
        elif check.status == CheckStatus.CHECK_STATUS_NOT_EVALUATED:
            needs = "; ".join(f"send {each.path} ({each.why})" for each in check.missing) or check.reason
            issues.append(_issue("information", "required", f"{rule} not evaluated: {needs}"))
    for left_out in decision.not_processed:
        issues.append(_issue("warning", "processing", f"{left_out.path} not used: {left_out.reason}"))
    for suppressed in decision.suppressed:
        issues.append(_issue("information", "informational", f"{suppressed.rule_id} suppressed: {suppressed.reason}"))
    return {
        "resourceType": "OperationOutcome",
        "id": str(uuid5(NAMESPACE_OID, response.decision_id)),
        "issue": issues,
    }


def _issue(severity: str, code: str, text: str) -> Resource:
    return {"severity": severity, "code": code, "details": {"text": text}}


def _instant(when: Timestamp) -> str:
    return when.ToJsonString()


def _without_empty(value: Any) -> Any:
    """FHIR JSON has no empty text, list or object."""
    if isinstance(value, dict):
        kept = {name: _without_empty(each) for name, each in value.items()}
        return {name: each for name, each in kept.items() if each not in ("", [], {})}
    if isinstance(value, list):
        return [kept for each in value if (kept := _without_empty(each)) not in ("", [], {})]
    return value
