"""The promises of the generated columns: masks, chunks, what a table may be. Their answers: tests/equivalence."""

import re
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from safety_service.rules import columns
from safety_service.rules.columns import WORD, definitely, generate_columns, numpy_source, possibly, row_masks
from safety_service.rules.generate import MOST_CONDITIONS, Condition, Masks, generate
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
    Operator,
    Or,
    Stated,
    Tree,
)
from safety_service.rules.vocabulary import EITHER, FACTS, HIGHEST, NO, SLOTS, WIDTH, YES, Fact, Type, unknown_facts
from tests.rules.random_rules import OPERATORS, random_facts, random_tree

FALLS, NEW = OneOf("falls", YES), OneOf("new_start", YES)
TRUE, FALSE = Constant(True), Constant(False)
OPEN = NEW  # on facts of which nothing is known
OLD = Compare(">=", FactRef("age_years"), Number(65))


def table_of(rows: list[list[int]]) -> NDArray[np.int32]:
    return np.array(rows, np.int32).reshape(-1, WIDTH).T


def answers(conditions: list[Condition], table: Any) -> list[Masks]:
    true, unknown, silent = generate_columns(conditions, "test")[0](table)
    return list(zip(row_masks(true), row_masks(unknown), row_masks(silent), strict=True))


def by_row(conditions: list[Condition], rows: list[list[int]]) -> list[Masks]:
    function, _ = generate(conditions, "test")
    return [function(values) for values in rows]


def answer(*conditions: Condition, **masks: int) -> Masks:
    """Three equal rows answered, and they are answered alike."""
    values = unknown_facts()
    for name, mask in masks.items():
        values[SLOTS[name]] = mask
    first, second, third = answers(list(conditions), table_of([values] * 3))
    assert first == second == third
    return first


def random_rows(rng: Random, count: int) -> list[list[int]]:
    return [random_facts(rng) for _ in range(count)]


def random_conditions(rng: Random, count: int) -> list[Condition]:
    return [Condition(random_tree(rng), random_tree(rng, 2) if rng.random() < 0.4 else None) for _ in range(count)]


# --- masks -----------------------------------------------------------------------------------------------------------


def test_no_conditions() -> None:
    assert answer() == (0, 0, 0)
    true, unknown, silent = generate_columns([], "test")[0](table_of([unknown_facts()] * 4))
    assert true.shape == unknown.shape == silent.shape == (0, 4)


def test_no_rows() -> None:
    true, unknown, silent = generate_columns([Condition(OPEN, FALLS)], "test")[0](table_of([]))
    assert true.shape == unknown.shape == silent.shape == (1, 0)
    assert row_masks(true) == []


def test_nothing_to_say_is_true_for_and_and_false_for_or() -> None:
    conditions = Condition(And(())), Condition(Or(())), Condition(Not(And(()))), Condition(Not(Or(())))
    assert answer(*conditions) == (0b1001, 0, 0)


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
        (OPEN, FALSE, 0, 0, 0),
        (OPEN, OPEN, 0, 1, 0),
    ],
)
def test_applies(applies: Tree | None, when: Tree, true: int, unknown: int, silent: int) -> None:
    assert answer(Condition(when, applies)) == (true, unknown, silent)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 62, 63, 64, 126, 127, 200, MOST_CONDITIONS])
def test_as_many_words_as_needed_and_no_negative_one(count: int) -> None:
    full = (1 << count) - 1
    assert answer(*[Condition(TRUE)] * count) == (full, 0, 0)
    assert answer(*[Condition(OPEN)] * count) == (0, full, 0)
    assert answer(*[Condition(TRUE, FALLS)] * count, falls=NO) == (0, 0, full)
    last = 1 << count - 1
    assert answer(*[Condition(FALSE)] * (count - 1), Condition(OPEN)) == (0, last, 0)
    (true, *_) = generate_columns([Condition(TRUE)] * count, "test")[0](table_of([unknown_facts()]))
    assert true.dtype == np.int64
    assert true.shape == (-(-count // WORD), 1)
    assert true.min() > 0


def test_too_many_conditions_are_refused() -> None:
    with pytest.raises(ValueError, match=rf"some drug: {MOST_CONDITIONS + 1} conditions; at most {MOST_CONDITIONS}"):
        generate_columns([Condition(TRUE)] * (MOST_CONDITIONS + 1), "some drug")


# --- trees -----------------------------------------------------------------------------------------------------------


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
        generate_columns([Condition(TRUE, tree)], "test")


@pytest.mark.parametrize("operator", OPERATORS)
def test_two_numbers_are_compared_too(operator: Operator) -> None:
    for left, right in ((0, 0), (0, 1), (1, 0), (7, 7)):
        expected = eval(f"{left} {operator} {right}")
        assert answer(Condition(Compare(operator, Number(left), Number(right)))) == (int(expected), 0, 0)


@pytest.mark.parametrize(
    "fact",
    {fact.everything: fact for fact in FACTS.values() if fact.type is not Type.NUMBER}.values(),
    ids=lambda fact: fact.name,
)
def test_every_set_of_a_choice(fact: Fact) -> None:
    """All that can be known of it, against all that can be asked of it."""
    possible = range(1, min(fact.everything, 63) + 1)
    rows = []
    for mask in possible:
        values = unknown_facts()
        values[SLOTS[fact.name]] = mask
        rows.append(values)
    trees: list[Tree] = [OneOf(fact.name, mask) for mask in (0, *possible, fact.everything)]
    conditions = [Condition(tree) for tree in (*trees, *map(Not, trees), *map(Known, trees))][:MOST_CONDITIONS]
    assert answers(conditions, table_of(rows)) == by_row(conditions, rows)


# --- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 6, 7, 8, 13, 14, 15, 40])
def test_rows_are_answered_in_chunks_and_none_is_lost(rows: int, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(columns, "ROWS", 7)
    rng = Random(seed)
    conditions = random_conditions(rng, 80)
    lists = random_rows(rng, rows)
    assert answers(conditions, table_of(lists)) == by_row(conditions, lists)


def test_more_rows_than_one_chunk() -> None:
    rows = columns.ROWS + 5
    ages = np.arange(rows, dtype=np.int32)
    table: list[Any] = [np.full(rows, value, np.int32) for value in unknown_facts()]
    table[SLOTS["age_years"]] = ages
    table[SLOTS["age_years"] + 1] = ages + 1
    (true,), (unknown,), (silent,) = generate_columns([Condition(OLD)], "test")[0](table)
    assert (true == (ages >= 65)).all()
    assert unknown.tolist() == (ages == 64).tolist()
    assert not silent.any()


def test_memory_beside_table_and_masks_does_not_grow_with_the_rows(seed: int) -> None:
    rng = Random(seed)
    function, _ = generate_columns(random_conditions(rng, 20), "test")
    extra = []
    for rows in (4 * columns.ROWS, 16 * columns.ROWS):
        table = [np.broadcast_to(np.int32(value), rows) for value in random_facts(rng)]
        tracemalloc.start()
        masks = function(table)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        extra.append(peak - sum(each.nbytes for each in masks))
    assert extra[1] < 1.1 * extra[0]


def test_a_table_may_be_one_array_or_columns_of_any_signed_type(seed: int) -> None:
    rng = Random(seed)
    conditions, lists = random_conditions(rng, 40), random_rows(rng, 50)
    table = table_of(lists)
    right = answers(conditions, table)
    smallest = {SLOTS[name]: np.min_scalar_type(-fact.everything) for name, fact in FACTS.items() if fact.everything}
    assert np.int8 in smallest.values()
    assert answers(conditions, [each.astype(smallest.get(at, np.int32)) for at, each in enumerate(table)]) == right
    assert answers(conditions, [each.astype(np.int64) for each in table]) == right
    assert answers(conditions, np.ascontiguousarray(table)) == right
    assert answers(conditions, np.asfortranarray(table)) == right


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_number_may_be_anything_the_vocabulary_can_hold(operator: Operator) -> None:
    low, high = unknown_facts()[SLOTS["age_years"]], HIGHEST
    rows = []
    for bounds in ((low, low), (low, high), (high, high), (low, 0), (0, high), (0, 0)):
        values = unknown_facts()
        values[SLOTS["age_years"]], values[SLOTS["age_years"] + 1] = bounds
        rows.append(values)
    numbers = [Number(each) for each in (low - 1, low, low + 1, -1, 0, 1, high - 1, high, high + 1)]
    conditions = [Condition(Compare(operator, FactRef("age_years"), each)) for each in numbers]
    conditions += [Condition(Compare(operator, each, FactRef("age_years"))) for each in numbers]
    assert answers(conditions, table_of(rows)) == by_row(conditions, rows)


def test_columns_that_nobody_asks_for_may_be_missing() -> None:
    table: list[Any] = [None] * WIDTH
    table[0] = np.zeros(2, np.int32)
    table[SLOTS["falls"]] = np.array([NO, EITHER], np.int8)
    assert answers([Condition(FALLS)], table) == [(0, 0, 0), (0, 1, 0)]


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (np.zeros(3, np.int32), r"column {at} \({name}\) is \(3,\), the first has 4 rows"),
        (np.zeros(1, np.int32), r"column {at} \({name}\) is \(1,\), the first has 4 rows"),
        (np.zeros((4, 1), np.int32), r"column {at} \({name}\) is \(4, 1\), the first has 4 rows"),
        (np.zeros(4), r"column {at} \({name}\) holds float64, not signed integers"),
        (np.zeros(4, np.uint32), r"column {at} \({name}\) holds uint32, not signed integers"),
        (np.zeros(4, np.bool_), r"column {at} \({name}\) holds bool, not signed integers"),
    ],
)
@pytest.mark.parametrize(("name", "offset"), [("falls", 0), ("age_years", 1)])
def test_a_column_that_does_not_fit_is_named(name: str, offset: int, column: NDArray[Any], told: str) -> None:
    table = [np.full(4, value, np.int32) for value in unknown_facts()]
    at = SLOTS[name] + offset
    table[at] = column
    with pytest.raises(ValueError, match=told.format(at=at, name=name)):
        answers([Condition(FALLS), Condition(OLD)], table)


def test_the_table_is_left_as_it_was(seed: int) -> None:
    rng = Random(seed)
    table = table_of(random_rows(rng, 20)).copy()
    before = table.copy()
    table.flags.writeable = False
    answers(random_conditions(rng, 40), table)
    assert (table == before).all()


def test_several_threads_may_ask_at_once(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "ROWS", 64)
    rng = Random(seed)
    conditions = random_conditions(rng, 100)
    function, _ = generate_columns(conditions, "test")
    tables = [table_of(random_rows(rng, 300)) for _ in range(4)]
    right = [[mask.tolist() for mask in function(table)] for table in tables]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            found = list(pool.map(lambda table: [mask.tolist() for mask in function(table)], tables))
            assert found == right


# --- the text --------------------------------------------------------------------------------------------------------


def test_the_function_sees_nothing_but_numpy(seed: int) -> None:
    conditions = random_conditions(Random(seed), 10)
    _, source = generate_columns(conditions, "test")
    assert source == numpy_source(conditions)
    code = compile(source, "test", "exec").co_consts[0]
    assert set(code.co_names) <= set(columns._CALLED)


def test_a_comparison_is_made_once_for_all_that_name_it(seed: int) -> None:
    both = And((FALLS, OLD))
    conditions = [Condition(FALLS), Condition(both), Condition(Or((both, NEW))), Condition(Not(both), FALLS)]
    for each in (conditions, random_conditions(Random(seed), 60)):
        lines = numpy_source(each).split("\n    ")
        made = [line.rpartition(", ")[0] for line in lines if "equal(" in line or "less(" in line or "greater(" in line]
        assert len(made) > 3
        assert len(made) == len(set(made))


def test_scratch_is_used_again_once_nothing_needs_it() -> None:
    older = [And((FALLS, Compare(">", FactRef("age_years"), Number(years)))) for years in range(200)]
    source = numpy_source([Condition(each) for each in older])
    assert 2 < len(set(re.findall(r"\br\d+", source))) < 10


def test_nothing_that_answers_a_call_imports_numpy() -> None:
    """Also at run time, where the import contract does not look."""
    program = "import safety_service.server.serve, sys; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
