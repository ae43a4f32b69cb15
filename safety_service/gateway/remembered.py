"""What is made of a value that depends on the knowledge alone is made once.

The engine gives the same object for the same words and the same open answer again and again; so the object itself is
the key, which costs less than to compare it. Nothing of a patient is in such objects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")
V = TypeVar("V")

MOST = 8_192


class Remembered(Generic[T, V]):
    """`make` for each object once, for the latest `MOST` objects or so."""

    __slots__ = ("_held", "_make")

    def __init__(self, make: Callable[[T], V]) -> None:
        self._make = make
        self._held: dict[int, tuple[Any, V]] = {}  # by identity; the object is kept, so that no other can have it

    def __call__(self, made_from: T) -> V:
        held = self._held.get(id(made_from))
        if held is not None:
            return held[1]
        if len(self._held) >= MOST:
            self._held.clear()
        made = self._make(made_from)
        self._held[id(made_from)] = made_from, made
        return made
