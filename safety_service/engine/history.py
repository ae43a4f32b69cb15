"""The patient's medications as events of the fold: recognised, dated, classed; nothing dropped without a word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from safety_service.domain import (
    CheckRequest,
    Condition,
    MatchedBy,
    Medication,
    MedicationRecord,
    NotProcessed,
    RecordKind,
    RecordStatus,
    ResolvedIngredient,
    ResolvedMedication,
)
from safety_service.engine import fold
from safety_service.engine.fold import ENDLESS, IN_CLASS, MAYBE_IN_CLASS, NONE, NOT_IN_CLASS
from safety_service.engine.supply import supply
from safety_service.knowledge.drug_names import DrugNames
from safety_service.knowledge.knowledge import Knowledge, Line
from safety_service.knowledge.resolve import Resolution, resolve
from safety_service.knowledge.value_sets import ConditionClasses

UNRECOGNISED = -1
_ALL_CLASSES = -1  # every bit set: it could be anything
SUBSTANCE = 7  # characters of an ATC code that names a substance; a shorter one names a group
PLANNED_BEHIND = 3
PREFERENCE = (2, 1, 0, 2)  # by RecordKind: dispensings before orders before statements and what is not said
_MUSCLE_SETS = ("back-pain", "muscle-spasm", "spasticity", "spasticity-diazepam")
_SPASTICITY_SETS = ("spasticity",)


def preference(record: MedicationRecord) -> int:
    """Of a drug only records of the lowest count as supply. What is only planned hides nothing that was done."""
    return PREFERENCE[record.kind] + (PLANNED_BEHIND if record.status is RecordStatus.PLANNED else 0)


class Event(NamedTuple):
    """One ingredient of one record. Spans are half-open day numbers; `days_*` is the supply it adds to its chain."""

    ingredient: str
    key: int
    bits: int
    may_bits: int
    record: int  # index in History.records
    start: int
    end: int
    may_start: int
    may_end: int
    chain: int  # -1: no relaxant
    supply_start: int  # NONE: cannot be placed
    days_low: int
    days_high: int
    role: int


class Recorded(NamedTuple):
    """A record that takes part: how to refer to it, and what it is called."""

    reference: str
    path: str
    display: str
    resolution: Resolution
    prescriber_id: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """All events in the order they became known, and everything said about the records along the way."""

    events: Sequence[Event]
    records: Sequence[Recorded]
    keys: dict[str, int]
    complete: bool
    unrecognised: bool  # a drug on the list could be anything
    open_chains: frozenset[int]  # relaxants with a supply that cannot be placed in time
    resolved: tuple[ResolvedMedication, ...]
    not_processed: tuple[NotProcessed, ...]
    conflicts: tuple[str, ...]
    state: Sequence[int] = ()  # of the fold after all events, where it was kept; `folded` makes it otherwise


@lru_cache(maxsize=8192)
def recognised(names: DrugNames, medication: Medication) -> Resolution:
    """What the medication is; remembered, since the same few drugs are asked for again and again."""
    return resolve(names, medication)


def recognise(knowledge: Knowledge, resolution: Resolution) -> list[tuple[str, int, int]]:
    """(ingredient, classes, possible classes) of each part of a resolved drug; "" for a part that is not recognised."""
    parts = [
        (each.name, bits, bits)
        for each in resolution.ingredients
        for bits in (knowledge.drugs.of_ingredient(each.name, resolution.route, resolution.form),)
    ]
    for code in resolution.classes_atc:
        bits = knowledge.drugs.of_atc(code)
        if not resolution.ingredients:
            parts.append((f"ATC {code}", bits, bits if len(code) == SUBSTANCE else _ALL_CLASSES))
        elif len(resolution.ingredients) == 1:
            name, own, _ = parts[0]
            parts[0] = (name, own | bits, own | bits)
    if resolution.unrecognised or resolution.otherwise or not parts:
        parts.append(("", 0, _ALL_CLASSES))
    return parts


def resolved(
    reference: str, medication_text: str, resolution: Resolution, lines: tuple[str, ...]
) -> ResolvedMedication:
    """How a drug was recognised, for the answer."""
    return ResolvedMedication(
        reference=reference,
        as_sent=medication_text,
        matched_by=resolution.matched_by,
        matched_on=resolution.matched_on,
        ingredients=resolution.ingredients,
        form=" ".join(filter(None, (resolution.route, resolution.form))),
        lines=lines,
        conflict=resolution.conflict,
    )


def display_name(resolution: Resolution) -> str:
    """What a recognised drug is called in an answer: never the words of the request."""
    codes = " / ".join(f"ATC {code}" for code in resolution.classes_atc)
    return " / ".join(resolution.names) or codes or "unrecognised drug"


def class_role(knowledge: Knowledge, line: Line, indications: tuple[Condition, ...]) -> int:
    """Whether a relaxant given for these indications counts as an antispasmodic of the class."""
    by_indication = line.file.relaxant == "by-indication"
    antispastic = "indication.spasticity" in line.statements
    if not by_indication and not antispastic:
        return IN_CLASS
    if not indications:
        return MAYBE_IN_CLASS
    bits, may_bits = indication_classes(knowledge, indications)
    spasticity = sets_mask(knowledge, ("spasticity", "spasticity-diazepam") if by_indication else _SPASTICITY_SETS)
    if bits & spasticity:
        return NOT_IN_CLASS
    if by_indication:
        muscle = sets_mask(knowledge, _MUSCLE_SETS)
        if not bits & muscle:
            return MAYBE_IN_CLASS if may_bits & muscle else NOT_IN_CLASS
    return MAYBE_IN_CLASS if may_bits & spasticity else IN_CLASS


def indication_classes(knowledge: Knowledge, indications: tuple[Condition, ...]) -> tuple[int, int]:
    """The classes of all indications together, and those that one not recognised, or coded too short, leaves open."""
    bits = may_bits = 0
    for each in indications:
        own, recognised = knowledge.conditions.of(each.codings)
        bits |= own
        may_bits |= knowledge.conditions.left_open(each.codings) if recognised else -1
    return bits, may_bits


@lru_cache(maxsize=256)
def _sets_mask(conditions: ConditionClasses, ids: tuple[str, ...]) -> int:
    return sum(conditions.bit(each) for each in ids)


def sets_mask(knowledge: Knowledge, ids: tuple[str, ...]) -> int:
    """The bits of some condition sets."""
    return _sets_mask(knowledge.conditions, ids)


def read_history(knowledge: Knowledge, request: CheckRequest) -> History:
    """The history as known on `request.as_of`, without the order under check."""
    listed = request.patient.medications
    most_days = knowledge.policy_numbers["policy.exposure.most_days"]
    records: list[Recorded] = []
    answers: list[ResolvedMedication] = []
    not_processed: list[NotProcessed] = []
    conflicts: list[str] = []
    found: list[tuple[int, int, str, int, MedicationRecord, Recorded]] = []
    later = 0
    for i, record in enumerate(listed.items):
        path = f"patient.medications.items[{i}]"
        if record.status is RecordStatus.ENTERED_IN_ERROR:
            continue
        if record.id and record.id == request.prescription.id:
            if _one_drug(knowledge.names, record.medication, request.prescription.medication):
                conflicts.append(f"{path} is the order under check itself and was not counted again")
                continue
            conflicts.append(f"{path} has the id of the order under check, but is another drug: it was counted")
        known_on = record.known_on if record.known_on is not None else record.start
        if known_on is not None and known_on > request.as_of and record.known_on is not None:
            later += 1
            continue
        resolution = recognised(knowledge.names, record.medication)
        text = record.medication.text or next((c.display or c.code for c in record.medication.codings), "")
        if resolution.matched_by is MatchedBy.NONE:
            not_processed.append(NotProcessed(f"{path}.medication", resolution.why_not))
        elif resolution.unrecognised:
            words = ", ".join(resolution.unrecognised)
            not_processed.append(NotProcessed(f"{path}.medication", f"not recognised beside the rest: {words}"))
        else:
            conflicts += [f"{path}.medication: {each}" for each in resolution.unread]
        if resolution.conflict:
            conflicts.append(f"{path}.medication: {resolution.conflict}")
        lines = tuple(line.id for name in resolution.names for line in knowledge.lines_of.get(name, ()))
        display = display_name(resolution)
        recorded = Recorded(record.id or path, path, display, resolution, record.prescriber_id)
        answers.append(resolved(recorded.reference, text, resolution, lines))
        found.append((NONE if known_on is None else known_on, _start(record) or NONE, record.id, i, record, recorded))
    if later:
        conflicts.append(f"{later} medication record(s) known only after as_of were not used")
    found.sort(key=lambda each: each[:4])

    kinds: dict[str, int] = {}
    for *_, record, recorded in found:
        for name in recorded.resolution.names:
            kinds[name] = min(kinds.get(name, 9), preference(record))
    keys: dict[str, int] = {}
    events: list[Event] = []
    open_chains: set[int] = set()
    for *_, record, recorded in found:
        at = len(records)
        records.append(recorded)
        for name, bits, may_bits in recognise(knowledge, recorded.resolution):
            event = event_of(
                knowledge, request.as_of, record, recorded, at, name, bits, may_bits, kinds, keys, most_days
            )
            if event.chain >= 0 and event.days_high > 0 and event.supply_start == NONE:
                open_chains.add(event.chain)
            events.append(event)
    return History(
        events=tuple(events),
        records=tuple(records),
        keys=keys,
        complete=listed.is_complete,
        unrecognised=any(event.key == UNRECOGNISED for event in events),
        open_chains=frozenset(open_chains),
        resolved=tuple(answers),
        not_processed=tuple(not_processed),
        conflicts=tuple(conflicts),
    )


def _one_drug(names: DrugNames, one: Medication, other: Medication) -> bool:
    """Whether two may be the same drug: by an ingredient of both, or because one is not recognised."""
    if one == other:
        return True
    found, sought = set(recognised(names, one).names), set(recognised(names, other).names)
    return not found or not sought or not found.isdisjoint(sought)


def _start(record: MedicationRecord) -> int | None:
    return record.start if record.start is not None else record.known_on


def event_of(
    knowledge: Knowledge,
    as_of: int,
    record: MedicationRecord,
    recorded: Recorded,
    at: int,
    name: str,
    bits: int,
    may_bits: int,
    kinds: dict[str, int],
    keys: dict[str, int],
    most_days: int,
) -> Event:
    """What one ingredient (`name`) of a record comes to on the day `as_of`, `kinds` being what counts of each drug."""
    key = keys.setdefault(name, len(keys)) if name else UNRECOGNISED
    strength = next((each for each in recorded.resolution.ingredients if each.name == name), None)
    start = _start(record)
    given = supply(record, start, strength, most_days)
    lines = knowledge.lines_of.get(name, ())
    begin, end, may_begin, may_end = _span(
        record, start, given.course_low, given.course_high, bool(given.source), as_of, bool(lines)
    )
    chain, role, days_low, days_high = -1, NOT_IN_CLASS, 0, 0
    if lines and kinds.get(name) == preference(record):
        chain = lines[0].chain
        role = class_role(knowledge, lines[0], record.indications)
        days_low, days_high = given.course_low, given.course_high
        if not given.source and start is not None:
            days_low = max(1, min(end, as_of) - start) if end > start else 0
            if begin > end:
                start = None  # it ends before it starts, and no number of days says which is to be believed
        if _cut_short(record):
            days_low = min(days_low, 1)
        if _not_begun(record, start, as_of):
            days_low = days_high = 0
    return Event(
        ingredient=name,
        key=key,
        bits=bits,
        may_bits=may_bits,
        record=at,
        start=begin,
        end=end,
        may_start=may_begin,
        may_end=may_end,
        chain=chain,
        supply_start=NONE if start is None else start,
        days_low=days_low,
        days_high=days_high,
        role=role,
    )


def _cut_short(record: MedicationRecord) -> bool:
    """The record may have ended before its days were over, on a day that is not told."""
    return record.status in (RecordStatus.STOPPED, RecordStatus.UNKNOWN) and record.end is None


def _not_begun(record: MedicationRecord, start: int | None, as_of: int) -> bool:
    """The record is planned, and no later day is told for it: nothing of it has been taken yet."""
    return record.status is RecordStatus.PLANNED and (start is None or start < as_of)


def _span(
    record: MedicationRecord,
    start: int | None,
    course_low: int,
    course_high: int,
    has_days: bool,
    as_of: int,
    relaxant: bool,
) -> tuple[int, int, int, int]:
    """When the drug is surely, and when it is possibly, being taken.

    Of an end before the start one of the two is wrong, and either can be: no day is sure (the span says what was sent),
    and all are possible until the days from the start are over. What ends on the day of its start was never taken.
    A record that became known after it had ended, and tells no start, began on some day before.
    """
    if start is not None and record.end is not None and record.end <= start:
        if record.start is None:
            return NONE, NONE, NONE, record.end
        if record.end < start:
            runs_out = has_days and record.status is not RecordStatus.ACTIVE
            return start, record.end, NONE, min(start + course_high, ENDLESS) if runs_out else ENDLESS
    if _not_begun(record, start, as_of):
        may_end = ENDLESS if record.end is None or record.end <= as_of else record.end
        if start is None:
            return NONE, NONE, as_of, may_end
        return as_of, min(as_of + course_low, may_end), as_of, may_end  # meant to begin, and the day has come
    over = record.status in (RecordStatus.COMPLETED, RecordStatus.STOPPED)
    active = record.status is RecordStatus.ACTIVE
    if has_days and start is not None:
        end = record.end if record.end is not None else start + course_low
        may_end = record.end if record.end is not None else min(start + course_high, ENDLESS)
        if record.status is RecordStatus.UNKNOWN and record.end is None and may_end <= as_of:
            may_end = ENDLESS  # as of one that is active
        if _cut_short(record):
            return start, start + 1, start, may_end
        if active and record.end is None and end <= as_of:
            may_end = ENDLESS  # "active" although its supply has run out: it may still be taken
        return start, end, start, may_end
    if over:
        may_begin = NONE if start is None else start
        if record.end is not None:
            if start is None and record.end <= as_of:  # taken until its end, whenever it began
                return record.end - 1, record.end, NONE, record.end
            return NONE, NONE, may_begin, record.end
        if may_begin > as_of:
            return NONE, NONE, may_begin, ENDLESS  # over before it begins: one of the two is wrong
        return NONE, NONE, may_begin, max(as_of, may_begin + 1)
    if record.status is RecordStatus.UNKNOWN:
        return NONE, NONE, NONE if start is None else start, ENDLESS if record.end is None else record.end
    if start is not None:
        end = ENDLESS if record.end is None else record.end
        handed_out = record.kind in (RecordKind.DISPENSING, RecordKind.ORDER)
        if relaxant and handed_out and not active and record.end is None:
            return start, start + 1, start, ENDLESS  # for how many days is not told, and how long it was taken counts
        return start, end, start, end
    if record.end is not None:
        sure = active and as_of < record.end
        return (as_of, record.end, NONE, record.end) if sure else (NONE, NONE, NONE, record.end)
    if active or record.kind in (RecordKind.STATEMENT, RecordKind.UNSPECIFIED):
        return NONE, ENDLESS, NONE, ENDLESS  # taken now, no end known
    return NONE, NONE, NONE, ENDLESS


@lru_cache(maxsize=64)
def empty(capacity: int) -> tuple[int, ...]:
    """The state of an empty history with room for `capacity` exposures."""
    state = [0] * fold.size(capacity)
    fold.clear(state, 0, capacity)
    return tuple(state)


def folded(history: History, gap: int, extra: int) -> list[int]:
    """The state of the fold after all events, with room for `extra` more exposures."""
    if history.state:
        return with_room(history.state, extra)
    state = list(empty(len(history.events) + extra))
    for event in history.events:
        add(state, event, gap)
    return state


def with_room(state: Sequence[int], extra: int) -> list[int]:
    """The same state, with room for `extra` more exposures."""
    wider = [*state, *[0] * (extra * fold.EXPOSURE)]
    wider[fold.CAPACITY] += extra
    return wider


def add(state: list[int], event: Event, gap: int) -> None:
    """One event more."""
    fold.expose(
        state,
        0,
        event.key,
        event.bits,
        event.may_bits,
        event.record,
        event.start,
        event.end,
        event.may_start,
        event.may_end,
        event.start,
    )
    if event.chain >= 0 and event.supply_start != NONE and event.days_high > 0:
        fold.supply(
            state,
            0,
            event.chain,
            event.record,
            event.supply_start,
            event.days_low,
            event.days_high,
            event.role,
            gap,
        )


def strength_of(resolution: Resolution, ingredient: str) -> ResolvedIngredient | None:
    """The strength of one ingredient, if the product tells."""
    return next((each for each in resolution.ingredients if each.name == ingredient), None)
