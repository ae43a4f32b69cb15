"""The audit as a whole: nothing lost, only backwards, and the same whatever way the records are cut."""

from __future__ import annotations

import gzip
import shutil
from collections import Counter, defaultdict
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from safety_service.audit import run as module
from safety_service.audit.files import InputError, OutputError
from safety_service.audit.report_page import LAW
from safety_service.audit.run import DoesNotBalanceError
from safety_service.audit.synth import BREAKS, break_line
from safety_service.knowledge.knowledge import Knowledge
from tests.audit.records import made, put, run, table, write_rows

ROWS = 400
COMPARED = ("alerts.parquet", "measures.parquet", "statuses.parquet")
RX = ("patient", "record", "dispensed_on", "drug", "days_supply", "order_id", "kind")


@pytest.fixture(scope="module")
def records(knowledge: Knowledge, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[str]]]:
    return made(knowledge, tmp_path_factory.mktemp("made"), ROWS, seed=7)


@pytest.fixture(scope="module")
def plain(records: dict[str, list[list[str]]], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The records audited in the plainest way."""
    folder = tmp_path_factory.mktemp("plain")
    return folder / "out", run(folder / "out", put(folder / "in", records), statuses=True)


def outputs(manifest: dict[str, Any]) -> dict[str, str]:
    return {name: manifest["outputs"][name] for name in COMPARED}


def test_the_made_records_raise_alerts_and_balance(plain: tuple[Path, dict[str, Any]], knowledge: Knowledge) -> None:
    out, manifest = plain
    assert manifest["alerts"] == len(table(out, "alerts")) > ROWS / 2
    assert manifest["conservation"]["balances"]
    assert sum(manifest["checked_records"].values()) == ROWS
    answers = Counter((row["patient"], row["index_record"], row["rule_id"]) for row in table(out, "statuses"))
    assert set(answers.values()) == {1}
    everywhere = {rule.id for rule in knowledge.rules if rule.drug is None}
    asked = Counter(rule for _, _, rule in answers)
    assert len(everywhere) > 50
    assert {rule: asked[rule] for rule in everywhere} == dict.fromkeys(everywhere, ROWS)


@pytest.mark.parametrize("how", ["shuffled", "split", "parquet", "gz", "buckets", "workers"])
def test_the_same_bytes_come_out_whatever_way_the_records_are_cut(
    how: str, records: dict[str, list[list[str]]], plain: tuple[Path, dict[str, Any]], tmp_path: Path, seed: int
) -> None:
    rng = Random(seed)
    tables = {name: [rows[0], *rng.sample(rows[1:], len(rows) - 1)] for name, rows in records.items()}
    options: dict[str, Any] = {}
    source = tmp_path / "in"
    if how == "split":
        put(source, {name: [rows[0], *rows[1::2]] for name, rows in tables.items()})
        for name, rows in tables.items():
            (source / "more").mkdir(exist_ok=True)
            write_rows(source / "more" / f"{name}-2.csv", rows[0], *rows[2::2])
    else:
        put(source, tables)
    if how == "parquet":
        for path in list(source.iterdir()):
            pq.write_table(pa_strings(path), path.with_suffix(".parquet"), row_group_size=100)
            path.unlink()
    if how == "gz":
        for path in list(source.iterdir()):
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    if how == "buckets":
        options = {"buckets": 13}
    if how == "workers":
        options = {"buckets": 3, "workers": 2}
    assert outputs(run(tmp_path / "out", source, statuses=True, **options)) == outputs(plain[1])


def pa_strings(path: Path) -> Any:
    names = path.read_text().splitlines()[0].split(",")
    types = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pyarrow.string()))
    return pyarrow.csv.read_csv(path, convert_options=types)


def test_later_records_change_no_earlier_alert(
    records: dict[str, list[list[str]]], plain: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """The records up to a day, audited alone, give the alerts and answers of those days: nothing looks ahead."""
    at = {name: i for i, name in enumerate(records["medications"][0])}
    days = sorted(row[at["ordered_on"]] or row[at["dispensed_on"]] for row in records["medications"][1:])
    for number, until in enumerate((days[len(days) // 4], days[len(days) // 2], days[-len(days) // 8])):
        cut = {name: list(rows) for name, rows in records.items()}
        cut["medications"] = [
            row
            for i, row in enumerate(records["medications"])
            if i == 0 or (row[at["ordered_on"]] or row[at["dispensed_on"]]) <= until
        ]
        cut["conditions"] = [
            row if i == 0 or row[6] <= until else [*row[:6], ""] for i, row in enumerate(cut["conditions"])
        ]
        cut["conditions"] = [row for i, row in enumerate(cut["conditions"]) if i == 0 or row[5] <= until]
        cut["labs"] = [row for i, row in enumerate(cut["labs"]) if i == 0 or row[6] <= until]
        cut["care"] = [row for i, row in enumerate(cut["care"]) if i == 0 or row[4] <= until]
        run(tmp_path / f"out{number}", put(tmp_path / f"in{number}", cut), statuses=True)
        for name in ("alerts", "statuses"):
            whole = [row for row in table(plain[0], name) if row["index_date"] <= date.fromisoformat(until)]
            assert table(tmp_path / f"out{number}", name) == whole


def test_evidence_is_among_the_records_known_on_the_day(
    records: dict[str, list[list[str]]], plain: tuple[Path, dict[str, Any]]
) -> None:
    known: dict[str, dict[str, str]] = defaultdict(dict)
    for row in records["medications"][1:]:
        known[row[0]][row[1]] = row[2] or row[3]
    named = 0
    for alert in table(plain[0], "alerts"):
        for record in alert["evidence_records"]:
            assert known[alert["patient"]][record] <= alert["index_date"].isoformat()
            assert record != alert["index_record"]
            named += 1
    assert named > 50


def test_measures_are_the_counts_of_the_answers(plain: tuple[Path, dict[str, Any]], records: Any) -> None:
    """Worked out again from the answers of each rule, at every level; the levels add up to the same."""
    out, _ = plain
    medication = {(row[0], row[1]): row for row in records["medications"][1:]}
    counted: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    for row in table(out, "statuses"):
        fields = medication[row["patient"], row["index_record"]]
        kind = "dispensing" if fields[3] else "order"
        for level, unit in (("all", ""), ("practice", fields[-1]), ("prescriber", fields[-2])):
            counted[row["rule_id"], kind, level, unit, row["index_date"].replace(day=1)][row["status"]] += 1
    measured = [row for row in table(out, "measures") if row["level"] != "drug" and row["rule_id"]]
    grid = {(row["rule_id"], row["record_kind"], row["level"], row["unit"], row["month"]) for row in measured}
    assert len(grid) == len(measured)
    assert {key for key, answers in counted.items() if set(answers) - {"not_applicable"}} <= grid
    for row in measured:
        answers = counted[row["rule_id"], row["record_kind"], row["level"], row["unit"], row["month"]]
        assert row["numerator"] == answers["fired"]
        assert row["denominator"] == answers["fired"] + answers["passed"]
        assert row["not_evaluable"] == answers["not_evaluated"]
        assert row["ratio"] == (row["numerator"] / row["denominator"] if row["denominator"] else None)
    counts = pq.read_table(out / "measures.parquet")
    keys, sums = (
        ["rule_id", "record_kind", "month"],
        [(name, "sum") for name in ("numerator", "denominator", "not_evaluable")],
    )
    added = {}
    for level in ("all", "practice", "prescriber", "drug"):
        of_level = counts.filter(pc.equal(counts.column("level"), level)).group_by(keys).aggregate(sums)
        rows = [tuple(row.values()) for row in of_level.to_pylist()]
        added[level] = {row for row in rows if any(each for each in row if isinstance(each, int))}
    assert added["all"]
    assert added["all"] == added["practice"] == added["prescriber"] == added["drug"]


def test_a_practice_without_a_record_in_a_month_has_a_row_of_zeros(tmp_path: Path) -> None:
    source = write_rows(
        tmp_path / "rx.csv",
        ("patient", "record", "dispensed_on", "drug", "days_supply", "practice"),
        ("a", "1", "2024-01-05", "cyclobenzaprine 5 mg tablet", 28, "north"),
        ("b", "2", "2024-03-05", "cyclobenzaprine 5 mg tablet", 7, "south"),
    )
    run(tmp_path / "out", source)
    rows = {
        (row["unit"], row["month"].month): (row["numerator"], row["denominator"])
        for row in table(tmp_path / "out", "measures")
        if row["rule_id"] == "duration.course" and row["level"] == "practice"
    }
    assert rows == {
        ("north", 1): (1, 1), ("north", 2): (0, 0), ("north", 3): (0, 0),
        ("south", 1): (0, 0), ("south", 2): (0, 0), ("south", 3): (0, 1),
    }  # fmt: skip


@pytest.mark.parametrize("reason", BREAKS)
def test_a_broken_row_is_refused_whole_by_its_reason(
    reason: str, records: dict[str, list[list[str]]], tmp_path: Path
) -> None:
    source = put(tmp_path / "in", {"medications": records["medications"][:40]})
    path = source / "medications.csv"
    lines = path.read_bytes().split(b"\n")
    for at in (5, 20):
        lines[at] = break_line(lines[at], reason)
    path.write_bytes(b"\n".join(lines))
    manifest = run(tmp_path / "out", source)
    assert manifest["rejected"] == {reason: 2}
    rejected = table(tmp_path / "out", "rejected")
    assert [row["reason"] for row in rejected] == [reason] * 2
    if reason != "duplicate-id":  # which of the two is kept follows from their content
        assert [row["row"] for row in rejected] == [lines[5], lines[20]]
        assert [row["line"] for row in rejected] == [6, 21]
    assert manifest["conservation"]["balances"]


def test_a_file_that_breaks_off_is_refused_from_there(records: dict[str, list[list[str]]], tmp_path: Path) -> None:
    source = put(tmp_path / "in", {"medications": records["medications"]})
    path = source / "medications.csv"
    packed = gzip.compress(path.read_bytes())
    path.with_name("medications.csv.gz").write_bytes(packed[: len(packed) * 2 // 3])
    path.unlink()
    manifest = run(tmp_path / "out", source)
    assert manifest["rejected"] == {"truncated-file": 1}
    assert 100 < manifest["conservation"]["audited"] < ROWS


def test_rows_said_twice_are_counted_once_and_apart(records: dict[str, list[list[str]]], tmp_path: Path) -> None:
    once = {"medications": records["medications"][:100]}
    twice = {"medications": [*once["medications"], *once["medications"][1:31]]}
    first = run(tmp_path / "out1", put(tmp_path / "in1", once))
    second = run(tmp_path / "out2", put(tmp_path / "in2", twice))
    assert second["conservation"]["duplicate"] == 30
    assert first["outputs"]["alerts.parquet"] == second["outputs"]["alerts.parquet"]
    assert second["rejected"] == {}


def test_a_refused_row_leaves_its_patients_history_open(tmp_path: Path) -> None:
    """Without it nobody can say that the patient took nothing else: nothing passes for want of a record."""
    good = ("a", "1", "2024-01-05", "cyclobenzaprine 5 mg tablet", 7, "", "")
    other = ("b", "1", "2024-01-05", "cyclobenzaprine 5 mg tablet", 7, "", "")
    bad = ("a", "2", "2024-13-01", "oxycodone 5 mg tablet", 7, "", "")
    run(tmp_path / "out", write_rows(tmp_path / "rx.csv", RX, good, other, bad), statuses=True)
    status = {(row["patient"], row["rule_id"]): row["status"] for row in table(tmp_path / "out", "statuses")}
    assert status["a", "sedation.opioid"] == "not_evaluated"
    assert status["b", "sedation.opioid"] == "passed"


def test_an_unknown_drug_is_refused_yet_stays_in_the_history(tmp_path: Path) -> None:
    unknown = ("a", "0", "2024-01-05", "zzyzxoprine 10 mg tablet", 7, "", "")
    order = ("a", "1", "2024-01-06", "cyclobenzaprine 5 mg tablet", 7, "", "")
    manifest = run(tmp_path / "out", write_rows(tmp_path / "rx.csv", RX, unknown, order), statuses=True)
    assert manifest["rejected"] == {"unknown-drug": 1}
    assert manifest["conservation"]["audited"] == 1
    status = {row["rule_id"]: row["status"] for row in table(tmp_path / "out", "statuses")}
    assert status["sedation.opioid"] == "not_evaluated"


def test_a_dispensing_does_not_count_the_order_it_fills(tmp_path: Path) -> None:
    order = ("a", "o1", "2024-01-05", "cyclobenzaprine 5 mg tablet", 14, "", "order")
    linked = ("a", "d1", "2024-01-05", "cyclobenzaprine 5 mg tablet", 14, "o1", "dispensing")
    run(tmp_path / "out", write_rows(tmp_path / "rx.csv", RX, order, linked))
    assert "duration.episode" not in {row["rule_id"] for row in table(tmp_path / "out", "alerts")}
    unlinked = (*linked[:5], "", "dispensing")
    run(tmp_path / "out2", write_rows(tmp_path / "rx2.csv", RX, order, unlinked))
    found = {
        row["index_record"]: row["facts"]
        for row in table(tmp_path / "out2", "alerts")
        if row["rule_id"] == "duration.episode"
    }
    assert found == {"o1": [{"name": "episode_days", "value": "at least 28", "unit": "d"}]}


def test_what_is_told_of_the_end_counts_from_that_day_on(tmp_path: Path) -> None:
    """An opioid stopped on 20 January still meets a relaxant ordered on the 15th, and not one of the 25th."""
    header = (*RX, "stopped_on", "end_date")
    opioid = ("a", "1", "2024-01-01", "oxycodone 5 mg tablet", 60, "", "", "2024-01-20", "")
    first = ("a", "2", "2024-01-15", "cyclobenzaprine 5 mg tablet", 3, "", "", "", "")
    second = ("a", "3", "2024-01-25", "cyclobenzaprine 5 mg tablet", 3, "", "", "", "")
    run(tmp_path / "out", write_rows(tmp_path / "rx.csv", header, opioid, first, second), statuses=True)
    status = {
        row["index_record"]: row["status"]
        for row in table(tmp_path / "out", "statuses")
        if row["rule_id"] == "sedation.opioid"
    }
    assert (status["2"], status["3"]) == ("fired", "passed")


@pytest.mark.parametrize(("status", "course"), [("completed", "not_evaluated"), ("", "fired")])
def test_the_end_of_a_completed_record_is_no_part_of_what_was_ordered(tmp_path: Path, status: str, course: str) -> None:
    """How long was ordered is not told; that the relaxant ended on the 30th was known on that day only."""
    header = (*RX, "status", "end_date")
    relaxant = ("a", "1", "2024-01-01", "cyclobenzaprine 5 mg tablet", "", "", "dispensing", status, "2024-01-30")
    opioid = ("b", "2", "2024-01-01", "oxycodone 5 mg tablet", "", "", "dispensing", status, "2024-01-10")
    before = ("b", "3", "2024-01-09", "cyclobenzaprine 5 mg tablet", 3, "", "dispensing", "", "")
    after = ("b", "4", "2024-01-10", "cyclobenzaprine 5 mg tablet", 3, "", "dispensing", "", "")
    run(tmp_path / "out", write_rows(tmp_path / "rx.csv", header, relaxant, opioid, before, after), statuses=True)
    told = {(row["index_record"], row["rule_id"]): row["status"] for row in table(tmp_path / "out", "statuses")}
    assert told["1", "duration.course"] == course
    assert (told["3", "sedation.opioid"], told["4", "sedation.opioid"]) == ("fired", "passed")


def test_results_are_taken_up_where_they_were_left(
    records: dict[str, list[list[str]]], plain: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    source = put(tmp_path / "in", records)
    out = tmp_path / "out"
    run(out, source, statuses=True, buckets=6)
    results = out / ".work" / "results" / "00000"
    kept = (results / "00001-counts.json").stat().st_mtime_ns
    for path in (results / "00002-counts.json", results / "00004-counts.json", results / "00004-alerts.parquet"):
        path.unlink()
    for path in out.glob("*.parquet"):
        path.unlink()
    assert outputs(run(out, source, statuses=True, buckets=6)) == outputs(plain[1])
    assert (results / "00001-counts.json").stat().st_mtime_ns == kept


def test_other_input_or_options_begin_anew(records: dict[str, list[list[str]]], tmp_path: Path) -> None:
    source = put(tmp_path / "in", {"medications": records["medications"][:50]})
    first = run(tmp_path / "out", source)
    again = run(tmp_path / "out", source, partial=frozenset({"medications"}))
    assert again["complete"]["medications"] == "partial"
    assert first["outputs"]["alerts.parquet"] != again["outputs"]["alerts.parquet"]


def test_a_lost_row_stops_the_audit(
    records: dict[str, list[list[str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = put(tmp_path / "in", {"medications": records["medications"][:50]})
    out = tmp_path / "out"
    run(out, source)
    path = next((out / ".work" / "rows" / "00000").glob("*-medications.parquet"))
    pq.write_table(pq.read_table(path).slice(1), path)
    shutil.rmtree(out / ".work" / "results")
    monkeypatch.setattr(module, "_is_whole", lambda *_: True)  # that a file of rows was harmed is noticed before
    with pytest.raises(DoesNotBalanceError, match="50 physical lines is not 49 ="):
        run(out, source)
    assert not (out / "manifest.json").exists()
    assert len(LAW) == 6


def test_inputs_and_outputs_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        run(tmp_path / "out", tmp_path / "none.csv")
    (tmp_path / "a.docx").write_text("x")
    with pytest.raises(InputError, match="not a kind of file that is read"):
        run(tmp_path / "out", tmp_path / "a.docx")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no file in it that is read"):
        run(tmp_path / "out", tmp_path / "empty")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match=r"a\.parquet: not a Parquet file"):
        run(tmp_path / "out", tmp_path / "a.parquet")
    source = write_rows(tmp_path / "rx.csv", RX, ("a", "1", "2024-01-05", "oxycodone", 7, "", ""))
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="file"):
        run(tmp_path / "file" / "out", source)
