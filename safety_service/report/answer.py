"""An answer as text for a pharmacist: the number first, then why, then what to do; nothing said twice.

It is made from the message of the contract alone, so that a local answer and one from a server read the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from google.type.date_pb2 import Date
from rich.text import Text

from medsafety import CheckPrescriptionResponse
from medsafety.v1.care_pb2 import CareOption, CareTier, PainPhase
from medsafety.v1.common_pb2 import Answer, Severity
from medsafety.v1.decision_pb2 import (
    Alert,
    CheckStatus,
    Citation,
    Decision,
    ImplicatedRole,
    NormalizedOrder,
    Overall,
    Suggestion,
)
from medsafety.v1.review_pb2 import ReviewStatus
from safety_service.report.layout import (
    AUTHORITY_WORDS,
    BODY,
    KEEP,
    READ_AS_WORDS,
    WIDTH,
    headed,
    noted,
    right,
    word,
    wrapped,
)

_STYLE_OF_OVERALL: Mapping[int, str] = {
    Overall.OVERALL_ALERTS: "bold red",
    Overall.OVERALL_INCOMPLETE: "bold yellow",
    Overall.OVERALL_ADVICE: "bold cyan",
    Overall.OVERALL_CLEAR: "bold green",
}
BASIS_WORDS = {"derived": "number derived", "payer-criteria": "payer criteria"}
STEP_OF_TIER: Mapping[int, int] = {
    CareTier.CARE_TIER_FIRST_LINE: 1,
    CareTier.CARE_TIER_ADJUNCT: 2,
    CareTier.CARE_TIER_MULTIDISCIPLINARY: 3,
}
_UNIT = {"d": "days", "a": "years", "1": ""}


def answer_text(response: CheckPrescriptionResponse, *, explain: bool = False) -> Iterator[Text]:
    """The lines of an answer; `explain` adds every fact and limit behind each alert."""
    decision = response.decision
    sources = _Sources()
    yield from _heading(decision)
    for alert in decision.alerts:
        yield Text()
        yield from _alert(alert, sources, explain)
    for part in (
        _not_checked(decision),
        _not_used(decision),
        _suppressed(decision),
        _pathway(decision, sources),
        sources.text(),
        _foot(response),
    ):
        lines = list(part)
        if lines:
            yield Text()
            yield from lines


# --- the heading -------------------------------------------------------------------------------------------------


def _heading(decision: Decision) -> Iterator[Text]:
    overall = word(Overall.DESCRIPTOR, decision.overall)
    parts = counted_words(decision)
    first, *rest = wrapped(" · ".join(each.replace(" ", KEEP) for each in parts), f"{overall}  ", "  ")
    first.stylize(_STYLE_OF_OVERALL.get(decision.overall, "bold"), 0, len(overall))
    yield first
    yield from rest
    order = next(iter(decision.resolved_medications), None)
    name = order.as_sent if order is not None else "order"
    as_of = f"decided as of {date_words(decision.as_of)}"
    yield from wrapped(f"{name}: {order_words(decision.normalized_order)}; {as_of}", "", "")
    for note in decision.normalized_order.notes:
        yield from wrapped(f"({note})", "", "")
    for conflict in decision.conflicts:
        yield from wrapped(conflict, "In conflict: ", "  ", "yellow")


def counted_words(decision: Decision) -> list[str]:
    """`3 high`, `2 not checked`: alerts by severity, then what else there is to count."""
    parts = [f"{number} {name.lower()}" for name, number in _by_severity(decision)]
    counts = decision.counts
    parts += [
        f"{number} {words}"
        for number, words in (
            (counts.not_evaluated, "not checked"),
            (len(decision.not_processed), "not used"),
            (counts.error, "failed"),
            (counts.suppressed, "suppressed"),
            (counts.passed, "passed"),
            (counts.not_applicable, "not applicable"),
        )
        if number
    ]
    return parts


def _by_severity(decision: Decision) -> list[tuple[str, int]]:
    """How many alerts of each severity, the most severe first."""
    held = [alert.severity for alert in decision.alerts]
    return [(word(Severity.DESCRIPTOR, each), held.count(each)) for each in sorted(set(held), reverse=True)]


def order_words(order: NormalizedOrder) -> str:
    """Dose, days and start of an order, as the rules saw it."""
    parts = []
    if order.HasField("single_dose_high_mg"):
        parts.append(f"{_range(order.single_dose_low_mg, order.single_dose_high_mg)} mg a dose")
    if order.HasField("daily_dose_high_mg"):
        if order.HasField("daily_dose_low_mg"):
            parts.append(f"{_range(order.daily_dose_low_mg, order.daily_dose_high_mg)} mg a day")
        else:  # how often it is really taken is not known
            parts.append(f"up to {order.daily_dose_high_mg:g} mg a day")
    if order.HasField("days_low"):
        days = f"{order.days_low} days" if order.days_high == order.days_low else f"at least {order.days_low} days"
        if order.HasField("refills"):
            more = {0: ", no refills", 1: " + 1 refill"}
            days += more.get(order.refills, f" + {order.refills} refills")
        parts.append(days)
    if order.new_start != Answer.ANSWER_UNSPECIFIED:
        parts.append("new start" if order.new_start == Answer.ANSWER_YES else "continued")
    if order.HasField("start_date"):
        parts.append(f"from {date_words(order.start_date)}")
    return ", ".join(parts) or "dose and duration not known"


# --- alerts ------------------------------------------------------------------------------------------------------


def _alert(alert: Alert, sources: _Sources, explain: bool) -> Iterator[Text]:
    yield from headed(word(Severity.DESCRIPTOR, alert.severity), alert.title or alert.rule_id)
    if alert.message:
        yield from wrapped(alert.message, BODY, BODY)
    lines: list[Text] = []
    if alert.computation and alert.computation not in alert.message:
        lines += noted("Because", alert.computation)
    involved = [
        each.reference if each.display in ("", each.reference) else f"{each.display} ({each.reference})"
        for each in alert.implicated
        if each.role != ImplicatedRole.IMPLICATED_ROLE_TRIGGER
    ]
    if involved:
        lines += noted("With", ", ".join(involved))
    if alert.HasField("overridden_before"):
        lines += noted("Before", _overridden(alert))
    if alert.suggestions:
        lines += noted("Change", "; ".join(map(change_words, alert.suggestions)), "green")
    if alert.action:
        lines += noted("Do", alert.action)
    for missing in alert.missing:
        lines += noted("Unknown", f"{missing.why}; send {missing.path}", "yellow")
    if alert.facts and (explain or not alert.title):
        lines += noted("Facts", "; ".join(fact_words(alert)))
    for number, citation in enumerate(alert.citations):
        lines += noted("also" if number else "Source", _quote(citation, sources), "dim")
    rule = f"{alert.rule_id} v{alert.rule_version}"
    if not lines:
        lines.append(Text())
    *others, last = lines
    yield from others
    if len(last) + len(rule) + 2 <= WIDTH:
        yield right(last, rule, style="dim")
    else:
        yield last
        yield right(Text(), rule, style="dim")


def _overridden(alert: Alert) -> str:
    before = alert.overridden_before
    told = f"overridden on {date_words(before.overridden_on)}" if before.HasField("overridden_on") else "overridden"
    told += f": {before.reason}" if before.reason else ""
    return f"{told}; {'it interrupts all the same' if alert.interruptive else 'it does not interrupt again'}"


def change_words(suggestion: Suggestion) -> str:
    """`refills 1 -> 0`."""
    name = suggestion.field.removeprefix("prescription.").removesuffix("_quantity").replace("_", " ")
    unit = _UNIT.get(suggestion.unit, suggestion.unit)
    current = suggestion.current or "not sent"
    return f"{name} {current} -> {suggestion.proposed} {unit}".rstrip()


def fact_words(alert: Alert) -> Iterator[str]:
    """Each fact behind an alert with its limits and the records it came from."""
    for fact in alert.facts:
        limits = [
            f"{each.comparison} {each.value} {each.unit}".rstrip()
            + (f" ({each.limit}, {each.basis})" if each.limit else "")
            for each in alert.thresholds
            if each.fact == fact.name
        ]
        evidence = f" [{', '.join(fact.evidence)}]" if fact.evidence else ""
        yield " ".join([f"{fact.name} = {fact.value}", *([fact.unit] if fact.unit else []), *limits]) + evidence


def _quote(citation: Citation, sources: _Sources) -> str:
    authority = AUTHORITY_WORDS.get(citation.authority, citation.authority)
    parts = [f"{authority}: {citation.verb.replace('-', ' ')}", citation.section, BASIS_WORDS.get(citation.basis, "")]
    parts.append(READ_AS_WORDS.get(citation.read_as, citation.read_as))
    return f"{' · '.join(filter(None, parts))} {sources.mark(citation)}"


class _Sources:
    """The documents and pages pointed to, each listed once, in the order in which they are first pointed to."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._texts: list[str] = []

    def mark(self, citation: Citation) -> str:
        when = "; ".join(filter(None, [citation.date, standing(citation.status)]))
        parts = [citation.title, f"({when})" if when else "", citation.url]
        return self._mark(citation.url or citation.source_id, " ".join(filter(None, parts)))

    def mark_page(self, url: str) -> str:
        return self._mark(url, url)

    def _mark(self, key: str, text: str) -> str:
        if key not in self._numbers:
            self._texts.append(text)
            self._numbers[key] = len(self._texts)
        return f"[{self._numbers[key]}]"

    def text(self) -> Iterator[Text]:
        for number, text in enumerate(self._texts, start=1):
            yield from wrapped(text, f"{f'[{number}]':<5}", " " * 5, "dim")


def standing(status: str) -> str:
    """The standing of a document where it is not in force."""
    return status if status.startswith(("lapsed", "superseded")) else ""


# --- what was not decided ----------------------------------------------------------------------------------------


class OpenQuestion(NamedTuple):
    """A field that was not sent or could not be used, why, and the rules that it would settle."""

    path: str
    reasons: tuple[str, ...]
    rules: tuple[str, ...]


def open_questions(decision: Decision) -> tuple[list[OpenQuestion], list[str]]:
    """The fields that would settle what is open, first the one that settles most; then what no field would settle."""
    wanted: dict[str, tuple[list[str], list[str]]] = {}  # by path: why it is open, and for which rules
    other: list[str] = []
    for check in decision.checks:
        if check.status == CheckStatus.CHECK_STATUS_ERROR:
            other.append(f"{check.rule_id} failed: {check.reason}".removesuffix(": "))
        elif check.status == CheckStatus.CHECK_STATUS_NOT_EVALUATED:
            for missing in check.missing:
                # The reason stands behind the name of the fact, which the rules tell as well.
                reason = missing.why.rpartition(": ")[2]
                for held, each in zip(wanted.setdefault(missing.path, ([], [])), (reason, check.rule_id), strict=True):
                    if each not in held:
                        held.append(each)
            if not check.missing:
                other.append(f"{check.rule_id}: {check.reason}".removesuffix(": "))
    found = [OpenQuestion(path, tuple(reasons), tuple(rules)) for path, (reasons, rules) in wanted.items()]
    return sorted(found, key=lambda each: -len(each.rules)), other


def _not_checked(decision: Decision) -> Iterator[Text]:
    """What could not be decided, by the field that would settle it."""
    wanted, other = open_questions(decision)
    if wanted or other:
        yield Text("Not checked", style="bold yellow")
    for each in wanted:
        said = f"send {each.path} ({'; '.join(each.reasons)}): {', '.join(each.rules)}"
        yield from wrapped(said, "  ", "    ")
    for text in other:
        yield from wrapped(text, "  ", "    ")


def _not_used(decision: Decision) -> Iterator[Text]:
    if decision.not_processed:
        yield Text("Sent, but not used", style="bold yellow")
    for each in decision.not_processed:
        yield from wrapped(f"{each.path}: {each.reason}", "  ", "    ")


def _suppressed(decision: Decision) -> Iterator[Text]:
    if decision.suppressed:
        yield Text("Suppressed", style="bold")
    for each in decision.suppressed:
        severity = f" ({word(Severity.DESCRIPTOR, each.severity).lower()})" if each.severity else ""
        yield from wrapped(f"{each.rule_id} v{each.rule_version}{severity}: {each.reason}", "  ", "    ")


# --- care without drugs ------------------------------------------------------------------------------------------


def _pathway(decision: Decision, sources: _Sources) -> Iterator[Text]:
    """The steps with the patient's place, and under each the options that fit, listed once."""
    pathway = decision.care_pathway
    if not pathway.phase and not decision.care_options:
        return
    about = pathway_words(decision)
    title = "Care without drugs"
    first, *rest = wrapped(about, f"{title}  ", "  ")
    first.stylize("bold green", 0, len(title))
    yield first
    yield from rest
    listed: set[str] = set()
    for step in pathway.steps:
        mark = ">" if step.number == pathway.current_step else " "
        yield from wrapped(f"{step.title}: {step.text}", f"{mark} {step.number}  ", " " * 5)
        options = [each for each in decision.care_options if STEP_OF_TIER.get(each.tier) == step.number]
        yield from _options(options, pathway.phase, sources)
        listed |= {each.id for each in options}
    yield from _options([each for each in decision.care_options if each.id not in listed], pathway.phase, sources)


def pathway_words(decision: Decision) -> str:
    """What the pathway is for, and where on it the patient is."""
    pathway = decision.care_pathway
    phase = _phase(pathway.phase)
    place = f"this patient is at step {pathway.current_step}" if pathway.current_step else ""
    return " · ".join(filter(None, [f"{phase} back pain" if phase else "", place, pathway.note]))


def _options(options: list[CareOption], phase: PainPhase.ValueType, sources: _Sources) -> Iterator[Text]:
    if not options:
        return
    names = [f"{each.name} {sources.mark_page(each.url)}" if each.url else each.name for each in options]
    width = min(42, max(map(len, names)))
    for name, option in zip(names, options, strict=True):
        marks = "; ".join([option_grade(option), *phase_marks(option, phase)])
        indent = " " * (5 + width + 2)
        yield from wrapped(marks, f"     {name:<{width}}  ", indent)


def option_grade(option: CareOption) -> str:
    """Certainty and size of the effect by which an option is ranked."""
    grade = f"{option.certainty} certainty" if option.certainty else "not graded"
    return f"{grade}, effect on pain: {option.effect_on_pain}" if option.effect_on_pain else grade


def phase_marks(option: CareOption, phase: PainPhase.ValueType) -> Iterator[str]:
    """The phases of an option where the patient's is not known; else the bodies that speak of other phases only."""
    if not phase:
        known = len(PainPhase.values()) - 1
        yield "any phase" if len(option.phases) == known else f"{', '.join(map(_phase, option.phases))} only"
        return
    spoken: dict[str, list[PainPhase.ValueType]] = {}
    for evidence in option.evidence:
        if evidence.phases and evidence.direction == "for":
            held = spoken.setdefault(evidence.body, [])
            held += [each for each in evidence.phases if each not in held]
    for body, phases in spoken.items():
        if phase not in phases:
            yield f"{' and '.join(map(_phase, phases))} only in {body}"


# --- the foot, and how text is laid out --------------------------------------------------------------------------


def _foot(response: CheckPrescriptionResponse) -> Iterator[Text]:
    decision = response.decision
    knowledge = decision.knowledge
    reviewed = {
        ReviewStatus.REVIEW_STATUS_REVIEWED: "reviewed",
        ReviewStatus.REVIEW_STATUS_PARTLY_REVIEWED: "only partly reviewed by a named clinician",
    }.get(knowledge.review_status, "not reviewed by a named clinician")
    parts = [
        f"knowledge {knowledge.version} ({knowledge.digest[:12]}), {reviewed}",
        f"policy {decision.policy.id} {decision.policy.version}".rstrip(),
        f"engine {decision.engine_version}",
        f"request {response.request_id}" if response.request_id else "",
        f"decision {response.decision_id}",
    ]
    yield from wrapped(" · ".join(filter(None, parts)), "", "", "dim")


def _phase(phase: PainPhase.ValueType) -> str:
    return word(PainPhase.DESCRIPTOR, phase).lower() if phase else ""


def date_words(day: Date) -> str:
    """`2026-11-02`."""
    return f"{day.year:04}-{day.month:02}-{day.day:02}"


def _range(low: float, high: float) -> str:
    return f"{high:g}" if low == high else f"{low:g} to {high:g}"
