"""Why a fact is open, and which field of the request would settle it."""

from __future__ import annotations

from functools import lru_cache

from safety_service.domain import Answer, MatchedBy, Missing, RecordKind
from safety_service.engine.facts import (
    CLASS_OF_FACT,
    COUNTED,
    LineFacts,
    Order,
    may_share,
    not_the_release_read,
    several_relaxants,
    shares,
)
from safety_service.engine.fold import ENDLESS, NONE
from safety_service.engine.history import SUBSTANCE, UNRECOGNISED, Event, History
from safety_service.engine.problems import SET_OF_FACT
from safety_service.rules.vocabulary import FACTS, NO, SLOTS

_LABS = (
    "days_since_aminotransferases",
    "days_since_liver_panel",
    "alt_percent_of_limit",
    "liver_tests_percent_of_limit",
)
_ALLERGIES = ("allergy_to_drug", "allergy_to_carbamate", "allergy_to_other_ingredient", "any_drug_allergy")
_EXPOSURE = ("episode_days", "episode_days_before", "days_in_hand", "class_episode_days", "days_since_relaxant_episode")
# facts about drugs that share a day with the relaxant and with one another, and the classes they are of
_OF_SEVERAL = {"overlap_opioid_and_benzodiazepine": ("opioid", "benzodiazepine"), "cns_active_count": (COUNTED,)}


def why_open(facts: LineFacts, name: str) -> tuple[str, str]:
    """The request field that would settle an open fact, and why it is open."""
    order, history = facts.order, facts.history
    if name in facts.patient.why:
        return facts.patient.why[name]
    if name in SET_OF_FACT:  # most of what is open is
        return _why_condition(facts, name)
    match name:
        case "relaxant_use" | "exempt_antispastic" | "acute_spasm_coded" | "phase":
            return _why_purpose(order)
        case "single_dose_mg":
            return _why_no_dose(facts)
        case "doses_per_day" | "dose_interval_hours":
            return _why_no_times(facts)
        case "daily_dose_mg":
            return _why_no_daily_dose(facts)
        case "quantity_over" | "quantity_short":
            return _why_no_quantity(facts)
        case "duplicate_order":
            return _why_duplicate(facts)
        case "course_days" | "supply_days":
            return _why_no_course(order)
        case "new_start":
            _, reason = _why_history(history)
            return "prescription.treatment_status", f"the order's status was not sent, and {reason}"
        case "overlap_opioid_use_disorder":
            return "patient.conditions", "what the opioid is for is not known"
        case "cns_active_count":
            return _why_overlap(facts, name)
        case "days_since_maoi":
            return _why_maoi(history)
    if name.startswith("for_"):
        return _why_purpose(order)
    if name == "days_since_myocardial_infarction":
        return _why_condition(facts, name)
    if name in _ALLERGIES:
        return _why_allergy(facts, name)
    if name in _LABS and order.request.patient.hepatic.labs.items:
        return "patient.hepatic.labs", "a result has no date or no limit in its unit, or the list is not complete"
    if name in _EXPOSURE:
        open_course = order.supply.course_low != order.supply.course_high
        return _why_no_course(order) if history.complete and open_course else _why_history(history)
    if name.startswith("overlap_"):
        return _why_overlap(facts, name)
    return FACTS[name].send, "not sent"


def _why_purpose(order: Order) -> tuple[str, str]:
    if not order.request.prescription.indications:
        return "prescription.indications", "no indication was sent"
    return "prescription.indications", "one was not recognised, or its code is too short to tell"


def _why_no_course(order: Order) -> tuple[str, str]:
    if not order.supply.source:
        return "prescription.days_supply", "neither days, end nor quantity with a fixed dose was sent"
    if order.supply.days_high == ENDLESS:
        return "prescription.days_supply", "the quantity gives a lowest number of days only"
    sent = order.request.prescription
    if sent.refills is not None or sent.kind is not RecordKind.ORDER:  # refills are told: the days themselves are open
        days = f"{order.supply.days_low} to {order.supply.days_high} days"
        return "prescription.days_supply", f"what was sent leaves {days} a supply"
    return "prescription.refills", "the number of refills was not sent"


def _why_no_dose(facts: LineFacts) -> tuple[str, str]:
    if facts.values[SLOTS["route_not_oral"]] != NO:  # no dose counts then, whatever else is sent
        return "prescription.route", "the route is not oral, or not known to be"
    return _why_no_amount(facts.order)


def _why_no_amount(order: Order) -> tuple[str, str]:
    sent = order.request.prescription.dose_high
    if sent is None:
        if len(order.relaxants) > 1:
            return "prescription.medication", several_relaxants(order.relaxants)
        return "prescription.dose_quantity", "no dose was sent"
    if not sent.unit:
        return "prescription.dose_quantity", "the dose has no unit"
    return "prescription.medication", f"the strength of one {sent.unit} is not known"


def _why_no_daily_dose(facts: LineFacts) -> tuple[str, str]:
    if facts.order.request.prescription.frequency is None:
        return "prescription.frequency", "how often was not sent"
    return _why_no_dose(facts)


def _why_no_times(facts: LineFacts) -> tuple[str, str]:
    sent = facts.order.request.prescription.frequency is not None and facts.values[SLOTS["route_not_oral"]] == NO
    if sent and not_the_release_read(facts.line.file.products, facts.order.resolution):
        return "prescription.medication", "the label read is that of the extended-release product"
    return _why_no_daily_dose(facts)


def _why_no_quantity(facts: LineFacts) -> tuple[str, str]:
    prescription = facts.order.request.prescription
    if prescription.quantity is None:
        return "prescription.quantity", "no quantity was sent"
    if facts.order.supply.source not in ("days-supply", "end-date"):
        return "prescription.days_supply", "the days it is to last were not sent, or are not usable"
    if prescription.frequency is None:
        return "prescription.frequency", "how often was not sent"
    if prescription.dose_high is None:
        return _why_no_amount(facts.order)
    if prescription.as_needed is Answer.UNKNOWN:
        return "prescription.as_needed", "whether it is taken only when needed was not sent"
    return "prescription.quantity", "quantity and dose are not in one unit"


def _why_duplicate(facts: LineFacts) -> tuple[str, str]:
    for event in facts.history.events:
        if event.ingredient == facts.line.ingredient and event.may_end > facts.window[0]:
            recorded = facts.history.records[event.record]
            if not facts.order.request.prescription.prescriber_id:
                return "prescription.prescriber_id", "whether the prescriber is the same is not known"
            if not recorded.prescriber_id:
                return f"{recorded.path}.prescriber_id", "whether the prescriber is the same is not known"
    return _why_overlap(facts, "duplicate_order")


def _why_maoi(history: History) -> tuple[str, str]:
    if not history.complete:
        return _why_history(history)
    for event in history.events:
        if event.may_start < event.may_end and (event.start, event.end) != (event.may_start, event.may_end):
            return history.records[event.record].path, "when it ended is not known"
    return _why_history(history)


def _why_condition(facts: LineFacts, name: str) -> tuple[str, str]:
    listed = facts.order.request.patient.conditions
    if not listed.is_complete:
        sent = "is not marked complete" if listed.items else "was not sent"
        return "patient.conditions", f"the problem list {sent}"
    infarction = name == "days_since_myocardial_infarction"
    problems = facts.patient.problems
    if not (problems.complete_ever if infarction or name.startswith("had_") else problems.complete):
        return "patient.conditions", "a condition on the list was not recognised"
    if infarction:
        return "patient.conditions", "the onset of the infarction was not sent"
    return "patient.conditions", "a code on the list is too short to tell"


def _why_allergy(facts: LineFacts, name: str) -> tuple[str, str]:
    if name == "allergy_to_other_ingredient" and facts.order.resolution.unrecognised:
        return "prescription.medication", "a part of the product ordered was not recognised"
    listed = facts.order.request.patient.allergies
    if not listed.is_complete:
        sent = "is not marked complete" if listed.items else "was not sent"
        return "patient.allergies", f"the list of allergies {sent}"
    if any(each.may_ingredients for each in facts.patient.allergies.entries):
        return "patient.allergies", "code and name of a substance on the list disagree, or it was not recognised"
    return "patient.allergies", "a substance on the list was not recognised, or is a class that holds the drug"


def _why_history(history: History) -> tuple[str, str]:
    if not history.complete:
        if history.records:
            return "patient.medications", "the list of medications is not marked complete"
        return "patient.medications", "the list of medications was not sent"
    for event in history.events:
        if event.key == UNRECOGNISED:
            path = history.records[event.record].path
            return f"{path}.medication", "a drug on the list was not recognised"
    for event in history.events:
        if event.days_low != event.days_high and event.chain >= 0:
            path = history.records[event.record].path
            return path, "the days of an earlier supply are not known"
    return "patient.medications", "the history leaves it open"


def _why_overlap(facts: LineFacts, name: str) -> tuple[str, str]:
    order, history = facts.order, facts.history
    if order.relaxant != facts.line.ingredient:  # the order is the partner: whether it is of the class is what is asked
        if _not_recognised(order):
            return "prescription.medication", "the drug ordered was not recognised"
    elif not history.complete:
        return _why_history(history)
    found = _why_meeting(facts, name) if facts.in_use else _why_sharing(facts, name)
    if found is not None:
        return found
    if not history.complete:
        return _why_history(history)
    if _not_recognised(order):
        return "prescription.medication", "a part of the drug ordered was not recognised"
    return "patient.medications", "the history leaves it open"


def _why_sharing(facts: LineFacts, name: str) -> tuple[str, str] | None:
    """Why it is open whether drugs on the list share a day with the relaxant ordered."""
    order = facts.order
    listed = [each for each in _asked_of(facts, name) if each.may_start < order.high_end and each.may_end > order.start]
    for event in listed:
        if not _of_class(facts, event, name):
            return _why_unrecognised(facts, event)
        if not shares(event, facts.window):
            only_beyond = event.may_start >= order.low_end
            return _why_no_course(order) if only_beyond else _why_days(facts, event)
    if name in _OF_SEVERAL:  # each shares a day with the order; whether with one another is open
        for event in listed:
            if (event.start, event.end) != (event.may_start, event.may_end):
                return _why_days(facts, event)
    return None


def _why_meeting(facts: LineFacts, name: str) -> tuple[str, str] | None:
    """Why it is open whether the order meets a relaxant in use, for facts `_OF_SEVERAL` on a day of another drug too.

    The order's own course is asked for first, then the relaxant's days, then those of the other drug.
    """
    order, asked = facts.order, _asked_of(facts, name)
    relaxants: list[Event] = []
    others: list[Event] = []
    for relaxant in facts.in_use:
        start, end = may_share(order, relaxant)
        sure = shares(relaxant, (order.start, order.low_end, order.high_end))
        if name not in _OF_SEVERAL:
            if start >= order.low_end:
                return _why_no_course(order)
            if not sure:
                relaxants.append(relaxant)
            continue
        for other in asked:
            first, last = max(start, other.may_start), min(end, other.may_end)
            if first >= last or other.ingredient in order.resolution.names:
                continue
            if first >= order.low_end:
                return _why_no_course(order)
            last = min(last, order.low_end)
            if not (sure and relaxant.start <= first and relaxant.end >= last):
                relaxants.append(relaxant)
            elif not (_of_class(facts, other, name) and other.start <= first and other.end >= last):
                others.append(other)
    if relaxants:
        return _why_days(facts, relaxants[0])
    for other in others:
        return _why_days(facts, other) if _of_class(facts, other, name) else _why_unrecognised(facts, other)
    return None


def _asked_of(facts: LineFacts, name: str) -> list[Event]:
    """The drugs on the list that are, or could be, what the fact asks about."""
    own, classes = facts.line.ingredient, _classes(facts, name)
    if name == "duplicate_order":
        return [each for each in facts.history.events if each.ingredient == own or each.key == UNRECOGNISED]
    return [each for each in facts.history.events if each.may_bits & classes and each.ingredient != own]


def _of_class(facts: LineFacts, event: Event, name: str) -> bool:
    if name == "duplicate_order":
        return event.key != UNRECOGNISED
    return bool(event.bits & _classes(facts, name))


def _classes(facts: LineFacts, name: str) -> int:
    """The bits of the classes that a fact asks about."""
    sets = _OF_SEVERAL.get(name) or ((CLASS_OF_FACT[name],) if name in CLASS_OF_FACT else ())
    return sum(facts.order.drugs.bit(each) for each in sets)


def _why_days(facts: LineFacts, event: Event) -> tuple[str, str]:
    path = facts.history.records[event.record].path
    if event.end <= event.start != NONE or event.may_end <= event.may_start != NONE:
        return path, "its end is not after its start"
    return path, "its days, or this order's, leave open whether they meet"


def _why_unrecognised(facts: LineFacts, event: Event) -> tuple[str, str]:
    path = facts.history.records[event.record].path
    if event.key == UNRECOGNISED:
        return f"{path}.medication", "a drug on the list was not recognised"
    return f"{path}.medication", "the code of a drug on the list is too short to tell"


def _not_recognised(order: Order) -> bool:
    """Whether a part of the order, or all of it but its group, is not known."""
    resolution = order.resolution
    groups = not resolution.ingredients and any(len(code) < SUBSTANCE for code in resolution.classes_atc)
    return groups or bool(resolution.unrecognised) or resolution.matched_by is MatchedBy.NONE


def why_missing(facts: LineFacts, name: str) -> Missing:
    """The open fact, the field to send, and why it is open."""
    return _missing(name, *why_open(facts, name))


@lru_cache(maxsize=4096)
def _missing(name: str, path: str, why: str) -> Missing:
    """One for all answers that lack the same for the same reason."""
    return Missing(name, path, f"{FACTS[name].doc}: {why}")
