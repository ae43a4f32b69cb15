"""One line in a hundred broken, each in another way: every one ends among the rejected, by its reason, whole."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from safety_service.audit.synth import BREAKS, break_line
from safety_service.knowledge.knowledge import Knowledge
from tests.audit.records import made, run, table
from tests.audit.test_read_fhir import order
from tests.audit.test_read_omop import EXPOSURE, cdm

ROWS = 1_200
Break = Callable[[bytes], bytes]


def broken(path: Path, kinds: dict[str, Break], rng: Random, header: int = 0) -> dict[str, bytes]:
    """Breaks a line of the file in each way; the broken lines by reason."""
    lines = path.read_bytes().splitlines()
    places = rng.sample(range(header, len(lines)), len(kinds))
    done = {}
    for place, (reason, how) in zip(places, kinds.items(), strict=True):
        lines[place] = done[reason] = how(lines[place])
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return done


def check(source: Path, out: Path, done: dict[str, bytes], file: str) -> None:
    assert len(done) >= 8
    assert len(done) <= ROWS / 100
    manifest = run(out, source)
    assert manifest["rejected"] == dict.fromkeys(sorted(done), 1)
    assert manifest["conservation"]["balances"]
    rejected = {row["reason"]: row for row in table(out, "rejected")}
    assert {row["file"] for row in rejected.values()} == {file}
    lines = (source / file).read_bytes().split(b"\n") if file.endswith(("csv", "ndjson")) else []
    for reason, line in done.items():
        if reason != "duplicate-id":  # it is told as it was read, and of two the first by content is kept
            assert rejected[reason]["row"] == line.split(b"\n")[0]
            assert not lines or lines[rejected[reason]["line"] - 1] == line.split(b"\n")[0]


def test_in_csv(knowledge: Knowledge, tmp_path: Path, seed: int) -> None:
    made(knowledge, tmp_path / "in", ROWS, seed=6)
    path = tmp_path / "in" / "medications.csv"
    kinds: dict[str, Break] = {reason: lambda line, reason=reason: break_line(line, reason) for reason in BREAKS}  # type: ignore[misc]
    check(tmp_path / "in", tmp_path / "out", broken(path, kinds, Random(seed), header=1), path.name)


def changed(**more: Any) -> Break:
    def how(line: bytes) -> bytes:
        return json.dumps({**json.loads(line), **more}).encode()

    return how


def twice(line: bytes) -> bytes:
    """Another order of the same id after it."""
    return line + b"\n" + changed(authoredOn="2024-05-05")(line)


def test_in_fhir(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "in" / "orders.ndjson"
    path.parent.mkdir()
    orders = (
        order(id=f"o{i}", subject={"reference": f"Patient/p{i % 400}"}, authoredOn=f"2024-0{1 + i // 400}-03")
        for i in range(ROWS)
    )
    path.write_bytes(b"".join(json.dumps(each).encode() + b"\n" for each in orders))
    kinds: dict[str, Break] = {
        "bad-json": lambda line: line[: len(line) // 2],
        "not-utf8": lambda line: line[:-1] + b', "note": "\xff"}',
        "not-a-resource": lambda _: b"[1, 2]",
        "bad-date": changed(authoredOn="2024-02-30"),
        "negative-number": changed(dispenseRequest={"numberOfRepeatsAllowed": -1}),
        "bad-number": changed(dispenseRequest={"numberOfRepeatsAllowed": "two"}),
        "no-patient": changed(subject={"display": "somebody"}),
        "no-drug": changed(medicationCodeableConcept={}),
        "unknown-drug": changed(medicationCodeableConcept={"text": "zzyzxoprine 10 mg tablet"}),
        "no-date": changed(authoredOn=None),
        "duplicate-id": twice,
    }
    done = broken(path, kinds, Random(seed))
    check(tmp_path / "in", tmp_path / "out", done, path.name)
    packed = gzip.compress(b"".join(path.read_bytes().splitlines(keepends=True)[:100]))
    path.unlink()
    path.with_name("orders.ndjson.gz").write_bytes(packed[: len(packed) * 3 // 4])
    manifest = run(tmp_path / "out2", tmp_path / "in")
    assert manifest["rejected"]["truncated-file"] == 1
    assert set(manifest["rejected"]) <= {*kinds, "truncated-file"}


def test_in_omop(tmp_path: Path, seed: int) -> None:
    rows = [
        (i, 1 + i % 400, 11, f"2024-0{1 + i // 400}-03", "", f"2024-0{1 + i // 400}-20", 51, 0, 30, 10, "rx")
        for i in range(ROWS)
    ]
    source = cdm(tmp_path / "in", *rows)
    for name in ("person", "condition_occurrence", "measurement"):
        (source / f"{name}.csv").unlink()
    at = {name: i for i, name in enumerate(EXPOSURE)}

    def field(name: str, value: bytes) -> Break:
        def how(line: bytes) -> bytes:
            fields = line.split(b",")
            fields[at[name]] = value
            return b",".join(fields)

        return how

    def repeated(line: bytes) -> bytes:
        return line + b"\n" + field("days_supply", b"3")(line)

    kinds: dict[str, Break] = {
        "bad-date": field("drug_exposure_start_date", b"2024-02-30"),
        "negative-number": field("days_supply", b"-7"),
        "bad-number": field("quantity", b"many"),
        "no-patient": field("person_id", b""),
        "unknown-drug": lambda line: field("drug_source_value", b"zzyzxoprine")(field("drug_concept_id", b"0")(line)),
        "no-drug": lambda line: field("drug_source_value", b"")(field("drug_concept_id", b"0")(line)),
        "no-date": field("drug_exposure_start_date", b""),
        "end-before-start": field("verbatim_end_date", b"2023-01-01"),
        "column-count": lambda line: line + b",1",
        "not-utf8": field("drug_source_value", b"\xff\xfe"),
        "bad-quotes": field("drug_source_value", b'"rx'),
        "duplicate-id": repeated,
    }
    done = broken(source / "drug_exposure.csv", kinds, Random(seed), header=1)
    check(source, tmp_path / "out", done, "drug_exposure.csv")
    assert Counter(row["table"] for row in table(tmp_path / "out", "rejected"))["medications"] >= len(kinds) - 3
