"""New rows into the results of an earlier audit, as a payer has them each night: how long it takes, phase by phase.

The made-up records are parted by day, so that the new ones are of the last days, as they come. Seconds count from when
the knowledge is loaded to when the results are in place; those of a phase are wall time, and CPU time of the process.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure, Goal, Row

SHARES = (0.05, 0.3)  # of relaxants among the records: a payer's file of all drugs, and one that was narrowed to some
# By phase, what of the audit is its time: (module or class, function). Checking records lies within checking buckets.
_PHASES = {
    "know the files": (("safety_service.audit.run", "_named"),),
    "read the new file": (("safety_service.audit.run", "_read"),),
    "put the buckets' results together with what is new": (("safety_service.audit.run", "_check_buckets"),),
    "of that, check records": (
        ("safety_service.audit.batch:Checker", "check"),
        ("safety_service.audit.batch:Checker", "found"),
        ("safety_service.audit.batch:Checker", "without_plain"),
    ),
    "write the outputs": (("safety_service.audit.run", "_put_together"),),
    "of that, measures": (("safety_service.audit.run", "_write_measures"),),
    "of that, the report": (
        ("safety_service.audit.run", "report_counts"),
        ("safety_service.audit.run", "report_page"),
    ),
}


def make_store(path: Path, rows: int, new: int, share: float) -> None:
    """Records in `path/in`, their results in `path/out`, and then a file more in `path/in`; `share`: of a relaxant."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from safety_service.audit import synth
    from safety_service.audit.run import Options, audit
    from safety_service.knowledge.load import load_knowledge

    knowledge = load_knowledge()
    drugs = synth.drugs_of(knowledge)
    weights = drugs.weights.copy()
    relaxant = np.array([dose > 0 for dose in drugs.doses])
    for part, which in ((share, relaxant), (1 - share, ~relaxant)):
        weights[which] *= part / weights[which].sum()
    drugs = drugs._replace(weights=weights)
    with _replaced(synth, "drugs_of", lambda _: drugs):
        synth.write(knowledge, synth.Plan(rows + new, seed=5), path / "in", "parquet")
    whole = path / "in" / "medications.parquet"
    table = pq.read_table(whole)
    day = pc.coalesce(table.column("dispensed_on"), table.column("ordered_on")).cast(pa.date32()).cast(pa.int32())
    order = np.argsort(day.to_numpy(), kind="stable")
    pq.write_table(table.take(pa.array(np.sort(order[:-new]))), whole, compression="zstd")
    time.sleep(2.1)  # a file that was just written is not taken as known by its times
    audit(Options((str(path / "in"),), path / "out"), None, knowledge)
    pq.write_table(table.take(pa.array(np.sort(order[-new:]))), path / "in" / "night.parquet", compression="zstd")


def rows_of_table(rounds: Sequence[dict[str, Any]], rows: int, new: int, share: float) -> list[Row]:
    """The lines of the table of figures."""
    whole = Figure.of([each["wall"]["all"] for each in rounds])
    name = f"whole audit: a night of {new:,} new rows onto {rows:,}, {share:.0%} of relaxants, after start-up"
    found = [Row(name, whole, "s", Goal(1, at_most=True))]
    found.append(Row("  the same, CPU time", Figure.of([each["cpu"]["all"] for each in rounds]), "s"))
    found += [Row(f"  {phase}, CPU time", Figure.of([each["cpu"][phase] for each in rounds]), "s") for phase in _PHASES]
    return found


def one_night(path: Path) -> dict[str, Any]:
    """Seconds by phase, wall and CPU, of the new file into a copy of the results."""
    from safety_service.audit.run import Options, audit
    from safety_service.knowledge.load import load_knowledge

    knowledge = load_knowledge()
    with tempfile.TemporaryDirectory(dir=path) as folder:
        out = Path(folder) / "out"
        shutil.copytree(path / "out", out)
        wall: dict[str, float] = defaultdict(float)
        cpu: dict[str, float] = defaultdict(float)
        with _timed(wall, cpu), ExitStack() as stack:
            _clock(stack, "all", wall, cpu)
            manifest = audit(Options((str(path / "in"),), out), None, knowledge)
        return {"wall": wall, "cpu": cpu, "outputs": manifest["outputs"]}


@contextmanager
def _timed(wall: dict[str, float], cpu: dict[str, float]) -> Iterator[None]:
    """The functions of the phases are timed while it lasts."""
    from importlib import import_module

    with ExitStack() as stack:
        for phase, functions in _PHASES.items():
            for place, name in functions:
                module, _, inside = place.partition(":")
                owner = import_module(module)
                if inside:
                    owner = getattr(owner, inside)
                plain = getattr(owner, name)
                stack.enter_context(_replaced(owner, name, _clocked(plain, phase, wall, cpu)))
        yield


def _clocked(
    plain: Callable[..., Any], phase: str, wall: dict[str, float], cpu: dict[str, float]
) -> Callable[..., Any]:
    def timed(*given: Any, **named: Any) -> Any:
        with ExitStack() as stack:
            _clock(stack, phase, wall, cpu)
            return plain(*given, **named)

    return timed


def _clock(stack: ExitStack, phase: str, wall: dict[str, float], cpu: dict[str, float]) -> None:
    """Adds to a phase what passes until the stack is closed."""
    began, of_process = time.perf_counter(), time.process_time()

    def stop() -> None:
        wall[phase] += time.perf_counter() - began
        cpu[phase] += time.process_time() - of_process

    stack.callback(stop)


@contextmanager
def _replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
