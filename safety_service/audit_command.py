"""The commands `audit` and `synth`: what the options mean, how far it is, and what is said at the end."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from safety_service.knowledge.knowledge import Knowledge

if TYPE_CHECKING:
    from safety_service.audit.run import Progress as Told

_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([KMG]?)i?B?", re.IGNORECASE)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_LEAST_MEMORY = 64 << 20
_EXTRAS = {"numpy": "audit", "pyarrow": "audit", "pyspark": "spark", "pandas": "spark"}
_TABLES = ("medications", "conditions", "labs", "care", "allergies")


class CannotAuditError(Exception):
    """Why there is no result, and what the command ends with."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@contextmanager
def _extra() -> Iterator[None]:
    """Names the extra to install when a package of it is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        text = f"{error.name} is not installed: pip install 'medication-safety-service[{extra}]'"
        raise CannotAuditError(text, 4) from None


def run_audit(
    *,
    inputs: Sequence[str],
    out: Path,
    map_file: Path | None,
    memory: str,
    workers: int,
    engine: str,
    master: str,
    statuses: bool,
    partial: Sequence[str],
    disclosure: str,
    prescribers: bool,
    verify_inputs: bool = False,
    knowledge_dir: Path | None,
    policy_file: Path | None,
) -> str:
    """Audits and returns what to print. Raises CannotAuditError."""
    with _extra():
        from safety_service.audit import run
        from safety_service.audit.column_map import MapError
        from safety_service.audit.disclosure import PROFILES
        from safety_service.audit.files import InputError, OutputError
    for table in partial:
        if table not in _TABLES:
            raise CannotAuditError(f"--partial: {table!r} is none of {', '.join(_TABLES)}", 2)
    if disclosure not in PROFILES:
        raise CannotAuditError(f"--disclosure: {disclosure!r} is none of {', '.join(PROFILES)}", 2)
    if engine not in run.ENGINES:
        raise CannotAuditError(f"--engine: {engine!r} is none of {', '.join(run.ENGINES)}", 2)
    if master and engine != "spark":
        raise CannotAuditError("--master is of --engine spark", 2)
    options = run.Options(
        inputs=tuple(inputs),
        out=out,
        map_file=map_file,
        memory=_bytes(memory),
        workers=workers,
        engine=engine,
        master=master,
        statuses=statuses,
        partial=frozenset(partial),
        disclosure=disclosure,
        prescribers=prescribers,
        verify_inputs=verify_inputs,
        knowledge_dir=knowledge_dir,
        policy_file=policy_file,
    )
    try:
        with _extra(), _progress() as told:
            manifest = run.audit(options, told)
    except (InputError, MapError) as error:
        raise CannotAuditError(str(error), 1) from None
    except OutputError as error:
        raise CannotAuditError(f"The results cannot be written: {error}", 4) from None
    except run.DoesNotBalanceError as error:
        raise CannotAuditError(f"The records do not balance, so the results are not to be used: {error}", 4) from None
    return _summary(manifest, out, run.law_text(manifest["conservation"]))


def run_synth(knowledge: Knowledge, *, out: Path, rows: int, form: str, seed: int, broken: float) -> None:
    """Writes made-up records. Raises CannotAuditError."""
    with _extra():
        from safety_service.audit import synth
    if form not in synth.FORMS:
        raise CannotAuditError(f"--format: {form!r} is none of {', '.join(synth.FORMS)}", 2)
    try:
        synth.write(knowledge, synth.Plan(rows, seed, broken), out, form)
    except OSError as error:
        raise CannotAuditError(f"{error.filename or out}: {error.strerror or error}", 4) from None


def _bytes(said: str) -> int:
    found = _MEMORY.fullmatch(said.strip())
    if found is None:
        raise CannotAuditError(f"--memory: {said!r} is not a size such as 500MB or 2GB", 2)
    size = int(float(found[1]) * _UNITS[found[2].upper()])
    if size < _LEAST_MEMORY:
        raise CannotAuditError("--memory: at least 64MB", 2)
    return size


class _Bar:
    """A bar of rows done, their rate and the time left."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def stage(self, name: str, total: int) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=self._progress.tasks[self._task].total)
        unit = "MB" if name == "Reading" else "rows"
        self._task = self._progress.add_task(name, total=total, unit=unit)

    def advance(self, done: int) -> None:
        if self._task is not None:
            self._progress.advance(self._task, done)


class _Amount(TextColumn):
    """`120,000 of 400,000 rows, 14,000/s`."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Any) -> Any:
        from rich.text import Text

        scale = 1e6 if task.fields["unit"] == "MB" else 1
        done, total = task.completed / scale, (task.total or 0) / scale
        return Text(f"{done:,.0f} of {total:,.0f} {task.fields['unit']}, {(task.speed or 0) / scale:,.0f}/s")


@contextmanager
def _progress() -> Iterator[Told | None]:
    """A bar on a terminal; nothing where nobody looks."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("{task.description:9}"), BarColumn(), _Amount(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield _Bar(progress)


def _summary(manifest: Mapping[str, Any], out: Path, law: str) -> str:
    checked = sum(manifest["checked_records"].values())
    lines = [
        f"{manifest['alerts']:,} alerts on {checked:,} records checked",
        law,
    ]
    if manifest["rejected"]:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in manifest["rejected"].items())
        lines.append(f"rejected: {reasons}")
    lines.append(f"results in {out}; read {out / 'report.html'} first")
    return "\n".join(lines)
