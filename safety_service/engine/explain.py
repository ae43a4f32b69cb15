"""From a rule that fired to an alert: facts, thresholds, computation, source, proposed change, who is involved."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from safety_service.domain import (
    Alert,
    AlertWords,
    FactUsed,
    Frequency,
    Implicated,
    Missing,
    Role,
    Severity,
    Suggestion,
    Threshold,
)
from safety_service.engine.facts import (
    CLASS_OF_FACT,
    COUNTED,
    MAOI,
    LineFacts,
    Order,
    class_episode_records,
    order_events,
)
from safety_service.engine.fold import IN_CLASS, MAYBE_IN_CLASS, NOT_IN_CLASS
from safety_service.engine.history import Event, History
from safety_service.engine.problems import FROM_PROBLEMS, evidence_of
from safety_service.knowledge.knowledge import Knowledge, LiveClause, LiveRule
from safety_service.rules.meaning import Truth, meaning, reasons
from safety_service.rules.tree import Compare, FactRef, Number, OneOf
from safety_service.rules.vocabulary import FACTS, HIGHEST, LOWEST, NO, SLOTS, YES, Type, Unit

_TIMES = {1: "once", 2: "twice", 3: "three times", 4: "four times"}
_CLASS_EPISODE = "class_episode_days"
_EPISODE_FACTS = frozenset({"episode_days", "episode_days_before", "days_in_hand", _CLASS_EPISODE})
_PARTNER_FACTS = frozenset(
    {
        *CLASS_OF_FACT,
        "overlap_opioid_use_disorder",
        "overlap_opioid_and_benzodiazepine",
        "cns_active_count",
        "days_since_maoi",
    }
)
_FOR = {
    NOT_IN_CLASS: "for spasticity",
    IN_CLASS: "for spasm or back pain",
    MAYBE_IN_CLASS: "for a purpose that is not known",
}
_PASSING = (Unit.DAY, Unit.MONTH, Unit.YEAR)
MOST_TOLD = 4096  # words remembered per clause; they hold numbers and drug names, no references to records


class Telling(NamedTuple):
    """What is needed to put an alert into words."""

    knowledge: Knowledge
    order: Order
    history: History
    facts: LineFacts
    lines: tuple[str, ...]  # names of all lines the order could be
    pathway_step: int


def number_text(name: str, low: int, high: int) -> str:
    """A number fact as people write it, without its unit."""
    scale = FACTS[name].unit.scale
    if low == high:
        return f"{low / scale:g}" if scale > 1 else str(low)
    if high >= HIGHEST:
        return f"at least {low / scale:g}" if low > LOWEST else "unknown"
    return f"{low / scale:g} to {high / scale:g}"


def choice_text(name: str, mask: int) -> str:
    """A choice or yes/no fact as people write it."""
    fact = FACTS[name]
    values = ("no", "yes") if fact.type is Type.YES_NO else fact.values
    held = [value for i, value in enumerate(values) if mask >> i & 1]
    if len(held) == len(values):
        return "unknown"
    return held[0] if len(held) == 1 else ", ".join(held[:-1]) + " or " + held[-1]


def fact_text(name: str, values: Sequence[int]) -> str:
    """A fact as people write it, without its unit."""
    at = SLOTS[name]
    if FACTS[name].type is Type.NUMBER:
        return number_text(name, values[at], values[at + 1])
    return choice_text(name, values[at])


def frequency_text(frequency: Frequency | None) -> str:
    """`three times a day`, `1 to 2 times every 8 h`, or nothing when not known."""
    if frequency is None:
        return ""
    if frequency.times_low == frequency.times_high:
        times = _TIMES.get(frequency.times_low, f"{frequency.times_low} times")
    else:
        times = f"{frequency.times_low} to {frequency.times_high} times"
    if frequency.period_hours == 24:
        return f"{times} a day"
    if frequency.period_hours == 168:
        return f"{times} a week"
    return f"{times} every {frequency.period_hours} h"


def course_sum(order: Order) -> str:
    """`14 d x (1 + 1 refill) = 28 d`."""
    days = order.supply
    if not days.source:
        return "days not known"
    low = f"{'at least ' if days.days_high != days.days_low else ''}{days.days_low} d"
    refills = order.request.prescription.refills
    if days.course_low == days.course_high and not refills:
        return low
    if refills is None:
        return f"{low}, refills not sent"
    word = "refill" if refills == 1 else "refills"
    prefix = "at least " if days.days_high != days.days_low else ""
    return f"{low} x (1 + {refills} {word}) = {prefix}{days.course_low} d"


def partners_of(telling: Telling, clause: LiveClause) -> list[Event]:
    """The events that make the clause's facts about other drugs true, each drug once."""
    classes = telling.knowledge.drugs
    facts = telling.facts
    mask = 0
    for name in clause.facts:
        if name in CLASS_OF_FACT:
            if facts.values[SLOTS[name]] == YES:
                mask |= classes.bit(CLASS_OF_FACT[name])
        elif name == "overlap_opioid_and_benzodiazepine":
            mask |= classes.bit("opioid") | classes.bit("benzodiazepine")
        elif name == "overlap_opioid_use_disorder":
            mask |= classes.bit("opioid")
        elif name == "cns_active_count":
            mask |= classes.bit(COUNTED)
    found: dict[str, Event] = {}
    if "days_since_maoi" in clause.facts:
        found = {event.ingredient: event for event in _last_ended(telling, classes.bit(MAOI))}
    if not mask:
        return list(found.values())
    own = facts.line.ingredient
    for event in (*order_events(telling.knowledge, telling.order, telling.history, own), *telling.history.events):
        if event.bits & mask and event.ingredient != own and facts.shares(event):
            found.setdefault(event.ingredient, event)
    return list(found.values())


def _last_ended(telling: Telling, mask: int) -> list[Event]:
    """Of the drugs of a class that ended before the order, those that ended last."""
    start = telling.order.start
    ended = [each for each in telling.history.events if each.bits & mask and each.start < each.end <= start]
    last = max((each.end for each in ended), default=0)
    return [each for each in ended if each.end == last]


def explain(
    telling: Telling,
    rule: LiveRule,
    clause: LiveClause,
    missing: tuple[Missing, ...],
    options: tuple[str, ...],
    stamp: hashlib.blake2b,
) -> Alert:
    """The alert of a clause that fired. `stamp` is the keyed hash of patient and order its fingerprint goes on from.

    A repeat has the same fingerprint: the same rule with the same severity, of the same order, other drugs and
    conditions, on the same facts. Facts that count days or years change by mere waiting and are not in it.
    """
    told = put_in_words(telling, rule, clause)
    words, partners = told.words, told.partners
    implicated = implicated_in(telling, told)
    own = stamp.copy()
    own.update(told.sameness)
    for each in implicated:
        own.update(each.display.encode() + b"\0")
    said = words.facts
    facts = telling.facts
    of_class = any(each.name == _CLASS_EPISODE for each in said)
    if partners or facts.evidence or facts.episode_records or of_class or facts.patient.problems.ever:
        said = _with_evidence(telling, said, partners)
    return Alert(words, own.hexdigest(), said, missing, implicated, options, telling.pathway_step)


class Told(NamedTuple):
    """The words of an alert, what makes another its repeat, and the other drugs it is about."""

    words: AlertWords
    sameness: bytes
    partners: Sequence[Event]


def put_in_words(telling: Telling, rule: LiveRule, clause: LiveClause) -> Told:
    """The words of a clause that fired, remembered by all that they depend on."""
    facts = telling.facts
    partners: Sequence[Event] = ()
    partner_names = ""
    if clause.about_partners:
        partners = partners_of(telling, clause)
        partner_names = " + ".join([event.ingredient for event in partners])
    purposes = _purposes(telling, partners) if clause.about_purposes else ""
    key = (
        partner_names,
        purposes,
        telling.order.told_by,
        len(facts.episode_records),
        telling.lines,
        clause.pick(facts.values),
    )
    told = clause.told.get(key)
    if told is None:
        if len(clause.told) >= MOST_TOLD:
            clause.told.clear()
        said_of_all = _words(telling, rule, clause, partner_names, purposes)
        told = clause.told[key] = said_of_all, _sameness(said_of_all)
    return Told(told[0], told[1], partners)


def _sameness(words: AlertWords) -> bytes:
    """What an alert of an order has to have in common with another to be its repeat."""
    facts = [(each.name, each.value) for each in words.facts if FACTS[each.name].unit not in _PASSING]
    return repr((words.rule_id, words.rule_version, int(words.severity), facts)).encode()


def _words(telling: Telling, rule: LiveRule, clause: LiveClause, partner_names: str, purposes: str) -> AlertWords:
    values = telling.facts.values
    leaves = reasons(clause.when, values)

    def place(name: str) -> str:
        match name:
            case "drug":
                return telling.facts.line.name
            case "partners":
                return partner_names
            case "purposes":
                return purposes
            case "statement":
                return clause.statement.says
            case "dose_text":
                text = frequency_text(telling.order.request.prescription.frequency)
                return f"{fact_text('single_dose_mg', values)} mg {text}".strip()
            case "course_sum":
                return course_sum(telling.order)
            case "episode_sum":
                return _episode_sum(telling)
            case "class_sum":
                return f"{fact_text('class_episode_days', values)} d covered by relaxants in a row, this order included"
            case "longest_days":
                return _longest(values)
            case "figures":
                return figures_text(telling)
            case "conflict":
                return telling.order.resolution.conflict
            case "lines":
                return " or ".join(telling.lines)
        if name in FACTS:
            return fact_text(name, values)
        limit = telling.facts.line.limits.get(name)
        return limit.value if limit is not None else name

    message = clause.says.render(place).strip()
    citation = clause.statement.citation
    unread = citation.read_as == "secondary" and citation.authority == "label"
    if unread and "not read in the label" not in message.lower():
        message += " (Not read in the label; a secondary source attributes it.)"
    statements = (clause.statement, *clause.supporting)
    told = telling.facts.line.told_with_every_alert
    if told is not None and told not in statements:
        message += f" {told.says}"
        statements = (*statements, told)
    message = " ".join([message, *clause.by_policy])
    default = clause.statement.severity
    return AlertWords(
        rule_id=rule.rule.id,
        rule_version=rule.rule.version,
        kind=rule.kind,
        severity=clause.severity,
        subject=telling.facts.line.id,
        title=clause.title.render(place),
        message=message,
        action=clause.do.render(place),
        computation=clause.computation.render(place),
        facts=_facts(values, leaves),
        thresholds=_thresholds(telling, leaves),
        suggestions=_suggestions(telling, clause),
        citations=tuple(each.citation for each in statements),
        dur_codes=rule.rule.codes.dur,
        act_codes=rule.rule.codes.act,
        patient_text=clause.patient.render(place),
        default_severity=default if default is not clause.severity else Severity.UNSPECIFIED,
    )


def _purposes(telling: Telling, partners: Sequence[Event]) -> str:
    """`tizanidine for spasticity, cyclobenzaprine for spasm or back pain`: what each of several relaxants is for."""
    facts = telling.facts
    exempt, use = facts.values[SLOTS["exempt_antispastic"]], facts.values[SLOTS["relaxant_use"]]
    mine = NOT_IN_CLASS if exempt == YES else IN_CLASS if (exempt, use) == (NO, YES) else MAYBE_IN_CLASS
    told = [(facts.line.ingredient, mine), *((event.ingredient, event.role) for event in partners)]
    return ", ".join([f"{name} {_FOR[role]}" for name, role in told])


def _names(leaf: Compare | OneOf) -> tuple[str, ...]:
    if isinstance(leaf, OneOf):
        return (leaf.fact,)
    return tuple(side.name for side in (leaf.left, leaf.right) if isinstance(side, FactRef))


def _longest(values: Sequence[int]) -> str:
    course, episode = SLOTS["course_days"], SLOTS["episode_days"]
    low = max(values[course], values[episode])
    high = max(values[course + 1], values[episode + 1])
    if values[course] == values[course + 1] and high == HIGHEST:
        high = low  # the course is known; earlier supply, if any, is asked for by its own check
    return number_text("course_days", low, high)


def _episode_sum(telling: Telling) -> str:
    earlier = len(telling.facts.episode_records)
    if not earlier:
        return course_sum(telling.order)
    before = fact_text("episode_days_before", telling.facts.values)
    total = fact_text("episode_days", telling.facts.values)
    supplies = "1 earlier supply" if earlier == 1 else f"{earlier} earlier supplies"
    return f"{before} d in {supplies} + {course_sum(telling.order)}: {total} d in this episode"


def figures_text(telling: Telling) -> str:
    """The label's own percentages for this dose, against placebo; a dose between two arms shows both."""
    figures = telling.facts.line.file.figures
    if figures is None:
        return "No figures in the label text read."
    single = telling.facts.dose.single_high
    active = [arm for arm in figures.arms if not arm.placebo]
    dosed = [arm for arm in active if arm.single_mg is not None]
    if single is not None and dosed:
        mg = single / 1000
        exact = [arm for arm in dosed if arm.single_mg == mg]
        below = [arm for arm in dosed if arm.single_mg is not None and arm.single_mg <= mg][-1:]
        above = [arm for arm in dosed if arm.single_mg is not None and arm.single_mg > mg][:1]
        active = exact or [*below, *above]
    placebo = [arm for arm in figures.arms if arm.placebo]
    parts = []
    for effect in (active or figures.arms)[0].percent:
        shown = [f"{arm.percent[effect]} % ({arm.arm})" for arm in (*active, *placebo) if effect in arm.percent]
        parts.append(f"{effect} {', '.join(shown)}")
    note = "" if figures.read_as.value in ("source", "copy") else " (not read in the label)"
    return "; ".join(parts[:3]) + note + "."


def _facts(values: Sequence[int], leaves: Sequence[Compare | OneOf]) -> tuple[FactUsed, ...]:
    found: dict[str, FactUsed] = {}
    for leaf in leaves:
        for name in _names(leaf):
            unit = FACTS[name].unit
            shown = "" if FACTS[name].type is not Type.NUMBER or unit is Unit.COUNT else unit.value
            found[name] = FactUsed(name, fact_text(name, values), shown)
    return tuple(found.values())


def _with_evidence(telling: Telling, facts: tuple[FactUsed, ...], partners: Sequence[Event]) -> tuple[FactUsed, ...]:
    """The facts with the records and codes they rest on; the very same tuple when they rest on none."""
    found = [(each, _evidence(telling, each.name, partners)) for each in facts]
    if not any(evidence for _, evidence in found):
        return facts
    return tuple([each._replace(evidence=evidence) if evidence else each for each, evidence in found])


def _evidence(telling: Telling, name: str, partners: Sequence[Event]) -> tuple[str, ...]:
    if name in _EPISODE_FACTS:
        return tuple([telling.history.records[i].reference for i in _episode_records(telling, name)])
    if name in _PARTNER_FACTS:
        return tuple([_reference(telling, event) for event in partners])
    return _codes(telling, name)


def _episode_records(telling: Telling, name: str) -> tuple[int, ...]:
    """The earlier records that a number of days comes from: of the ingredient, or of any relaxant of the class."""
    if name == _CLASS_EPISODE:
        return class_episode_records(telling.knowledge, telling.facts)
    return telling.facts.episode_records


def _codes(telling: Telling, name: str) -> tuple[str, ...]:
    """The codes and records of the patient behind a fact."""
    found = telling.facts.evidence.get(name)
    if found is not None:
        return found
    return evidence_of(telling.knowledge, telling.facts.patient.problems, name) if name in FROM_PROBLEMS else ()


def _reference(telling: Telling, event: Event) -> str:
    records = telling.history.records
    recorded = records[event.record] if event.record < len(records) else telling.order.recorded
    return recorded.reference


def _thresholds(telling: Telling, leaves: Sequence[Compare | OneOf]) -> tuple[Threshold, ...]:
    found = []
    for leaf in leaves:
        if isinstance(leaf, Compare) and isinstance(leaf.left, FactRef) and isinstance(leaf.right, Number):
            limit = telling.facts.line.limits.get(leaf.right.limit)
            found.append(
                Threshold(
                    fact=leaf.left.name,
                    operator=leaf.operator,
                    value=number_text(leaf.left.name, leaf.right.value, leaf.right.value),
                    unit=FACTS[leaf.left.name].unit.value,
                    basis="" if limit is None else limit.basis,
                    limit=leaf.right.limit,
                    default="" if limit is None else limit.default,
                )
            )
        elif isinstance(leaf, OneOf) and leaf.limit:
            limit = telling.facts.line.limits.get(leaf.limit)
            found.append(
                Threshold(
                    leaf.fact,
                    "in",
                    choice_text(leaf.fact, leaf.mask),
                    "",
                    "" if limit is None else limit.basis,
                    leaf.limit,
                )
            )
    return tuple(found)


def _suggestions(telling: Telling, clause: LiveClause) -> tuple[Suggestion, ...]:
    order = telling.order
    prescription = order.request.prescription
    found = []
    for each in clause.suggest:
        if each.when is not None and meaning(each.when, telling.facts.values) is not Truth.TRUE:
            continue
        match each.field:
            case "dose":
                field, unit = "prescription.dose_quantity", "mg"
                current = fact_text("single_dose_mg", telling.facts.values)
                proposed = f"{each.to / 1000:g}"
            case "days_supply":
                field, unit = "prescription.days_supply", "d"
                current, proposed = str(order.supply.days_low), str(each.to)
            case _:
                field, unit = "prescription.refills", ""
                current = "unknown" if prescription.refills is None else str(prescription.refills)
                proposed = str(each.to)
        if current != proposed:
            said = {"current": current, "proposed": proposed}
            said |= {name: limit.value for name, limit in telling.facts.line.limits.items() if name in each.text.places}
            found.append(Suggestion(field, current, proposed, unit, each.text.render(said.__getitem__)))
    return tuple(found)


def implicated_in(telling: Telling, told: Told) -> tuple[Implicated, ...]:
    """The order, and the drugs, records and conditions that an alert is about."""
    words, partners = told.words, told.partners
    order, history, facts = telling.order, telling.history, telling.facts
    found = [Implicated(Role.TRIGGER, order.recorded.reference, order.recorded.display)]
    if order.relaxant != facts.line.ingredient and facts.line.id:  # the partner is ordered, the relaxant is in use
        for event in history.events:
            if event.ingredient == facts.line.ingredient and facts.shares(event):
                recorded = history.records[event.record]
                found.append(Implicated(Role.CO_AGENT, recorded.reference, recorded.display))
                break
    for event in partners:
        if event.record < len(history.records):
            recorded = history.records[event.record]
            found.append(Implicated(Role.CO_AGENT, recorded.reference, recorded.display))
    for each in words.facts:
        if each.name in _EPISODE_FACTS:
            for i in _episode_records(telling, each.name):
                found.append(Implicated(Role.HISTORY, history.records[i].reference, history.records[i].display))
        role = Role.CO_AGENT if each.name == "duplicate_order" else Role.CONDITION
        found += [Implicated(role, code, code) for code in _codes(telling, each.name)]
    return tuple(dict.fromkeys(found)) if len(found) > 1 else (found[0],)
