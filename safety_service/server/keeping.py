"""The decision log as the server's settings ask for it."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from safety_service.decisions.log import CannotKeepError, DecisionLog, Source, open_log
from safety_service.decisions.segment import CannotWriteError
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import RULES_DATA
from safety_service.server.settings import Settings

INDEX = "index.sqlite"
_LEAST_KEY_BYTES = 16


def source_of(settings: Settings) -> Source:
    """Where the knowledge comes from."""
    return Source(settings.knowledge_dir or RULES_DATA, settings.policy_file, settings.site_codes)


def pseudonym_key(settings: Settings) -> bytes:
    """The key of pseudonyms. Raises CannotKeepError."""
    if settings.decisions_key_file is None:
        return hashlib.blake2b(settings.key, digest_size=32, person=b"pseudonyms").digest()
    try:
        content = settings.decisions_key_file.read_bytes().strip()
    except OSError as error:
        raise CannotKeepError(f"the key of the pseudonyms cannot be read: {error.strerror}") from None
    if len(content) < _LEAST_KEY_BYTES:
        raise CannotKeepError(f"the key of the pseudonyms has less than {_LEAST_KEY_BYTES} bytes")
    return hashlib.blake2b(content, digest_size=32).digest()


def index_of(settings: Settings) -> str:
    """The address of the index; "" where no decisions are kept."""
    if settings.decisions_index or settings.decisions_dir is None:
        return settings.decisions_index
    return str(Path(settings.decisions_dir) / INDEX)


def decision_log(settings: Settings, knowledge: Knowledge) -> DecisionLog | None:
    """The log, with `knowledge` archived beside it; None where none is asked for. Raises CannotKeepError."""
    if settings.decisions_dir is None:
        return None
    log = open_log(
        settings.decisions_dir,
        pseudonym_key(settings),
        source_of(settings),
        now_ns=time.time_ns,
        site=settings.site,
        required=settings.decisions_required == "refuse",
        sync=settings.decisions_fsync,
        most_bytes=settings.decisions_segment_bytes,
    )
    try:
        log.use(knowledge)
    except CannotWriteError as error:
        raise CannotKeepError(f"decisions cannot be kept: {error}") from None
    return log
