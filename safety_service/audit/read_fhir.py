"""FHIR R4 NDJSON as batches of rows of each table: a resource that is read becomes a row of the columns of its table.

Orders (MedicationRequest), dispensings (MedicationDispense) and statements (MedicationStatement) stay apart. Values go
through the same parsers as those of a CSV file, so a bad one is refused with its line and reason. What FHIR leaves open
stays open: several dosage instructions, a range of periods or a part of a date say nothing that would be made up here.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import orjson
import pyarrow as pa

from safety_service.audit import values
from safety_service.audit.column_map import Mapped
from safety_service.audit.lines import Block, blocks
from safety_service.audit.read_csv import Batch, Refused
from safety_service.audit.tables import BETWEEN_CONDITIONS, concept_text
from safety_service.knowledge.drug_names import RXNORM
from safety_service.knowledge.observation_codes import (
    BREASTFEEDING,
    BREASTFEEDING_ANSWERS,
    CLEARANCE,
    CLEARANCE_UNITS,
    EGFR,
    EGFR_UNITS,
    LOINC,
    NO_DRUG_ALLERGY,
    NO_OTHER_ALLERGY,
    PREGNANCY,
    PREGNANCY_ANSWERS,
)
from safety_service.knowledge.resolve import SNOMED

_FACTS = {"egfr": EGFR, "crcl": CLEARANCE, "pregnant": PREGNANCY, "lactating": BREASTFEEDING}
_UNITS = {"egfr": EGFR_UNITS, "crcl": CLEARANCE_UNITS}
_ANSWERS = {"pregnant": PREGNANCY_ANSWERS, "lactating": BREASTFEEDING_ANSWERS}
_OUTCOMES: Mapping[str, Mapping[str, str]] = {  # what came of it, neither resource says
    "Procedure": {"completed": "", "stopped": "", "on-hold": "", "in-progress": "ongoing", "preparation": "planned"},
    "ServiceRequest": {"completed": "", "active": "planned", "draft": "planned", "on-hold": "planned"},
}
_HOURS = {"h": 1, "d": 24, "wk": 168}
_DAYS = {"d": 1, "day": 1, "days": 1, "wk": 7, "week": 7, "weeks": 7}
_NEVER = "entered-in-error"  # never in effect: as if it had not been sent
_STATUS: Mapping[str, Mapping[str, str]] = {
    "MedicationRequest": {
        "active": "active",
        "completed": "completed",
        "stopped": "stopped",
        "draft": "planned",
        "unknown": "unknown",
        "cancelled": _NEVER,
        _NEVER: _NEVER,
    },
    "MedicationDispense": {  # completed: handed out, which does not say that the taking has ended
        "preparation": "planned",
        "in-progress": "planned",
        "on-hold": "planned",
        "stopped": "stopped",
        "unknown": "unknown",
        "cancelled": _NEVER,
        "declined": _NEVER,
        _NEVER: _NEVER,
    },
    "MedicationStatement": {
        "active": "active",
        "completed": "completed",
        "stopped": "stopped",
        "intended": "planned",
        "unknown": "unknown",
        "not-taken": _NEVER,
        _NEVER: _NEVER,
    },
}
_KIND = {"MedicationRequest": "order", "MedicationDispense": "dispensing", "MedicationStatement": "statement"}
_PLAIN = ("MedicationRequest", "Procedure")  # of the types that share a table, those whose ids stand as they are
_NOT_YET = ("proposal", "plan", "option")  # intents
_NOT_A_RESULT = (_NEVER, "cancelled", "registered")

Resource = Mapping[str, Any]
Row = dict[str, str | None]


class Medications:
    """Medication resources by id, as the text of a drug, and the ids that were asked for and are not there."""

    def __init__(self, found: Mapping[str, str], missed: set[str] | None = None) -> None:
        self._found = found
        self._missed = missed

    def get(self, identity: str) -> str | None:
        """The drug of an id."""
        drug = self._found.get(identity)
        if drug is None and self._missed is not None:
            self._missed.add(identity)
        return drug


def medications_of(paths: Iterable[Path]) -> dict[str, str]:
    """Every Medication resource of the files, by id, as the text of a drug: what others refer to."""
    found: dict[str, str] = {}
    for path in paths:
        for block in blocks(path):
            if b'"Medication"' not in block.data:
                continue
            for i in range(len(block.starts)):
                line = block.line(i)
                if b'"Medication"' in line:
                    resource = _parsed(line)
                    if isinstance(resource, dict) and resource.get("resourceType") == "Medication":
                        found[_text(resource.get("id"))] = _concept(_record(resource.get("code"))) or ""
    return found


def read_fhir(path: Path, medications: Medications) -> Iterator[Batch]:
    """Batches of rows, one table each; the first of a block counts its lines. Raises OSError when unreadable."""
    for block in blocks(path):
        yield from _batches(block, medications)


def _batches(block: Block, medications: Medications) -> Iterator[Batch]:
    numbers = block.numbers()
    refused: list[Refused] = []
    found: dict[str, tuple[list[int], list[Row]]] = {}
    blank = not_relevant = 0
    for i in range(len(block.starts)):
        line = block.line(i)
        if block.cut and i == len(block.starts) - 1:
            refused.append(Refused(int(numbers[i]), "truncated-file", "", line))
            continue
        if not line.strip():
            blank += 1
            continue
        resource = _parsed(line)
        if isinstance(resource, str):
            refused.append(Refused(int(numbers[i]), resource, "", line))
            continue
        tried = ((table, read(resource, medications)) for table, read in _READERS.get(resource["resourceType"], ()))
        table, row = next(((table, row) for table, row in tried if row is not None), ("", None))
        if row is None:
            not_relevant += 1
            continue
        lines, rows = found.setdefault(table, ([], []))
        lines.append(i)
        rows.append(row)
    physical = len(block.starts)
    empty = pa.table({})
    yield Batch(empty, np.zeros(0, np.int64), lambda _: b"", physical, 0, blank, refused, None, not_relevant)
    for table, (lines, rows) in found.items():
        names = list(dict.fromkeys(name for row in rows for name in row))
        columns = pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in names})
        at = np.array(lines, dtype=np.int64)
        yield Batch(columns, numbers[at], _raw(block, at), 0, mapped=Mapped(table, {n: n for n in names}, {}, ()))


def _raw(block: Block, at: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Callable[[int], bytes]:
    return lambda i: block.line(int(at[i]))


def _parsed(line: bytes) -> dict[str, Any] | str:
    """A resource, or the reason why it is none."""
    try:
        resource = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            line.decode()
        except UnicodeDecodeError:
            return "not-utf8"
        return "bad-json"
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        return "not-a-resource"
    return "not-a-resource" if resource["resourceType"] == "Bundle" else resource


# --- resources ---------------------------------------------------------------------------------------------------


def _medication(resource: Resource, medications: Medications) -> Row | None:
    name = str(resource["resourceType"])
    if resource.get("doNotPerform") is True:
        return None  # says what not to take
    status = _STATUS[name].get(_text(resource.get("status")), "")
    if name == "MedicationRequest" and _text(resource.get("intent")) in _NOT_YET:
        status = "planned"
    row: Row = {
        "patient": _reference(resource.get("subject"), "Patient"),
        "record": _record_id(resource),
        "kind": _KIND[name],
        "status": status,
        "drug_concept": _drug(resource, medications),
        "indication_concepts": _indications(resource),
    }
    if name == "MedicationRequest":
        request = _record(resource.get("dispenseRequest"))
        supplied = request.get("quantity")
        row |= {
            "ordered_on": _said(resource.get("authoredOn")),
            "days_supply": _days(request.get("expectedSupplyDuration")),
            "refills": _said(request.get("numberOfRepeatsAllowed")),
            "prescriber": _reference(resource.get("requester"), "Practitioner", "PractitionerRole"),
            "practice": _reference(resource.get("requester"), "Organization"),
        }
    elif name == "MedicationDispense":
        supplied = resource.get("quantity")
        row |= {
            "dispensed_on": _said(resource.get("whenHandedOver") or resource.get("whenPrepared")),
            "days_supply": _days(resource.get("daysSupply")),
            "fills": _reference(_first(resource.get("authorizingPrescription")), "MedicationRequest"),
        }
    else:
        supplied = None
        period = _record(resource.get("effectivePeriod"))
        row |= {
            "known_on": _said(resource.get("dateAsserted")),
            "start": _said(period.get("start") or resource.get("effectiveDateTime")),
            "end": _day_after(period.get("end")),
        }
    if supplied is not None:
        row |= {"quantity": _said(_record(supplied).get("value")), "quantity_unit": _unit(supplied)}
    instructions = _listed(resource.get("dosage" if name == "MedicationStatement" else "dosageInstruction"))
    if len(instructions) == 1:
        told = {key: said for key, said in _instruction(instructions[0]).items() if said is not None}
        row |= told
        if status == "completed" and "end" in told and name != "MedicationStatement":
            row["status"] = ""  # the end was ordered: of a completed record it would count as told afterwards
    return row


def _instruction(instruction: object) -> Row:
    """One dosage instruction. Its bounds are those of the whole course."""
    told = _record(instruction)
    repeat = _record(_record(told.get("timing")).get("repeat"))
    bounds = _record(repeat.get("boundsPeriod"))
    route = _record(told.get("route"))
    coding = _record(_first(route.get("coding")))
    row: Row = {
        "route": _text(coding.get("code")) if _text(coding.get("code")) == "26643006" else _words(route) or None,
        "start": _said(bounds.get("start")),
        "end": _day_after(bounds.get("end")),
    }
    needed = told.get("asNeededBoolean")
    if "asNeededCodeableConcept" in told:
        row["as_needed"] = "yes"
    elif isinstance(needed, bool):
        row["as_needed"] = "yes" if needed else "no"
    rates = list(map(_record, _listed(told.get("doseAndRate"))))
    if len(rates) == 1:
        amount = _record(rates[0].get("doseQuantity"))
        span = _record(rates[0].get("doseRange"))
        high = amount or _record(span.get("high"))
        low = _record(span.get("low"))
        if high and (not low or _unit(low) == _unit(high)):
            row |= {"dose": _said(high.get("value")), "dose_unit": _unit(high), "dose_low": _said(low.get("value"))}
    hours = _HOURS.get(_text(repeat.get("periodUnit")))
    period, times = repeat.get("period"), repeat.get("frequency")
    if hours is not None and _number(period) and _number(times) and "periodMax" not in repeat:
        length = period * hours
        if length == int(length) and not {"when", "timeOfDay", "dayOfWeek"} & set(repeat):
            most = repeat.get("frequencyMax")
            row |= {
                "times": _said(times if most is None else most),
                "times_low": _said(times),
                "period_hours": _said(int(length)),
            }
    return row


def _condition(resource: Resource, _: object) -> Row | None:
    onset = resource.get("onsetDateTime") or _record(resource.get("onsetPeriod")).get("start")
    recorded = resource.get("recordedDate") or onset
    abated = resource.get("abatementDateTime") or _record(resource.get("abatementPeriod")).get("end")
    status = _code(resource.get("clinicalStatus"))
    verification = _code(resource.get("verificationStatus"))
    if verification and verification != "confirmed":
        status = verification  # one that is neither confirmed nor refuted is refused: the list stays open
    return {
        "patient": _reference(resource.get("subject"), "Patient"),
        "record": _said(resource.get("id")),
        "condition_concept": _concept(_record(resource.get("code"))),
        "status": status,
        "onset": None if _is_part_of_a_date(onset) else _said(onset),
        "known_on": _last_possible(recorded),
        "abated_on": _last_possible(abated),
    }


def _observation(resource: Resource, _: object) -> Row | None:
    if _text(resource.get("status")) in _NOT_A_RESULT:
        return None
    codings = map(_record, _listed(_record(resource.get("code")).get("coding")))
    codes = [_text(each.get("code")) for each in codings if _text(each.get("system")) == LOINC]
    code = next((each for each in codes if values.liver_test(each)), None)
    if code is None:
        return None
    quantity = _record(resource.get("valueQuantity"))
    plain = not quantity.get("comparator")  # "below 5" is no value by itself
    ranges = [each for each in map(_record, _listed(resource.get("referenceRange"))) if _normal(each)]
    high = _record(ranges[0].get("high")) if len(ranges) == 1 else {}
    unit = _unit(quantity)
    return {
        "patient": _reference(resource.get("subject"), "Patient"),
        "record": _said(resource.get("id")),
        "test": code,
        "value": _said(quantity.get("value")) if plain else None,
        "unit": unit,
        "upper_limit": _said(high.get("value")) if _unit(high) in ("", unit) else None,
        "known_on": _effective(resource),
    }


def _fact(resource: Resource, _: object) -> Row | None:
    """Kidney function, pregnancy or breast-feeding; without a value where it says nothing that is understood."""
    if _text(resource.get("status")) in _NOT_A_RESULT:
        return None
    codings = map(_record, _listed(_record(resource.get("code")).get("coding")))
    codes = {_text(each.get("code")) for each in codings if _text(each.get("system")) == LOINC}
    what = next((name for name, known in _FACTS.items() if codes & set(known)), None)
    if what is None:
        return None
    value: object = None
    if what in _UNITS:
        quantity = _record(resource.get("valueQuantity"))
        said = {_text(quantity.get("code")).lower(), _text(quantity.get("unit")).lower()}
        value = quantity.get("value") if said & set(_UNITS[what]) and not quantity.get("comparator") else None
    else:
        stated = resource.get("valueBoolean")
        chosen = map(_record, _listed(_record(resource.get("valueCodeableConcept")).get("coding")))
        answers = {_ANSWERS[what].get(_text(each.get("code"))) for each in chosen} - {None}
        yes = stated if isinstance(stated, bool) else answers.pop() if len(answers) == 1 else None
        value = None if yes is None else int(yes)
    return {
        "patient": _reference(resource.get("subject"), "Patient"),
        "record": _said(resource.get("id")),
        "what": what,
        "value": _said(value),
        "known_on": _effective(resource),
    }


def _allergy(resource: Resource, _: object) -> Row | None:
    """An allergy, or that there is none; food and environment are no drugs."""
    code = _record(resource.get("code"))
    codings = [_record(each) for each in _listed(code.get("coding"))]
    snomed = {_text(each.get("code")) for each in codings if _text(each.get("system")) == SNOMED}
    categories = {_text(each) for each in _listed(resource.get("category"))} - {""}
    as_drug = any(_text(each.get("system")) == RXNORM for each in codings)
    none_known = bool(snomed & set(NO_DRUG_ALLERGY))
    if snomed & set(NO_OTHER_ALLERGY) or (categories and categories <= {"food", "environment"} and not as_drug):
        return None
    status = _code(resource.get("clinicalStatus"))
    verification = _code(resource.get("verificationStatus"))
    if verification and verification != "confirmed":
        status = verification  # likewise
    if none_known and status not in ("", "active"):
        return None
    substance = _concept(code)
    if substance is None:
        reaction = _record(_first(resource.get("reaction")))
        substance = _concept(_record(reaction.get("substance")))
    return {
        "patient": _reference(resource.get("patient"), "Patient"),
        "record": _said(resource.get("id")),
        "substance_concept": substance,
        "none_known": "yes" if none_known else "no",
        "status": status,
        "known_on": _last_possible(resource.get("recordedDate")),
    }


def _procedure(resource: Resource, _: object) -> Row | None:
    """What may be a non-drug option: the knowledge tells later whether it is one."""
    name = str(resource["resourceType"])
    outcome = _OUTCOMES[name].get(_text(resource.get("status")))
    if outcome is None or resource.get("doNotPerform") is True:
        return None
    performed = resource.get("performedDateTime") or _record(resource.get("performedPeriod")).get("start")
    return {
        "patient": _reference(resource.get("subject"), "Patient"),
        "record": _record_id(resource),
        "care_concept": _concept(_record(resource.get("code"))),
        "outcome": outcome,
        "known_on": _last_possible(performed if name == "Procedure" else resource.get("authoredOn")),
    }


def _effective(resource: Resource) -> str | None:
    return _said(
        resource.get("effectiveDateTime")
        or resource.get("effectiveInstant")
        or _record(resource.get("effectivePeriod")).get("start")
    )


def _normal(reference_range: Resource) -> bool:
    return "type" not in reference_range or _code(reference_range["type"]) == "normal"


def _patient(resource: Resource, _: object) -> Row | None:
    return {
        "patient": _said(resource.get("id")),
        "birth_date": _said(resource.get("birthDate")),
        "sex": _said(resource.get("gender")),
    }


Reader = Callable[[Resource, Medications], Row | None]
_READERS: Mapping[str, tuple[tuple[str, Reader], ...]] = {  # the first that makes a row of it
    "MedicationRequest": (("medications", _medication),),
    "MedicationDispense": (("medications", _medication),),
    "MedicationStatement": (("medications", _medication),),
    "Condition": (("conditions", _condition),),
    "Observation": (("labs", _observation), ("observations", _fact)),
    "AllergyIntolerance": (("allergies", _allergy),),
    "Procedure": (("care", _procedure),),
    "ServiceRequest": (("care", _procedure),),
    "Patient": (("patients", _patient),),
}


# --- parts of resources ------------------------------------------------------------------------------------------


def _record_id(resource: Resource) -> str | None:
    """What tells a resource from all others of its table: a server's ids are unique within one type only.

    An order is named by its id, which is what the dispensings of any format refer to.
    """
    identity, name = _said(resource.get("id")), str(resource["resourceType"])
    return identity if not identity or name in _PLAIN else f"{name}/{identity}"


def _record(value: object) -> Resource:
    return value if isinstance(value, dict) else {}


def _listed(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _first(value: object) -> object:
    several = _listed(value)
    return several[0] if several else None


def _text(value: object) -> str:
    return (values.text(value) or "") if isinstance(value, str) else ""


def _said(value: object) -> str | None:
    """A value for the parsers of the columns, which refuse what it should not be."""
    if value is None:
        return None
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _reference(value: object, *kinds: str) -> str | None:
    """The id in a reference to a resource of one of `kinds`."""
    *_, kind, found = ["", "", *_text(_record(value).get("reference")).split("/")]
    return found if kind in kinds and found else None


def _words(concept: Resource) -> str:
    """The text of a CodeableConcept, else a display."""
    displays = (_text(_record(each).get("display")) for each in _listed(concept.get("coding")))
    return _text(concept.get("text")) or next((each for each in displays if each), "")


def _code(concept: object) -> str:
    return _text(_record(_first(_record(concept).get("coding"))).get("code"))


def _concept(concept: Resource) -> str | None:
    """Text and codings as one text; None where there is nothing."""
    codings = []
    for each in map(_record, _listed(concept.get("coding"))):
        system, code, display = (_text(each.get(name)) for name in ("system", "code", "display"))
        if code or display:
            codings.append((system, code, display))
    text = _text(concept.get("text"))
    return concept_text(text, codings) if text or codings else None


def _drug(resource: Resource, medications: Medications) -> str | None:
    concept = _record(resource.get("medicationCodeableConcept"))
    if concept:
        return _concept(concept)
    reference = _record(resource.get("medicationReference"))
    target = _text(reference.get("reference"))
    if target.startswith("#"):
        contained = map(_record, _listed(resource.get("contained")))
        held = next((each for each in contained if each.get("id") == target[1:]), {})
        found = _concept(_record(held.get("code")))
    else:
        found = medications.get(target.rsplit("/", 1)[-1]) if "Medication/" in target else None
    return found or _text(reference.get("display")) or None


def _indications(resource: Resource) -> str:
    """Reasons that are coded with the record or contained in it; one that is only referred to is not known."""
    found = [_concept(_record(each)) for each in _listed(resource.get("reasonCode"))]
    contained = {str(each.get("id")): each for each in map(_record, _listed(resource.get("contained")))}
    for each in _listed(resource.get("reasonReference")):
        target = _text(_record(each).get("reference"))
        held = contained.get(target[1:], {}) if target.startswith("#") else {}
        if held.get("resourceType") == "Condition":
            found.append(_concept(_record(held.get("code"))))
    return BETWEEN_CONDITIONS.join(each for each in found if each)


def _unit(quantity: object) -> str:
    held = _record(quantity)
    return _text(held.get("code")) or _text(held.get("unit"))


def _days(duration: object) -> str | None:
    """Whole days of a duration in days or weeks; months have no one length."""
    held = _record(duration)
    value, factor = held.get("value"), _DAYS.get(_unit(held).lower())
    if factor is None:
        return None
    return _said(value * factor if _number(value) else value)


def _is_part_of_a_date(value: object) -> bool:
    said = _text(value)
    return len(said) in (4, 7) and said.replace("-", "").isdigit()


def _last_possible(value: object) -> str | None:
    """A date; of a year or month its last day, so that nothing is taken as known too early."""
    said = _text(value)
    if not _is_part_of_a_date(said):
        return _said(value)
    month = int(said[5:7] or 12)
    return f"{said[:4]}-{month:02}-{monthrange(int(said[:4]), month)[1]:02}" if 1 <= month <= 12 else said


def _day_after(value: object) -> str | None:
    """The first day without, of the last day with it."""
    try:
        return (date.fromisoformat(_text(value)[:10]) + timedelta(1)).isoformat()
    except (ValueError, OverflowError):
        return _said(value)
