"""Which wrong turns a rule has: all of them, each once, none of them the rule itself."""

from safety_service.curation.mutants import compared_with, other_values, stepped, turned
from safety_service.curation.written import Proposal, WrittenRule, written_rules
from safety_service.knowledge.knowledge import Knowledge
from safety_service.rules.parse import Names, parse
from safety_service.rules.vocabulary import Unit

NAMES = Names(policy={"age.elderly_years": Unit.YEAR})


def made(applies: str | None, *clauses: str, absorbs: tuple[str, ...] = ()) -> WrittenRule:
    parsed = tuple(parse(each, NAMES) for each in clauses)
    return WrittenRule(
        "made", None if applies is None else parse(applies, NAMES), parsed, ((),) * len(clauses), absorbs
    )


def changes(rule: WrittenRule) -> list[str]:
    return [each.change for each in turned(rule)]


def test_a_comparison_with_a_number_of_the_rule() -> None:
    assert changes(made(None, "course_days > 21")) == [
        "clause dropped",
        "course_days > 21 -> course_days >= 21",
        "course_days > 21 -> course_days <= 21",
        "course_days > 21 -> course_days > 22",
        "course_days > 21 -> course_days > 20",
    ]


def test_a_comparison_with_a_limit() -> None:
    assert changes(made(None, "age_years >= policy.age.elderly_years"))[1:] == [
        "age_years >= policy.age.elderly_years -> age_years > policy.age.elderly_years",
        "age_years >= policy.age.elderly_years -> age_years < policy.age.elderly_years",
        "age_years >= policy.age.elderly_years -> age_years >= policy.age.elderly_years + 1 step",
        "age_years >= policy.age.elderly_years -> age_years >= policy.age.elderly_years - 1 step",
    ]


def test_words_between_conditions() -> None:
    found = changes(made(None, "falls and not known(alcohol_use)"))
    assert found == [
        "clause dropped",
        "falls and not known(alcohol_use) -> falls or not known(alcohol_use)",
        "'falls' dropped",
        "'not known(alcohol_use)' dropped",
        "falls -> not falls",
        "not known(alcohol_use) -> known(alcohol_use)",
        "known(alcohol_use) -> alcohol_use",
        "alcohol_use -> not alcohol_use",
    ]


def test_a_choice_gains_and_loses_each_value() -> None:
    found = changes(made(None, "hepatic_grade in ('mild', 'moderate')"))[1:]
    assert found[0] == "hepatic_grade in ('mild', 'moderate') -> not hepatic_grade in ('mild', 'moderate')"
    assert [each.partition(" -> ")[2] for each in found[1:]] == [
        "hepatic_grade in ('none', 'mild', 'moderate')",
        "hepatic_grade == 'moderate'",
        "hepatic_grade == 'mild'",
        "hepatic_grade in ('mild', 'moderate', 'severe')",
    ]
    assert changes(made(None, "hepatic_grade in drug.hepatic.caution"))[1:] == [
        "hepatic_grade in drug.hepatic.caution -> not hepatic_grade in drug.hepatic.caution"
    ]


def test_where_it_applies_and_what_it_absorbs() -> None:
    found = list(turned(made("relaxant_use", "falls", absorbs=("a", "b"))))
    assert [(each.clause, each.change) for each in found] == [
        (-1, "applies dropped"),
        (-1, "applies: relaxant_use -> not relaxant_use"),
        (0, "clause dropped"),
        (0, "falls -> not falls"),
        (-1, "no longer absorbs a"),
        (-1, "no longer absorbs b"),
    ]
    assert found[-1].rule.absorbs == ("a",)


def test_what_it_proposes() -> None:
    proposals = ((Proposal(0, parse("supply_days > 21", NAMES), 14), Proposal(1, None, "drug.hepatic.mild_start_mg")),)
    found = changes(made(None, "falls")._replace(proposals=proposals))[2:]
    assert found[:2] == ["suggestion 1: dropped", "suggestion 1: its condition dropped"]
    assert "suggestion 1: supply_days > 21 -> supply_days > 22" in found
    assert found[-3:] == ["suggestion 1: to 14 -> 15", "suggestion 1: to 14 -> 13", "suggestion 2: dropped"]


def test_no_wrong_turn_is_the_rule_itself_or_another_one(knowledge: Knowledge) -> None:
    for rule in written_rules(knowledge).values():
        found = list(turned(rule))
        assert all(each.rule != rule for each in found)
        assert len({(each.clause, each.change) for each in found}) == len(found), rule.id


def test_other_values_of_limits(knowledge: Knowledge) -> None:
    compared = compared_with(written_rules(knowledge))
    assert "single_dose_mg" in compared["drug.hepatic.mild_start_mg"]
    line = knowledge.lines["cyclobenzaprine-ir"]
    held = stepped(line.held, compared, line)
    assert [change for change, _ in other_values("drug.hepatic.mild_start_mg", held)] == [
        "5 -> 7.5", "5 -> 3.75", "not stated",
    ]  # fmt: skip
    assert dict(other_values("drug.hepatic.not_recommended", held)) == {
        "'none' added": 0b1101,
        "'mild' added": 0b1110,
        "'moderate' dropped": 0b1000,
        "'severe' dropped": 0b0100,
        "not stated": None,
    }
    assert list(other_values("drug.sedation.alcohol", held)) == [("not stated", None)]
