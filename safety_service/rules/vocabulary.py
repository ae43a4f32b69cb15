"""Every name a rule may use: facts about the order and the patient, limits of a drug, numbers of the policy.

A fact is never a bare value. What is known of it is kept as bounds, so that "unknown" and "partly known" are values:

* a number is two integers, the lowest and highest it can be (equal when known; `LOWEST`..`HIGHEST` when unknown);
* a choice is a bit mask of the values it can have (one bit when known; all bits when unknown);
* a yes/no fact is a choice of two (`NO` = 1, `YES` = 2, unknown = 3).

Facts of one order are a flat list of integers, laid out by `SLOTS`: a Python list online, a column per slot in batch.
Numbers are held in the integer unit of `Unit`: micrograms for mg, days for d.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

LOWEST: Final = -(2**31) + 1
HIGHEST: Final = 2**31 - 1
NO: Final = 1
YES: Final = 2
EITHER: Final = 3


class Unit(Enum):
    """Units of the vocabulary; `value` is how it is printed, `scale` turns a written number into the integer held."""

    MG = "mg"
    DAY = "d"
    YEAR = "a"
    MONTH = "mo"
    HOUR = "h"
    PERCENT = "%"
    CLEARANCE = "mL/min"
    COUNT = "1"

    @property
    def scale(self) -> int:
        return 1000 if self is Unit.MG else 1


class Type(Enum):
    NUMBER = "number"
    CHOICE = "choice"
    YES_NO = "yes/no"
    FLAG = "flag"  # limits only: the statement exists or it does not


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact a rule may test. `send` is the request field that settles it; `ask` says it in words."""

    name: str
    type: Type
    doc: str
    send: str
    unit: Unit = Unit.COUNT
    values: tuple[str, ...] = ()

    @property
    def everything(self) -> int:
        """The mask of a choice of which nothing is known."""
        return EITHER if self.type is Type.YES_NO else (1 << len(self.values)) - 1


@dataclass(frozen=True, slots=True)
class Limit:
    """A number, set of values or mere statement that a medication file may hold under `statements`."""

    name: str
    type: Type
    doc: str
    unit: Unit = Unit.COUNT
    values: tuple[str, ...] = ()


GRADES: Final = ("none", "mild", "moderate", "severe")
PHASES: Final = ("acute", "subacute", "chronic")


def _number(name: str, unit: Unit, doc: str, send: str) -> Fact:
    return Fact(name, Type.NUMBER, doc, send, unit)


def _yes_no(name: str, doc: str, send: str) -> Fact:
    return Fact(name, Type.YES_NO, doc, send)


# Value sets a rule may ask about, each as a fact of its own: `overlap_cyp1a2_strong` for the set `cyp1a2-strong`.
PARTNER_CLASSES: Final = {
    "opioid": "an opioid",
    "benzodiazepine": "a benzodiazepine",
    "cns-depressant": "another CNS depressant",
    "anticholinergic": "another anticholinergic",
    "relaxant": "another muscle relaxant",
    "maoi": "an MAO inhibitor",
    "serotonergic": "an SSRI, SNRI, tricyclic, bupropion, meperidine or verapamil",
    "tramadol": "tramadol",
    "guanethidine-clonidine": "guanethidine or clonidine",
    "cyp1a2-strong": "fluvoxamine or ciprofloxacin",
    "cyp1a2-strong-secondary": "enoxacin or viloxazine",
    "cyp1a2-moderate": "another CYP1A2 inhibitor",
    "oral-contraceptive": "an oral contraceptive",
    "alpha2-agonist": "another alpha-2 agonist",
    "antihypertensive": "an antihypertensive",
    "meprobamate": "meprobamate",
    "cyp2c19": "an inhibitor or inducer of CYP2C19",
    "hepatotoxic": "another hepatotoxic drug",
    "estrogen": "an oestrogen",
    "verapamil": "verapamil",
    "cyp-diazepam": "an inhibitor of diazepam's metabolism",
    "cyp2e1-chlorzoxazone": "isoniazid or disulfiram",
    "oral-potassium": "solid oral potassium",
    "anticholinesterase": "an anticholinesterase",
}
# As `has_heart_failure`: on the problem list and counting now.
CONDITIONS: Final = {
    "hyperthyroidism": "hyperthyroidism",
    "arrhythmia": "an arrhythmia",
    "heart-block": "heart block or a conduction disorder",
    "heart-failure": "heart failure",
    "coronary-insufficiency": "coronary insufficiency",
    "severe-heart-disease": "severe heart disease",
    "tachycardia": "tachycardia",
    "glaucoma": "glaucoma",
    "glaucoma-angle-closure": "angle-closure glaucoma",
    "glaucoma-acute-angle-closure": "acute angle-closure glaucoma",
    "raised-intraocular-pressure": "raised intraocular pressure",
    "gastric-obstruction": "pyloric or duodenal obstruction",
    "peptic-ulcer-stenosing": "stenosing peptic ulcer",
    "prostatic-hypertrophy": "prostatic hypertrophy",
    "bladder-neck-obstruction": "obstruction of the bladder neck",
    "cardiospasm": "cardiospasm (achalasia)",
    "myasthenia-gravis": "myasthenia gravis",
    "seizure-disorder": "epilepsy or another seizure disorder",
    "psychosis": "a psychotic disorder",
    "autonomic-dysreflexia": "autonomic dysreflexia",
    "respiratory-insufficiency": "respiratory insufficiency",
    "sleep-apnea": "sleep apnoea",
    "lung-function-impaired": "a disease that impairs lung function",
    "end-of-life": "hospice or end-of-life care",
}
# As `had_urinary_retention`: on the problem list at any time, because the label speaks of a history or a tendency.
CONDITIONS_EVER: Final = {
    "anemia-tendency": "an anaemia, or a tendency to it",
    "porphyria-acute-intermittent": "acute intermittent porphyria",
    "substance-use-disorder": "a substance-use disorder",
    "urinary-retention": "urinary retention",
}


def overlap_fact(set_id: str) -> str:
    """The fact that a drug of this value set shares a day with the relaxant."""
    return f"overlap_{set_id.replace('-', '_')}"


def condition_fact(set_id: str) -> str:
    """The fact that a condition of this value set is on the problem list."""
    return f"{'had' if set_id in CONDITIONS_EVER else 'has'}_{set_id.replace('-', '_')}"


_MEDS = "patient.medications"
_USE = "prescription.indications"
_FACTS: Final = (
    # --- the order
    _number("single_dose_mg", Unit.MG, "largest single dose of the relaxant", "prescription.dose_quantity"),
    _number("last_dose_mg", Unit.MG, "single dose of the order before this one", "prescription.last_dose"),
    _number("supply_days", Unit.DAY, "days of one supply of this order", "prescription.days_supply"),
    _number("course_days", Unit.DAY, "days x (1 + refills)", "prescription.refills"),
    _yes_no("new_start", "the order starts the drug", "prescription.treatment_status"),
    _number("daily_dose_mg", Unit.MG, "largest daily dose of the relaxant", "prescription.frequency"),
    _number("doses_per_day", Unit.COUNT, "most doses in 24 hours", "prescription.frequency"),
    _number("dose_interval_hours", Unit.HOUR, "shortest time between doses", "prescription.frequency"),
    _yes_no("quantity_over", "more is ordered than the highest dose uses in the days stated", "prescription.quantity"),
    _yes_no(
        "quantity_short", "less is ordered than the scheduled dose uses in the days stated", "prescription.quantity"
    ),
    _yes_no("last_order", "the order is marked as the last one", "prescription.last_order"),
    _yes_no("tapering", "the dose goes down by a schedule", "prescription.tapering"),
    _yes_no("benefit_documented", "benefit of the treatment is documented", "prescription.benefit_documented"),
    _yes_no("code_text_conflict", "code and text name different ingredients", "prescription.medication"),
    _yes_no("route_not_oral", "the route ordered is not oral for an oral product", "prescription.route"),
    _yes_no("form_open", "the product's form cannot be told, so two labels could apply", "prescription.medication"),
    _yes_no("relaxant_use", "the drug is ordered as a muscle relaxant", "prescription.indications"),
    _yes_no(
        "exempt_antispastic",
        "spasticity is the indication and the drug is labelled for it: day limits do not apply",
        "prescription.indications",
    ),
    _yes_no("for_spasticity", "the drug is ordered for spasticity", _USE),
    _yes_no("for_spasm_or_back_pain", "the drug is ordered for muscle spasm or back pain", _USE),
    _yes_no("for_low_back_pain", "the drug is ordered for low back pain or spasm of the back", _USE),
    _yes_no(
        "for_stroke_palsy_or_parkinson", "the drug is ordered for stroke, cerebral palsy or Parkinson's disease", _USE
    ),
    _yes_no("acute_spasm_coded", "an acute spasm or strain is coded on the order", _USE),
    Fact("phase", Type.CHOICE, "how long back pain has lasted", "prescription.indications", values=PHASES),
    # --- exposure, from the fold
    _number("episode_days", Unit.DAY, "days supplied in the episode ending with this course", _MEDS),
    _number("class_episode_days", Unit.DAY, "days covered by any relaxant in the episode ending here", _MEDS),
    _number("episode_days_before", Unit.DAY, "days supplied in the episode before this order", _MEDS),
    _number("days_in_hand", Unit.DAY, "days of the same ingredient still in hand at the start", _MEDS),
    _number("days_since_relaxant_episode", Unit.DAY, "days from the end of the previous relaxant episode", _MEDS),
    *(
        _yes_no(overlap_fact(each), f"{what} shares a day with the relaxant", _MEDS)
        for each, what in PARTNER_CLASSES.items()
    ),
    _yes_no("overlap_opioid_use_disorder", "the opioid that shares a day treats opioid use disorder", _MEDS),
    _yes_no("overlap_opioid_and_benzodiazepine", "an opioid and a benzodiazepine share a day with it", _MEDS),
    _number("days_since_maoi", Unit.DAY, "days from the end of an MAO inhibitor to the start", _MEDS),
    _yes_no("duplicate_order", "another product or prescriber supplies the same ingredient on the same days", _MEDS),
    _number("cns_active_count", Unit.COUNT, "most CNS-active drugs sharing one day, relaxant included", _MEDS),
    # --- the patient
    _number("age_years", Unit.YEAR, "completed years on the day of the order", "patient.birth_date"),
    _number("age_months", Unit.MONTH, "completed months on the day of the order", "patient.birth_date"),
    _yes_no("pregnant", "the patient is pregnant", "patient.pregnant"),
    _yes_no("lactating", "the patient is breast-feeding", "patient.lactating"),
    _number("renal_clearance", Unit.CLEARANCE, "creatinine clearance, else eGFR", "patient.renal.crcl"),
    _number("renal_lowest", Unit.CLEARANCE, "the lower of creatinine clearance and eGFR", "patient.renal.egfr"),
    _yes_no("allergy_to_drug", "an allergy to the ingredient is listed", "patient.allergies"),
    _yes_no("allergy_to_carbamate", "an allergy to another carbamate is listed", "patient.allergies"),
    _yes_no(
        "allergy_to_other_ingredient", "an allergy to another ingredient of the product is listed", "patient.allergies"
    ),
    _yes_no("any_drug_allergy", "an allergy to any drug is listed", "patient.allergies"),
    _yes_no(
        "spasticity_needed_for_function",
        "spasticity is needed for posture, balance or function",
        "patient.spasticity_needed_for_function",
    ),
    _yes_no("cyp2c19_reduced", "CYP2C19 activity is reduced", "patient.cyp2c19_reduced"),
    *(
        _yes_no(condition_fact(each), what, "patient.conditions")
        for each, what in (CONDITIONS | CONDITIONS_EVER).items()
    ),
    _number(
        "days_since_myocardial_infarction",
        Unit.DAY,
        "days from the onset of the latest myocardial infarction",
        "patient.conditions",
    ),
    Fact("hepatic_grade", Type.CHOICE, "grade of hepatic impairment", "patient.hepatic.grade", values=GRADES),
    _yes_no("liver_disease", "any liver disease: coded, or impairment stated", "patient.conditions"),
    _yes_no("liver_disease_history", "liver disease, present or past", "patient.conditions"),
    _yes_no(
        "active_hepatic_disease",
        "active hepatic disease such as hepatitis or cirrhosis",
        "patient.conditions",
    ),
    _yes_no("liver_code_without_grade", "liver disease is coded and its grade is open", "patient.hepatic.grade"),
    _yes_no(
        "liver_code_minor_only",
        "all liver codes are fatty liver, fibrosis, abscess or congestion",
        "patient.hepatic.grade",
    ),
    _number("days_since_aminotransferases", Unit.DAY, "days since the latest ALT or AST", "patient.hepatic.labs"),
    _number(
        "days_since_liver_panel",
        Unit.DAY,
        "days since ALT or AST, ALP and bilirubin were all known",
        "patient.hepatic.labs",
    ),
    _number(
        "alt_percent_of_limit",
        Unit.PERCENT,
        "latest ALT as percent of the upper limit sent with it",
        "patient.hepatic.labs",
    ),
    _number(
        "liver_tests_percent_of_limit",
        Unit.PERCENT,
        "highest of the latest liver tests, percent of its limit",
        "patient.hepatic.labs",
    ),
    _yes_no("drives_or_operates_machinery", "drives or operates machinery", "patient.drives_or_operates_machinery"),
    _yes_no("alcohol_use", "alcohol is used", "patient.alcohol_use"),
    _yes_no("falls", "has fallen (stated, or coded history of falling)", "patient.falls"),
    # --- the care pathway
    _yes_no("back_pain", "back pain is an indication or on the problem list", "prescription.indications"),
    _yes_no("first_line_tried", "a first-line non-drug option was tried", "patient.care_options_tried"),
    _yes_no(
        "active_care_alongside", "exercise or physical therapy goes on or is planned", "patient.care_options_tried"
    ),
    _yes_no("unhelpful_care_planned", "lumbar support or TENS goes on or is planned", "patient.care_options_tried"),
)
FACTS: Final[Mapping[str, Fact]] = {fact.name: fact for fact in _FACTS}


def _layout() -> dict[str, int]:
    slots: dict[str, int] = {}
    at = 0
    for fact in _FACTS:
        slots[fact.name] = at
        at += 2 if fact.type is Type.NUMBER else 1
    return slots


SLOTS: Final[Mapping[str, int]] = _layout()  # first slot of each fact; a number's highest value is the next one
WIDTH: Final = max(SLOTS.values()) + (2 if _FACTS[-1].type is Type.NUMBER else 1)


def unknown_facts() -> list[int]:
    """A fact list of which nothing is known."""
    return list(_UNKNOWN)


def put_number(values: list[int], name: str, low: int, high: int) -> None:
    """Sets the bounds of a number fact."""
    at = SLOTS[name]
    values[at] = low
    values[at + 1] = high


def _unknown() -> list[int]:
    values: list[int] = []
    for fact in _FACTS:
        values += [LOWEST, HIGHEST] if fact.type is Type.NUMBER else [fact.everything]
    return values


_UNKNOWN: Final = _unknown()


def _flag(name: str, doc: str) -> Limit:
    return Limit(name, Type.FLAG, doc)


def _grades(name: str, doc: str) -> Limit:
    return Limit(name, Type.CHOICE, doc, values=GRADES)


_LIMITS: Final = (
    Limit("duration.max_days", Type.NUMBER, "longest labelled use", Unit.DAY),
    Limit("duration.reassess_days", Type.NUMBER, "labelled use after which to reassess", Unit.DAY),
    _flag("duration.no_day_limit", "the label gives no limit in days; a policy limit is used"),
    Limit("duration.benefit_review_days", Type.NUMBER, "stop when no benefit by then", Unit.DAY),
    Limit("duration.studied_days", Type.NUMBER, "longer use was not studied", Unit.DAY),
    _flag("indication.spasticity", "labelled for spasticity"),
    _grades("hepatic.contraindicated", "grades in which the drug is contraindicated"),
    _flag("hepatic.active_disease", "contraindicated in active hepatic disease"),
    _grades("hepatic.not_recommended", "grades in which the drug is not recommended"),
    Limit("hepatic.mild_start_mg", Type.NUMBER, "single dose to start with in mild impairment", Unit.MG),
    _flag("hepatic.mild_titrate", "titrate slowly in mild impairment"),
    _grades("hepatic.caution", "grades that call for caution"),
    _flag("hepatic.liver_disease_caution", "any liver disease calls for caution"),
    _flag("hepatic.history_caution", "liver disease, past or present, calls for caution"),
    _grades("hepatic.information", "grades of which the label gives kinetics only"),
    _flag("hepatic.monitor", "liver tests before and during treatment"),
    _flag("hepatic.monitor_panel", "aminotransferases, ALP and bilirubin before and during treatment"),
    _flag("hepatic.monitor_in_liver_disease", "serial liver tests when the liver is damaged"),
    _flag("hepatic.monitor_prolonged", "liver tests when use is prolonged"),
    Limit("hepatic.monitor_after_days", Type.NUMBER, "liver tests in use longer than this", Unit.DAY),
    _flag("hepatic.stop_abnormal", "stop when a liver test is abnormal"),
    _flag("hepatic.stop_injury", "stop when liver injury occurs (ALT against the policy's multiple)"),
    _flag("sedation.counsel", "what the label tells of sedation, and its figures"),
    _flag("sedation.driving", "driving and machinery wording"),
    _flag("sedation.opioid", "with opioids"),
    _flag("sedation.opioid_caution", "with opioids, where the drug is not itself a CNS depressant of the class"),
    _flag("sedation.benzodiazepine", "with benzodiazepines"),
    _flag("sedation.cns_depressant", "with other CNS depressants"),
    _flag("sedation.alcohol", "with alcohol"),
    _flag("sedation.cns_active", "counts among the CNS-active drugs of the Beers criteria"),
    _flag("function.anticholinergic", "with other anticholinergics"),
    _flag("pathway.adjunct", "labelled as an adjunct to rest and physical therapy"),
    # --- contraindications
    _flag("contraindication.hypersensitivity", "allergy to the ingredient"),
    _flag("contraindication.carbamate_allergy", "allergy to another carbamate"),
    Limit("contraindication.maoi_days", Type.NUMBER, "days that must have passed since an MAO inhibitor", Unit.DAY),
    _flag("contraindication.myocardial_infarction", "acute recovery phase of myocardial infarction"),
    _flag("contraindication.arrhythmia", "arrhythmia"),
    _flag("contraindication.heart_block", "heart block or conduction disorder"),
    _flag("contraindication.heart_failure", "heart failure"),
    _flag("contraindication.hyperthyroidism", "hyperthyroidism"),
    _flag("contraindication.porphyria", "acute intermittent porphyria, past or present"),
    _flag("contraindication.anemia", "tendency to drug-induced, haemolytic or other anaemia"),
    _flag("contraindication.cyp1a2", "strong CYP1A2 inhibitors that the label names"),
    _flag("contraindication.cyp1a2_secondary", "strong CYP1A2 inhibitors that other lists name"),
    _flag("contraindication.glaucoma", "glaucoma of any kind"),
    _flag("contraindication.gastric_obstruction", "pyloric or duodenal obstruction"),
    _flag("contraindication.peptic_ulcer", "stenosing peptic ulcer"),
    _flag("contraindication.prostatic_hypertrophy", "prostatic hypertrophy"),
    _flag("contraindication.bladder_neck_obstruction", "obstruction of the bladder neck"),
    _flag("contraindication.cardiospasm", "cardiospasm (achalasia)"),
    _flag("contraindication.myasthenia_gravis", "myasthenia gravis"),
    _flag("contraindication.spasticity_for_function", "spasticity is needed for posture, balance or function"),
    _flag("contraindication.respiratory_insufficiency", "severe respiratory insufficiency"),
    _flag("contraindication.sleep_apnea", "sleep apnoea"),
    _flag("contraindication.narrow_angle_glaucoma", "acute narrow-angle glaucoma"),
    Limit("contraindication.below_months", Type.NUMBER, "age in months below which it is contraindicated", Unit.MONTH),
    # --- cautions
    _flag("caution.urinary_retention", "urinary retention"),
    _flag("caution.angle_closure_glaucoma", "angle-closure glaucoma"),
    _flag("caution.raised_intraocular_pressure", "raised intraocular pressure"),
    _flag("caution.seizure_disorder", "epilepsy or another seizure disorder"),
    _flag("caution.myasthenia_gravis", "myasthenia gravis treated with an anticholinesterase"),
    _flag("caution.substance_use_disorder", "substance-use disorder"),
    _flag("caution.cyp2c19_reduced", "reduced CYP2C19 activity"),
    _flag("caution.psychosis", "psychotic disorder"),
    _flag("caution.autonomic_dysreflexia", "autonomic dysreflexia"),
    _flag("caution.spasticity_for_function", "spasticity is needed for posture, balance or function"),
    _flag("caution.tachycardia", "tachycardia"),
    _flag("caution.heart_failure", "cardiac decompensation"),
    _flag("caution.coronary_insufficiency", "coronary insufficiency"),
    _flag("caution.arrhythmia", "arrhythmia"),
    _flag("caution.lung_function", "impaired lung function"),
    _flag("caution.severe_heart_disease", "severe heart disease"),
    _flag("caution.drug_allergy", "any known drug allergy"),
    _flag("caution.risk_groups", "who is at greater risk of its liver injury; told with every alert"),
    # --- age
    Limit("age.minimum_years", Type.NUMBER, "youngest labelled age", Unit.YEAR),
    Limit("age.established_years", Type.NUMBER, "age below which less is known, though labelled", Unit.YEAR),
    _flag("age.beers_relaxant", "among the muscle relaxants of the Beers criteria"),
    _flag("age.beers_benzodiazepine", "among the benzodiazepines of the Beers criteria"),
    _flag("age.not_recommended_elderly", "the label does not recommend it in older adults"),
    Limit("age.elderly_start_mg", Type.NUMBER, "single dose to start with in older adults", Unit.MG),
    Limit("age.elderly_start_times", Type.NUMBER, "doses a day to start with in older adults", Unit.COUNT),
    _flag("age.elderly_caution", "caution in older adults"),
    # --- kidneys, pregnancy, lactation
    _flag("renal.contraindicated", "severe renal impairment is a contraindication (number by policy)"),
    _flag("renal.caution", "impaired renal function calls for caution (number by policy)"),
    Limit(
        "renal.caution_below",
        Type.NUMBER,
        "creatinine clearance below which the label calls for caution",
        Unit.CLEARANCE,
    ),
    _flag("pregnancy.use", "what the label says of pregnancy"),
    _flag("lactation.use", "what the label says of breast-feeding"),
    # --- dose
    Limit("dose.max_single_mg", Type.NUMBER, "highest labelled single dose", Unit.MG),
    Limit("dose.max_daily_mg", Type.NUMBER, "highest labelled daily dose", Unit.MG),
    Limit("dose.studied_single_mg", Type.NUMBER, "highest single dose that was studied", Unit.MG),
    Limit("dose.maintenance_daily_mg", Type.NUMBER, "highest daily dose after the first days", Unit.MG),
    Limit("dose.initial_daily_mg", Type.NUMBER, "usual highest daily dose of the first days", Unit.MG),
    Limit("dose.initial_days", Type.NUMBER, "the first days, in which more may be given", Unit.DAY),
    Limit("dose.start_mg", Type.NUMBER, "single dose to start with", Unit.MG),
    Limit("dose.start_times", Type.NUMBER, "doses a day to start with", Unit.COUNT),
    Limit("dose.max_times", Type.NUMBER, "most doses in 24 hours", Unit.COUNT),
    Limit("dose.min_interval_hours", Type.NUMBER, "shortest time between doses", Unit.HOUR),
    # --- interactions and duplicates
    _flag("interaction.serotonergic", "with serotonergic drugs"),
    _flag("interaction.tramadol", "with tramadol"),
    _flag("interaction.guanethidine", "with guanethidine and clonidine"),
    _flag("interaction.cyp1a2_moderate", "with other CYP1A2 inhibitors"),
    _flag("interaction.oral_contraceptive", "with oral contraceptives"),
    _flag("interaction.alpha2_agonist", "with other alpha-2 agonists"),
    _flag("interaction.antihypertensive", "with antihypertensives"),
    _flag("interaction.meprobamate", "with meprobamate"),
    _flag("interaction.cyp2c19", "with inhibitors and inducers of CYP2C19"),
    _flag("interaction.hepatotoxic", "with other hepatotoxic drugs"),
    _flag("interaction.estrogen", "with oestrogens"),
    _flag("interaction.verapamil", "with verapamil"),
    _flag("interaction.cyp_inhibitor", "with inhibitors of its own metabolism"),
    _flag("interaction.cyp2e1", "with isoniazid and disulfiram"),
    _flag("interaction.oral_potassium", "with solid oral potassium"),
    _flag("duplicate.benzodiazepine", "is itself a benzodiazepine"),
    # --- indication, stopping
    _flag("indication.not_effective_spasticity", "not effective in spasticity of cerebral or spinal-cord disease"),
    _flag("indication.off_label_spasm", "not labelled for muscle spasm or back pain"),
    _flag("indication.not_established", "not recommended in stroke, cerebral palsy or Parkinson's disease"),
    _flag("indication.benzodiazepine", "a benzodiazepine, which guidelines advise against in low back pain"),
    _flag("withdrawal.taper", "stop by tapering"),
    _flag("withdrawal.taper_prolonged", "stop by tapering after prolonged use"),
)
LIMITS: Final[Mapping[str, Limit]] = {limit.name: limit for limit in _LIMITS}
