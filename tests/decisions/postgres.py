"""A PostgreSQL server of the test's own: on a socket in its folder, without a port, gone with the test."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
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
        options = f"-c listen_addresses='' -c unix_socket_directories={self._folder} -c fsync=off"
        self._run("pg_ctl", "-D", data, "-w", "-s", "-o", options, "start")
        return self

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
