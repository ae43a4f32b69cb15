"""Knowledge, policy and site codes replaced while the server runs: read and checked whole, or refused whole."""

from __future__ import annotations

import gc
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import RULES_DATA, load_knowledge, speaking_files
from safety_service.knowledge.read import KnowledgeError, Problem
from safety_service.knowledge.signature import SIGNATURE_FILE, KeyFileError, verify
from safety_service.server.access_log import Log
from safety_service.server.in_use import Files, InUse
from safety_service.server.settings import Settings

MOST_PROBLEMS = 20  # told in the log; how many there are is told too

Stamp: TypeAlias = tuple[tuple[str, int, int, int], ...]


def files_of(settings: Settings) -> Files:
    """Those that the settings name."""
    return Files(
        settings.knowledge_dir or RULES_DATA, settings.policy_file, settings.site_codes, settings.knowledge_key
    )


def first_knowledge(settings: Settings) -> Knowledge:
    """What a process starts with; signed, where a key is named. Raises KnowledgeError."""
    files = files_of(settings)
    if files.key is None:
        return load_knowledge(files.knowledge, files.policy, files.site_codes)
    try:
        return read_files(files)
    except OSError as error:
        raise KnowledgeError([unreadable(error)]) from None


def read_files(files: Files) -> Knowledge:
    """The knowledge in them, once its signature holds. Raises KnowledgeError, OSError."""
    with copied(files) as copy:
        return loaded(copy)


@contextmanager
def copied(files: Files) -> Iterator[Files]:
    """A copy for as long as the block lasts, so that what is checked and digested is what is used. Raises OSError."""
    with tempfile.TemporaryDirectory(prefix="medsafety-") as folder:
        yield copy_files(files, Path(folder) / "files")


def loaded(files: Files) -> Knowledge:
    """The knowledge in files that stay as they are, once its signature holds. Raises KnowledgeError."""
    check_signature(files)
    return load_knowledge(files.knowledge, files.policy, files.site_codes)


def check_signature(files: Files) -> None:
    """Raises KnowledgeError when a signature is asked for and does not hold."""
    if files.key is not None:
        try:
            verify(files.knowledge, files.key)
        except KeyFileError as error:
            raise KnowledgeError([Problem(files.key.name, 1, str(error))]) from None


def copy_files(files: Files, to: Path) -> Files:
    """A copy of all of them in the new folder `to`: what every process reads, whatever becomes of the files.

    Raises OSError; then nothing of `to` is left.
    """
    to.mkdir(mode=0o700)
    try:
        root = to / "knowledge"
        for name in speaking_files(files.knowledge):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(files.knowledge / name, root / name)
        signature = files.knowledge / SIGNATURE_FILE
        if signature.is_file():
            shutil.copyfile(signature, root / SIGNATURE_FILE)
        return replace(
            files,
            knowledge=root,
            policy=None if files.policy is None else _copied(files.policy, to / "policy"),
            site_codes=None if files.site_codes is None else _copied(files.site_codes, to / "site-codes"),
        )
    except OSError:
        shutil.rmtree(to, ignore_errors=True)
        raise


def _copied(file: Path, folder: Path) -> Path:
    """Under its own name, which problems are told by."""
    folder.mkdir()
    return Path(shutil.copyfile(file, folder / file.name))


# --- when --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Watch:
    """Looks for changed files every `seconds` (0: never). A change counts once it stands still for a look."""

    files: Files
    seconds: float
    seen: Stamp = ()
    taken: Stamp = ()
    due: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if self.seconds:
            self.seen = self.taken = stamp(self.files)

    def changed(self) -> bool:
        """Whether there is something to read; true once for each change."""
        if not self.seconds or time.monotonic() < self.due:
            return False
        self.due = time.monotonic() + self.seconds
        before, self.seen = self.seen, stamp(self.files)
        if self.seen != before or self.seen == self.taken:
            return False
        self.taken = self.seen
        return True


def stamp(files: Files) -> Stamp:
    """Name, time of change, size and inode of every file there is."""
    paths = [files.knowledge / name for name in (*speaking_files(files.knowledge), SIGNATURE_FILE)]
    paths += [path for path in (files.policy, files.site_codes, files.key) if path is not None]
    stamped = []
    for path in paths:
        try:
            about = path.stat()
        except OSError:
            continue
        stamped.append((str(path), about.st_mtime_ns, about.st_size, about.st_ino))
    return tuple(stamped)


# --- replacing ---------------------------------------------------------------------------------------------------


def reload(in_use: InUse, files: Files, log: Log) -> bool:
    """Answer from what the files hold now; or log why not, and go on as before. Whether it was read."""
    try:
        with copied(files) as copy:
            standing = in_use.made_ready(loaded(copy), copy)
    except KnowledgeError as error:
        log_refused(log, error.problems)
        return False
    except OSError as error:
        log_refused(log, [unreadable(error)])
        return False
    old = in_use.now.knowledge
    in_use.now = standing
    log_reloaded(log, old, standing.knowledge)
    del old
    forget()
    return True


def unreadable(error: OSError) -> Problem:
    """A file that cannot be read, or not be copied."""
    return Problem(Path(error.filename or "").name, 1, error.strerror or "cannot be read")


def forget() -> None:
    """Free what was replaced, and let the garbage collector not look again at what replaced it."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def log_reloaded(log: Log, old: Knowledge, new: Knowledge) -> None:
    """Which digests took over. What is gone is a warning: a file cut off at the end of an entry is still a file."""
    log.info(
        "reloaded",
        knowledge=new.digest[:12],
        policy=new.policy_digest[:12],
        knowledge_before=old.digest[:12],
        policy_before=old.policy_digest[:12],
        rules=len(new.rules),
        lines=len(new.lines),
    )
    lost = sorted({each.id for each in old.rules} - {each.id for each in new.rules})
    lost += sorted(old.lines.keys() - new.lines.keys())
    if lost:
        log.warning("knowledge_lost", count=len(lost), rules_and_lines=lost[:MOST_PROBLEMS])


def log_refused(log: Log, problems: list[Problem]) -> None:
    """What is wrong with the files, by file, line and reason; the old ones stay in use."""
    for each in problems[:MOST_PROBLEMS]:
        log.error("reload_refused", file=each.file, line=each.line, reason=each.reason)
    if len(problems) > MOST_PROBLEMS:
        log.error("reload_refused", more_problems=len(problems) - MOST_PROBLEMS)
