"""Usual names are understood, a map wins, and what is missing is said with the nearest column."""

from pathlib import Path

import pytest

from safety_service.audit.column_map import FIELDS, MapError, TableMap, map_columns, read_map


def test_usual_names_of_a_claims_file() -> None:
    columns = ["MemberID", "ClaimID", "Fill_Date", "NDC11", "Drug Name", "Days Supply", "QTY", "Prescriber NPI", "COST"]
    mapped = map_columns("rx_2024.csv", columns, {})
    assert mapped.table == "medications"
    assert mapped.columns == {
        "patient": "MemberID",
        "record": "ClaimID",
        "dispensed_on": "Fill_Date",
        "drug_ndc": "NDC11",
        "drug_text": "Drug Name",
        "days_supply": "Days Supply",
        "quantity": "QTY",
        "prescriber": "Prescriber NPI",
    }
    assert mapped.unused == ("COST",)


@pytest.mark.parametrize(
    ("name", "columns", "table"),
    [
        ("patients.csv", ["patient_id", "birth_date", "sex"], "patients"),
        ("dx.csv", ["person_id", "icd10", "onset_date"], "conditions"),
        ("labs.csv", ["person_id", "loinc", "value", "unit", "date"], "labs"),
        ("care.csv", ["patient_id", "care_option", "outcome"], "care"),
        ("a.csv", ["patient", "drug", "start_date"], "medications"),
    ],
)
def test_the_table_is_told_by_name_and_columns(name: str, columns: list[str], table: str) -> None:
    assert map_columns(name, columns, {}).table == table


def test_every_field_is_found_under_its_own_name_and_its_usual_ones() -> None:
    for table, fields in FIELDS.items():
        for field, each in fields.items():
            for word in (each.name, *each.usual):
                told = TableMap(files=("*",))
                basic = {name: name for name in fields if name != field}
                found = map_columns("x", [word.upper(), *basic], {table: told}).columns
                assert found.get(field) == word.upper(), (table, field, word)


def test_a_missing_column_is_named_with_the_nearest() -> None:
    with pytest.raises(MapError, match=r"no column is patient; near it: 'patiennt' for patient.*--map"):
        map_columns("rx.csv", ["patiennt", "drug", "fill_date"], {})


def test_a_map_wins_and_may_give_one_value_throughout(tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(
        "medications:\n  files: ['*.dat']\n  columns: {patient: A, drug_code: B, drug_system: =ndc, start: patient}\n"
    )
    mapped = map_columns("x.dat", ["A", "B", "patient"], read_map(path))
    assert mapped.columns == {"patient": "A", "drug_code": "B", "start": "patient"}
    assert mapped.constants == {"drug_system": "ndc"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("medication: {}", "no table is called 'medication'; near it: 'medications'"),
        ("medications: {columns: {patinet: A}}", "no field is called 'patinet'; near it: 'patient'"),
        ("medications: {colums: {}}", "colums"),
        ("- a", "tables are expected"),
        ("a: [", "map.yaml"),
    ],
)
def test_a_wrong_map_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(text)
    with pytest.raises(MapError, match=said):
        read_map(path)


def test_a_map_naming_a_column_that_is_not_there_is_refused() -> None:
    told = {"medications": TableMap(columns={"patient": "membre"})}
    with pytest.raises(MapError, match="a column 'membre' for patient of medications; near it: 'member'"):
        map_columns("rx.csv", ["member", "drug", "start"], told)


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(MapError, match="two columns are called 'drug'"):
        map_columns("rx.csv", ["patient", "drug", "drug"], {})
