"""The next dose up or down that a prescriber can order: a dose threshold is tried there, not a microgram away."""

from __future__ import annotations

from safety_service.knowledge.knowledge import Line
from safety_service.rules.vocabulary import FACTS, Unit

_PIECES = (1, 2, 3, 4)  # tablets at once
_TIMES = (1, 2, 3, 4)  # doses a day


def step_up(line: Line | None, fact: str, value: int) -> int:
    """The next value of a fact above `value`: one unit more; of a dose, what the next strength or more tablets give."""
    doses = _doses(line, fact)
    return min((each for each in doses if each > value), default=value + FACTS[fact].unit.scale)


def step_down(line: Line | None, fact: str, value: int) -> int:
    """The next value of a fact below `value`."""
    doses = _doses(line, fact)
    return max((each for each in doses if each < value), default=value - FACTS[fact].unit.scale)


def _doses(line: Line | None, fact: str) -> frozenset[int]:
    """The doses that the products of a line make up, in micrograms; empty when the fact is no dose."""
    if FACTS[fact].unit is not Unit.MG or line is None:
        return frozenset()
    products = line.file.products
    strengths = {round(1000 * mg) for product in products for mg in product.strengths_mg}
    halves = {round(500 * mg) for product in products if product.divisible for mg in product.strengths_mg}
    if fact.startswith("daily"):
        whole = {each * pieces * times for each in strengths for pieces in _PIECES for times in _TIMES}
    else:
        more = {each * pieces for each in strengths for pieces in _PIECES}
        whole = strengths | {each for each in more if each > max(strengths)}
    return frozenset(whole | {each for each in halves if each < min(strengths)})
