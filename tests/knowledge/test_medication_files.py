"""What the label says of each drug: complete, graded as the catalogue does, traceable to where it was read.

The tables by hand below are the clinical catalogue's; nothing in them is derived from the files.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import rules_data
from safety_service.domain import Severity
from safety_service.knowledge.drug_words import FORM_WORDS
from safety_service.knowledge.read import read_document, validate
from safety_service.knowledge.schema import (
    Authority,
    Basis,
    MedicationFile,
    ReadAs,
    SeverityFile,
    Source,
    SourceFile,
    Statement,
)
from safety_service.rules.vocabulary import LIMITS, Type

DATA = Path(rules_data.__file__).parent

LOW, MODERATE, HIGH = Severity.LOW, Severity.MODERATE, Severity.HIGH
CONTRAINDICATED = Severity.CONTRAINDICATED

CYCLOBENZAPRINE = ("cyclobenzaprine-ir", "cyclobenzaprine-er")
METAXALONE = ("metaxalone", "metaxalone-640")
LABELLED_LIMIT = (*CYCLOBENZAPRINE, "carisoprodol")
ANTISPASTIC = ("tizanidine", "baclofen", "dantrolene")
LINES = (
    *LABELLED_LIMIT,
    *METAXALONE,
    *ANTISPASTIC,
    "methocarbamol",
    "orphenadrine-er",
    "chlorzoxazone",
    "diazepam",
)

BEERS_RELAXANTS = (*LABELLED_LIMIT, *METAXALONE, "methocarbamol", "orphenadrine-er", "chlorzoxazone")

# Every limit, the severity of what rests on it, and the lines that state it.
CATALOGUE: tuple[tuple[str, Severity, tuple[str, ...]], ...] = (
    ("duration.max_days", HIGH, LABELLED_LIMIT),
    ("duration.reassess_days", LOW, LABELLED_LIMIT),
    ("duration.no_day_limit", MODERATE, tuple(line for line in LINES if line not in LABELLED_LIMIT)),
    ("duration.benefit_review_days", HIGH, ("dantrolene",)),
    ("duration.studied_days", MODERATE, ("diazepam",)),
    ("indication.spasticity", LOW, (*ANTISPASTIC, "diazepam")),
    ("hepatic.contraindicated", CONTRAINDICATED, (*METAXALONE, "diazepam")),
    ("hepatic.active_disease", CONTRAINDICATED, ("dantrolene",)),
    ("hepatic.not_recommended", HIGH, CYCLOBENZAPRINE),
    ("hepatic.mild_start_mg", HIGH, ("cyclobenzaprine-ir",)),
    ("hepatic.mild_titrate", MODERATE, ("cyclobenzaprine-ir",)),
    ("hepatic.caution", MODERATE, (*METAXALONE, "tizanidine", "carisoprodol", "diazepam")),
    ("hepatic.liver_disease_caution", MODERATE, ("chlorzoxazone",)),
    ("hepatic.history_caution", MODERATE, ("dantrolene",)),
    ("hepatic.information", LOW, ("methocarbamol",)),
    ("hepatic.monitor", LOW, ("tizanidine",)),
    ("hepatic.monitor_panel", MODERATE, ("dantrolene",)),
    ("hepatic.monitor_in_liver_disease", LOW, METAXALONE),
    ("hepatic.monitor_prolonged", LOW, ("orphenadrine-er",)),
    ("hepatic.monitor_after_days", LOW, ("diazepam",)),
    ("hepatic.stop_abnormal", HIGH, ("chlorzoxazone", "dantrolene")),
    ("hepatic.stop_injury", HIGH, ("tizanidine",)),
    ("sedation.counsel", LOW, LINES),
    ("sedation.driving", MODERATE, LINES),
    ("sedation.opioid", HIGH, tuple(line for line in LINES if line != "dantrolene")),
    ("sedation.opioid_caution", MODERATE, ("dantrolene",)),
    ("sedation.benzodiazepine", MODERATE, LINES),
    ("sedation.cns_depressant", MODERATE, LINES),
    ("sedation.alcohol", MODERATE, LINES),
    ("sedation.cns_active", HIGH, tuple(line for line in LINES if line != "dantrolene")),
    ("function.anticholinergic", MODERATE, (*CYCLOBENZAPRINE, "orphenadrine-er")),
    ("pathway.adjunct", LOW, tuple(line for line in LINES if line not in ANTISPASTIC)),
    # No source gives it for dantrolene, whose label names two other contraindications only: policy, so MODERATE.
    ("contraindication.hypersensitivity", CONTRAINDICATED, tuple(line for line in LINES if line != "dantrolene")),
    ("contraindication.hypersensitivity", MODERATE, ("dantrolene",)),
    ("contraindication.carbamate_allergy", CONTRAINDICATED, ("carisoprodol",)),
    ("contraindication.maoi_days", CONTRAINDICATED, CYCLOBENZAPRINE),
    ("contraindication.myocardial_infarction", CONTRAINDICATED, CYCLOBENZAPRINE),
    ("contraindication.arrhythmia", CONTRAINDICATED, CYCLOBENZAPRINE),
    ("contraindication.heart_block", CONTRAINDICATED, CYCLOBENZAPRINE),
    ("contraindication.heart_failure", CONTRAINDICATED, CYCLOBENZAPRINE),
    ("contraindication.hyperthyroidism", CONTRAINDICATED, CYCLOBENZAPRINE),
    ("contraindication.porphyria", CONTRAINDICATED, ("carisoprodol",)),
    ("contraindication.anemia", CONTRAINDICATED, METAXALONE),
    ("contraindication.cyp1a2", CONTRAINDICATED, ("tizanidine",)),
    ("contraindication.cyp1a2_secondary", MODERATE, ("tizanidine",)),
    ("contraindication.glaucoma", CONTRAINDICATED, ("orphenadrine-er",)),
    ("contraindication.gastric_obstruction", CONTRAINDICATED, ("orphenadrine-er",)),
    ("contraindication.peptic_ulcer", CONTRAINDICATED, ("orphenadrine-er",)),
    ("contraindication.prostatic_hypertrophy", CONTRAINDICATED, ("orphenadrine-er",)),
    ("contraindication.bladder_neck_obstruction", CONTRAINDICATED, ("orphenadrine-er",)),
    ("contraindication.cardiospasm", CONTRAINDICATED, ("orphenadrine-er",)),
    ("contraindication.myasthenia_gravis", CONTRAINDICATED, ("orphenadrine-er", "diazepam")),
    ("contraindication.spasticity_for_function", CONTRAINDICATED, ("dantrolene",)),
    ("contraindication.respiratory_insufficiency", CONTRAINDICATED, ("diazepam",)),
    ("contraindication.sleep_apnea", CONTRAINDICATED, ("diazepam",)),
    ("contraindication.narrow_angle_glaucoma", CONTRAINDICATED, ("diazepam",)),
    ("contraindication.below_months", CONTRAINDICATED, ("diazepam",)),
    ("caution.urinary_retention", MODERATE, CYCLOBENZAPRINE),
    ("caution.angle_closure_glaucoma", MODERATE, CYCLOBENZAPRINE),
    ("caution.raised_intraocular_pressure", MODERATE, CYCLOBENZAPRINE),
    ("caution.seizure_disorder", MODERATE, (*CYCLOBENZAPRINE, "baclofen")),
    ("caution.myasthenia_gravis", MODERATE, ("methocarbamol",)),
    ("caution.substance_use_disorder", MODERATE, ("carisoprodol",)),
    ("caution.substance_use_disorder", HIGH, ("diazepam",)),  # boxed
    ("caution.cyp2c19_reduced", MODERATE, ("carisoprodol",)),
    ("caution.psychosis", MODERATE, ("baclofen",)),
    ("caution.autonomic_dysreflexia", MODERATE, ("baclofen",)),
    ("caution.spasticity_for_function", MODERATE, ("baclofen",)),
    ("caution.tachycardia", MODERATE, ("orphenadrine-er",)),
    ("caution.heart_failure", MODERATE, ("orphenadrine-er",)),
    ("caution.coronary_insufficiency", MODERATE, ("orphenadrine-er",)),
    ("caution.arrhythmia", MODERATE, ("orphenadrine-er",)),
    ("caution.lung_function", MODERATE, ("dantrolene",)),
    ("caution.severe_heart_disease", MODERATE, ("dantrolene",)),
    ("caution.drug_allergy", LOW, ("chlorzoxazone",)),
    ("caution.risk_groups", MODERATE, ("dantrolene",)),
    (
        "age.minimum_years",
        HIGH,
        (*CYCLOBENZAPRINE, "methocarbamol", "carisoprodol", *METAXALONE, "tizanidine", "baclofen"),
    ),
    ("age.minimum_years", MODERATE, ("chlorzoxazone", "orphenadrine-er", "dantrolene")),
    ("age.established_years", LOW, ("carisoprodol",)),
    ("age.beers_relaxant", HIGH, BEERS_RELAXANTS),
    ("age.beers_benzodiazepine", HIGH, ("diazepam",)),
    ("age.not_recommended_elderly", HIGH, ("cyclobenzaprine-er",)),
    ("age.elderly_start_mg", HIGH, ("cyclobenzaprine-ir", "diazepam")),
    ("age.elderly_start_times", HIGH, ("diazepam",)),
    ("age.elderly_caution", MODERATE, ("tizanidine", "dantrolene")),
    ("age.elderly_caution", LOW, ("baclofen",)),
    ("renal.contraindicated", CONTRAINDICATED, METAXALONE),
    ("renal.caution", MODERATE, (*METAXALONE, "baclofen", "carisoprodol")),
    ("renal.caution", LOW, ("chlorzoxazone", "diazepam")),
    ("renal.caution_below", MODERATE, ("tizanidine",)),
    ("pregnancy.use", HIGH, ("methocarbamol", "metaxalone")),
    # the 640 mg product's own section was not read: its words are those of the 800 mg label, and capped
    (
        "pregnancy.use",
        MODERATE,
        ("metaxalone-640", "baclofen", "diazepam", "dantrolene", "orphenadrine-er", "chlorzoxazone"),
    ),
    ("pregnancy.use", LOW, ("cyclobenzaprine-ir", "carisoprodol")),
    ("lactation.use", HIGH, ("metaxalone",)),
    ("lactation.use", MODERATE, ("metaxalone-640", "diazepam", "dantrolene", "methocarbamol", "carisoprodol")),
    ("dose.max_single_mg", HIGH, tuple(line for line in LINES if line not in ("tizanidine", "diazepam"))),
    ("dose.max_single_mg", MODERATE, ("diazepam",)),  # above the labelled usual range
    ("dose.max_daily_mg", HIGH, tuple(line for line in LINES if line != "diazepam")),
    ("dose.max_daily_mg", MODERATE, ("diazepam",)),
    ("dose.studied_single_mg", MODERATE, ("tizanidine",)),
    ("dose.maintenance_daily_mg", MODERATE, ("methocarbamol",)),
    ("dose.initial_daily_mg", LOW, ("methocarbamol",)),
    ("dose.initial_days", LOW, ("methocarbamol",)),
    ("dose.start_mg", HIGH, ANTISPASTIC),
    ("dose.start_mg", LOW, CYCLOBENZAPRINE),
    ("dose.start_times", HIGH, ("baclofen", "dantrolene")),
    ("dose.max_times", HIGH, ("cyclobenzaprine-er", "orphenadrine-er", "tizanidine")),
    (
        "dose.max_times",
        MODERATE,
        ("cyclobenzaprine-ir", "carisoprodol", *METAXALONE, "chlorzoxazone", "baclofen", "dantrolene", "diazepam"),
    ),
    ("dose.min_interval_hours", HIGH, ("tizanidine",)),
    ("interaction.serotonergic", MODERATE, (*CYCLOBENZAPRINE, *METAXALONE)),
    ("interaction.tramadol", MODERATE, CYCLOBENZAPRINE),
    ("interaction.guanethidine", LOW, CYCLOBENZAPRINE),
    ("interaction.cyp1a2_moderate", HIGH, ("tizanidine",)),
    ("interaction.oral_contraceptive", HIGH, ("tizanidine",)),
    ("interaction.alpha2_agonist", HIGH, ("tizanidine",)),
    ("interaction.antihypertensive", MODERATE, ("tizanidine",)),
    ("interaction.meprobamate", HIGH, ("carisoprodol",)),
    ("interaction.cyp2c19", LOW, ("carisoprodol",)),
    ("interaction.hepatotoxic", HIGH, ("dantrolene",)),  # boxed
    ("interaction.estrogen", MODERATE, ("dantrolene",)),
    ("interaction.verapamil", MODERATE, ("dantrolene",)),
    ("interaction.cyp_inhibitor", MODERATE, ("diazepam",)),
    ("interaction.cyp2e1", MODERATE, ("chlorzoxazone",)),
    ("interaction.oral_potassium", MODERATE, ("orphenadrine-er",)),
    ("duplicate.benzodiazepine", MODERATE, ("diazepam",)),
    ("indication.not_effective_spasticity", HIGH, CYCLOBENZAPRINE),
    ("indication.off_label_spasm", HIGH, ("dantrolene",)),  # boxed
    ("indication.off_label_spasm", MODERATE, ("baclofen",)),
    ("indication.off_label_spasm", LOW, ("tizanidine",)),
    ("indication.not_established", HIGH, ("baclofen",)),
    ("indication.benzodiazepine", HIGH, ("diazepam",)),
    ("withdrawal.taper", HIGH, ("diazepam",)),  # boxed
    ("withdrawal.taper", MODERATE, ("baclofen", "tizanidine")),
    ("withdrawal.taper_prolonged", LOW, ("carisoprodol",)),
)

ANY = ("mild", "moderate", "severe")
# Milligrams: highest single dose, highest daily dose. Tizanidine has no highest single dose.
DOSES_MG: dict[str, tuple[float | None, float]] = {
    "cyclobenzaprine-ir": (10, 30),
    "cyclobenzaprine-er": (30, 30),
    "carisoprodol": (350, 1400),
    "metaxalone": (800, 3200),
    "metaxalone-640": (640, 2560),
    "methocarbamol": (1500, 8000),
    "tizanidine": (None, 36),
    "baclofen": (20, 80),
    "orphenadrine-er": (100, 200),
    "chlorzoxazone": (750, 3000),
    "dantrolene": (100, 400),
    "diazepam": (10, 40),
}
START_MG = {"tizanidine": 2, "baclofen": 5, "dantrolene": 25, "cyclobenzaprine-ir": 5, "cyclobenzaprine-er": 15}
MAX_TIMES = {
    "cyclobenzaprine-er": 1,
    "orphenadrine-er": 2,
    "tizanidine": 3,
    "cyclobenzaprine-ir": 3,
    "carisoprodol": 4,
    "metaxalone": 4,
    "metaxalone-640": 4,
    "chlorzoxazone": 4,
    "baclofen": 4,
    "dantrolene": 4,
    "diazepam": 4,
}
MINIMUM_YEARS = {
    "cyclobenzaprine-ir": 15,
    "cyclobenzaprine-er": 18,
    "methocarbamol": 16,
    "carisoprodol": 16,
    "metaxalone": 13,
    "metaxalone-640": 13,
    "tizanidine": 18,
    "baclofen": 12,
    "chlorzoxazone": 18,
    "orphenadrine-er": 18,
    "dantrolene": 5,
}
NUMBERS: dict[tuple[str, str], float | tuple[str, ...]] = {
    **{(line, "duration.max_days"): 21 for line in LABELLED_LIMIT},
    **{(line, "duration.reassess_days"): 14 for line in LABELLED_LIMIT},
    ("dantrolene", "duration.benefit_review_days"): 45,
    ("diazepam", "duration.studied_days"): 120,
    ("cyclobenzaprine-ir", "hepatic.not_recommended"): ("moderate", "severe"),
    ("cyclobenzaprine-er", "hepatic.not_recommended"): ANY,
    ("cyclobenzaprine-ir", "hepatic.mild_start_mg"): 5,
    **{(line, "hepatic.contraindicated"): ("severe",) for line in (*METAXALONE, "diazepam")},
    **{(line, "hepatic.caution"): ("mild", "moderate") for line in (*METAXALONE, "diazepam")},
    ("tizanidine", "hepatic.caution"): ANY,
    ("carisoprodol", "hepatic.caution"): ANY,
    ("methocarbamol", "hepatic.information"): ANY,
    ("diazepam", "hepatic.monitor_after_days"): 120,
    **{(line, "contraindication.maoi_days"): 14 for line in CYCLOBENZAPRINE},
    ("diazepam", "contraindication.below_months"): 6,
    **{(line, "age.minimum_years"): years for line, years in MINIMUM_YEARS.items()},
    ("carisoprodol", "age.established_years"): 18,
    ("cyclobenzaprine-ir", "age.elderly_start_mg"): 5,
    ("diazepam", "age.elderly_start_mg"): 2.5,
    ("diazepam", "age.elderly_start_times"): 2,
    ("tizanidine", "renal.caution_below"): 25,
    **{(line, "dose.max_single_mg"): single for line, (single, _) in DOSES_MG.items() if single is not None},
    **{(line, "dose.max_daily_mg"): daily for line, (_, daily) in DOSES_MG.items()},
    ("tizanidine", "dose.studied_single_mg"): 16,
    ("methocarbamol", "dose.maintenance_daily_mg"): 4500,
    ("methocarbamol", "dose.initial_daily_mg"): 6000,
    ("methocarbamol", "dose.initial_days"): 3,
    **{(line, "dose.start_mg"): start for line, start in START_MG.items()},
    ("baclofen", "dose.start_times"): 3,
    ("dantrolene", "dose.start_times"): 1,
    **{(line, "dose.max_times"): times for line, times in MAX_TIMES.items()},
    ("tizanidine", "dose.min_interval_hours"): 6,
}
# Numbers that the label does not state in these terms: made of what it states, with the arithmetic shown.
COMPUTED = {
    *((line, limit) for line in LABELLED_LIMIT for limit in ("duration.max_days", "duration.reassess_days")),
    ("diazepam", "duration.studied_days"),
    ("diazepam", "hepatic.monitor_after_days"),
    ("baclofen", "dose.max_single_mg"),
    *(("orphenadrine-er", limit) for limit in ("dose.max_single_mg", "dose.max_daily_mg")),
    ("chlorzoxazone", "dose.max_daily_mg"),
    *(("diazepam", limit) for limit in ("dose.max_single_mg", "dose.max_daily_mg")),
}

VERBS: dict[Authority, dict[Severity, set[str]]] = {
    Authority.LABEL: {
        CONTRAINDICATED: {"contraindicated"},
        HIGH: {
            "boxed-warning",
            "not-recommended",
            "avoid",
            "do-not-use-with",
            "stop",
            "not-effective",
            "recommended-maximum",
            "above-highest-dose",
            "start-low",
            "start-low-in-risk-group",
            "below-minimum-age",
        },
        MODERATE: {
            "caution",
            "warn",
            "observe",
            "monitor",
            "reduce",
            "not-indicated",
            "safety-not-established",
            "not-studied-beyond",
            "above-usual-range",
        },
        LOW: {"effect", "kinetics", "counsel", "information"},
    },
    Authority.FDA: {HIGH: {"reserve"}},
    Authority.CRITERIA: {HIGH: {"avoid-strong"}, MODERATE: {"minimise", "review"}},
    Authority.GUIDELINE: {
        HIGH: {"strong-against"},
        MODERATE: {"weak-against", "conditional-against"},
        LOW: {"for", "no-benefit"},
    },
    Authority.ARTICLE: {LOW: {"recommend", "counsel", "next-step", "information"}},
    Authority.POLICY: {MODERATE: {"limit"}, LOW: {"information"}},
}

# Which limits let a rule speak on a drug; rules that need none are not here.
SPEAKS_THROUGH = {
    "duration.course": ("duration.max_days",),
    "duration.course-guideline": ("duration.no_day_limit",),
    "duration.third-week": ("duration.reassess_days",),
    "duration.dantrolene-45": ("duration.benefit_review_days",),
    "duration.diazepam-4-months": ("duration.studied_days",),
    "hepatic.contraindicated": ("hepatic.contraindicated", "hepatic.active_disease"),
    "hepatic.not-recommended": ("hepatic.not_recommended",),
    "hepatic.start-dose": ("hepatic.mild_start_mg",),
    "hepatic.titrate": ("hepatic.mild_titrate",),
    "hepatic.caution": ("hepatic.caution", "hepatic.liver_disease_caution", "hepatic.history_caution"),
    "hepatic.information": ("hepatic.information",),
    "hepatic.grade-needed": (
        "hepatic.contraindicated",
        "hepatic.not_recommended",
        "hepatic.caution",
        "hepatic.information",
    ),
    "hepatic.monitor": (
        "hepatic.monitor",
        "hepatic.monitor_panel",
        "hepatic.monitor_in_liver_disease",
        "hepatic.monitor_prolonged",
        "hepatic.monitor_after_days",
    ),
    "hepatic.stop": ("hepatic.stop_abnormal", "hepatic.stop_injury"),
    "sedation.opioid": ("sedation.opioid",),
    "sedation.three-cns-active": ("sedation.cns_active",),
    "function.anticholinergic": ("function.anticholinergic",),
    "pathway.adjunct": ("pathway.adjunct",),
    "age.minimum": ("age.minimum_years",),
    "age.beers-relaxant": ("age.beers_relaxant",),
    "age.beers-benzodiazepine": ("age.beers_benzodiazepine",),
    "age.er-elderly": ("age.not_recommended_elderly",),
    "age.ir-elderly-start": ("age.elderly_start_mg",),
    "age.diazepam-elderly-start": ("age.elderly_start_times",),
    "age.elderly-caution": ("age.elderly_caution",),
    "renal.contraindicated": ("renal.contraindicated",),
    "renal.caution": ("renal.caution", "renal.caution_below"),
    "pregnancy": ("pregnancy.use",),
    "lactation": ("lactation.use",),
    "dose.single": ("dose.max_single_mg", "dose.studied_single_mg"),
    "dose.daily": ("dose.max_daily_mg",),
    "dose.methocarbamol-phase": ("dose.maintenance_daily_mg",),
    "dose.start": ("dose.start_mg",),
    "dose.frequency": ("dose.max_times",),
    "indication.spasticity": ("indication.not_effective_spasticity",),
    "indication.off-label-antispastic": ("indication.off_label_spasm",),
    "indication.baclofen-not-established": ("indication.not_established",),
    "indication.benzodiazepine-back-pain": ("indication.benzodiazepine",),
    "withdrawal.taper": ("withdrawal.taper", "withdrawal.taper_prolonged"),
}
# A rule of one label, although another line holds the same kind of number.
RULES_OF_ONE_LINE = {"age.ir-elderly-start": "cyclobenzaprine-ir"}
# A rule for each condition or partner: every label speaks through some of them and is silent on the rest.
ONE_OF_MANY = {"contraindication", "caution", "interaction"}

STRENGTHS_MG = {  # of the labelled solid forms
    "cyclobenzaprine-ir": {5, 7.5, 10},
    "cyclobenzaprine-er": {15, 30},
    "methocarbamol": {500, 750},
    "carisoprodol": {250, 350},
    "metaxalone": {400, 800},
    "metaxalone-640": {640},
    "tizanidine": {2, 4, 6},
    "baclofen": {5, 10, 15, 20},
    "orphenadrine-er": {100},
    "chlorzoxazone": {250, 375, 500, 750},
    "dantrolene": {25, 50, 100},
    "diazepam": {2, 5, 10},
}
# What the label's own tables give, percent of patients by single dose; None is placebo.
DROWSINESS: dict[str, dict[float | None, int]] = {
    "cyclobenzaprine-ir": {5: 29, 10: 38, None: 10},
    "carisoprodol": {250: 13, 350: 17, None: 6},
}
DRY_MOUTH: dict[str, dict[float | None, int]] = {
    "cyclobenzaprine-ir": {5: 21, 10: 32, None: 7},
}
PATIENTS: dict[str, dict[float | None, int]] = {
    "cyclobenzaprine-ir": {5: 464, 10: 249, None: 469},
    "carisoprodol": {250: 548, 350: 279, None: 560},
}
WITH_FIGURES = {*DROWSINESS, *DRY_MOUTH, "tizanidine", "baclofen"}

# Read, and judged too weak, outdated, contradicted by the label, or not of the United States.
REFUSED_COPIES = {
    "C29",  # gives three to four weeks of cyclobenzaprine
    "M9",
    "M14",
    "M16",
    "X13",
    "A14",
    "L2-T15",
    "L2-T18",
    "L2-T21",
    "L2-B14",
    "L2-B17",
    "L2-B19",
    "L2-C2",
    "L2-D15",
    "L2-Z19",
}
REFUSED_WORDS = (
    r"\b60 mg",  # the outdated daily dose of cyclobenzaprine
    r"(3|three)( ?- ?| to )(4|four) weeks",
    r"5 mg (a|per) day",
    r"\b(1\.7|2\.4|10|33)[ -]?fold",
    r"\b78 ?%|\b92 ?%",  # the 8 mg and 16 mg split of tizanidine
    r"\b(15|20) ?%",  # alcohol on tizanidine exposure
    r"eGFR",
    r"\b1,?000 mg",
)

OFFICIAL = re.compile(r"https?://(dailymed(-beta)?\.nlm\.nih|api\.fda|www\.fda|www\.accessdata\.fda)\.gov/")
CITED = re.compile(r"\[([a-z0-9.-]+)((?: L?[0-9A-Za-z-]+,?)*)\]$")
SOURCE_KINDS = {
    Authority.LABEL: "label",
    Authority.FDA: "fda-communication",
    Authority.CRITERIA: "criteria",
    Authority.GUIDELINE: "guideline",
    Authority.ARTICLE: "article",
    Authority.POLICY: "policy",
}


def _files() -> dict[str, MedicationFile]:
    found = {}
    for path in sorted((DATA / "medications").glob("*.yaml")):
        found[path.stem] = validate(read_document(path, path.name), MedicationFile)
    return found


def _sources() -> dict[str, Source]:
    found: dict[str, Source] = {}
    for path in sorted((DATA / "sources").glob("*.yaml")):
        for source in validate(read_document(path, path.name), SourceFile).sources:
            assert source.id not in found
            found[source.id] = source
    return found


FILES = _files()
SOURCES = _sources()
SEVERITY = validate(read_document(DATA / "severity.yaml", "severity.yaml"), SeverityFile)


def _statements() -> Iterator[tuple[str, str, Statement]]:
    for line, file in FILES.items():
        for name, statement in file.statements.items():
            yield line, name, statement


def _severity(statement: Statement) -> Severity:
    row = next(row for row in SEVERITY.rows if row.authority is statement.authority)
    severity = Severity[row.verbs[statement.verb]]
    if statement.read_as is ReadAs.SECONDARY and statement.authority is Authority.LABEL:
        severity = min(severity, Severity[SEVERITY.secondary_cap])
    return severity


def test_one_file_for_each_product_line_of_the_catalogue() -> None:
    assert {(stem, file.id) for stem, file in FILES.items()} == {(line, line) for line in LINES}


def test_severity_follows_the_catalogue_and_nothing_else() -> None:
    assert SEVERITY.secondary_cap == "MODERATE"
    read = {row.authority: {(verb, Severity[name]) for verb, name in row.verbs.items()} for row in SEVERITY.rows}
    assert len(read) == len(SEVERITY.rows)
    assert read == {
        authority: {(verb, severity) for severity, verbs in by_severity.items() for verb in verbs}
        for authority, by_severity in VERBS.items()
    }


@pytest.mark.parametrize("line", LINES)
def test_each_line_states_exactly_what_the_catalogue_gives_it_at_its_severity(line: str) -> None:
    wanted = {limit: severity for limit, severity, lines in CATALOGUE if line in lines}
    assert {name: _severity(each) for name, each in FILES[line].statements.items()} == wanted


def test_the_catalogue_covers_the_vocabulary() -> None:
    assert list(dict.fromkeys(limit for limit, _, _ in CATALOGUE)) == list(LIMITS)
    rows = [(line, limit) for limit, _, lines in CATALOGUE for line in lines]
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize("line", LINES)
def test_values_are_the_catalogues_in_the_unit_of_the_limit(line: str) -> None:
    statements = FILES[line].statements
    stated = {name: each.value for name, each in statements.items() if each.value is not None}
    assert stated == {name: value for (of, name), value in NUMBERS.items() if of == line}
    for name, each in statements.items():
        limit = LIMITS[name]
        assert (each.value is None) == (limit.type is Type.FLAG)
        assert each.unit == (limit.unit.value if limit.type is Type.NUMBER else None)


def test_derived_numbers_follow_from_the_arithmetic_shown() -> None:
    derived = {(line, name): each for line, name, each in _statements() if each.basis is Basis.DERIVED}
    assert derived.keys() >= COMPUTED
    for each in derived.values():
        assert each.arithmetic is not None
        shown = re.fullmatch(r"(\d+) x (\d+) (\w+)", each.arithmetic)
        assert shown is not None
        assert (math.prod(map(int, shown.group(1, 2))), shown[3]) == (each.value, each.unit)


def test_no_day_limit_is_policy_that_says_so_and_names_its_support() -> None:
    for line, name, each in _statements():
        if name == "duration.no_day_limit":
            assert (each.authority, each.source, each.value) == (Authority.POLICY, "medication-policy", None)
            assert "No day limit in this drug's label" in each.says
            assert not re.search(r"\d", each.says)  # the number is the policy's, a site may change it
            assert any("[seed-article]" in also for also in each.also)
            wanted = "[vadod-2017]" if line == "diazepam" else "[acp-2017]"
            assert any(wanted in also for also in each.also)


def test_not_recommended_is_never_called_contraindicated() -> None:
    for line in CYCLOBENZAPRINE:
        said = FILES[line].statements["hepatic.not_recommended"]
        assert said.verb == "not-recommended"
        assert "not a contraindication" in said.says


@pytest.mark.parametrize("line", LINES)
def test_who_speaks_fits_the_source(line: str) -> None:
    file = FILES[line]
    assert SOURCES[file.label].kind == "label"
    for each in file.statements.values():
        assert SOURCES[each.source].kind == SOURCE_KINDS[each.authority]
        if each.authority is Authority.LABEL:
            assert each.source == file.label


@pytest.mark.parametrize("line", LINES)
def test_every_place_cited_is_a_copy_of_its_source(line: str) -> None:
    file = FILES[line]
    cited: list[tuple[str, tuple[str, ...]]] = []
    cited += [(each.source, each.seen_in) for each in file.statements.values()]
    cited += [(each.source, each.seen_in) for each in file.products]
    if file.figures is not None:
        cited.append((file.figures.source, file.figures.seen_in))
    for each in file.statements.values():
        for also in each.also:
            named = CITED.search(also)
            assert named is not None, also
            cited.append((named[1], tuple(named[2].replace(",", " ").split())))
    for source, seen_in in cited:
        assert set(seen_in) <= {copy.id for copy in SOURCES[source].copies}, (source, seen_in)
        assert len(set(seen_in)) == len(seen_in)
    for each in file.statements.values():
        assert each.seen_in or each.authority in {Authority.POLICY, Authority.ARTICLE}


def test_every_copy_of_a_label_is_cited_and_has_one_address() -> None:
    cited = {(each.source, seen) for _, _, each in _statements() for seen in each.seen_in}
    addresses: dict[str, str] = {}
    for file in FILES.values():
        cited |= {(product.source, seen) for product in file.products for seen in product.seen_in}
        cited |= {(file.figures.source, seen) for seen in file.figures.seen_in} if file.figures else set()
        for each in file.statements.values():
            for also in each.also:
                if (named := CITED.search(also)) is not None:
                    cited |= {(named[1], seen) for seen in named[2].replace(",", " ").split()}
    for source in SOURCES.values():
        if source.kind == "label":
            assert {copy.id for copy in source.copies} == {seen for of, seen in cited if of == source.id}
            for copy in source.copies:
                assert addresses.setdefault(copy.id, copy.url) == copy.url
                assert copy.url.startswith("http")


def test_how_a_label_was_read_is_told_honestly() -> None:
    for line, name, each in _statements():
        if each.authority is not Authority.LABEL:
            continue
        at = {copy.id: copy.url for copy in SOURCES[each.source].copies}
        official = any(OFFICIAL.match(at[seen]) for seen in each.seen_in)
        assert official == (each.read_as is ReadAs.SOURCE), (line, name)
        assert (each.read_as is ReadAs.SECONDARY) == ("not read in the label" in each.says), (line, name)
        assert each.read_as is not ReadAs.TWO_SECONDARY or len(each.seen_in) >= 2


def test_nothing_refused_is_cited_or_said() -> None:
    copies = {copy.id for source in SOURCES.values() if source.kind == "label" for copy in source.copies}
    assert copies & REFUSED_COPIES == set()
    for line, file in FILES.items():
        said = [file.indication, *file.not_applicable.values()]
        for each in file.statements.values():
            said += [each.says, *each.also]
        for text in said:
            assert not [word for word in REFUSED_WORDS if re.search(word, text)], (line, text)


@pytest.mark.parametrize("line", LINES)
def test_a_rule_speaks_on_a_drug_or_its_file_says_why_not(line: str) -> None:
    file = FILES[line]
    silent = set()
    for rule, limits in SPEAKS_THROUGH.items():
        family = rule.partition(".")[0]
        if RULES_OF_ONE_LINE.get(rule, line) != line or not any(limit in file.statements for limit in limits):
            silent.add(rule)
            assert rule in file.not_applicable or family in file.not_applicable, rule
    assert {key for key in file.not_applicable if "." in key} <= silent
    assert file.not_applicable.keys() >= ONE_OF_MANY
    families = {rule.partition(".")[0] for rule in SPEAKS_THROUGH}
    for key in file.not_applicable.keys() - ONE_OF_MANY:
        if "." not in key:
            assert key in families
            assert not [name for name in file.statements if name.startswith(f"{key}.")]


def test_no_hepatic_statement_is_said_as_such() -> None:
    assert FILES["baclofen"].not_applicable["hepatic"] == "label gives no hepatic statement"
    assert FILES["orphenadrine-er"].not_applicable["hepatic.caution"] == "label gives no hepatic statement"


@pytest.mark.parametrize("line", LINES)
def test_products_are_the_labelled_ones(line: str) -> None:
    forms = {words.form for words in FORM_WORDS.values() if words.form}
    solids = set()
    for product in FILES[line].products:
        assert set(product.forms) <= forms
        whole = product.release == "er" or {"capsule", "granules"} & set(product.forms)
        assert product.divisible == (not whole)
        if {"tablet", "capsule"} & set(product.forms):
            solids |= set(product.strengths_mg)
            assert product.release == ("er" if line.endswith("-er") else "ir")
        else:
            assert product.release == "any"
    assert solids == STRENGTHS_MG[line]


def test_only_diazepam_depends_on_its_indication() -> None:
    assert {line for line, file in FILES.items() if file.relaxant == "by-indication"} == {"diazepam"}


def test_figures_are_the_labels_own() -> None:
    tables = {line: file.figures for line, file in FILES.items() if file.figures is not None}
    assert set(tables) == WITH_FIGURES
    for effect, wanted in (("drowsiness", DROWSINESS), ("dry mouth", DRY_MOUTH)):
        for line, by_dose in wanted.items():
            assert {arm.single_mg: arm.percent[effect] for arm in tables[line].arms} == by_dose
    for line, patients in PATIENTS.items():
        assert {arm.single_mg: arm.n for arm in tables[line].arms} == patients
        assert [arm.single_mg for arm in tables[line].arms if arm.placebo] == [None]
    (tizanidine,) = tables["tizanidine"].arms
    assert tizanidine.percent == {"somnolence": 48, "dry mouth": 49, "asthenia": 41, "dizziness": 16}
    assert tables["tizanidine"].read_as is ReadAs.SECONDARY
    drowsy = [(arm.placebo, arm.percent["drowsiness"]) for arm in tables["baclofen"].arms]
    assert drowsy == [(False, "10-63"), (False, 63), (True, 36)]


def test_nobody_is_named_who_has_not_reviewed() -> None:
    assert {file.review.status for file in FILES.values()} == {"not_reviewed"}
