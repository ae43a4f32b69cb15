"""Decisions as CDS Hooks cards: one for each alert, and one that says what could not be checked.

What becomes one card is decided in `cards_of` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from safety_service.domain import Alert, CheckStatus, Citation, Decision, MatchedBy, Role, RuleKind, Severity
from safety_service.gateway.answer_json import Object, alert_json, decision_json, kept
from safety_service.gateway.checked_orders import CheckedOrder
from safety_service.gateway.corrected import corrected
from safety_service.gateway.fhir.pool import own_reference
from safety_service.gateway.fhir.shapes import Resource
from safety_service.gateway.markdown import plain
from safety_service.gateway.needs import need
from safety_service.gateway.stated import EXTENSION
from safety_service.knowledge.knowledge import Knowledge
from safety_service.report.layout import AUTHORITY_WORDS, READ_AS_WORDS
from safety_service.server import encode

SUMMARY = 139
_INDICATOR = {
    Severity.LOW: "info",
    Severity.MODERATE: "warning",
    Severity.HIGH: "warning",
    Severity.CONTRAINDICATED: "critical",
}
_LINKED_OPTIONS = 3  # on one card; the page behind the last link has all
_REASONS = "http://terminology.hl7.org/CodeSystem/non-adherence-reason-codes"
_OVERRIDES = (
    ("risk-benefit-ratio", "Recipient assessment of risk/benefit ratio"),
    ("mitigate-risk-negative-outcome", "Action taken to mitigate risk of negative outcome"),
    ("action-performed-no-adverse-effect", "Intended action was performed previously without adverse effect"),
    ("expert-contradicts", "Advice from expert contradicts the recommended action"),
    ("prefers-alternative", "Patient prefers an alternative approach or treatment"),
    ("patient-ineligible", "Patient does not meet eligibility for recommended action"),
)
_CARE_OVERRIDES = (
    ("action-unsuccessful", "Recommended action was previously unsuccessful"),
    ("action-completed", "Recommended action was already completed"),
    ("service-not-available", "Treatment or service is not practically available"),
)
_UNANSWERED = (CheckStatus.NOT_EVALUATED, CheckStatus.ERROR)


@dataclass(frozen=True, slots=True)
class Shown:
    """What cards are written with. `base` is the public address of this gateway, without a slash at the end."""

    knowledge: Knowledge
    base: str


def answer(shown: Shown, orders: Sequence[tuple[CheckedOrder, bytes]]) -> Object:
    """The body of an answer; with each order the 16 bytes of its decision id."""
    cards = []
    decisions = []
    for order, decision_id in orders:
        cards += cards_of(shown, order, decision_id)
        if order.decision is not None:
            decisions.append(
                {
                    "order": order.reference,
                    "decisionId": encode.uuid_text(decision_id),
                    **decision_json(order.decision),
                    **kept(said=list(order.said)),
                }
            )
    body: Object = {"cards": cards}
    if decisions:
        body["extension"] = {EXTENSION: {"decisions": decisions}}
    return body


def cards_of(shown: Shown, order: CheckedOrder, decision_id: bytes) -> list[Object]:
    """The cards of one order, most severe first. One alert is one card; to merge alerts, merge them here."""
    if order.decision is None:
        return [_not_checked_at_all(shown, order, decision_id)]
    decision = order.decision
    ids = encode.alert_ids(decision_id, decision.alerts)
    whole = _changes(order.draft.resource, [each for alert in decision.alerts for each in alert.suggestions])
    cards = [
        _alert_card(shown, order, alert, alert_id, whole) for alert, alert_id in zip(decision.alerts, ids, strict=True)
    ]
    open_card = _open_card(shown, order, decision, decision_id)
    return cards if open_card is None else [*cards, open_card]


# --- an alert ----------------------------------------------------------------------------------------------------


def _alert_card(shown: Shown, order: CheckedOrder, alert: Alert, alert_id: str, whole: Object | None) -> Object:
    suggestions = _suggestions(order, alert, alert_id, whole)
    return kept(
        uuid=alert_id,
        summary=_summary(alert.title or alert.rule_id),
        indicator=_INDICATOR[alert.severity],
        detail=_detail(alert),
        source=_source(shown, alert),
        suggestions=suggestions,
        selectionBehavior="at-most-one" if suggestions else "",
        overrideReasons=_override_reasons(alert.kind),
        links=_links(shown, alert),
        extension={
            EXTENSION: {"associated": [order.reference], **alert_json(alert, alert_id)},
        },
    )


def _summary(text: str) -> str:
    return text if len(text) <= SUMMARY else f"{text[: SUMMARY - 1].rstrip()}…"


def _detail(alert: Alert) -> str:
    """The number first, then why, then what to do, then the source."""
    parts = [plain(alert.message)] if alert.message else []
    lines = []
    if alert.computation and alert.computation not in alert.message:
        lines.append(("Because", alert.computation))
    involved = dict.fromkeys(
        each.display for each in alert.implicated if each.role is not Role.TRIGGER and each.display
    )
    if involved:
        lines.append(("With", ", ".join(involved)))
    if alert.suggestions:
        lines.append(("Change", "; ".join(each.text for each in alert.suggestions)))
    if alert.action:
        lines.append(("Do", alert.action))
    lines += [("Unknown", f"{each.why}; send {need(each.path).words}") for each in alert.missing]
    lines += [("Source" if i == 0 else "Also", _quoted(each)) for i, each in enumerate(alert.citations)]
    parts += [f"**{name}:** {plain(text)}" for name, text in lines]
    return "\n\n".join(parts)


def _quoted(citation: Citation) -> str:
    authority = AUTHORITY_WORDS.get(citation.authority, citation.authority)
    parts = [f"{authority}, {citation.verb.replace('-', ' ')}"]
    parts += [citation.title, citation.section, citation.date]
    parts += [f"number {citation.basis}" if citation.basis not in ("", "stated", "policy") else ""]
    parts += [READ_AS_WORDS.get(citation.read_as, citation.read_as), encode.standing(citation.status)]
    return " · ".join(filter(None, parts))


def _source(shown: Shown, alert: Alert) -> Object:
    """The document that decides; without one it is this service's own policy."""
    kind = alert.kind.name.lower().replace("_", "-")
    citation = next(iter(alert.citations), None)
    title = "Policy of the medication safety service" if citation is None else citation.title
    url = "" if citation is None or not citation.url.startswith(("http://", "https://")) else citation.url
    return kept(
        label=f"{title} (knowledge {shown.knowledge.version}{'' if shown.knowledge.reviewed else ', not reviewed'})",
        url=url,
        topic={
            "system": f"{shown.base}/alert-kinds",
            "code": kind,
            "display": kind.replace("-", " ").capitalize(),
        },
    )


def _suggestions(order: CheckedOrder, alert: Alert, alert_id: str, whole: Object | None) -> list[Object]:
    """The change of this alert; before it, where other alerts propose more, all changes of the order together.

    An update holds the whole order, so that of two updates the second would undo the first.
    """
    own = _changes(order.draft.resource, alert.suggestions)
    if own is None:
        return []
    offered = (
        [own]
        if whole is None or whole["label"] == own["label"]
        else [{**whole, "label": f"All: {whole['label']}"}, own]
    )
    return [
        {
            "label": each["label"],
            "uuid": str(uuid5(UUID(alert_id), each["label"])),
            **({"isRecommended": True} if i == 0 else {}),
            "actions": each["actions"],
        }
        for i, each in enumerate(offered)
    ]


def _changes(resource: Resource, suggestions: Iterable[Any]) -> Object | None:
    """Some changes as one suggestion; None when there is none, or no order that could be named to change."""
    changes = {each.field: each for each in suggestions}
    if not changes or not own_reference(resource):
        return None
    order = corrected(resource, changes.values())
    if order is None:
        return None
    label = "; ".join(each.text for each in changes.values())
    action = {"type": "update", "description": f"Change the order: {label}", "resource": order}
    return {"label": label, "actions": [action]}


def _override_reasons(kind: RuleKind) -> list[Object]:
    care = _CARE_OVERRIDES if kind is RuleKind.CARE_PATHWAY else ()
    return [{"system": _REASONS, "code": code, "display": display} for code, display in (*care, *_OVERRIDES)]


def _links(shown: Shown, alert: Alert) -> list[Object]:
    options = shown.knowledge.care.options
    links = [
        _link(options[each].name, f"{shown.base}/options/{each}") for each in alert.care_option_ids[:_LINKED_OPTIONS]
    ]
    more = len(alert.care_option_ids) - len(links)
    if more > 0:
        ids = ",".join(alert.care_option_ids)
        links.append(_link(f"All {len(alert.care_option_ids)} non-drug options", f"{shown.base}/options?ids={ids}"))
    links += [
        _link(f"What the label says: {shown.knowledge.lines[each].name}", f"{shown.base}/medications/{each}")
        for each in alert.subject.split("|")
        if each in shown.knowledge.lines
    ]
    links.append(_link(f"Rule {alert.rule_id}", f"{shown.base}/rules/{alert.rule_id}"))
    return links


def _link(label: str, url: str) -> Object:
    return {"label": label, "url": url, "type": "absolute"}


# --- what could not be checked -----------------------------------------------------------------------------------


def _open_card(shown: Shown, order: CheckedOrder, decision: Decision, decision_id: bytes) -> Object | None:
    """What is not known and could change the answer. An order that no check speaks about has none."""
    unanswered = [each for each in decision.checks if each.status in _UNANSWERED]
    spoke = any(each.status in (CheckStatus.FIRED, CheckStatus.PASSED) for each in decision.checks)
    if not unanswered and not (decision.not_processed and spoke):
        return None
    first = next(iter(decision.resolved_medications), None)
    if first is None or first.matched_by is MatchedBy.NONE:
        summary = "Medication not recognised: nothing of it was checked. Please review by hand."
    elif unanswered:
        count = len(unanswered)
        summary = f"{count} check{'s' if count > 1 else ''} not done: information is missing. Please review by hand."
    else:
        summary = "Some of what was sent could not be used. Please review by hand."
    wanted: dict[str, list[str]] = {}
    failed = []
    for each in unanswered:
        if each.status is CheckStatus.ERROR:
            failed.append(each.rule_id)
        for missing in each.missing:
            wanted.setdefault(need(missing.path).words, []).append(each.rule_id)
    lines = [f"- **{plain(words)}**: {plain(', '.join(dict.fromkeys(rules)))}" for words, rules in wanted.items()]
    parts = ["Not known, and could change the answer:\n\n" + "\n".join(lines)] if lines else []
    if failed:
        parts.append(f"**Failed:** {plain(', '.join(failed))}")
    unused = [f"- {plain(each.path)}: {plain(each.reason)}" for each in decision.not_processed]
    if unused:
        parts.append("Sent and not used:\n\n" + "\n".join(unused))
    return _note(shown, order, decision_id, summary, "\n\n".join(parts))


def _not_checked_at_all(shown: Shown, order: CheckedOrder, decision_id: bytes) -> Object:
    summary = "This order was not checked: it names no medication. Please review by hand."
    return _note(shown, order, decision_id, summary, plain(order.why_not))


def _note(shown: Shown, order: CheckedOrder, decision_id: bytes, summary: str, detail: str) -> Object:
    version = shown.knowledge.version
    return kept(
        uuid=str(uuid5(UUID(bytes=decision_id), "not-checked")),
        summary=_summary(summary),
        indicator="info",
        detail=detail,
        source={
            "label": f"Medication safety service, knowledge {version}",
            "url": f"{shown.base}/",
            "topic": {"system": f"{shown.base}/alert-kinds", "code": "not-checked", "display": "Not checked"},
        },
        extension={EXTENSION: {"associated": [order.reference], "notChecked": True}},
    )
