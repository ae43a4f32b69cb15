"""Frozen records made at the speed of plain ones.

Python makes a frozen dataclass field by field through `object.__setattr__`, which for the sixteen fields of a
medication record takes longer than reading them from the wire. A plain twin with the same slots is filled instead and
then becomes the frozen class, once, before anyone else has seen it. What comes out is the same object in every respect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, field, fields, make_dataclass
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def quick(frozen: Callable[P, T]) -> Callable[P, T]:
    """The constructor of `frozen`, a frozen slotted dataclass without `__post_init__`: same arguments, same result."""

    def become_frozen(twin: Any) -> None:
        twin.__class__ = frozen

    columns: list[tuple[str, object, Any]] = []
    for each in fields(frozen):  # type: ignore[arg-type]  # a class that mypy sees as its constructor
        kept = field() if each.default is MISSING else field(default=each.default)
        columns.append((each.name, each.type, kept))
    name = f"Plain{frozen.__name__}"
    twin: Callable[P, T] = make_dataclass(name, columns, slots=True, namespace={"__post_init__": become_frozen})
    return twin
