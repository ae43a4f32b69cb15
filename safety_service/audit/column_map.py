"""Which column of a file holds what: guessed from usual names or told by a map, else refused with the nearest.

A map is a YAML file, by table:

    medications:
      files: ["rx*.csv"]          # without it: guessed from the file's name and columns
      columns: {patient: MEMBER_NO, record: CLAIM_NO, dispensed_on: SVC_DT, drug_ndc: NDC11, days_supply: DAYS}

A field may be given as `=value` instead of a column: `drug_system: =http://hl7.org/fhir/sid/ndc`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError


class MapError(Exception):
    """The columns of a file cannot be understood; the text says which, and what is near."""


@dataclass(frozen=True, slots=True)
class Column:
    """A field of a table: what it means, and the names it usually has."""

    name: str
    doc: str
    usual: tuple[str, ...] = ()


def _columns(*each: tuple[str, str, str]) -> dict[str, Column]:
    return {name: Column(name, doc, tuple(usual.split())) for name, doc, usual in each}


_PATIENT = (
    "patient",
    "pseudonym of the patient",
    "patient_id person_id member_id subject_id pid patid bene_id enrolid",
)
_RECORD_USUAL = "id row_id uuid"
FIELDS: Mapping[str, Mapping[str, Column]] = {
    "medications": _columns(
        _PATIENT,
        ("record", "id of the record", f"record_id claim_id rx_id prescription_id fill_id dispense_id {_RECORD_USUAL}"),
        ("kind", "order, dispensing or statement; without it: dispensing where the day is dispensed_on", "record_kind"),
        ("status", "active, completed, stopped, planned or entered-in-error", "record_status"),
        ("ordered_on", "day it was written", "written_date order_date authored_on prescribed_on rx_date"),
        ("dispensed_on", "day it was handed out", "fill_date dispense_date service_date date_filled svc_date"),
        ("known_on", "day it became known, when neither of those", "recorded_on entry_date"),
        ("start", "first day", "start_date"),
        ("end", "first day without it", "end_date"),
        ("stopped_on", "day it was stopped", "stop_date discontinued_on"),
        ("drug_rxnorm", "RxNorm code (RxCUI)", "rxcui rxnorm rxnorm_code"),
        ("drug_ndc", "NDC code", "ndc ndc11 ndc_code"),
        ("drug_atc", "ATC code", "atc atc_code"),
        ("drug_snomed", "SNOMED CT code", "drug_snomed_code"),
        ("drug_code", "code in drug_system", "medication_code"),
        ("drug_system", "code system of drug_code", "medication_system"),
        ("drug_text", "name of the drug", "drug drug_name medication medication_text product product_name description"),
        ("route", "route", "route_of_administration"),
        ("days_supply", "days of one supply", "days_supplied day_supply days dayssupply supply_days"),
        ("quantity", "amount of one supply", "qty quantity_dispensed dispensed_quantity"),
        ("quantity_unit", "its unit (UCUM); without it: unknown", "qty_unit"),
        ("refills", "further supplies", "refills_authorized number_of_refills repeats"),
        ("dose", "amount of one administration", "dose_value dose_quantity"),
        ("dose_low", "lowest amount of one administration", ""),
        ("dose_unit", "unit of the dose (UCUM)", ""),
        ("times", "administrations in a period", "times_per_day frequency"),
        ("times_low", "fewest administrations in a period", ""),
        ("period_hours", "hours of the period; without it: 24", ""),
        ("as_needed", "taken as needed (yes or no)", "prn"),
        (
            "indication_icd10",
            "ICD-10-CM codes it is for, apart by ; or |",
            "indication diagnosis icd10 dx diagnosis_code",
        ),
        ("treatment_status", "new or continuing", ""),
        ("benefit_documented", "benefit is documented (yes or no)", ""),
        ("hepatic_grade", "none, mild, moderate or severe, as stated with the order", ""),
        ("drives", "drives or operates machinery (yes or no), as stated with the order", ""),
        ("alcohol_use", "alcohol is used (yes or no), as stated with the order", ""),
        ("falls", "has fallen (yes or no), as stated with the order", ""),
        ("fills", "of a dispensing: id of the order it fills", "order_id authorizing_prescription"),
        ("prescriber", "pseudonym of the prescriber", "prescriber_id provider_id npi prescriber_npi"),
        ("practice", "practice or other organisation", "practice_id organisation_id organization_id clinic_id site_id"),
    ),
    "conditions": _columns(
        _PATIENT,
        ("record", "id of the record", f"record_id condition_id problem_id {_RECORD_USUAL}"),
        ("icd10", "ICD-10-CM code", "icd10cm icd_10 icd10_code diagnosis_code dx code"),
        ("snomed", "SNOMED CT code", "snomed_code"),
        ("text", "words", "condition description diagnosis"),
        ("status", "active, inactive, resolved ...", "clinical_status"),
        ("onset", "first day", "onset_date start_date condition_start_date"),
        ("known_on", "day it was recorded", "recorded_on recorded_date date diagnosis_date"),
        ("abated_on", "day it ended", "abatement_date resolved_on end_date"),
    ),
    "labs": _columns(
        _PATIENT,
        ("record", "id of the result", f"record_id result_id lab_id {_RECORD_USUAL}"),
        ("test", "LOINC code, or ALT, AST, ALP, bilirubin", "loinc loinc_code code test_name analyte"),
        ("value", "result", "result_value result value_as_number"),
        ("unit", "its unit (UCUM)", "units value_unit"),
        ("upper_limit", "upper limit of normal", "range_high reference_high uln"),
        ("known_on", "day of the result", "date result_date measured_on collected_on measurement_date"),
    ),
    "care": _columns(
        _PATIENT,
        ("record", "id of the record", f"record_id care_id procedure_id {_RECORD_USUAL}"),
        ("option", "id of a care option of the service", "care_option option_id"),
        ("snomed", "SNOMED CT code", "snomed_code code"),
        ("text", "words", "care description procedure"),
        ("outcome", "planned, ongoing, helped, failed or declined", ""),
        ("known_on", "day it was recorded", "date recorded_on performed_on"),
    ),
    "patients": _columns(
        _PATIENT,
        ("birth_date", "day, month or year of birth", "born date_of_birth dob birthdate birth_year year_of_birth yob"),
        ("sex", "female, male or other", "gender"),
    ),
}
_NEEDED: Mapping[str, tuple[tuple[str, ...], ...]] = {  # of each group one
    "medications": (
        ("patient",),
        ("drug_text", "drug_rxnorm", "drug_ndc", "drug_atc", "drug_snomed", "drug_code"),
        ("known_on", "dispensed_on", "ordered_on", "start"),
    ),
    "conditions": (("patient",), ("icd10", "snomed", "text")),
    "labs": (("patient",), ("test",), ("value",)),
    "care": (("patient",), ("option", "snomed", "text")),
    "patients": (("patient",), ("birth_date", "sex")),
}
_NAMED: Mapping[str, tuple[str, ...]] = {  # words in a file's name
    "conditions": ("condition", "diagnos", "problem"),
    "labs": ("lab", "observation", "measurement", "result"),
    "care": ("care", "procedure"),
    "patients": ("patient", "person", "member", "demographic", "enrol"),
    "medications": ("med", "rx", "drug", "prescri", "dispens", "claim", "fill", "pharm"),
}


class TableMap(BaseModel):
    """What a map says of one table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: tuple[str, ...] = ()
    columns: dict[str, str] = Field(default_factory=dict)


Map = Mapping[str, TableMap]


@dataclass(frozen=True, slots=True)
class Mapped:
    """The table a file belongs to, the column of each field, and the fields that have one value throughout."""

    table: str
    columns: Mapping[str, str]
    constants: Mapping[str, str]
    unused: tuple[str, ...]  # columns that no field took


def read_map(path: Path) -> Map:
    """The map in a YAML file. Raises MapError naming what is wrong in it."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MapError(f"{path}: {error}") from None
    if not isinstance(found, dict):
        raise MapError(f"{path}: tables are expected, each with files and columns")
    told: dict[str, TableMap] = {}
    for table, content in found.items():
        if table not in FIELDS:
            raise MapError(f"{path}: no table is called {table!r}{_near(str(table), FIELDS)}")
        try:
            told[table] = TableMap.model_validate(content)
        except ValidationError as error:
            raise MapError(f"{path}: {table}: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}") from None
        for name in told[table].columns:
            if name not in FIELDS[table]:
                raise MapError(f"{path}: {table}: no field is called {name!r}{_near(name, FIELDS[table])}")
    return told


def map_columns(name: str, columns: Sequence[str], told: Map) -> Mapped:
    """How the columns of the file `name` are to be read. Raises MapError when they do not make a table."""
    repeated = {each for each in columns if list(columns).count(each) > 1}
    if repeated:
        raise MapError(f"{name}: two columns are called {sorted(repeated)[0]!r}")
    for table, said in told.items():
        if any(fnmatch(name, pattern) for pattern in said.files):
            return _mapped(name, table, columns, said)
    candidates = [table for table in FIELDS if _complete(table, _guess(table, columns, told.get(table)))]
    if not candidates:
        raise MapError(_refusal(name, columns, told))
    named = [table for table, words in _NAMED.items() if any(word in name.lower() for word in words)]
    best = next((table for table in named if table in candidates), candidates[0])
    return _mapped(name, best, columns, told.get(best))


def _mapped(name: str, table: str, columns: Sequence[str], said: TableMap | None) -> Mapped:
    guessed = _guess(table, columns, said)
    constants = {}
    for field, told in (said.columns if said is not None else {}).items():
        if told.startswith("="):
            constants[field] = told[1:]
        elif told not in columns:
            raise MapError(f"{name}: the map names a column {told!r} for {field} of {table}{_near(told, columns)}")
    guessed = {field: column for field, column in guessed.items() if field not in constants}
    if not _complete(table, {**guessed, **constants}):
        missing = next(group for group in _NEEDED[table] if not any(f in guessed or f in constants for f in group))
        raise MapError(_missing_text(name, table, missing, columns))
    used = set(guessed.values())
    return Mapped(table, guessed, constants, tuple(each for each in columns if each not in used))


def _guess(table: str, columns: Sequence[str], said: TableMap | None) -> dict[str, str]:
    """The column of each field: told, of the field's own name, or of a usual one, in this order."""
    plain = {_plain(each): each for each in reversed(columns)}
    found: dict[str, str] = {}
    taken: set[str] = set()
    for field, column in (said.columns if said is not None else {}).items():
        found[field] = column
        taken.add(column)
    for usual in (False, True):
        for field, each in FIELDS[table].items():
            if field in found:
                continue
            known = (plain.get(_plain(name)) for name in (each.usual if usual else (each.name,)))
            free = next((column for column in known if column is not None and column not in taken), None)
            if free is not None:
                found[field] = free
                taken.add(free)
    return found


def _complete(table: str, found: Mapping[str, str]) -> bool:
    return all(any(field in found for field in group) for group in _NEEDED[table])


def _refusal(name: str, columns: Sequence[str], told: Map) -> str:
    """For the table that is nearest to complete: what is missing, and the column that is spelled like it."""

    def lacking(table: str) -> list[tuple[str, ...]]:
        found = _guess(table, columns, told.get(table))
        return [group for group in _NEEDED[table] if not any(field in found for field in group)]

    named = [table for table, words in _NAMED.items() if any(word in name.lower() for word in words)]
    best = min(FIELDS, key=lambda table: (len(lacking(table)), table not in named))
    return _missing_text(name, best, lacking(best)[0], columns)


def _missing_text(name: str, table: str, group: tuple[str, ...], columns: Sequence[str]) -> str:
    near = ""
    for field in group:
        each = FIELDS[table][field]
        spelled = {_plain(column): column for column in columns}
        for word in (each.name, *each.usual):
            close = get_close_matches(_plain(word), spelled, n=1, cutoff=0.7)
            if close:
                near = f"; near it: {spelled[close[0]]!r} for {field}"
                break
        if near:
            break
    wanted = " or ".join(group)
    return (
        f"{name}: read as {table}, and no column is {wanted}{near}. Columns: {', '.join(columns)}. "
        "A map tells which column is which: --map"
    )


def _near(word: str, names: Sequence[str] | Mapping[str, object]) -> str:
    close = get_close_matches(word, list(names), n=1, cutoff=0.5)
    return f"; near it: {close[0]!r}" if close else ""


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
