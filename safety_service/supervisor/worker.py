"""A worker: the server of `safety_service.server.serve` on a shared port and one core, under a supervisor.

SIGTERM drains it, a second one ends it at once. It drains too when the supervisor is gone.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType

from safety_service.knowledge.load import load_knowledge
from safety_service.knowledge.read import KnowledgeError
from safety_service.server.access_log import open_log
from safety_service.server.admin import open_admin
from safety_service.server.in_use import Files, Standing
from safety_service.server.metrics import gather_in
from safety_service.server.reload import forget, log_reloaded, unreadable
from safety_service.server.serve import LOOK_SECONDS, CannotServeError, Serving, start
from safety_service.server.settings import Settings
from safety_service.supervisor.messages import (
    METRICS,
    Commit,
    Discard,
    Failed,
    Leave,
    Prepare,
    Prepared,
    Ready,
    Refused,
    Serve,
    Spent,
)

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MB = 1_000_000
ASK_AGAIN_SECONDS = 60.0  # while it is spent and nobody has come in its place


def main() -> None:
    """Serve as the first message says."""
    asked: list[int] = []

    def hear(signal_number: int, frame: FrameType | None) -> None:
        asked.append(signal_number)

    signal.signal(signal.SIGTERM, hear)
    for each in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(each, signal.SIG_IGN)  # they reach the whole group; the supervisor decides
    supervisor: Connection = Connection(int(sys.argv[1]))
    told = supervisor.recv()
    assert isinstance(told, Serve)
    os.sched_setaffinity(0, {told.core})  # before there is a thread
    settings = told.settings
    if settings.metrics_listen:
        gather_in(told.room / METRICS)
    log = open_log(settings.log_level, settings.log_format, worker=told.number)
    try:
        # From here on the files are those of the supervisor's copy, for the archive of decisions too.
        settings = settings.model_copy(
            update={
                "knowledge_dir": told.files.knowledge,
                "policy_file": told.files.policy,
                "site_codes": told.files.site_codes,
            }
        )
        knowledge = load_knowledge(told.files.knowledge, told.files.policy, told.files.site_codes)
        serving = start(settings, knowledge, log, shared=True)
    except KnowledgeError as error:
        supervisor.send(Refused(tuple(error.problems)))
        return
    except CannotServeError as error:
        supervisor.send(Failed(str(error)))
        return
    del knowledge
    private = None
    if settings.admin_listen:
        private, _ = open_admin(f"unix:{told.room}/worker-{told.number}-{os.getpid()}.sock", serving.health, None)
    forget()
    supervisor.send(Ready(serving.address))
    _serve(serving, supervisor, settings, asked)
    serving.drain(lambda: len(asked) > 1)
    if private is not None:
        private.stop(0)
    log.info("stopped")


def _serve(serving: Serving, supervisor: Connection, settings: Settings, asked: list[int]) -> None:
    """Until it is asked to stop, or has left: hear the supervisor, and tell when it is spent."""
    waiting = _Waiting(serving, supervisor)
    ask_at = 0.0
    while not asked and not waiting.has_left():
        now = time.monotonic()
        reason = _spent(serving, settings) if now >= ask_at else ""
        try:
            if reason:
                ask_at = now + ASK_AGAIN_SECONDS
                supervisor.send(Spent(reason))
            if supervisor.poll(LOOK_SECONDS):
                waiting.hear(supervisor.recv())
        except (EOFError, OSError):
            serving.log.error("supervisor_gone")
            return


@dataclass(slots=True)
class _Waiting:
    """What the supervisor asks for, and the knowledge that is ready to take over."""

    serving: Serving
    supervisor: Connection
    ready: Standing | None = None
    leave_by: float | None = None

    def has_left(self) -> bool:
        """Whether nobody is connected any more, or has had the time to go."""
        return self.leave_by is not None and (time.monotonic() > self.leave_by or not self.serving.connected())

    def hear(self, message: object) -> None:
        in_use = self.serving.gate.in_use
        match message:
            case Prepare(files):
                self.supervisor.send(self._prepare(files))
            case Commit() if self.ready is not None:
                old = in_use.now.knowledge
                in_use.now, self.ready = self.ready, None
                log_reloaded(self.serving.log, old, in_use.now.knowledge)
                del old
                forget()
            case Discard():
                self.ready = None
            case Leave():
                self.serving.stop_listening()
                self.leave_by = time.monotonic() + leave_seconds(self.serving.settings)
                self.serving.log.info("leaving", connections=self.serving.connected())

    def _prepare(self, files: Files) -> Prepared | Refused:
        try:
            knowledge = load_knowledge(files.knowledge, files.policy, files.site_codes)
            self.ready = self.serving.gate.in_use.made_ready(knowledge, files)
        except KnowledgeError as error:
            return Refused(tuple(error.problems))
        except OSError as error:
            return Refused((unreadable(error),))
        return Prepared()


def _spent(serving: Serving, settings: Settings) -> str:
    """Why it should be replaced; "" while it should not."""
    calls = serving.gate.begun.calls
    if settings.recycle_calls and calls >= settings.recycle_calls:
        return f"{calls} calls"
    if settings.recycle_mb:
        held = resident_bytes() // MB
        if held > settings.recycle_mb:
            return f"{held} MB"
    return ""


def leave_seconds(settings: Settings) -> float:
    """In which all connections have come of age; gRPC spreads their ages by a tenth."""
    return settings.connection_seconds * 1.1 + 1 if settings.connection_seconds else 0.0


def resident_bytes() -> int:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


if __name__ == "__main__":
    main()
