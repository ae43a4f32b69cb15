"""The shape of every file in `rules_data/`, as strict pydantic models: what is not described here is refused."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(?:[.-][a-z0-9]+)*$")]
RuleId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(?:[.-](?:[a-z0-9]+|<drug>))*$")]
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Authority(StrEnum):
    """Who speaks. The order of rank is not implied: severity follows from (authority, verb) only."""

    LABEL = "label"
    FDA = "fda-communication"
    CRITERIA = "criteria"  # AGS Beers
    GUIDELINE = "guideline"
    ARTICLE = "article"  # the seed article
    POLICY = "policy"  # no source: a number of this service that a site may change


class Basis(StrEnum):
    STATED = "stated"  # the source gives it in these terms
    DERIVED = "derived"  # arithmetic from the source; `arithmetic` shows it
    PAYER_CRITERIA = "payer-criteria"
    POLICY = "policy"


class ReadAs(StrEnum):
    """How the statement was read. One secondary source alone caps the severity at MODERATE."""

    SOURCE = "source"  # the document itself
    COPY = "copy"  # a page that quotes or reproduces it
    TWO_SECONDARY = "two-secondary"  # two independent sources attribute it to the document
    SECONDARY = "secondary"  # one secondary source


class Review(Strict):
    """Nobody is named who has not reviewed."""

    status: Literal["not_reviewed", "reviewed"]
    reviewer: Text | None = None
    on: Text | None = None

    @model_validator(mode="after")
    def _a_review_names_its_reviewer(self) -> Review:
        named = self.reviewer is not None and self.on is not None
        if named != (self.status == "reviewed"):
            raise ValueError("reviewer and date are given exactly when status is 'reviewed'")
        return self


# --- sources.yaml ------------------------------------------------------------------------------------------------


class Copy(Strict):
    """A place where the source was read."""

    id: Text
    url: Text
    note: Text | None = None


class Source(Strict):
    """A document that statements rest on. `date` is its edition or revision as far as known, in words if need be."""

    id: Id
    title: Text
    publisher: Text
    kind: Literal["label", "fda-communication", "criteria", "guideline", "article", "review", "code-system", "policy"]
    date: Text
    url: Text
    status: Literal["current", "lapsed", "superseded", "unknown"] = "unknown"
    status_note: Text | None = None
    copies: tuple[Copy, ...] = ()


class SourceFile(Strict):
    sources: tuple[Source, ...]


# --- medications/*.yaml ------------------------------------------------------------------------------------------


class Statement(Strict):
    """One fact with its right to speak. `value` is a number, a list of values, or absent for a mere statement."""

    value: float | int | tuple[Text, ...] | None = None
    unit: Text | None = None
    authority: Authority
    verb: Text
    basis: Basis
    arithmetic: Text | None = None
    source: Id
    section: Text
    read_as: ReadAs
    seen_in: tuple[Text, ...] = ()
    says: Text  # our paraphrase, for people
    also: tuple[Text, ...] = ()  # agreeing or conflicting words of other sources, each with its source in brackets

    @model_validator(mode="after")
    def _derived_shows_its_arithmetic(self) -> Statement:
        if (self.basis is Basis.DERIVED) != (self.arithmetic is not None):
            raise ValueError("arithmetic is given exactly when basis is 'derived'")
        return self


class Arm(Strict):
    """One arm of a label's adverse-reaction table, percent of patients."""

    arm: Text
    single_mg: float | int | None = None  # None: placebo or all doses together
    placebo: bool = False
    n: int | None = None
    percent: dict[Text, float | int | Text]


class Figures(Strict):
    """A label's own percentages, for counselling."""

    source: Id
    section: Text
    read_as: ReadAs
    seen_in: tuple[Text, ...] = ()
    trial: Text
    arms: tuple[Arm, ...]


class Product(Strict):
    """What a product of this line looks like, so that a resolved product finds its line."""

    release: Literal["ir", "er", "any"]
    strengths_mg: tuple[float | int, ...]
    forms: tuple[Text, ...]
    divisible: bool = True  # a half tablet is a possible dose
    source: Id
    seen_in: tuple[Text, ...] = ()


class MedicationFile(Strict):
    """One product line whose label speaks with one voice (cyclobenzaprine IR and ER are two)."""

    id: Id
    name: Text
    ingredient: Text
    rxcui: Text
    atc: tuple[Text, ...] = ()
    brands: tuple[Text, ...] = ()
    label: Id
    indication: Text
    relaxant: Literal["always", "by-indication"] = "always"
    products: tuple[Product, ...]
    statements: dict[str, Statement]
    figures: Figures | None = None
    told_with_every_alert: Text | None = None  # the name of a statement that each of its alerts ends with
    not_applicable: dict[str, Text] = Field(default_factory=dict)  # rule id or prefix -> why the rule is silent
    review: Review


# --- value_sets/*.yaml -------------------------------------------------------------------------------------------


class Ingredient(Strict):
    """A drug of a set, by base ingredient name as the drug dictionary spells it."""

    name: Text
    rxcui: Text | None = None
    atc: tuple[Text, ...] = ()
    source: Id


class Prefix(Strict):
    code: Text
    source: Id
    note: Text | None = None


class Code(Strict):
    code: Text
    display: Text
    source: Id


class MedicationSet(Strict):
    id: Id
    kind: Literal["medication"]
    title: Text
    ingredients: tuple[Ingredient, ...]
    atc_prefixes: tuple[Prefix, ...] = ()
    atc_excluded: tuple[Prefix, ...] = ()
    routes_excluded: tuple[Text, ...] = ()
    forms_excluded: tuple[Text, ...] = ()
    note: Text | None = None


class ConditionSet(Strict):
    """ICD-10-CM by prefix (a prefix matches all its billable children), SNOMED CT by exact code."""

    id: Id
    kind: Literal["condition"]
    title: Text
    icd10cm: tuple[Prefix, ...] = ()
    snomed: tuple[Code, ...] = ()
    note: Text | None = None

    @model_validator(mode="after")
    def _an_empty_set_matches_nothing(self) -> ConditionSet:
        if not self.icd10cm and not self.snomed:
            raise ValueError("a value set without codes would never match: give at least one")
        return self


# --- care_options/*.yaml -----------------------------------------------------------------------------------------


class Evidence(Strict):
    """What one body says of one option."""

    body: Text  # e.g. "ACP 2017"
    source: Id
    section: Text | None = None
    direction: Literal["for", "against", "no-clear-benefit", "insufficient", "no-recommendation"]
    strength: Text | None = None  # as the body grades it
    phases: tuple[Literal["acute", "subacute", "chronic"], ...] = ()
    pain: Text | None = None  # size of effect, in the body's own scale
    function: Text | None = None
    certainty: Text | None = None
    comparator: Text | None = None
    read_as: ReadAs
    says: Text


class CareOption(Strict):
    id: Id
    name: Text
    what: Text
    patient_text: Text
    tier: Literal["first-line", "adjunct", "multidisciplinary", "not-helpful"]
    step: Literal[0, 1, 2, 3]
    family: Text  # exercise, heat, mind-body, manual, rehabilitation, device
    counts_as_active_care: bool = False  # exercise or physical therapy, for pathway.adjunct
    phases: tuple[Literal["acute", "subacute", "chronic"], ...]
    evidence: tuple[Evidence, ...]
    conflicts: tuple[Text, ...] = ()
    snomed: tuple[Code, ...] = ()
    words: tuple[Text, ...] = ()  # normalised words by which a record may name it
    review: Review


# --- severity.yaml, policy.yaml, rules/*.yaml --------------------------------------------------------------------

SeverityName = Literal["LOW", "MODERATE", "HIGH", "CONTRAINDICATED"]


class SeverityRow(Strict):
    authority: Authority
    verbs: dict[Text, SeverityName]


class SeverityFile(Strict):
    secondary_cap: SeverityName
    rows: tuple[SeverityRow, ...]


class Floor(Strict):
    """How far a site may move a number for a reason of its own. Beyond it a sign-off is needed, or nothing helps."""

    least: int | float
    most: int | float
    beyond: Literal["signed-off", "never"] = "signed-off"
    why: Text

    @model_validator(mode="after")
    def _least_is_not_above_most(self) -> Floor:
        if self.least > self.most:
            raise ValueError("least is above most")
        return self


class PolicyNumber(Strict):
    """A number without a source. Without a floor every change of it has to be signed off."""

    value: int | float
    unit: Text
    why: Text
    floor: Floor | None = None

    @model_validator(mode="after")
    def _the_value_keeps_to_its_own_floor(self) -> PolicyNumber:
        if self.floor is not None and not self.floor.least <= self.value <= self.floor.most:
            raise ValueError("the value is outside its own floor")
        return self


class StopLevel(Strict):
    """The severity from which an alert is meant to interrupt."""

    severity: SeverityName
    why: Text


class PolicyFile(Strict):
    """The default policy; a site's policy (`site_policy`) says what it changes of it."""

    id: Id
    version: Text
    title: Text
    stop_level: StopLevel
    numbers: dict[str, PolicyNumber]


# --- the policy of a site (--policy-file; rules_data/examples/site-policy.yaml) ----------------------------------


class SignedOff(Strict):
    """Who answers for a change that the floor does not allow without a name."""

    reviewer: Text
    on: date
    reason: Text


class RuleChange(Strict):
    """The alert of a rule switched off (`alert: off`), or its severity changed."""

    alert: Literal[False, "off"] | None = None  # YAML reads a bare off as false
    severity: SeverityName | None = None
    reason: Text
    signed_off: SignedOff | None = None

    @model_validator(mode="after")
    def _one_of_the_two(self) -> RuleChange:
        if (self.alert is None) == (self.severity is None):
            raise ValueError("give one of the two: alert: off, or a severity")
        return self


class NumberChange(Strict):
    """Another value, in the unit of the number it replaces."""

    value: int | float
    unit: Text
    reason: Text
    signed_off: SignedOff | None = None


class StopLevelChange(Strict):
    severity: SeverityName
    reason: Text
    signed_off: SignedOff | None = None


class SitePolicyFile(Strict):
    """What a site changes of the policy it extends; all else stays."""

    extends: Id
    id: Id
    version: Text
    title: Text
    stop_level: StopLevelChange | None = None
    rules: dict[str, RuleChange] = Field(default_factory=dict)
    numbers: dict[str, NumberChange] = Field(default_factory=dict)
    limits: dict[str, dict[str, NumberChange]] = Field(default_factory=dict)  # by medication line, then limit


class InlineStatement(Strict):
    """The statement of a clause that does not depend on the drug's own label."""

    authority: Authority
    verb: Text
    basis: Basis = Basis.STATED
    source: Id
    section: Text
    read_as: ReadAs
    seen_in: tuple[Text, ...] = ()
    says: Text


class SuggestionText(Strict):
    """A change of one order field: `to` is a number, or the name of a limit or policy number."""

    when: Text | None = None
    field: Literal["dose", "days_supply", "refills"]
    to: int | float | Text
    text: Text


class Clause(Strict):
    """One way a rule fires. `statement` is a limit's name (drug.*) or stands here in full."""

    when: Text
    statement: Text | InlineStatement
    supporting: tuple[InlineStatement, ...] = ()
    title: Text
    says: Text
    do: Text
    patient: Text | None = None  # what to tell the patient, in plain words
    computation: Text | None = None
    suggest: tuple[SuggestionText, ...] = ()


class Codes(Strict):
    dur: tuple[Text, ...] = ()
    act: tuple[Text, ...] = ()


class Rule(Strict):
    """A rule, or a family of them: `<drug>` in its id stands for each ingredient whose file states one of its limits.

    A family with `drugs: all` has a rule for every ingredient. `drug` names the only ingredient that is asked.
    """

    id: RuleId
    version: int
    kind: Text
    scope: Literal["relaxant", "pair", "order"] = "relaxant"
    drugs: Literal["stated", "all"] = "stated"
    drug: Text | None = None
    asks: Text  # the question a pharmacist would ask
    applies: Text | None = None
    clauses: tuple[Clause, ...]
    absorbs: tuple[RuleId, ...] = ()
    codes: Codes
    care: Literal["none", "first-line", "adjunct", "multidisciplinary", "all"] = "all"


class RuleFile(Strict):
    rules: tuple[Rule, ...]


# --- care_pathway.yaml --------------------------------------------------------------------------------------


class CareStep(Strict):
    """One step of the seed article's treatment algorithm; `number` is the `step` of its care options."""

    number: Literal[1, 2, 3]
    title: Text
    text: Text
    source: Id
    section: Text
    read_as: ReadAs


class PhaseDefinitions(Strict):
    """How long low back pain has lasted, in weeks. Subacute lies between the two, both ends included."""

    acute_below_weeks: int
    chronic_above_weeks: int
    source: Id
    section: Text
    read_as: ReadAs
    says: Text

    @model_validator(mode="after")
    def _acute_ends_before_chronic_begins(self) -> PhaseDefinitions:
        if not 0 < self.acute_below_weeks < self.chronic_above_weeks:
            raise ValueError("acute_below_weeks must be above 0 and below chronic_above_weeks")
        return self


class CarePathwayFile(Strict):
    """The three steps in order, and what acute, subacute and chronic mean."""

    steps: tuple[CareStep, ...]
    phase_definitions: PhaseDefinitions

    @model_validator(mode="after")
    def _the_steps_are_one_two_three(self) -> CarePathwayFile:
        if [step.number for step in self.steps] != [1, 2, 3]:
            raise ValueError("the steps are 1, 2, 3, each once and in this order")
        return self


# --- child_pugh.yaml ---------------------------------------------------------------------------------------------


class ChildPughRow(Strict):
    name: Literal["A", "B", "C"]
    highest: int
    grade: Literal["mild", "moderate", "severe"]


class ChildPughFile(Strict):
    """One version of the Child-Pugh table: two cut points per laboratory value and unit, points per finding."""

    version: Text
    source: Id
    section: Text
    read_as: ReadAs
    bilirubin: dict[Text, tuple[float | int, float | int]]
    albumin: dict[Text, tuple[float | int, float | int]]
    inr: tuple[float | int, float | int]
    ascites: dict[Text, Literal[1, 2, 3]]
    encephalopathy: dict[Text, Literal[1, 2, 3]]
    classes: tuple[ChildPughRow, ...]
    mapping_note: Text
    mapping_source: Id
