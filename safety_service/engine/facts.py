"""All facts of one order as the rules see them: the order, the history folded, the patient."""

from __future__ import annotations

from typing import NamedTuple

from safety_service.domain import (
    Answer,
    CheckRequest,
    ResolvedIngredient,
    TreatmentStatus,
)
from safety_service.engine import fold
from safety_service.engine.fold import ENDLESS, IN_CLASS, MAYBE_IN_CLASS, NONE, NOT_IN_CLASS
from safety_service.engine.history import (
    UNRECOGNISED,
    Event,
    History,
    Recorded,
    add,
    display_name,
    folded,
    indication_classes,
    recognise,
    sets_mask,
    strength_of,
)
from safety_service.engine.patient import COUNTING, PatientFacts
from safety_service.engine.supply import Dose, Supply, dose, micrograms, supply
from safety_service.knowledge.knowledge import Knowledge, Line
from safety_service.knowledge.resolve import Resolution
from safety_service.knowledge.schema import Product
from safety_service.knowledge.value_sets import plain_words
from safety_service.rules.vocabulary import EITHER, FACTS, HIGHEST, NO, SLOTS, YES, put_number

CLASS_OF_FACT = {
    "overlap_opioid": "opioid",
    "overlap_benzodiazepine": "benzodiazepine",
    "overlap_cns_depressant": "cns-depressant",
    "overlap_anticholinergic": "anticholinergic",
}
COUNTED = "cns-active"
NOT_THERE = -2  # the key of an ingredient that the history does not hold
OUD_DRUGS = "opioid-use-disorder-treatment"
_ORAL = frozenset({"oral", "po", "by mouth", "per os", "orally", "per oral", "oral route", "p o", "26643006"})
_OTHER_ROUTES = frozenset(
    """intravenous iv intramuscular im injection intrathecal subcutaneous sc topical transdermal rectal pr ophthalmic
    nasal inhalation sublingual buccal vaginal epidural parenteral""".split()
)


class Order(NamedTuple):
    """The order under check, recognised and counted, before any rule. `told_by`: all of it that words depend on."""

    request: CheckRequest
    resolution: Resolution
    recorded: Recorded
    start: int
    relaxant: str  # ingredient, "" when the order holds none
    strength: ResolvedIngredient | None
    supply: Supply
    notes: tuple[str, ...]
    told_by: tuple[object, ...]

    @property
    def low_end(self) -> int:
        return min(self.start + self.supply.course_low, ENDLESS)

    @property
    def high_end(self) -> int:
        return min(self.start + self.supply.course_high, ENDLESS)


class LineFacts(NamedTuple):
    """The facts for one product line, and what they were made from."""

    line: Line
    values: list[int]
    order: Order
    history: History
    patient: PatientFacts
    dose: Dose
    window: tuple[int, int, int]  # start, sure end, possible end: the days a partner must share
    new_start: Answer
    conflicts: tuple[str, ...]
    episode_records: tuple[int, ...]  # records of the same episode, latest first


def read_order(knowledge: Knowledge, request: CheckRequest, resolution: Resolution) -> Order:
    """The order's relaxant, start and supply."""
    prescription = request.prescription
    start = prescription.start if prescription.start is not None else prescription.ordered_on
    notes: list[str] = []
    if start is None:
        start = request.as_of
        notes.append("no start date was sent: as_of was used")
    relaxant = next((name for name in resolution.names if name in knowledge.lines_of), "")
    strength = strength_of(resolution, relaxant)
    if strength is None and len(resolution.ingredients) == 1:
        strength = resolution.ingredients[0]
    given = supply(prescription, start, strength, knowledge.policy_numbers["policy.exposure.most_days"])
    recorded = Recorded(prescription.id or "prescription", "prescription", display_name(resolution), resolution)
    often = prescription.frequency
    told_by = (
        often and (often.times_low, often.times_high, often.period_hours),
        given.days_low,
        given.days_high,
        given.course_low,
        given.course_high,
        prescription.refills,
        resolution.conflict,
    )
    return Order(request, resolution, recorded, start, relaxant, strength, given, (*notes, *given.notes), told_by)


def candidate_lines(knowledge: Knowledge, order: Order) -> tuple[Line, ...]:
    """The product lines the order can be: by release, by strength, else by which strengths can make up the dose."""
    lines = knowledge.lines_of.get(order.relaxant, ())
    if len(lines) < 2:
        return lines
    ordered = order.request.prescription
    single = micrograms(ordered.dose_high, order.strength)
    fits = [
        line for line in lines if any(_product_fits(p, order.resolution, order.strength) for p in line.file.products)
    ]
    if len(fits) > 1 and single is not None:
        made_up = [line for line in fits if any(_makes_up(p, single) for p in line.file.products)]
        fits = made_up or fits
    return tuple(fits) or lines


def _product_fits(product: Product, resolution: Resolution, strength: ResolvedIngredient | None) -> bool:
    if resolution.release and product.release != "any" and resolution.release != product.release:
        # a name without "extended release" reads as immediate; only a strength can say otherwise
        return False
    if strength is not None and strength.strength_ug is not None and strength.per == "":
        return strength.strength_ug in {round(each * 1000) for each in product.strengths_mg}
    return True


def _makes_up(product: Product, single_ug: int) -> bool:
    for strength in product.strengths_mg:
        piece = round(strength * 1000)
        if single_ug % piece == 0 or (product.divisible and single_ug * 2 == piece):
            return True
    return False


def line_facts(
    knowledge: Knowledge, order: Order, history: History, patient: PatientFacts, line: Line, lines_open: bool
) -> LineFacts:
    """Facts for the rules of `line`, the order being that line's drug."""
    request = order.request
    prescription = request.prescription
    gap = knowledge.policy_numbers["policy.exposure.gap_days"]
    values = patient.values.copy()
    conflicts: list[str] = []

    # --- what the drug is ordered for
    in_use, exempt = _use(knowledge, order, line, conflicts)
    values[SLOTS["relaxant_use"]] = in_use
    values[SLOTS["exempt_antispastic"]] = exempt
    role = MAYBE_IN_CLASS
    if exempt == YES or in_use == NO:
        role = NOT_IN_CLASS
    elif (exempt, in_use) == (NO, YES):
        role = IN_CLASS

    # --- the order itself
    values[SLOTS["code_text_conflict"]] = YES if order.resolution.conflict else NO
    values[SLOTS["form_open"]] = YES if lines_open else NO
    route = _route_not_oral(prescription.route, order.resolution.route)
    values[SLOTS["route_not_oral"]] = route
    given = dose(prescription, order.strength)
    if route == NO and given.single_high is not None:
        put_number(values, "single_dose_mg", given.single_high, given.single_high)
    last = micrograms(prescription.last_dose, order.strength)
    if last is not None:
        put_number(values, "last_dose_mg", last, last)
    days = order.supply
    put_number(values, "supply_days", days.days_low, days.days_high)
    put_number(values, "course_days", days.course_low, days.course_high)

    # --- the history folded
    state = folded(history, gap, extra=len(order.resolution.ingredients) + 1)
    for event in order_events(knowledge, order, history, line.ingredient):
        add(state, event, gap)
    key = history.keys.get(line.ingredient, NOT_THERE)
    out = [0] * (fold.OBSERVED + fold.OVERLAPPED)
    fold.observe(state, 0, line.chain, key, order.start, days.course_low, days.course_high, role, gap, out, 0)
    new_start = _exposure(history, order, line, out, values, conflicts)
    window = order.start, order.low_end, order.high_end
    _overlaps(knowledge, order, history, line, state, key, window, values)
    return LineFacts(
        line=line,
        values=values,
        order=order,
        history=history,
        patient=patient,
        dose=given,
        window=window,
        new_start=new_start,
        conflicts=tuple(conflicts),
        episode_records=_episode(history, line, out[fold.BEFORE_LOW], out[fold.PREVIOUS_RECORD]),
    )


def pair_facts(
    knowledge: Knowledge,
    order: Order,
    history: History,
    patient: PatientFacts,
    line: Line,
    events: list[Event],
) -> LineFacts:
    """Facts for the pair rules of a relaxant in the history (its `events`), the order being the partner."""
    gap = knowledge.policy_numbers["policy.exposure.gap_days"]
    values = patient.values.copy()
    sure = [e for e in events if e.start < order.low_end and e.end > order.start and e.start < e.end]
    start = max(order.start, min((e.start for e in sure), default=order.start))
    low_end = min(order.low_end, max((e.end for e in sure), default=start))
    high_end = min(order.high_end, max(e.may_end for e in events))
    state = folded(history, gap, extra=len(order.resolution.ingredients) + 1)
    for event in order_events(knowledge, order, history, ""):
        add(state, event, gap)
    key = history.keys.get(line.ingredient, NOT_THERE)
    window = start, low_end, high_end
    own = 0
    for name, _, may in recognise(knowledge, order.resolution):
        own |= may if name else -1
    _overlaps(knowledge, order, history, line, state, key, window, values, own)
    return LineFacts(
        line=line,
        values=values,
        order=order,
        history=history,
        patient=patient,
        dose=Dose(),
        window=window,
        new_start=Answer.UNKNOWN,
        conflicts=(),
        episode_records=(),
    )


def order_events(knowledge: Knowledge, order: Order, history: History, besides: str) -> list[Event]:
    """The order's ingredients other than `besides`, as exposures over its own days."""
    events = []
    for name, bits, may_bits in recognise(knowledge, order.resolution):
        if name and name == besides:
            continue
        key = history.keys.setdefault(name, len(history.keys)) if name else UNRECOGNISED
        events.append(
            Event(
                name, key, bits, may_bits, len(history.records), order.start, order.low_end, order.start,
                order.high_end, -1, NONE, 0, 0, NOT_IN_CLASS,
            )
        )  # fmt: skip
    return events


def _use(knowledge: Knowledge, order: Order, line: Line, conflicts: list[str]) -> tuple[int, int]:
    """(ordered as a relaxant, exempt from day limits for spasticity)."""
    by_indication = line.file.relaxant == "by-indication"
    if not by_indication and "indication.spasticity" not in line.statements:
        return YES, NO
    indications = order.request.prescription.indications
    own_sets = ("spasticity", "spasticity-diazepam") if by_indication else ("spasticity",)
    spasticity = sets_mask(knowledge, own_sets)
    muscle = spasticity | sets_mask(knowledge, ("back-pain", "muscle-spasm"))
    if indications:
        bits, all_recognised = indication_classes(knowledge, indications)
        otherwise = NO if all_recognised else EITHER
        exempt = YES if bits & spasticity else otherwise
        use = YES if not by_indication or bits & muscle else otherwise
    else:
        listed = 0
        for each in order.request.patient.conditions.items:
            if each.status in COUNTING:
                listed |= knowledge.conditions.of(each.codings)[0]
        if listed & spasticity:
            conflicts.append("no indication was sent: spasticity on the problem list was taken as the indication")
            return YES, YES
        exempt = EITHER
        use = EITHER if by_indication else YES
    return use, exempt


def _route_not_oral(ordered: str, product: str) -> int:
    words = plain_words(ordered)
    if words:
        return NO if words in _ORAL else YES if words in _OTHER_ROUTES else EITHER
    return NO if product in ("", "oral") else YES


def _exposure(
    history: History,
    order: Order,
    line: Line,
    out: list[int],
    values: list[int],
    conflicts: list[str],
) -> Answer:
    """Puts the facts of the fold; returns whether the order starts the drug."""
    # a drug that was not recognised could be a relaxant: then nothing more is certain than what was seen
    listed = history.complete and not history.unrecognised
    known = listed and line.chain not in history.open_chains
    top = ENDLESS if not known else 0  # pushes an upper bound that is not sure out of sight
    put_number(values, "episode_days", out[fold.EPISODE_LOW], top or out[fold.EPISODE_HIGH])
    put_number(values, "episode_days_before", out[fold.BEFORE_LOW], top or out[fold.BEFORE_HIGH])
    put_number(values, "days_in_hand", out[fold.IN_HAND_LOW], top or out[fold.IN_HAND_HIGH])
    top = ENDLESS if not listed or history.open_chains else 0
    put_number(values, "class_episode_days", out[fold.CLASS_LOW], top or out[fold.CLASS_HIGH])
    if not top:
        put_number(values, "days_since_relaxant_episode", out[fold.SINCE_LOW], out[fold.SINCE_HIGH])
    elif out[fold.SINCE_LOW] == out[fold.SINCE_HIGH] != ENDLESS:
        put_number(values, "days_since_relaxant_episode", 0, out[fold.SINCE_HIGH])
    said = {1: NO, 2: YES, 3: EITHER}[out[fold.CONTINUES]]
    if said == NO and not known:
        said = EITHER
    status = order.request.prescription.status
    if status is TreatmentStatus.UNSPECIFIED:
        new = {YES: NO, NO: YES, EITHER: EITHER}[said]
    else:
        new = YES if status is TreatmentStatus.NEW else NO
        if said != EITHER and (new == YES) == (said == YES):
            conflicts.append(
                f"the order says {'new' if new == YES else 'continuing'}, the history says the opposite: "
                "the order decides dose checks, the history duration"
            )
    values[SLOTS["new_start"]] = new
    return Answer.YES if new == YES else Answer.NO if new == NO else Answer.UNKNOWN


def _overlaps(
    knowledge: Knowledge,
    order: Order,
    history: History,
    line: Line,
    state: list[int],
    key: int,
    window: tuple[int, int, int],
    values: list[int],
    only: int = -1,
) -> None:
    """Puts the facts about drugs sharing a day of `window`; pair facts count only drugs with a class in `only`."""
    drugs = knowledge.drugs
    opioid, benzodiazepine, counted = drugs.bit("opioid"), drugs.bit("benzodiazepine"), drugs.bit(COUNTED)
    own = 1 if drugs.of_ingredient(line.ingredient, "oral") & counted else 0
    out = [0] * fold.OVERLAPPED
    fold.overlaps(state, 0, key, own, *window, opioid, benzodiazepine, counted, out, 0)
    sure = out[fold.SURE_BITS]
    complete = history.complete
    possible = out[fold.POSSIBLE_BITS] if complete or only != -1 else -1
    for fact, set_id in CLASS_OF_FACT.items():
        bit = drugs.bit(set_id) & only
        values[SLOTS[fact]] = YES if sure & bit else EITHER if possible & bit else NO
    pair = out[fold.PAIR]
    if not only & (opioid | benzodiazepine):
        pair = NO
    elif pair == NO and not complete:
        pair = EITHER
    values[SLOTS["overlap_opioid_and_benzodiazepine"]] = pair
    treats = NO
    if sure & only & drugs.bit(OUD_DRUGS):
        treats = _use_disorder(knowledge, order, history, line, window, only)
    values[SLOTS["overlap_opioid_use_disorder"]] = treats
    high = out[fold.COUNT_HIGH] if complete else HIGHEST
    if only & counted:
        put_number(values, "cns_active_count", out[fold.COUNT_LOW], high)
    else:
        put_number(values, "cns_active_count", 0, 0)


def _use_disorder(
    knowledge: Knowledge, order: Order, history: History, line: Line, window: tuple[int, int, int], only: int
) -> int:
    """Whether a sharing opioid treats opioid use disorder: by its indication, its ATC code or the problem list."""
    drug_bit = knowledge.drugs.bit(OUD_DRUGS) & only
    disorder = sets_mask(knowledge, ("opioid-use-disorder",))
    listed = 0
    for each in order.request.patient.conditions.items:
        listed |= knowledge.conditions.of(each.codings)[0]
    answer = NO
    for event in (*history.events, *order_events(knowledge, order, history, line.ingredient)):
        if event.bits & drug_bit and shares(event, window):
            mine = event.record < len(history.records)
            codes = (history.records[event.record] if mine else order.recorded).resolution.classes_atc
            if listed & disorder or any(knowledge.drugs.of_atc(code) & drug_bit for code in codes):
                return YES
            answer = EITHER
    return answer


def shares(event: Event, window: tuple[int, int, int]) -> bool:
    """The event surely shares a day with the window."""
    start, low_end, _ = window
    return event.start < low_end and event.end > start and event.start < event.end


def _episode(history: History, line: Line, days_before: int, latest: int) -> tuple[int, ...]:
    """The records of the episode before the order, latest first: back from the pointer until their days are used up."""
    if latest < 0:
        return ()
    found: list[int] = []
    left = days_before
    started = False
    for event in reversed(history.events):
        started |= event.record == latest
        if started and event.chain == line.chain and event.supply_start != NONE and left > 0:
            found.append(event.record)
            left -= event.days_low
    return tuple(found)


# --- why a fact is open ------------------------------------------------------------------------------------------

_LABS = (
    "days_since_aminotransferases",
    "days_since_liver_panel",
    "alt_percent_of_limit",
    "liver_tests_percent_of_limit",
)
_EXPOSURE = ("episode_days", "episode_days_before", "days_in_hand", "class_episode_days", "days_since_relaxant_episode")


def why_open(facts: LineFacts, name: str) -> tuple[str, str]:
    """The request field that would settle an open fact, and why it is open."""
    order, history = facts.order, facts.history
    if name in facts.patient.why:
        return facts.patient.why[name]
    match name:
        case "relaxant_use" | "exempt_antispastic":
            sent = order.request.prescription.indications
            return "prescription.indications", "one was not recognised" if sent else "no indication was sent"
        case "single_dose_mg":
            return _why_no_dose(order)
        case "course_days" | "supply_days":
            return _why_no_course(order)
        case "new_start":
            _, reason = _why_history(history)
            return "prescription.treatment_status", f"the order's status was not sent, and {reason}"
        case "overlap_opioid_use_disorder":
            return "patient.conditions", "what the opioid is for is not known"
        case "cns_active_count":
            return _why_overlap(history, facts.window)
    if name in _LABS and order.request.patient.hepatic.labs.items:
        return "patient.hepatic.labs", "a result has no date or no limit in its unit, or the list is not complete"
    if name in _EXPOSURE:
        open_course = order.supply.course_low != order.supply.course_high
        return _why_no_course(order) if history.complete and open_course else _why_history(history)
    if name.startswith("overlap_"):
        return _why_overlap(history, facts.window)
    return FACTS[name].send, "not sent"


def _why_no_course(order: Order) -> tuple[str, str]:
    if not order.supply.source:
        return "prescription.days_supply", "neither days, end nor quantity with a fixed dose was sent"
    if order.supply.days_high == ENDLESS:
        return "prescription.days_supply", "the quantity gives a lowest number of days only"
    return "prescription.refills", "the number of refills was not sent"


def _why_no_dose(order: Order) -> tuple[str, str]:
    sent = order.request.prescription.dose_high
    if micrograms(sent, order.strength) is not None:
        return "prescription.route", "the route is not oral"
    if sent is None:
        return "prescription.dose_quantity", "no dose was sent"
    if not sent.unit:
        return "prescription.dose_quantity", "the dose has no unit"
    return "prescription.medication", f"the strength of one {sent.unit} is not known"


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


def _why_overlap(history: History, window: tuple[int, int, int]) -> tuple[str, str]:
    if not history.complete:
        return _why_history(history)
    start, low_end, high_end = window
    for event in history.events:
        if event.may_start < high_end and event.may_end > start:
            path = history.records[event.record].path
            if event.key == UNRECOGNISED:
                return f"{path}.medication", "a drug on the list was not recognised"
            if not (event.start < low_end and event.end > start):
                return path, "its days, or this order's, leave open whether they meet"
    return "patient.medications", "the history leaves it open"
