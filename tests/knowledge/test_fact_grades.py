"""Nothing goes in that nobody could read: what the fact pages grade UNVERIFIED, W or "not found" stays out.

The fact pages are the research behind the label statements: YAML blocks, one per drug, in which every fact names where
it was read and how good that is. They are not in this repository; they lie beside it, in ../shared/clinical.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

import rules_data
from safety_service.knowledge.read import read_document, validate
from safety_service.knowledge.schema import Authority, Basis, MedicationFile, SourceFile, Statement
from safety_service.rules.vocabulary import LIMITS

DATA = Path(rules_data.__file__).parent
PAGES = {"labels-1.md": "", "labels-2.md": "L2-"}  # what a page's ids begin with in this repository
STAYS_OUT = {"UNVERIFIED", "W", "not"}  # "not found"
REMARKS = {"note", "unverified", "conflict"}  # said beside a fact, not part of it

# Which facts of a drug's block a statement can rest on. A fact reads "place in the block: its words".
RESTS_ON = {
    "duration": r"^duration",
    "duration.benefit_review_days": r"^duration\.no_benefit_rule",
    "duration.studied_days": r"^duration\.longer_use",
    "hepatic": r"^(hepatic|contraindications)",
    "hepatic.monitor_prolonged": r"^duration\.long_term",
    "sedation": r"^(sedation|interactions|boxed_warning|abuse)",
    "function": r"^(anticholinergic|interactions.*anticholinergic)",
    "pathway": r"^indication",
    "contraindication.hypersensitivity": r"^contraindications.*(hypersens|intolerance)",
    "contraindication.carbamate_allergy": r"^contraindications.*carbamate",
    "contraindication.maoi_days": r"^(contraindications|interactions).*mao",
    "contraindication.myocardial_infarction": r"^contraindications.*(myocardial|\bmi\b)",
    "contraindication.arrhythmia": r"^contraindications.*arrhythmia",
    "contraindication.heart_block": r"^contraindications.*heart block",
    "contraindication.heart_failure": r"^contraindications.*heart failure",
    "contraindication.hyperthyroidism": r"^contraindications.*hyperthyroid",
    "contraindication.porphyria": r"^contraindications.*porphyria",
    "contraindication.anemia": r"^contraindications.*anaemia",
    "contraindication.cyp1a2": r"^(contraindications|interactions).*(strong cyp1a2|fluvoxamine|ciprofloxacin)",
    "contraindication.cyp1a2_secondary": r"^interactions\.note.*enoxacin/viloxazine",
    "contraindication.glaucoma": r"^contraindications.*glaucoma",
    "contraindication.gastric_obstruction": r"^contraindications.*(pyloric|duodenal)",
    "contraindication.peptic_ulcer": r"^contraindications.*peptic ulcer",
    "contraindication.prostatic_hypertrophy": r"^contraindications.*prostatic",
    "contraindication.bladder_neck_obstruction": r"^contraindications.*bladder neck",
    "contraindication.cardiospasm": r"^contraindications.*cardiospasm",
    "contraindication.myasthenia_gravis": r"^contraindications.*myasthenia",
    "contraindication.spasticity_for_function": r"^contraindications.*posture",
    "contraindication.respiratory_insufficiency": r"^contraindications.*respiratory",
    "contraindication.sleep_apnea": r"^contraindications.*sleep apnea",
    "contraindication.narrow_angle_glaucoma": r"^contraindications.*narrow-angle",
    "contraindication.below_months": r"^contraindications.*under 6 months",
    "caution.urinary_retention": r"^anticholinergic.*urinary retention",
    "caution.angle_closure_glaucoma": r"^anticholinergic.*glaucoma",
    "caution.raised_intraocular_pressure": r"^anticholinergic.*(intraocular|iop)",
    "caution.seizure_disorder": r"^(seizures|other_cautions.*epilepsy)",
    "caution.myasthenia_gravis": r"^interactions.*myasthenia",
    "caution.substance_use_disorder": r"^(abuse|boxed_warning.*abuse)",
    "caution.cyp2c19_reduced": r"^interactions.*cyp2c19 poor",
    "caution.psychosis": r"^other_cautions.*psychosis",
    "caution.autonomic_dysreflexia": r"^other_cautions.*dysreflexia",
    "caution.spasticity_for_function": r"^other_cautions.*posture",
    "caution.tachycardia": r"^cautions.*tachycardia",
    "caution.heart_failure": r"^cautions.*decompensation",
    "caution.coronary_insufficiency": r"^cautions.*coronary",
    "caution.arrhythmia": r"^cautions.*arrhythmia",
    "caution.lung_function": r"^cautions.*pulmonary",
    "caution.severe_heart_disease": r"^cautions.*cardiac",
    "caution.drug_allergy": r"^allergy",
    "caution.risk_groups": r"^hepatic_impairment\.boxed_warning",
    "age.minimum_years": r"^dose_adult\w*\.(min_age|tablet)|^indication",
    "age.established_years": r"^(indication|dose_adult\.min_age)",
    "age.not_recommended_elderly": r"^older_adults",
    "age.elderly_start_mg": r"^(older_adults|dose_adult\w*\.older)",
    "age.elderly_start_times": r"^dose_adult\w*\.older",
    "age.elderly_caution": r"^older_adults",
    "renal": r"^(renal|contraindications.*renal)",
    "pregnancy.use": r"^pregnancy",
    "lactation.use": r"^lactation",
    "dose.max_single_mg": r"^dose_adult\w*\.(max_single|max_daily|usual|start_and_usual|tablet)",
    "dose.max_daily_mg": r"^dose_adult\w*\.(max_daily|max_single|usual|start_and_usual|tablet)",
    "dose.studied_single_mg": r"^dose_adult\.max_single",
    "dose.maintenance_daily_mg": r"^dose_adult\.(maintenance|max_daily)",
    "dose.initial_daily_mg": r"^dose_adult\.(start|max_daily)",
    "dose.initial_days": r"^(dose_adult\.start|duration)",
    "dose.start_mg": r"^dose_adult\w*\.start",
    "dose.start_times": r"^dose_adult\w*\.start",
    "dose.max_times": r"^dose_adult\w*\.(frequency|max_daily|usual|initial|start_and_usual|older_label|tablet)",
    "dose.min_interval_hours": r"^dose_adult\.frequency",
    "interaction.serotonergic": r"^interactions.*(serotonergic|serotonin)",
    "interaction.tramadol": r"^interactions.*tramadol",
    "interaction.guanethidine": r"^interactions.*guanethidine",
    "interaction.cyp1a2_moderate": r"^interactions.*zileuton",
    "interaction.oral_contraceptive": r"^interactions.*oral contraceptives",
    "interaction.alpha2_agonist": r"^interactions.*alpha-2",
    "interaction.antihypertensive": r"^interactions.*antihypertensives",
    "interaction.meprobamate": r"^interactions.*meprobamate",
    "interaction.cyp2c19": r"^interactions.*cyp2c19 in",
    "interaction.hepatotoxic": r"^interactions.*hepatotoxic",
    "interaction.estrogen": r"^interactions.*estrogens",
    "interaction.verapamil": r"^interactions.*verapamil",
    "interaction.cyp_inhibitor": r"^interactions.*cimetidine",
    "interaction.cyp2e1": r"^interactions.*isoniazid",
    "interaction.oral_potassium": r"^interactions.*potassium",
    "duplicate.benzodiazepine": r"^interactions.*hypnotics",
    "indication": r"^indication",
    "indication.off_label_spasm": r"^(indication|hepatic_impairment\.boxed_warning)",
    "withdrawal.taper": r"^(withdrawal|boxed_warning.*withdrawal)",
    "withdrawal.taper_prolonged": r"^abuse_dependence_withdrawal",
}
# Numbers that no fact writes down: an age read from "adults" or "children".
NO_NUMBER = {
    *((line, "age.minimum_years") for line in ("cyclobenzaprine-er", "tizanidine", "orphenadrine-er")),
    ("carisoprodol", "age.established_years"),
}
WORDS = {1: "once|one", 2: "twice|two", 3: "three|tid", 4: "four|qid", 14: "two weeks", 21: "three weeks"}


OTHERS_SPEAK = {"age.beers_relaxant", "age.beers_benzodiazepine"}  # criteria, never a label


class Fact(NamedTuple):
    """What a page says in one place of a drug's block, and where that was read."""

    drug: str
    text: str  # "place.in.the.block: words", in lower case
    grade: str
    read_in: frozenset[str]  # ids, as this repository writes them


def facts_of(page: str, prefix: str) -> Iterator[Fact]:
    """Every graded fact of a page's YAML blocks. A grade in a comment behind a key holds for what is below it."""
    for block in re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        data = yaml.safe_load(block)
        drugs = {data.pop("drug"): data} if "drug" in data else data
        commented = {key: _of_comment(comment) for key, comment in re.findall(r"^ *(\w+): +# (.+)$", block, re.M)}
        for drug, topics in drugs.items():
            for topic, node in topics.items():
                grade, ids = commented.get(topic, ("", ()))
                for text, given, read_in in _walk(node, topic, grade, ids):
                    if given:
                        yield Fact(drug, text.lower(), given, frozenset(f"{prefix}{each}" for each in read_in))


def _of_comment(comment: str) -> tuple[str, tuple[str, ...]]:
    grade = re.search(r"\b(?:grade|conf) (\w+)", comment)
    return (grade[1] if grade else "", _ids(comment))


def _ids(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\b[A-Z]\d+b?\b", text))


def _walk(node: Any, path: str, grade: str, ids: Iterable[str]) -> Iterator[tuple[str, str, Iterable[str]]]:
    if isinstance(node, Mapping):
        grade = re.split(r"\W", str(node.get("grade") or node.get("conf") or grade))[0]  # "S, non-US" is S
        ids = node.get("src", ids)
        own = [
            f"{key} {value}"
            for key, value in node.items()
            if isinstance(value, str | int | float) and key not in REMARKS
        ]
        yield f"{path}: {' '.join(own)}", grade, ids
        for remark in str(node.get("note", "")).split(";"):  # a remark grades a part of the fact apart
            if (apart := re.search(r"\b(UNVERIFIED|S)\b", remark)) is not None:
                yield f"{path}.note: {remark}", apart[1], _ids(remark)
        for key, value in node.items():
            if isinstance(value, Mapping | list) and key != "src":
                yield from _walk(value, f"{path}.{key}", grade, ids)
    elif isinstance(node, list):
        for each in node:
            yield from _walk(each, path, grade, ids)
    else:
        yield f"{path}: {node}", grade, ids


def what_a_page_does_not_bear(file: MedicationFile, facts: Iterable[Fact]) -> list[str]:
    """Label statements of a file that rest on a fact which stays out, or on none."""
    of_drug = [each for each in facts if _is_drug(each.drug, file)]
    wrong = []
    for name, said in file.statements.items():
        if said.authority is Authority.LABEL:
            wrong += [f"{file.id} {name}: {reason}" for reason in _reasons(file.id, name, said, of_drug)]
    return wrong


def _is_drug(drug: str, file: MedicationFile) -> bool:
    known = drug.replace("_", "-")
    return file.id == known or (not known.startswith("cyclobenzaprine") and known.split(" ")[0] == file.ingredient)


def _reasons(line: str, name: str, said: Statement, of_drug: list[Fact]) -> Iterator[str]:
    pattern = RESTS_ON.get(name) or RESTS_ON[name.partition(".")[0]]
    rests_on = [each for each in of_drug if re.search(pattern, each.text)]
    borne = {seen for each in rests_on if each.grade not in STAYS_OUT for seen in each.read_in}
    refused = {seen for each in rests_on if each.grade in STAYS_OUT for seen in each.read_in} - borne
    for seen in said.seen_in:
        if seen in refused:
            yield f"{seen} is graded as what stays out"
    if not borne & set(said.seen_in):
        yield f"no fact of the pages on this was read in {', '.join(said.seen_in)}"
    if isinstance(said.value, int | float) and said.basis is Basis.STATED and (line, name) not in NO_NUMBER:
        number = rf"(?<![\d.]){said.value:g}(?![\d.]*\d)"
        words = WORDS.get(int(said.value), "-")
        plain = [_plain(each.text) for each in rests_on if each.grade not in STAYS_OUT]
        if not any(re.search(rf"{number}|\b({words})\b", text) for text in plain):
            yield f"the pages do not give {said.value:g} {said.unit}"


def _plain(text: str) -> str:
    """Thousands without a comma, grams in milligrams."""
    text = re.sub(r"(\d),(?=\d{3})", r"\1", text)
    return re.sub(r"(\d+(?:\.\d+)?) g\b", lambda found: f"{float(found[1]) * 1000:g} mg", text)


@cache
def _pages() -> Mapping[str, str]:
    for above in Path(__file__).parents[2].parents:
        folder = above / "shared" / "clinical"
        if folder.is_dir():
            return {name: (folder / name).read_text() for name in PAGES}
    pytest.skip("needs ../shared/clinical")


@cache
def _facts() -> list[Fact]:
    return [fact for name, text in _pages().items() for fact in facts_of(text, PAGES[name])]


FILES = {
    path.stem: validate(read_document(path, path.name), MedicationFile)
    for path in sorted((DATA / "medications").glob("*.yaml"))
}


@pytest.mark.parametrize("line", FILES)
def test_no_statement_rests_on_a_fact_that_stays_out(line: str) -> None:
    assert what_a_page_does_not_bear(FILES[line], _facts()) == []


def test_the_pages_grade_what_must_stay_out() -> None:
    out = [fact for fact in _facts() if fact.grade in STAYS_OUT]
    assert {fact.grade for fact in out} == STAYS_OUT
    assert {"C25", "A14", "M16", "X13"} <= {seen for fact in out for seen in fact.read_in}


@pytest.mark.parametrize(
    ("page", "fact", "planted", "line", "caught"),
    [
        (
            "labels-2.md",
            'start: {value: 2 mg, section: "2.1 (older) / 2.2 (2024)", grade: L,',
            'start: {value: 2 mg, section: "2.1 (older) / 2.2 (2024)", grade: UNVERIFIED,',
            "tizanidine",
            {"tizanidine dose.start_mg"},
        ),
        (
            "labels-2.md",
            'pregnancy: {value: "category C; embryocidal in rabbits, lower pup survival in rats at about 7x human '
            'dose; no adequate human studies", section: Pregnancy, grade: L,',
            'pregnancy: {value: "category C", section: Pregnancy, grade: W,',
            "dantrolene",
            {"dantrolene pregnancy.use"},
        ),
        (
            "labels-2.md",
            "contraindications:        # all: section Contraindications, grade L,",
            "contraindications:        # all: section Contraindications, grade UNVERIFIED,",
            "orphenadrine-er",
            {
                f"orphenadrine-er contraindication.{name}"
                for name in (
                    "hypersensitivity",
                    "glaucoma",
                    "gastric_obstruction",
                    "peptic_ulcer",
                    "prostatic_hypertrophy",
                    "bladder_neck_obstruction",
                    "cardiospasm",
                    "myasthenia_gravis",
                )
            },
        ),
        (
            "labels-2.md",
            'note: "enoxacin/viloxazine only S [X3];',
            'note: "enoxacin/viloxazine UNVERIFIED [X3];',
            "tizanidine",
            {"tizanidine contraindication.cyp1a2_secondary"},
        ),
        (
            "labels-2.md",
            "threshold: CrCl < 25 mL/min",
            "threshold: CrCl < 30 mL/min",
            "tizanidine",
            {"tizanidine renal.caution_below"},
        ),
    ],
    ids=["unverified", "weak", "by a comment", "by a remark", "another number"],
)
def test_a_fact_that_stays_out_is_caught(page: str, fact: str, planted: str, line: str, caught: set[str]) -> None:
    text = _pages()[page]
    assert text.count(fact) == 1
    found = what_a_page_does_not_bear(FILES[line], facts_of(text.replace(fact, planted), PAGES[page]))
    assert {each.partition(":")[0] for each in found} == caught


def test_a_copy_that_only_weak_facts_name_is_caught() -> None:
    """C4 bears the dose, and is too weak for breast-feeding."""
    page = (
        "```yaml\ndrug: chlorzoxazone\ndose_adult:\n  max_single: {value: 750 mg, grade: L, src: [C4]}\n"
        "lactation: {value: caution, grade: W, src: [C4]}\n```\n"
    )
    chlorzoxazone = FILES["chlorzoxazone"]
    dose = chlorzoxazone.statements["dose.max_single_mg"].model_copy(update={"seen_in": ("L2-C4",)})
    lactation = chlorzoxazone.statements["pregnancy.use"].model_copy(update={"seen_in": ("L2-C4",)})
    file = chlorzoxazone.model_copy(update={"statements": {"dose.max_single_mg": dose, "lactation.use": lactation}})
    found = what_a_page_does_not_bear(file, facts_of(page, "L2-"))
    assert found[0] == "chlorzoxazone lactation.use: L2-C4 is graded as what stays out"
    assert all("lactation.use" in each for each in found)


def test_every_limit_a_label_can_state_has_its_facts() -> None:
    unnamed = {name for name in LIMITS if name not in RESTS_ON and name.partition(".")[0] not in RESTS_ON}
    assert unnamed == OTHERS_SPEAK
    assert {name for name in RESTS_ON if "." in name} <= LIMITS.keys()


def test_every_copy_has_the_address_of_the_pages() -> None:
    at: dict[str, set[str]] = {}
    for name, text in _pages().items():
        for row in re.findall(r"^(?:- |\| )[A-Z]\d+ .*$", text, re.MULTILINE):
            head = ""
            for word in row.split():
                if re.fullmatch(r"[A-Z]\d+b?", word):
                    head = f"{PAGES[name]}{word}"
                elif word.startswith("http"):
                    at.setdefault(head, set()).add(word)
    checked = 0
    for source in validate(read_document(DATA / "sources" / "labels.yaml", "labels.yaml"), SourceFile).sources:
        for copy in source.copies if source.kind == "label" else ():
            if copy.id in at:
                assert copy.url in at[copy.id], copy.id
                checked += 1
    assert checked > 100
