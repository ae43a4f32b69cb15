"""The walk from a request to a Decision: recognise, fold, ask the rules, explain what fired. Pure; reads no clock."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from safety_service import __version__
from safety_service.domain import (
    Alert,
    Answer,
    CarePathway,
    Check,
    CheckRequest,
    CheckStatus,
    Decision,
    MatchedBy,
    Missing,
    NormalizedOrder,
    NotProcessed,
    Overall,
    PathwayStep,
    Severity,
)
from safety_service.engine.explain import Telling, explain, why_missing
from safety_service.engine.facts import (
    CLASS_OF_FACT,
    COUNTED,
    LineFacts,
    Order,
    candidate_lines,
    line_facts,
    pair_facts,
    read_order,
)
from safety_service.engine.fold import ENDLESS
from safety_service.engine.history import Event, History, read_history, recognise, resolved
from safety_service.engine.patient import PatientFacts, patient_facts
from safety_service.knowledge.knowledge import Knowledge, Line, LiveClause, LiveRule, Program
from safety_service.knowledge.resolve import resolve
from safety_service.rules.meaning import Truth, meaning, open_facts
from safety_service.rules.tree import facts_of
from safety_service.rules.vocabulary import NO, SLOTS, YES

DEFAULT_FINGERPRINT_KEY = b"medsafety"
_DUE = (CheckStatus.FIRED, CheckStatus.NOT_EVALUATED)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one rule answered for one drug. `clause` is the one that fired."""

    rule: LiveRule
    status: CheckStatus
    clause: LiveClause | None = None
    missing: tuple[Missing, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Spoken:
    """All outcomes for one drug, with the facts they rest on."""

    subject: str
    program: Program
    facts: LineFacts
    outcomes: tuple[Outcome, ...]


def check(knowledge: Knowledge, request: CheckRequest, fingerprint_key: bytes = DEFAULT_FINGERPRINT_KEY) -> Decision:
    """Everything decided about one prescription. The same input and knowledge give the same Decision."""
    resolution = resolve(knowledge.names, request.prescription.medication)
    order = read_order(knowledge, request, resolution)
    history = read_history(knowledge, request)
    patient = patient_facts(knowledge, request, order.start)

    lines = candidate_lines(knowledge, order)
    spoken: list[Spoken] = []
    silent: list[Check] = []
    if lines:
        facts = [line_facts(knowledge, order, history, patient, line, len(lines) > 1) for line in lines]
        if facts[0].values[SLOTS["relaxant_use"]] == NO:  # diazepam for something else: a partner, not a relaxant
            lines = ()
        else:
            asked = [Spoken(f.line.id, f.line.program, f, ask(f.line.program, f)) for f in facts]
            spoken.append(asked[0] if len(asked) == 1 else _agreed(asked))
            silent += asked[0].program.silent if len(asked) == 1 else _agreed_silence(asked)
    if not lines:
        spoken += _as_partner(knowledge, order, history, patient)
        silent += _unanswered_pairs(knowledge, order, history, spoken)

    step, reached = _step(patient, spoken)
    checks: list[Check] = list(silent)
    alerts: list[Alert] = []
    stamp = _stamp(request, order, fingerprint_key)
    for each in spoken:
        telling = Telling(
            knowledge, order, history, each.facts, patient.evidence, tuple(line.name for line in lines), step
        )
        for outcome in each.outcomes:
            rule = outcome.rule.rule
            checks.append(Check(rule.id, rule.version, each.subject, outcome.status, outcome.reason, outcome.missing))
            if outcome.clause is not None and outcome.status is CheckStatus.FIRED:
                options = _options(knowledge, patient, rule.care, step)
                alert = explain(telling, outcome.rule, outcome.clause, outcome.missing, options)
                alerts.append(replace(alert, fingerprint=_fingerprint(stamp, alert)))
    position = {rule.id: i for i, rule in enumerate(knowledge.rules)}
    checks.sort(key=lambda each: (position[each.rule_id], each.subject))
    alerts.sort(key=lambda each: (-each.severity, position[each.rule_id], each.subject))
    return _decision(knowledge, order, history, patient, spoken, alerts, checks, lines, step, reached)


def ask(program: Program, facts: LineFacts) -> tuple[Outcome, ...]:
    """Each rule of the program answered, absorption applied."""
    true, unknown, not_applicable = program.answer(facts.values)
    outcomes: list[Outcome] = []
    absorbed: dict[str, str] = {}
    for live in program.rules:
        mask = live.mask
        if true & mask:
            outcome = _fired(live, true, unknown, facts)
            for other in live.rule.absorbs:
                absorbed.setdefault(other, live.rule.id)
        elif unknown & mask:
            outcome = Outcome(live, CheckStatus.NOT_EVALUATED, missing=_missing(live, unknown, facts))
        elif not_applicable & mask:
            outcome = Outcome(live, CheckStatus.NOT_APPLICABLE, reason=_why_not(live))
        else:
            outcome = Outcome(live, CheckStatus.PASSED)
        outcomes.append(outcome)
    if not absorbed:
        return tuple(outcomes)
    return tuple(
        Outcome(each.rule, CheckStatus.NOT_APPLICABLE, reason=f"absorbed by {absorbed[each.rule.rule.id]}")
        if each.rule.rule.id in absorbed and each.status in _DUE
        else each
        for each in outcomes
    )


def _fired(live: LiveRule, true: int, unknown: int, facts: LineFacts) -> Outcome:
    """The first clause that is true; what kept an earlier one open is named, since it could say more."""
    bit = live.first_bit
    for clause in live.clauses:
        if true & bit:
            earlier = unknown & live.mask & (bit - 1)
            missing = _missing(live, earlier, facts) if earlier else ()
            return Outcome(live, CheckStatus.FIRED, clause, missing)
        bit <<= 1
    raise AssertionError("a fired rule has a true clause")


def _missing(live: LiveRule, unknown: int, facts: LineFacts) -> tuple[Missing, ...]:
    """The open facts of the open clauses, each with the field that would settle it."""
    names: dict[str, None] = {}
    bit = live.first_bit
    for clause in live.clauses:
        if unknown & bit:
            if live.applies is not None:
                names.update(dict.fromkeys(open_facts(live.applies, facts.values)))
            names.update(dict.fromkeys(open_facts(clause.when, facts.values)))
        bit <<= 1
    return tuple(dict.fromkeys(why_missing(facts, name) for name in names))


def _why_not(live: LiveRule) -> str:
    wanted = facts_of(live.applies) if live.applies is not None else frozenset()
    if "exempt_antispastic" in wanted:
        return "spasticity is the indication and the drug is labelled for it"
    return "does not apply to this order"


# --- more than one product line, or the partner is what is ordered -----------------------------------------------


def _agreed(asked: list[Spoken]) -> Spoken:
    """What all candidate lines say alike; where they differ the form has to be sent."""
    first, *others = asked
    by_rule = [{o.rule.rule.id: o for o in each.outcomes} for each in others]
    need = Missing("product_form", "prescription.medication", "the product's form decides which label applies")
    outcomes = []
    rules = list(first.outcomes)
    known = {o.rule.rule.id for o in rules}
    rules += [o for table in by_rule for o in table.values() if o.rule.rule.id not in known]
    for outcome in rules:
        rule_id = outcome.rule.rule.id
        answers = [outcome, *(table[rule_id] for table in by_rule if rule_id in table)]
        missing_somewhere = len(answers) < len(asked)
        statuses = {each.status for each in answers}
        if statuses == {CheckStatus.FIRED} and not missing_somewhere:
            outcomes.append(outcome)
        elif CheckStatus.FIRED in statuses:
            outcomes.append(Outcome(outcome.rule, CheckStatus.NOT_EVALUATED, missing=(need,)))
        elif CheckStatus.NOT_EVALUATED in statuses:
            missing = tuple(dict.fromkeys(m for each in answers for m in each.missing))
            outcomes.append(Outcome(outcome.rule, CheckStatus.NOT_EVALUATED, missing=missing))
        else:
            outcomes.append(outcome)
    subject = "|".join(each.subject for each in asked)
    return Spoken(subject, first.program, first.facts, tuple(outcomes))


def _agreed_silence(asked: list[Spoken]) -> list[Check]:
    """Rules that no candidate line has anything to say on."""
    speaking = {o.rule.rule.id for each in asked for o in each.outcomes}
    subject = "|".join(each.subject for each in asked)
    return [replace(each, subject=subject) for each in asked[0].program.silent if each.rule_id not in speaking]


def _as_partner(knowledge: Knowledge, order: Order, history: History, patient: PatientFacts) -> list[Spoken]:
    """Pair rules for each relaxant that shares a day with an order that is not one, and the rules for any order."""
    spoken: list[Spoken] = []
    any_line = next(iter(knowledge.lines.values()))
    whole = pair_facts(knowledge, order, history, patient, any_line, [_order_span(order)])
    whole.values[SLOTS["code_text_conflict"]] = YES if order.resolution.conflict else NO
    spoken.append(Spoken("", knowledge.any_order, whole, ask(knowledge.any_order, whole)))
    by_line: dict[str, list[Event]] = {}
    for event in history.events:
        if event.may_start < order.high_end and event.may_end > order.start:
            for line in _record_lines(knowledge, history, event):
                by_line.setdefault(line.id, []).append(event)
    for line_id, events in by_line.items():
        line = knowledge.lines[line_id]
        facts = pair_facts(knowledge, order, history, patient, line, events)
        spoken.append(Spoken(line_id, line.pair_program, facts, ask(line.pair_program, facts)))
    return spoken


def _order_span(order: Order) -> Event:
    return Event("", -1, 0, 0, 0, order.start, order.low_end, order.start, order.high_end, -1, 0, 0, 0, 0)


def _record_lines(knowledge: Knowledge, history: History, event: Event) -> Iterable[Line]:
    """The line of a relaxant in the history. Diazepam there is a benzodiazepine, not a relaxant, unless ordered so."""
    lines = [line for line in knowledge.lines_of.get(event.ingredient, ()) if line.file.relaxant == "always"]
    release = history.records[event.record].resolution.release
    fitting = [line for line in lines if not release or any(p.release == release for p in line.file.products)]
    return (fitting or lines)[:1]


def _unanswered_pairs(knowledge: Knowledge, order: Order, history: History, spoken: list[Spoken]) -> list[Check]:
    """Pair rules that nothing answered, because it is not known whether the patient takes a relaxant."""
    own = 0
    for name, bits, _ in recognise(knowledge, None, order.resolution):
        own |= bits if name else 0
    open_history = not history.complete or any(not event.ingredient for event in history.events)
    answered = {outcome.rule.rule.id for each in spoken for outcome in each.outcomes}
    any_line = next(iter(knowledge.lines.values()))
    checks = []
    for live in any_line.pair_program.rules:
        rule = live.rule
        if rule.id in answered:
            continue
        wanted = frozenset().union(*(facts_of(clause.when) for clause in live.clauses))
        classes = {CLASS_OF_FACT[name] for name in wanted if name in CLASS_OF_FACT}
        if "cns_active_count" in wanted:
            classes.add(COUNTED)
        if "overlap_opioid_and_benzodiazepine" in wanted:
            classes |= {"opioid", "benzodiazepine"}
        concerned = any(own & knowledge.drugs.bit(each) for each in classes)
        if concerned and open_history:
            need = Missing("relaxant", "patient.medications", "whether a muscle relaxant is taken is not known")
            checks.append(Check(rule.id, rule.version, "", CheckStatus.NOT_EVALUATED, "", (need,)))
        else:
            checks.append(Check(rule.id, rule.version, "", CheckStatus.NOT_APPLICABLE, "no muscle relaxant with it"))
    return checks


# --- the care pathway --------------------------------------------------------------------------------------------


def _step(patient: PatientFacts, spoken: list[Spoken]) -> tuple[int, bool]:
    """The patient's place in the three steps (0: not about back pain), and whether an earlier relaxant failed."""
    if patient.choices["back_pain"] == NO:
        return 0, False
    for each in spoken:
        for outcome in each.outcomes:
            if outcome.rule.rule.id == "pathway.inadequate-response" and outcome.status is CheckStatus.FIRED:
                return 3, True
    return (2 if patient.choices["first_line_tried"] == YES else 1), False


def _options(knowledge: Knowledge, patient: PatientFacts, care: str, step: int) -> tuple[str, ...]:
    """The options that fit: their tier, the phase if known, and not those that failed or were declined."""
    if care == "none" or step == 0:
        return ()
    tiers = {
        "first-line": ("first-line",),
        "adjunct": ("first-line", "adjunct"),
        "multidisciplinary": ("multidisciplinary", "first-line"),
        "all": ("first-line", "adjunct", "multidisciplinary") if step == 3 else ("first-line", "adjunct"),
    }[care]
    return tuple(
        option.id
        for tier in tiers
        for option in knowledge.care.options.values()
        if option.tier == tier
        and (not patient.phase or patient.phase in option.phases)
        and option.id not in patient.given_up
    )


def _pathway(knowledge: Knowledge, patient: PatientFacts, step: int) -> CarePathway:
    note = ""
    if patient.choices["back_pain"] == 3:
        note = "the indication is not known; the steps are those of chronic back pain with spasm"
    elif step and not patient.phase:
        note = "phase not known: options of every phase are linked, each with its phase"
    return CarePathway(
        phase=patient.phase,
        current_step=step,
        steps=tuple(
            PathwayStep(each.number, each.title, each.text, each.number <= step) for each in knowledge.pathway.steps
        ),
        note=note,
    )


# --- putting it together -----------------------------------------------------------------------------------------


def _stamp(request: CheckRequest, order: Order, key: bytes) -> hashlib.blake2b:
    """A keyed hash of patient and order content, to be continued for each alert."""
    p = request.prescription
    content = (
        request.patient.id,
        order.resolution.names,
        p.dose_low,
        p.dose_high,
        p.frequency,
        p.days_supply,
        p.quantity,
        p.refills,
        p.start,
    )
    return hashlib.blake2b(repr(content).encode(), digest_size=16, key=key)


def _fingerprint(stamp: hashlib.blake2b, alert: Alert) -> str:
    own = stamp.copy()
    own.update(repr((alert.rule_id, alert.subject, tuple(each.display for each in alert.implicated))).encode())
    return own.hexdigest()


def _decision(
    knowledge: Knowledge,
    order: Order,
    history: History,
    patient: PatientFacts,
    spoken: list[Spoken],
    alerts: list[Alert],
    checks: list[Check],
    lines: tuple[Line, ...],
    step: int,
    reached: bool,
) -> Decision:
    request = order.request
    resolution = order.resolution
    not_processed = [*request.not_processed]
    if resolution.matched_by is MatchedBy.NONE:
        not_processed.append(NotProcessed("prescription.medication", resolution.why_not))
    elif resolution.unrecognised:
        words = ", ".join(resolution.unrecognised)
        not_processed.append(NotProcessed("prescription.medication", f"not recognised beside the rest: {words}"))
    not_processed += history.not_processed
    not_processed += patient.not_processed
    conflicts = [
        *history.conflicts,
        *patient.conflicts,
        *(c for each in spoken for c in each.facts.conflicts),
    ]
    open_checks = any(each.status in (CheckStatus.NOT_EVALUATED, CheckStatus.ERROR) for each in checks)
    complete = not open_checks and not not_processed
    highest = max((each.severity for each in alerts), default=Severity.UNSPECIFIED)
    if highest >= Severity.MODERATE:
        overall = Overall.ALERTS
    elif not complete:
        overall = Overall.INCOMPLETE
    else:
        overall = Overall.ADVICE if alerts else Overall.CLEAR
    medication = request.prescription.medication
    text = medication.text or next((c.display or c.code for c in medication.codings), "")
    ids = dict.fromkeys(option for alert in alerts for option in alert.care_option_ids)
    return Decision(
        overall=overall,
        highest_severity=highest,
        complete=complete,
        as_of=request.as_of,
        alerts=tuple(alerts),
        checks=tuple(checks),
        suppressed=(),
        resolved_medications=(
            resolved(order.recorded.reference, text, resolution, tuple(line.id for line in lines)),
            *history.resolved,
        ),
        not_processed=tuple(not_processed),
        normalized_order=_normalized(order, spoken[0].facts if lines else None),
        care_pathway=_pathway(knowledge, patient, step),
        care_option_ids=tuple(ids),
        knowledge_version=knowledge.version,
        knowledge_digest=knowledge.digest,
        policy_id=knowledge.policy.id,
        policy_digest=knowledge.policy_digest,
        engine_version=__version__,
        conflicts=tuple(dict.fromkeys(conflicts)),
    )


def _normalized(order: Order, facts: LineFacts | None) -> NormalizedOrder:
    given = order.supply
    dose = facts.dose if facts is not None else None

    def open_top(days: int) -> int | None:
        return None if days == ENDLESS else days

    return NormalizedOrder(
        single_dose_low_ug=dose.single_low if dose else None,
        single_dose_high_ug=dose.single_high if dose else None,
        daily_dose_low_ug=dose.daily_low if dose else None,
        daily_dose_high_ug=dose.daily_high if dose else None,
        start=order.start,
        days_low=given.days_low if given.source else None,
        days_high=open_top(given.days_high) if given.source else None,
        days_source=given.source,
        refills=order.request.prescription.refills,
        course_days_low=given.course_low if given.source else None,
        course_days_high=open_top(given.course_high) if given.source else None,
        new_start=facts.new_start if facts is not None else Answer.UNKNOWN,
        notes=order.notes,
    )


def interpreted(program: Program, values: list[int]) -> tuple[int, int, int]:
    """What `program.answer` must give, by the definition of meaning; for tests and `knowledge explain`."""
    true = unknown = silent = 0
    for live in program.rules:
        applies = Truth.TRUE if live.applies is None else meaning(live.applies, values)
        bit = live.first_bit
        for clause in live.clauses:
            if applies is Truth.FALSE:
                silent |= bit
            else:
                answer = meaning(clause.when, values)
                if answer is Truth.TRUE and applies is Truth.TRUE:
                    true |= bit
                elif answer is not Truth.FALSE:
                    unknown |= bit
            bit <<= 1
    return true, unknown, silent
