"""The plain, frozen types of the field, shared by every room of the house.

Conventions, everywhere below:

* `None`, `Answer.UNKNOWN` and `Completeness.UNKNOWN` mean *not known*; they never mean "no".
* Days are whole calendar days counted from 1970-01-01 (`date.toordinal() - EPOCH`); spans are half-open `[start, end)`.
* Doses inside are integer micrograms; `Quantity` keeps a number and its UCUM unit exactly as they were sent.
* What is made many times for each answer is a named tuple: it is made several times faster than a frozen dataclass.
* Enum numbers equal those of the contract in `proto/medsafety/v1` (a contract test holds them together).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from typing import Generic, NamedTuple, TypeVar

EPOCH = date(1970, 1, 1).toordinal()


def to_day(when: date) -> int:
    """Days from 1970-01-01 to `when`."""
    return when.toordinal() - EPOCH


def to_date(day: int) -> date:
    """The calendar date of a day number; the inverse of `to_day`."""
    return date.fromordinal(day + EPOCH)


# --- small vocabularies ------------------------------------------------------------------------------------------


class Answer(IntEnum):
    """A yes/no fact that may not be known."""

    UNKNOWN = 0
    NO = 1
    YES = 2


class Completeness(IntEnum):
    """How much of the truth a list holds. UNKNOWN with items is read as PARTIAL."""

    UNKNOWN = 0
    PARTIAL = 1
    COMPLETE = 2


class Severity(IntEnum):
    """Ordered; derived from (authority, verb) by `rules_data/severity.yaml`, never written by hand."""

    UNSPECIFIED = 0
    LOW = 1
    MODERATE = 2
    HIGH = 3
    CONTRAINDICATED = 4


class CheckStatus(IntEnum):
    UNSPECIFIED = 0
    FIRED = 1
    PASSED = 2
    NOT_APPLICABLE = 3
    NOT_EVALUATED = 4
    SUPPRESSED = 5
    ERROR = 6


class Overall(IntEnum):
    """The first that holds, in this order."""

    UNSPECIFIED = 0
    ALERTS = 1
    INCOMPLETE = 2
    ADVICE = 3
    CLEAR = 4


class RuleKind(IntEnum):
    UNSPECIFIED = 0
    DURATION = 1
    HEPATIC_DOSE = 2
    HEPATIC_USE = 3
    SEDATION = 4
    FUNCTION = 5
    CONTRAINDICATION = 6
    CAUTION = 7
    AGE = 8
    RENAL = 9
    PREGNANCY = 10
    LACTATION = 11
    DOSE = 12
    INTERACTION = 13
    DUPLICATE = 14
    INDICATION = 15
    CARE_PATHWAY = 16
    WITHDRAWAL = 17
    PRODUCT = 18


class RecordKind(IntEnum):
    """What a medication record is. UNSPECIFIED is read as ORDER for the order under check, STATEMENT for history."""

    UNSPECIFIED = 0
    ORDER = 1
    DISPENSING = 2
    STATEMENT = 3


class RecordStatus(IntEnum):
    """State of a medication record. Not sent counts as active when nothing says it has ended."""

    UNSPECIFIED = 0
    ACTIVE = 1
    COMPLETED = 2
    STOPPED = 3
    ENTERED_IN_ERROR = 4
    PLANNED = 5
    UNKNOWN = 6  # active or ended


class TreatmentStatus(IntEnum):
    """Whether the order starts the drug or carries it on, as the prescriber says."""

    UNSPECIFIED = 0
    NEW = 1
    CONTINUING = 2


class Sex(IntEnum):
    UNSPECIFIED = 0
    FEMALE = 1
    MALE = 2
    OTHER = 3


class HepaticGrade(IntEnum):
    UNSPECIFIED = 0
    NONE = 1
    MILD = 2
    MODERATE = 3
    SEVERE = 4


class ChildPughClass(IntEnum):
    UNSPECIFIED = 0
    A = 1
    B = 2
    C = 3


class Ascites(IntEnum):
    UNSPECIFIED = 0
    NONE = 1
    SLIGHT = 2
    MODERATE_TO_SEVERE = 3


class Encephalopathy(IntEnum):
    UNSPECIFIED = 0
    NONE = 1
    GRADE_1_2 = 2
    GRADE_3_4 = 3


class LiverTest(IntEnum):
    UNSPECIFIED = 0
    ALT = 1
    AST = 2
    ALP = 3
    BILIRUBIN = 4


class ConditionStatus(IntEnum):
    UNSPECIFIED = 0
    ACTIVE = 1
    RECURRENCE = 2
    RELAPSE = 3
    INACTIVE = 4
    REMISSION = 5
    RESOLVED = 6
    REFUTED = 7
    ENTERED_IN_ERROR = 8


class CareOutcome(IntEnum):
    """What became of a non-drug option. All but PLANNED count as tried."""

    UNSPECIFIED = 0
    PLANNED = 1
    ONGOING = 2
    HELPED = 3
    FAILED = 4
    DECLINED = 5


class View(IntEnum):
    """FULL carries texts, sources and options; BRIEF carries ids, severity, facts and what is missing."""

    UNSPECIFIED = 0
    FULL = 1
    BRIEF = 2


class MatchedBy(IntEnum):
    """How a medication was recognised."""

    NONE = 0
    RXNORM_PRODUCT = 1
    RXNORM_INGREDIENT = 2
    RXNORM_OTHER = 3
    ATC = 4
    SNOMED = 5
    PRODUCT_NAME = 6
    BRAND_NAME = 7
    INGREDIENT_NAME = 8
    SITE_CODE = 9


class Role(IntEnum):
    """What part an implicated item plays in an alert."""

    UNSPECIFIED = 0
    TRIGGER = 1
    CO_AGENT = 2
    HISTORY = 3
    CONDITION = 4
    LAB = 5
    CARE = 6


# --- what is sent ------------------------------------------------------------------------------------------------

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """Items and how complete they are. COMPLETE and empty = none; UNKNOWN and empty = unknown."""

    items: tuple[T, ...] = ()
    completeness: Completeness = Completeness.UNKNOWN

    @property
    def is_complete(self) -> bool:
        return self.completeness is Completeness.COMPLETE


@dataclass(frozen=True, slots=True)
class Coding:
    system: str
    code: str
    display: str = ""


@dataclass(frozen=True, slots=True)
class Medication:
    """A drug as the client names it: codes, free text or both."""

    codings: tuple[Coding, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A finite number > 0 with its UCUM unit, as sent. An empty unit is unknown, never mg."""

    value: float
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Frequency:
    """`times_low`..`times_high` administrations in each period of `period_hours` hours (24 = a day)."""

    times_low: int
    times_high: int
    period_hours: int = 24


@dataclass(frozen=True, slots=True)
class Condition:
    """A diagnosis or finding; dates are day numbers."""

    codings: tuple[Coding, ...] = ()
    text: str = ""
    status: ConditionStatus = ConditionStatus.UNSPECIFIED
    onset: int | None = None
    recorded_on: int | None = None
    id: str = ""


@dataclass(frozen=True, slots=True)
class Prescription:
    """The order (or dispensing) under check."""

    medication: Medication
    id: str = ""
    kind: RecordKind = RecordKind.ORDER
    dose_low: Quantity | None = None
    dose_high: Quantity | None = None
    frequency: Frequency | None = None
    as_needed: Answer = Answer.UNKNOWN
    dosage_text: str = ""
    route: str = ""
    ordered_on: int | None = None
    start: int | None = None
    end: int | None = None
    days_supply: int | None = None
    quantity: Quantity | None = None
    refills: int | None = None
    indications: tuple[Condition, ...] = ()
    status: TreatmentStatus = TreatmentStatus.UNSPECIFIED
    last_dose: Quantity | None = None
    benefit_documented: Answer = Answer.UNKNOWN
    prescriber_id: str = ""
    last_order: Answer = Answer.UNKNOWN
    tapering: Answer = Answer.UNKNOWN
    daily_most: Quantity | None = None  # most in 24 hours, as sent or as the sig text states it


@dataclass(frozen=True, slots=True)
class MedicationRecord:
    """One earlier or concurrent order, dispensing or statement. `known_on` is when it became known."""

    medication: Medication
    id: str = ""
    kind: RecordKind = RecordKind.UNSPECIFIED
    status: RecordStatus = RecordStatus.UNSPECIFIED
    known_on: int | None = None
    start: int | None = None
    end: int | None = None
    days_supply: int | None = None
    quantity: Quantity | None = None
    refills: int | None = None
    dose_low: Quantity | None = None
    dose_high: Quantity | None = None
    frequency: Frequency | None = None
    as_needed: Answer = Answer.UNKNOWN
    indications: tuple[Condition, ...] = ()
    prescriber_id: str = ""


@dataclass(frozen=True, slots=True)
class ChildPughInputs:
    bilirubin: Quantity
    albumin: Quantity
    inr: float
    ascites: Ascites
    encephalopathy: Encephalopathy


@dataclass(frozen=True, slots=True)
class LabResult:
    test: LiverTest
    value: Quantity
    upper_limit: Quantity | None = None
    on: int | None = None
    id: str = ""


@dataclass(frozen=True, slots=True)
class Hepatic:
    grade: HepaticGrade = HepaticGrade.UNSPECIFIED
    child_pugh_class: ChildPughClass = ChildPughClass.UNSPECIFIED
    child_pugh: ChildPughInputs | None = None
    labs: Listed[LabResult] = Listed()


@dataclass(frozen=True, slots=True)
class Renal:
    egfr: float | None = None  # mL/min/1.73 m2
    crcl: float | None = None  # mL/min
    dialysis: Answer = Answer.UNKNOWN


@dataclass(frozen=True, slots=True)
class Allergy:
    substance: Medication
    status: ConditionStatus = ConditionStatus.UNSPECIFIED
    id: str = ""


@dataclass(frozen=True, slots=True)
class CareTried:
    """A non-drug option in the record: by option id, by codings or by text."""

    option_id: str = ""
    codings: tuple[Coding, ...] = ()
    text: str = ""
    outcome: CareOutcome = CareOutcome.UNSPECIFIED
    on: int | None = None


@dataclass(frozen=True, slots=True)
class Patient:
    """What is known of the patient. A partial birth date is the range `born_earliest`..`born_latest`."""

    id: str = ""
    born_earliest: int | None = None
    born_latest: int | None = None
    age_years: int | None = None
    sex: Sex = Sex.UNSPECIFIED
    pregnant: Answer = Answer.UNKNOWN
    lactating: Answer = Answer.UNKNOWN
    hepatic: Hepatic = Hepatic()
    renal: Renal = Renal()
    conditions: Listed[Condition] = Listed()
    medications: Listed[MedicationRecord] = Listed()
    allergies: Listed[Allergy] = Listed()
    alcohol_use: Answer = Answer.UNKNOWN
    drives_or_operates_machinery: Answer = Answer.UNKNOWN
    falls: Answer = Answer.UNKNOWN
    care: Listed[CareTried] = Listed()
    spasticity_needed_for_function: Answer = Answer.UNKNOWN
    cyp2c19_reduced: Answer = Answer.UNKNOWN


@dataclass(frozen=True, slots=True)
class PriorOverride:
    """An alert that somebody overrode; `reason` is theirs, and only ever given back."""

    fingerprint: str
    on: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """One prescription to check. `as_of` is always set: the caller's, or derived by the door that took the call."""

    prescription: Prescription
    patient: Patient
    as_of: int
    prior_overrides: tuple[PriorOverride, ...] = ()
    not_processed: tuple[NotProcessed, ...] = ()  # sent, and already found unusable by the door


# --- what is answered --------------------------------------------------------------------------------------------


class Missing(NamedTuple):
    """A fact that could change an answer: its name, the request field that would settle it, and why it is open."""

    fact: str
    path: str
    why: str


class FactUsed(NamedTuple):
    """A fact behind an alert; `value` is printable, `evidence` names the records it came from."""

    name: str
    value: str
    unit: str = ""
    evidence: tuple[str, ...] = ()


class Threshold(NamedTuple):
    """`operator` `value` `unit`, with its basis (stated, derived, payer-criteria, policy) and limit name.

    `default` is the value without the site's policy, "" where that is the same.
    """

    fact: str
    operator: str
    value: str
    unit: str = ""
    basis: str = ""
    limit: str = ""
    default: str = ""


class Suggestion(NamedTuple):
    """A change to one field of the order: proto path, value as sent, value proposed."""

    field: str
    current: str
    proposed: str
    unit: str
    text: str


@dataclass(frozen=True, slots=True)
class Citation:
    """Where a statement stands, with what right it speaks and how it was read."""

    source_id: str
    title: str
    publisher: str
    section: str
    date: str
    url: str
    authority: str
    verb: str
    basis: str
    read_as: str
    status: str = ""


class Implicated(NamedTuple):
    role: Role
    reference: str  # record id, or the request path when the record has none
    display: str


class Check(NamedTuple):
    """The answer of one rule for one relaxant of the order (or, for pair rules, for one partner).

    `severity` is that of an alert that was kept back; UNSPECIFIED for every other answer.
    """

    rule_id: str
    rule_version: int
    subject: str  # medication line the rule spoke about; empty when it concerns the order itself
    status: CheckStatus
    reason: str = ""
    missing: tuple[Missing, ...] = ()
    severity: Severity = Severity.UNSPECIFIED


class AlertWords(NamedTuple):
    """What an alert says of given facts: the same for every patient who has them. `facts` are without evidence.

    `default_severity` is that without the site's policy, UNSPECIFIED where it is the same.
    """

    rule_id: str
    rule_version: int
    kind: RuleKind
    severity: Severity
    subject: str
    title: str
    message: str
    action: str
    computation: str
    facts: tuple[FactUsed, ...]
    thresholds: tuple[Threshold, ...]
    citations: tuple[Citation, ...]
    suggestions: tuple[Suggestion, ...]
    dur_codes: tuple[str, ...]
    act_codes: tuple[str, ...]
    patient_text: str = ""
    default_severity: Severity = Severity.UNSPECIFIED


class Alert(NamedTuple):
    """A rule that fired: its words, and what is of this patient and order alone.

    `interruptive`: it is meant to interrupt. `overridden_before`: the same alert was overridden.
    """

    words: AlertWords
    fingerprint: str
    facts: tuple[FactUsed, ...]
    missing: tuple[Missing, ...]
    implicated: tuple[Implicated, ...]
    care_option_ids: tuple[str, ...]
    pathway_step: int
    interruptive: bool = False
    overridden_before: PriorOverride | None = None

    @property
    def rule_id(self) -> str:
        return self.words.rule_id

    @property
    def rule_version(self) -> int:
        return self.words.rule_version

    @property
    def kind(self) -> RuleKind:
        return self.words.kind

    @property
    def severity(self) -> Severity:
        return self.words.severity

    @property
    def subject(self) -> str:
        return self.words.subject

    @property
    def title(self) -> str:
        return self.words.title

    @property
    def message(self) -> str:
        return self.words.message

    @property
    def action(self) -> str:
        return self.words.action

    @property
    def computation(self) -> str:
        return self.words.computation

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        return self.words.thresholds

    @property
    def citations(self) -> tuple[Citation, ...]:
        return self.words.citations

    @property
    def suggestions(self) -> tuple[Suggestion, ...]:
        return self.words.suggestions

    @property
    def dur_codes(self) -> tuple[str, ...]:
        return self.words.dur_codes

    @property
    def act_codes(self) -> tuple[str, ...]:
        return self.words.act_codes


class ResolvedIngredient(NamedTuple):
    name: str
    strength_ug: int | None = None
    per: str = ""  # "" = per unit of the form; "mL" = a concentration


class ResolvedMedication(NamedTuple):
    reference: str
    as_sent: str
    matched_by: MatchedBy
    matched_on: str
    ingredients: tuple[ResolvedIngredient, ...] = ()
    form: str = ""
    lines: tuple[str, ...] = ()  # medication files that speak for it; more than one when the form is open
    conflict: str = ""


class NotProcessed(NamedTuple):
    """Something sent that could not be used, with the field and the reason. Nothing is dropped silently."""

    path: str
    reason: str


class NormalizedOrder(NamedTuple):
    """The order as the rules saw it. Micrograms and days; None = not known; `notes` say how it was derived."""

    single_dose_low_ug: int | None = None
    single_dose_high_ug: int | None = None
    daily_dose_low_ug: int | None = None
    daily_dose_high_ug: int | None = None
    start: int | None = None
    days_low: int | None = None
    days_high: int | None = None
    days_source: str = ""
    refills: int | None = None
    course_days_low: int | None = None
    course_days_high: int | None = None
    new_start: Answer = Answer.UNKNOWN
    notes: tuple[str, ...] = ()


class PathwayStep(NamedTuple):
    number: int
    title: str
    text: str
    reached: bool


class CarePathway(NamedTuple):
    """The seed article's three steps, with the patient's place in them (0 = not about back pain, or not known)."""

    phase: str
    current_step: int
    steps: tuple[PathwayStep, ...]
    note: str = ""


class Decision(NamedTuple):
    """Everything decided about one prescription. The same input, `as_of` and digests give the same Decision."""

    overall: Overall
    highest_severity: Severity
    complete: bool
    as_of: int
    alerts: tuple[Alert, ...]
    checks: tuple[Check, ...]
    suppressed: tuple[Check, ...]
    resolved_medications: tuple[ResolvedMedication, ...]
    not_processed: tuple[NotProcessed, ...]
    normalized_order: NormalizedOrder
    care_pathway: CarePathway
    care_option_ids: tuple[str, ...]
    knowledge_version: str
    knowledge_digest: str
    policy_id: str
    policy_digest: str
    engine_version: str
    conflicts: tuple[str, ...] = ()
