"""All facts of one order as the rules see them: the order, the history folded, the patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from safety_service.domain import (
    Answer,
    CheckRequest,
    Prescription,
    Quantity,
    ResolvedIngredient,
    TreatmentStatus,
)
from safety_service.engine import fold
from safety_service.engine.allergies import put_allergies
from safety_service.engine.dosage_text import complete
from safety_service.engine.fold import ENDLESS, IN_CLASS, MAYBE_IN_CLASS, NONE, NOT_IN_CLASS
from safety_service.engine.history import (
    UNRECOGNISED,
    Event,
    History,
    Recorded,
    add,
    display_name,
    folded,
    recognise,
    sets_mask,
    strength_of,
)
from safety_service.engine.patient import PatientFacts
from safety_service.engine.problems import Problems
from safety_service.engine.route import route_not_oral
from safety_service.engine.supply import SIG, Dose, Supply, dose, micrograms, quantity_against_days, supply
from safety_service.engine.use import Use, put_use
from safety_service.knowledge.knowledge import Knowledge, Line
from safety_service.knowledge.resolve import Resolution
from safety_service.knowledge.schema import Product
from safety_service.knowledge.value_sets import DrugClasses
from safety_service.rules.vocabulary import (
    EITHER,
    HIGHEST,
    NO,
    PARTNER_CLASSES,
    SLOTS,
    YES,
    overlap_fact,
    put_number,
)

CLASS_OF_FACT = {overlap_fact(each): each for each in PARTNER_CLASSES}
COUNTED = "cns-active"
MAOI = "maoi"
NOT_THERE = -2  # the key of an ingredient that the history does not hold
OUD_DRUGS = "opioid-use-disorder-treatment"
_MASK = (EITHER, NO, YES)  # by Answer
Window = tuple[int, int, int]  # days: start, sure end, possible end


class Order(NamedTuple):
    """The order under check, recognised and counted, before any rule. `told_by`: all of it that words depend on."""

    request: CheckRequest
    resolution: Resolution
    recorded: Recorded
    start: int
    relaxants: tuple[str, ...]  # ingredients; more than one when the text names several drugs
    relaxant: str  # the one that is looked at, "" when the order holds none
    strength: ResolvedIngredient | None
    supply: Supply
    notes: tuple[str, ...]
    told_by: tuple[object, ...]
    conflicts: tuple[str, ...]  # between the sig text and the fields
    drugs: DrugClasses  # what the class bits of events stand for

    @property
    def low_end(self) -> int:
        return min(self.start + self.supply.course_low, ENDLESS)

    @property
    def high_end(self) -> int:
        return min(self.start + self.supply.course_high, ENDLESS)


class LineFacts(NamedTuple):
    """The facts for one product line, and what they were made from.

    `window` holds the days that a partner must share. Where `runs` is set it is only their hull: their first day, last
    sure end (NONE when no day is sure) and last possible end. Between two runs the relaxant is not taken, so whether a
    drug shares a day is asked of the runs (`shares`), never of the hull.
    """

    line: Line
    values: list[int]
    order: Order
    history: History
    patient: PatientFacts
    dose: Dose
    window: Window
    new_start: Answer
    conflicts: tuple[str, ...]
    episode_records: tuple[int, ...]  # records of the same episode, latest first
    evidence: dict[str, tuple[str, ...]]  # codes and records behind facts, by name of the fact
    runs: tuple[Window, ...] = ()  # where the order is the partner: the days of the relaxant in use
    in_use: tuple[Event, ...] = ()  # there: the relaxant's records that can share a day with the order

    def shares(self, event: Event) -> bool:
        """The event surely shares a day with the relaxant."""
        return any(shares(event, each) for each in self.runs or (self.window,))


def read_order(knowledge: Knowledge, request: CheckRequest, resolution: Resolution) -> Order:
    """The order's relaxant, start and supply, with what its sig text adds."""
    prescription = request.prescription
    start = prescription.start if prescription.start is not None else prescription.ordered_on
    notes: list[str] = []
    if start is None:
        start = request.as_of
        notes.append("no start date was sent: as_of was used")
    relaxants = tuple([name for name in resolution.names if name in knowledge.lines_of])
    relaxant = relaxants[0] if relaxants else ""
    strength = strength_of(resolution, relaxant)
    if strength is None and len(resolution.ingredients) == 1:
        strength = resolution.ingredients[0]
    most_days = knowledge.policy_numbers["policy.exposure.most_days"]
    completed = complete(knowledge.sig_words, prescription, strength)
    if completed.prescription is not prescription:
        prescription = completed.prescription
        request = replace(request, prescription=prescription)
    if len(relaxants) > 1:
        notes.append(several_relaxants(relaxants))
        counted = _without_weights(prescription)
        if counted != prescription:
            notes.append("the dose was not used: milligrams do not tell of which relaxant they are")
            prescription = counted
            request = replace(request, prescription=prescription)
    given = supply(prescription, start, strength, most_days, completed.days)
    notes += completed.read_notes(given.source == SIG)
    recorded = Recorded(
        prescription.id or "prescription",
        "prescription",
        display_name(resolution),
        resolution,
        prescription.prescriber_id,
    )
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
    notes += given.notes
    return Order(
        request, resolution, recorded, start, relaxants, relaxant, strength, given, tuple(notes), told_by,
        completed.conflicts, knowledge.drugs,
    )  # fmt: skip


def relaxants_without_rules(knowledge: Knowledge, parts: Sequence[tuple[str, int, int]]) -> tuple[str, ...]:
    """Of the parts of a drug, the relaxants that are not of the ten, by whatever route: only their class is known."""
    drugs = knowledge.drugs
    relaxant = drugs.bit("relaxant")
    known = [(name, bits | drugs.of_ingredient(name, "oral")) for name, bits, may_bits in parts if bits == may_bits]
    return tuple([name for name, bits in known if bits & relaxant and name not in knowledge.lines_of])


def several_relaxants(names: tuple[str, ...]) -> str:
    """What to tell of an order that names more than one."""
    return f"the order names {len(names)} muscle relaxants ({', '.join(names)}): send each as an order of its own"


def _without_weights(prescription: Prescription) -> Prescription:
    """The prescription without doses in milligrams, which do not tell of which of several relaxants they are."""

    def counted(quantity: Quantity | None) -> Quantity | None:
        return quantity if micrograms(quantity, None) is None else None

    low, high = counted(prescription.dose_low), counted(prescription.dose_high)
    most, last = counted(prescription.daily_most), counted(prescription.last_dose)
    return replace(prescription, dose_low=low, dose_high=high, daily_most=most, last_dose=last)


def each_relaxant(order: Order) -> tuple[Order, ...]:
    """The order as one of each of its relaxants, the others in it being drugs taken with that one."""
    others = order.relaxants[1:]
    return order, *[order._replace(relaxant=name, strength=strength_of(order.resolution, name)) for name in others]


def candidate_lines(knowledge: Knowledge, order: Order) -> tuple[Line, ...]:
    """The product lines the order can be: by release, by strength, else by which strengths can make up the dose."""
    lines = knowledge.lines_of.get(order.relaxant, ())
    if len(lines) < 2:
        return lines
    ordered = order.request.prescription
    single = micrograms(ordered.dose_high, order.strength)
    fits = [
        line for line in lines if any(product_fits(p, order.resolution, order.strength) for p in line.file.products)
    ]
    if len(fits) > 1 and single is not None:
        made_up = [line for line in fits if any(_makes_up(p, single) for p in line.file.products)]
        fits = made_up or fits
    return tuple(fits) or lines


def product_fits(product: Product, resolution: Resolution, strength: ResolvedIngredient | None) -> bool:
    """Whether a name can mean this product, by release and strength as far as it tells them."""
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
    values = patient.values.copy()
    use = put_use(knowledge, order.request, patient.problems, line, values)
    own_evidence = put_allergies(knowledge, patient.allergies, order.resolution, line, values)
    given = put_order(knowledge, order, lines_open, values)
    past = put_history(knowledge, order, history, patient.problems, line, class_role_of(use), values)
    own_evidence["duplicate_order"] = past.doubles
    return LineFacts(
        line=line,
        values=values,
        order=order,
        history=history,
        patient=patient,
        dose=given,
        window=past.window,
        new_start=past.new_start,
        conflicts=(*([use.conflict] if use.conflict else ()), *past.conflicts),
        episode_records=past.episode_records,
        evidence=patient.evidence | {name: found for name, found in own_evidence.items() if found},
    )


def class_role_of(use: Use) -> int:
    """How an order used so counts for the class."""
    if use.exempt == YES or use.relaxant == NO:
        return NOT_IN_CLASS
    return IN_CLASS if (use.exempt, use.relaxant) == (NO, YES) else MAYBE_IN_CLASS


def put_order(knowledge: Knowledge, order: Order, lines_open: bool, values: list[int]) -> Dose:
    """Puts the facts of the order by itself; nothing of them depends on its dates, but for their distance."""
    prescription = order.request.prescription
    most_days = knowledge.policy_numbers["policy.exposure.most_days"]
    values[SLOTS["code_text_conflict"]] = YES if order.resolution.conflict else NO
    values[SLOTS["form_open"]] = YES if lines_open else NO
    route = route_not_oral(prescription.route, order.resolution.route)
    values[SLOTS["route_not_oral"]] = route
    given = dose(prescription, order.strength)
    if route == NO:
        products = [each for line in knowledge.lines_of.get(order.relaxant, ()) for each in line.file.products]
        times_open = not_the_release_read(products, order.resolution)
        _put_dose(prescription, given, times_open, values)
    over, short = quantity_against_days(prescription, order.start, order.strength, most_days)
    values[SLOTS["quantity_over"]] = _MASK[over]
    values[SLOTS["quantity_short"]] = _MASK[short]
    last = micrograms(prescription.last_dose, order.strength)
    if last is not None:
        put_number(values, "last_dose_mg", last, last)
    days = order.supply
    put_number(values, "supply_days", days.days_low, days.days_high)
    put_number(values, "course_days", days.course_low, days.course_high)
    return given


class Past(NamedTuple):
    """What the history says of an order besides the facts: as in `LineFacts`, and the records of the same drug."""

    window: Window
    new_start: Answer
    conflicts: tuple[str, ...]
    episode_records: tuple[int, ...]
    doubles: tuple[str, ...]


def put_history(
    knowledge: Knowledge,
    order: Order,
    history: History,
    problems: Problems,
    line: Line,
    role: int,
    values: list[int],
) -> Past:
    """Puts the facts that the history, folded, says of an order of the line's drug."""
    gap = knowledge.policy_numbers["policy.exposure.gap_days"]
    days = order.supply
    conflicts: list[str] = []
    state = folded(history, gap, extra=len(order.resolution.ingredients) + 1)
    for event in order_events(knowledge, order, history, line.ingredient):
        add(state, event, gap)
    key = history.keys.get(line.ingredient, NOT_THERE)
    out = [0] * (fold.OBSERVED + fold.OVERLAPPED)
    fold.observe(state, 0, line.chain, key, order.start, days.course_low, days.course_high, role, gap, out, 0)
    new_start = _exposure(history, order, line, out, values, conflicts)
    window = order.start, order.low_end, order.high_end
    _overlaps(knowledge, order, history, problems, line, state, key, (window,), values)
    doubles = _duplicate_order(order, history, line, window)
    values[SLOTS["duplicate_order"]] = doubles.answer
    return Past(
        window,
        new_start,
        tuple(conflicts),
        _episode(history, line, out[fold.BEFORE_LOW], out[fold.PREVIOUS_RECORD]),
        doubles.evidence,
    )


def not_the_release_read(products: Sequence[Product], resolution: Resolution) -> bool:
    """A combination that is not said to be of extended release, the labels read being of such products alone.

    How often such a combination is taken, they do not say.
    """
    combined = len(resolution.ingredients) > 1 and resolution.release != "er"
    return combined and all(each.release == "er" for each in products)


def _put_dose(prescription: Prescription, given: Dose, times_open: bool, values: list[int]) -> None:
    """Puts how much and how often, an order's highest. Half a dose more in 24 hours is counted as one."""
    if given.single_high is not None:
        put_number(values, "single_dose_mg", given.single_high, given.single_high)
    if given.daily_high is not None:
        put_number(values, "daily_dose_mg", given.daily_high, given.daily_high)
    if prescription.frequency is not None and not times_open:
        often = prescription.frequency
        most = -(-often.times_high * 24 // often.period_hours)
        if given.daily_most is not None and given.single_low:  # the stated maximum of a day allows no more doses
            most = min(most, max(1, given.daily_most // given.single_low))
        put_number(values, "doses_per_day", most, most)
        interval = often.period_hours // often.times_high
        put_number(values, "dose_interval_hours", interval, interval)


class Doubled(NamedTuple):
    """Whether another order supplies the same ingredient on the same days, and the records that say so."""

    answer: int
    evidence: tuple[str, ...]


def _duplicate_order(order: Order, history: History, line: Line, window: Window) -> Doubled:
    """Another product or another prescriber: a refill of the same by the same is none."""
    found: list[str] = []
    answer = NO if history.complete and not history.unrecognised else EITHER
    for event in history.events:
        if event.ingredient != line.ingredient:
            continue
        recorded = history.records[event.record]
        differs = _differs(order, recorded, line.ingredient)
        if differs == YES and shares(event, window):
            found.append(recorded.reference)
        elif differs != NO and event.may_start < window[2] and event.may_end > window[0]:
            answer = EITHER
    return Doubled(YES if found else answer, tuple(found))


def _differs(order: Order, recorded: Recorded, ingredient: str) -> int:
    """Whether a record of the same ingredient is of another product or another prescriber."""
    mine, other = order.recorded.prescriber_id, recorded.prescriber_id
    if mine and other and mine != other:
        return YES
    one, two = order.resolution, recorded.resolution
    if one.release and two.release and one.release != two.release:
        return YES
    strengths = strength_of(one, ingredient), strength_of(two, ingredient)
    if None not in strengths and len({each and each.strength_ug for each in strengths} - {None}) == 2:
        return YES
    if set(one.names) != set(two.names):
        return YES
    return NO if mine and other else EITHER


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
    runs = _runs(order, events)
    state = folded(history, gap, extra=len(order.resolution.ingredients) + 1)
    for event in order_events(knowledge, order, history, ""):
        add(state, event, gap)
    key = history.keys.get(line.ingredient, NOT_THERE)
    own = may_own = 0
    for name, bits, may in recognise(knowledge, order.resolution):
        own |= bits
        may_own |= may if name else -1
    _overlaps(knowledge, order, history, patient.problems, line, state, key, runs, values, own, may_own)
    return LineFacts(
        line=line,
        values=values,
        order=order,
        history=history,
        patient=patient,
        dose=Dose(),
        window=(min(each[0] for each in runs), max(each[1] for each in runs), max(each[2] for each in runs)),
        new_start=Answer.UNKNOWN,
        conflicts=(),
        episode_records=(),
        evidence=patient.evidence,
        runs=runs,
        in_use=tuple(events),
    )


def _runs(order: Order, events: list[Event]) -> tuple[Window, ...]:
    """The days that the order shares with a relaxant in use (its `events`): runs that are sure, then what is possible.

    A day between two runs is free of the relaxant: what is taken then does not meet it.
    """
    sure: list[Window] = []
    possible: list[Window] = []
    for e in events:
        start, low_end, high_end = max(order.start, e.start), min(order.low_end, e.end), min(order.high_end, e.may_end)
        if start < low_end:
            sure.append((start, low_end, high_end))
        if not start < low_end or e.may_start < e.start:
            first, last = may_share(order, e)
            possible.append((first, NONE, last))  # no day is sure: nothing shares one
    runs: list[Window] = []
    for start, low_end, high_end in sorted(sure):
        if runs and start <= runs[-1][1]:
            runs[-1] = runs[-1][0], max(runs[-1][1], low_end), max(runs[-1][2], high_end)
        else:
            runs.append((start, low_end, high_end))
    if possible:
        runs.append((min(start for start, _, _ in possible), NONE, max(end for _, _, end in possible)))
    return tuple(runs)


def may_share(order: Order, event: Event) -> tuple[int, int]:
    """The days, half-open, on which a drug that can share a day with the order possibly does.

    All of the order's where the drug's end is not after its start: such days contradict, and none can be believed.
    """
    if event.may_end <= event.may_start:
        return order.start, order.high_end
    return max(order.start, event.may_start), min(order.high_end, event.may_end)


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
    problems: Problems,
    line: Line,
    state: list[int],
    key: int,
    windows: tuple[Window, ...],
    values: list[int],
    own: int = -1,
    may_own: int = -1,
) -> None:
    """Puts the facts about drugs sharing a day of one of the `windows`.

    Pair facts ask of the classes alone that the order is in (`own`), or could be in (`may_own`).
    """
    drugs = knowledge.drugs
    opioid, benzodiazepine, counted = drugs.bit("opioid"), drugs.bit("benzodiazepine"), drugs.bit(COUNTED)
    relaxant = 1 if drugs.of_ingredient(line.ingredient, "oral") & counted else 0
    out = [0] * fold.OVERLAPPED
    fold.overlaps(state, 0, key, relaxant, *windows[0], opioid, benzodiazepine, counted, out, 0)
    for window in windows[1:]:
        more = [0] * fold.OVERLAPPED
        fold.overlaps(state, 0, key, relaxant, *window, opioid, benzodiazepine, counted, more, 0)
        out = _either(out, more)
    sure = out[fold.SURE_BITS]
    complete = history.complete
    possible = out[fold.POSSIBLE_BITS] if complete or may_own != -1 else -1
    if sure or possible:
        sure_here, possible_here = sure & own, possible & may_own
        for slot, bit in _class_slots(drugs):
            values[slot] = YES if sure_here & bit else EITHER if possible_here & bit else NO
    else:
        for slot, _ in _class_slots(drugs):
            values[slot] = NO
    _put_since_maoi(knowledge, order, history, state, own, values)
    pair = out[fold.PAIR]
    if not may_own & (opioid | benzodiazepine):
        pair = NO
    elif (pair == NO and not complete) or (pair == YES and not own & (opioid | benzodiazepine)):
        pair = EITHER
    values[SLOTS["overlap_opioid_and_benzodiazepine"]] = pair
    treats = NO
    if sure & own & drugs.bit(OUD_DRUGS):
        treats = _use_disorder(knowledge, order, history, problems, line, windows, own)
    values[SLOTS["overlap_opioid_use_disorder"]] = treats
    low = out[fold.COUNT_LOW] if own & counted else 0
    high = 0 if not may_own & counted else out[fold.COUNT_HIGH] if complete else HIGHEST
    put_number(values, "cns_active_count", low, high)


def _either(one: list[int], other: list[int]) -> list[int]:
    """What `fold.overlaps` says of two windows together."""
    found = [0] * fold.OVERLAPPED
    for bits in (fold.SURE_BITS, fold.POSSIBLE_BITS):
        found[bits] = one[bits] | other[bits]
    for most in (fold.COUNT_LOW, fold.COUNT_HIGH):
        found[most] = max(one[most], other[most])
    pairs = {one[fold.PAIR], other[fold.PAIR]}
    found[fold.PAIR] = next(each for each in (fold.YES, fold.OPEN, fold.NO) if each in pairs)
    return found


@lru_cache(maxsize=16)
def _class_slots(drugs: DrugClasses) -> tuple[tuple[int, int], ...]:
    """(slot, bit) of each fact about a class of partners."""
    return tuple((SLOTS[fact], drugs.bit(set_id)) for fact, set_id in CLASS_OF_FACT.items())


def _put_since_maoi(
    knowledge: Knowledge, order: Order, history: History, state: list[int], own: int, values: list[int]
) -> None:
    """Days without an MAO inhibitor before the order; of an order that is the partner itself it is not asked."""
    if own != -1:
        put_number(values, "days_since_maoi", HIGHEST, HIGHEST)
        return
    out = [0, 0]
    fold.since(state, 0, knowledge.drugs.bit(MAOI), order.start, out, 0)
    put_number(values, "days_since_maoi", out[0] if history.complete else 0, out[1])


def _use_disorder(
    knowledge: Knowledge,
    order: Order,
    history: History,
    problems: Problems,
    line: Line,
    windows: tuple[Window, ...],
    own: int,
) -> int:
    """Whether a sharing opioid treats opioid use disorder: by its indication, its ATC code or the problem list."""
    drug_bit = knowledge.drugs.bit(OUD_DRUGS) & own
    disorder = sets_mask(knowledge, ("opioid-use-disorder",))
    answer = NO
    for event in (*history.events, *order_events(knowledge, order, history, line.ingredient)):
        if event.bits & drug_bit and any(shares(event, window) for window in windows):
            mine = event.record < len(history.records)
            codes = (history.records[event.record] if mine else order.recorded).resolution.classes_atc
            if problems.ever & disorder or any(knowledge.drugs.of_atc(code) & drug_bit for code in codes):
                return YES
            answer = EITHER
    return answer


def shares(event: Event, window: Window) -> bool:
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


def class_episode_records(knowledge: Knowledge, facts: LineFacts) -> tuple[int, ...]:
    """The records of the class episode before the order, latest first: from the day on which the episode began."""
    gap = knowledge.policy_numbers["policy.exposure.gap_days"]
    order, history = facts.order, facts.history
    state = folded(history, gap, extra=0)
    first, end = state[fold.CLASS + fold.START], state[fold.CLASS + fold.END]
    if end == NONE or not first <= order.start <= end + gap:
        return ()
    of_class = [each for each in history.events if each.chain >= 0 and each.role == IN_CLASS and each.days_low > 0]
    return tuple([each.record for each in reversed(of_class) if first <= each.supply_start])
