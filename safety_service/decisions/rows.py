"""The facts of a record in two forms that say the same: rows, as they are written, and fields with names, to be read.

A row holds the values of a record by place; what each place means stands in `PLACES`, and at the beginning of every
segment. Places are never moved or removed: a new field is appended, and an older row, which ends before it, leaves it
unsaid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from enum import IntEnum
from typing import Any

from safety_service import domain

Row = tuple[Any, ...]

KINDS: dict[str, type] = {
    "prescription": domain.Prescription,
    "patient": domain.Patient,
    "hepatic": domain.Hepatic,
    "child_pugh": domain.ChildPughInputs,
    "renal": domain.Renal,
    "condition": domain.Condition,
    "medication": domain.MedicationRecord,
    "allergy": domain.Allergy,
    "lab": domain.LabResult,
    "care": domain.CareTried,
}
PLACES: dict[str, tuple[str, ...]] = {
    "facts": ("as_of", "prescription", "patient", "prior_overrides", "not_processed"),
    "prescription": (
        *("medication", "id", "kind", "dose_low", "dose_high", "frequency", "as_needed", "dosage_text", "route"),
        *("ordered_on", "start", "end", "days_supply", "quantity", "refills", "indications", "status", "last_dose"),
        *("benefit_documented", "prescriber_id", "last_order", "tapering", "daily_most"),
    ),
    "patient": (
        *("id", "born_earliest", "born_latest", "age_years", "sex", "pregnant", "lactating", "hepatic", "renal"),
        *("conditions", "medications", "allergies", "alcohol_use", "drives_or_operates_machinery", "falls", "care"),
        *("spasticity_needed_for_function", "cyp2c19_reduced"),
    ),
    "hepatic": ("grade", "child_pugh_class", "child_pugh", "labs"),
    "child_pugh": ("bilirubin", "albumin", "inr", "ascites", "encephalopathy"),
    "renal": ("egfr", "crcl", "dialysis"),
    "condition": ("codings", "status", "onset", "recorded_on", "id"),
    "medication": (
        *("medication", "id", "kind", "status", "known_on", "start", "end", "days_supply", "quantity", "refills"),
        *("dose_low", "dose_high", "frequency", "as_needed", "indications", "prescriber_id"),
    ),
    "allergy": ("substance", "status", "id"),
    "lab": ("test", "value", "upper_limit", "on"),
    "care": ("option_id", "outcome", "on"),
}
# Fields of the domain that are never kept: the client's own words and ids, which nothing is decided from.
LEFT_OUT = {"condition": {"text"}, "lab": {"id"}, "care": {"codings", "text"}}
_WITHIN = {
    "prescription": ("prescription", "one"),
    "patient": ("patient", "one"),
    "hepatic": ("hepatic", "one"),
    "renal": ("renal", "one"),
    "child_pugh": ("child_pugh", "one"),
    "indications": ("condition", "each"),
    "conditions": ("condition", "listed"),
    "medications": ("medication", "listed"),
    "allergies": ("allergy", "listed"),
    "labs": ("lab", "listed"),
    "care": ("care", "listed"),
}


def _unsaid(kind: str) -> Mapping[str, Any]:
    """What a field of a kind holds where nothing was said, as JSON has it."""
    if kind not in KINDS:
        return {"prior_overrides": [], "not_processed": []}
    return {each.name: _plain(each.default) for each in fields(KINDS[kind])}


def _plain(default: Any) -> Any:
    if default is MISSING:
        return MISSING  # equal to nothing: the field is always told
    if isinstance(default, IntEnum):
        return int(default)
    return [] if default == () else default


_UNSAID = {kind: _unsaid(kind) for kind in PLACES}


def named(row: Sequence[Any], kind: str = "facts") -> dict[str, Any]:
    """A row as read back from JSON, by the names of its fields; what was not said is left out.

    Raises KeyError, TypeError or ValueError when it is of another form.
    """
    unsaid = _UNSAID[kind]
    if len(row) > len(PLACES[kind]):
        raise ValueError(f"a row of {kind} has places that are not known here: it was written by a newer version")
    found = {}
    for name, value in zip(PLACES[kind], row, strict=False):
        if value is None or value == unsaid.get(name, MISSING):
            continue
        within = _WITHIN.get(name)
        found[name] = value if within is None else _AS[within[1]](value, within[0])
    return found


def _each(rows: Sequence[Any], kind: str) -> list[dict[str, Any]]:
    return [named(each, kind) for each in rows]


def _listed(listed: Sequence[Any], kind: str) -> dict[str, Any]:
    completeness, *rows = listed
    found: dict[str, Any] = {"completeness": completeness}
    if rows:
        found["items"] = _each(rows, kind)
    return found


_AS: dict[str, Callable[[Any, str], Any]] = {"one": named, "each": _each, "listed": _listed}
