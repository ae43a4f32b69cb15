"""Rule text to tree: what the language has, and that it has nothing else."""

from random import Random

import pytest

from safety_service.rules.parse import Names, RuleTextError, parse
from safety_service.rules.tree import (
    And,
    Compare,
    Constant,
    FactRef,
    Fired,
    Known,
    LimitRef,
    Not,
    Number,
    OneOf,
    OneOfLimit,
    Operand,
    Or,
    Stated,
    Tree,
    facts_of,
    limits_of,
)
from safety_service.rules.vocabulary import FACTS, YES, Type, Unit
from tests.rules.random_rules import random_tree

NAMES = Names(policy={"duration.guideline_days": Unit.DAY, "age.elderly_years": Unit.YEAR})
MILD, MODERATE, SEVERE = 2, 4, 8


def read(text: str) -> Tree:
    return parse(text, NAMES)


def refusal(text: str) -> RuleTextError:
    with pytest.raises(RuleTextError) as caught:
        read(text)
    return caught.value


# --- what the language has ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("True", Constant(True)),
        ("False", Constant(False)),
        ("falls", OneOf("falls", YES)),
        ("not falls", Not(OneOf("falls", YES))),
        ("known(falls)", Known(OneOf("falls", YES))),
        ("not known(not falls)", Not(Known(Not(OneOf("falls", YES))))),
        ("fired('duration.course')", Fired("duration.course")),
        ("drug.sedation.opioid", Stated("drug.sedation.opioid")),
        ("stated(drug.hepatic.contraindicated)", Stated("drug.hepatic.contraindicated")),
        ("hepatic_grade == 'mild'", OneOf("hepatic_grade", MILD)),
        ("hepatic_grade != 'mild'", Not(OneOf("hepatic_grade", MILD))),
        ("hepatic_grade in ('moderate', 'severe')", OneOf("hepatic_grade", MODERATE | SEVERE)),
        ("hepatic_grade not in ('moderate', 'severe')", Not(OneOf("hepatic_grade", MODERATE | SEVERE))),
        ("hepatic_grade in ('mild', 'mild')", OneOf("hepatic_grade", MILD)),
        ("hepatic_grade in drug.hepatic.caution", OneOfLimit("hepatic_grade", "drug.hepatic.caution")),
        ("hepatic_grade not in drug.hepatic.caution", Not(OneOfLimit("hepatic_grade", "drug.hepatic.caution"))),
        (
            "course_days > drug.duration.max_days",
            Compare(">", FactRef("course_days"), LimitRef("drug.duration.max_days")),
        ),
        (
            "policy.duration.guideline_days < course_days",
            Compare("<", LimitRef("policy.duration.guideline_days"), FactRef("course_days")),
        ),
        ("last_dose_mg < single_dose_mg", Compare("<", FactRef("last_dose_mg"), FactRef("single_dose_mg"))),
        (
            "15 <= course_days <= 21",
            And((Compare("<=", Number(15), FactRef("course_days")), Compare("<=", FactRef("course_days"), Number(21)))),
        ),
        (
            "falls and new_start or alcohol_use",
            Or((And((OneOf("falls", YES), OneOf("new_start", YES))), OneOf("alcohol_use", YES))),
        ),
        (
            "falls and (new_start or alcohol_use)",
            And((OneOf("falls", YES), Or((OneOf("new_start", YES), OneOf("alcohol_use", YES))))),
        ),
        ("not (falls)", Not(OneOf("falls", YES))),
        (" \n falls \n ", OneOf("falls", YES)),
        ("(falls\n and new_start)", And((OneOf("falls", YES), OneOf("new_start", YES)))),
    ],
)
def test_text_to_tree(text: str, tree: Tree) -> None:
    assert read(text) == tree


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">=", "==", "!="])
def test_each_comparison_keeps_its_operator_and_its_sides(operator: str) -> None:
    tree = read(f"course_days {operator} 21")
    assert isinstance(tree, Compare)
    assert (tree.operator, tree.left, tree.right) == (operator, FactRef("course_days"), Number(21))
    tree = read(f"21 {operator} course_days")
    assert isinstance(tree, Compare)
    assert (tree.operator, tree.left, tree.right) == (operator, Number(21), FactRef("course_days"))


def test_milligrams_are_held_as_exactly_the_micrograms_written() -> None:
    """In binary fractions 16.1 x 1000 is not 16100."""
    for hundredths in (*range(1, 2_000), 3_220, 6_410, 6_510, 100_003):
        written = f"{hundredths // 100}.{hundredths % 100:02}"
        assert read(f"single_dose_mg > {written}") == Compare(">", FactRef("single_dose_mg"), Number(hundredths * 10))


@pytest.mark.parametrize("text", ["single_dose_mg > 0.0005", "course_days > 0.5", "age_years >= 64.9"])
def test_a_number_finer_than_the_unit_held_is_refused(text: str) -> None:
    assert "finer than the service counts" in str(refusal(text))


def as_text(tree: Tree) -> str:
    """The text of a tree; the inverse of `parse`."""

    def number(side: Operand, unit: Unit) -> str:
        match side:
            case Number(value):
                return str(value / unit.scale if unit.scale > 1 else value)
            case FactRef(name) | LimitRef(name):
                return name
        raise AssertionError(side)

    match tree:
        case Constant(value):
            return str(value)
        case OneOf(fact, mask):
            if FACTS[fact].type is Type.YES_NO:
                return fact
            values = [value for i, value in enumerate(FACTS[fact].values) if mask >> i & 1]
            return f"{fact} in ({''.join(repr(value) + ', ' for value in values)})"
        case Compare(operator, left, right):
            unit = next(FACTS[side.name].unit for side in (left, right) if isinstance(side, FactRef))
            return f"{number(left, unit)} {operator} {number(right, unit)}"
        case And(parts):
            return "(" + " and ".join(map(as_text, parts)) + ")"
        case Or(parts):
            return "(" + " or ".join(map(as_text, parts)) + ")"
        case Not(part):
            return f"not ({as_text(part)})"
        case Known(part):
            return f"known({as_text(part)})"
    raise AssertionError(tree)


def writable(tree: Tree) -> Tree | None:
    """The tree as text can say it (a lone part needs no `and`; yes/no is asked for yes), or None."""
    match tree:
        case Compare(_, left, right):
            units = {FACTS[side.name].unit for side in (left, right) if isinstance(side, FactRef)}
            positive = all(side.value >= 0 for side in (left, right) if isinstance(side, Number))
            return tree if len(units) == 1 and positive else None
        case OneOf(fact, _):
            return OneOf(fact, YES) if FACTS[fact].type is Type.YES_NO else tree
        case And(parts) | Or(parts):
            kept = tuple(each for each in map(writable, parts) if each is not None)
            return None if not kept else kept[0] if len(kept) == 1 else type(tree)(kept)
        case Not(part):
            inner = writable(part)
            return None if inner is None else Not(inner)
        case Known(part):
            inner = writable(part)
            return None if inner is None else Known(inner)
        case _:
            return tree


def test_any_tree_survives_being_written_and_read(seed: int) -> None:
    rng = Random(seed)
    read_back = 0
    for _ in range(1_500):
        tree = writable(random_tree(rng))
        if tree is not None:
            assert read(as_text(tree)) == tree, as_text(tree)
            read_back += 1
    assert read_back > 1_000


# --- and nothing else -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        # calls
        "print(falls)",
        "eval('1')",
        "__import__('os')",
        "__import__('os').system('true')",
        "falls()",
        "known()",
        "known(falls, new_start)",
        "known(part=falls)",
        "known(*falls)",
        "known(**falls)",
        "known(falls, **{})",
        "known",
        "fired()",
        "fired(duration)",
        "fired(duration.course)",
        "fired(1)",
        "fired(b'duration.course')",
        "fired('a', 'b')",
        "fired(f'duration.course')",
        "stated('drug.sedation.opioid')",
        "stated(falls)",
        "stated(drug.sedation.opioid, falls)",
        "drug.sedation.opioid()",
        "falls.known()",
        "len('abc') > course_days",
        "max(course_days, 3) > 21",
        # attributes and items
        "falls.__class__",
        "drug.__class__",
        "drug.duration.max_days.__class__",
        "drug",
        "drug.duration",
        "policy",
        "().__class__",
        "'a'.join",
        "drug['duration']",
        "drug.duration['max_days'] < course_days",
        "hepatic_grade[0] == 'mild'",
        "course_days[0] > 1",
        # arithmetic and bits
        "course_days + 1 > 21",
        "course_days > 20 + 1",
        "course_days > -1",
        "course_days > +1",
        "course_days > ~1",
        "-course_days > 1",
        "course_days * 2 > 21",
        "course_days ** 2 > 21",
        "course_days // 2 > 21",
        "course_days % 2 == 1",
        "falls | new_start",
        "falls & new_start",
        "falls ^ new_start",
        "~falls",
        "course_days << 1 > 21",
        "falls @ new_start",
        # binding and building
        "(x := 1)",
        "(falls := True)",
        "course_days > (n := 21)",
        "lambda: falls",
        "lambda falls: falls",
        "falls if new_start else alcohol_use",
        "[falls]",
        "(falls,)",
        "{falls}",
        "{'a': falls}",
        "[falls for falls in (1, 2)]",
        "(falls for falls in (1, 2))",
        "{falls: 1 for falls in (1, 2)}",
        "*falls",
        "f'{falls}'",
        "f'falls'",
        "f'{course_days}' == 'x'",
        "hepatic_grade == f'mild'",
        "hepatic_grade in (f'mild',)",
        "await falls",
        "(yield)",
        "(yield from falls)",
        "...",
        # bare literals
        "1",
        "0",
        "1.5",
        "1j",
        "''",
        "'falls'",
        "b'falls'",
        "None",
        "not 1",
        "falls and 1",
        "falls or 'x'",
        "known(1)",
        # statements
        "",
        "   ",
        "falls; new_start",
        "falls = True",
        "import os",
        "falls, new_start",
        "pass",
        "falls and",
        "(falls",
        "falls\nnew_start",
        "falls\x00",
        "\x00",
    ],
)
def test_every_other_construct_is_refused(text: str) -> None:
    error = refusal(text)
    assert str(error)
    assert error.column >= 1


@pytest.mark.parametrize(
    "text",
    [
        "falls is True",
        "falls == True",
        "falls == 'yes'",
        "falls != False",
        "falls in ('yes', 'no')",
        "falls > 1",
        "falls == new_start",
    ],
)
def test_yes_or_no_is_never_compared(text: str) -> None:
    assert "yes/no fact" in str(refusal(text))


@pytest.mark.parametrize(
    "text", ["True == falls", "1 < falls", "course_days > falls", "course_days == True", "course_days > hepatic_grade"]
)
def test_only_numbers_are_compared_as_numbers(text: str) -> None:
    assert "is not a number" in str(refusal(text))


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("course_days > single_dose_mg", "d and mg"),
        ("single_dose_mg > drug.duration.max_days", "d and mg"),
        ("age_years > course_days", "a and d"),
        ("age_years >= policy.duration.guideline_days", "a and d"),
        ("drug.hepatic.mild_start_mg < course_days", "d and mg"),
        ("cns_active_count > alt_percent_of_limit", "% and 1"),
        ("5 < single_dose_mg < course_days", "d and mg"),
    ],
)
def test_units_that_differ_are_refused(text: str, units: str) -> None:
    assert str(refusal(text)) == f"units differ: {units}"


@pytest.mark.parametrize(
    "text", ["1 < 2", "drug.duration.max_days > 21", "21 == policy.duration.guideline_days", "1 < 2 < course_days"]
)
def test_a_comparison_without_a_fact_is_refused(text: str) -> None:
    assert str(refusal(text)) == "a comparison needs a fact"


def test_limits_of_two_kinds_are_not_a_fact() -> None:
    refused = refusal("drug.duration.max_days < policy.duration.guideline_days")
    assert str(refused) == "a comparison needs a fact"


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("fals", "falls"),
        ("not new_starts", "new_start"),
        ("course_day > 21", "course_days"),
        ("single_dose > 5", "single_dose_mg"),
        ("hepatic_grades == 'mild'", "hepatic_grade"),
        ("hepatic_grade == 'mld'", "mild"),
        ("hepatic_grade in ('mild', 'sever')", "severe"),
        ("hepatic_grade == 'Mild'", "mild"),
        ("course_days > drug.duration.max_day", "drug.duration.max_days"),
        ("hepatic_grade in drug.hepatic.cautions", "drug.hepatic.caution"),
        ("drug.sedation.opioids", "drug.sedation.opioid"),
        ("stated(drug.sedation.opiod)", "drug.sedation.opioid"),
        ("course_days > policy.duration.guideline_day", "policy.duration.guideline_days"),
        ("course_days > drugs.duration.max_days", "drug.duration.max_days"),
    ],
)
def test_a_wrong_name_is_refused_with_the_nearest_right_one(text: str, nearest: str) -> None:
    assert str(refusal(text)).endswith(f"did you mean {nearest!r}?")


def test_a_name_near_nothing_gets_no_suggestion() -> None:
    assert str(refusal("zzzzzz")) == "no fact is called 'zzzzzz'"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("course_days", "course_days is a number: compare it"),
        ("hepatic_grade", "hepatic_grade is a choice: compare it"),
        ("drug.duration.max_days", "drug.duration.max_days is a number: compare it with a fact"),
        ("drug.hepatic.caution", "drug.hepatic.caution is a choice: compare it with a fact"),
        ("course_days > drug.sedation.opioid", "drug.sedation.opioid is not a number"),
        ("course_days > drug.hepatic.caution", "drug.hepatic.caution is not a number"),
        ("hepatic_grade in drug.duration.max_days", "drug.duration.max_days does not hold values of hepatic_grade"),
        ("hepatic_grade in drug.sedation.opioid", "drug.sedation.opioid does not hold values of hepatic_grade"),
        ("course_days == '21'", "'21'"),
        ("course_days in (1, 2)", "numbers are compared with"),
        ("course_days not in (1, 2)", "numbers are compared with"),
        ("course_days is 21", "numbers are compared with"),
        ("hepatic_grade < 'mild'", "hepatic_grade is compared by"),
        ("hepatic_grade == 1", "hepatic_grade is compared by"),
        ("hepatic_grade == None", "hepatic_grade is compared by"),
        ("hepatic_grade is 'mild'", "hepatic_grade is compared by"),
        ("hepatic_grade == drug.hepatic.caution", "hepatic_grade is compared by"),
        ("hepatic_grade == hepatic_grade", "hepatic_grade is compared by"),
        ("hepatic_grade in 'mild'", "hepatic_grade is compared by"),
        ("hepatic_grade in ['mild']", "hepatic_grade is compared by"),
        ("hepatic_grade in {'mild'}", "hepatic_grade is compared by"),
        ("hepatic_grade in ('mild')", "hepatic_grade is compared by"),
        ("hepatic_grade in ('mild', 1)", "a set holds quoted values only"),
        ("hepatic_grade in ('mild', falls)", "a set holds quoted values only"),
        ("hepatic_grade in ('mild', *falls)", "a set holds quoted values only"),
        ("hepatic_grade == 'critical'", "hepatic_grade is never 'critical'"),
        ("single_dose_mg > 1e400", "inf mg is beyond what the service counts"),
        ("single_dose_mg > 2147484", "2147484 mg is beyond what the service counts"),
        ("course_days < 2147483647", "2147483647 d is beyond what the service counts"),
    ],
)
def test_wrong_types_and_values_are_refused_with_the_reason(text: str, reason: str) -> None:
    assert reason in str(refusal(text))


def test_the_column_is_that_of_the_fault() -> None:
    assert refusal("falls and fals").column == 11
    assert refusal("falls and hepatic_grade == 'mld'").column == 28
    assert refusal("fals").column == 1
    assert refusal("falls and print(1)").column == 11


def test_text_nested_beyond_reason_is_refused_not_a_crash() -> None:
    for text in ("not " * 5_000 + "falls", "(" * 5_000 + "falls" + ")" * 5_000):
        refusal(text)


def test_a_name_of_another_vocabulary_is_unknown() -> None:
    with pytest.raises(RuleTextError, match="no fact is called 'falls'"):
        parse("falls", Names(facts={}))
    with pytest.raises(RuleTextError, match="no limit is called"):
        parse("drug.sedation.opioid", Names(limits={}))
    with pytest.raises(RuleTextError, match="no limit is called"):
        parse("age_years >= policy.age.elderly_years", Names())


# --- what a tree mentions -------------------------------------------------------------------------------------------


def test_names_of_a_tree() -> None:
    tree = read(
        "falls and not (course_days > drug.duration.max_days or last_dose_mg < single_dose_mg)"
        " and known(hepatic_grade in drug.hepatic.caution) and drug.sedation.opioid and fired('a.b') and True"
        " and age_years >= policy.age.elderly_years and hepatic_grade == 'mild'"
    )
    assert facts_of(tree) == {
        "falls",
        "course_days",
        "last_dose_mg",
        "single_dose_mg",
        "hepatic_grade",
        "age_years",
    }
    assert limits_of(tree) == {
        "drug.duration.max_days",
        "drug.hepatic.caution",
        "drug.sedation.opioid",
        "policy.age.elderly_years",
    }
    looked_up = And((OneOf("hepatic_grade", 2, "drug.x"), Compare(">", FactRef("course_days"), Number(1, "drug.y"))))
    assert limits_of(looked_up) == {"drug.x", "drug.y"}
