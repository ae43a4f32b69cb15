"""Which way a limit is stricter, held to the interpreter: a limit moved that way never turns an answer back."""

from collections import Counter
from random import Random

import pytest

from safety_service.rules.direction import BOTH, DOWN, NOWHERE, ONLY_DOWN, ONLY_UP, UP, directions
from safety_service.rules.meaning import Truth, meaning
from safety_service.rules.parse import Names, parse
from safety_service.rules.specialise import specialise
from safety_service.rules.tree import And, Compare, FactRef, Fired, Known, Not, Number, Operand, Or, Tree
from tests.rules.random_rules import NUMBERS, OPERATORS, random_facts, random_tree

DAYS = "drug.duration.max_days"
ORDER = (Truth.FALSE, Truth.UNKNOWN, Truth.TRUE)


@pytest.mark.parametrize(
    ("text", "ways"),
    [
        ("course_days > drug.duration.max_days", ONLY_DOWN),
        ("course_days >= drug.duration.max_days", ONLY_DOWN),
        ("course_days < drug.duration.max_days", ONLY_UP),
        ("course_days <= drug.duration.max_days", ONLY_UP),
        ("drug.duration.max_days < course_days", ONLY_DOWN),
        ("drug.duration.max_days >= course_days", ONLY_UP),
        ("course_days == drug.duration.max_days", BOTH),
        ("course_days != drug.duration.max_days", BOTH),
        ("not course_days > drug.duration.max_days", ONLY_UP),
        ("not known(not course_days > drug.duration.max_days)", ONLY_DOWN),
        ("falls and course_days > drug.duration.max_days", ONLY_DOWN),
        ("course_days > drug.duration.max_days or episode_days > drug.duration.max_days", ONLY_DOWN),
        ("course_days > drug.duration.max_days or episode_days < drug.duration.max_days", BOTH),
        ("course_days > drug.duration.max_days and not episode_days > drug.duration.max_days", BOTH),
        ("course_days > drug.duration.reassess_days", NOWHERE),
        ("falls", NOWHERE),
    ],
)
def test_each_comparison(text: str, ways: frozenset[int]) -> None:
    tree = parse(text, Names())
    assert directions(tree, DAYS) == ways
    held = specialise(tree, {DAYS: 21, "drug.duration.reassess_days": 14}, lambda _: (tree, ()))
    assert held is not None
    assert directions(held, DAYS) == ways


def test_a_rule_named_by_another_has_to_be_put_in_first() -> None:
    with pytest.raises(TypeError):
        directions(Fired("duration.course"), DAYS)


def with_limit(rng: Random, value: int) -> Tree:
    sides: list[Operand] = [FactRef(rng.choice(NUMBERS).name), Number(value, DAYS)]
    rng.shuffle(sides)
    return Compare(rng.choice(OPERATORS), sides[0], sides[1])


def tree_with_limit(rng: Random, seed: float, value: int, depth: int = 3) -> Tree:
    """A random condition in which the limit, of this value, stands here and there; the same for the same `seed`."""
    own = Random(seed)
    if depth == 0 or own.random() < 0.4:
        return with_limit(own, value) if own.random() < 0.7 else random_tree(own, 1)
    parts = tuple(tree_with_limit(rng, own.random(), value, depth - 1) for _ in range(2))
    shapes: list[Tree] = [And(parts), Or(parts), Not(parts[0]), Known(parts[0])]
    return own.choice(shapes)


def test_a_limit_moved_the_stricter_way_never_turns_an_answer_back(seed: int) -> None:
    rng = Random(seed)
    seen: Counter[tuple[frozenset[int], int]] = Counter()
    for _ in range(6_000):
        shape, low = rng.random(), rng.randrange(-2, 8)
        lower, higher = tree_with_limit(rng, shape, low), tree_with_limit(rng, shape, low + rng.randrange(1, 4))
        ways = directions(lower, DAYS)
        assert ways == directions(higher, DAYS)
        values = random_facts(rng)
        before, after = (ORDER.index(meaning(each, values)) for each in (lower, higher))
        seen[ways, (after > before) - (after < before)] += 1
    assert not seen[NOWHERE, UP] + seen[NOWHERE, DOWN]
    assert not seen[ONLY_UP, DOWN]
    assert not seen[ONLY_DOWN, UP]
    # and that it was put to the test
    assert min(seen[ONLY_UP, UP], seen[ONLY_DOWN, DOWN], seen[BOTH, UP], seen[BOTH, DOWN]) > 50
