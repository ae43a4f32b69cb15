"""Cases: facts on the left, right answers on the right, in a table that a pharmacist can read; put to the engine.

The format is described in `rules_data/cases/README.md`. A row says only what differs from a harmless background in
which everything is known; the background is the default of each field of `Row`. What is not understood is refused with
file and line: nothing in a row is skipped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, ParamSpec, TypeAlias, TypeVar

from pydantic import ConfigDict, Field, RootModel

from safety_service.domain import (
    Alert,
    Allergy,
    Answer,
    Ascites,
    CareOutcome,
    CareTried,
    Check,
    CheckRequest,
    CheckStatus,
    ChildPughClass,
    ChildPughInputs,
    Coding,
    Completeness,
    Condition,
    ConditionStatus,
    Decision,
    Encephalopathy,
    Frequency,
    Hepatic,
    HepaticGrade,
    LabResult,
    Listed,
    LiverTest,
    Medication,
    MedicationRecord,
    Patient,
    Prescription,
    Quantity,
    RecordKind,
    RecordStatus,
    Renal,
    Role,
    Sex,
    TreatmentStatus,
    to_day,
)
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import RULES_DATA
from safety_service.knowledge.read import KnowledgeError, Problem, read_document, validate
from safety_service.knowledge.schema import SeverityName, Strict, Text

CASES = RULES_DATA / "cases"
DAY_0 = date(2026, 11, 2)  # start of the order and day of the check, unless a row says otherwise

# --- a row as it is written --------------------------------------------------------------------------------------

YesNo: TypeAlias = bool | Literal["unknown"]
Words: TypeAlias = Text | tuple[Text, ...]
Day: TypeAlias = int | Text  # days from DAY_0, or a date


class OpenList(Strict):
    """A list of which it is not known that it is complete: said to be partial, or not said at all."""

    partial: tuple[Text, ...] | None = None
    unmarked: tuple[Text, ...] | None = None


Items: TypeAlias = Literal["unknown", "none"] | tuple[Text, ...] | OpenList


class HepaticInputs(Strict):
    """More than one thing stated of the liver: grade, class, or all five inputs of Child-Pugh."""

    grade: Literal["none", "mild", "moderate", "severe"] | None = None
    child_pugh: Literal["A", "B", "C"] | None = None
    bilirubin: Text | None = None
    albumin: Text | None = None
    inr: float | int | None = None
    ascites: Literal["none", "slight", "moderate-to-severe"] = "none"
    encephalopathy: Literal["none", "grade-1-2", "grade-3-4"] = "none"


_NORMAL_LABS = (
    "ALT 20/40 U/L day -10",
    "AST 20/40 U/L day -10",
    "ALP 60/120 U/L day -10",
    "bilirubin 10/20 umol/L day -10",
)


class Row(Strict):
    """One case. The defaults of the facts are the background: an adult of whom all is known and nothing is wrong."""

    name: Text | None = None
    # --- facts of the order
    drug: Text
    dose: Text | None = None
    sig: Text | None = None
    days: int | Literal["unknown"] = 7
    end: Day | None = None
    refills: int | Literal["unknown"] = 0
    quantity: Text | int | None = None
    ordered: Day | None = None
    start: Day = 0
    as_of: Day | None = None
    kind: Literal["order", "dispensing"] = "order"
    new: YesNo = "unknown"  # as the prescriber says; the history decides when it is not said
    indication: Words = "M62.830"
    last_dose: Text | None = None
    benefit: YesNo = "unknown"
    last_order: YesNo = "unknown"
    tapering: YesNo = "unknown"
    prescriber: Text = ""
    route: Text = ""
    # --- facts of the patient
    age: int | Literal["unknown"] = 40
    born: int | Text | None = None
    sex: Literal["male", "female", "other", "unknown"] = "male"
    pregnant: YesNo = "unknown"
    lactating: YesNo = "unknown"
    renal: Text = "egfr 90"
    allergies: Items = ()
    needs_spasticity: YesNo = False
    cyp2c19_reduced: YesNo = False
    hepatic: Text | HepaticInputs = "none"
    problems: Items = ()
    meds: Items = ()
    labs: Items = _NORMAL_LABS
    drives: YesNo = False
    alcohol: YesNo = False
    falls: YesNo = False
    care: Items = ("exercise ongoing",)
    # --- answers
    fired: tuple[Text, ...] = ()
    passed: tuple[Text, ...] = ()
    not_evaluated: tuple[Text, ...] | dict[Text, Words] = ()
    not_applicable: tuple[Text, ...] = ()
    absorbed: dict[Text, Text] = Field(default_factory=dict)
    severity: dict[Text, SeverityName] = Field(default_factory=dict)
    suggest: dict[Text, Words] = Field(default_factory=dict)
    says: dict[Text, Words] = Field(default_factory=dict)
    because: dict[Text, Text] = Field(default_factory=dict)
    send: dict[Text, Words] = Field(default_factory=dict)
    partners: dict[Text, Words] = Field(default_factory=dict)
    computed: dict[Text, bool | int | float | Text] = Field(default_factory=dict)
    overall: Literal["ALERTS", "INCOMPLETE", "ADVICE", "CLEAR"] | None = None
    highest: SeverityName | None = None
    complete: bool | None = None
    only: bool = False
    not_processed: Words = ()
    conflict: Words = ()
    care_options: tuple[Text, ...] = ()
    phase: Literal["acute", "subacute", "chronic", "unknown"] | None = None
    step: int | None = None


class CaseFile(RootModel[tuple[Row, ...]]):
    model_config = ConfigDict(frozen=True, strict=True)


@dataclass(frozen=True, slots=True)
class Case:
    """A row ready to be put to the engine. `file` is its file's name without folder and suffix; `line` is from 1."""

    file: str
    line: int
    name: str
    row: Row
    request: CheckRequest

    @property
    def id(self) -> str:
        return f"{self.file}:{self.line} {self.name}"


def read_cases(folder: Path = CASES) -> tuple[Case, ...]:
    """All cases of a folder, by file and line. Raises KnowledgeError with every row that is not understood."""
    cases: list[Case] = []
    problems: list[Problem] = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            document = read_document(path, f"cases/{path.name}")
            rows = validate(document, CaseFile).root
        except KnowledgeError as error:
            problems += error.problems
            continue
        for i, row in enumerate(rows):
            try:
                request = _request(row)
            except _FieldError as error:
                problems.append(document.problem(f"{error.field}: {error.reason}", i, error.field))
                continue
            cases.append(Case(path.stem, document.line(i), row.name or row.drug, row, request))
    if not cases and not problems:
        problems.append(Problem("cases", 1, "the folder has no cases"))
    if problems:
        raise KnowledgeError(problems)
    return tuple(cases)


# --- from a row to a request -------------------------------------------------------------------------------------


class _FieldError(ValueError):
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field
        self.reason = reason


_RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
_ATC = "http://www.whocc.no/atc"
_ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
_SNOMED = "http://snomed.info/sct"
_PIECES = {"tablet": "{tbl}", "tablets": "{tbl}", "capsule": "{cap}", "capsules": "{cap}"}
_NUMBER = r"\d+(?:\.\d+)?"
_DAY = r"(?:day (?P<{0}>-?\d+)|(?:on )?(?P<{0}_date>\d{{4}}-\d\d-\d\d))"

_DRUG = re.compile(r"(?P<system>rxnorm|atc) (?P<code>\S+)(?: named (?P<named>.+))?")
_DOSE = re.compile(
    rf"(?:(?P<low>{_NUMBER})-)?(?P<high>{_NUMBER})(?: (?P<unit>(?!x\d|prn)[^\s\d]\S*))?"
    r"(?: x(?:(?P<fewest>\d+)-)?(?P<most>\d+)(?: every (?P<hours>\d+) h)?)?(?P<prn> prn)?"
)
_RECORD = re.compile(
    r"(?P<drug>.+?)(?: (?P<kind>ordered|dispensed|stated))?"
    r"(?: (?P<status>active|completed|stopped|planned|unknown|error))?"
    r"(?: by (?P<prescriber>\S+))?"
    rf"(?: {_DAY.format('start')})?(?: for (?P<days>\d+) d)?(?: until {_DAY.format('end')})?"
    r"(?: refills (?P<refills>\d+))?(?: quantity (?P<quantity>\d+(?: tablets| capsules)?))?(?: dose (?P<dose>.+?))?"
    rf"(?: for (?P<indication>(?:[A-Z]\d|snomed ).*?))?(?: known {_DAY.format('known')})?"
)
_LEFT_OVER = re.compile(r"\b(?:day|for|until|refills|quantity|dose|known|ordered|dispensed|active|stopped|completed)\b")
_CONDITION = re.compile(
    r"(?:(?P<icd>[A-Z]\d\S*)|snomed (?P<snomed>\d+)|text (?P<text>.+?))"
    r"(?: (?P<status>active|recurrence|relapse|inactive|remission|resolved|refuted|entered-in-error))?"
    rf"(?: since {_DAY.format('onset')})?(?: recorded {_DAY.format('recorded')})?"
)
_LAB = re.compile(
    rf"(?P<test>ALT|AST|ALP|bilirubin) (?P<value>{_NUMBER})(?:/(?P<limit>{_NUMBER}))?(?: (?P<unit>[^\s\d]\S*))?"
    rf"(?: {_DAY.format('on')})?"
)
_RENAL = re.compile(rf"(?:crcl (?P<crcl>{_NUMBER}))?(?: ?egfr (?P<egfr>{_NUMBER}))?(?P<dialysis> ?dialysis)?")
_ALLERGY = re.compile(r"(?P<substance>.+?)(?: (?P<status>active|inactive|resolved|refuted|entered-in-error))?")
_CARE = re.compile(rf"(?P<text>.+?)(?: (?P<outcome>planned|ongoing|helped|failed|declined))?(?: {_DAY.format('on')})?")
_BORN = re.compile(r"(?P<year>\d{4})(?:-(?P<month>\d\d))?(?:-(?P<day>\d\d))?")
_KINDS = {"ordered": RecordKind.ORDER, "dispensed": RecordKind.DISPENSING, "stated": RecordKind.STATEMENT}
_ANSWERS: Mapping[bool | str, Answer] = {True: Answer.YES, False: Answer.NO, "unknown": Answer.UNKNOWN}
_NEW: Mapping[bool | str, TreatmentStatus] = {
    True: TreatmentStatus.NEW,
    False: TreatmentStatus.CONTINUING,
    "unknown": TreatmentStatus.UNSPECIFIED,
}
_GRADES: Mapping[str, HepaticGrade] = {
    grade.name.lower(): grade for grade in HepaticGrade if grade is not HepaticGrade.UNSPECIFIED
}

T = TypeVar("T")
V = TypeVar("V")
P = ParamSpec("P")


def _request(row: Row) -> CheckRequest:
    """Raises _FieldError naming the field that is not understood."""
    dose = _DosePart() if row.dose is None else _read("dose", _dose, row.dose)
    born = (None, None) if row.born is None else _read("born", _born, str(row.born))
    prescription = Prescription(
        medication=_read("drug", _medication, row.drug),
        id="order",
        kind=RecordKind[row.kind.upper()],
        dose_low=dose.low,
        dose_high=dose.high,
        frequency=dose.frequency,
        as_needed=dose.as_needed if row.sig is None or row.dose is not None else Answer.UNKNOWN,
        dosage_text=row.sig or "",
        route=row.route,
        ordered_on=None if row.ordered is None else _read("ordered", _day, row.ordered),
        start=None if row.start == "unknown" else _read("start", _day, row.start),
        end=None if row.end is None else _read("end", _day, row.end),
        days_supply=None if row.days == "unknown" else row.days,
        quantity=None if row.quantity is None else _read("quantity", _amount, str(row.quantity)),
        refills=None if row.refills == "unknown" else row.refills,
        indications=tuple(
            _read("indication", _condition, each) for each in _words(row.indication) if each != "unknown"
        ),
        status=_NEW[row.new],
        last_dose=None if row.last_dose is None else _read("last_dose", _amount, row.last_dose),
        benefit_documented=_ANSWERS[row.benefit],
        prescriber_id=row.prescriber,
        last_order=_ANSWERS[row.last_order],
        tapering=_ANSWERS[row.tapering],
    )
    patient = Patient(
        id="patient",
        born_earliest=born[0],
        born_latest=born[1],
        age_years=None if row.age == "unknown" or row.born is not None else row.age,
        sex=Sex.UNSPECIFIED if row.sex == "unknown" else Sex[row.sex.upper()],
        pregnant=_ANSWERS[row.pregnant],
        lactating=_ANSWERS[row.lactating],
        renal=_read("renal", _renal, row.renal),
        allergies=_read("allergies", _listed, row.allergies, _allergy),
        spasticity_needed_for_function=_ANSWERS[row.needs_spasticity],
        cyp2c19_reduced=_ANSWERS[row.cyp2c19_reduced],
        hepatic=_read("hepatic", _hepatic, row.hepatic, _read("labs", _listed, row.labs, _lab)),
        conditions=_read("problems", _listed, row.problems, _condition),
        medications=_read("meds", _listed, row.meds, _record),
        alcohol_use=_ANSWERS[row.alcohol],
        drives_or_operates_machinery=_ANSWERS[row.drives],
        falls=_ANSWERS[row.falls],
        care=_read("care", _listed, row.care, _care),
    )
    return CheckRequest(prescription, patient, to_day(DAY_0) if row.as_of is None else _read("as_of", _day, row.as_of))


def _read(field: str, function: Callable[P, V], *args: P.args, **kwargs: P.kwargs) -> V:
    try:
        return function(*args, **kwargs)
    except ValueError as error:
        raise _FieldError(field, str(error)) from None


def _match(pattern: re.Pattern[str], text: str, form: str) -> dict[str, str]:
    """The parts of a text that are there. Raises ValueError with the form it should have."""
    found = pattern.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} does not read as {form}")
    return {name: value for name, value in found.groupdict().items() if value is not None}


def _words(given: Words) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else given


def _listed(given: Items, item: Callable[[str], T]) -> Listed[T]:
    match given:
        case "unknown":
            return Listed()
        case "none":
            return Listed((), Completeness.COMPLETE)
        case tuple():
            return Listed(tuple(map(item, given)), Completeness.COMPLETE)
    if (given.partial is None) == (given.unmarked is None):
        raise ValueError("an open list holds either 'partial' or 'unmarked'")
    if given.partial is not None:
        return Listed(tuple(map(item, given.partial)), Completeness.PARTIAL)
    return Listed(tuple(map(item, given.unmarked or ())), Completeness.UNKNOWN)


def _day(given: Day) -> int:
    if isinstance(given, int):
        return to_day(DAY_0) + given
    try:
        return to_day(date.fromisoformat(given))
    except ValueError:
        raise ValueError(f"{given!r} is neither days from {DAY_0} nor a date") from None


def _on(parts: Mapping[str, str], name: str) -> int | None:
    if name in parts:
        return _day(int(parts[name]))
    return _day(parts[f"{name}_date"]) if f"{name}_date" in parts else None


def _born(text: str) -> tuple[int, int]:
    """First and last possible day of birth: a year, a month or a day may be given."""
    parts = _match(
        re.compile(r"(?P<year>\d{4})(?:-(?P<month>\d\d))?(?:-(?P<day>\d\d))?"), text, "YYYY, YYYY-MM or a date"
    )
    year, month = int(parts["year"]), parts.get("month")
    if "day" in parts:
        return (_day(text),) * 2
    first = date(year, int(month or 1), 1)
    after = date(year + 1, 1, 1) if month in (None, "12") else date(year, int(month) + 1, 1)
    return to_day(first), to_day(after) - 1


def _medication(text: str) -> Medication:
    parts = _DRUG.fullmatch(text)
    if parts is None:
        return Medication((), text)
    system = _RXNORM if parts["system"] == "rxnorm" else _ATC
    return Medication((Coding(system, parts["code"]),), parts["named"] or "")


@dataclass(frozen=True, slots=True)
class _DosePart:
    low: Quantity | None = None
    high: Quantity | None = None
    frequency: Frequency | None = None
    as_needed: Answer = Answer.NO


def _dose(text: str) -> _DosePart:
    parts = _match(_DOSE, text, "'10 mg x3', '5-10 mg x1-3 prn' or '1 tablet x1 every 8 h'")
    unit = _PIECES.get(parts.get("unit", ""), parts.get("unit", ""))
    frequency = None
    if "most" in parts:
        most = int(parts["most"])
        frequency = Frequency(int(parts.get("fewest", most)), most, int(parts.get("hours", 24)))
    return _DosePart(
        low=Quantity(float(parts["low"]), unit) if "low" in parts else None,
        high=Quantity(float(parts["high"]), unit),
        frequency=frequency,
        as_needed=Answer.YES if "prn" in parts else Answer.NO,
    )


def _amount(text: str) -> Quantity:
    dose = _dose(text)
    if dose.high is None or dose.low is not None or dose.frequency is not None or dose.as_needed is Answer.YES:
        raise ValueError(f"{text!r} does not read as '10 mg' or '30 tablets'")
    return dose.high


def _condition(text: str) -> Condition:
    parts = _match(_CONDITION, text, "'M54.50 [status] [since day N] [recorded day N]', 'snomed CODE' or 'text WORDS'")
    codings: tuple[Coding, ...] = ()
    if "icd" in parts:
        codings = (Coding(_ICD10CM, parts["icd"]),)
    elif "snomed" in parts:
        codings = (Coding(_SNOMED, parts["snomed"]),)
    status = parts.get("status", "unspecified")
    return Condition(
        codings=codings,
        text=parts.get("text", ""),
        status=ConditionStatus[status.upper().replace("-", "_")],
        onset=_on(parts, "onset"),
        recorded_on=_on(parts, "recorded"),
    )


def _record(text: str) -> MedicationRecord:
    parts = _match(_RECORD, text, "a medication record")
    if _LEFT_OVER.search(parts["drug"]):
        raise ValueError(
            f"{text!r} does not read as 'DRUG [ordered|dispensed|stated] [status] [by PRESCRIBER] [day N] [for N d] "
            "[until day N] [refills N] [quantity N] [dose D] [for CODE] [known day N]', in this order"
        )
    dose = _dose(parts["dose"]) if "dose" in parts else _DosePart(as_needed=Answer.UNKNOWN)
    status = parts.get("status", "unspecified")
    return MedicationRecord(
        medication=_medication(parts["drug"]),
        kind=_KINDS[parts["kind"]] if "kind" in parts else RecordKind.UNSPECIFIED,
        status=RecordStatus.ENTERED_IN_ERROR if status == "error" else RecordStatus[status.upper()],
        known_on=_on(parts, "known"),
        start=_on(parts, "start"),
        end=_on(parts, "end"),
        days_supply=int(parts["days"]) if "days" in parts else None,
        quantity=_amount(parts["quantity"]) if "quantity" in parts else None,
        refills=int(parts["refills"]) if "refills" in parts else None,
        dose_low=dose.low,
        dose_high=dose.high,
        frequency=dose.frequency,
        as_needed=dose.as_needed,
        indications=(_condition(parts["indication"]),) if "indication" in parts else (),
        prescriber_id=parts.get("prescriber", ""),
    )


def _lab(text: str) -> LabResult:
    parts = _match(_LAB, text, "'ALT 120/40 U/L day -10' (value/limit, both optional but the value)")
    unit = parts.get("unit", "")
    return LabResult(
        test=LiverTest[parts["test"].upper()],
        value=Quantity(float(parts["value"]), unit),
        upper_limit=Quantity(float(parts["limit"]), unit) if "limit" in parts else None,
        on=_on(parts, "on"),
    )


def _renal(text: str) -> Renal:
    if text == "unknown":
        return Renal()
    parts = _match(_RENAL, text, "'crcl 40', 'egfr 55', 'crcl 40 egfr 55', 'dialysis' or 'unknown'")
    return Renal(
        egfr=float(parts["egfr"]) if "egfr" in parts else None,
        crcl=float(parts["crcl"]) if "crcl" in parts else None,
        dialysis=Answer.YES if "dialysis" in parts else Answer.UNKNOWN,
    )


def _allergy(text: str) -> Allergy:
    parts = _match(_ALLERGY, text, "'DRUG [active|inactive|resolved|refuted|entered-in-error]'")
    status = parts.get("status", "unspecified").upper().replace("-", "_")
    return Allergy(_medication(parts["substance"]), ConditionStatus[status])


def _care(text: str) -> CareTried:
    parts = _match(_CARE, text, "'exercise ongoing'")
    outcome = parts.get("outcome", "unspecified")
    return CareTried(text=parts["text"], outcome=CareOutcome[outcome.upper()], on=_on(parts, "on"))


def _hepatic(given: str | HepaticInputs, labs: Listed[LabResult]) -> Hepatic:
    if isinstance(given, str):
        if given == "unknown":
            return Hepatic(labs=labs)
        if given in _GRADES:
            return Hepatic(grade=_GRADES[given], labs=labs)
        if given in ("child-pugh A", "child-pugh B", "child-pugh C"):
            return Hepatic(child_pugh_class=ChildPughClass[given[-1]], labs=labs)
        raise ValueError(f"{given!r} is not unknown, none, mild, moderate, severe or 'child-pugh A' (B, C)")
    inputs = None
    if given.bilirubin is not None and given.albumin is not None and given.inr is not None:
        inputs = ChildPughInputs(
            bilirubin=_amount(given.bilirubin),
            albumin=_amount(given.albumin),
            inr=float(given.inr),
            ascites=Ascites[given.ascites.upper().replace("-", "_")],
            encephalopathy=Encephalopathy[given.encephalopathy.upper().replace("-", "_")],
        )
    elif (given.bilirubin, given.albumin, given.inr) != (None, None, None):
        raise ValueError("bilirubin, albumin and inr go together")
    return Hepatic(
        grade=HepaticGrade.UNSPECIFIED if given.grade is None else _GRADES[given.grade],
        child_pugh_class=ChildPughClass.UNSPECIFIED if given.child_pugh is None else ChildPughClass[given.child_pugh],
        child_pugh=inputs,
        labs=labs,
    )


# --- from a decision to what is wrong with it --------------------------------------------------------------------


def run_case(knowledge: Knowledge, case: Case) -> tuple[str, ...]:
    """What the engine answers differently from the row, in words; empty when the case holds."""
    return compare(knowledge, case.row, check(knowledge, case.request))


def compare(knowledge: Knowledge, row: Row, decision: Decision) -> tuple[str, ...]:
    """Every difference between a row's answers and a decision. What the row does not list is free."""
    return (*_unknown_rules(knowledge, row), *_statuses(row, decision), *_alerts(row, decision), *_rest(row, decision))


def _unknown_rules(knowledge: Knowledge, row: Row) -> Iterator[str]:
    rules = [rule.id for rule in knowledge.rules]
    tables = (row.severity, row.suggest, row.says, row.because, row.send, row.partners, row.absorbed)
    listed = (*row.fired, *row.passed, *row.not_evaluated, *row.not_applicable, *row.absorbed.values())
    for key in dict.fromkeys((*listed, *(key for table in tables for key in table))):
        rule_id = key.partition("@")[0]
        if rule_id not in rules:
            near = get_close_matches(rule_id, rules, n=1)
            yield f"no rule is called {rule_id!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def _of(key: str, found: Iterable[T]) -> list[T]:
    """The checks or alerts of a rule; `rule@line` means those about one product line, `rule@order` about none."""
    rule_id, at, subject = key.partition("@")
    return [
        each
        for each in found
        if isinstance(each, Check | Alert)
        and each.rule_id == rule_id
        and (not at or subject == (each.subject or "order"))
    ]


def _statuses(row: Row, decision: Decision) -> Iterator[str]:
    wanted = [(key, CheckStatus.FIRED) for key in row.fired]
    wanted += [(key, CheckStatus.PASSED) for key in row.passed]
    wanted += [(key, CheckStatus.NOT_EVALUATED) for key in row.not_evaluated]
    wanted += [(key, CheckStatus.NOT_APPLICABLE) for key in (*row.not_applicable, *row.absorbed)]
    for key, status in wanted:
        checks = _of(key, decision.checks)
        if not checks:
            yield f"{key}: {status.name} expected, there is no such check"
        for each in checks:
            if each.status is not status:
                why = "".join(f" (missing {m.fact}: {m.why})" for m in each.missing) or f" ({each.reason})" * bool(
                    each.reason
                )
                yield f"{key}: {status.name} expected, {each.status.name} found{why}"
    if isinstance(row.not_evaluated, dict):
        for key, facts in row.not_evaluated.items():
            for each in _of(key, decision.checks):
                found = {missing.fact for missing in each.missing}
                if each.status is CheckStatus.NOT_EVALUATED and found != set(_words(facts)):
                    yield f"{key}: {', '.join(_words(facts))} expected as missing, {', '.join(sorted(found))} found"
    for key, by in row.absorbed.items():
        for each in _of(key, decision.checks):
            if each.reason != f"absorbed by {by}":
                yield f"{key}: absorbed by {by} expected, reason found: {each.reason!r}"
    for key, words in row.because.items():
        for each in _of(key, decision.checks):
            reasons = [each.reason, *(missing.why for missing in each.missing)]
            if not any(words in reason for reason in reasons):
                yield f"{key}: reason with {words!r} expected, {' | '.join(filter(None, reasons))!r} found"
    for key, paths in row.send.items():
        for each in _of(key, decision.checks):
            found = {missing.path for missing in each.missing}
            if found != set(_words(paths)):
                yield f"{key}: to send {', '.join(_words(paths))} expected, {', '.join(sorted(found))} found"
    if row.only:
        fired = {each.rule_id for each in decision.checks if each.status is CheckStatus.FIRED}
        for extra in sorted(fired - {key.partition("@")[0] for key in row.fired}):
            yield f"{extra}: fired, and only the listed rules may"


def _alerts(row: Row, decision: Decision) -> Iterator[str]:
    for key, severity in row.severity.items():
        yield from _each_alert(key, decision, lambda a: a.severity.name, severity)
    for key, texts in row.suggest.items():
        wanted = () if texts == "nothing" else _words(texts)
        proposed = [[each.text for each in alert.suggestions] for alert in _of(key, decision.alerts)]
        for found in proposed or [[]]:
            if not proposed or len(found) != len(wanted) or not all(map(str.__contains__, found, wanted)):
                yield f"{key}: to suggest {' and '.join(wanted) or 'nothing'} expected, {found} found"
    for key, texts in row.says.items():
        for text in _words(texts):
            yield from _each_alert(
                key, decision, lambda a: " | ".join((a.title, a.message, a.action, a.computation)), text, True
            )
    for key, names in row.partners.items():
        yield from _each_alert(
            key,
            decision,
            lambda a: ", ".join(sorted(i.display for i in a.implicated if i.role in (Role.CO_AGENT, Role.HISTORY))),
            ", ".join(sorted(_words(names))),
        )


def _each_alert(
    key: str, decision: Decision, told: Callable[[Alert], str], wanted: str, contains: bool = False
) -> Iterator[str]:
    alerts = _of(key, decision.alerts)
    if not alerts:
        yield f"{key}: no alert to look at for {wanted!r}"
    for each in alerts:
        found = told(each)
        if wanted not in found if contains else wanted != found:
            yield f"{key}: {wanted!r} expected, {found!r} found"


def _rest(row: Row, decision: Decision) -> Iterator[str]:
    expected = (
        ("overall", row.overall, decision.overall.name),
        ("highest", row.highest, decision.highest_severity.name),
        ("complete", row.complete, decision.complete),
        ("phase", row.phase, decision.care_pathway.phase or "unknown"),
        ("step", row.step, decision.care_pathway.current_step),
    )
    for field, wanted, found in expected:
        if wanted is not None and wanted != found:
            yield f"{field}: {wanted} expected, {found} found"
    told = told_facts(decision)
    for name, value in row.computed.items():
        written = {True: "yes", False: "no"}[value] if isinstance(value, bool) else f"{value}"
        if told.get(name) != written:
            yield f"{name}: {written} expected, {told.get(name, 'nothing told')} found"
    paths = [each.path for each in decision.not_processed]
    for path in _words(row.not_processed):
        if path not in paths:
            yield f"not_processed: {path} expected, {paths} found"
    said = (*decision.conflicts, *decision.normalized_order.notes)
    for words in _words(row.conflict):
        if not any(words in each for each in said):
            yield f"conflict: {words!r} expected, {list(said)} found"
    for option in row.care_options:
        if option not in decision.care_option_ids:
            yield f"care_options: {option} expected, {list(decision.care_option_ids)} found"


def told_facts(decision: Decision) -> dict[str, str]:
    """What a decision tells of its facts: the order as it was understood, and the facts behind alerts."""
    order = decision.normalized_order
    told = {
        "days": _range(order.days_low, order.days_high),
        "course_days": _range(order.course_days_low, order.course_days_high),
        "single_dose_mg": _range(order.single_dose_low_ug, order.single_dose_high_ug, 1000),
        "daily_dose_mg": _range(order.daily_dose_low_ug, order.daily_dose_high_ug, 1000),
        "days_source": order.days_source or "unknown",
        "new_start": order.new_start.name.lower(),
    }
    for alert in decision.alerts:
        told |= {fact.name: fact.value for fact in alert.facts if fact.name not in told}
    return told


def _range(low: int | None, high: int | None, scale: int = 1) -> str:
    if low is None:
        return "unknown"
    if low == high:
        return f"{low / scale:g}"
    return f"at least {low / scale:g}" if high is None else f"{low / scale:g} to {high / scale:g}"
