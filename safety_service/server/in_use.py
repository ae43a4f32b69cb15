"""What calls are answered from, and how it is replaced as a whole while they run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from safety_service.decisions.archive import archive
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server.encode_fast import FastEncoder
from safety_service.server.handlers import Desk
from safety_service.server.knowledge_handlers import Library, open_library


@dataclass(frozen=True, slots=True)
class Files:
    """Where the knowledge is read from. `key` is the public key that its folder must be signed with."""

    knowledge: Path
    policy: Path | None
    site_codes: Path | None
    key: Path | None


class Standing(NamedTuple):
    """One knowledge, ready to answer: checks from the desk, questions about it from the library."""

    desk: Desk
    library: Library

    @property
    def knowledge(self) -> Knowledge:
        """What both answer from."""
        return self.desk.knowledge


@dataclass(slots=True)
class InUse:
    """Calls read `now` once and answer from what they got, so none of them sees half of two."""

    now: Standing

    def made_ready(self, knowledge: Knowledge, files: Files) -> Standing:
        """Another knowledge, with all else as it is. Nothing is replaced yet.

        Where decisions are kept, `files`, which it was read from, are archived with them. Raises OSError.
        """
        desk = replace(self.now.desk, knowledge=knowledge, encode=FastEncoder(knowledge).response)
        if desk.decisions is not None:
            archive(desk.decisions.folder, knowledge, files.knowledge, files.policy, files.site_codes)
        return Standing(desk, open_library(knowledge, desk.fingerprint_key))
