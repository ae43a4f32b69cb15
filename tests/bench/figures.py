"""Figures with their spread, goals, and the tables they are printed in."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as its median over the rounds of one run, with the lowest and the highest round."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, rounds: Sequence[float]) -> Figure:
        return cls(statistics.median(rounds), min(rounds), max(rounds))

    @classmethod
    def ratio(cls, above: Sequence[float], below: Sequence[float]) -> Figure:
        """Of two that took turns, round by round."""
        return cls.of([a / b for a, b in zip(above, below, strict=True)])


@dataclass(frozen=True, slots=True)
class Goal:
    """Bounds of a median: `required` must be kept, `target` is hoped for."""

    required: float
    target: float | None = None
    at_most: bool = False

    def verdict(self, figure: Figure) -> str:
        if not self._kept(figure.median, self.required):
            return "not met"
        return "met" if self.target is None or not self._kept(figure.median, self.target) else "met, target too"

    def _kept(self, value: float, bound: float) -> bool:
        return value <= bound if self.at_most else value >= bound

    def texts(self) -> tuple[str, str]:
        sign = "<=" if self.at_most else ">="
        return f"{sign} {self.required:g}", "" if self.target is None else f"{sign} {self.target:g}"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: a figure with or without a goal."""

    name: str
    figure: Figure
    unit: str = ""
    goal: Goal | None = None

    def cells(self) -> tuple[str, ...]:
        figure = self.figure
        required, target = ("", "") if self.goal is None else self.goal.texts()
        verdict = "" if self.goal is None else self.goal.verdict(figure)
        spread = f"{_short(figure.lowest)} to {_short(figure.highest)}"
        return self.name, f"{_short(figure.median)} {self.unit}".strip(), spread, required, target, verdict


HEAD = ("what", "median", "lowest to highest round", "required", "target", "result")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that also reads well as plain text."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    return "\n".join([line(head), line(["-" * width for width in widths]), *map(line, rows)])


def _short(value: float) -> str:
    """Three significant digits, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
