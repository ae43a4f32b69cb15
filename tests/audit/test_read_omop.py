"""OMOP CDM tables: concept ids become codes by the CONCEPT table, and what the CDM guesses is not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from safety_service.audit.files import InputError
from tests.audit.records import run, table, write_rows

CONCEPTS = (
    ("concept_id", "concept_name", "domain_id", "vocabulary_id", "concept_code"),
    (11, "cyclobenzaprine hydrochloride 10 MG Oral Tablet", "Drug", "RxNorm", "828320"),
    (12, "oxycodone 5 mg tablet", "Drug", "RxNorm Extension", "OMOP1"),
    (21, "Heart failure", "Condition", "SNOMED", "84114007"),
    (22, "Heart failure, unspecified", "Condition", "ICD10CM", "I50.9"),
    (31, "ALT", "Measurement", "LOINC", "1742-6"),
    (35, "eGFR CKD-EPI 2021", "Measurement", "LOINC", "98979-8"),
    (36, "mL/min/1.73 m2", "Unit", "UCUM", "mL/min/{1.73_m2}"),
    (32, "unit per liter", "Unit", "UCUM", "U/L"),
    (33, "=", "Meas Value Operator", "Meas Value Operator", "equal"),
    (34, "<", "Meas Value Operator", "Meas Value Operator", "less"),
    (41, "FEMALE", "Gender", "Gender", "F"),
    (51, "EHR prescription", "Type Concept", "Type Concept", "a"),
    (52, "EHR dispensing record", "Type Concept", "Type Concept", "b"),
    (53, "EHR administration record", "Type Concept", "Type Concept", "c"),
)
EXPOSURE = (
    "drug_exposure_id", "person_id", "drug_concept_id", "drug_exposure_start_date", "drug_exposure_end_date",
    "verbatim_end_date", "drug_type_concept_id", "refills", "quantity", "days_supply", "drug_source_value",
)  # fmt: skip


def cdm(folder: Path, *exposures: tuple[Any, ...]) -> Path:
    write_rows(folder / "CONCEPT.csv", *CONCEPTS)
    write_rows(folder / "drug_exposure.csv", EXPOSURE, *exposures)
    write_rows(
        folder / "person.csv",
        ("person_id", "gender_concept_id", "year_of_birth", "month_of_birth", "day_of_birth"),
        (1, 41, 1950, 3, ""),
    )
    write_rows(
        folder / "condition_occurrence.csv",
        ("condition_occurrence_id", "person_id", "condition_concept_id", "condition_start_date", "condition_end_date",
         "condition_source_concept_id"),
        (1, 1, 21, "2023-01-01", "2023-01-01", 22),
    )  # fmt: skip
    write_rows(
        folder / "measurement.csv",
        ("measurement_id", "person_id", "measurement_concept_id", "measurement_date", "operator_concept_id",
         "value_as_number", "unit_concept_id", "range_high"),
        (1, 1, 31, "2024-02-01", 33, 200, 32, 40),
        (2, 1, 31, "2024-02-02", 34, 5, 32, 40),
        (3, 1, 0, "2024-02-02", 33, 5, 32, 40),
    )  # fmt: skip
    return folder


ORDER = (1, 1, 11, "2024-03-01", "2024-03-01", "", 51, 1, "", 14, "cyclo 10")


def alerts(out: Path, rule: str) -> list[dict[str, Any]]:
    return [row for row in table(out, "alerts") if row["rule_id"] == rule]


def test_a_cdm_is_read_by_its_concepts(tmp_path: Path) -> None:
    manifest = run(tmp_path / "out", cdm(tmp_path / "cdm", ORDER))
    law = manifest["conservation"]
    assert law["balances"]
    assert (law["header"], law["not_relevant"], law["audited"]) == (5, len(CONCEPTS) - 1 + 1, 4)
    assert manifest["rejected"] == {"bad-number": 1}  # below 5 is no value by itself
    assert manifest["complete"]["labs"] == "partial"
    [course] = alerts(tmp_path / "out", "duration.course")
    assert course["facts"] == [{"name": "course_days", "value": "28", "unit": "d"}]
    codes = {code for row in table(tmp_path / "out", "alerts") for code in row["evidence_codes"]}
    assert codes & {"I50.9", "84114007"}


def test_the_end_that_the_cdm_fills_in_is_no_fact(tmp_path: Path) -> None:
    """One day from drug_exposure_end_date would pass; nothing said leaves the course open, a verbatim end counts."""
    guessed = (*ORDER[:9], "", "cyclo 10")
    run(tmp_path / "out1", cdm(tmp_path / "cdm1", guessed), statuses=True)
    [status] = [row for row in table(tmp_path / "out1", "statuses") if row["rule_id"] == "duration.course"]
    assert status["status"] == "not_evaluated"
    told = (*ORDER[:5], "2024-03-28", 51, 0, "", "", "cyclo 10")  # the 28th day of it
    run(tmp_path / "out2", cdm(tmp_path / "cdm2", told))
    [course] = alerts(tmp_path / "out2", "duration.course")
    assert course["facts"] == [{"name": "course_days", "value": "28", "unit": "d"}]


@pytest.mark.parametrize(
    ("kind", "records"), [(51, {"order": 1}), (52, {"dispensing": 1}), (53, {}), (0, {"order": 1})]
)
def test_what_a_record_is_follows_from_its_type(tmp_path: Path, kind: int, records: dict[str, int]) -> None:
    manifest = run(tmp_path / "out", cdm(tmp_path / "cdm", (*ORDER[:6], kind, *ORDER[7:])))
    assert manifest["checked_records"] == records


def test_refills_of_a_dispensing_are_not_taken(tmp_path: Path) -> None:
    run(tmp_path / "out", cdm(tmp_path / "cdm", (*ORDER[:6], 52, *ORDER[7:])))
    assert alerts(tmp_path / "out", "duration.course") == []


def test_a_drug_without_a_concept_goes_by_the_text_of_the_source(tmp_path: Path) -> None:
    text = (*ORDER[:2], 0, *ORDER[3:10], "cyclobenzaprine 10 mg tablet")
    run(tmp_path / "out", cdm(tmp_path / "cdm", text))
    assert len(alerts(tmp_path / "out", "duration.course")) == 1


def test_parquet_gives_the_same(tmp_path: Path) -> None:
    first = run(tmp_path / "out1", cdm(tmp_path / "cdm", ORDER))
    source = tmp_path / "parquet"
    source.mkdir()
    for path in (tmp_path / "cdm").iterdir():
        pq.write_table(pa.csv.read_csv(path), source / f"{path.stem}.parquet")
    second = run(tmp_path / "out2", source)
    assert first["outputs"]["alerts.parquet"] == second["outputs"]["alerts.parquet"]


def test_without_the_concepts_nothing_is_read(tmp_path: Path) -> None:
    source = cdm(tmp_path / "cdm", ORDER)
    (source / "CONCEPT.csv").unlink()
    with pytest.raises(InputError, match="name that file too"):
        run(tmp_path / "out", source)


def test_kidney_function_is_read_in_its_unit(tmp_path: Path) -> None:
    from safety_service.audit.buckets import read_bucket

    folder = cdm(tmp_path / "in", (1, 1, 11, "2024-03-01", "", "", 51, 0, 30, 10, ""))
    write_rows(
        folder / "measurement.csv",
        ("measurement_id", "person_id", "measurement_concept_id", "measurement_date", "operator_concept_id",
         "value_as_number", "unit_concept_id", "range_high"),
        (1, 1, 31, "2024-02-01", 33, 200, 32, 40),
        (2, 1, 35, "2024-02-02", 33, 25, 36, ""),
        (3, 1, 35, "2024-02-03", 33, 25, 32, ""),
        (4, 1, 35, "2024-02-30", 33, 25, 36, ""),
        (5, 1, 0, "2024-02-30", 33, 25, 36, ""),
    )  # fmt: skip
    manifest = run(tmp_path / "out", folder)
    assert manifest["conservation"]["balances"]
    assert manifest["rejected"] == {"bad-date": 1}
    rows = read_bucket([tmp_path / "out" / ".work" / "rows" / "00000"], 0, range(9)).tables
    assert [(row["record"], row["value"]) for row in rows["observations"].to_pylist()] == [("2", 25.0), ("3", None)]
    assert [row["record"] for row in rows["labs"].to_pylist()] == ["1"]
