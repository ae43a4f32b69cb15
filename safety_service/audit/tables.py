"""What is audited, as Arrow tables: one schema for each kind of record, whatever file it came from.

Days are whole days from 1970-01-01; null is not known. Enumerations are held by the numbers of `domain`.
A drug, condition or care option is one text: `DRUG` tells how; equal texts are recognised once.
"""

from __future__ import annotations

from functools import lru_cache

import pyarrow as pa

from safety_service.domain import Coding, Medication

BETWEEN_CODINGS = "\x1e"
BETWEEN_PARTS = "\x1f"  # system, code and display of a coding
BETWEEN_CONDITIONS = "\x1d"

DAY = pa.int32()
DRUG = pa.string()  # text, then each coding: text RS system US code US display RS ...

MEDICATIONS = pa.schema(
    [
        ("place", pa.int64()),  # file and line: where the row was read
        ("patient", pa.string()),
        ("record", pa.string()),
        ("kind", pa.int8()),
        ("status", pa.int8()),
        ("known_on", DAY),  # never null: when the record was made, and so the day it is checked as of
        ("start", DAY),
        ("end", DAY),
        ("stopped_on", DAY),
        ("drug", DRUG),
        ("route", pa.string()),
        ("days_supply", pa.int32()),
        ("quantity", pa.float64()),
        ("quantity_unit", pa.string()),
        ("refills", pa.int32()),
        ("dose_low", pa.float64()),
        ("dose_high", pa.float64()),
        ("dose_unit", pa.string()),
        ("times_low", pa.int32()),
        ("times_high", pa.int32()),
        ("period_hours", pa.int32()),
        ("as_needed", pa.int8()),
        ("indications", pa.string()),  # conditions, each its codings
        ("treatment_status", pa.int8()),
        ("benefit_documented", pa.int8()),
        ("hepatic_grade", pa.int8()),
        ("drives", pa.int8()),
        ("alcohol_use", pa.int8()),
        ("falls", pa.int8()),
        ("fills", pa.string()),  # of a dispensing: the order it fills
        ("prescriber", pa.string()),
        ("practice", pa.string()),
        ("unknown_drug", pa.bool_()),  # kept as history only, since it could be anything
    ]
)
CONDITIONS = pa.schema(
    [
        ("place", pa.int64()),
        ("patient", pa.string()),
        ("record", pa.string()),
        ("condition", DRUG),
        ("status", pa.int8()),
        ("onset", DAY),
        ("known_on", DAY),
        ("abated_on", DAY),
    ]
)
LABS = pa.schema(
    [
        ("place", pa.int64()),
        ("patient", pa.string()),
        ("record", pa.string()),
        ("test", pa.int8()),
        ("value", pa.float64()),
        ("unit", pa.string()),
        ("upper_limit", pa.float64()),
        ("upper_unit", pa.string()),
        ("known_on", DAY),
    ]
)
CARE = pa.schema(
    [
        ("place", pa.int64()),
        ("patient", pa.string()),
        ("record", pa.string()),
        ("care", DRUG),
        ("outcome", pa.int8()),
        ("known_on", DAY),
    ]
)
OBSERVATIONS = pa.schema(
    [
        ("place", pa.int64()),
        ("patient", pa.string()),
        ("record", pa.string()),
        ("what", pa.int8()),  # place in `OBSERVED`
        ("value", pa.float64()),  # of an answer 1 or 0; null where it says nothing that is understood
        ("known_on", DAY),
    ]
)
ALLERGIES = pa.schema(
    [
        ("place", pa.int64()),
        ("patient", pa.string()),
        ("record", pa.string()),
        ("substance", DRUG),
        ("none_known", pa.int8()),  # YES: says that there is no allergy to a drug
        ("status", pa.int8()),
        ("known_on", DAY),
    ]
)
OBSERVED = ("", "egfr", "crcl", "pregnant", "lactating")
PATIENTS = pa.schema(
    [
        ("place", pa.int64()),
        ("patient", pa.string()),
        ("record", pa.string()),
        ("born_earliest", DAY),
        ("born_latest", DAY),
        ("sex", pa.int8()),
    ]
)
TABLES = {
    "medications": MEDICATIONS,
    "conditions": CONDITIONS,
    "labs": LABS,
    "care": CARE,
    "observations": OBSERVATIONS,
    "allergies": ALLERGIES,
    "patients": PATIENTS,
}

REJECTED = pa.schema(
    [
        ("file", pa.string()),
        ("line", pa.int64()),
        ("table", pa.string()),
        ("reason", pa.string()),
        ("column", pa.string()),
        ("row", pa.binary()),  # as it was read
    ]
)

PLACE_BITS = 40  # lines of one file


REASONS = {
    "not-utf8": "the line is not UTF-8",
    "column-count": "the line has more or fewer fields than the header",
    "control-character": "the line holds a NUL or a carriage return",
    "bad-quotes": "the quotes of the line do not close, or stand inside a field",
    "truncated-file": "the compressed file ends before its end; the line is the last it gave, perhaps cut",
    "bad-json": "the line is not JSON",
    "not-a-resource": "the line is not a FHIR resource by itself; a Bundle is to be sent as one line for each resource",
    "no-patient": "no patient is named",
    "no-drug": "neither a code nor a text names the drug",
    "no-condition": "no code names the condition",
    "not-confirmed": "neither confirmed nor ruled out: whether the patient has it is not known",
    "no-substance": "nothing names what the allergy is to",
    "no-care": "neither id, code nor text names the care option",
    "no-date": "no day tells when it was made or begins",
    "bad-date": "a date is not a date, or lies outside 1900 to 2200",
    "bad-number": "a number is not a number",
    "bad-code": "a value is not one of those known for the column",
    "negative-number": "days supplied, a quantity, a dose, refills or a result are below zero",
    "too-large": "a number is larger than any real one",
    "end-before-start": "the record ends before it starts",
    "duplicate-id": "another record of the patient has the same id and says something else",
    "unknown-drug": "the drug is not recognised; it stays in the patient's history as a drug that could be anything",
}


def place(file: int, line: int) -> int:
    """File and line in one number."""
    return file << PLACE_BITS | line


def place_of(packed: int) -> tuple[int, int]:
    """The file and the line of a packed place."""
    return packed >> PLACE_BITS, packed & ((1 << PLACE_BITS) - 1)


def concept_text(text: str, codings: list[tuple[str, str, str]]) -> str:
    """A drug, condition or care option as one text; the inverse of `concept`."""
    return BETWEEN_CODINGS.join([text, *(BETWEEN_PARTS.join(each) for each in codings)])


@lru_cache(maxsize=65536)
def concept(text: str) -> Medication:
    """The codings and the words held in one text."""
    words, *codings = text.split(BETWEEN_CODINGS)
    return Medication(tuple(Coding(*each.split(BETWEEN_PARTS)) for each in codings), words)
