"""What patients are told is short, plain and easy: Flesch-Kincaid grade 6 or below. Run with `-s` for the grades.

The grade is that of the `textstat` package: syllables by the CMU dictionary, by hyphenation for a word that it lacks.
"""

from __future__ import annotations

import re
from functools import cache

import pytest
import textstat

from safety_service.cases import read_cases
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import load_knowledge

GRADE = 6.0
# Every clause of these rules tells the patient something.
COUNSELLED = (
    "sedation.counsel", "sedation.safety-critical-task", "sedation.triple", "sedation.opioid",
    "sedation.benzodiazepine", "sedation.alcohol", "sedation.three-cns-active", "sedation.falls", "duration.course",
    "duration.course-guideline", "hepatic.start-dose", "hepatic.monitor", "dose.start", "withdrawal.taper",
    "duplicate.class", "duplicate.ingredient", "interaction.cyclobenzaprine.serotonergic",
    "interaction.metaxalone.serotonergic", "interaction.tizanidine.cyp1a2", "pathway.first-line",
)  # fmt: skip
# Words of the trade, and promises.
UNSAID = r"\b(opioids? use disorder|sedation|titrat\w+|adverse|hepatic|contraindicat\w+|respirat\w+|indicat\w+|mg)\b"
PROMISE = r"\b(will|cures?|heals?|guarantee[ds]?|safe|proven)\b"


@cache
def knowledge() -> Knowledge:
    return load_knowledge()


@cache
def texts() -> dict[str, str]:
    """Each text as the rules have it, by rule and clause (from 1) or care option; a number stands for each place."""
    written = {
        f"{rule.id}, clause {i}": re.sub(r"\{\w+\}", "3", clause.patient)
        for rule in knowledge().rules
        for i, clause in enumerate(rule.clauses, 1)
        if clause.patient is not None
    }
    return written | {option.id: option.patient_text for option in knowledge().care.options.values()}


def grade(text: str) -> float:
    return float(textstat.flesch_kincaid_grade(text))


def sentences(text: str) -> list[str]:
    return [part for part in re.split(r"[.!?:]", text) if part.strip()]


def test_every_text_is_within_the_grade() -> None:
    graded = sorted(((grade(text), name) for name, text in texts().items()), reverse=True)
    print()
    for found, name in graded:
        print(f"{found:5.1f}  {name}")
    assert len(graded) > 40
    assert not [f"{name}: {found:.1f}" for found, name in graded if found > GRADE]


def test_every_text_that_an_alert_shows_is_within_the_grade() -> None:
    told = {}
    for case in read_cases():
        for alert in check(knowledge(), case.request).alerts:
            if alert.words.patient_text:
                told[alert.words.patient_text] = alert.words.rule_id
    assert len(set(told.values())) > 15
    assert not [f"{rule}: {grade(text):.1f} {text}" for text, rule in told.items() if grade(text) > GRADE]
    assert not [text for text in told if "{" in text]


@pytest.mark.parametrize("rule_id", COUNSELLED)
def test_every_way_a_counselling_rule_fires_tells_the_patient(rule_id: str) -> None:
    (rule,) = (each for each in knowledge().rules if each.id == rule_id)
    assert [clause.when for clause in rule.clauses if clause.patient is None] == []


def test_pregnancy_and_breast_feeding_tell_the_patient() -> None:
    family = [each for each in knowledge().rules if each.id.startswith(("pregnancy.", "lactation."))]
    assert len(family) >= 10
    assert all(clause.patient for rule in family for clause in rule.clauses)


@pytest.mark.parametrize("name", sorted(texts()))
def test_a_text_speaks_to_the_patient_in_short_plain_sentences(name: str) -> None:
    text = texts()[name]
    found = sentences(text)
    assert 2 <= len(found) <= 6
    assert max(len(each.split()) for each in found) <= 22
    assert not re.search(UNSAID, text.lower())
    assert not re.search(PROMISE, text.lower())
    if name not in knowledge().care.options:
        assert re.search(r"\byour?\b", text.lower())


def test_a_text_has_no_number_of_its_own() -> None:
    own = [
        rule.id
        for rule in knowledge().rules
        for clause in rule.clauses
        if clause.patient is not None and re.search(r"\d", clause.patient)
    ]
    assert own == []


def test_the_measure_tells_plain_from_hard() -> None:
    assert grade("Do not drive. It can make you sleepy.") < GRADE
    assert grade("Concomitant administration potentiates respiratory depression in susceptible individuals.") > 12
