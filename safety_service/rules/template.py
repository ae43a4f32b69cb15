"""Texts with places for facts: `Start at {drug.hepatic.mild_start_mg} mg, not {single_dose_mg} mg`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

_PLACE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Template:
    """Literal pieces and places in turn: `pieces[0] + value(places[0]) + pieces[1] + ...`."""

    pieces: tuple[str, ...]
    places: tuple[str, ...]

    def render(self, value: Callable[[str], str]) -> str:
        if not self.places:
            return self.pieces[0]
        parts = [self.pieces[0]]
        for place, piece in zip(self.places, self.pieces[1:], strict=True):
            parts.append(value(place))
            parts.append(piece)
        return "".join(parts)


def parse_template(text: str, names: Collection[str]) -> Template:
    """Raises ValueError for a place whose name is not among `names`, and for a brace that opens or closes none."""
    parts = _PLACE.split(text)
    if any("{" in piece or "}" in piece for piece in parts[0::2]):
        raise ValueError("a brace stands alone")
    places = tuple(parts[1::2])
    for place in places:
        if place not in names:
            raise ValueError(f"nothing is called {{{place}}}")
    return Template(tuple(parts[0::2]), places)
