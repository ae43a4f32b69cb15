"""More files into the same results: only what is new is read, and it comes to what a run over all of them does."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import Any

import pytest

from safety_service.audit import files
from safety_service.audit import run as module
from safety_service.audit.batch import Checker
from safety_service.audit.inputs import Inputs
from safety_service.audit.known import PatientRows
from safety_service.audit.synth import break_line
from safety_service.knowledge.knowledge import Knowledge
from tests.audit.records import made, put, run, table, write_rows

Tables = dict[str, list[list[str]]]
SAME = ("alerts.parquet", "measures.parquet", "statuses.parquet", "rejected.parquet", "report.html")
RX = ("patient", "record", "dispensed_on", "drug", "days_supply")
RELAXANT = "cyclobenzaprine 5 mg tablet"
OPIOID = "sedation.opioid"


@pytest.fixture(scope="module")
def records(knowledge: Knowledge, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return made(knowledge, tmp_path_factory.mktemp("made"), 150, seed=3)


def said(manifest: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    outputs = {name: manifest["outputs"][name] for name in SAME}
    return outputs, {name: each for name, each in manifest.items() if name not in ("outputs", "revisions")}


def later(source: Path, folder: Path, names: set[str]) -> Path:
    """Those files of a folder."""
    folder.mkdir()
    for name in names:
        shutil.copy(source / name, folder / name)
    return folder


@pytest.mark.parametrize("trials", [2, pytest.param(40, marks=pytest.mark.long)])
def test_files_that_come_one_after_the_other_come_to_the_same_as_all_at_once(
    trials: int, records: Tables, tmp_path: Path, seed: int
) -> None:
    """Rows dealt at random to files in random order: late ones, repeated ones, contradictions, broken lines."""
    revised = 0
    for trial in range(trials):
        rng = Random(seed + trial)
        source = tmp_path / f"all{trial}"
        source.mkdir()
        for name, (header, *rows) in records.items():
            dealt: dict[int, list[list[str]]] = defaultdict(list)
            for row in rows:
                dealt[rng.randrange(4)].append(row)
            for _ in range(len(rows) // 20):
                again = list(rng.choice(rows))
                if name == "medications" and rng.random() < 0.5:
                    again[5] = "3"  # the same id, other content
                dealt[rng.randrange(4)].append(again)
            for number, some in dealt.items():
                write_rows(source / f"{name}-{number}.csv", header, *some)
        for number in (0, 2):
            path = source / f"medications-{number}.csv"
            lines = path.read_bytes().split(b"\n")
            for at, reason in ((3, "bad-date"), (7, "unknown-drug"), (9, "column-count"), (11, "duplicate-id")):
                lines[at] = break_line(lines[at], reason)
            path.write_bytes(b"\n".join(lines))
        options = {"statuses": True, "partial": frozenset({"care"}) if trial % 3 == 2 else frozenset()}
        whole = run(tmp_path / f"whole{trial}", source, buckets=3, **options)
        assert whole["conservation"]["rejected"] > 8
        out = tmp_path / f"out{trial}"
        left = sorted(path.name for path in source.iterdir())
        rng.shuffle(left)
        taken: set[str] = {next(name for name in left if name.startswith("medications"))}
        left = [name for name in left if name not in taken]
        runs = 0
        while left:
            taken |= {left.pop() for _ in range(min(len(left), rng.choice((1, 4, 7))))}
            folder = later(source, tmp_path / f"in{trial}-{runs}", taken)
            manifest = run(out, folder, buckets=3 if trial % 2 else 1, **options)
            runs += 1
        assert runs > 1
        assert said(manifest) == said(whole)
        assert json.loads((out / ".work" / "kept.json").read_text())["generation"] == runs - 1
        assert {row["run"] for row in table(out, "revisions")} <= set(range(1, runs))
        assert table(tmp_path / f"whole{trial}", "revisions") == []
        revised += manifest["revisions"]
    assert revised


def test_what_was_read_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "in"
    write_rows(source / "jan.csv", RX, ("a", "1", "2024-01-05", RELAXANT, 14), ("b", "2", "2024-01-05", RELAXANT, 14))
    run(tmp_path / "out", source)
    write_rows(source / "feb.csv", RX, ("a", "3", "2024-02-05", RELAXANT, 14))
    read: list[str] = []
    plain = Inputs.batches

    def noted(self: Inputs, path: Path, missed: set[str]) -> Any:
        read.append(path.name)
        return plain(self, path, missed)

    monkeypatch.setattr(Inputs, "batches", noted)
    manifest = run(tmp_path / "out", source)
    assert read == ["feb.csv"]
    assert manifest["checked_records"] == {"dispensing": 3}
    read.clear()
    run(tmp_path / "out", source)
    assert read == []


def test_a_file_that_is_as_it_was_is_not_hashed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_rows(tmp_path / "in" / "jan.csv", RX, ("a", "1", "2024-01-05", RELAXANT, 14))
    hashed: list[str] = []
    plain = files.digest

    def noted(each: Path) -> str:
        if each.parent == path.parent:
            hashed.append(each.name)
        return plain(each)

    monkeypatch.setattr(files, "digest", noted)

    def again(**options: Any) -> tuple[list[str], list[str], int]:
        hashed.clear()
        manifest = run(tmp_path / "out", path.parent, **options)
        return hashed, manifest["taken_as_unchanged"], manifest["alerts"]

    monkeypatch.setattr(module, "_TICK", 3600 * 10**9)
    _, _, alerts = again()
    assert again() == (["jan.csv"], [], alerts)  # changed too shortly before: it could be again, with the same time
    monkeypatch.setattr(module, "_TICK", -(10**9))
    assert again() == ([], ["jan.csv"], alerts)
    assert again(verify_inputs=True) == (["jan.csv"], [], alerts)
    said, times = path.read_bytes(), path.stat()
    path.write_bytes(said.replace(b",14", b",30"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size
    changed = again()
    assert changed[:2] == (["jan.csv"], [])
    assert changed[2] > alerts


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_rows(tmp_path / "in" / "jan.csv", RX, ("a", "1", "2024-01-05", RELAXANT, 14))
    plain = Inputs.batches

    def disturbed(self: Inputs, each: Path, missed: set[str]) -> Any:
        with each.open("ab") as file:
            file.write(b"a,2,2024-02-05,baclofen 10 mg tablet,14\n")
        return plain(self, each, missed)

    monkeypatch.setattr(Inputs, "batches", disturbed)
    with pytest.raises(files.InputError, match=r"jan\.csv: changed while it was read"):
        run(tmp_path / "out", path)
    monkeypatch.undo()
    assert run(tmp_path / "out", path)["checked_records"] == {"dispensing": 2}


def test_only_patients_with_new_rows_are_checked_and_only_from_the_first_new_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "in"
    first = [(p, f"{p}{n}", f"2024-0{n}-05", RELAXANT, 14) for p in "ab" for n in (1, 2, 3)]
    write_rows(source / "first.csv", RX, *first)
    run(tmp_path / "out", source)
    checked: list[tuple[str, int]] = []

    plain = Checker.check

    def noted(self: Checker, rows: PatientRows) -> None:
        before = sum(self.found().records.values())
        plain(self, rows)
        checked.append((rows.patient, sum(self.found().records.values()) - before))

    monkeypatch.setattr(Checker, "check", noted)
    write_rows(source / "more.csv", RX, ("a", "a4", "2024-03-01", "oxycodone 5 mg tablet", 30))
    run(tmp_path / "out", source)
    assert checked == [("a", 2), ("a", 1)]  # the new one and that of 5 March; as it was, that of 5 March


def test_a_month_more_fits_into_the_buckets_of_the_first(tmp_path: Path) -> None:
    source, memory = tmp_path / "in", 4 << 20
    rows = [(f"p{i}", f"r{i}", "2024-01-05", "lisinopril 10 mg tablet", 30) for i in range(1500)]
    first = write_rows(source / "jan.csv", RX, *rows)
    run(tmp_path / "out", source, memory=memory)
    assert first.stat().st_size * 160 > memory  # more than one bucket, and the next month asks for more of them
    write_rows(source / "feb.csv", RX, *[(p, f"{r}b", "2024-02-05", drug, days) for p, r, _, drug, days in rows])
    manifest = run(tmp_path / "out", source, memory=memory)
    assert manifest["checked_records"] == {"dispensing": 3000}
    assert json.loads((tmp_path / "out" / ".work" / "kept.json").read_text())["generation"] == 1


def test_an_unknown_drug_that_is_left_out_for_its_id_leaves_a_hole(tmp_path: Path) -> None:
    source = tmp_path / "in"
    write_rows(
        source / "rx.csv", RX, ("a", "1", "2024-01-01", "baclofen 10 mg tablet", 7),
        ("a", "1", "2024-01-02", "zzyzxoprine 10 mg", 7), ("a", "2", "2024-02-05", RELAXANT, 7),
        ("b", "3", "2024-01-01", "baclofen 10 mg tablet", 7), ("b", "4", "2024-02-05", RELAXANT, 7),
    )  # fmt: skip
    manifest = run(tmp_path / "out", source, statuses=True)
    assert manifest["conservation"]["balances"]
    said = {
        row["index_record"]: row["status"] for row in table(tmp_path / "out", "statuses") if row["rule_id"] == OPIOID
    }
    assert said["2"] == "not_evaluated"
    assert said["4"] == "passed"


def test_of_people_whose_rows_contradict_each_other_no_age_is_known(tmp_path: Path) -> None:
    source = tmp_path / "in"
    write_rows(source / "rx.csv", RX, *[(p, f"{p}1", "2024-02-05", RELAXANT, 7) for p in "ab"])
    born = [("a", "1940-01-01"), ("a", "1990-01-01"), ("b", "1940-01-01")]
    write_rows(source / "patients.csv", ("patient", "birth_date"), *born)
    run(tmp_path / "out", source)
    assert {row["patient"] for row in table(tmp_path / "out", "alerts") if row["rule_id"].startswith("age.")} == {"b"}


def test_a_late_record_revises_what_was_said(tmp_path: Path) -> None:
    source = tmp_path / "in"
    write_rows(source / "a.csv", RX, ("a", "1", "2024-02-05", RELAXANT, 7), ("b", "2", "2024-02-05", RELAXANT, 7))
    run(tmp_path / "out", source)
    assert table(tmp_path / "out", "revisions") == []
    write_rows(
        source / "b.csv", RX, ("a", "0", "2024-02-01", "oxycodone 5 mg tablet", 30),
        ("b", "3", "2024-03-01", "oxycodone 5 mg tablet", 30),
    )  # fmt: skip
    manifest = run(tmp_path / "out", source)
    revisions = table(tmp_path / "out", "revisions")
    assert manifest["revisions"] == len(revisions)
    assert {(row["patient"], row["index_record"]) for row in revisions} == {("a", "1")}
    opioid = next(row for row in revisions if row["rule_id"] == "sedation.opioid")
    assert opioid["change"] == "added"
    assert opioid["before"] is None
    assert opioid["now"]["evidence_records"] == ["0"]
    assert opioid["because"] == [{"table": "medications", "record": "0"}]
    assert opioid["run"] == 1
    write_rows(source / "c.csv", RX, ("a", "4", "2024-02-20", RELAXANT, 7))
    assert run(tmp_path / "out", source)["revisions"] == len(revisions)  # they stay; the newest record revises none


def test_a_table_that_is_given_for_the_first_time_revises_the_rest(tmp_path: Path) -> None:
    """Not known to none: what could not be evaluated is, so every patient is checked again."""
    source = tmp_path / "in"
    write_rows(source / "rx.csv", RX, ("a", "1", "2024-02-05", "tizanidine 4 mg tablet", 7))
    run(tmp_path / "out", source, statuses=True)
    write_rows(source / "labs.csv", ("patient", "record", "test", "value", "unit", "upper_limit", "date"),
               ("b", "l1", "ALT", "300", "U/L", "40", "2024-01-05"))  # fmt: skip
    manifest = run(tmp_path / "out", source, statuses=True)
    assert manifest["complete"]["labs"] == "complete"
    revisions = table(tmp_path / "out", "revisions")
    assert {row["patient"] for row in revisions} == {"a"}
    assert all(row["because"] == [{"table": "labs", "record": ""}] for row in revisions)
    assert said(manifest) == said(run(tmp_path / "whole", source, statuses=True))


def test_a_revision_tells_the_new_table_and_what_was_late_in_it(tmp_path: Path) -> None:
    source = tmp_path / "in"
    write_rows(source / "rx.csv", RX, *[(p, f"{p}1", "2024-02-05", "tizanidine 4 mg tablet", 7) for p in "abc"])
    run(tmp_path / "out", source)
    write_rows(source / "labs.csv", ("patient", "record", "test", "value", "unit", "upper_limit", "date"),
               ("a", "l1", "ALT", "300", "U/L", "40", "2024-01-05"),
               ("b", "l2", "ALT", "300", "U/L", "40", "2024-03-05"))  # fmt: skip
    write_rows(
        source / "conditions.csv", ("patient", "record", "icd10", "recorded_on"), ("c", "c1", "I95.9", "2024-01-05")
    )
    write_rows(source / "more.csv", RX, ("d", "d1", "2024-02-05", "tizanidine 4 mg tablet", 7))
    run(tmp_path / "out", source)
    because = {
        (row["patient"], row["index_record"]): row["because"]
        for row in table(tmp_path / "out", "revisions")
        if row["rule_id"].startswith("hepatic.") or row["patient"] == "c"
    }
    tables = [{"table": "conditions", "record": ""}, {"table": "labs", "record": ""}]
    assert because["a", "a1"] == [*tables, {"table": "labs", "record": "l1"}]
    assert because.get(("b", "b1"), tables) == tables  # what is of a later day is no reason
    assert ("d", "d1") not in because


@pytest.mark.parametrize("change", ["gone", "other content", "statuses", "more memory"])
def test_other_files_or_options_begin_anew(change: str, tmp_path: Path) -> None:
    source = tmp_path / "in"
    write_rows(source / "a.csv", RX, ("a", "1", "2024-02-05", RELAXANT, 7))
    write_rows(source / "b.csv", RX, ("a", "2", "2024-02-09", RELAXANT, 7))
    run(tmp_path / "out", source)
    options: dict[str, Any] = {}
    if change == "gone":
        (source / "b.csv").unlink()
    elif change == "other content":
        write_rows(source / "b.csv", RX, ("a", "2", "2024-02-10", RELAXANT, 7))
    elif change == "statuses":
        options["statuses"] = True
    else:
        options["memory"] = 1 << 30
    write_rows(source / "c.csv", RX, ("a", "3", "2024-02-19", RELAXANT, 7))
    manifest = run(tmp_path / "out", source, **options)
    kept = json.loads((tmp_path / "out" / ".work" / "kept.json").read_text())
    assert kept["generation"] == (1 if change == "more memory" else 0)
    assert manifest["checked_records"] == {"dispensing": 2 if change == "gone" else 3}


def test_a_medication_that_an_earlier_file_refers_to_begins_anew(tmp_path: Path) -> None:
    request = {"resourceType": "MedicationRequest", "id": "r", "status": "active", "intent": "order",
               "authoredOn": "2024-01-05", "subject": {"reference": "Patient/a"},
               "medicationReference": {"reference": "Medication/m"}}  # fmt: skip
    medication = {"resourceType": "Medication", "id": "m", "code": {"text": RELAXANT}}
    source = put(tmp_path / "in", {})
    (source / "a.ndjson").write_text(json.dumps(request) + "\n")
    assert run(tmp_path / "out", source)["rejected"] == {"no-drug": 1}
    (source / "b.ndjson").write_text(json.dumps(medication) + "\n")
    manifest = run(tmp_path / "out", source)
    assert manifest["rejected"] == {}
    assert json.loads((tmp_path / "out" / ".work" / "kept.json").read_text())["generation"] == 0
    (source / "c.ndjson").write_text(json.dumps({**request, "id": "s", "authoredOn": "2024-02-05"}) + "\n")
    assert run(tmp_path / "out", source)["checked_records"] == {"order": 2}
    assert json.loads((tmp_path / "out" / ".work" / "kept.json").read_text())["generation"] == 1


@pytest.mark.parametrize("harm", ["lost", "cut"])
def test_rows_that_were_lost_from_what_is_kept_are_read_again(harm: str, tmp_path: Path) -> None:
    """A bucket's file of holes that is not there would read as "nothing was refused"."""
    rows = [["p", "r1", "2024-03-01", RELAXANT, "10"], ["p", "r2", "2024-03-04", RELAXANT, "many"]]
    source = put(tmp_path / "in", {"rx": [list(RX), *rows]})
    whole = run(tmp_path / "out", source, statuses=True)
    (holes,) = (tmp_path / "out" / ".work" / "rows").rglob("*-holes.parquet")
    if harm == "lost":
        holes.unlink()
    else:
        holes.write_bytes(holes.read_bytes()[:-1])
    for each in (tmp_path / "out" / ".work").iterdir():
        if each.is_dir() and each.name != "rows":
            shutil.rmtree(each)
    assert said(run(tmp_path / "out", source, statuses=True))[0] == said(whole)[0]
