"""Decisions as CDS Hooks cards: those that the engine merged, and one that says what could not be checked."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlencode

import orjson

from safety_service.domain import (
    Alert,
    AlertWords,
    Check,
    CheckStatus,
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
from safety_service.gateway.markdown import plain, plain_words
from safety_service.gateway.remembered import MOST, Remembered
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
    links: dict[Hashable, list[Object]] = field(default_factory=dict)  # made before


class Answer(NamedTuple):
    """The body, and of each card with alerts its uuid and their fingerprints."""

    body: Object
    cards: list[tuple[str, tuple[str, ...]]]


def answer(
    shown: Shown, orders: Sequence[tuple[CheckedOrder, bytes]], not_logged: Sequence[bool] | None = None
) -> Answer:
    """The body of an answer; with each order the 16 bytes of its decision id, and whether it could not be recorded."""
    cards: list[Object] = []
    decisions = []
    fingerprints: list[tuple[str, tuple[str, ...]]] = []
    for (order, decision_id), unkept in zip(orders, not_logged or [False] * len(orders), strict=True):
        cards += cards_of(shown, order, decision_id, fingerprints)
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
    return Answer(body, fingerprints)


def cards_of(
    shown: Shown, order: CheckedOrder, decision_id: bytes, fingerprints: list[tuple[str, tuple[str, ...]]]
) -> list[Object]:
    """The cards of one order: what the engine merged, most severe first, then what could not be checked.

    The alerts of each go to `fingerprints`.
    """
    if order.decision is None:
        return [_not_checked_at_all(shown, order, decision_id)]
    decision = order.decision
    ids = dict(zip(map(id, decision.alerts), encode.alert_ids(decision_id, decision.alerts), strict=True))
    made = merged(decision.alerts)
    every = least_changes(each for card in made for each in card.suggestions)
    found = []
    for each in made:
        own = [ids[id(reason.alert)] for reason in each.reasons]
        found.append(_alert_card(shown, order, each, own, every))
        fingerprints.append((own[0], tuple(reason.alert.fingerprint for reason in each.reasons)))
    open_card = _open_card(shown, order, decision, decision_id)
    return found if open_card is None else [*found, open_card]


# --- alerts ------------------------------------------------------------------------------------------------------


def _alert_card(
    shown: Shown, order: CheckedOrder, card: Card, ids: Sequence[str], every: Sequence[Suggestion]
) -> Object:
    """`ids` are those of its alerts; the first is also that of the card, so that it stays when others join it."""
    suggestions = suggested(order.draft.resource, card.suggestions, every, ids[0]) if shown.changes else []
    of_care = any(each.alert.words.kind is RuleKind.CARE_PATHWAY for each in card.reasons)
    return kept(
        uuid=ids[0],
        summary=_summary(card.title or card.reasons[0].alert.rule_id),
        indicator=_INDICATOR[card.severity],
        detail=_detail(card),
        source=_source(shown, card.reasons[0].alert),
        suggestions=suggestions,
        selectionBehavior="at-most-one" if suggestions else "",
        overrideReasons=_CARE_OVERRIDE_REASONS if of_care else _OVERRIDE_REASONS,
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
        parts.append(f"**Change:** {plain_words('; '.join(each.text for each in card.suggestions))}")
    documents: dict[str, int] = {}  # as they are listed below the reasons, with their numbers
    told: set[str] = set()
    severity = None
    for i, reason in enumerate(card.reasons):
        alert = reason.alert
        if len(card.reasons) > 1 and alert.severity is not severity:
            severity = alert.severity
            parts.append(f"#### {severity.name.capitalize()}")
        if i or reason.title != card.title:
            parts.append(f"**{plain_words(reason.title or alert.rule_id)}**")
        if reason.text:
            parts.append(plain_words(reason.text))
        parts += [f"**{name}:** {said}" for name, said in _lines(reason, told, documents)]
    if documents:
        parts += ["**Sources**", "\n".join(f"{number}. {plain_words(each)}" for each, number in documents.items())]
    return "\n\n".join(parts)


def _lines(reason: Reason, told: set[str], documents: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Name and text, made harmless, of what is said below a reason."""
    alert = reason.alert
    words = alert.words
    if words.computation and words.computation not in words.message and words.computation not in told:
        told.add(words.computation)
        yield "Because", plain_words(words.computation)
    involved = dict.fromkeys(
        [each.display for each in alert.implicated if each.role is not Role.TRIGGER and each.display]
    )
    if involved:
        yield "With", plain(", ".join(involved))
    if reason.action:
        yield "Do", plain_words(reason.action)
    if alert.overridden_before is not None:
        before = alert.overridden_before
        day = "" if before.on is None else f"on {to_date(before.on).isoformat()}"
        yield "Overridden before", plain("; ".join(filter(None, (day, before.reason))) or "on a day that is not known")
    for each in alert.missing:
        yield "Unknown", plain(f"{each.why}; send {need(each.path).words}")
    if words.citations:
        quoted = []
        for document, said in _quotations(words):
            number = documents.setdefault(document, len(documents) + 1)
            quoted.append(f"{said} ({number})")
        yield "Source", "; ".join(quoted)


def _quoted(words: AlertWords) -> tuple[tuple[str, str], ...]:
    """Of each citation the document, and who says it with which verb, made harmless."""
    found = []
    for citation in words.citations:
        standing = encode.standing(citation.status)
        document = " · ".join(filter(None, [citation.title, citation.date, standing]))
        authority = AUTHORITY_WORDS.get(citation.authority, citation.authority)
        parts = [f"{authority}, {citation.verb.replace('-', ' ')}", citation.section]
        parts += [f"number {citation.basis}" if citation.basis not in ("", "stated", "policy") else ""]
        parts += [READ_AS_WORDS.get(citation.read_as, citation.read_as)]
        found.append((document, plain(" · ".join(filter(None, parts)))))
    return tuple(found)


_quotations: Remembered[AlertWords, tuple[tuple[str, str], ...]] = Remembered(_quoted)


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
            "uuid": uuid5_text(card_id, each["label"]),
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


def _reasons(*coded: tuple[str, str]) -> orjson.Fragment:
    return orjson.Fragment(
        orjson.dumps([{"system": _REASONS, "code": code, "display": display} for code, display in coded])
    )


_OVERRIDE_REASONS, _CARE_OVERRIDE_REASONS = _reasons(*_OVERRIDES), _reasons(*_CARE_OVERRIDES, *_OVERRIDES)


def _links(shown: Shown, card: Card) -> list[Object]:
    """The non-drug options, what the label says, the rules: pages of this gateway."""
    alerts = [each.alert for each in card.reasons]
    options = dict.fromkeys([each for ids in dict.fromkeys(each.care_option_ids for each in alerts) for each in ids])
    lines = dict.fromkeys([each for alert in alerts for each in alert.words.subject.split("|")])
    rules = dict.fromkeys([each.words.rule_id for each in alerts])
    key = tuple(options), tuple(lines), tuple(rules)
    links = shown.links.get(key)
    if links is None:
        if len(shown.links) >= MOST:
            shown.links.clear()
        links = shown.links[key] = _made_links(shown, *key)
    return links


def _made_links(shown: Shown, options: tuple[str, ...], lines: tuple[str, ...], rules: tuple[str, ...]) -> list[Object]:
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
    links += [
        _link(f"What the label says: {shown.knowledge.lines[each].name}", f"{shown.base}/medications/{each}")
        for each in lines
        if each in shown.knowledge.lines
    ]
    if len(rules) == 1:
        links.append(_link(f"Rule {rules[0]}", f"{shown.base}/rules/{rules[0]}"))
    else:
        links.append(
            _link(f"The {len(rules)} rules behind this", f"{shown.base}/rules?{urlencode({'ids': ','.join(rules)})}")
        )
    return links


def uuid5_text(namespace: str, name: str) -> str:
    """The version 5 UUID of a name, as `uuid.uuid5` but sooner."""
    digest = hashlib.sha1(bytes.fromhex(namespace.replace("-", "")) + name.encode(), usedforsecurity=False).digest()
    return encode.uuid_text(encode.uuid_bytes(digest[:16], 5))


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
    wanted: dict[str, dict[str, None]] = {}
    failed = []
    for each in unanswered:
        if each.status is CheckStatus.ERROR:
            failed.append(each.rule_id)
        for words in _asked(each):
            wanted.setdefault(words, {})[plain_words(each.rule_id)] = None
    lines = [f"- **{words}**: {', '.join(rules)}" for words, rules in wanted.items()]
    parts = ["Not known, and could change the answer:\n\n" + "\n".join(lines)] if lines else []
    if decision.conflicts:
        parts.append("In conflict:\n\n" + "\n".join(f"- {plain(each)}" for each in decision.conflicts))
    if failed:
        parts.append(f"**Failed:** {plain(', '.join(failed))}")
    unused = [f"- {plain(each.path)}: {plain(each.reason)}" for each in decision.not_processed]
    if unused:
        parts.append("Sent and not used:\n\n" + "\n".join(unused))
    return _note(shown, order, decision_id, summary, "\n\n".join(parts))


_asked: Remembered[Check, tuple[str, ...]] = Remembered(
    lambda check: tuple(dict.fromkeys(plain(need(each.path).words) for each in check.missing))
)


def _not_checked_at_all(shown: Shown, order: CheckedOrder, decision_id: bytes) -> Object:
    why = "it could not be read" if order.unread else "it names no medication"
    summary = f"This order was not checked: {why}. Please review by hand."
    return _note(shown, order, decision_id, summary, plain(order.why_not))


def _note(shown: Shown, order: CheckedOrder, decision_id: bytes, summary: str, detail: str) -> Object:
    version = shown.knowledge.version
    return kept(
        uuid=uuid5_text(decision_id.hex(), "not-checked"),
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
