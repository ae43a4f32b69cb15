"""Alerts as the audit writes them, against days counted one by one: days of courses, episodes and stock, drugs that
meet, and the records named as evidence.

`tests/engine/simulator.py` takes tablets one a day; who fires on that, in which order, is written here from the rule
catalogue. Nothing of the fold or of the rules is asked. Supplies have no cap on what is carried forward: the catalogue
sets none.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from safety_service.engine import fold
from tests.audit.records import run, table
from tests.engine.simulator import Supplied, Taken, Truth, share, simulate

GAP, LIMIT, REASSESS, IN_HAND, ELDERLY, CNS_ACTIVE = 7, 21, 14, 7, 65, 3
OPIOID, BENZODIAZEPINE, RELAXANT, COUNTED = 1, 2, 4, 8
UNTOLD = 300  # days of what has no end: it is being taken


class Drug(NamedTuple):
    """A drug as a file names it, what it is, and the relaxant's line and whether its label limits the days."""

    name: str
    classes: int
    line: str = ""
    labelled: bool = False


DRUGS = (
    Drug("cyclobenzaprine 5 mg tablet", RELAXANT | COUNTED, "cyclobenzaprine-ir", True),
    Drug("carisoprodol 350 mg tablet", RELAXANT | COUNTED, "carisoprodol", True),
    Drug("methocarbamol 500 mg tablet", RELAXANT | COUNTED, "methocarbamol"),
    Drug("tizanidine 4 mg tablet", RELAXANT | COUNTED, "tizanidine"),
    Drug("oxycodone 5 mg tablet", OPIOID | COUNTED),
    Drug("codeine 30 mg tablet", OPIOID | COUNTED),
    Drug("lorazepam 1 mg tablet", BENZODIAZEPINE | COUNTED),
    Drug("gabapentin 300 mg capsule", COUNTED),
    Drug("sertraline 50 mg tablet", COUNTED),
    Drug("lisinopril 10 mg tablet", 0),
)
TIZANIDINE = 3
LINES = {drug.line: at for at, drug in enumerate(DRUGS) if drug.line}
SPASM, SPASTICITY = "M62.830", "G35"
DURATION = ("duration.course", "duration.course-guideline", "duration.episode", "duration.class-episode",
            "duration.third-week", "duration.early-refill")  # fmt: skip
MEETING = ("sedation.triple", "sedation.opioid", "sedation.benzodiazepine", "sedation.three-cns-active",
           "duplicate.class")  # fmt: skip
FIELDS = ("patient", "record", "kind", "known_on", "start", "drug", "days_supply", "refills", "indication", "stopped")


@dataclass(frozen=True)
class Record:
    """A row of a file (`told_*`: None where it leaves the field empty), and what truly was."""

    id: str
    known: int
    start: int
    drug: int
    order: bool
    told_days: int | None
    told_refills: int | None
    days: int
    refills: int
    indication: str
    stopped: int | None = None

    @property
    def course(self) -> int:
        return self.days * (1 + self.refills)

    @property
    def in_class(self) -> bool:
        return bool(DRUGS[self.drug].line) and self.indication != SPASTICITY

    @property
    def supplied(self) -> Supplied:
        return Supplied(self.drug, self.start, self.course, self.in_class)

    @property
    def ordered(self) -> Taken:
        return Taken(self.drug, DRUGS[self.drug].classes, self.start, self.start + self.course)

    def taken(self, day: int) -> Taken:
        """As known on a day: what was stopped goes on until it is told."""
        whole = self.ordered
        return whole if self.stopped is None or self.stopped > day else replace(whole, end=min(whole.end, self.stopped))


class Person(NamedTuple):
    """A patient and the records, in the order they became known."""

    id: str
    age: int
    records: list[Record]


# --- what has to come out ------------------------------------------------------------------------------------------


class Expected(NamedTuple):
    """An alert: the numbers it tells, the records it must name, and from each further group one."""

    facts: dict[str, int]
    evidence: frozenset[str] = frozenset()
    one_of_each: tuple[frozenset[str], ...] = ()


Alerts = dict[tuple[str, str], Expected]  # by rule and line


def supplies(person: Person, at: int) -> list[Record]:
    """Supplies known before the record: of a drug its dispensings if there are any, else its orders."""
    before = [each for each in person.records[:at] if DRUGS[each.drug].line]
    dispensed = {each.drug for each in before if not each.order}
    return [each for each in before if not (each.order and each.drug in dispensed)]


def exposure(person: Person, at: int, history: Sequence[Record]) -> Truth:
    return simulate([each.supplied for each in history], person.records[at].supplied, GAP)


def expected(person: Person, at: int) -> Alerts:
    record = person.records[at]
    if DRUGS[record.drug].line:
        return {**_durations(person, at), **_meeting(person, at, record.drug)}
    return {
        key: alert
        for drug in LINES.values()
        if any(each.drug == drug for each in person.records[:at])
        for key, alert in _meeting(person, at, drug).items()
    }


def _durations(person: Person, at: int) -> Alerts:
    record = person.records[at]
    drug, history = DRUGS[record.drug], supplies(person, at)
    truth = exposure(person, at, history)
    episode = frozenset(history[i].id for i in truth.companions)
    found: Alerts = {}
    exempt = record.indication == SPASTICITY
    longest = max(record.course, truth.episode)
    if record.course > LIMIT and not exempt:
        rule = "duration.course" if drug.labelled else "duration.course-guideline"
        found[rule, drug.line] = Expected({"course_days": record.course})
    elif truth.episode > LIMIT and not exempt:
        found["duration.episode", drug.line] = Expected({"episode_days": truth.episode}, episode)
    elif truth.class_days > LIMIT and not exempt:
        of_class = frozenset(history[i].id for i in truth.class_companions)
        found["duration.class-episode", drug.line] = Expected({"class_episode_days": truth.class_days}, of_class)
    elif drug.labelled and longest > REASSESS:
        days = {"course_days": record.course, "episode_days": truth.episode}
        over = {name: value for name, value in days.items() if value > REASSESS}
        found["duration.third-week", drug.line] = Expected(over, episode if "episode_days" in over else frozenset())
    if truth.in_hand > IN_HAND:
        found["duration.early-refill", drug.line] = Expected({"days_in_hand": truth.in_hand}, episode)
    return found


def _meeting(person: Person, at: int, relaxant: int) -> Alerts:
    """Of the relaxant, ordered or in use, and the drugs that share its days with the order."""
    record, line = person.records[at], DRUGS[relaxant].line
    mine = record.drug == relaxant
    before = [(each, each.taken(record.known)) for each in person.records[:at]]
    others = [(each, taken) for each, taken in before if each.drug != relaxant and taken.start < taken.end]
    days = set(range(record.start, record.start + record.course))
    shared = [(each, days & set(range(taken.start, taken.end))) for each, taken in before if each.drug == relaxant]
    if not mine:
        days = set().union(*(both for _, both in shared))
        others.append((record, record.ordered))
    if not days:
        return {}
    truth = _shared([taken for _, taken in others], relaxant, days)
    asked = COUNTED | OPIOID | BENZODIAZEPINE | RELAXANT if mine else DRUGS[record.drug].classes

    def meet(classes: int) -> tuple[frozenset[str], ...]:
        groups: dict[int, set[str]] = defaultdict(set)
        for each, taken in others:
            if taken.classes & classes and days & set(range(taken.start, taken.end)):
                groups[each.drug].add(each.id)
        groups.pop(-1 if mine else record.drug, None)
        in_use = () if mine else (frozenset(each.id for each, both in shared if both),)
        return (*in_use, *(frozenset(group) for group in groups.values()))

    found: Alerts = {}
    if truth.pair and asked & (OPIOID | BENZODIAZEPINE):
        found["sedation.triple", line] = Expected({}, one_of_each=meet(OPIOID | BENZODIAZEPINE))
    else:
        for rule, bit in (("sedation.opioid", OPIOID), ("sedation.benzodiazepine", BENZODIAZEPINE)):
            if truth.classes & asked & bit:
                found[rule, line] = Expected({}, one_of_each=meet(bit))
    count = 1 + truth.most
    if person.age >= ELDERLY and count >= CNS_ACTIVE and asked & COUNTED:
        found["sedation.three-cns-active", line] = Expected({"cns_active_count": count}, one_of_each=meet(COUNTED))
    if truth.classes & asked & RELAXANT:
        found["duplicate.class", line] = Expected({}, one_of_each=meet(RELAXANT))
    return found


class Meeting(NamedTuple):
    classes: int
    pair: bool
    most: int


def _shared(drugs: Sequence[Taken], relaxant: int, days: set[int]) -> Meeting:
    each = [share(drugs, relaxant, range(day, day + 1), OPIOID, BENZODIAZEPINE, COUNTED) for day in sorted(days)]
    classes = 0
    for today in each:
        classes |= today.classes
    return Meeting(classes, any(today.pair for today in each), max(today.most for today in each))


# --- made-up patients ----------------------------------------------------------------------------------------------


def exact(rng: Random, patient: str) -> Person:
    """Everything is told and every record becomes known on the day it begins: each number has to be right."""
    return _person(rng, patient, told=1.0, moved=0.0)


def partly_known(rng: Random, patient: str) -> Person:
    """Days and refills not told, records known late or ahead of their start: nothing may be claimed that is not so."""
    return _person(rng, patient, told=0.85, moved=0.25)


def written_ahead(rng: Random, patient: str) -> Person:
    """Short courses of few drugs, all told, written before they begin: days free of the relaxant lie between."""
    person = _person(rng, patient, told=1.0, moved=0.0, drugs=[*rng.sample(range(4), 1) * 2, 4, 6, rng.choice((5, 7))])
    first = min(each.start for each in person.records)
    days = [rng.choice((3, 5, 7, 30)) for _ in person.records]
    moved = [
        replace(each, known=first - rng.randrange(5), stopped=None, days=short, told_days=short)
        for each, short in zip(person.records, days, strict=True)
    ]
    return person._replace(age=80, records=sorted(moved, key=lambda each: (each.known, each.start, each.id)))


def _person(rng: Random, patient: str, told: float, moved: float, drugs: Sequence[int] = ()) -> Person:
    span = rng.choice((10, 40, 90))
    first = 19_000 + rng.randrange(200)
    tizanidine_for = rng.choice((SPASM, SPASTICITY))  # of one use: mixed uses leave the days of the class open
    relaxants, partners = rng.sample(range(4), rng.choice((1, 1, 2, 3))), rng.sample(range(4, 10), 4)
    records: list[Record] = []
    ends: dict[int, int] = {}
    for number in range(rng.randint(1, 8)):
        drug = rng.choice(drugs or ((*relaxants, *relaxants, *partners) if rng.random() < 0.6 else relaxants))
        start = first + rng.choice((rng.randrange(span), rng.randrange(0, span, 7)))
        if drug in ends and rng.random() < 0.4:
            start = ends[drug] + rng.choice((-8, -7, 0, 7, 8))  # on both sides of the gap, and of stock in hand
        days = rng.choice((1, 3, 5, 7, 8, 10, 14, 15, 21, 22, 30, rng.randint(1, 40)))
        order = rng.random() < 0.4
        refills = rng.choice((0, 0, 0, 1, 2)) if order else 0
        line = bool(DRUGS[drug].line)
        ends[drug] = start + days * (1 + refills)
        days_told, refills_told = rng.random() < told, rng.random() < told
        if not days_told:
            days = UNTOLD
        stopped = start + rng.randrange(days * (1 + refills) + 1) if not line and rng.random() < 0.2 else None
        records.append(
            Record(
                id=f"{patient}-{number}",
                known=start + rng.choice((rng.randint(1, 30), -rng.randint(1, 20))) if rng.random() < moved else start,
                start=start,
                drug=drug,
                order=order,
                told_days=days if days_told else None,
                told_refills=refills if order and refills_told else None,
                days=days,
                refills=refills,
                indication=(tizanidine_for if drug == TIZANIDINE else SPASM) if line else "",
                stopped=stopped,
            )
        )
    records.sort(key=lambda each: (each.known, each.start, each.id))
    return Person(patient, rng.choice((40, 64, 65, 80)), records)


def _written(people: Sequence[Person], folder: Path) -> Path:
    folder.mkdir(parents=True)
    with (folder / "medications.csv").open("w", newline="") as rx, (folder / "patients.csv").open("w") as born:
        medications, patients = csv.writer(rx), csv.writer(born)
        medications.writerow([*FIELDS[:-1], "stopped_on"])
        patients.writerow(("patient", "birth_date"))
        for person in people:
            day = _day(min(each.start for each in person.records) - 30)
            patients.writerow((person.id, day.replace(year=day.year - person.age, day=min(day.day, 28))))
            for each in person.records:
                kind = "order" if each.order else "dispensing"
                medications.writerow((
                    person.id, each.id, kind, _day(each.known), _day(each.start), DRUGS[each.drug].name,
                    each.told_days, each.told_refills, each.indication,
                    "" if each.stopped is None else _day(each.stopped),
                ))  # fmt: skip
    return folder


def _day(number: int) -> date:
    return date(1970, 1, 1) + timedelta(number)


# --- the audit held against it -------------------------------------------------------------------------------------


def audited(people: Sequence[Person], folder: Path, statuses: bool = False) -> dict[str, dict[tuple[str, str], Any]]:
    """Alerts of the rules asked about here, by record, then rule and line."""
    run(folder / "out", _written(people, folder / "in"), statuses=statuses, buckets=2)
    found: dict[str, dict[tuple[str, str], Any]] = defaultdict(dict)
    for row in table(folder / "out", "alerts"):
        if row["rule_id"] in (*DURATION, *MEETING):
            found[row["index_record"]][row["rule_id"], row["subject"]] = row
    return found


def _bounds(text: str) -> tuple[int, int]:
    """The numbers that `28`, `at least 28` and `28 to 40` leave open."""
    numbers = [int(each) for each in re.findall(r"\d+", text)]
    return numbers[0], fold.ENDLESS if text.startswith("at least") else numbers[-1]


def differences(people: Sequence[Person], found: dict[str, dict[tuple[str, str], Any]]) -> Iterator[str]:
    """Where an alert is missing or too many, tells another number or names other records."""
    for person in people:
        for at, record in enumerate(person.records):
            wanted, said = expected(person, at), found.get(record.id, {})
            if wanted.keys() != said.keys():
                yield f"{record.id}: {sorted(said.keys() ^ wanted.keys())} of {sorted(wanted)}: {person}"
            for key in wanted.keys() & said.keys():
                yield from _different(wanted[key], said[key], f"{record.id} {key}: {person}")


def _different(wanted: Expected, said: dict[str, Any], where: str) -> Iterator[str]:
    facts = {each["name"]: each["value"] for each in said["facts"]}
    if any(facts.get(name) != str(value) for name, value in wanted.facts.items()):
        yield f"facts {facts} for {wanted.facts}: {where}"
    named = set(said["evidence_records"])
    allowed = wanted.evidence.union(*wanted.one_of_each)
    one_each = all(len(named & group) == 1 for group in wanted.one_of_each)
    if not wanted.evidence <= named <= allowed or not one_each:
        yield f"evidence {sorted(named)} for {wanted.evidence} and one of each of {wanted.one_of_each}: {where}"


# --- where not all is known ----------------------------------------------------------------------------------------


def claims(person: Person, at: int) -> tuple[dict[str, bool], dict[str, set[int]]]:
    """Of a record: what is true of each rule, and of each number, by all supplies and by those begun."""
    record = person.records[at]
    drug, history = DRUGS[record.drug], supplies(person, at)
    exempt = record.indication == SPASTICITY
    meeting = {line: _meeting(person, at, at_drug) for line, at_drug in LINES.items() if _concerns(person, at, at_drug)}
    said = {rule for alerts in meeting.values() for rule, _ in alerts}
    true = {rule: rule in said for rule in MEETING}
    if "sedation.triple" in said:  # which absorbs them, on each line by itself
        del true["sedation.opioid"], true["sedation.benzodiazepine"]
    numbers: dict[str, set[int]] = defaultdict(set)
    if not drug.line:
        return true, numbers
    began = [each for each in history if each.start <= record.start]
    truths = exposure(person, at, history), exposure(person, at, began)
    numbers["course_days"] = {record.course}
    numbers["episode_days"] = {truth.episode for truth in truths}
    numbers["class_episode_days"] = {truth.class_days for truth in truths}
    numbers["days_in_hand"] = {truths[1].in_hand}
    true |= {
        "duration.course": drug.labelled and record.course > LIMIT,
        "duration.course-guideline": not drug.labelled and not exempt and record.course > LIMIT,
        "duration.early-refill": truths[1].in_hand > IN_HAND,
    }
    for rule, name, limit in (
        ("duration.episode", "episode_days", LIMIT),
        ("duration.class-episode", "class_episode_days", LIMIT),
        ("duration.third-week", "episode_days", REASSESS),
    ):
        over = {days > limit for days in numbers[name]}
        if len(over) == 1 and not exempt:
            true[rule] = over.pop()
    if "duration.third-week" in true:
        true["duration.third-week"] = drug.labelled and (true["duration.third-week"] or record.course > REASSESS)
    return true, numbers


def _concerns(person: Person, at: int, relaxant: int) -> bool:
    mine = person.records[at].drug
    return mine == relaxant or (not DRUGS[mine].line and any(each.drug == relaxant for each in person.records[:at]))


def unsound(
    people: Sequence[Person], found: dict[str, dict[tuple[str, str], Any]], answers: dict[tuple[str, str], str]
) -> Iterator[str]:
    """Where something was claimed, by an alert, a number or an all-clear, that is not so."""
    for person in people:
        for at, record in enumerate(person.records):
            true, numbers = claims(person, at)
            for rule, holds in true.items():
                answer = answers[record.id, rule]
                if answer == ("passed" if holds else "fired"):
                    yield f"{record.id}: {rule} {answer}: {person}"
            before = {each.id for each in person.records[:at]}
            for (rule, line), said in found.get(record.id, {}).items():
                if not before.issuperset(said["evidence_records"]):
                    yield f"{record.id}: {rule} names {said['evidence_records']}: {person}"
                for each in said["facts"]:
                    low, high = _bounds(each["value"]) if each["name"] in numbers else (0, 0)
                    if each["name"] in numbers and not all(low <= days <= high for days in numbers[each["name"]]):
                        yield f"{record.id}: {rule} {line} {each} for {numbers[each['name']]}: {person}"


def _made(how: Callable[[Random, str], Person], seed: int, number: int) -> list[Person]:
    return [how(Random(f"{seed} {i}"), f"p{i}") for i in range(number)]


@pytest.mark.parametrize("number", [300, pytest.param(6_000, marks=[pytest.mark.long, pytest.mark.timeout(1200)])])
def test_alerts_tell_the_days_and_name_the_records_that_a_count_day_by_day_comes_to(
    number: int, tmp_path: Path, seed: int
) -> None:
    people = _made(exact, seed + number, number)
    found = audited(people, tmp_path)
    wrong = list(differences(people, found))
    assert not wrong, f"{len(wrong)} differences, the first: {wrong[0]}"
    seen = Counter(rule for alerts in found.values() for rule, _ in alerts)
    seen["order of the partner"] = sum(
        not DRUGS[record.drug].line and bool(found.get(record.id)) for person in people for record in person.records
    )
    few = number // 60
    assert {each: seen[each] for each in (*DURATION, *MEETING, "order of the partner") if seen[each] < few} == {}


@pytest.mark.parametrize("how", [partly_known, written_ahead])
@pytest.mark.parametrize("number", [150, pytest.param(4_000, marks=[pytest.mark.long, pytest.mark.timeout(1200)])])
def test_nothing_is_claimed_that_is_not_so_where_days_are_told_late_early_or_not_at_all(
    number: int, how: Callable[[Random, str], Person], tmp_path: Path, seed: int
) -> None:
    people = _made(how, seed + number, number)
    wrong, seen = _claimed(people, tmp_path)
    assert not wrong, f"{len(wrong)} claims, the first: {wrong[0]}"
    if how is partly_known:
        wanted = [(rule, status) for rule in (*DURATION, *MEETING) for status in ("fired", "passed")]
        wanted += [(rule, "not_evaluated") for rule in (*DURATION, "sedation.opioid", "duplicate.class")]
        assert {each for each in wanted if seen[each] < 3} == set()


def _claimed(people: Sequence[Person], folder: Path) -> tuple[list[str], Counter[tuple[str, str]]]:
    found = audited(people, folder, statuses=True)
    answers = {(row["index_record"], row["rule_id"]): row["status"] for row in table(folder / "out", "statuses")}
    return list(unsound(people, found, answers)), Counter((rule, status) for (_, rule), status in answers.items())


def _ordered(number: int, known: int, start: int, drug: int, days: int, told: bool = True) -> Record:
    told_days, told_refills = (days, 0) if told else (days, None)
    indication = SPASM if DRUGS[drug].line else ""
    return Record(f"{number}", 19_000 + known, 19_000 + start, drug, True, told_days, told_refills, days, 0, indication)


METHOCARBAMOL, OXYCODONE, CODEINE, LORAZEPAM = 2, 4, 5, 6


def test_a_drug_between_two_courses_of_the_relaxant_does_not_meet_it(tmp_path: Path) -> None:
    courses = [_ordered(1, 1, 1, METHOCARBAMOL, 5), _ordered(2, 2, 30, METHOCARBAMOL, 5)]
    person = Person("a", 80, [*courses, _ordered(3, 3, 12, LORAZEPAM, 5), _ordered(4, 4, 4, OXYCODONE, 30)])
    wrong, _ = _claimed([person], tmp_path)
    assert not wrong
    said = {row["rule_id"] for row in table(tmp_path / "out", "alerts") if row["index_record"] == "4"}
    assert said & {*MEETING} == {"sedation.opioid"}


def test_another_drug_of_the_class_is_no_proof_that_the_relaxant_is_still_taken(tmp_path: Path) -> None:
    """An opioid of long standing, a second one ordered when only unknown refills could make the relaxant last."""
    relaxant = _ordered(2, 2, 2, METHOCARBAMOL, 5, told=False)
    person = Person("a", 40, [_ordered(1, 1, 1, OXYCODONE, 90), relaxant, _ordered(3, 20, 20, CODEINE, 5)])
    wrong, seen = _claimed([person], tmp_path)
    assert not wrong
    assert seen["sedation.opioid", "not_evaluated"] == 1


def test_no_alert_tells_a_number_of_days_that_has_no_end(tmp_path: Path) -> None:
    unknown = [_ordered(n, n * 14, n * 14, METHOCARBAMOL, 14, told=False) for n in range(4)]
    audited([Person("a", 40, unknown)], tmp_path)
    told = [each["value"] for row in table(tmp_path / "out", "alerts") for each in row["facts"] if each["unit"] == "d"]
    assert "at least" in "".join(told)
    assert max(int(each) for value in told for each in re.findall(r"\d+", value)) < 1000
