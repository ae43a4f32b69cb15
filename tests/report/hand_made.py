"""Answers made by hand, so that what is printed is tested apart from what is decided."""

from __future__ import annotations

from google.protobuf.json_format import ParseDict

from medsafety import CheckPrescriptionResponse

LABEL = {
    "sourceId": "label-x",
    "title": "Examplol tablets, prescribing information",
    "publisher": "FDA",
    "section": "PRECAUTIONS, Liver",
    "date": "2020",
    "url": "https://example.org/label-x",
    "authority": "label",
    "verb": "not-recommended",
    "basis": "stated",
    "readAs": "copy",
}
GUIDELINE = {
    "sourceId": "guide-y",
    "title": "Guideline Y",
    "section": "Recommendation 2",
    "date": "2017",
    "url": "https://example.org/guide-y",
    "authority": "guideline",
    "verb": "for",
    "basis": "derived",
    "readAs": "source",
    "status": "lapsed",
}
HIGH = {
    "fingerprint": "f-1",
    "ruleId": "hepatic.start-dose",
    "ruleVersion": 2,
    "severity": "SEVERITY_HIGH",
    "subject": "examplol",
    "title": "Start at 5 mg, not 10 mg",
    "message": "10 mg is ordered as a first dose.",
    "action": "Start with 5 mg.",
    "computation": "10 mg > 5 mg",
    "facts": [
        {"name": "single_dose_mg", "value": "10", "unit": "mg"},
        {"name": "hepatic_grade", "value": "mild", "evidence": ["condition-7"]},
    ],
    "thresholds": [
        {
            "fact": "single_dose_mg",
            "comparison": ">",
            "value": "5",
            "unit": "mg",
            "basis": "stated",
            "limit": "drug.hepatic.mild_start_mg",
        }
    ],
    "missing": [{"fact": "age", "path": "patient.age_years", "why": "age: not sent"}],
    "citations": [LABEL],
    "suggestions": [
        {"field": "prescription.dose_quantity", "current": "10", "proposed": "5", "unit": "mg"},
        {"field": "prescription.refills", "current": "1", "proposed": "0"},
        {"field": "prescription.days_supply", "proposed": "14", "unit": "d"},
    ],
    "implicated": [
        {"role": "IMPLICATED_ROLE_TRIGGER", "reference": "order-1", "display": "examplol"},
        {"role": "IMPLICATED_ROLE_CONDITION", "reference": "condition-7", "display": "Cirrhosis"},
        {"role": "IMPLICATED_ROLE_CO_AGENT", "reference": "patient.medications.items[0]"},
    ],
    "actCodes": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "DOSECOND"}],
    "detectedIssueSeverity": "DETECTED_ISSUE_SEVERITY_HIGH",
}
LOW = {
    "fingerprint": "f-2",
    "ruleId": "pathway.first-line",
    "ruleVersion": 1,
    "severity": "SEVERITY_LOW",
    "title": "No first-line option is documented as tried",
    "message": "Begin without drugs. 14 d x 2 = 28 d.",
    "computation": "14 d x 2 = 28 d",
    "facts": [{"name": "back_pain", "value": "yes"}],
    "citations": [LABEL, GUIDELINE],
    "implicated": [{"role": "IMPLICATED_ROLE_TRIGGER", "reference": "order-1"}],
    "detectedIssueSeverity": "DETECTED_ISSUE_SEVERITY_LOW",
}
EXERCISE = {
    "id": "exercise",
    "name": "Exercise therapy",
    "tier": "CARE_TIER_FIRST_LINE",
    "phases": ["PAIN_PHASE_CHRONIC"],
    "effectOnPain": "small",
    "certainty": "moderate",
    "evidence": [{"body": "ACP 2017", "direction": "for", "phases": ["PAIN_PHASE_CHRONIC"]}],
    "url": "https://example.org/guide-y",
}
HEAT = {
    "id": "heat",
    "name": "Heat",
    "tier": "CARE_TIER_FIRST_LINE",
    "phases": ["PAIN_PHASE_ACUTE", "PAIN_PHASE_SUBACUTE", "PAIN_PHASE_CHRONIC"],
    "evidence": [
        {"body": "Article 2025", "direction": "for", "phases": ["PAIN_PHASE_CHRONIC"]},
        {"body": "ACP 2017", "direction": "for", "phases": ["PAIN_PHASE_ACUTE"]},
        {"body": "Body Z", "direction": "no recommendation", "phases": ["PAIN_PHASE_ACUTE"]},
    ],
    "url": "https://example.org/heat",
}
REHABILITATION = {"id": "rehabilitation", "name": "Rehabilitation", "tier": "CARE_TIER_MULTIDISCIPLINARY"}
PATHWAY = {
    "phase": "PAIN_PHASE_CHRONIC",
    "currentStep": 1,
    "steps": [
        {"number": 1, "title": "Start without drugs", "text": "Exercise.", "reached": True},
        {"number": 2, "title": "Add what is needed", "text": "Massage."},
        {"number": 3, "title": "If that is not enough", "text": "Refer."},
    ],
}


def _open(rule_id: str, *missing: tuple[str, str]) -> dict[str, object]:
    return {
        "ruleId": rule_id,
        "ruleVersion": 1,
        "status": "CHECK_STATUS_NOT_EVALUATED",
        "missing": [{"fact": "f", "path": path, "why": why} for path, why in missing],
    }


def answer() -> CheckPrescriptionResponse:
    """Two alerts, four open checks, one check that failed, something not used, something suppressed, three options."""
    decision = {
        "overall": "OVERALL_ALERTS",
        "highestSeverity": "SEVERITY_HIGH",
        "asOf": {"year": 2026, "month": 11, "day": 2},
        "alerts": [HIGH, LOW],
        "checks": [
            _open("sedation.falls", ("patient.falls", "has fallen: not sent")),
            _open("hepatic.monitor", ("patient.hepatic.labs", "days since liver tests: no results were sent")),
            _open("hepatic.stop", ("patient.hepatic.labs", "ALT: no results were sent")),
            _open("duration.early-refill", ("patient.hepatic.labs", "made up: the list is partial")),
            {"ruleId": "product.route", "ruleVersion": 1, "status": "CHECK_STATUS_ERROR", "reason": "division"},
            {"ruleId": "sedation.alcohol", "ruleVersion": 1, "status": "CHECK_STATUS_PASSED"},
        ],
        "suppressed": [{"ruleId": "sedation.counsel", "ruleVersion": 1, "reason": "switched off by policy x 1: no"}],
        "resolvedMedications": [{"reference": "order-1", "asSent": "Examplol 10 mg tablet"}],
        "notProcessed": [{"path": "patient.medications.items[1]", "reason": "not a drug name we know"}],
        "normalizedOrder": {
            "singleDoseLowMg": 5,
            "singleDoseHighMg": 10,
            "dailyDoseLowMg": 30,
            "dailyDoseHighMg": 30,
            "startDate": {"year": 2026, "month": 11, "day": 2},
            "daysLow": 14,
            "daysHigh": 14,
            "refills": 1,
            "newStart": "ANSWER_YES",
            "notes": ["one or two tablets: the range is kept"],
        },
        "carePathway": PATHWAY,
        "careOptions": [EXERCISE, HEAT, REHABILITATION],
        "knowledge": {
            "version": "2026.11.0",
            "digest": "0123456789abcdef",
            "reviewStatus": "REVIEW_STATUS_NOT_REVIEWED",
        },
        "policy": {"id": "default"},
        "counts": {"fired": 2, "passed": 1, "notApplicable": 7, "notEvaluated": 4, "suppressed": 1, "error": 1},
        "engineVersion": "0.1.0",
        "conflicts": ["code and text name different strengths: the code was used"],
    }
    return ParseDict(
        {
            "requestId": "r-1",
            "decisionId": "5f2c1f0e-6d1e-4d7e-9d57-0c9d3a3f1c11",
            "evaluatedAt": "2026-11-02T10:00:00Z",
            "alertIds": ["7a0c6f0e-0000-5000-8000-000000000001", "7a0c6f0e-0000-5000-8000-000000000002"],
            "decision": decision,
        },
        CheckPrescriptionResponse(),
    )
