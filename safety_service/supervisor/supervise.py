"""The supervisor: one pinned worker for each core on one port. It never makes a gRPC object, so it can start others.

SIGTERM and SIGINT drain all workers, a second one ends them at once. SIGHUP reads the knowledge anew, in all of them or
in none. SIGUSR2 replaces one worker after the other: each newcomer answers before the one it replaces drains.

Workers read a private copy of the knowledge: one that starts later starts with what the others answer from, whatever
has become of the files.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType

from safety_service import __version__
from safety_service.knowledge.read import KnowledgeError, Problem
from safety_service.server.access_log import Log, open_log
from safety_service.server.in_use import Files
from safety_service.server.reload import Watch, check_signature, copy_files, files_of, log_refused, unreadable
from safety_service.server.serve import QUIET_SECONDS, CannotServeError, check_exposure
from safety_service.server.settings import Settings
from safety_service.supervisor.messages import (
    METRICS,
    Administer,
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
    State,
)
from safety_service.supervisor.worker import leave_seconds

LOOK_SECONDS = 0.1
START_SECONDS = 120.0  # a worker that takes longer is given up
PREPARE_SECONDS = 120.0  # and so is one that takes longer to read new knowledge
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 30.0  # before a dead worker is started again, doubling
STEADY_SECONDS = 60.0  # a worker that lived so long died of something new
END_SECONDS = 5.0  # beyond its own time to drain, before it is killed

_STOPS = (signal.SIGTERM, signal.SIGINT)
_WORKER, _ADMIN = "safety_service.supervisor.worker", "safety_service.supervisor.admin"


class Phase(Enum):
    """What a worker is doing."""

    STARTING = "starting"
    SERVING = "serving"
    LEAVING = "leaving"


@dataclass(slots=True, eq=False)
class Child:
    """A process of the supervisor, and the socket they talk over."""

    process: subprocess.Popen[bytes]
    line: Connection
    number: int
    began: float = field(default_factory=time.monotonic)
    phase: Phase = Phase.STARTING
    kill_at: float = float("inf")
    answer: Prepared | Refused | None = None  # to the last Prepare
    failure: Refused | Failed | None = None  # why it could not serve
    address: str = ""
    metrics: str = ""

    def say(self, message: object) -> None:
        """A child that is gone is noticed elsewhere."""
        with suppress(OSError):
            self.line.send(message)

    def drain(self, seconds: float) -> None:
        """Let it end; it is killed if it has not ended by then."""
        self.phase = Phase.LEAVING
        self.kill_at = time.monotonic() + seconds
        self.process.terminate()


@dataclass(slots=True, eq=False)
class Place:
    """A number and a core, and the worker that holds it."""

    number: int
    core: int
    worker: Child | None = None
    pause: float = 0.0  # before the next start
    due: float = 0.0


def supervise(settings: Settings) -> None:
    """Serve with `settings.workers` processes until SIGTERM or SIGINT.

    Raises KnowledgeError when the knowledge is refused at the start, CannotServeError when the address is.
    """
    log = open_log(settings.log_level, settings.log_format)
    check_exposure(settings, log)  # before any process listens
    asked: list[int] = []

    def hear(signal_number: int, frame: FrameType | None) -> None:
        asked.append(signal_number)  # nothing that takes a lock

    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(each, hear)
    with _reserved(settings.listen) as address, tempfile.TemporaryDirectory(prefix="medsafety-") as room:
        shared = settings.model_copy(update={"listen": address})
        Supervisor(shared, log, Path(room), asked).run()


@contextmanager
def _reserved(listen: str) -> Iterator[str]:
    """The address with its port, kept for this process and those it starts. Raises CannotServeError.

    Workers share the port by SO_REUSEPORT, which lets any process of the same user in. So it is taken alone first: that
    fails if another server is on it, and the socket, which never listens, holds a port that was chosen by 0.
    """
    host, colon, port = listen.rpartition(":")
    if not colon or listen.startswith("unix:"):
        raise CannotServeError(f"cannot serve on {listen}: several workers need HOST:PORT")
    try:
        if int(port) >= 1 << 16:
            raise ValueError("no such port")
        family, kind, protocol, _, where = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as kept:
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what the last server left behind may be there
            kept.bind(where)
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            yield f"{host}:{kept.getsockname()[1]}"
    except (OSError, ValueError) as error:
        raise CannotServeError(f"cannot serve on {listen}: {error}") from None


class Supervisor:
    """Starts, watches, replaces and stops the workers; all in one thread, which looks around every LOOK_SECONDS."""

    def __init__(self, settings: Settings, log: Log, room: Path, asked: list[int]) -> None:
        cores = sorted(os.sched_getaffinity(0))
        self.settings = settings
        self.log = log
        self.room = room
        self.asked = asked  # signals that came in
        self.source = files_of(settings)
        self.watch = Watch(self.source, settings.watch_seconds)
        self.copies = 0
        self.files = self.source  # a copy, once the workers start
        self.places = [Place(i, cores[i % len(cores)]) for i in range(settings.workers)]
        self.newcomer: Child | None = None
        self.leaving: list[Child] = []
        self.to_replace: deque[tuple[Place, str]] = deque()
        self.admin: Child | None = None
        self.admin_place = Place(-1, -1)
        self.state = self.told = State()
        # How long a worker that was told to end may take.
        self.drain_seconds = settings.drain_seconds + QUIET_SECONDS + settings.grace_seconds + END_SECONDS

    def run(self) -> None:
        """Until it is asked to stop and all have ended. Raises KnowledgeError, CannotServeError."""
        try:
            self._start_all()
            while not self._stopping():
                self._look(respawn=True)
                if self._heard(signal.SIGHUP) or self.watch.changed():
                    self._reload()
                if self._heard(signal.SIGUSR2):
                    self._ask_to_replace(self.places, "restart")
                if self.to_replace and not self.leaving:  # one after the other
                    self._replace(*self.to_replace[0])
        finally:
            self._stop_all()
        self.log.info("stopped")

    def _stopping(self) -> bool:
        return any(each in _STOPS for each in self.asked)

    def _heard(self, signal_number: int) -> bool:
        """Whether this signal came since it was asked; several count as one."""
        heard = signal_number in self.asked
        while signal_number in self.asked:
            self.asked.remove(signal_number)
        return heard

    # --- starting and stopping -----------------------------------------------------------------------------------

    def _start_all(self) -> None:
        try:
            self.files = self._copy()
        except OSError as error:
            raise KnowledgeError([unreadable(error)]) from None
        (self.room / METRICS).mkdir()
        if self._administers():
            self.admin = admin = self._admin()
            self._until(lambda: admin.phase is Phase.SERVING or _ended(admin))
            if admin.phase is not Phase.SERVING and not self._stopping():
                raise CannotServeError(_why(admin))
        for place in self.places:
            place.worker = self._worker(place)
        workers = [each.worker for each in self.places if each.worker is not None]
        self._until(lambda: all(each.phase is Phase.SERVING or _ended(each) for each in workers))
        for each in workers:
            if isinstance(each.failure, Refused):
                raise KnowledgeError(list(each.failure.problems))
            if each.failure is not None or (_ended(each) and not self._stopping()):
                raise CannotServeError(_why(each))
        if not self._stopping():
            self.log.info(
                "supervising",
                address=self.settings.listen,
                admin="" if self.admin is None else self.admin.address,
                metrics="" if self.admin is None else self.admin.metrics,
                version=__version__,
                workers=[each.process.pid for each in workers],
                cores=[each.core for each in self.places],
            )

    def _stop_all(self) -> None:
        """NOT_SERVING at the admin port, then all workers drain at once."""
        self._tell_state(stopping=True)
        for place in self.places:
            if place.worker is not None:
                self.leaving.append(place.worker)
                place.worker = None
        if self.newcomer is not None:
            self.leaving.append(self.newcomer)
            self.newcomer = None
        for each in self.leaving:  # once each: the second time would end it at once
            each.drain(self.drain_seconds)
        self.log.info("draining", workers=len(self.leaving))
        hurried = False
        while self.leaving:
            self._look(respawn=False)
            if not hurried and sum(each in _STOPS for each in self.asked) > 1:
                hurried = True
                for each in self.leaving:
                    each.process.terminate()  # the second time
        if self.admin is not None:
            self.admin.line.close()
            with suppress(subprocess.TimeoutExpired):
                self.admin.process.wait(END_SECONDS)
            self.admin.process.kill()
            self.admin.process.wait()

    def _worker(self, place: Place) -> Child:
        child = _child(_WORKER, place.number)
        child.say(Serve(self.settings, self.files, place.number, place.core, self.room))
        return child

    def _administers(self) -> bool:
        return bool(self.settings.admin_listen or self.settings.metrics_listen)

    def _count(self, what: str) -> None:
        self.state = replace(self.state, **{what: getattr(self.state, what) + 1})

    def _admin(self) -> Child:
        child = _child(_ADMIN, -1)
        child.say(Administer(self.settings, self.room))
        return child

    # --- looking around ------------------------------------------------------------------------------------------

    def _children(self) -> list[Child]:
        held = [each.worker for each in self.places] + [self.newcomer, self.admin]
        return [each for each in held if each is not None] + self.leaving

    def _until(self, true: Callable[[], bool], seconds: float = START_SECONDS, respawn: bool = False) -> bool:
        """Look around until it is so, the time is over, or all is to stop; whether it is so."""
        end = time.monotonic() + seconds
        while not true():
            if self._stopping() or time.monotonic() > end:
                return False
            self._look(respawn)
        return True

    def _look(self, respawn: bool) -> None:
        """Hear what the children say, for a moment; notice who has ended."""
        lines = {each.line: each for each in self._children() if not each.line.closed}
        for ready in wait(list(lines), LOOK_SECONDS):
            assert isinstance(ready, Connection)
            self._listen(lines[ready])
        now = time.monotonic()
        for child in [each for each in self._children() if now > each.kill_at]:
            child.process.kill()
        for child in [each for each in self.leaving if _ended(each)]:
            self.leaving.remove(child)
            child.line.close()
            self.log.info("worker_left", worker=child.number, pid=child.process.pid, **_ending(child))
        if respawn:
            self._respawn(now)
        self._tell_state()

    def _respawn(self, now: float) -> None:
        """Start again who died without being asked to, after a pause that doubles."""
        for place in self.places:
            if place.worker is not None and _ended(place.worker):
                self._died(place, place.worker, now)
                place.worker = None
            elif place.worker is not None and place.worker.phase is Phase.STARTING:
                place.worker.kill_at = place.worker.began + START_SECONDS
            if place.worker is None and now >= place.due:
                place.worker = self._worker(place)
        if self.admin is not None and _ended(self.admin):
            self._died(self.admin_place, self.admin, now)
            self.admin = None
        if self._administers() and self.admin is None and now >= self.admin_place.due:
            self.admin = self._admin()
            self.told = State()

    def _died(self, place: Place, child: Child, now: float) -> None:
        self._count("deaths")
        steady = now - child.began > STEADY_SECONDS
        place.pause = FIRST_PAUSE_SECONDS if steady or not place.pause else min(place.pause * 2, LONGEST_PAUSE_SECONDS)
        place.due = now + place.pause
        child.line.close()
        self.log.error(
            "process_died",
            process="admin" if child.number < 0 else "worker",
            worker=child.number,
            pid=child.process.pid,
            reason="" if child.failure is None else _why(child),
            again_in_seconds=place.pause,
            **_ending(child),
        )

    def _listen(self, child: Child) -> None:
        try:
            message = child.line.recv()
        except (EOFError, OSError):
            child.line.close()
            return
        match message:
            case Ready(address, metrics):
                child.address, child.metrics = address, metrics
                if child.phase is Phase.STARTING:
                    child.phase, child.kill_at = Phase.SERVING, float("inf")
            case Prepared():
                child.answer = message
            case Refused() | Failed() if child.phase is Phase.STARTING:
                child.failure = message
            case Refused():
                child.answer = message
            case Spent(reason) if child.phase is Phase.SERVING:
                self._ask_to_replace([each for each in self.places if each.worker is child], reason)

    def _tell_state(self, stopping: bool = False) -> None:
        workers = [each.worker for each in self.places if each.worker is not None]
        serving = tuple((each.number, each.process.pid) for each in workers if each.phase is Phase.SERVING)
        self.state = replace(self.state, serving=serving, stopping=stopping or self.state.stopping)
        if self.admin is not None and self.state != self.told and self.admin.phase is Phase.SERVING:
            self.admin.say(self.state)
            self.told = self.state

    # --- replacing workers ---------------------------------------------------------------------------------------

    def _ask_to_replace(self, places: list[Place], reason: str) -> None:
        """Each once: a place that waits for it, or is being replaced, is passed over."""
        waiting = [place for place, _ in self.to_replace]
        self.to_replace.extend((each, reason) for each in places if each not in waiting)

    def _replace(self, place: Place, reason: str) -> None:
        """A newcomer on the same core; the old one drains once it answers. If it does not, the old one stays.

        The place is the first of `to_replace` until then.
        """
        self.newcomer = newcomer = self._worker(place)
        self._until(lambda: newcomer.phase is Phase.SERVING or _ended(newcomer), respawn=True)
        if newcomer.phase is not Phase.SERVING:
            if not self._stopping():
                self.newcomer = None
                newcomer.process.kill()
                newcomer.process.wait()
                newcomer.line.close()
                self.to_replace.clear()
                self.log.error("replacing_failed", worker=place.number, reason=_why(newcomer))
            return
        self.to_replace.popleft()
        old, place.worker, self.newcomer = place.worker, newcomer, None
        self._count("replaced")
        self.log.info("replacing", worker=place.number, pid=newcomer.process.pid, reason=reason)
        if old is not None:
            old.phase = Phase.LEAVING
            old.kill_at = time.monotonic() + leave_seconds(self.settings) + self.drain_seconds
            old.say(Leave())
            self.leaving.append(old)

    # --- replacing knowledge -------------------------------------------------------------------------------------

    def _copy(self) -> Files:
        """A private copy of the files as they are now, signature checked. Raises KnowledgeError, OSError."""
        self.copies += 1
        copied = copy_files(self.source, self.room / f"files-{self.copies}")
        try:
            check_signature(copied)
        except KnowledgeError:
            self._remove_copy(copied)
            raise
        return copied

    def _remove_copy(self, files: Files) -> None:
        shutil.rmtree(files.knowledge.parent, ignore_errors=True)

    def _reload(self) -> None:
        """All workers read the files; when all have found them good, all use them. Else all go on as before."""
        self._until(
            lambda: not any(w is not None and w.phase is Phase.STARTING and not _ended(w) for w in self._held())
        )
        try:
            copied = self._copy()
        except KnowledgeError as error:
            self._refuse(error.problems)
            return
        except OSError as error:
            self._refuse([unreadable(error)])
            return
        workers = [each for each in self._held() if each is not None and each.phase is Phase.SERVING]
        workers += self.leaving  # they answer until their last connection has gone
        for each in workers:
            each.answer = None
            each.say(Prepare(copied))
        self._until(lambda: all(each.answer is not None or _ended(each) for each in workers), PREPARE_SECONDS)
        refused = [each.answer for each in workers if isinstance(each.answer, Refused)]
        if refused or self._stopping() or not any(each.answer for each in workers):
            for each in workers:
                each.say(Discard())
            self._remove_copy(copied)
            self._refuse(list(refused[0].problems) if refused else [Problem("", 1, "no worker could read the files")])
            return
        for each in workers:
            if each.answer is None:
                each.process.kill()  # it would answer from the old ones; its successor will not
            else:
                each.say(Commit())
        old, self.files = self.files, copied
        self._remove_copy(old)
        self._count("reloads")
        self.log.info("reloaded_all", workers=len(workers))

    def _refuse(self, problems: list[Problem]) -> None:
        self._count("reloads_refused")
        log_refused(self.log, problems)

    def _held(self) -> list[Child | None]:
        return [each.worker for each in self.places]


def _child(module: str, number: int) -> Child:
    """A fresh interpreter; nothing is inherited but the environment, standard streams and one end of the line."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(theirs.fileno())], stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),)
        )
    return Child(process, Connection(ours.detach()), number)


def _ended(child: Child) -> bool:
    return child.process.poll() is not None


def _ending(child: Child) -> dict[str, int | str]:
    """How it ended: by exit code, or by a signal's name."""
    code = child.process.returncode
    return {"signal": signal.Signals(-code).name} if code is not None and code < 0 else {"exit_code": code or 0}


def _why(child: Child) -> str:
    match child.failure:
        case Refused(problems):
            return "; ".join(map(str, problems))
        case Failed(reason):
            return reason
    return f"process {child.process.pid} did not come up"
