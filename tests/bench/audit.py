"""`make bench-audit`: the facts of the fold against SQL windows, and whole audits; each measurement in its own process.

Both sides read the same files and come to the same sums, or nothing is reported: sorted Parquet with whole-number keys,
then CSV in no order with keys that are text. The sides take turns; memory is the most that the process ever held.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

# An installed package (textstat) brings a `tests` of its own, which would hide ours.
sys.modules["tests"] = ModuleType("tests")
sys.modules["tests"].__path__ = [str(Path(__file__).parents[1])]

from tests.bench import night
from tests.bench.figures import HEAD, Figure, Goal, Row, table
from tests.bench.run import PAGE, machine

if TYPE_CHECKING:
    from safety_service.audit.buckets import Bucket
    from safety_service.knowledge.knowledge import Knowledge

MARK = "## Audit\n"
GAP = 7
_BATCH = 1 << 20
_PIECE = 5_000_000  # supplies made at once
_SOURCES = {
    "fold": "sorted Parquet, whole-number keys, warm",
    "fold_text": "CSV in no order, text keys, compiled in that time",
}
DRUGS = ("one", "two", "three", "four", "five", "opioid", "benzodiazepine")
ROOT = Path(__file__).parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-audit", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="supplies that facts are made of")
    parser.add_argument("--most", type=int, default=100_000_000, help="supplies for whether time grows with them alone")
    parser.add_argument("--records", type=int, default=20_000, help="records of a whole audit")
    parser.add_argument("--store", type=int, default=1_000_000, help="records that a night's are added to; 0: no night")
    parser.add_argument("--new", type=int, default=100_000, help="records of a night")
    parser.add_argument("--only-night", action="store_true", help="measure nothing else")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--relaxants", type=float, default=0.3, help=argparse.SUPPRESS)
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
    if asked.only_night:
        return table(HEAD, [row.cells() for row in _nights(folder, asked)]) + "\n"
    facts = folder / "facts.parquet"
    _child("make_facts", facts, asked)
    rows = _sides(facts, asked, ("fold", "sql"), asked.rounds, Goal(3, 8), Goal(1, at_most=True))
    text = folder / "facts.csv"
    _child("make_text", text, asked)
    facts.unlink()
    rows += _sides(text, asked, ("fold_text", "sql_text"), 1, None, None)
    text.unlink()
    if asked.most > asked.rows:
        many = argparse.Namespace(**{**vars(asked), "rows": asked.most})
        _child("make_facts", facts, many)
        most = _child("fold", facts, many)
        facts.unlink()
        rate = _rate(asked.most, [most["seconds"]])
        rows.append(Row(f"compiled fold of {asked.most:,} supplies, supplies a second", rate))
        rows.append(Row("  most memory", Figure.of([most["peak"] / 1e6]), "MB"))
    for share in (0.3, 0.05):
        rows += _replayed(folder, argparse.Namespace(**{**vars(asked), "relaxants": share}))
    for form in ("parquet", "csv"):
        source = folder / form
        _child(f"make_{form}", source, asked)
        whole = [_child("audit", source, asked) for _ in range(asked.rounds)]
        cpu = [each["cpu"] for each in whole]
        name = f"whole audit, {form}, records a second of CPU, one process"
        rows.append(Row(name, _rate(asked.records, cpu)))
        rows.append(Row("  the same, of time", _rate(asked.records, [each["seconds"] for each in whole])))
        rows.append(Row("  most memory", Figure.of([each["peak"] / 1e6 for each in whole]), "MB"))
    if asked.store:
        rows += _nights(folder, asked)
    arguments = " ".join(sys.argv[1:])
    said = (
        f'Written by `make bench-audit ARGS="{arguments}"`. {machine()}\n\n'
        f"{asked.rows:,} supplies for the facts (episode, "
        "days in hand, class episode, new start, shared days of two classes), the same sums from both sides; "
        f"{asked.records:,} made-up records for whole audits, three in ten of them of a relaxant.\n\n"
    )
    return said + table(HEAD, [row.cells() for row in rows]) + "\n"


def _nights(folder: Path, asked: argparse.Namespace) -> list[Row]:
    """New rows into the results of an audit, for each share of relaxants; each round with the same outputs."""
    found: list[Row] = []
    for share in night.SHARES:
        path = folder / f"night-{share}"
        _child("make_store", path, argparse.Namespace(**{**vars(asked), "relaxants": share}))
        rounds = [_child("night", path, asked) for _ in range(asked.rounds)]
        if len({json.dumps(each["outputs"]) for each in rounds}) != 1:
            raise SystemExit("The outputs of one night differ.")
        found += night.rows_of_table(rounds, asked.store, asked.new, share)
        shutil.rmtree(path)
    return found


def _sides(
    path: Path,
    asked: argparse.Namespace,
    sides: tuple[str, str],
    number: int,
    faster: Goal | None,
    smaller: Goal | None,
) -> list[Row]:
    """The fold and SQL over one file, taking turns."""
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for _ in range(number):
        for name, found in rounds.items():
            found.append(_child(name, path, asked))
    sums = {json.dumps(each["sums"]) for found in rounds.values() for each in found}
    if len(sums) != 1:
        raise SystemExit(f"The facts differ: {sums}")
    fold, sql = rounds.values()
    speed = Figure.ratio([each["seconds"] for each in sql], [each["seconds"] for each in fold])
    memory = Figure.ratio([each["peak"] for each in fold], [each["peak"] for each in sql])
    return [
        Row(f"facts of the fold, {_SOURCES[sides[0]]}: DuckDB windows / compiled fold, seconds", speed, "x", faster),
        Row("  the same, most memory, fold / DuckDB", memory, "x", smaller),
        Row("  compiled fold, supplies a second", _rate(asked.rows, [each["seconds"] for each in fold])),
        Row("  most memory", Figure.of([each["peak"] / 1e6 for each in fold]), "MB"),
        Row("  compiling it, once a process", Figure.of([each["compile"] for each in fold]), "s"),
        Row("  DuckDB, 2 threads, supplies a second", _rate(asked.rows, [each["seconds"] for each in sql])),
        Row("  most memory", Figure.of([each["peak"] / 1e6 for each in sql]), "MB"),
    ]


def _kept(facts: Path, asked: argparse.Namespace) -> list[Row]:
    """The last rows of some patients onto the state that all other rows left; the sums are those of one run."""
    made = _child("make_kept", facts, asked)
    rounds = [_child("fold_night", facts, asked) for _ in range(asked.rounds)]
    cold = [_child("fold_night_cold", facts, asked) for _ in range(asked.rounds)]
    whole = _child("fold", facts, asked)["sums"]
    if any([a + b for a, b in zip(made["sums"], each["sums"], strict=True)] != whole for each in rounds + cold):
        raise SystemExit("The facts of a night differ from those of one run over everything.")
    seconds = Figure.of([each["seconds"] for each in rounds])
    goal = Goal(1, 0.05, at_most=True)
    name = f"facts of a night: {made['new']:,} new supplies onto the state of {asked.rows - made['new']:,}"
    return [
        Row(f"{name}, after start-up", seconds, "s", goal),
        Row("  CPU time", Figure.of([each["cpu"] for each in rounds]), "s"),
        Row("  the state not in memory before", Figure.of([each["seconds"] for each in cold]), "s"),
        Row("  state kept", Figure.of([made["bytes"] / 1e6]), "MB"),
        Row("  of that, added by the night", Figure.of([each["added"] / 1e6 for each in rounds]), "MB"),
        Row("  folding the earlier ones and keeping their state, once", Figure.of([made["seconds"]]), "s"),
    ]


def _replayed(folder: Path, asked: argparse.Namespace) -> list[Row]:
    """The records of a bucket through the engine one by one, and as the audit does, in one process and in turns."""
    source = folder / f"bucket-{asked.relaxants}"
    found = _child("check", source, asked)
    name = f"records checked, {asked.relaxants:.0%} of relaxants: the audit / the engine one by one"
    return [
        Row(name, Figure.ratio(found["replay"], found["batch"]), "x"),
        Row("  the audit, records a second of CPU", _rate(found["records"], found["batch"])),
        Row("  the engine one by one", _rate(found["records"], found["replay"])),
    ]


def _rate(number: int, seconds: list[float]) -> Figure:
    return Figure.of([number / each for each in seconds])


def _child(kind: str, path: Path, asked: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", kind, str(path)]
    for name in ("rows", "records", "rounds", "relaxants", "store", "new"):
        command += [f"--{name}", str(getattr(asked, name))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{kind}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# --- what a child does -------------------------------------------------------------------------------------------


def _pieces(rows: int) -> Iterator[dict[str, Any]]:
    """Supplies in pieces of whole patients, with a record number each."""
    import numpy as np

    from tests.equivalence.compiled_fold import made

    patients = 0
    for first in range(0, rows, _PIECE):
        size = min(_PIECE, rows - first)
        columns: dict[str, Any] = made(size, seed=1 + first)
        columns["patient"] = columns["patient"] + patients
        patients += size // 7 + 1
        yield {**columns, "record": np.arange(first, first + size)}


def _make_facts(path: Path, asked: argparse.Namespace) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    for columns in _pieces(asked.rows):
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    assert writer is not None
    writer.close()
    return {}


def _make_text(path: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """The same supplies as text, in no order; days are dates, a drug is its name."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv

    rng = np.random.default_rng(3)
    parts = list(_pieces(asked.rows))
    columns = {name: np.concatenate([each[name] for each in parts]) for name in ("patient", "start", "days", "key")}
    columns["record"] = np.arange(asked.rows)
    with pa.OSFile(str(path), "wb") as sink:
        writer = None
        order = rng.permutation(asked.rows)
        for first in range(0, asked.rows, _BATCH):
            at = order[first : first + _BATCH]
            table = pa.table(
                {
                    "patient": pa.array(np.char.add("P", np.char.zfill(columns["patient"][at].astype(str), 9))),
                    "record": pa.array(np.char.add("R", np.char.zfill(columns["record"][at].astype(str), 9))),
                    "start": pa.array(columns["start"][at].astype("datetime64[D]")),
                    "days": columns["days"][at],
                    "drug": pa.array(DRUGS).take(pa.array(columns["key"][at])),
                }
            )
            writer = writer or pa.csv.CSVWriter(sink, table.schema)
            writer.write_table(table)
        assert writer is not None
        writer.close()
    return {}


def _fold(path: Path, _: argparse.Namespace) -> dict[str, Any]:
    import numpy as np

    from tests.equivalence.compiled_fold import answers, compiled, made

    began = time.perf_counter()
    answers(made(100, seed=2), GAP, compiled())
    compiling = time.perf_counter() - began
    began = time.perf_counter()
    sums = np.zeros(5, dtype=np.int64)
    for rows in _of_whole_patients(path, _NAMED):
        _add_sums(sums, rows, answers(rows, GAP, compiled()))
    return {"seconds": time.perf_counter() - began, "compile": compiling, "peak": _peak(), "sums": sums.tolist()}


_NAMED = ["patient", "start", "days", "key", "bits", "chain"]


def _of_whole_patients(path: Path, named: list[str]) -> Iterator[dict[str, Any]]:
    """The rows of a sorted file, some patients at a time."""
    import numpy as np
    import pyarrow.parquet as pq

    held = {name: np.zeros(0, dtype=np.int64) for name in named}
    for batch in pq.ParquetFile(path).iter_batches(batch_size=_BATCH, columns=named):
        rows = {name: np.concatenate([held[name], batch.column(name).to_numpy()]) for name in named}
        cut = int(np.searchsorted(rows["patient"], rows["patient"][-1]))  # the last patient may go on
        yield {name: each[:cut] for name, each in rows.items()}
        held = {name: each[cut:] for name, each in rows.items()}
    yield held


def _add_sums(sums: Any, rows: dict[str, Any], out: Any) -> None:
    """Adds what the fold said of rows."""
    import numpy as np

    from safety_service.engine import fold

    ordered = rows["chain"] >= 0
    sums[:3] += out[:, [fold.EPISODE_LOW, fold.IN_HAND_LOW, fold.CLASS_LOW]].sum(axis=0)
    sums[3] += np.count_nonzero(out[ordered, fold.CONTINUES] == fold.YES)
    sums[4] += out[:, fold.OBSERVED + fold.SURE_BITS].sum()


def _make_kept(path: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """The last row of every so-many-th patient apart, and the state that all others leave."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tests.equivalence.compiled_fold import compiled
    from tests.equivalence.kept_fold import fold_onto

    every = max(1, asked.rows // 7 // asked.new)
    sums = np.zeros(5, dtype=np.int64)
    new: list[dict[str, Any]] = []
    left = asked.new
    began = time.perf_counter()
    for rows in _of_whole_patients(path, [*_NAMED, "record"]):
        patient = rows["patient"]
        of_night = np.append(patient[1:] != patient[:-1], True) & (patient % every == 0)
        of_night &= np.cumsum(of_night) <= left
        new.append({name: each[of_night] for name, each in rows.items()})
        left -= np.count_nonzero(of_night)
        earlier = {name: each[~of_night] for name, each in rows.items()}
        _add_sums(sums, earlier, fold_onto(_state(path), earlier, GAP, compiled()))
    seconds = time.perf_counter() - began
    night_rows = {name: np.concatenate([each[name] for each in new]) for name in new[0]}
    pq.write_table(pa.table(night_rows), path.with_suffix(".night"), compression="zstd")
    size = (_state(path) / "states").stat().st_size
    return {"sums": sums.tolist(), "new": len(night_rows["patient"]), "bytes": size, "seconds": seconds}


def _state(path: Path) -> Path:
    return path.with_suffix(".state")


def _fold_night(path: Path, *, cold: bool) -> dict[str, Any]:
    """New rows read, folded onto what was kept, and what they leave kept on disk; then put back as it was before."""
    import numpy as np
    import pyarrow.parquet as pq

    from tests.equivalence.compiled_fold import compiled, made
    from tests.equivalence.kept_fold import fold_onto

    states, places = _state(path) / "states", _state(path) / "places.npy"
    before, size = places.read_bytes(), states.stat().st_size
    with tempfile.TemporaryDirectory() as folder:
        for seed in (2, 3):  # compiled for no state, and for one
            table = made(100, seed)
            table |= {"start": table["start"] + 1_000 * seed, "record": np.arange(100)}
            fold_onto(Path(folder) / "state", table, GAP, compiled())
    if cold:
        for each in (states, places):
            with each.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    began, cpu = time.perf_counter(), time.process_time()
    read = pq.read_table(path.with_suffix(".night"))
    # copied: a kernel is compiled apart for what cannot be written to
    rows = {name: read.column(name).to_numpy().copy() for name in [*_NAMED, "record"]}
    out = fold_onto(_state(path), rows, GAP, compiled())
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    sums = np.zeros(5, dtype=np.int64)
    _add_sums(sums, rows, out)
    added = states.stat().st_size - size
    os.truncate(states, size)
    places.write_bytes(before)
    return {"seconds": seconds, "cpu": cpu, "added": added, "sums": sums.tolist()}


def _fold_text(path: Path, _: argparse.Namespace) -> dict[str, Any]:
    """Read, keys made numbers, sorted and folded; the compiling is in the time."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv

    from tests.equivalence.compiled_fold import answers, compiled

    began = time.perf_counter()
    text = pa.dictionary(pa.int32(), pa.string())
    wanted = {"patient": text, "record": text, "drug": text, "start": pa.date32(), "days": pa.int64()}
    read = pa.csv.read_csv(path, convert_options=pa.csv.ConvertOptions(column_types=wanted))
    numbers = {name: _ranks(read.column(name)) for name in ("patient", "record")}
    drug = read.column("drug").combine_chunks()
    key = np.array([DRUGS.index(name) for name in drug.dictionary.to_pylist()])[drug.indices.to_numpy()]
    start = read.column("start").cast(pa.int32()).to_numpy().astype(np.int64)
    days = read.column("days").to_numpy()
    del read, drug
    order = np.lexsort((numbers["record"], start, numbers["patient"]))
    del numbers["record"]
    key = key[order]
    rows = {
        "patient": numbers.pop("patient")[order],
        "start": start[order],
        "days": days[order],
        "key": key,
        "bits": np.where(key == 5, 1, np.where(key == 6, 2, 0)),
        "chain": np.where(key < 5, key, -1),
    }
    del order, start, days
    compiling = time.perf_counter()
    how = compiled()
    answers({name: each[:1] for name, each in rows.items()}, GAP, how)
    compiling = time.perf_counter() - compiling
    sums = np.zeros(5, dtype=np.int64)
    first = 0
    while first < len(key):
        last = min(first + _BATCH, len(key))
        if last < len(key):
            last = int(np.searchsorted(rows["patient"], rows["patient"][last]))
        some = {name: each[first:last] for name, each in rows.items()}
        _add_sums(sums, some, answers(some, GAP, how))
        first = last
    return {"seconds": time.perf_counter() - began, "compile": compiling, "peak": _peak(), "sums": sums.tolist()}


def _ranks(column: Any) -> Any:
    """Whole numbers in the order of the texts."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = column.combine_chunks()
    whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    rank = np.empty(len(whole.dictionary), dtype=np.int64)
    rank[pc.sort_indices(whole.dictionary).to_numpy()] = np.arange(len(rank))
    return rank[whole.indices.to_numpy()]


def _sql(path: Path, _: argparse.Namespace) -> dict[str, Any]:
    return _asked_of_sql(f"select * from read_parquet('{path}')")


def _sql_text(path: Path, _: argparse.Namespace) -> dict[str, Any]:
    drugs = ", ".join(f"('{name}', {key})" for key, name in enumerate(DRUGS))
    return _asked_of_sql(
        f"""select patient, record, (start - date '1970-01-01')::bigint as start, days, key,
        case key when 5 then 1 when 6 then 2 else 0 end as bits, case when key < 5 then key else -1 end as chain
        from read_csv('{path}') join (values {drugs}) drugs(drug, key) using (drug)"""
    )


def _asked_of_sql(source: str) -> dict[str, Any]:
    import duckdb

    from tests.equivalence.sql_referee import FACTS

    connection = duckdb.connect(config={"threads": 2})
    began = time.perf_counter()
    connection.execute(f"create view rx as {source}")
    wanted = "sum(episode_days), sum(in_hand), sum(class_days), sum(continues::int), sum(classes)"
    found = connection.execute(f"select {wanted} from ({FACTS.format(gap=GAP)})").fetchone()
    assert found is not None
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "peak": _peak(), "sums": [int(each) for each in found]}


def _check(path: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """CPU seconds of a bucket, in turns."""
    from safety_service.audit.batch import check_rows
    from safety_service.audit.buckets import patients
    from safety_service.audit.known import Told
    from safety_service.audit.replay import Found, replay
    from safety_service.domain import Completeness
    from safety_service.knowledge.load import load_knowledge

    knowledge = load_knowledge()
    told = Told(*[Completeness.COMPLETE] * 4)
    bucket = _bucket(knowledge, path, asked)
    found: dict[str, list[float]] = {"replay": [], "batch": []}
    for _ in range(asked.rounds):
        began = time.process_time()
        one_by_one = Found()
        for rows in patients(bucket):
            replay(knowledge, rows, told, one_by_one)
        found["replay"].append(time.process_time() - began)
        began = time.process_time()
        together = check_rows(knowledge, bucket, told, False)
        found["batch"].append(time.process_time() - began)
        assert one_by_one.records == together.records
        assert one_by_one.alerts == together.alerts
    return {**found, "records": bucket.tables["medications"].num_rows}


def _bucket(knowledge: Knowledge, path: Path, asked: argparse.Namespace) -> Bucket:
    """Made-up records, `asked.relaxants` of them of a relaxant, as one bucket."""
    from safety_service.audit import synth
    from safety_service.audit.buckets import read_bucket
    from safety_service.audit.run import Options, audit

    drugs = synth.drugs_of(knowledge)
    weights = drugs.weights.copy()
    of_relaxant = [dose > 0 for dose in drugs.doses]
    for part, which in ((asked.relaxants, of_relaxant), (1 - asked.relaxants, [not each for each in of_relaxant])):
        weights[which] *= part / weights[which].sum()
    plan = synth.Plan(min(asked.records, 20_000), seed=5)
    with _replaced(synth, "drugs_of", lambda _: drugs._replace(weights=weights)):
        synth.write(knowledge, plan, path / "in", "parquet")
    audit(Options((str(path / "in"),), path / "out", buckets=1), None, knowledge)
    return read_bucket([path / "out" / ".work" / "rows" / "00000"], 0, range(9))


@contextmanager
def _replaced(module: ModuleType, name: str, value: object) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


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


def _make_store(path: Path, asked: argparse.Namespace) -> dict[str, Any]:
    path.mkdir()
    night.make_store(path, asked.store, asked.new, asked.relaxants)
    return {}


def _peak() -> int:
    """Bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


_CHILDREN = {
    "make_facts": _make_facts,
    "fold": _fold,
    "make_kept": _make_kept,
    "fold_night": lambda path, _: _fold_night(path, cold=False),
    "fold_night_cold": lambda path, _: _fold_night(path, cold=True),
    "sql": _sql,
    "make_text": _make_text,
    "fold_text": _fold_text,
    "sql_text": _sql_text,
    "check": _check,
    "make_parquet": _make("parquet"),
    "make_csv": _make("csv"),
    "audit": _audit,
    "make_store": _make_store,
    "night": lambda path, _: night.one_night(path),
}


if __name__ == "__main__":
    sys.exit(main())
