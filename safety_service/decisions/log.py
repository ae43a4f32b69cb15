"""The decision log of one process: what the doors write to."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from safety_service.decisions.archive import archive
from safety_service.decisions.ledger import BrokenLedgerError, seal_finished
from safety_service.decisions.outcome import Outcomes
from safety_service.decisions.records import Answered, Asked, Feedback, Pseudonyms, decision_record, feedback_record
from safety_service.decisions.rows import PLACES
from safety_service.decisions.segment import CannotWriteError, Writer
from safety_service.domain import CheckRequest
from safety_service.knowledge.knowledge import Knowledge

_REMEMBERED = 10_000


class CannotKeepError(Exception):
    """The folder cannot be used; the reason says why."""


@dataclass(frozen=True, slots=True)
class Source:
    """The files that knowledge is read from, for the archive."""

    root: Path
    policy_file: Path | None = None
    site_codes: Path | None = None


@dataclass(slots=True)
class DecisionLog:
    """Writes decisions and feedback. `required`: an answer that cannot be recorded must not be given."""

    writer: Writer
    pseudonyms: Pseudonyms
    folder: Path
    source: Source
    site: str = ""
    required: bool = True
    now_ns: Callable[[], int] = field(kw_only=True)
    _outcomes: Outcomes | None = None
    _recent: OrderedDict[tuple[str, str], str] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def use(self, knowledge: Knowledge) -> None:
        """Archive the knowledge that will be decided from. Raises CannotWriteError."""
        try:
            archive(self.folder, knowledge, self.source.root, self.source.policy_file, self.source.site_codes)
        except OSError as error:
            raise CannotWriteError(f"the knowledge cannot be archived: {error.strerror}") from None
        self._outcomes = Outcomes(knowledge)

    def keep(self, knowledge: Knowledge, caller: str, sent: bytes, request: CheckRequest, answered: Answered) -> None:
        """Record a decision; it survives the process once this returns. Raises CannotWriteError.

        `knowledge` has been archived: by `use`, or by who put another in its place.
        """
        outcomes = self._outcomes
        if outcomes is None or outcomes.knowledge is not knowledge:
            outcomes = self._outcomes = Outcomes(knowledge)
        asked = Asked(caller, self.site, sent, request)
        self.writer.append(decision_record(outcomes, self.pseudonyms, asked, answered), answered.at)

    def take(self, feedback: Sequence[Feedback], caller: str) -> list[str]:
        """Record feedback; returns the id of each. What was just recorded is not recorded again.

        Raises CannotWriteError: what was recorded before it is, and may be sent again.
        """
        now = self.now_ns()
        for each in feedback:
            key = caller, each.known_as
            with self._lock:
                known = self._recent.get(key)
            if known == each.content:
                continue
            self.writer.append(feedback_record(each, caller, now), now)
            with self._lock:
                self._recent[key] = each.content
                self._recent.move_to_end(key)
                if len(self._recent) > _REMEMBERED:
                    self._recent.popitem(last=False)
        return [each.known_as for each in feedback]

    def close(self) -> None:
        """End the segment and enter it in the ledger."""
        self.writer.close()
        _seal_if_possible(self.folder, self.now_ns)


def _seal_if_possible(folder: Path, now_ns: Callable[[], int]) -> None:
    """What cannot be entered now is entered by whoever opens the folder next, or by the index."""
    with contextlib.suppress(OSError, BrokenLedgerError):
        seal_finished(folder, now_ns())


def open_log(
    folder: Path,
    key: bytes,
    source: Source,
    *,
    now_ns: Callable[[], int],
    site: str = "",
    required: bool = True,
    sync: bool = False,
    most_bytes: int = 64 * 1024 * 1024,
) -> DecisionLog:
    """The log in `folder`, which is made where it is missing. Raises CannotKeepError."""

    def seal(_: Path) -> None:
        # Reading a whole segment takes a while, and an answer is waiting.
        threading.Thread(target=_seal_if_possible, args=(folder, now_ns), daemon=True).start()

    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        seal_finished(folder, now_ns())
    except (OSError, BrokenLedgerError) as error:
        raise CannotKeepError(f"decisions cannot be kept: {error}") from None
    about = {"places": PLACES}
    writer = Writer(folder, now_ns=now_ns, most_bytes=most_bytes, sync=sync, about=about, sealed=seal)
    return DecisionLog(writer, Pseudonyms(key), folder, source, site, required, now_ns=now_ns)
