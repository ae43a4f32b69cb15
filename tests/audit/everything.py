"""Made-up patients that reach what rules can say: each condition, drug, answer and number they ask about, in turn.

For each relaxant an order of which all is known, then that order with some things changed. The numbers that rules
compare with are read off the rules, so that a new limit is reached without a change here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from safety_service.audit.known import PatientRows, Told
from safety_service.audit.tables import BETWEEN_CONDITIONS, MEDICATIONS, OBSERVED, concept_text
from safety_service.domain import (
    Answer,
    CareOutcome,
    Completeness,
    ConditionStatus,
    LiverTest,
    RecordKind,
    Sex,
    TreatmentStatus,
)
from safety_service.knowledge.knowledge import Knowledge, Line, Program
from safety_service.rules.tree import Compare, FactRef, Number
from tests.rules.random_rules import nodes

ICD = "http://hl7.org/fhir/sid/icd-10-cm"
DAY = 20_000
YEAR = 365.2425
Row = dict[str, Any]
_TABLES = ("medications", "conditions", "labs", "care", "observations", "allergies", "patients")
KNOWN = Told(*[Completeness.COMPLETE] * 4)


@dataclass
class Draft:
    """A patient in the making: an order of a line's drug, checked on `DAY`, and what is known beside it."""

    line: Line
    mg: float
    order: Row
    partner: str = ""  # is what is ordered; the line's drug is in use
    earlier: list[Row] = field(default_factory=list)
    conditions: list[Row] = field(default_factory=list)
    labs: list[Row] = field(default_factory=list)
    care: list[Row] = field(default_factory=list)
    observations: list[Row] = field(default_factory=list)
    allergies: list[Row] = field(default_factory=list)
    born: tuple[int, int] | None = (DAY - 40 * 366, DAY - 40 * 366)
    sex: Sex = Sex.FEMALE
    holes: set[str] = field(default_factory=set)
    told: Told = KNOWN


Change = Callable[[Draft], None]


def patients(
    knowledge: Knowledge, lines: Sequence[Line], rng: Random, mixed: int
) -> Iterator[tuple[PatientRows, Told]]:
    """Each relaxant, ordered and in use, with each change by itself, then `mixed` times with some of them together."""
    number = 0
    for line in lines:
        alone, limits = _changes(knowledge, line), _numbers(line.program)
        at_limits = [_at(fact, limit + side) for fact, limit in limits for side in _steps(fact)]
        singly = [*alone, *at_limits, *(_unknown_partner(name) for name in _partners(knowledge))]
        singly += [_draft(partner=f"{name} 5 mg tablet") for name in _partners(knowledge)]
        for changes in [*([each] for each in singly), *_together(line)]:
            number += 1
            yield _made(line, changes, f"p{number}")
        for _ in range(mixed):
            number += 1
            chosen = rng.sample(alone, rng.randint(1, 3)) + rng.sample(at_limits, rng.randint(0, 2))
            if rng.random() < 0.15:
                chosen.append(_draft(partner=f"{rng.choice(_partners(knowledge))} 5 mg tablet"))
            yield _made(line, chosen, f"p{number}")
    for change in _EMPTY:
        for line in lines:
            number += 1
            yield _made(line, [change], f"p{number}")


def _made(line: Line, changes: Sequence[Change], patient: str) -> tuple[PatientRows, Told]:
    draft = _known(line)
    for change in changes:
        change(draft)
    if draft.partner:
        in_use = {**draft.order, "record": "in-use", "kind": int(RecordKind.STATEMENT), "known_on": DAY - 1}
        in_use["start"] = DAY - 1
        draft.earlier.append(in_use)
        draft.order |= {"drug": concept_text(draft.partner, []), "dose_low": None, "dose_high": None}
    earlier = [row | {"record": f"{row['record']}-{i}"} for i, row in enumerate(draft.earlier)]
    medications = [*earlier, draft.order]
    medications.sort(key=lambda row: (row["known_on"], row["start"] or row["known_on"], row["record"]))

    def of_patient(rows: Sequence[Row]) -> list[Row]:
        return [row | {"patient": patient} for row in rows]

    rows = PatientRows(
        patient,
        of_patient(medications),
        of_patient(draft.conditions),
        of_patient(draft.labs),
        of_patient(draft.care),
        of_patient(draft.observations),
        of_patient(draft.allergies),
        draft.born,
        draft.sex,
        frozenset(draft.holes),
    )
    return rows, draft.told


# --- what is known of everybody at first ---------------------------------------------------------------------------


def _known(line: Line) -> Draft:
    mg = float(line.file.products[0].strengths_mg[0])
    draft = Draft(line, mg, _medication("order", f"{_name(line)}", DAY) | {"dose_low": mg, "dose_high": mg})
    draft.labs = [_lab(test, 20.0, DAY - 10) for test in (1, 2, 3, 4)]
    draft.care = [_care("exercise", CareOutcome.ONGOING)]
    draft.observations = [_observation("egfr", 90.0), _observation("pregnant", 0.0), _observation("lactating", 0.0)]
    draft.allergies = [_allergy("", none=Answer.YES)]
    return draft


def _name(line: Line) -> str:
    product = line.file.products[0]
    release = " extended release" if product.release == "er" else ""
    return f"{line.ingredient} {product.strengths_mg[0]:g} mg{release} {product.forms[0]}"


def _medication(record: str, drug: str, known: int, days: int | None = 7) -> Row:
    row = dict.fromkeys(MEDICATIONS.names)
    row |= {
        "place": 0, "patient": "", "record": record, "kind": int(RecordKind.ORDER), "status": 0, "known_on": known,
        "start": known, "drug": concept_text(drug, []), "route": "oral", "days_supply": days, "quantity_unit": "{tbl}",
        "refills": 0, "dose_unit": "mg", "times_low": 1, "times_high": 1, "period_hours": 24, "quantity": 7.0,
        "as_needed": int(Answer.NO), "indications": concept_text("", [(ICD, "M62.830", "")]), "treatment_status": 0,
        "benefit_documented": int(Answer.NO), "hepatic_grade": 1, "drives": int(Answer.NO),
        "alcohol_use": int(Answer.NO), "falls": int(Answer.NO), "fills": "", "prescriber": "d1", "practice": "o1",
        "unknown_drug": False,
    }  # fmt: skip
    return row


def _taken(drug: str, start: int, days: int | None, record: str = "earlier") -> Row:
    """A drug of the history, which is not checked by itself."""
    return _medication(record, drug, start, days) | {"kind": int(RecordKind.STATEMENT)}


def _lab(test: int, value: float, known: int | None, limit: float | None = 40.0) -> Row:
    return {
        "place": 0, "record": f"{test}", "test": test, "value": value, "unit": "U/L", "upper_limit": limit,
        "upper_unit": "" if limit is None else "U/L", "known_on": known,
    }  # fmt: skip


def _care(option: str, outcome: CareOutcome) -> Row:
    care = concept_text(option, [])
    return {"place": 0, "record": option, "care": care, "outcome": int(outcome), "known_on": DAY - 5}


def _observation(what: str, value: float | None) -> Row:
    return {"place": 0, "record": what, "what": OBSERVED.index(what), "value": value, "known_on": DAY}


def _allergy(substance: str, none: Answer = Answer.UNKNOWN) -> Row:
    text = concept_text(substance, [])
    return {"place": 0, "record": "a", "substance": text, "none_known": int(none), "status": 1, "known_on": DAY - 90}


def _condition(code: str, status: ConditionStatus = ConditionStatus.ACTIVE, onset: int | None = DAY - 400) -> Row:
    held = concept_text("", [(ICD, code, "")])
    return {
        "place": 0, "record": code, "condition": held, "status": int(status), "onset": onset, "known_on": DAY - 20,
        "abated_on": None,
    }  # fmt: skip


# --- what is changed -----------------------------------------------------------------------------------------------


def _set(**values: Any) -> Change:
    return lambda draft: draft.order.update(values)


def _with(table: str, *rows: Row) -> Change:
    return lambda draft: setattr(draft, table, list(rows))


def _and(table: str, row: Row) -> Change:
    return lambda draft: getattr(draft, table).append(row)


def _draft(**values: Any) -> Change:
    def change(draft: Draft) -> None:
        for name, value in values.items():
            setattr(draft, name, value)

    return change


def _indications(*codes: str) -> Change:
    return _set(indications=BETWEEN_CONDITIONS.join(concept_text("", [(ICD, code, "")]) for code in codes))


def _changes(knowledge: Knowledge, line: Line) -> list[Change]:
    """Everything but numbers at a limit."""
    found: list[Change] = [lambda draft: None]
    for name in ("drives", "alcohol_use", "falls", "as_needed", "benefit_documented"):
        found += [_set(**{name: int(answer)}) for answer in (Answer.UNKNOWN, Answer.YES)]
    found += [_set(hepatic_grade=grade) for grade in (0, 2, 3, 4)]
    found += [_set(treatment_status=int(each)) for each in (TreatmentStatus.NEW, TreatmentStatus.CONTINUING)]
    found += [_set(route=route) for route in ("", "intravenous", "somehow")]
    found += [_set(**{name: None}) for name in ("days_supply", "refills", "dose_high", "times_high", "quantity")]
    found += [_set(refills=refills) for refills in (1, 3)]
    found += [_set(quantity=quantity) for quantity in (1.0, 500.0)]
    found += [_set(drug=concept_text(name, codes)) for name, codes in _spelled(line)]
    found += [_draft(sex=sex) for sex in Sex]
    found += [_draft(born=born) for born in (None, (DAY - 66 * 366, DAY - 64 * 365), (DAY - 75 * 366, DAY - 75 * 366))]
    found += [_draft(holes={table}) for table in _TABLES]
    conditions = [code for each in knowledge.condition_sets for code in _codes(each)]
    for code in dict.fromkeys([*conditions, "I10", "Z99.ZZZ"]):
        found += [_and("conditions", _condition(code)), _indications(code)]
    found += [_and("conditions", _condition(code, ConditionStatus.RESOLVED)) for code in ("F10.10", "K74.60", "E80.21")]
    found += [_and("conditions", _condition("I21.9", onset=None)), _indications(), _indications("M54.50", "G89.29")]
    for name in _partners(knowledge):
        found.append(_and("earlier", _taken(f"{name} 5 mg tablet", DAY - 2, 30)))
    found.append(_and("earlier", _taken("zzyzxoprine 5 mg tablet", DAY - 2, 30) | {"unknown_drug": True}))
    found += [_and("earlier", each) for each in _doubles(line)]
    for option in sorted(knowledge.care.options):
        found += [_with("care", _care(option, outcome)) for outcome in (CareOutcome.PLANNED, CareOutcome.FAILED)]
    found += [_with("care"), _with("labs"), _with("labs", *(_lab(test, 200.0, None, None) for test in (1, 2, 3, 4)))]
    substances = (line.ingredient, "meprobamate", "carisoprodol", "penicillin", "aspirin", "zzyzxoprine", "codeine")
    found += [_with("allergies", _allergy(each)) for each in substances]
    found += [_with("allergies"), _with("observations")]
    for what in ("pregnant", "lactating"):
        found += [_and("observations", _observation(what, 1.0)), _observed_not(what)]
    return found


_OLD = _draft(born=(DAY - 75 * 366, DAY - 75 * 366))
_NEW = _set(treatment_status=int(TreatmentStatus.NEW))


def _together(line: Line) -> Iterator[list[Change]]:
    """Things that a rule asks about together and that seldom meet by chance."""
    mg = _known(line).mg
    more = _set(dose_low=4 * mg, dose_high=4 * mg)
    often = _set(times_low=3, times_high=3)
    for liver in (_set(hepatic_grade=0), _set(hepatic_grade=2)):
        for dose in (more, _set(dose_low=None, dose_high=None)):
            yield [liver, _NEW, dose]
    yield [_OLD, _NEW, more]
    yield [_draft(holes={"medications"}), more]
    yield [_OLD, _NEW, often]
    yield [_OLD, _NEW, _set(dose_low=None, dose_high=None)]
    yield [_set(hepatic_grade=0), _and("conditions", _condition("K70.0"))]
    yield [_set(hepatic_grade=0), _draft(holes={"conditions"})]
    yield [_set(hepatic_grade=0), _and("conditions", _condition("K76.0")), _draft(holes={"conditions"})]
    yield [
        _and("conditions", _condition("G70.00")),
        _and("earlier", _taken("pyridostigmine 60 mg tablet", DAY - 2, 30)),
    ]
    yield [_and("conditions", _condition("K25.9")), _and("conditions", _condition("K31.1"))]
    for known in ("aspirin", "zzyzxoprine"):
        yield [_set(drug=concept_text(f"{line.ingredient} / aspirin", [])), _with("allergies", _allergy(known))]
    yield [_set(dose_low=2100.0, dose_high=2100.0, times_low=3, times_high=3, days_supply=3)]
    for age in (*(_at("age_years", 65 + side) for side in (-1, 0, 1)), _OLD):
        yield [age, _and("earlier", _taken("oxybutynin 5 mg tablet", DAY - 2, 30))]
        yield [age, _draft(partner="oxybutynin 5 mg tablet")]
        for counted in (2, 3, 4):
            yield [_at("cns_active_count", counted), age, _draft(partner="sertraline 50 mg tablet")]
            yield [_at("cns_active_count", counted), age, _draft(partner="topiramate 25 mg tablet")]
        yield [age, _set(falls=int(Answer.UNKNOWN))]
        yield [age, _set(falls=int(Answer.YES))]
        yield [age, _draft(holes={"conditions"})]
    opioid, other = _taken("oxycodone 5 mg tablet", DAY - 2, 30), _taken("lorazepam 1 mg tablet", DAY - 2, 30, "other")
    yield [_and("earlier", opioid), _and("earlier", other)]
    treated = _taken("buprenorphine 8 mg tablet", DAY - 2, 30)
    yield [_and("earlier", treated), _and("conditions", _condition("F11.20"))]
    yield [_at("episode_days_before", 60), _set(benefit_documented=int(Answer.UNKNOWN))]
    yield [_draft(partner="oxycodone 5 mg / zzyzxoprine 5 mg tablet")]
    conflict = [("http://www.nlm.nih.gov/research/umls/rxnorm", "7804", "")]
    yield [_set(drug=concept_text(_name(line), conflict))]
    own = [("http://www.whocc.no/atc", "M03BX02" if line.ingredient != "tizanidine" else "M03BX01", "")]
    yield [_set(drug=concept_text(_name(line), own))]


def _codes(condition_set: Any) -> list[str]:
    """A code of the set that is long enough to tell, and one that is too short to."""
    if not condition_set.icd10cm:
        return []
    code = condition_set.icd10cm[0].code
    return [code, code[:3]]


def _spelled(line: Line) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """The drug told in ways that leave something open, or more than one way."""
    return [
        (line.ingredient, []),
        (f"{line.ingredient} / aspirin", []),
        (f"{line.ingredient} / aspirin / codeine", []),
        (_name(line), [("http://www.whocc.no/atc", "N02AA05", "")]),  # code and text disagree
        (f"{_name(line)} zzyzx", []),
    ]


def _doubles(line: Line) -> list[Row]:
    drug = _name(line)
    return [
        _taken(drug, DAY - 2, 5) | {"prescriber": "d2"},
        _taken(drug, DAY - 2, 5) | {"prescriber": ""},
        _taken(drug, DAY - 2, None),
        _taken(drug, DAY - 40, 20),
        _taken(drug, DAY - 2, 5),
    ]


def _observed_not(what: str) -> Change:
    code = OBSERVED.index(what)
    return lambda draft: setattr(draft, "observations", [row for row in draft.observations if row["what"] != code])


def _partners(knowledge: Knowledge) -> list[str]:
    """Of each set of drugs the first two."""
    return list(dict.fromkeys(each.name for drugs in knowledge.medication_sets for each in drugs.ingredients[:2]))


def _unknown_partner(name: str) -> Change:
    """Whose refills are not told, so that it may still be taken."""
    return _and("earlier", _taken(f"{name} 5 mg tablet", DAY - 20, 10) | {"kind": int(RecordKind.ORDER),
                "refills": None, "status": 0})  # fmt: skip


_EMPTY: tuple[Change, ...] = (
    _draft(told=Told(*[Completeness.UNKNOWN] * 4)),
    _draft(told=Told(*[Completeness.PARTIAL] * 4)),
    _draft(told=Told(Completeness.COMPLETE)),
    _draft(told=Told(*[Completeness.UNKNOWN] * 4), labs=[], care=[], observations=[], allergies=[], born=None),
)


# --- numbers on and beside a limit ---------------------------------------------------------------------------------


def _numbers(program: Program) -> list[tuple[str, int]]:
    """Each fact and number that the program compares."""
    trees = [clause.when for live in program.rules for clause in live.clauses]
    trees += [live.applies for live in program.rules if live.applies is not None]
    leaves = [node for tree in trees for node in nodes(tree) if isinstance(node, Compare)]
    return sorted(
        {
            (leaf.left.name, leaf.right.value)
            for leaf in leaves
            if isinstance(leaf.left, FactRef) and isinstance(leaf.right, Number)
        }
    )


def _steps(fact: str) -> tuple[int, ...]:
    return (-500, 0, 500) if fact.endswith("_mg") else (-1, 0, 1)


def _at(fact: str, value: int) -> Change:
    """Makes a fact come to a value, as far as records can tell it."""

    def change(draft: Draft) -> None:
        order, drug = draft.order, _name(draft.line)
        match fact:
            case "single_dose_mg":
                order |= {"dose_low": value / 1000, "dose_high": value / 1000}
            case "daily_dose_mg":
                order |= {"dose_low": value / 4000, "dose_high": value / 4000, "times_low": 4, "times_high": 4}
            case "doses_per_day":
                order |= {"times_low": value or 1, "times_high": value or 1, "period_hours": 24 if value else 48}
            case "dose_interval_hours":
                order |= {"times_low": 1, "times_high": 1, "period_hours": max(1, value)}
            case "course_days":
                order["days_supply"] = value
            case "episode_days" | "class_episode_days":
                other = "methocarbamol 500 mg tablet" if draft.line.ingredient != "methocarbamol" else "metaxalone"
                order["days_supply"] = 7
                before = value - 7
                name = drug if fact == "episode_days" else other
                draft.earlier.append(_taken(name, DAY - before, before) | {"indications": order["indications"]})
            case "episode_days_before":
                draft.earlier.append(_taken(drug, DAY - value, value))
            case "days_in_hand":
                draft.earlier.append(_taken(drug, DAY - 10, 10 + value))
            case "days_since_relaxant_episode":
                draft.earlier.append(_taken("methocarbamol 500 mg tablet", DAY - 5 - value, 5))
            case "days_since_maoi":
                draft.earlier.append(_taken("phenelzine 15 mg tablet", DAY - 20 - value, 20))
            case "cns_active_count":
                names = ("gabapentin 300 mg capsule", "sertraline 50 mg tablet", "risperidone 1 mg tablet")
                draft.earlier += [_taken(name, DAY - 5, 30, name) for name in names[: value - 1]]
                draft.born = (DAY - 75 * 366, DAY - 75 * 366)
            case "age_years" | "age_months":
                born = DAY - round(value * (YEAR if fact == "age_years" else YEAR / 12)) - 5
                draft.born = (born, born)
            case "renal_lowest":
                draft.observations = [_observation("egfr", float(value)), _observation("crcl", float(value))]
            case "renal_clearance":
                draft.observations = [_observation("crcl", float(value))]
            case "days_since_myocardial_infarction":
                draft.conditions.append(_condition("I21.9", onset=DAY - value))
            case "days_since_aminotransferases" | "days_since_liver_panel":
                draft.labs = [_lab(test, 20.0, DAY - value) for test in (1, 2, 3, 4)]
            case "alt_percent_of_limit":
                draft.labs = [_lab(int(LiverTest.ALT), float(value), DAY - 10, 100.0), *draft.labs[1:]]
            case "liver_tests_percent_of_limit":
                draft.labs = [_lab(test, float(value), DAY - 10, 100.0) for test in (1, 2, 3, 4)]
            case _:
                raise AssertionError(f"no record is known that tells {fact}: say here how, or why none can")

    return change
