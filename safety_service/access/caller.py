"""Who calls, and why somebody is not known."""

from __future__ import annotations

from typing import Final, NamedTuple

from safety_service.access.scopes import EVERY, Scope

NEVER: Final = float("inf")


class Caller(NamedTuple):
    """Who calls. `until` is when what it showed expires, in seconds since 1970."""

    name: str
    scopes: frozenset[Scope]
    until: float = NEVER


OPEN: Final = Caller("", EVERY)  # the only caller of a server that asks for no credentials


class UnusableCredentialsError(Exception):
    """The files of credentials cannot be used; the text says why and repeats no secret."""


class NotKnownError(Exception):
    """What was shown is not valid; the text says why and repeats nothing of it."""


class TooManyTriesError(Exception):
    """Wrong keys for one name come too fast; `seconds` to wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__("too many tries")
        self.seconds = seconds
