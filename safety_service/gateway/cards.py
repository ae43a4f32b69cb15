"""Decisions as CDS Hooks cards: those that the engine merged, and one that says what could not be checked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID, uuid5

from safety_service.domain import (
    Alert,
    CheckStatus,
    Citation,
    Decision,
    MatchedBy,
    Role,
    RuleKind,
    Severity,
    Suggestion,
    to_date,
)
from safety_service.engine.cards import Card, Reason, least_changes
from safety_service.engine.cards import cards as merged
from safety_service.gateway.answer_json import Object, alert_json, decision_json, implicated_json, kept
from safety_service.gateway.checked_orders import CheckedOrder
from safety_service.gateway.corrected import corrected
from safety_service.gateway.fhir.pool import own_reference
from safety_service.gateway.fhir.shapes import Resource
from safety_service.gateway.markdown import plain
from safety_service.gateway.stated import EXTENSION
from safety_service.knowledge.knowledge import Knowledge
from safety_service.report.layout import AUTHORITY_WORDS, READ_AS_WORDS
from safety_service.report.needs import need
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
    """What cards are written with. `base` is the public address of this gateway, without a slash at the end.

    `changes` are offered as actions where the order is being written; a signed one is not for the reader to change.
    """

    knowledge: Knowledge
    base: str
    changes: bool = True


def answer(
    shown: Shown, orders: Sequence[tuple[CheckedOrder, bytes]], not_logged: Sequence[bool] | None = None
) -> Object:
    """The body of an answer; with each order the 16 bytes of its decision id, and whether it could not be recorded."""
    cards = []
    decisions = []
    for (order, decision_id), unkept in zip(orders, not_logged or [False] * len(orders), strict=True):
        cards += cards_of(shown, order, decision_id)
        if order.decision is not None:
            decisions.append(
                {
                    "order": order.reference,
                    "decisionId": encode.uuid_text(decision_id),
                    **decision_json(order.decision),
                    **kept(said=list(order.said), notLogged=unkept or None),
                }
            )
    body: Object = {"cards": cards}
    if decisions:
        body["extension"] = {EXTENSION: {"decisions": decisions}}
    return body


def fingerprints(answered: Object) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Of each card of an answer its uuid and the fingerprints of its alerts."""
    for card in answered["cards"]:
        alerts = card["extension"][EXTENSION].get("alerts", ())
        if alerts:
            yield card["uuid"], tuple(each["fingerprint"] for each in alerts)


def cards_of(shown: Shown, order: CheckedOrder, decision_id: bytes) -> list[Object]:
    """The cards of one order: what the engine merged, most severe first, then what could not be checked."""
    if order.decision is None:
        return [_not_checked_at_all(shown, order, decision_id)]
    decision = order.decision
    ids = dict(zip(map(id, decision.alerts), encode.alert_ids(decision_id, decision.alerts), strict=True))
    made = merged(decision.alerts)
    every = least_changes(each for card in made for each in card.suggestions)
    found = [
        _alert_card(shown, order, each, [ids[id(reason.alert)] for reason in each.reasons], every) for each in made
    ]
    open_card = _open_card(shown, order, decision, decision_id)
    return found if open_card is None else [*found, open_card]


# --- alerts ------------------------------------------------------------------------------------------------------


def _alert_card(
    shown: Shown, order: CheckedOrder, card: Card, ids: Sequence[str], every: Sequence[Suggestion]
) -> Object:
    """`ids` are those of its alerts; the first is also that of the card, so that it stays when others join it."""
    suggestions = suggested(order.draft.resource, card.suggestions, every, ids[0]) if shown.changes else []
    kinds = {each.alert.kind for each in card.reasons}
    return kept(
        uuid=ids[0],
        summary=_summary(card.title or card.reasons[0].alert.rule_id),
        indicator=_INDICATOR[card.severity],
        detail=_detail(card),
        source=_source(shown, card.reasons[0].alert),
        suggestions=suggestions,
        selectionBehavior="at-most-one" if suggestions else "",
        overrideReasons=_override_reasons(kinds),
        links=_links(shown, card),
        extension={
            EXTENSION: {
                "associated": [order.reference],
                "severity": f"SEVERITY_{card.severity.name}",
                **kept(partners=[implicated_json(each) for each in card.partners]),
                "alerts": [alert_json(each.alert, alert_id) for each, alert_id in zip(card.reasons, ids, strict=True)],
            },
        },
    )


def _summary(text: str) -> str:
    return text if len(text) <= SUMMARY else f"{text[: SUMMARY - 1].rstrip()}…"


def _detail(card: Card) -> str:
    """What to change, then each reason: the number first, why, what to do, by which document."""
    parts = []
    if card.suggestions:
        parts.append(f"**Change:** {plain('; '.join(each.text for each in card.suggestions))}")
    documents: dict[str, int] = {}  # as they are listed below the reasons, with their numbers
    told: set[str] = set()
    severity = None
    for i, reason in enumerate(card.reasons):
        alert = reason.alert
        if len(card.reasons) > 1 and alert.severity is not severity:
            severity = alert.severity
            parts.append(f"#### {severity.name.capitalize()}")
        if i or reason.title != card.title:
            parts.append(f"**{plain(reason.title or alert.rule_id)}**")
        if reason.text:
            parts.append(plain(reason.text))
        parts += [f"**{name}:** {plain(said)}" for name, said in _lines(reason, told, documents)]
    if documents:
        parts += ["**Sources**", "\n".join(f"{number}. {plain(each)}" for each, number in documents.items())]
    return "\n\n".join(parts)


def _lines(reason: Reason, told: set[str], documents: dict[str, int]) -> Iterator[tuple[str, str]]:
    alert = reason.alert
    if alert.computation and alert.computation not in alert.message and alert.computation not in told:
        told.add(alert.computation)
        yield "Because", alert.computation
    involved = dict.fromkeys(
        each.display for each in alert.implicated if each.role is not Role.TRIGGER and each.display
    )
    if involved:
        yield "With", ", ".join(involved)
    if reason.action:
        yield "Do", reason.action
    if alert.overridden_before is not None:
        before = alert.overridden_before
        day = "" if before.on is None else f"on {to_date(before.on).isoformat()}"
        yield "Overridden before", "; ".join(filter(None, (day, before.reason))) or "on a day that is not known"
    for each in alert.missing:
        yield "Unknown", f"{each.why}; send {need(each.path).words}"
    quoted = [_quoted(each, documents) for each in alert.citations]
    if quoted:
        yield "Source", "; ".join(quoted)


def _quoted(citation: Citation, documents: dict[str, int]) -> str:
    """Who says it with which verb, and the number of the document."""
    standing = encode.standing(citation.status)
    document = " · ".join(filter(None, [citation.title, citation.date, standing]))
    number = documents.setdefault(document, len(documents) + 1)
    authority = AUTHORITY_WORDS.get(citation.authority, citation.authority)
    parts = [f"{authority}, {citation.verb.replace('-', ' ')}", citation.section]
    parts += [f"number {citation.basis}" if citation.basis not in ("", "stated", "policy") else ""]
    parts += [READ_AS_WORDS.get(citation.read_as, citation.read_as)]
    return f"{' · '.join(filter(None, parts))} ({number})"


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


def suggested(resource: Resource, own: Sequence[Suggestion], every: Sequence[Suggestion], card_id: str) -> list[Object]:
    """A card's own changes; before them, where other cards propose more, every change of the order together.

    An update holds the whole order, so that of two updates the second would undo the first.
    """
    alone = _changes(resource, own)
    if alone is None:
        return []
    offered = [alone]
    together = None if set(every) == set(own) else _changes(resource, every)
    if together is not None:
        offered.insert(0, {**together, "label": f"All: {together['label']}"})
    return [
        {
            "label": each["label"],
            "uuid": str(uuid5(UUID(card_id), each["label"])),
            **({"isRecommended": True} if i == 0 else {}),
            "actions": each["actions"],
        }
        for i, each in enumerate(offered)
    ]


def _changes(resource: Resource, suggestions: Sequence[Suggestion]) -> Object | None:
    """Some changes as one suggestion; None when there is none, or no order that could be named to change."""
    if not suggestions or not own_reference(resource):
        return None
    order = corrected(resource, suggestions)
    if order is None:
        return None
    label = "; ".join(each.text for each in suggestions)
    action = {"type": "update", "description": f"Change the order: {label}", "resource": order}
    return {"label": label, "actions": [action]}


def _override_reasons(kinds: Collection[RuleKind]) -> list[Object]:
    care = _CARE_OVERRIDES if RuleKind.CARE_PATHWAY in kinds else ()
    return [{"system": _REASONS, "code": code, "display": display} for code, display in (*care, *_OVERRIDES)]


def _links(shown: Shown, card: Card) -> list[Object]:
    """The non-drug options, what the label says, the rules: pages of this gateway."""
    alerts = [each.alert for each in card.reasons]
    options = list(dict.fromkeys(each for alert in alerts for each in alert.care_option_ids))
    links = [
        _link(shown.knowledge.care.options[each].name, f"{shown.base}/options/{each}")
        for each in options[:_LINKED_OPTIONS]
    ]
    if len(options) > len(links):
        links.append(
            _link(
                f"All {len(options)} non-drug options", f"{shown.base}/options?{urlencode({'ids': ','.join(options)})}"
            )
        )
    lines = dict.fromkeys(each for alert in alerts for each in alert.subject.split("|"))
    links += [
        _link(f"What the label says: {shown.knowledge.lines[each].name}", f"{shown.base}/medications/{each}")
        for each in lines
        if each in shown.knowledge.lines
    ]
    rules = list(dict.fromkeys(each.rule_id for each in alerts))
    if len(rules) == 1:
        links.append(_link(f"Rule {rules[0]}", f"{shown.base}/rules/{rules[0]}"))
    else:
        links.append(
            _link(f"The {len(rules)} rules behind this", f"{shown.base}/rules?{urlencode({'ids': ','.join(rules)})}")
        )
    return links


def _link(label: str, url: str) -> Object:
    return {"label": label, "url": url, "type": "absolute"}


# --- what could not be checked -----------------------------------------------------------------------------------


def _open_card(shown: Shown, order: CheckedOrder, decision: Decision, decision_id: bytes) -> Object | None:
    """What is not known and could change the answer. An order that no check speaks about has none."""
    unanswered = [each for each in decision.checks if each.status in _UNANSWERED]
    spoke = any(each.status in (CheckStatus.FIRED, CheckStatus.PASSED) for each in decision.checks)
    if not unanswered and not ((decision.not_processed or decision.conflicts) and spoke):
        return None
    first = next(iter(decision.resolved_medications), None)
    if first is None or first.matched_by is MatchedBy.NONE:
        summary = "Medication not recognised: nothing of it was checked. Please review by hand."
    elif decision.conflicts and not unanswered:
        summary = "What was sent contradicts itself. Please review by hand."
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
    if decision.conflicts:
        parts.append("In conflict:\n\n" + "\n".join(f"- {plain(each)}" for each in decision.conflicts))
    if failed:
        parts.append(f"**Failed:** {plain(', '.join(failed))}")
    unused = [f"- {plain(each.path)}: {plain(each.reason)}" for each in decision.not_processed]
    if unused:
        parts.append("Sent and not used:\n\n" + "\n".join(unused))
    return _note(shown, order, decision_id, summary, "\n\n".join(parts))


def _not_checked_at_all(shown: Shown, order: CheckedOrder, decision_id: bytes) -> Object:
    why = "it could not be read" if order.unread else "it names no medication"
    summary = f"This order was not checked: {why}. Please review by hand."
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
