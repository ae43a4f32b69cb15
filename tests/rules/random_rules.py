"""Random conditions over the real vocabulary, and random facts of which some are missing, for tests of the language."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from random import Random

from safety_service.rules.tree import (
    And,
    Compare,
    Constant,
    FactRef,
    Known,
    Not,
    Number,
    OneOf,
    Operand,
    Operator,
    Or,
    Tree,
)
from safety_service.rules.vocabulary import FACTS, HIGHEST, LOWEST, SLOTS, Fact, Type, unknown_facts

OPERATORS: tuple[Operator, ...] = ("<", "<=", ">", ">=", "==", "!=")
NUMBERS = tuple(fact for fact in FACTS.values() if fact.type is Type.NUMBER)
CHOICES = tuple(fact for fact in FACTS.values() if fact.type is not Type.NUMBER)
SMALL = range(-2, 9)  # numbers meet, and meet constants, often enough to stand on both sides of every boundary
MISSING, PARTLY = 0.25, 0.2


def random_tree(rng: Random, depth: int = 5, facts: Sequence[Fact] = tuple(FACTS.values()), known: bool = True) -> Tree:
    """A condition nested at most `depth` deep."""
    kind = rng.random()
    if depth == 0 or kind < 0.3:
        return random_leaf(rng, facts)
    if kind < 0.45:
        return Not(random_tree(rng, depth - 1, facts, known))
    if kind < 0.52 and known:
        return Known(random_tree(rng, depth - 1, facts, known))
    parts = tuple(random_tree(rng, depth - 1, facts, known) for _ in range(rng.choice((1, 2, 2, 2, 3, 3))))
    return And(parts) if rng.random() < 0.5 else Or(parts)


def random_leaf(rng: Random, facts: Sequence[Fact]) -> Tree:
    """A comparison, a membership or, seldom, a constant."""
    if rng.random() < 0.04:
        return Constant(rng.random() < 0.5)
    fact = rng.choice(facts)
    if fact.type is not Type.NUMBER:
        return OneOf(fact.name, rng.randrange(fact.everything + 1))
    numbers = [each for each in facts if each.type is Type.NUMBER]
    other: Operand = Number(rng.choice(SMALL)) if rng.random() < 0.6 else FactRef(rng.choice(numbers).name)
    sides: list[Operand] = [FactRef(fact.name), other]
    rng.shuffle(sides)
    return Compare(rng.choice(OPERATORS), sides[0], sides[1])


def random_facts(rng: Random, missing: float = MISSING) -> list[int]:
    """Every fact drawn: missing, known in part (bounds, a mask of several values), or known."""
    values = unknown_facts()
    for fact in FACTS.values():
        at = SLOTS[fact.name]
        drawn = rng.random()
        if drawn < missing:
            continue
        partly = drawn < missing + PARTLY
        if fact.type is Type.NUMBER:
            low, high = sorted((rng.choice(SMALL), rng.choice(SMALL)))
            if not partly:
                low = high
            elif rng.random() < 0.3:
                low, high = (LOWEST, high) if rng.random() < 0.5 else (low, HIGHEST)
            values[at], values[at + 1] = low, high
        else:
            width = fact.everything.bit_length()
            values[at] = rng.randrange(1, fact.everything + 1) if partly else 1 << rng.randrange(width)
    return values


def completions(values: Sequence[int], names: Sequence[str], numbers: Sequence[int]) -> Iterator[list[int]]:
    """Every list in which the facts of `names` have one value each, among `numbers` where they are numbers."""
    options = []
    for name in names:
        at = SLOTS[name]
        if FACTS[name].type is Type.NUMBER:
            options.append([(at, n) for n in numbers if values[at] <= n <= values[at + 1]])
        else:
            options.append([(at, 1 << bit) for bit in range(values[at].bit_length()) if values[at] >> bit & 1])
    number_slots = {SLOTS[name] for name in names if FACTS[name].type is Type.NUMBER}
    for chosen in itertools.product(*options):
        whole = list(values)
        for at, value in chosen:
            whole[at] = value
            if at in number_slots:
                whole[at + 1] = value
        yield whole


def size(tree: Tree) -> int:
    """Nodes of a tree."""
    match tree:
        case And(parts) | Or(parts):
            return 1 + sum(map(size, parts))
        case Not(part) | Known(part):
            return 1 + size(part)
        case _:
            return 1


def nodes(tree: Tree) -> Iterator[Tree]:
    """Every part of a tree, itself first."""
    yield tree
    match tree:
        case And(parts) | Or(parts):
            for part in parts:
                yield from nodes(part)
        case Not(part) | Known(part):
            yield from nodes(part)
