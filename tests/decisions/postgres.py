"""A PostgreSQL server of the test's own: on a socket in its folder, without a port, gone with the test."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

import pytest

_NUMBERS = itertools.count(1)
_USER = "postgres"  # Debian's; PostgreSQL does not run as root


def _programs() -> Path | None:
    """The folder of initdb and pg_ctl."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    on_path = shutil.which("initdb")
    return found[0].parent if found else Path(on_path).parent if on_path else None


def _runs_in(folder: Path, process: Path) -> bool:
    """Every process of PostgreSQL works in its data folder; one that has ended and is not yet reaped, nowhere."""
    try:
        return Path(os.readlink(process / "cwd")) == folder
    except OSError:
        return False


class Postgres:
    """Runs while it is entered."""

    def __init__(self) -> None:
        programs = _programs()
        if programs is None:
            pytest.skip("needs postgresql")
        self._programs = programs
        # A path of a socket has at most 107 characters, and the folders of pytest may be root's alone.
        temporary = Path(os.path.realpath(os.environ.get("TMPDIR", "/tmp")))
        self._folder = temporary / f"pg-{os.getpid()}-{next(_NUMBERS)}"

    def _run(self, program: str, *arguments: str) -> None:
        options: dict[str, object] = {}
        if os.geteuid() == 0:
            options = {"user": _USER, "group": pwd.getpwnam(_USER).pw_gid, "extra_groups": []}
        subprocess.run(  # type: ignore[call-overload]
            [self._programs / program, *arguments],
            check=True,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            **options,
        )

    def __enter__(self) -> Postgres:
        self._folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(self._folder, _USER)
        data = str(self._folder / "data")
        self._run("initdb", "-D", data, "-U", _USER, "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions")
        self.start()
        return self

    def start(self) -> None:
        """After `kill`, too: it then refuses for as long as one of the processes before it has not quite gone."""
        options = f"-c listen_addresses='' -c unix_socket_directories={self._folder} -c fsync=off"
        until = time.monotonic() + 60
        while True:
            try:
                return self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-s", "-o", options, "start")
            except subprocess.CalledProcessError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def kill(self) -> None:
        """kill -9 of the postmaster; returns when all of its processes have noticed."""
        postmaster = int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)
        until = time.monotonic() + 60
        while any(_runs_in(self._folder / "data", each) for each in Path("/proc").glob("[0-9]*")):
            assert time.monotonic() < until, "PostgreSQL lives on"
            time.sleep(0.01)

    @contextmanager
    def frozen(self, most_seconds: float = 30) -> Iterator[threading.Timer]:
        """SIGSTOP of the postmaster and all of its processes, for as long as the timer given is alive."""
        stopped: list[int] = []

        def tell(process: int, number: signal.Signals) -> None:
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(process, number)

        def go_on() -> None:
            for each in stopped:
                tell(each, signal.SIGCONT)

        timer = threading.Timer(most_seconds, go_on)
        timer.start()
        try:
            # The postmaster first: it starts no other ones then.
            stopped.append(int((self._folder / "data" / "postmaster.pid").read_text().split()[0]))
            tell(stopped[0], signal.SIGSTOP)
            stopped += [
                int(each.name) for each in Path("/proc").glob("[0-9]*") if _runs_in(self._folder / "data", each)
            ]
            for each in stopped:
                tell(each, signal.SIGSTOP)
            yield timer
        finally:
            timer.cancel()
            go_on()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-m", "immediate", "-s", "stop")
        shutil.rmtree(self._folder)

    def address(self, name: str) -> str:
        return f"postgresql://{_USER}@/{name}?host={self._folder}"

    def new_database(self) -> str:
        import psycopg

        name = f"index_{next(_NUMBERS)}"
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.address(name)
