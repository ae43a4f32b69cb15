"""Lines on standard output, and what went wrong on standard error; coloured on a terminal and without NO_COLOR."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text


def print_lines(lines: Iterable[Text]) -> None:
    """Lines that are laid out already: rich only colours them, on a terminal and without NO_COLOR."""
    console = Console(soft_wrap=True, highlight=False)
    for line in lines:
        line.rstrip()
        console.print(line)


def alarm(text: str) -> None:
    """One line on standard error that something is wrong."""
    Console(soft_wrap=True, highlight=False, stderr=True).print(Text(text, style="bold red"))
