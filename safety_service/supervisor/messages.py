"""What the supervisor and its processes tell each other, over a socket that only they have.

The settings travel this way too: a secret on a command line or in an environment could be read by others.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safety_service.knowledge.read import Problem
from safety_service.server.in_use import Files
from safety_service.server.settings import Settings

METRICS = "metrics"  # the folder, in the supervisor's, that the workers count in

# --- to a worker -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Serve:
    """The first message: what to be. `room` is the supervisor's private folder."""

    settings: Settings
    files: Files
    number: int
    core: int
    room: Path


@dataclass(frozen=True, slots=True)
class Prepare:
    """Read these files, and go on answering as before."""

    files: Files


@dataclass(frozen=True, slots=True)
class Commit:
    """Answer from what was prepared."""


@dataclass(frozen=True, slots=True)
class Discard:
    """Forget what was prepared."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Another has taken over: let the connections go as they come of age, then drain."""


# --- from a worker -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """It answers calls at `address`, and Prometheus at `metrics`."""

    address: str
    metrics: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """It cannot serve: the address, for instance. It ends."""

    reason: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """The files are good."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The files are not good; before `Ready` it ends, else it goes on as before."""

    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Spent:
    """It asks to be replaced: it has answered enough calls, or holds too much memory."""

    reason: str


# --- to the admin process ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Administer:
    """The first message: what to be."""

    settings: Settings
    room: Path


@dataclass(frozen=True, slots=True)
class State:
    """How the whole is: the process of each worker that answers, by number; what has happened so far."""

    serving: tuple[tuple[int, int], ...] = ()
    stopping: bool = False
    deaths: int = 0
    replaced: int = 0
    reloads: int = 0
    reloads_refused: int = 0
