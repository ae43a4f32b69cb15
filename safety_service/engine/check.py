"""The walk from a request to a Decision: recognise, fold, ask the rules, explain what fired. Pure; reads no clock."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

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
from safety_service.engine.explain import MOST_TOLD, Telling, explain
from safety_service.engine.facts import (
    CLASS_OF_FACT,
    COUNTED,
    LineFacts,
    Order,
    candidate_lines,
    each_relaxant,
    line_facts,
    pair_facts,
    product_fits,
    read_order,
    relaxants_without_rules,
)
from safety_service.engine.fold import ENDLESS
from safety_service.engine.history import Event, History, read_history, recognise, recognised, resolved, strength_of
from safety_service.engine.kidneys import clearance_notes
from safety_service.engine.missing import why_missing, why_open
from safety_service.engine.patient import PatientFacts, patient_facts
from safety_service.engine.policy import kept_back, read_overrides, shown
from safety_service.knowledge.knowledge import Knowledge, Line, LiveClause, LiveRule, Program
from safety_service.knowledge.schema import CareStep
from safety_service.knowledge.value_sets import CareIndex, DrugClasses
from safety_service.rules.meaning import Truth, meaning, open_facts
from safety_service.rules.vocabulary import EITHER, NO, SLOTS, YES

DEFAULT_FINGERPRINT_KEY = b"medsafety"
_OPEN = CheckStatus.NOT_EVALUATED
_COULD_BE = (
    Missing("medication", "prescription.medication", "which drug it is was not recognised, so it could be a relaxant"),
)
_NO_ANSWER = (CheckStatus.NOT_EVALUATED, CheckStatus.ERROR)


class Fired(NamedTuple):
    """A rule that fired, by its first clause that is true. `at` is its place among the answers.

    `facts`: those it fired on, where they are of another product line than the rest of what is said.
    """

    at: int
    rule: LiveRule
    clause: LiveClause
    facts: LineFacts | None = None


class Spoken(NamedTuple):
    """All answers for one drug, in the catalogue's order, with the facts they rest on."""

    subject: str
    facts: LineFacts
    answers: list[Check]
    fired: list[Fired]


class Weighed(NamedTuple):
    """One order with every rule answered, before anything is put into words."""

    order: Order
    history: History
    patient: PatientFacts
    lines: tuple[Line, ...]  # the product lines it is a relaxant of
    spoken: list[Spoken]
    unanswered: list[Check]


def check(knowledge: Knowledge, request: CheckRequest, fingerprint_key: bytes = DEFAULT_FINGERPRINT_KEY) -> Decision:
    """Everything decided about one prescription. The same input and knowledge give the same Decision."""
    return tell(knowledge, weigh(knowledge, request), fingerprint_key)


def weigh(knowledge: Knowledge, request: CheckRequest) -> Weighed:
    """The order recognised, the history folded, the rules asked."""
    resolution = recognised(knowledge.names, request.prescription.medication)
    order = read_order(knowledge, request, resolution)
    history = read_history(knowledge, request)
    return weigh_read(knowledge, order, history, patient_facts(knowledge, request, order.start))


def weigh_read(knowledge: Knowledge, order: Order, history: History, patient: PatientFacts) -> Weighed:
    """The same of an order, a history and a patient that were read before."""
    lines: tuple[Line, ...] = ()
    spoken: list[Spoken] = []
    for own in each_relaxant(order):
        found = candidate_lines(knowledge, own)
        facts = [line_facts(knowledge, own, history, patient, line, len(found) > 1) for line in found]
        if facts and facts[0].values[SLOTS["relaxant_use"]] != NO:  # diazepam for something else is a partner only
            asked = [ask(each.line.program, each) for each in facts]
            spoken.append(asked[0] if len(asked) == 1 else _agreed(asked))
            lines += found
    unanswered: list[Check] = []
    if lines:
        spoken += _rules_of_other_relaxants(knowledge, order, history, patient, lines)
    else:
        spoken = _as_partner(knowledge, order, history, patient)
    parts = recognise(knowledge, order.resolution)
    if not lines or relaxants_without_rules(knowledge, parts):
        unanswered = _not_relaxant(knowledge, parts)
    open_history = not history.complete or any(not event.ingredient for event in history.events)
    if open_history or not lines:
        answers = [answer for each in spoken for answer in each.answers]
        unanswered += unanswered_pairs(knowledge, parts, open_history, answers, lines[0].ingredient if lines else None)
    return Weighed(order, history, patient, lines, spoken, unanswered)


class Answered(NamedTuple):
    """The alerts, the most severe first, all answers in the catalogue's order, and what policy kept from alerting."""

    alerts: list[Alert]
    checks: list[Check]
    suppressed: list[Check]
    not_processed: list[NotProcessed]
    overall: Overall
    unused_overrides: tuple[str, ...]


def tell(knowledge: Knowledge, weighed: Weighed, fingerprint_key: bytes = DEFAULT_FINGERPRINT_KEY) -> Decision:
    """The alerts explained, all answers in the catalogue's order."""
    return _decision(knowledge, weighed, answered(knowledge, weighed, fingerprint_key))


def answered(knowledge: Knowledge, weighed: Weighed, fingerprint_key: bytes = DEFAULT_FINGERPRINT_KEY) -> Answered:
    """What `tell` puts into a Decision of alerts and answers, for those who need nothing else of it."""
    order, history, patient, lines, spoken, unanswered = weighed
    step = _step(patient, spoken)
    stamp = _stamp(order.request, order, fingerprint_key)
    overrides = read_overrides(order.request)
    alerts: list[Alert] = []
    checks: list[Check] = unanswered
    suppressed: list[Check] = []
    for each in spoken:
        names = tuple([line.name for line in lines if line.ingredient == each.facts.line.ingredient])
        answers = each.answers
        mine = stamp
        if len(order.relaxants) > 1:  # what is said of one is no repeat of the same said of the other
            mine = stamp.copy()
            mine.update(each.facts.line.ingredient.encode())
        for at, rule, clause, facts in each.fired:
            telling = Telling(knowledge, each.facts.order, history, facts or each.facts, names, step)
            if rule.off:
                answers[at] = kept_back(answers[at], rule, clause)
                continue
            options = fitting_options(knowledge, rule.rule.care, step, patient.phase, patient.given_up)
            try:
                alert = explain(telling, rule, clause, answers[at].missing, options, mine)
                alerts.append(shown(alert, knowledge.stop_level, overrides))
            except Exception as error:  # one text that cannot be put together must not silence the other alerts
                answers[at] = answers[at]._replace(status=CheckStatus.ERROR, reason=type(error).__name__)
        if any(fired.rule.off for fired in each.fired):
            suppressed += [answer for answer in answers if answer.status is CheckStatus.SUPPRESSED]
            answers = [answer for answer in answers if answer.status is not CheckStatus.SUPPRESSED]
        checks += answers
    if len(spoken) > 1:
        position = {rule.id: i for i, rule in enumerate(knowledge.rules)}
        for found in (checks, suppressed):
            found.sort(key=lambda each: (position[each.rule_id], each.subject))
    alerts.sort(key=lambda each: (-each.severity, each.kind))  # the catalogue's order of kinds within a severity
    not_processed = _not_processed(order, history, patient)
    overall = overall_of([each.severity for each in alerts], checks, suppressed, bool(not_processed))
    return Answered(alerts, checks, suppressed, not_processed, overall, overrides.conflicts)


def overall_of(
    severities: Sequence[Severity], checks: Sequence[Check], suppressed: Sequence[Check], not_processed: bool
) -> Overall:
    """The one word for alerts of these severities, these answers, and whether something sent could not be used."""
    if any(each >= Severity.MODERATE for each in severities):
        return Overall.ALERTS
    if not_processed or any(each.status in _NO_ANSWER for each in checks):
        return Overall.INCOMPLETE
    return Overall.ADVICE if severities or suppressed else Overall.CLEAR


def _not_processed(order: Order, history: History, patient: PatientFacts) -> list[NotProcessed]:
    """What was sent and could not be used."""
    resolution = order.resolution
    found = [*order.request.not_processed]
    if resolution.matched_by is MatchedBy.NONE:
        found.append(NotProcessed("prescription.medication", resolution.why_not))
    elif resolution.unrecognised:
        words = ", ".join(resolution.unrecognised)
        found.append(NotProcessed("prescription.medication", f"not recognised beside the rest: {words}"))
    return [*found, *history.not_processed, *patient.not_processed]


def ask(program: Program, facts: LineFacts) -> Spoken:
    """Each rule of the program answered, absorption applied."""
    said = verdict(program, *program.answer(facts.values))
    answers = said.answers
    told: dict[str, Missing] = {}  # many rules lack the same facts
    for at, live, unknown in said.open:
        missing = _missing(live, unknown, facts, told)
        if answers[at].status is _OPEN:
            whole = live.open.get(missing)
            if whole is None:
                if len(live.open) >= MOST_TOLD:
                    live.open.clear()
                whole = live.open[missing] = answers[at]._replace(missing=missing)
            answers[at] = whole
        elif missing:
            answers[at] = answers[at]._replace(missing=missing)
    return Spoken(program.subject, facts, answers, said.fired)


class Verdict(NamedTuple):
    """What the masks of a program say: all answers, which rules fired, and which facts are still to be named.

    `open`: the place of the answer, its rule and the mask of the clauses that were left open.
    """

    answers: list[Check]
    fired: list[Fired]
    open: list[tuple[int, LiveRule, int]]


def verdict(program: Program, true: int, unknown: int, not_applicable: int) -> Verdict:
    """The answers that follow from the masks of the clauses; a fact that is missing is not named yet."""
    speaking = true | unknown | not_applicable
    absorbed: dict[str, str] = {}
    for live in program.absorbing:
        if live.mask & true:
            for other in live.rule.absorbs:
                absorbed.setdefault(other, live.rule.id)
    answers = list(program.quiet)
    fired: list[Fired] = []
    left: list[tuple[int, LiveRule, int]] = []
    for at, live in program.live:
        mask = live.mask
        if not mask & speaking:
            continue
        if not (true | unknown) & mask:
            answers[at] = live.does_not_apply
        elif live.rule.id in absorbed:
            answers[at] = live.absorbed[absorbed[live.rule.id]]
        elif true & mask:
            clause, earlier = _first_true(live, true)
            answers[at] = live.fired
            fired.append(Fired(at, live, clause))
            if unknown & earlier:
                left.append((at, live, unknown & earlier))
        else:
            answer = live.open.get(_OPEN)
            if answer is None:
                answer = live.open[_OPEN] = live.passed._replace(status=_OPEN)
            answers[at] = answer
            left.append((at, live, unknown))
    return Verdict(answers, fired, left)


def _first_true(live: LiveRule, true: int) -> tuple[LiveClause, int]:
    """The first clause that is true, and the mask of those before it: kept open, they could say more."""
    bit = live.first_bit
    for clause in live.clauses:
        if true & bit:
            return clause, live.mask & (bit - 1)
        bit <<= 1
    raise AssertionError("a fired rule has a true clause")


def _missing(live: LiveRule, unknown: int, facts: LineFacts, told: dict[str, Missing]) -> tuple[Missing, ...]:
    """The open facts of the open clauses, each with the field that would settle it; `told` has those found before."""
    found = []
    for name in missing_facts(live, unknown, facts.values):
        missing = told.get(name)
        if missing is None:
            missing = told[name] = why_missing(facts, name)
        found.append(missing)
    return tuple(found)


def missing_facts(live: LiveRule, unknown: int, values: list[int]) -> tuple[str, ...]:
    """The open facts of the open clauses, each once."""
    key = (unknown & live.mask, live.pick(values))
    names = live.open.get(key)
    if names is None:
        if len(live.open) >= MOST_TOLD:
            live.open.clear()
        names = live.open[key] = _open_names(live, unknown, values)
    return names


def _open_names(live: LiveRule, unknown: int, values: list[int]) -> tuple[str, ...]:
    always = open_facts(live.applies, values) if live.applies is not None else ()
    needs = []
    bit = live.first_bit
    for clause in live.clauses:
        if unknown & bit:
            needs.append(open_facts(clause.when, values))
        bit <<= 1
    # a clause that needs all that another needs, and more, adds detail only: its further facts do not settle the rule
    least = [need for need in needs if not any(set(other) < set(need) for other in needs)]
    return tuple(dict.fromkeys([*always, *(name for need in least for name in need)]))


# --- more than one product line, or the partner is what is ordered -----------------------------------------------


def _agreed(asked: list[Spoken]) -> Spoken:
    """What all candidate lines say alike; where one fires and another does not, the form has to be sent.

    Where all fire, the most severe speaks: it can be that product.
    """
    first, *others = asked
    subject = "|".join(each.subject for each in asked)
    need = Missing("product_form", "prescription.medication", "the product's form decides which label applies")
    answers = []
    fired = []
    by_place = {each.at: each for each in first.fired}
    for other in others:
        for each in other.fired:
            before = by_place.get(each.at)
            if before is not None and _weight(each) > _weight(before):
                by_place[each.at] = each._replace(facts=other.facts)
    for at, own in enumerate(first.answers):  # every program answers every rule, in one order
        each_says = [own, *(other.answers[at] for other in others)]
        statuses = {each.status for each in each_says}
        if statuses == {CheckStatus.FIRED}:
            answers.append(own._replace(subject=subject))
            fired.append(by_place[at])
        elif CheckStatus.FIRED in statuses:
            answers.append(own._replace(subject=subject, status=_OPEN, reason="", missing=(need,)))
        elif _OPEN in statuses:
            missing = tuple(dict.fromkeys(m for each in each_says for m in each.missing))
            answers.append(own._replace(subject=subject, status=_OPEN, reason="", missing=missing))
        else:
            passed = next((each for each in each_says if each.status is CheckStatus.PASSED), own)
            answers.append(passed._replace(subject=subject))
    return Spoken(subject, first.facts, answers, fired)


def _weight(fired: Fired) -> tuple[bool, Severity]:
    """How much it matters that this is told: what the site keeps back comes after all that it shows."""
    return not fired.rule.off, fired.clause.severity


def _as_partner(knowledge: Knowledge, order: Order, history: History, patient: PatientFacts) -> list[Spoken]:
    """Pair rules for each relaxant that shares a day with an order that is not one, and the rules for any order."""
    spoken: list[Spoken] = []
    any_line = next(iter(knowledge.lines.values()))
    whole = pair_facts(knowledge, order, history, patient, any_line, [_order_span(order)])
    whole.values[SLOTS["code_text_conflict"]] = YES if order.resolution.conflict else NO
    spoken.append(ask(knowledge.any_order, whole))
    for line, events in relaxants_taken(knowledge, order, history):
        facts = pair_facts(knowledge, order, history, patient, line, events)
        spoken.append(ask(line.pair_program, facts))
    return spoken


def _rules_of_other_relaxants(
    knowledge: Knowledge, order: Order, history: History, patient: PatientFacts, ordered: tuple[Line, ...]
) -> list[Spoken]:
    """Pair rules of one drug alone, of each other relaxant that shares a day: the order is their partner.

    What the label of a relaxant in use says of the one ordered, no rule of the one ordered says. The rules for any
    relaxant are answered for the one ordered and are not asked twice; but diazepam is the benzodiazepine of another
    relaxant, so whether an opioid meets these two is asked of that one.
    """
    spoken: list[Spoken] = []
    names = {line.ingredient for line in ordered}
    benzodiazepine = any(line.file.relaxant == "by-indication" for line in ordered)
    for line, events in relaxants_taken(knowledge, order, history):
        if line.ingredient in names:
            continue
        facts = pair_facts(knowledge, order, history, patient, line, events)
        asked = ask(line.pair_program, facts)
        answers, fired = of_one_drug(line.pair_program, asked.answers, asked.fired, with_triple=benzodiazepine)
        spoken.append(asked._replace(answers=answers, fired=fired))
    return spoken


def of_one_drug(
    program: Program, answers: list[Check], fired: list[Fired], with_triple: bool = False
) -> tuple[list[Check], list[Fired]]:
    """Of what a program says, the part of the rules of one drug alone, and of opioid with benzodiazepine if asked."""
    asked = [at for at, live in program.live if live.rule.drug is not None or (with_triple and _asks_of_triple(live))]
    place = {at: i for i, at in enumerate(asked)}
    return [answers[at] for at in place], [each._replace(at=place[each.at]) for each in fired if each.at in place]


def _asks_of_triple(live: LiveRule) -> bool:
    return any("overlap_opioid_and_benzodiazepine" in clause.facts for clause in live.clauses)


def relaxants_taken(knowledge: Knowledge, order: Order, history: History) -> list[tuple[Line, list[Event]]]:
    """The product lines of relaxants that can share a day with the order, each with its records."""
    by_line: dict[str, list[Event]] = {}
    for event in history.events:
        if event.may_start < order.high_end and event.may_end > order.start:
            for line in _record_lines(knowledge, history, event):
                by_line.setdefault(line.id, []).append(event)
    return [(knowledge.lines[line_id], events) for line_id, events in by_line.items()]


def _order_span(order: Order) -> Event:
    return Event("", -1, 0, 0, 0, order.start, order.low_end, order.start, order.high_end, -1, 0, 0, 0, 0)


def _record_lines(knowledge: Knowledge, history: History, event: Event) -> Iterable[Line]:
    """The line of a relaxant in the history. Diazepam there is a benzodiazepine, not a relaxant, unless ordered so."""
    lines = [line for line in knowledge.lines_of.get(event.ingredient, ()) if line.file.relaxant == "always"]
    if len(lines) < 2:
        return lines
    resolution = history.records[event.record].resolution
    strength = strength_of(resolution, event.ingredient)
    fitting = [line for line in lines if any(product_fits(p, resolution, strength) for p in line.file.products)]
    release = resolution.release
    fitting = fitting or [line for line in lines if any(p.release == release for p in line.file.products)]
    return (fitting or lines)[:1]


def _not_relaxant(knowledge: Knowledge, parts: Sequence[tuple[str, int, int]]) -> list[Check]:
    """The relaxant rules' answers to an order that holds none of the ten, or of which that cannot be told."""
    needs = _why_unanswered(knowledge, parts)
    if not needs:
        return list(knowledge.not_relaxant)
    return [each._replace(status=_OPEN, reason="", missing=needs) for each in knowledge.not_relaxant]


def _why_unanswered(knowledge: Knowledge, parts: Sequence[tuple[str, int, int]]) -> tuple[Missing, ...]:
    """Why rules for relaxants cannot be answered of an order that is none of the ten; empty when it is no relaxant."""
    outside = relaxants_without_rules(knowledge, parts)
    if outside:
        return (Missing("medication", "prescription.medication", _no_rules(outside)),)
    return () if _known(parts) else _COULD_BE


def _known(parts: Sequence[tuple[str, int, int]]) -> bool:
    """Whether it is known of each part of an order which drug it is: otherwise it could be a relaxant."""
    return all(name and bits == may_bits for name, bits, may_bits in parts)


def _no_rules(outside: tuple[str, ...]) -> str:
    return f"{' and '.join(outside)}: a muscle relaxant for which this service has no rules"


def unanswered_pairs(
    knowledge: Knowledge,
    parts: Sequence[tuple[str, int, int]],
    open_history: bool,
    answers: Sequence[Check],
    ordered: str | None,
) -> list[Check]:
    """Pair rules that none of `answers` answers, because it is not known whether the patient takes a relaxant.

    Nor whether the order is one, where a part of it is not known. `parts`: of the drug ordered. `ordered`: of an order
    of this relaxant only those of one drug alone that is another.
    """
    if ordered is not None and not open_history:
        return []
    own = 0
    for name, bits, may_bits in parts:
        own |= bits if name else may_bits
    answered = {answer.rule_id for answer in answers}
    settled = {answer.rule_id for answer in answers if answer.status is not CheckStatus.NOT_APPLICABLE}
    needs = _why_unanswered(knowledge, parts) if ordered is None else ()
    passed = {answer.rule_id for answer in answers if answer.status is CheckStatus.PASSED} if needs else set()
    checks = []
    for rule_id, drug, mask, not_known, not_applicable in _pair_answers(knowledge):
        if ordered is not None and drug in (None, ordered):
            continue
        if rule_id in settled:
            if rule_id in passed and drug is None:  # of the order as partner; as the relaxant it is not answered
                checks.append(not_applicable._replace(status=_OPEN, reason="", missing=needs))
        elif own & mask and open_history:
            checks.append(not_known)
        elif needs and drug is None:
            checks.append(not_applicable._replace(status=_OPEN, reason="", missing=needs))
        elif rule_id not in answered and drug is None:
            checks.append(not_applicable)
    return checks


class _PairAnswer(NamedTuple):
    """Of a pair rule its id, its one drug, the classes of a partner that it asks for, and its two answers here."""

    rule_id: str
    drug: str | None
    mask: int
    not_known: Check
    not_applicable: Check


_PAIR_ANSWERS: dict[int, tuple[Knowledge, tuple[_PairAnswer, ...]]] = {}  # by id; the knowledge is kept, so ids stay


def _pair_answers(knowledge: Knowledge) -> tuple[_PairAnswer, ...]:
    held = _PAIR_ANSWERS.get(id(knowledge))
    if held is not None:
        return held[1]
    masks = _partner_masks(knowledge.drugs, tuple([line.pair_program for line in knowledge.lines.values()]))
    need = Missing("relaxant", "patient.medications", "whether a muscle relaxant is taken is not known")
    found = tuple(
        _PairAnswer(
            rule.id,
            rule.drug,
            masks.get(rule.id, 0),
            Check(rule.id, rule.version, "", CheckStatus.NOT_EVALUATED, "", (need,)),
            Check(rule.id, rule.version, "", CheckStatus.NOT_APPLICABLE, "no muscle relaxant with it"),
        )
        for rule in knowledge.rules
        if rule.scope == "pair"
    )
    if len(_PAIR_ANSWERS) >= 16:
        _PAIR_ANSWERS.clear()
    _PAIR_ANSWERS[id(knowledge)] = knowledge, found
    return found


def _partner_masks(drugs: DrugClasses, programs: tuple[Program, ...]) -> dict[str, int]:
    """By pair rule, the classes of a partner that it asks for on any relaxant."""
    masks: dict[str, int] = {}
    for program in programs:
        for live in program.rules:
            wanted = {name for clause in live.clauses for name in clause.facts}
            classes = {CLASS_OF_FACT[name] for name in wanted if name in CLASS_OF_FACT}
            if "cns_active_count" in wanted:
                classes.add(COUNTED)
            if "overlap_opioid_and_benzodiazepine" in wanted:
                classes |= {"opioid", "benzodiazepine"}
            masks[live.rule.id] = masks.get(live.rule.id, 0)
            for each in classes:
                masks[live.rule.id] |= drugs.bit(each)
    return masks


# --- the care pathway --------------------------------------------------------------------------------------------


def _step(patient: PatientFacts, spoken: list[Spoken]) -> int:
    """The patient's place in the three steps; 0 when this is not about back pain."""
    if patient.values[SLOTS["back_pain"]] == NO:
        return 0
    if any(fired.rule.rule.id == "pathway.inadequate-response" for each in spoken for fired in each.fired):
        return 3
    return 2 if patient.values[SLOTS["first_line_tried"]] == YES else 1


def fitting_options(
    knowledge: Knowledge, care: str, step: int, phase: str, given_up: frozenset[str]
) -> tuple[str, ...]:
    """The options that fit: their tier, the phase if known, and not those that failed or were declined."""
    if care == "none" or step == 0:
        return ()
    return _fitting_options(knowledge.care, care, step, phase, given_up)


@lru_cache(maxsize=1024)
def _fitting_options(options: CareIndex, care: str, step: int, phase: str, given_up: frozenset[str]) -> tuple[str, ...]:
    tiers = {
        "first-line": ("first-line",),
        "adjunct": ("first-line", "adjunct"),
        "multidisciplinary": ("multidisciplinary", "first-line"),
        "all": ("first-line", "adjunct", "multidisciplinary") if step == 3 else ("first-line", "adjunct"),
    }[care]
    return tuple(
        option.id
        for tier in tiers
        for option in options.options.values()
        if option.tier == tier and (not phase or phase in option.phases) and option.id not in given_up
    )


def _pathway(steps: tuple[CareStep, ...], phase: str, back_pain: int, step: int) -> CarePathway:
    note = ""
    if back_pain == EITHER:
        note = "the indication is not known; the steps are those of chronic back pain with spasm"
    elif step and not phase:
        note = "phase not known: options of every phase are linked, each with its phase"
    return CarePathway(
        phase=phase,
        current_step=step,
        steps=tuple([PathwayStep(each.number, each.title, each.text, each.number <= step) for each in steps]),
        note=note,
    )


# --- putting it together -----------------------------------------------------------------------------------------


def _stamp(request: CheckRequest, order: Order, key: bytes) -> hashlib.blake2b:
    """A keyed hash of patient and order content, to be continued for each alert: what differs is another order."""
    p = request.prescription
    low, high, quantity = (each and (each.value, each.unit) for each in (p.dose_low, p.dose_high, p.quantity))
    begins = p.start if p.start is not None else p.ordered_on
    product = order.resolution.ingredients, order.resolution.form, order.resolution.release
    content = (request.patient.id, p.prescriber_id, product, begins, low, high, quantity, order.told_by)
    return hashlib.blake2b(repr(content).encode(), digest_size=16, key=key)


def _decision(knowledge: Knowledge, weighed: Weighed, answers: Answered) -> Decision:
    order, history, patient, lines, spoken, _ = weighed
    alerts, checks, suppressed, not_processed, overall, unused_overrides = answers
    step = _step(patient, spoken)
    request = order.request
    resolution = order.resolution
    unread = () if resolution.matched_by is MatchedBy.NONE else resolution.unread
    conflicts = [f"prescription.medication: {each}" for each in unread]
    conflicts += [
        *order.conflicts,
        *history.conflicts,
        *patient.conflicts,
        *(c for each in spoken for c in each.facts.conflicts),
        *unused_overrides,
    ]
    complete = not not_processed and not any(each.status in _NO_ANSWER for each in checks)
    highest = max((each.severity for each in alerts), default=Severity.UNSPECIFIED)
    medication = request.prescription.medication
    text = medication.text or next((c.display or c.code for c in medication.codings), "")
    linked = dict.fromkeys([alert.care_option_ids for alert in alerts])
    ids = dict.fromkeys([option for options in linked for option in options])
    return Decision(
        overall=overall,
        highest_severity=highest,
        complete=complete,
        as_of=request.as_of,
        alerts=tuple(alerts),
        checks=tuple(checks),
        suppressed=tuple(suppressed),
        resolved_medications=(
            resolved(order.recorded.reference, text, resolution, tuple(line.id for line in lines)),
            *history.resolved,
        ),
        not_processed=tuple(not_processed),
        normalized_order=_normalized(knowledge, order, spoken[0].facts if lines else None),
        care_pathway=_pathway(knowledge.pathway.steps, patient.phase, patient.values[SLOTS["back_pain"]], step),
        care_option_ids=tuple(ids),
        knowledge_version=knowledge.version,
        knowledge_digest=knowledge.digest,
        policy_id=knowledge.policy.id,
        policy_digest=knowledge.policy_digest,
        engine_version=__version__,
        conflicts=tuple(dict.fromkeys(conflicts)),
    )


def _normalized(knowledge: Knowledge, order: Order, facts: LineFacts | None) -> NormalizedOrder:
    given = order.supply
    dose = facts.dose if facts is not None else None

    return NormalizedOrder(
        single_dose_low_ug=dose.single_low if dose else None,
        single_dose_high_ug=dose.single_high if dose else None,
        daily_dose_low_ug=dose.daily_low if dose else None,
        daily_dose_high_ug=dose.daily_high if dose else None,
        start=order.start,
        days_low=given.days_low if given.source else None,
        days_high=given.days_high if given.source and given.days_high != ENDLESS else None,
        days_source=given.source,
        refills=order.request.prescription.refills,
        course_days_low=given.course_low if given.source else None,
        course_days_high=given.course_high if given.source and given.course_high != ENDLESS else None,
        new_start=facts.new_start if facts is not None else Answer.UNKNOWN,
        notes=(*order.notes, *_notes(order, facts), *_unread(knowledge, order, facts)),
    )


def _notes(order: Order, facts: LineFacts | None) -> tuple[str, ...]:
    """How the patient's facts were read for this drug."""
    if facts is None:
        return ()
    return (*facts.patient.notes, *clearance_notes(facts.line, order.request.patient.renal))


def _unread(knowledge: Knowledge, order: Order, facts: LineFacts | None) -> tuple[str, ...]:
    """What was sent and no check of this release reads, and what an order without a relaxant was not checked for."""
    prescription = order.request.prescription
    notes: list[str] = []
    parts = recognise(knowledge, order.resolution)
    outside = relaxants_without_rules(knowledge, parts)
    if facts is not None and outside:
        notes.append(_no_rules(outside))
    if facts is not None and prescription.dose_high is not None and facts.dose.single_high is None:
        notes.append(f"the dose was not used: {why_open(facts, 'single_dose_mg')[1]}")
    if facts is None and order.resolution.matched_by is MatchedBy.NONE:
        notes.append("the drug was not recognised: nothing of it was checked")
    elif facts is None:
        use = "the drug is not ordered as a muscle relaxant" if order.relaxant else "the order holds no muscle relaxant"
        if outside:
            use = _no_rules(outside)
        elif not _known(parts):
            use = "whether the order holds a muscle relaxant is not known"
        notes.append(f"{use}: it was checked only against relaxants the patient takes")
    return tuple(notes)


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
