"""Whether files have changed since they were read."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

LOOK_SECONDS: Final = 1.0

Marks: TypeAlias = tuple[tuple[int, int, int] | None, ...]


def marks(paths: Sequence[Path]) -> Marks:
    """What tells one state of files from another: time, size and inode. None: it is not there."""
    found: list[tuple[int, int, int] | None] = []
    for each in paths:
        try:
            stat = os.stat(each)
        except OSError:
            found.append(None)
        else:
            found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(found)


class Watched:
    """Files that are looked at no more often than once in `every` seconds, by whoever asks."""

    def __init__(
        self, paths: Sequence[Path], every: float = LOOK_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._paths = tuple(paths)
        self._every = every
        self._clock = clock
        self._next = clock() + every
        self._seen: Marks | None = marks(self._paths)
        self._lock = threading.Lock()

    def changed(self) -> bool:
        """Whether they differ from when this was last asked and answered yes."""
        if self._clock() < self._next:
            return False
        with self._lock:
            now = self._clock()
            if now < self._next:
                return False
            self._next = now + self._every
            found = marks(self._paths)
            if found == self._seen:
                return False
            self._seen = found
            return True

    def again(self) -> None:
        """What was found could not be read: it counts as changed at the next look, even if it looks the same then."""
        with self._lock:
            self._seen = None
