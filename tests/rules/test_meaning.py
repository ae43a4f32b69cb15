"""The meaning itself: truth tables, bounds and masks; and, on small trees, against every way the facts could be."""

import itertools
import operator
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

import pytest

from safety_service.rules.meaning import Truth, meaning, open_facts, reasons
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
    facts_of,
)
from safety_service.rules.vocabulary import (
    EITHER,
    FACTS,
    HIGHEST,
    LOWEST,
    NO,
    SLOTS,
    YES,
    Type,
    unknown_facts,
)
from tests.rules.random_rules import OPERATORS, SMALL, completions, nodes, random_facts, random_leaf, random_tree

FALSE, TRUE, UNKNOWN = Truth.FALSE, Truth.TRUE, Truth.UNKNOWN
A, B, C = "new_start", "falls", "alcohol_use"
X, Y = "course_days", "episode_days"
PLAIN: dict[Operator, Callable[[int, int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
MASKS = {TRUE: YES, FALSE: NO, UNKNOWN: EITHER}


def facts(**given: int | tuple[int, int]) -> list[int]:
    values = unknown_facts()
    for name, value in given.items():
        at = SLOTS[name]
        if FACTS[name].type is Type.NUMBER:
            values[at], values[at + 1] = value if isinstance(value, tuple) else (value, value)
        else:
            assert isinstance(value, int)
            values[at] = value
    return values


# --- truth tables (Kleene's strong three-valued logic), in full -----------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "both", "either"),
    [
        (FALSE, FALSE, FALSE, FALSE),
        (FALSE, TRUE, FALSE, TRUE),
        (FALSE, UNKNOWN, FALSE, UNKNOWN),
        (TRUE, FALSE, FALSE, TRUE),
        (TRUE, TRUE, TRUE, TRUE),
        (TRUE, UNKNOWN, UNKNOWN, TRUE),
        (UNKNOWN, FALSE, FALSE, UNKNOWN),
        (UNKNOWN, TRUE, UNKNOWN, TRUE),
        (UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN),
    ],
)
def test_and_and_or(a: Truth, b: Truth, both: Truth, either: Truth) -> None:
    values = facts(**{A: MASKS[a], B: MASKS[b]})
    parts = OneOf(A, YES), OneOf(B, YES)
    assert meaning(And(parts), values) is both
    assert meaning(Or(parts), values) is either


@pytest.mark.parametrize(
    ("a", "negated", "known"), [(FALSE, TRUE, FALSE), (TRUE, FALSE, TRUE), (UNKNOWN, UNKNOWN, FALSE)]
)
def test_not_and_known(a: Truth, negated: Truth, known: Truth) -> None:
    values = facts(**{A: MASKS[a]})
    part = OneOf(A, YES)
    assert meaning(Not(part), values) is negated
    assert meaning(Known(part), values) is known
    assert meaning(Not(Known(part)), values) is (TRUE if known is FALSE else FALSE)
    # "known(not x)": x is surely not so
    assert meaning(Known(Not(part)), values) is (TRUE if a is FALSE else FALSE)


def test_unknown_is_never_false() -> None:
    nothing = unknown_facts()
    for fact in FACTS.values():
        if fact.type is Type.NUMBER:
            parts: list[Tree] = [Compare(op, FactRef(fact.name), Number(5)) for op in OPERATORS]
        else:
            parts = [OneOf(fact.name, 1 << i) for i in range(fact.everything.bit_length())]
        for part in parts:
            assert meaning(part, nothing) is UNKNOWN, part
            assert meaning(Not(part), nothing) is UNKNOWN, part


def test_nothing_to_say_is_true_for_and_and_false_for_or() -> None:
    assert meaning(And(()), unknown_facts()) is TRUE
    assert meaning(Or(()), unknown_facts()) is FALSE
    assert meaning(Constant(True), unknown_facts()) is TRUE
    assert meaning(Constant(False), unknown_facts()) is FALSE


@pytest.mark.parametrize(
    "tree",
    [
        Compare(">", FactRef(X), LimitRef("drug.duration.max_days")),
        OneOfLimit("hepatic_grade", "drug.hepatic.caution"),
        Stated("drug.sedation.opioid"),
        Fired("duration.course"),
        Not(And((Constant(True), Stated("drug.sedation.opioid")))),
    ],
)
def test_a_tree_still_naming_limits_or_rules_is_refused(tree: Tree) -> None:
    with pytest.raises(TypeError, match="not specialised"):
        meaning(tree, unknown_facts())


# --- bounds and masks, every combination, against every value they allow --------------------------------------------


def every(values: set[bool]) -> Truth:
    return UNKNOWN if len(values) == 2 else TRUE if True in values else FALSE


@pytest.mark.parametrize("op", OPERATORS)
def test_compare_on_bounds(op: Operator) -> None:
    spans = [(low, high) for low in range(5) for high in range(low, 5)]
    for (low, high), (other_low, other_high) in itertools.product(spans, spans):
        sides = itertools.product(range(low, high + 1), range(other_low, other_high + 1))
        expected = every({PLAIN[op](a, b) for a, b in sides})
        values = facts(**{X: (low, high), Y: (other_low, other_high)})
        assert meaning(Compare(op, FactRef(X), FactRef(Y)), values) is expected
        if other_low == other_high:
            assert meaning(Compare(op, FactRef(X), Number(other_low)), values) is expected
        if low == high:
            assert meaning(Compare(op, Number(low), FactRef(Y)), values) is expected


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("days", [14, 15, 21, 22])
def test_both_sides_of_a_threshold(op: Operator, days: int) -> None:
    tree = Compare(op, FactRef(X), Number(21))
    assert meaning(tree, facts(**{X: days})) is Truth(PLAIN[op](days, 21))
    # no upper bound known: sure only where more days cannot change the answer
    expected = every({PLAIN[op](each, 21) for each in (days, 21, 22, HIGHEST) if each >= days})
    assert meaning(tree, facts(**{X: (days, HIGHEST)})) is expected
    expected = every({PLAIN[op](each, 21) for each in (LOWEST, 20, 21, days) if each <= days})
    assert meaning(tree, facts(**{X: (LOWEST, days)})) is expected


def test_masks() -> None:
    for possible, mask in itertools.product(range(1, 16), range(16)):
        expected = every({bool(1 << bit & mask) for bit in range(4) if possible >> bit & 1})
        assert meaning(OneOf("hepatic_grade", mask), facts(hepatic_grade=possible)) is expected


# --- against every completion of the open facts ---------------------------------------------------------------------

FEW = tuple(FACTS[name] for name in (A, B, "hepatic_grade", X, Y, "days_in_hand"))
INSIDE = range(SMALL.start - 1, SMALL.stop + 1)  # one beyond every constant and bound on either side


def plain(tree: Tree, values: Sequence[int]) -> bool:
    """The answer when every fact is known, in plain two-valued logic."""

    def number(side: object) -> int:
        assert isinstance(side, FactRef | Number)
        return side.value if isinstance(side, Number) else values[SLOTS[side.name]]

    match tree:
        case Constant(value):
            return value
        case OneOf(fact, mask):
            return bool(values[SLOTS[fact]] & mask)
        case Compare(op, left, right):
            return PLAIN[op](number(left), number(right))
        case And(parts):
            return all(plain(part, values) for part in parts)
        case Or(parts):
            return any(plain(part, values) for part in parts)
        case Not(part):
            return not plain(part, values)
    raise AssertionError(tree)


def small_case(rng: Random) -> tuple[Tree, list[int], set[bool]]:
    """A tree over at most three facts, facts, and the answers of all completions."""
    some = rng.sample(FEW, 3)
    tree = random_tree(rng, 3, some, known=False)
    values = random_facts(rng, missing=0.35)
    return tree, values, {plain(tree, each) for each in completions(values, sorted(facts_of(tree)), INSIDE)}


def test_sure_answers_hold_for_every_completion(seed: int) -> None:
    rng = Random(seed)
    reached: Counter[Truth] = Counter()
    for _ in range(1_500):
        tree, values, answers = small_case(rng)
        answer = meaning(tree, values)
        reached[answer] += 1
        if answer is not UNKNOWN:
            assert answers == {bool(answer)}, (tree, values)
    assert min(reached[answer] for answer in Truth) > 150, reached


def test_unknown_only_where_completions_differ_if_each_fact_is_named_once(seed: int) -> None:
    """Facts are taken apart: naming one twice may leave open what logic would settle, naming it once may not."""
    rng = Random(seed + 1)
    compared = 0
    while compared < 1_000:
        tree, values, answers = small_case(rng)
        named = [
            name
            for part in nodes(tree)
            for name in (
                [part.fact]
                if isinstance(part, OneOf)
                else [side.name for side in (part.left, part.right) if isinstance(side, FactRef)]
                if isinstance(part, Compare)
                else []
            )
        ]
        if len(named) == len(set(named)):
            compared += 1
            assert meaning(tree, values) is every(answers), (tree, values)


def test_known_is_whether_the_part_is_surely_true(seed: int) -> None:
    rng = Random(seed + 2)
    for _ in range(500):
        part, values = random_tree(rng, 3), random_facts(rng)
        assert meaning(Known(part), values) is Truth(meaning(part, values) is TRUE)


# --- what keeps a condition open, what made it true -----------------------------------------------------------------


def test_open_facts_are_those_that_would_settle_it(seed: int) -> None:
    rng = Random(seed + 3)
    opened = 0
    for _ in range(4_000):
        tree, values = random_tree(rng, 4), random_facts(rng, missing=0.5)
        names = open_facts(tree, values)
        assert bool(names) == (meaning(tree, values) is UNKNOWN)
        assert set(names) <= facts_of(tree)
        for name in names:
            at = SLOTS[name]
            if FACTS[name].type is Type.NUMBER:
                assert values[at] != values[at + 1], name
                values[at] = values[at + 1] = rng.choice([n for n in INSIDE if values[at] <= n <= values[at + 1]])
            else:
                assert values[at].bit_count() > 1, name
                values[at] = rng.choice([1 << bit for bit in range(4) if values[at] >> bit & 1])
            opened += 1
        assert meaning(tree, values) is not UNKNOWN
    assert opened > 1_000


def test_open_facts_come_in_the_order_of_the_text_and_once() -> None:
    tree = And((OneOf(B, YES), Compare(">", FactRef(Y), FactRef(X)), Not(OneOf(B, NO)), OneOf(A, YES)))
    assert open_facts(tree, unknown_facts()) == (B, Y, X, A)
    assert open_facts(tree, facts(**{X: 3})) == (B, Y, A)
    assert open_facts(tree, facts(**{A: NO})) == ()
    assert open_facts(And((OneOf(A, YES), Or((OneOf(B, YES), OneOf(C, YES))))), facts(**{C: YES})) == (A,)


def test_reasons_are_enough_by_themselves(seed: int) -> None:
    """All other facts forgotten, the condition is still true."""
    rng = Random(seed + 4)
    true = 0
    for _ in range(3_000):
        tree, values = random_tree(rng, 4), random_facts(rng)
        found = reasons(tree, values)
        if meaning(tree, values) is not TRUE:
            assert found == ()
            continue
        true += 1
        only = unknown_facts()
        for each in found:
            for name in facts_of(each):
                at = SLOTS[name]
                only[at] = values[at]
                if FACTS[name].type is Type.NUMBER:
                    only[at + 1] = values[at + 1]
        assert meaning(tree, only) is TRUE, (tree, values, found)
    assert true > 500


def test_reasons_leave_out_what_did_not_matter() -> None:
    tree = And((Or((OneOf(A, YES), OneOf(B, YES))), Not(Compare("<", FactRef(X), Number(22)))))
    values = facts(**{A: NO, B: YES, X: 28})
    assert reasons(tree, values) == (OneOf(B, YES), Compare("<", FactRef(X), Number(22)))
    assert reasons(tree, facts(**{A: NO, B: YES, X: 21})) == ()


def test_random_leaves_name_every_operator(seed: int) -> None:
    rng = Random(seed)
    leaves = [random_leaf(rng, FEW) for _ in range(400)]
    assert {leaf.operator for leaf in leaves if isinstance(leaf, Compare)} == set(OPERATORS)
