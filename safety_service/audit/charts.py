"""Charts as inline SVG: drawn by numbers alone, with a title and a description for those who do not see them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

WIDTH = 720
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 30, 16, 44
_NAMED, _LETTERS = 34, 13  # room for names at the ends of lines; the height of one


class Series(NamedTuple):
    """Values in order; None is not shown and breaks the line. `style` is a class of the page's style sheet.

    `name` is written at the end of the line, "" for none.
    """

    name: str
    values: Sequence[float | None]
    style: str


def _svg(height: int, title: str, description: str, body: Sequence[str]) -> str:
    label = escape(f"{title}. {description}", quote=True)
    return f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">{"".join(body)}</svg>'


def _text(x: float, y: float, said: str, anchor: str = "middle", style: str = "") -> str:
    of_class = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{of_class}>{escape(said)}</text>'


def _step(most: float) -> float:
    """A step of 1, 2 or 5 times a power of ten that makes at most six of `most`."""
    step = 10.0**-3
    while True:
        for factor in (1, 2, 5):
            if step * factor * 6 >= most:
                return step * factor
        step *= 10


def lines(title: str, description: str, labels: Sequence[str], series: Sequence[Series], percent: bool = True) -> str:
    """Lines over `labels`, from zero up."""
    height = 300
    most = max((value for each in series for value in each.values if value is not None), default=0) or 1
    step = _step(most)
    top = -(-most // step) * step
    right = _RIGHT + (_NAMED if any(each.name for each in series) else 0)
    wide, high = WIDTH - _LEFT - right, height - _TOP - _BOTTOM

    def x(i: int) -> float:
        return _LEFT + (wide / 2 if len(labels) < 2 else wide * i / (len(labels) - 1))

    def y(value: float) -> float:
        return _TOP + high * (1 - value / top)

    body = []
    tick = 0.0
    while tick <= top + step / 2:
        said = f"{100 * tick:g} %" if percent else f"{tick:,.0f}"
        body.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        body.append(_text(_LEFT - 6, y(tick) + 4, said, "end"))
        tick = round(tick + step, 9)
    every = -(-len(labels) // 9) or 1
    body += [_text(x(i), height - _BOTTOM + 18, each) for i, each in enumerate(labels) if i % every == 0]
    for each in series:
        piece: list[str] = []
        for i, value in enumerate([*each.values, None]):
            if value is not None:
                piece.append(f"{x(i):.1f},{y(value):.1f}")
            elif piece:
                if len(piece) == 1:
                    at = piece[0].split(",")
                    body.append(f'<circle class="dot {each.style}" cx="{at[0]}" cy="{at[1]}" r="3"/>')
                else:
                    body.append(f'<polyline class="{each.style}" points="{" ".join(piece)}"/>')
                piece = []
    body += _names(series, x, y)
    return _svg(height, title, description, body)


def _names(series: Sequence[Series], x: Callable[[int], float], y: Callable[[float], float]) -> list[str]:
    """The names at the ends of their lines, from the top down, none over another."""
    ends = []
    for each in series:
        last = max((i for i, value in enumerate(each.values) if value is not None), default=None)
        if each.name and last is not None:
            ends.append((y(each.values[last] or 0.0), x(last), each.name))
    body: list[str] = []
    free = 0.0
    for at, beside, name in sorted(ends):
        free = max(free + _LETTERS, at + 4) if body else at + 4
        body.append(_text(beside + 6, free, name, "start"))
    return body


def columns(
    title: str,
    description: str,
    labels: Sequence[str],
    values: Sequence[int | None],
    styles: Sequence[str],
    hidden: str,
    marker: tuple[int, str],
) -> str:
    """Columns side by side, each of its style, and a line with a word before the column `marker[0]`."""
    height = 280
    most = max((each for each in values if each is not None), default=0) or 1
    wide, high = WIDTH - _LEFT - _RIGHT, height - _TOP - _BOTTOM - 34
    step = wide / max(len(labels), 1)
    floor = height - _BOTTOM
    body = [f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{floor}" y2="{floor}"/>']
    for i, (label, value) in enumerate(zip(labels, values, strict=True)):
        tall = 0 if value is None else high * value / most
        left = _LEFT + step * i + step * 0.1
        size = f'width="{step * 0.8:.1f}" height="{tall:.1f}"'
        body.append(f'<rect class="{styles[i]}" x="{left:.1f}" y="{floor - tall:.1f}" {size}/>')
        body.append(_text(left + step * 0.4, floor - tall - 4, hidden if value is None else f"{value:,}"))
        body.append(_text(left + step * 0.4, floor + 18, label))
    at = _LEFT + step * marker[0]
    body.append(f'<line class="limit" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{floor}"/>')
    body.append(_text(at + 5, _TOP + 10, marker[1], "start", "limit-word"))
    return _svg(height, title, description, body)


def bars(
    title: str, description: str, rows: Sequence[tuple[str, Sequence[tuple[int | None, str]]]], hidden: str
) -> str:
    """A bar for each row, made of parts with their styles; what is hidden is said beside it."""
    label_wide, row_high = 280, 26
    height = _TOP + row_high * len(rows) + 10
    most = max((sum(part or 0 for part, _ in parts) for _, parts in rows), default=0) or 1
    wide = WIDTH - label_wide - 90
    body = []
    for i, (label, parts) in enumerate(rows):
        y = _TOP + row_high * i
        said = label if len(label) <= 42 else f"{label[:41]}…"
        body.append(_text(label_wide - 8, y + 14, said, "end"))
        x = float(label_wide)
        for part, style in parts:
            long = wide * (part or 0) / most
            body.append(f'<rect class="{style}" x="{x:.1f}" y="{y}" width="{long:.1f}" height="{row_high - 8}"/>')
            x += long
        numbers = " / ".join(hidden if part is None else f"{part:,}" for part, _ in parts)
        body.append(_text(x + 6, y + 14, numbers, "start"))
    return _svg(height, title, description, body)
