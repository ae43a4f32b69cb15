"""An answer as HTML, from the message of the contract: the cards, what is open, the pathway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medsafety import CheckPrescriptionResponse
from medsafety.v1.common_pb2 import Severity
from medsafety.v1.decision_pb2 import Alert, Decision, ImplicatedRole, Overall
from safety_service.knowledge.knowledge import Knowledge
from safety_service.report.answer import (
    STEP_OF_TIER,
    change_words,
    counted_words,
    date_words,
    fact_words,
    open_questions,
    option_grade,
    order_words,
    pathway_words,
    phase_marks,
)
from safety_service.report.layout import word
from safety_service.report.needs import need

Values = dict[str, Any]

OVERALL_WORDS = {
    "ALERTS": "Alerts",
    "INCOMPLETE": "No alert, but not everything was checked",
    "ADVICE": "Advice",
    "CLEAR": "Nothing found",
}
# Where on the page a field of the contract is entered.
FIELDS: Mapping[str, str] = {
    "prescription.medication": "medication",
    "prescription.dose_quantity": "dose",
    "prescription.frequency": "times",
    "prescription.as_needed": "as-needed",
    "prescription.days_supply": "days",
    "prescription.refills": "refills",
    "prescription.treatment_status": "status",
    "prescription.indications": "purpose",
    "patient.birth_date": "age",
    "patient.age_years": "age",
    "patient.sex": "sex",
    "patient.hepatic.grade": "liver",
    "patient.renal": "egfr",
    "patient.renal.egfr": "egfr",
    "patient.drives_or_operates_machinery": "drives",
    "patient.alcohol_use": "alcohol",
    "patient.falls": "falls",
    "patient.pregnant": "pregnant",
    "patient.lactating": "lactating",
    "patient.spasticity_needed_for_function": "spasticity",
    "patient.conditions": "problems",
    "patient.medications": "medicines",
    "patient.allergies": "allergies",
    "patient.care_options_tried": "tried",
}


def answer_values(knowledge: Knowledge, response: CheckPrescriptionResponse) -> Values:
    """What the template of an answer is filled with."""
    decision = response.decision
    alerts = {each.fingerprint: each for each in decision.alerts}
    order = next(iter(decision.resolved_medications), None)
    wanted, other = open_questions(decision)
    steps, rest = _steps(knowledge, decision)
    return {
        "response": response,
        "decision": decision,
        "overall": word(Overall.DESCRIPTOR, decision.overall),
        "counted": " · ".join(counted_words(decision)),
        "order_name": order.as_sent if order is not None else "Order",
        "cards": [
            {
                "number": number,
                "severity": _severity(card.severity),
                "title": card.title,
                "changes": card.suggestions,
                "reasons": [
                    {
                        "is_title": reason.title == card.title,
                        "severity": _severity(reason.severity),
                        "title": reason.title or reason.rule_id,
                        "text": reason.text if reason.HasField("text") else alerts[reason.fingerprint].message,
                        "action": reason.action if reason.HasField("action") else alerts[reason.fingerprint].action,
                        **_of_alert(knowledge, alerts[reason.fingerprint]),
                    }
                    for reason in card.reasons
                ],
            }
            for number, card in enumerate(decision.cards, start=1)
        ],
        "wanted": [
            {
                "path": each.path,
                "words": need(each.path).words.capitalize(),
                "reasons": each.reasons,
                "rules": each.rules,
                "field": FIELDS.get(each.path, ""),
            }
            for each in wanted
        ],
        "other": other,
        "patient_texts": list(dict.fromkeys(each.patient_text for each in decision.alerts if each.patient_text)),
        "patient_options": [knowledge.care.options[each] for each in decision.care_option_ids],
        "steps": steps,
        "other_options": rest,
        "pathway_about": pathway_words(decision),
    }


ANSWER_WORDS: Values = {
    "overall_words": OVERALL_WORDS,
    "order_words": order_words,
    "date_words": date_words,
    "change_words": change_words,
    "facts_words": lambda alert: list(fact_words(alert)),
}


def _severity(value: int) -> str:
    return word(Severity.DESCRIPTOR, value).lower()


def _of_alert(knowledge: Knowledge, alert: Alert) -> Values:
    trigger = ImplicatedRole.IMPLICATED_ROLE_TRIGGER
    return {
        "alert": alert,
        "because": alert.computation if alert.computation not in alert.message else "",
        "involved": list(
            dict.fromkeys(each.display or each.reference for each in alert.implicated if each.role != trigger)
        ),
        "lines": [knowledge.lines[each] for each in alert.subject.split("|") if each in knowledge.lines],
    }


def _steps(knowledge: Knowledge, decision: Decision) -> tuple[list[Values], Sequence[Values]]:
    """The steps with the options of each; then the options of no step."""
    pathway = decision.care_pathway
    if not pathway.phase and not decision.care_options:
        return [], []
    listed: set[str] = set()
    steps = []
    for step in pathway.steps:
        options = [each for each in decision.care_options if STEP_OF_TIER.get(each.tier) == step.number]
        listed |= {each.id for each in options}
        steps.append(
            {
                "current": step.number == pathway.current_step,
                "title": step.title,
                "text": step.text,
                "options": [_option(knowledge, each, decision) for each in options],
            }
        )
    return steps, [_option(knowledge, each, decision) for each in decision.care_options if each.id not in listed]


def _option(knowledge: Knowledge, option: Any, decision: Decision) -> Values:
    held = knowledge.care.options[option.id]
    marks = phase_marks(option, decision.care_pathway.phase)
    return {
        "id": option.id,
        "name": option.name,
        "grade": "; ".join([option_grade(option), *marks]),
        "conflicts": held.conflicts,
    }
