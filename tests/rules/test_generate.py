"""The generated function's own promises: masks, `applies`, the limit of its masks. Its answers: tests/equivalence."""

import pytest

from safety_service.rules.generate import MOST_CONDITIONS, Condition, definitely, generate, possibly, python_source
from safety_service.rules.tree import (
    And,
    Compare,
    Constant,
    FactRef,
    Fired,
    LimitRef,
    Not,
    Number,
    OneOf,
    OneOfLimit,
    Operator,
    Or,
    Stated,
    Tree,
)
from safety_service.rules.vocabulary import EITHER, NO, SLOTS, YES, unknown_facts

FALLS, NEW = OneOf("falls", YES), OneOf("new_start", YES)
TRUE, FALSE = Constant(True), Constant(False)
OPEN = NEW  # on facts of which nothing is known


def answer(*conditions: Condition, **masks: int) -> tuple[int, int, int]:
    values = unknown_facts()
    for name, mask in masks.items():
        values[SLOTS[name]] = mask
    return generate(conditions, "test")[0](values)


def test_no_conditions() -> None:
    assert answer() == (0, 0, 0)


def test_nothing_to_say_is_true_for_and_and_false_for_or() -> None:
    assert answer(Condition(And(())), Condition(Or(())), Condition(Not(And(()))), Condition(Not(Or(())))) == (
        0b1001,
        0,
        0,
    )


def test_a_bit_for_each_condition_in_order() -> None:
    conditions = [Condition(each) for each in (TRUE, OPEN, FALSE, TRUE, OPEN)]
    assert answer(*conditions) == (0b01001, 0b10010, 0)


@pytest.mark.parametrize(
    ("applies", "when", "true", "unknown", "silent"),
    [
        (None, TRUE, 1, 0, 0),
        (None, FALSE, 0, 0, 0),
        (None, OPEN, 0, 1, 0),
        (TRUE, TRUE, 1, 0, 0),
        (TRUE, FALSE, 0, 0, 0),
        (TRUE, OPEN, 0, 1, 0),
        (FALSE, TRUE, 0, 0, 1),
        (FALSE, FALSE, 0, 0, 1),
        (FALSE, OPEN, 0, 0, 1),
        (OPEN, TRUE, 0, 1, 0),
        (OPEN, FALSE, 0, 0, 0),  # whether it applies or not, it does not fire
        (OPEN, OPEN, 0, 1, 0),
    ],
)
def test_applies(applies: Tree | None, when: Tree, true: int, unknown: int, silent: int) -> None:
    assert answer(Condition(when, applies)) == (true, unknown, silent)


def test_conditions_that_share_applies_are_silent_together_and_others_are_not() -> None:
    conditions = [
        Condition(TRUE),
        Condition(TRUE, FALLS),
        Condition(FALSE, FALLS),
        Condition(TRUE, NEW),
        Condition(TRUE, FALLS),
        Condition(TRUE),
    ]
    assert answer(*conditions, falls=NO, new_start=YES) == (0b101001, 0, 0b010110)
    assert answer(*conditions, falls=YES, new_start=NO) == (0b110011, 0, 0b001000)
    assert answer(*conditions, falls=EITHER, new_start=NO) == (0b100001, 0b010010, 0b001000)


@pytest.mark.parametrize("count", [63, 64, 65, 127, 200, MOST_CONDITIONS])
def test_more_conditions_than_a_machine_word_holds(count: int) -> None:
    full = (1 << count) - 1
    assert answer(*[Condition(TRUE)] * count) == (full, 0, 0)
    assert answer(*[Condition(OPEN)] * count) == (0, full, 0)
    assert answer(*[Condition(TRUE, FALLS)] * count, falls=NO) == (0, 0, full)
    last = 1 << count - 1
    assert answer(*[Condition(FALSE)] * (count - 1), Condition(TRUE)) == (last, 0, 0)
    assert answer(*[Condition(FALSE)] * (count - 1), Condition(OPEN)) == (0, last, 0)
    assert answer(*[Condition(FALSE)] * (count - 1), Condition(TRUE, FALLS), falls=NO) == (0, 0, last)


def test_a_catalogue_that_outgrows_one_function_is_refused() -> None:
    assert MOST_CONDITIONS >= 200, "the full catalogue needs about 110 for a drug"
    with pytest.raises(ValueError, match=rf"some drug: {MOST_CONDITIONS + 1} conditions; at most {MOST_CONDITIONS}"):
        generate([Condition(TRUE)] * (MOST_CONDITIONS + 1), "some drug")


@pytest.mark.parametrize(
    "tree",
    [
        Stated("drug.sedation.opioid"),
        OneOfLimit("hepatic_grade", "drug.hepatic.caution"),
        Fired("duration.course"),
        Compare(">", FactRef("course_days"), LimitRef("drug.duration.max_days")),
        Not(Or((FALLS, Stated("drug.sedation.opioid")))),
    ],
)
def test_a_tree_still_naming_limits_or_rules_is_refused(tree: Tree) -> None:
    for rail in (definitely, possibly):
        with pytest.raises(TypeError, match="not specialised"):
            rail(tree)
    with pytest.raises(TypeError, match="not specialised"):
        generate([Condition(TRUE, tree)], "test")


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">=", "==", "!="])
def test_two_numbers_are_compared_too(operator: Operator) -> None:
    for left, right in ((0, 0), (0, 1), (1, 0), (7, 7)):
        expected = eval(f"{left} {operator} {right}")
        assert answer(Condition(Compare(operator, Number(left), Number(right)))) == (int(expected), 0, 0)


def test_the_function_sees_nothing_but_its_facts() -> None:
    function, source = generate([Condition(And((FALLS, NEW)))], "test")
    assert getattr(function, "__globals__")["__builtins__"] == {}  # noqa: B009
    assert source == python_source([Condition(And((FALLS, NEW)))])
    values = unknown_facts()
    function(values)
    assert values == unknown_facts()
