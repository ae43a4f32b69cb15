"""What a door could not use, and what it has to say about what it used. Nothing is dropped without a word."""

from __future__ import annotations

from safety_service.domain import NotProcessed


class Notes:
    """`unused` was sent and could not be used: the answer is then not complete. `said` explains what was used."""

    __slots__ = ("said", "unused")

    def __init__(self) -> None:
        self.unused: list[NotProcessed] = []
        self.said: list[str] = []

    def not_used(self, place: str, reason: str) -> None:
        """`place` is the member, as a path from the resource or the request; `reason` repeats nothing of its value."""
        self.unused.append(NotProcessed(place, reason))

    def say(self, text: str) -> None:
        self.said.append(text)
