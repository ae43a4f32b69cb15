"""What is known of the patient, as bounds for the rules: liver, labs, age, conditions, care tried."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from safety_service.domain import (
    Answer,
    CareOutcome,
    CareTried,
    CheckRequest,
    ChildPughClass,
    ChildPughInputs,
    Condition,
    HepaticGrade,
    LabResult,
    Listed,
    LiverTest,
    NotProcessed,
    Patient,
    Prescription,
    to_date,
)
from safety_service.engine.allergies import NO_ALLERGIES, Allergies, read_allergies
from safety_service.engine.history import indication_classes, sets_mask
from safety_service.engine.kidneys import put_kidneys
from safety_service.engine.pregnancy import put_pregnancy
from safety_service.engine.problems import (
    COUNTING,
    NO_PROBLEMS,
    Problems,
    put_conditions,
    put_myocardial_infarction,
    read_problems,
)
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.schema import ChildPughFile
from safety_service.rules.vocabulary import (
    EITHER,
    GRADES,
    HIGHEST,
    LOWEST,
    NO,
    PHASES,
    SLOTS,
    YES,
    put_number,
    unknown_facts,
)

_MASK = (EITHER, NO, YES)  # by Answer
_ANY_GRADE = 0b1111
_IMPAIRED = 0b1110
_MODERATE_UP = 0b1100
_TRIED = (CareOutcome.ONGOING, CareOutcome.HELPED, CareOutcome.FAILED, CareOutcome.DECLINED)
_GOES_ON = (CareOutcome.ONGOING, CareOutcome.PLANNED)


@dataclass(frozen=True, slots=True)
class PatientFacts:
    """`values` are all facts, those of the patient filled in. `why` tells why an open one is open."""

    values: list[int]
    why: dict[str, tuple[str, str]] = field(default_factory=dict)
    not_processed: tuple[NotProcessed, ...] = ()
    conflicts: tuple[str, ...] = ()
    phase: str = ""
    evidence: dict[str, tuple[str, ...]] = field(default_factory=dict)
    given_up: frozenset[str] = frozenset()  # options that failed or were declined
    notes: tuple[str, ...] = ()
    problems: Problems = NO_PROBLEMS
    allergies: Allergies = NO_ALLERGIES


def patient_facts(knowledge: Knowledge, request: CheckRequest, start: int) -> PatientFacts:
    """Facts of the patient for an order from day `start`, of which the day it was ordered is preferred for the age."""
    listing = read_listing(knowledge, request.patient.conditions, request.as_of)
    return facts_on(knowledge, request, start, lasting_facts(knowledge, request, listing))


class Listing(NamedTuple):
    """The problem list read: problems, facts of conditions by themselves, why they are open, what was not read."""

    problems: Problems
    values: list[int]
    why: dict[str, tuple[str, str]]
    not_processed: tuple[NotProcessed, ...]


def read_listing(knowledge: Knowledge, conditions: Listed[Condition], as_of: int) -> Listing:
    """What follows from the problem list alone; `as_of` only leaves out what was known later."""
    not_processed: list[NotProcessed] = []
    problems = read_problems(knowledge, conditions, as_of, not_processed)
    values = unknown_facts()
    why: dict[str, tuple[str, str]] = {}
    put_conditions(knowledge, problems, values, why)
    return Listing(problems, values, why, tuple(not_processed))


def lasting_facts(knowledge: Knowledge, request: CheckRequest, listing: Listing) -> PatientFacts:
    """Those facts of the patient that no day changes: of conditions, liver and kidneys as stated, allergies and falls.

    Nothing of `request` is read but these answers and lists, the latter but for conditions.
    """
    patient = request.patient
    problems = listing.problems
    not_processed = [*listing.not_processed]
    conflicts: list[str] = []
    values = listing.values.copy()
    values[SLOTS["spasticity_needed_for_function"]] = _MASK[patient.spasticity_needed_for_function]
    values[SLOTS["cyp2c19_reduced"]] = _MASK[patient.cyp2c19_reduced]
    values[SLOTS["falls"]] = _falls(knowledge, patient.falls, problems, conflicts)
    why: dict[str, tuple[str, str]] = {}
    evidence: dict[str, tuple[str, ...]] = {}
    notes: list[str] = []
    _hepatic(knowledge, request, problems, values, why, evidence, conflicts, not_processed, notes)
    why |= listing.why
    put_kidneys(knowledge, request, problems, values, why, evidence, conflicts)
    allergies = read_allergies(knowledge, request, not_processed, conflicts)
    return PatientFacts(
        values,
        why,
        tuple(not_processed),
        tuple(conflicts),
        evidence=evidence,
        notes=tuple(notes),
        problems=problems,
        allergies=allergies,
    )


def facts_on(knowledge: Knowledge, request: CheckRequest, start: int, lasting: PatientFacts) -> PatientFacts:
    """All facts of the patient: `lasting` are those that no day changes."""
    prescription = request.prescription
    values = lasting.values.copy()
    why = lasting.why.copy()
    evidence = lasting.evidence.copy()
    not_processed = [*lasting.not_processed]
    conflicts = [*lasting.conflicts]
    ordered_on = start if prescription.ordered_on is None else prescription.ordered_on
    put_answers(request.patient, prescription, values)
    put_dated(
        knowledge, request.patient, ordered_on, start, request.as_of, lasting.problems, values, why, evidence, conflicts
    )
    phase = put_back_pain(
        knowledge,
        request.patient.conditions.items,
        prescription.indications,
        request.as_of,
        lasting.problems,
        values,
        not_processed,
    )
    given_up = put_care(knowledge, request.patient.care, request.as_of, values, not_processed)
    return PatientFacts(
        values,
        why,
        tuple(not_processed),
        tuple(conflicts),
        phase,
        evidence,
        given_up,
        lasting.notes,
        lasting.problems,
        lasting.allergies,
    )


def put_answers(patient: Patient, prescription: Prescription, values: list[int]) -> None:
    """Sets what was answered with yes or no, and no list says otherwise."""
    values[SLOTS["drives_or_operates_machinery"]] = _MASK[patient.drives_or_operates_machinery]
    values[SLOTS["alcohol_use"]] = _MASK[patient.alcohol_use]
    values[SLOTS["benefit_documented"]] = _MASK[prescription.benefit_documented]
    values[SLOTS["last_order"]] = _MASK[prescription.last_order]
    values[SLOTS["tapering"]] = _MASK[prescription.tapering]


def put_dated(
    knowledge: Knowledge,
    patient: Patient,
    ordered_on: int,
    start: int,
    as_of: int,
    problems: Problems,
    values: list[int],
    why: dict[str, tuple[str, str]],
    evidence: dict[str, tuple[str, ...]],
    conflicts: list[str],
) -> None:
    """Sets what changes from day to day: age, pregnancy by age, how long ago an infarction and liver tests were."""
    put_ages(patient, ordered_on, values)
    put_myocardial_infarction(knowledge, patient.conditions, problems, as_of, start, values)
    put_pregnancy(knowledge, patient, problems, values, why, evidence, conflicts)
    _labs(patient.hepatic.labs, as_of, knowledge.policy_numbers["policy.hepatic.lab_window_days"], values)


def put_ages(patient: Patient, day: int, values: list[int]) -> None:
    """Sets the completed years and months on a day."""
    put_number(values, "age_years", *_age(patient, day))
    put_number(values, "age_months", *_age_months(patient, day))


def _age(patient: Patient, day: int) -> tuple[int, int]:
    """Completed years on a day; a partial birth date makes a range."""
    if patient.born_earliest is not None and patient.born_latest is not None:
        youngest = _completed_years(patient.born_latest, day)
        whole = patient.born_earliest == patient.born_latest
        return youngest, youngest if whole else _completed_years(patient.born_earliest, day)
    if patient.age_years is not None:
        return patient.age_years, patient.age_years
    return LOWEST, HIGHEST


def _age_months(patient: Patient, day: int) -> tuple[int, int]:
    """Completed months on a day; whole years alone leave twelve of them possible."""
    if patient.born_earliest is not None and patient.born_latest is not None:
        youngest = _completed_months(patient.born_latest, day)
        whole = patient.born_earliest == patient.born_latest
        return youngest, youngest if whole else _completed_months(patient.born_earliest, day)
    if patient.age_years is not None:
        return 12 * patient.age_years, 12 * patient.age_years + 11
    return LOWEST, HIGHEST


def _completed_months(born: int, on: int) -> int:
    birth, day = to_date(born), to_date(on)
    return 12 * (day.year - birth.year) + day.month - birth.month - (day.day < birth.day)


def _completed_years(born: int, on: int) -> int:
    birth, day = to_date(born), to_date(on)
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))


def _falls(knowledge: Knowledge, stated: Answer, problems: Problems, conflicts: list[str]) -> int:
    """Stated, or coded history of falling. A problem list without the code does not say that nobody fell."""
    if problems.ever & sets_mask(knowledge, ("falls-history",)):
        if stated is Answer.NO:
            conflicts.append("no falls are stated, but a history of falling is coded: the code was taken")
        return YES
    return _MASK[stated]


# --- the liver ---------------------------------------------------------------------------------------------------


def _hepatic(
    knowledge: Knowledge,
    request: CheckRequest,
    problems: Problems,
    values: list[int],
    why: dict[str, tuple[str, str]],
    evidence: dict[str, tuple[str, ...]],
    conflicts: list[str],
    not_processed: list[NotProcessed],
    notes: list[str],
) -> None:
    any_liver = sets_mask(knowledge, ("liver-any", "liver-cirrhosis", "liver-floor", "liver-active", "liver-minor"))
    cirrhosis = bool(problems.now & sets_mask(knowledge, ("liver-cirrhosis",)))
    floor = bool(problems.now & sets_mask(knowledge, ("liver-floor",)))
    coded = bool(problems.now & any_liver)
    grade = _grade(knowledge.child_pugh, request, conflicts, not_processed)
    if grade == 1 << GRADES.index("none") and (cirrhosis or floor):
        conflicts.append("hepatic grade 'none' is stated, but cirrhosis or hepatic failure is coded: grade unknown")
        grade = None
    stated = grade is not None
    if grade is None:
        grade = _MODERATE_UP if floor else _IMPAIRED if cirrhosis else _ANY_GRADE
        if coded:
            if floor:
                notes.append("hepatic failure is coded: read as at least moderate impairment, by policy")
            why["hepatic_grade"] = (
                "patient.hepatic.grade",
                "liver disease is coded, its grade is not stated",
            )
    values[SLOTS["hepatic_grade"]] = grade
    impaired = YES if not grade & 1 else NO if grade == 1 else EITHER
    values[SLOTS["liver_disease"]] = YES if coded or impaired == YES else problems.has(any_liver)
    values[SLOTS["liver_disease_history"]] = YES if impaired == YES else problems.had(any_liver)
    active = problems.has(sets_mask(knowledge, ("liver-active",)))
    values[SLOTS["active_hepatic_disease"]] = EITHER if active == NO and impaired == YES and stated else active
    values[SLOTS["liver_code_without_grade"]] = NO if stated else problems.has(any_liver)
    minor = sets_mask(knowledge, ("liver-minor",))
    only_minor = all(bits & minor for bits, _ in problems.codes if bits & any_liver)
    values[SLOTS["liver_code_minor_only"]] = YES if coded and only_minor else NO if coded else EITHER
    codes = tuple(code for bits, code in problems.codes if bits & any_liver)
    if codes:
        for name in ("hepatic_grade", "liver_disease", "active_hepatic_disease", "liver_code_without_grade"):
            evidence[name] = codes


def _grade(
    table: ChildPughFile, request: CheckRequest, conflicts: list[str], not_processed: list[NotProcessed]
) -> int | None:
    """The mask of the grade stated, by class, or by all five inputs, in this order; None when none is given."""
    hepatic = request.patient.hepatic
    by_inputs = None
    if hepatic.child_pugh is not None:
        score = child_pugh_score(table, hepatic.child_pugh)
        if score is None:
            not_processed.append(
                NotProcessed("patient.hepatic.child_pugh", "unit of bilirubin or albumin is not one the table has")
            )
        else:
            by_inputs = next(row.name for row in table.classes if score <= row.highest)
    stated_class = None if not hepatic.child_pugh_class else ChildPughClass(hepatic.child_pugh_class).name
    if stated_class and by_inputs and stated_class != by_inputs:
        conflicts.append(f"Child-Pugh class {stated_class} is stated, the inputs give {by_inputs}: as stated was used")
    name = stated_class or by_inputs
    by_class = next((row.grade for row in table.classes if row.name == name), None)
    if hepatic.grade is not HepaticGrade.UNSPECIFIED:
        grade = hepatic.grade.name.lower()
        if by_class is not None and by_class != grade:
            conflicts.append(f"hepatic grade {grade} is stated, Child-Pugh {name} is {by_class}: as stated was used")
        return 1 << GRADES.index(grade)
    return None if by_class is None else 1 << GRADES.index(by_class)


def child_pugh_score(table: ChildPughFile, given: ChildPughInputs) -> int | None:
    """5 to 15, or None when a unit is not in the table."""
    bilirubin = table.bilirubin.get(given.bilirubin.unit)
    albumin = table.albumin.get(given.albumin.unit)
    if bilirubin is None or albumin is None:
        return None
    return (
        _points(given.bilirubin.value, bilirubin)
        + 4
        - _points(given.albumin.value, albumin)  # less albumin is worse
        + _points(given.inr, table.inr)
        + table.ascites[given.ascites.name]
        + table.encephalopathy[given.encephalopathy.name]
    )


def _points(value: float, cuts: tuple[float, float]) -> int:
    return 1 if value < cuts[0] else 2 if value <= cuts[1] else 3


def _labs(labs: Listed[LabResult], as_of: int, window: int, values: list[int]) -> None:
    """Puts how old the liver tests are, and how high the latest of each is within `window` days."""
    age = [HIGHEST] * len(LiverTest)  # of the latest dated result of each test
    undated = [False] * len(LiverTest)
    low = [0] * len(LiverTest)  # percent of the limit on that day; several results of one day make a range
    high = [0] * len(LiverTest)
    for each in labs.items:
        if each.on is None:
            undated[each.test] = True
        elif each.on <= as_of:
            days = as_of - each.on
            if days <= age[each.test]:
                lowest, highest = _percent(each)
                again = days == age[each.test]
                low[each.test] = min(low[each.test], lowest) if again else lowest
                high[each.test] = max(high[each.test], highest) if again else highest
                age[each.test] = days
    complete = labs.is_complete
    tested = undated[LiverTest.ALT] or undated[LiverTest.AST]
    aminotransferases = _since(min(age[LiverTest.ALT], age[LiverTest.AST]), tested, complete)
    alp = _since(age[LiverTest.ALP], undated[LiverTest.ALP], complete)
    bilirubin = _since(age[LiverTest.BILIRUBIN], undated[LiverTest.BILIRUBIN], complete)
    put_number(values, "days_since_aminotransferases", *aminotransferases)
    put_number(
        values,
        "days_since_liver_panel",
        max(aminotransferases[0], alp[0], bilirubin[0]),
        max(aminotransferases[1], alp[1], bilirubin[1]),
    )
    highest_low = highest_high = 0
    for test in (LiverTest.ALT, LiverTest.AST, LiverTest.ALP, LiverTest.BILIRUBIN):
        test_low = low[test] if age[test] <= window and not undated[test] else 0
        test_high = high[test] if age[test] <= window else 0
        if undated[test] or not complete:
            test_high = HIGHEST
        if test is LiverTest.ALT:
            put_number(values, "alt_percent_of_limit", test_low, test_high)
        highest_low = max(highest_low, test_low)
        highest_high = max(highest_high, test_high)
    put_number(values, "liver_tests_percent_of_limit", highest_low, highest_high)


def _since(age: int, undated: bool, complete: bool) -> tuple[int, int]:
    """Days since a result: a list that is not complete, or a result without a date, may hide a later one."""
    if complete and not undated:
        return age, age
    return (LOWEST if age == HIGHEST and not undated else 0), age


def _percent(result: LabResult) -> tuple[int, int]:
    """A result in percent of the limit sent with it, rounded up; open when no limit in the same unit was sent."""
    limit = result.upper_limit
    if limit is None or not limit.unit or limit.unit != result.value.unit or limit.value <= 0:
        return 0, HIGHEST
    percent = math.ceil(result.value.value / limit.value * 100 - 1e-9)
    return percent, percent


# --- back pain and care ------------------------------------------------------------------------------------------


def put_back_pain(
    knowledge: Knowledge,
    conditions: Sequence[Condition],
    indications: tuple[Condition, ...],
    as_of: int,
    problems: Problems,
    values: list[int],
    not_processed: list[NotProcessed],
) -> str:
    """Sets `back_pain` and `phase`; returns the phase: acute, subacute, chronic or "" when not known.

    The days are asked for only where a condition or an indication has an onset.
    """
    back = sets_mask(knowledge, ("back-pain",))
    bits, may_bits = indication_classes(knowledge, indications)
    for i, each in enumerate(indications):
        if not knowledge.conditions.of(each.codings)[1]:
            not_processed.append(
                NotProcessed(f"prescription.indications[{i}]", "no ICD-10-CM code, and no SNOMED CT code known here")
            )
    if indications:
        values[SLOTS["back_pain"]] = YES if bits & back else EITHER if may_bits & back else NO
    else:
        # what the drug is for is then not known: a list without back pain does not say it is for something else
        values[SLOTS["back_pain"]] = YES if problems.now & back else EITHER
    phase = _phase(
        knowledge, (*indications, *(c for c in conditions if c.status in COUNTING)), as_of, bits | problems.now
    )
    values[SLOTS["phase"]] = 1 << PHASES.index(phase) if phase else (1 << len(PHASES)) - 1
    return phase


def _phase(knowledge: Knowledge, counting: Sequence[Condition], as_of: int, bits: int) -> str:
    back = sets_mask(knowledge, ("back-pain",))
    defined = knowledge.pathway.phase_definitions
    for each in counting:
        if each.onset is not None and each.onset <= as_of and knowledge.conditions.of(each.codings)[0] & back:
            days = as_of - each.onset
            if days < 7 * defined.acute_below_weeks:
                return "acute"
            return "chronic" if days > 7 * defined.chronic_above_weeks else "subacute"
    acute = bool(bits & sets_mask(knowledge, ("acute-back-pain",)))
    chronic = bool(bits & sets_mask(knowledge, ("chronic-back-pain",)))
    if acute != chronic:
        return "acute" if acute else "chronic"
    if bits & back and bits & sets_mask(knowledge, ("chronic-pain",)):
        return "chronic"
    return ""


def put_care(
    knowledge: Knowledge, listed: Listed[CareTried], as_of: int, values: list[int], not_processed: list[NotProcessed]
) -> frozenset[str]:
    """Sets the care facts; returns the options that failed or were declined."""
    closed = listed.is_complete
    tried = active = unhelpful = False
    given_up: set[str] = set()
    open_outcome = False
    for i, each in enumerate(listed.items):
        if each.on is not None and each.on > as_of:
            continue
        option_id = knowledge.care.match(each)
        if option_id is None:
            closed = False
            not_processed.append(
                NotProcessed(f"patient.care_options_tried.items[{i}]", "no care option known here is named so")
            )
            continue
        option = knowledge.care.options[option_id]
        if option.tier == "first-line" and (each.outcome in _TRIED or not each.outcome):
            tried = True
        if each.outcome in (CareOutcome.FAILED, CareOutcome.DECLINED):
            given_up.add(option_id)
        open_outcome |= not each.outcome
        if each.outcome in _GOES_ON:
            active |= option.counts_as_active_care
            unhelpful |= option.tier == "not-helpful"
    otherwise = NO if closed else EITHER
    values[SLOTS["first_line_tried"]] = YES if tried else otherwise
    otherwise = EITHER if open_outcome else otherwise
    values[SLOTS["active_care_alongside"]] = YES if active else otherwise
    values[SLOTS["unhelpful_care_planned"]] = YES if unhelpful else otherwise
    return frozenset(given_up)
