"""`make bench-audit`: the facts of the fold against SQL windows, and whole audits; each measurement in its own process.

Both sides read the same sorted Parquet with whole-number keys and come to the same sums, or nothing is reported. The
sides take turns; memory is the most that the process ever held.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.figures import HEAD, Figure, Goal, Row, table
from tests.bench.run import PAGE, machine

MARK = "## Audit\n"
GAP = 7
_BATCH = 1 << 20
ROOT = Path(__file__).parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-audit", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="supplies that facts are made of")
    parser.add_argument("--records", type=int, default=3_000, help="records of a whole audit")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="also write the section of docs/benchmarks.md")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        kind, path = asked.child
        print(json.dumps(_CHILDREN[kind](Path(path), asked)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        text = _measured(Path(folder), asked)
    print(text)
    if asked.write:
        before = PAGE.read_text().partition(MARK)[0].rstrip("\n")
        PAGE.write_text(f"{before}\n\n{MARK}\n{text}")
    return 0


def _measured(folder: Path, asked: argparse.Namespace) -> str:
    facts = folder / "facts.parquet"
    _child("make_facts", facts, asked)
    rounds: dict[str, list[dict[str, Any]]] = {"fold": [], "sql": []}
    for _ in range(asked.rounds):
        for name, found in rounds.items():
            found.append(_child(name, facts, asked))
    sums = {json.dumps(each["sums"]) for found in rounds.values() for each in found}
    if len(sums) != 1:
        raise SystemExit(f"The facts differ: {sums}")
    seconds = {name: [each["seconds"] for each in found] for name, found in rounds.items()}
    held = {name: [each["peak"] for each in found] for name, found in rounds.items()}
    speed, memory = Figure.ratio(seconds["sql"], seconds["fold"]), Figure.ratio(held["fold"], held["sql"])
    rows = [
        Row("facts of the fold: DuckDB windows / compiled fold, seconds", speed, "x", Goal(3, 8)),
        Row("  the same, most memory, fold / DuckDB", memory, "x", Goal(1, at_most=True)),
        Row("  compiled fold, supplies a second, warm", _rate(asked.rows, seconds["fold"])),
        Row("  compiling it, once a process", Figure.of([each["compile"] for each in rounds["fold"]]), "s"),
        Row("  DuckDB, 2 threads, supplies a second", _rate(asked.rows, seconds["sql"])),
    ]
    for form in ("parquet", "csv"):
        source = folder / form
        _child(f"make_{form}", source, asked)
        whole = [_child("audit", source, asked) for _ in range(asked.rounds)]
        cpu = [each["cpu"] for each in whole]
        name = f"whole audit, {form}, records a second of CPU, one process"
        rows.append(Row(name, _rate(asked.records, cpu)))
        rows.append(Row("  the same, of time", _rate(asked.records, [each["seconds"] for each in whole])))
        rows.append(Row("  most memory", Figure.of([each["peak"] / 1e6 for each in whole]), "MB"))
    said = (
        f"Written by `make bench-audit ARGS=--write`. {machine()}\n\n{asked.rows:,} supplies for the facts (episode, "
        "days in hand, class episode, new start, shared days of two classes), the same sums from both sides; "
        f"{asked.records:,} made-up records for whole audits, which run the engine in CPython.\n\n"
    )
    return said + table(HEAD, [row.cells() for row in rows]) + "\n"


def _rate(number: int, seconds: list[float]) -> Figure:
    return Figure.of([number / each for each in seconds])


def _child(kind: str, path: Path, asked: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", kind, str(path), "--rows", str(asked.rows)]
    done = subprocess.run(
        [*command, "--records", str(asked.records)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode:
        raise SystemExit(f"{kind}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# --- what a child does -------------------------------------------------------------------------------------------


def _make_facts(path: Path, asked: argparse.Namespace) -> dict[str, Any]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tests.equivalence.compiled_fold import made

    columns: dict[str, Any] = made(asked.rows, seed=1)
    pq.write_table(pa.table({**columns, "record": np.arange(asked.rows)}), path, compression="zstd")
    return {}


def _fold(path: Path, _: argparse.Namespace) -> dict[str, Any]:
    import numpy as np
    import pyarrow.parquet as pq

    from safety_service.engine import fold
    from tests.equivalence.compiled_fold import answers, compiled, made

    began = time.perf_counter()
    answers(made(100, seed=2), GAP, compiled())
    compiling = time.perf_counter() - began
    began = time.perf_counter()
    sums = np.zeros(5, dtype=np.int64)
    named = ["patient", "start", "days", "key", "bits", "chain"]
    held = {name: np.zeros(0, dtype=np.int64) for name in named}

    def add(rows: dict[str, Any]) -> None:
        out = answers(rows, GAP, compiled())
        ordered = rows["chain"] >= 0
        sums[:3] += out[:, [fold.EPISODE_LOW, fold.IN_HAND_LOW, fold.CLASS_LOW]].sum(axis=0)
        sums[3] += np.count_nonzero(out[ordered, fold.CONTINUES] == fold.YES)
        sums[4] += out[:, fold.OBSERVED + fold.SURE_BITS].sum()

    for batch in pq.ParquetFile(path).iter_batches(batch_size=_BATCH, columns=named):
        rows = {name: np.concatenate([held[name], batch.column(name).to_numpy()]) for name in named}
        cut = int(np.searchsorted(rows["patient"], rows["patient"][-1]))  # the last patient may go on
        add({name: each[:cut] for name, each in rows.items()})
        held = {name: each[cut:] for name, each in rows.items()}
    add(held)
    return {"seconds": time.perf_counter() - began, "compile": compiling, "peak": _peak(), "sums": sums.tolist()}


def _sql(path: Path, _: argparse.Namespace) -> dict[str, Any]:
    import duckdb

    from tests.equivalence.sql_referee import FACTS

    connection = duckdb.connect(config={"threads": 2})
    began = time.perf_counter()
    connection.execute(f"create view rx as from read_parquet('{path}')")
    wanted = "sum(episode_days), sum(in_hand), sum(class_days), sum(continues::int), sum(classes)"
    found = connection.execute(f"select {wanted} from ({FACTS.format(gap=GAP)})").fetchone()
    assert found is not None
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "peak": _peak(), "sums": [int(each) for each in found]}


def _make(form: str) -> Any:
    def make(path: Path, asked: argparse.Namespace) -> dict[str, Any]:
        from safety_service.audit.synth import Plan, write
        from safety_service.knowledge.load import load_knowledge

        write(load_knowledge(), Plan(asked.records, seed=5), path, form)
        return {}

    return make


def _audit(path: Path, _: argparse.Namespace) -> dict[str, Any]:
    from safety_service.audit.run import Options, audit
    from safety_service.knowledge.load import load_knowledge

    knowledge = load_knowledge()
    with tempfile.TemporaryDirectory() as out:
        began, cpu = time.perf_counter(), time.process_time()
        audit(Options((str(path),), Path(out)), None, knowledge)
        return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu, "peak": _peak()}


def _peak() -> int:
    """Bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


_CHILDREN = {
    "make_facts": _make_facts,
    "fold": _fold,
    "sql": _sql,
    "make_parquet": _make("parquet"),
    "make_csv": _make("csv"),
    "audit": _audit,
}


if __name__ == "__main__":
    sys.exit(main())
