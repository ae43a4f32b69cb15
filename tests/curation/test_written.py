"""A condition as text means the same; what was loaded is what is written."""

from dataclasses import replace
from random import Random

import pytest

from safety_service.curation.recording import ProgramKey, with_programs
from safety_service.curation.written import (
    UnlikeWrittenError,
    in_words,
    leaning_on,
    rule_names,
    rules_asked,
    written_rules,
)
from safety_service.knowledge.knowledge import Knowledge
from safety_service.rules.meaning import meaning
from safety_service.rules.parse import Names, parse
from safety_service.rules.tree import And, Compare, FactRef, LimitRef, Not, Number, OneOf, Or, Stated
from safety_service.rules.vocabulary import FACTS, Type, Unit
from tests.rules.random_rules import random_facts, random_tree

DAYS = tuple(fact for fact in FACTS.values() if fact.type is not Type.NUMBER or fact.unit is Unit.DAY)


def test_text_and_tree_mean_the_same(seed: int) -> None:
    rng = Random(seed)
    done = 0
    while done < 400:
        tree = random_tree(rng, facts=DAYS)
        if "-" in in_words(tree):  # the language has no negative numbers
            continue
        done += 1
        again = parse(in_words(tree), Names())
        for _ in range(25):
            facts = random_facts(rng)
            assert meaning(again, facts) is meaning(tree, facts), in_words(tree)


def test_every_rule_is_written_as_its_file_writes_it(knowledge: Knowledge) -> None:
    names = rule_names(knowledge)
    for rule in written_rules(knowledge).values():
        for tree in rule.clauses:
            assert parse(in_words(tree), names) == tree


def test_numbers_are_shown_in_their_unit_with_their_limit() -> None:
    dose = Compare(">", FactRef("single_dose_mg"), Number(7500, "drug.hepatic.mild_start_mg"))
    grade = OneOf("hepatic_grade", 0b1100, "drug.hepatic.not_recommended")
    assert in_words(dose) == "single_dose_mg > drug.hepatic.mild_start_mg"
    assert in_words(dose, numbers=True) == "single_dose_mg > 7.5 mg [drug.hepatic.mild_start_mg]"
    assert in_words(grade, numbers=True) == "hepatic_grade in ('moderate', 'severe') [drug.hepatic.not_recommended]"
    assert in_words(Compare(">", FactRef("single_dose_mg"), Number(7500)), numbers=True) == "single_dose_mg > 7.5 mg"


def test_brackets_stand_where_they_are_needed() -> None:
    a, b, c = (OneOf(name, 2) for name in ("falls", "alcohol_use", "back_pain"))
    assert in_words(And((Or((a, b)), c))) == "(falls or alcohol_use) and back_pain"
    assert in_words(Or((And((a, b)), c))) == "falls and alcohol_use or back_pain"
    assert in_words(Not(Or((a, b)))) == "not (falls or alcohol_use)"
    assert in_words(
        And((Stated("drug.sedation.opioid"), Compare("<", FactRef("course_days"), LimitRef("drug.x"))))
    ) == ("stated(drug.sedation.opioid) and course_days < drug.x")


def test_loaded_rules_that_do_not_follow_from_their_text_are_refused(knowledge: Knowledge) -> None:
    line = next(iter(knowledge.lines.values()))
    at, live = line.program.live[0]
    wrong = replace(live, clauses=(replace(live.clauses[0], when=OneOf("falls", 2)), *live.clauses[1:]))
    entries = (*line.program.entries[:at], wrong, *line.program.entries[at + 1 :])
    program = replace(line.program, entries=entries)
    with pytest.raises(UnlikeWrittenError, match=live.rule.id):
        written_rules(with_programs(knowledge, {ProgramKey(line.id): program}))


def test_what_leans_on_a_rule(knowledge: Knowledge) -> None:
    rules = written_rules(knowledge)
    assert rules_asked(rules["pathway.inadequate-response"].clauses[0]) == {
        "duration.episode",
        "duration.class-episode",
    }
    assert set(leaning_on(rules, "duration.episode")) == {"duration.episode", "pathway.inadequate-response"}
    assert "pathway.inadequate-response" in leaning_on(rules, "duration.course"), "it absorbs an episode asked by fired"
    assert leaning_on(rules, "sedation.alcohol") == ("sedation.alcohol",)
