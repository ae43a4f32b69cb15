"""A condition for one drug: limits put in, and what the drug's file does not state falls away."""

import itertools
from collections.abc import Mapping
from random import Random

import pytest

from safety_service.rules.meaning import meaning
from safety_service.rules.specialise import specialise
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
    Or,
    Stated,
    Tree,
    limits_of,
)
from safety_service.rules.vocabulary import YES
from tests.rules.random_rules import random_facts, random_tree

DAYS = "drug.duration.max_days"
OPIOID = "drug.sedation.opioid"
GRADES = "drug.hepatic.caution"
HELD = {DAYS: 21, OPIOID: 1, GRADES: 6}
FALLS, NEW = OneOf("falls", YES), OneOf("new_start", YES)
LONG = Compare(">", FactRef("course_days"), LimitRef(DAYS))
LONG_21 = Compare(">", FactRef("course_days"), Number(21, DAYS))


def no_rules(rule_id: str) -> tuple[Tree, tuple[Tree, ...]]:
    raise AssertionError(f"no rule was asked for, but {rule_id} was")


def made(tree: Tree, limits: Mapping[str, int] = HELD) -> Tree | None:
    return specialise(tree, limits, no_rules)


@pytest.mark.parametrize(
    ("tree", "held", "missing"),
    [
        (LONG, LONG_21, None),
        (
            Compare("<", LimitRef(DAYS), FactRef("course_days")),
            Compare("<", Number(21, DAYS), FactRef("course_days")),
            None,
        ),
        (OneOfLimit("hepatic_grade", GRADES), OneOf("hepatic_grade", 6, GRADES), None),
        (Stated(OPIOID), Constant(True), None),
        # a part that says nothing kills the and, the not and the known that hold it
        (And((FALLS, LONG)), And((FALLS, LONG_21)), None),
        (Not(LONG), Not(LONG_21), None),
        (Known(LONG), Known(LONG_21), None),
        (Not(Stated(OPIOID)), Not(Constant(True)), None),
        (And((FALLS, Not(Known(Stated(OPIOID))))), And((FALLS, Not(Known(Constant(True))))), None),
        # and drops out of the or
        (Or((FALLS, LONG)), Or((FALLS, LONG_21)), FALLS),
        (Or((LONG, NEW, Stated(OPIOID), FALLS)), Or((LONG_21, NEW, Constant(True), FALLS)), Or((NEW, FALLS))),
        (Or((LONG, Stated(OPIOID))), Or((LONG_21, Constant(True))), None),
        (Not(Or((FALLS, LONG))), Not(Or((FALLS, LONG_21))), Not(FALLS)),
        (Or((And((FALLS, LONG)), NEW)), Or((And((FALLS, LONG_21)), NEW)), NEW),
        (And((NEW, Or((FALLS, LONG)))), And((NEW, Or((FALLS, LONG_21)))), And((NEW, FALLS))),
        # a statement made is no longer a question
        (And((Stated(OPIOID), FALLS)), FALLS, None),
        (And((Stated(OPIOID), FALLS, NEW)), And((FALLS, NEW)), None),
        (And((Stated(OPIOID), Stated(DAYS))), Constant(True), None),
        # what names no limit is left as it is
        (FALLS, FALLS, FALLS),
        (Constant(False), Constant(False), Constant(False)),
        (And((FALLS, Constant(False))), And((FALLS, Constant(False))), And((FALLS, Constant(False)))),
        (And((FALLS, Constant(True))), FALLS, FALLS),
    ],
)
def test_limits_held_and_missing(tree: Tree, held: Tree, missing: Tree | None) -> None:
    assert made(tree) == held
    assert made(tree, {}) == missing


def test_a_comparison_needs_both_its_limits() -> None:
    both = Compare("<", LimitRef(DAYS), LimitRef("drug.duration.reassess_days"))
    assert made(both) is None
    assert made(both, {**HELD, "drug.duration.reassess_days": 14}) == Compare(
        "<", Number(21, DAYS), Number(14, "drug.duration.reassess_days")
    )


@pytest.mark.parametrize("value", [0, -1])
def test_a_limit_of_nothing_is_still_a_limit(value: int) -> None:
    assert made(LONG, {DAYS: value}) == Compare(">", FactRef("course_days"), Number(value, DAYS))
    assert made(Stated(OPIOID), {OPIOID: 0}) == Constant(True)
    assert made(OneOfLimit("hepatic_grade", GRADES), {GRADES: 0}) == OneOf("hepatic_grade", 0, GRADES)


# --- fired ----------------------------------------------------------------------------------------------------------


def test_fired_is_the_other_rules_condition() -> None:
    rules = {"other": (Or((FALLS, LONG)), ())}
    assert specialise(Fired("other"), HELD, rules.__getitem__) == Or((FALLS, LONG_21))
    assert specialise(Fired("other"), {}, rules.__getitem__) == FALLS


def test_fired_is_false_where_the_other_rule_is_absorbed() -> None:
    rules: dict[str, tuple[Tree, tuple[Tree, ...]]] = {"titrate": (FALLS, (NEW, LONG))}
    assert specialise(Fired("titrate"), HELD, rules.__getitem__) == And((FALLS, Not(NEW), Not(LONG_21)))
    # an absorber that says nothing of the drug absorbs nothing
    assert specialise(Fired("titrate"), {}, rules.__getitem__) == And((FALLS, Not(NEW)))
    assert specialise(Fired("titrate"), {}, {"titrate": (FALLS, (LONG,))}.__getitem__) == FALLS


def test_fired_of_a_silent_rule_is_silent() -> None:
    rules: dict[str, tuple[Tree, tuple[Tree, ...]]] = {"other": (LONG, (FALLS,))}
    assert specialise(Fired("other"), {}, rules.__getitem__) is None
    assert specialise(Or((NEW, Fired("other"))), {}, rules.__getitem__) == NEW
    assert specialise(Not(Fired("other")), {}, rules.__getitem__) is None


def test_fired_reaches_through_rules() -> None:
    rules: dict[str, tuple[Tree, tuple[Tree, ...]]] = {
        "a": (And((NEW, Not(Fired("b")))), ()),
        "b": (Or((LONG, Fired("c"))), ()),
        "c": (FALLS, ()),
    }
    assert specialise(Fired("a"), HELD, rules.__getitem__) == And((NEW, Not(Or((LONG_21, FALLS)))))
    assert specialise(Fired("a"), {}, rules.__getitem__) == And((NEW, Not(FALLS)))


# --- laws -----------------------------------------------------------------------------------------------------------


def substituted(tree: Tree, limits: Mapping[str, int]) -> Tree:
    """Every limit put in and nothing else changed."""
    match tree:
        case Compare(operator, left, right):
            sides = [Number(limits[s.name]) if isinstance(s, LimitRef) else s for s in (left, right)]
            return Compare(operator, sides[0], sides[1])
        case OneOfLimit(fact, limit):
            return OneOf(fact, limits[limit])
        case Stated():
            return Constant(True)
        case And(parts):
            return And(tuple(substituted(part, limits) for part in parts))
        case Or(parts):
            return Or(tuple(substituted(part, limits) for part in parts))
        case Not(part):
            return Not(substituted(part, limits))
        case Known(part):
            return Known(substituted(part, limits))
        case _:
            return tree


def with_limits(rng: Random, tree: Tree) -> Tree:
    """Some leaves of a tree replaced by leaves that name limits."""
    match tree:
        case And(parts):
            return And(tuple(with_limits(rng, part) for part in parts))
        case Or(parts):
            return Or(tuple(with_limits(rng, part) for part in parts))
        case Not(part):
            return Not(with_limits(rng, part))
        case Known(part):
            return Known(with_limits(rng, part))
        case Compare(operator, left, Number()) if rng.random() < 0.5:
            return Compare(operator, left, LimitRef(DAYS))
        case OneOf("hepatic_grade", _):
            return OneOfLimit("hepatic_grade", GRADES)
        case OneOf() if rng.random() < 0.3:
            return Stated(OPIOID)
        case _:
            return tree


def test_a_drug_that_states_everything_keeps_the_meaning(seed: int) -> None:
    rng = Random(seed)
    limits = {DAYS: 3, OPIOID: 1, GRADES: 6}
    named = 0
    for _ in range(1_000):
        tree = with_limits(rng, random_tree(rng, 4))
        special = made(tree, limits)
        assert special is not None
        named += bool(limits_of(tree))
        for _ in range(5):
            values = random_facts(rng)
            assert meaning(special, values) is meaning(substituted(tree, limits), values)
    assert named > 300


def silent(tree: Tree, limits: Mapping[str, int]) -> bool:
    """The rule of silence, said once more: any missing part silences all but `or`, which needs all."""
    match tree:
        case Or(parts):
            return all(silent(part, limits) for part in parts)
        case And(parts):
            return any(silent(part, limits) for part in parts)
        case Not(part) | Known(part):
            return silent(part, limits)
        case _:
            return not limits_of(tree) <= limits.keys()


def test_silence_is_decided_by_the_missing_limits_alone(seed: int) -> None:
    rng = Random(seed + 1)
    reached = {True: 0, False: 0}
    for _ in range(1_000):
        tree = with_limits(rng, random_tree(rng, 4))
        for count in range(3):
            for some in itertools.combinations(HELD, count):
                limits = {name: HELD[name] for name in some}
                special = made(tree, limits)
                expected = silent(tree, limits)
                reached[expected] += 1
                assert (special is None) == expected, tree
                if special is not None:
                    meaning(special, random_facts(rng))  # raises if anything were left to look up
    assert min(reached.values()) > 500
