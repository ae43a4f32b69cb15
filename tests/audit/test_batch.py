"""The fast path of the audit answers what `replay` does: made-up patients with everything that records can hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from safety_service.audit import batch
from safety_service.audit.batch import Checker, check_rows
from safety_service.audit.buckets import HOLES, Bucket, patients
from safety_service.audit.known import PatientRows, Told
from safety_service.audit.replay import ALERTS, STATUSES, Found, replay
from safety_service.audit.synth import drugs_of
from safety_service.audit.tables import BETWEEN_CONDITIONS, CARE, CONDITIONS, LABS, MEDICATIONS, TABLES, concept_text
from safety_service.domain import Completeness, Sex
from safety_service.engine import kept
from safety_service.knowledge.knowledge import Knowledge

ICD = "http://hl7.org/fhir/sid/icd-10-cm"
ATC = "http://www.whocc.no/atc"
C = Completeness
TOLD = (Told(*[C.COMPLETE] * 4), Told(), Told(C.PARTIAL, C.COMPLETE, C.PARTIAL, C.COMPLETE))
FIRST = 19_000
SIDES = ("medications", "conditions", "labs", "care", "observations", "allergies")


def test_the_fast_path_answers_as_the_engine_does(knowledge: Knowledge, seed: int) -> None:
    for part, told in enumerate(TOLD):
        _same(knowledge, _patients(knowledge, Random(seed + part), 60), told)


def test_it_does_so_rule_by_rule(knowledge: Knowledge, seed: int) -> None:
    _same(knowledge, _patients(knowledge, Random(seed + 1), 30), TOLD[0], statuses=True)


def test_a_bucket_in_which_many_have_no_relaxant_comes_to_the_same(knowledge: Knowledge, seed: int) -> None:
    rng = Random(seed)
    made = _patients(knowledge, rng, 12)
    others = [each for each in _patients(knowledge, rng, 60) if not any(row["fills"] for row in each.medications)]
    plain = ["lisinopril 10 mg tablet", "metformin", "oxycodone 5 mg"]
    for i, each in enumerate(others):
        medications = [
            {**row, "drug": concept_text(rng.choice(plain), []), "unknown_drug": False} for row in each.medications
        ]
        others[i] = each._replace(medications=medications)
    bucket = _bucket([*made, *others])
    for told in TOLD:
        expected = Found()
        for each in patients(bucket):
            replay(knowledge, each, told, expected)
        for one, other in zip(_said(check_rows(knowledge, bucket, told, False)), _said(expected), strict=True):
            if one != other:
                pytest.fail(_first_difference(one, other))


def _bucket(made: Sequence[PatientRows]) -> Bucket:
    renamed = [each._replace(patient=f"q{i:03d}") for i, each in enumerate(made)]

    def table(name: str) -> pa.Table:
        rows = [{**row, "patient": each.patient} for each in renamed for row in getattr(each, name)]
        return pa.Table.from_pylist(rows, schema=TABLES[name])

    people = [
        {"place": 0, "patient": each.patient, "record": "", "sex": int(each.sex)}
        | ({} if each.born is None else {"born_earliest": each.born[0], "born_latest": each.born[1]})
        for each in renamed
    ]
    holes = [{"patient": each.patient, "table": name} for each in renamed for name in sorted(each.holes)]
    tables = {name: table(name) for name in SIDES}
    tables["patients"] = pa.Table.from_pylist(people, schema=TABLES["patients"])
    tables["holes"] = pa.Table.from_pylist(holes, schema=HOLES)
    return Bucket(tables, {}, {})


@pytest.mark.long
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("part", range(8))
def test_the_fast_path_answers_as_the_engine_does_for_many(part: int, knowledge: Knowledge, seed: int) -> None:
    made = _patients(knowledge, Random(seed + 100 + part), 1_500)
    _same(knowledge, made, TOLD[part % len(TOLD)], statuses=part == 7)


FAULTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "what fills an order is counted beside it": lambda patch: patch.setattr(batch, "same_supply", lambda *_: False),
    "no later day changes a record": lambda patch: patch.setattr(kept.KeptHistory, "_settled", lambda *_: True),
    "no later record changes an earlier one": lambda patch: patch.setattr(
        kept.KeptHistory, "_to_make_again", lambda self: self._unsettled
    ),
    "a relaxant taken before is not seen": lambda patch: patch.setattr(batch, "_relaxants_from", lambda *_: False),
    "what was told last of a patient is taken for good": lambda patch: patch.setattr(
        batch, "bisect_right", lambda changes, day: 0
    ),
    "orders of a drug are all alike": lambda patch: patch.setattr(batch, "_shape_key", lambda row: row["drug"]),
    "a pair rule that nothing could answer is left out": lambda patch: patch.setattr(
        batch, "unanswered_pairs", lambda *_: []
    ),
    "all pair rules are asked of a relaxant beside another": lambda patch: patch.setattr(
        batch, "of_one_drug", lambda _, answers, fired: (answers, fired)
    ),
    "one program's masks are another's": lambda patch: patch.setattr(batch, "id", lambda _: 0, raising=False),
}


@pytest.fixture(scope="module")
def made(knowledge: Knowledge, seed: int) -> list[PatientRows]:
    return _patients(knowledge, Random(seed), 100)


@pytest.fixture(scope="module")
def expected(knowledge: Knowledge, made: list[PatientRows]) -> Found:
    return _replayed(knowledge, made, TOLD[0])


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_it_is_seen(
    fault: str, knowledge: Knowledge, made: list[PatientRows], expected: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    FAULTS[fault](monkeypatch)
    try:
        found = _checked(knowledge, made, TOLD[0])
    except (KeyError, ValueError):
        return
    if _said(found) == _said(expected):  # an assertion would take minutes to show them
        pytest.fail("not seen")


def _same(knowledge: Knowledge, made: Sequence[PatientRows], told: Told, statuses: bool = False) -> None:
    expected, found = _replayed(knowledge, made, told, statuses), _checked(knowledge, made, told, statuses)
    assert len(expected.alerts["patient"]) > len(made)
    for one, other in zip(_said(found), _said(expected), strict=True):
        if one != other:  # a whole list would take minutes to be shown
            pytest.fail(_first_difference(one, other))


def _first_difference(one: Any, other: Any) -> str:
    if not isinstance(one, list):
        return f"{list((one - other).items())[:3]} for {list((other - one).items())[:3]}"
    if len(one) != len(other):
        return f"{len(one)} for {len(other)} rows"
    return next(f"{a} for {b}" for a, b in zip(one, other, strict=True) if a != b)


def _replayed(knowledge: Knowledge, made: Sequence[PatientRows], told: Told, statuses: bool = False) -> Found:
    found = _found(statuses)
    for rows in made:
        replay(knowledge, rows, told, found)
    return found


def _checked(knowledge: Knowledge, made: Sequence[PatientRows], told: Told, statuses: bool = False) -> Found:
    checker = Checker(knowledge, told, _found(statuses))
    for rows in made:
        checker.check(rows)
    return checker.found()


def _found(statuses: bool) -> Found:
    return Found(statuses={name: [] for name in STATUSES.names} if statuses else None)


def _said(found: Found) -> tuple[Any, ...]:
    measures: Counter[Any] = Counter()
    for (*unit, answers), records in found.measures.items():
        measures[*unit, frozenset(answers)] += records
    alerts = pa.table(found.alerts, schema=ALERTS).to_pylist()
    statuses = None if found.statuses is None else pa.table(found.statuses, schema=STATUSES).to_pylist()
    return alerts, statuses, measures, found.days, found.records


# --- made-up patients --------------------------------------------------------------------------------------------


def _patients(knowledge: Knowledge, rng: Random, number: int) -> list[PatientRows]:
    drugs = drugs_of(knowledge)
    relaxants = [name for name, dose in zip(drugs.names, drugs.doses, strict=True) if dose]
    others = [name for name, dose in zip(drugs.names, drugs.doses, strict=True) if not dose]
    icd = [each.icd10cm[0].code for each in knowledge.condition_sets if each.icd10cm]
    care = sorted(knowledge.care.options)
    return [_patient(rng, f"p{i}", relaxants, others, icd, care) for i in range(number)]


def _patient(
    rng: Random, patient: str, relaxants: list[str], others: list[str], icd: list[str], care: list[str]
) -> PatientRows:
    # few drugs, days and codes each, so that they meet
    mine = [concept_text(rng.choice(relaxants), []) for _ in range(2)]
    mine += [concept_text(rng.choice(others), []) for _ in range(3)]
    mine += [rng.choice(_ODD)] if rng.random() < 0.4 else []
    if rng.random() < 0.2:
        mine = mine[2:]
    medications = [_medication(rng, patient, str(i), mine, icd) for i in range(rng.randint(1, 9))]
    for row in medications:
        if rng.random() < 0.1:
            row["fills"] = rng.choice(medications)["record"]
    medications.sort(key=lambda row: (row["known_on"], row["start"] or row["known_on"], row["record"]))
    born = FIRST - rng.randint(0, 33_000)
    return PatientRows(
        patient,
        medications,
        [_condition(rng, patient, str(i), icd) for i in range(rng.choice((0, 0, 1, 2, 4)))],
        [_lab(rng, patient, str(i)) for i in range(rng.choice((0, 0, 1, 3)))],
        [_care(rng, patient, str(i), care) for i in range(rng.choice((0, 0, 1, 2)))],
        born=rng.choice((None, (born, born), (born - 200, born + 164))),
        sex=rng.choice(list(Sex)),
        holes=frozenset(name for name in ("medications", "conditions", "labs", "care") if rng.random() < 0.05),
    )


_ODD = (
    concept_text("zzyzxoprine 10 mg tablet", []),  # not recognised
    concept_text("cyclobenzaprine", []),  # of which release, and how strong, is not said
    concept_text("metaxalone", []),
    concept_text("carisoprodol 200 mg / aspirin 325 mg tablet", []),
    concept_text("carisoprodol / aspirin / codeine", []),
    concept_text("tizanidine 4 mg tablet zzyzx", []),
    concept_text("", [(ATC, "N02A", "")]),  # a group
    concept_text("", [(ATC, "N02AA05", "")]),
    concept_text("baclofen 10 mg tablet", [(ATC, "M03BX02", "")]),  # code and text disagree
    concept_text("diazepam 5 mg tablet", []),
    concept_text("diazepam 5 mg tablet", []),
)


def _some(rng: Random, part: float, *values: Any) -> Any:
    return rng.choice(values) if rng.random() < part else None


def _medication(rng: Random, patient: str, record: str, drugs: list[str], icd: list[str]) -> dict[str, Any]:
    known = FIRST + rng.choice((rng.randint(0, 90), rng.randint(0, 8) * 14))
    start = rng.choice((None, known, known, known, known + rng.randint(-20, 20)))
    end = _some(rng, 0.15, (start or known) + rng.choice((0, 1, 5, 30, 400)))
    dose = _some(rng, 0.8, 2.0, 4.0, 5.0, 10.0, 750.0)
    times = _some(rng, 0.8, 1, 2, 3, 4)
    drug = rng.choice(drugs)
    codes = [concept_text("", [(ICD, code, "")]) for code in rng.sample(icd, rng.choice((0, 0, 1, 2)))]
    row = {
        "place": 0,
        "patient": patient,
        "record": record,
        "kind": rng.choice((0, 1, 1, 1, 2, 2, 2, 3)),
        "status": rng.choice((0, 0, 0, 0, 1, 1, 2, 3, 4)),
        "known_on": known,
        "start": start,
        "end": end,
        "stopped_on": _some(rng, 0.1, known + rng.randint(0, 40)),
        "drug": drug,
        "route": rng.choice(("", "", "", "oral", "intravenous", "somehow")),
        "days_supply": _some(rng, 0.7, 3, 7, 14, 14, 21, 30, 500),
        "quantity": _some(rng, 0.5, 10.0, 21.0, 60.0),
        "quantity_unit": rng.choice(("{tbl}", "{tbl}", "mg", "")),
        "refills": _some(rng, 0.7, 0, 0, 1, 3),
        "dose_low": dose if dose is None or rng.random() < 0.8 else dose / 2,
        "dose_high": dose,
        "dose_unit": rng.choice(("mg", "mg", "{tbl}", "")),
        "times_low": times,
        "times_high": times,
        "period_hours": None if times is None else rng.choice((24, 24, 24, 8, 168)),
        "as_needed": rng.choice((0, 1, 1, 2)),
        "indications": BETWEEN_CONDITIONS.join(codes),
        "treatment_status": rng.choice((0, 0, 0, 1, 2)),
        "benefit_documented": rng.choice((0, 0, 1, 2)),
        "hepatic_grade": rng.choice((0, 0, 0, 1, 2, 3, 4)),
        "drives": rng.choice((0, 0, 1, 2)),
        "alcohol_use": rng.choice((0, 0, 1, 2)),
        "falls": rng.choice((0, 0, 1, 2)),
        "fills": "",
        "prescriber": rng.choice(("d1", "d1", "d2", "")),
        "practice": rng.choice(("o1", "o2")),
        "unknown_drug": drug == _ODD[0],
    }
    assert list(row) == MEDICATIONS.names
    return row


def _condition(rng: Random, patient: str, record: str, icd: list[str]) -> dict[str, Any]:
    known = _some(rng, 0.9, FIRST + rng.randint(-100, 90))
    codings = [(ICD, rng.choice(icd), "")] if rng.random() < 0.9 else []
    if rng.random() < 0.1:
        codings = [("http://snomed.info/sct", "999", "")]
    row = {
        "place": 0,
        "patient": patient,
        "record": record,
        "condition": concept_text("a condition", codings),
        "status": rng.randint(0, 6),
        "onset": _some(rng, 0.5, FIRST - rng.randint(0, 200)),
        "known_on": known,
        "abated_on": _some(rng, 0.3, FIRST + rng.randint(0, 90)),
    }
    assert list(row) == CONDITIONS.names
    return row


def _lab(rng: Random, patient: str, record: str) -> dict[str, Any]:
    limit = _some(rng, 0.8, 40.0)
    row = {
        "place": 0,
        "patient": patient,
        "record": record,
        "test": rng.randint(1, 4),
        "value": rng.choice((10.0, 40.0, 119.0, 121.0, 200.0)),
        "unit": "U/L",
        "upper_limit": limit,
        "upper_unit": "" if limit is None else "U/L",
        "known_on": _some(rng, 0.9, FIRST + rng.randint(-300, 90)),
    }
    assert list(row) == LABS.names
    return row


def _care(rng: Random, patient: str, record: str, care: list[str]) -> dict[str, Any]:
    row = {
        "place": 0,
        "patient": patient,
        "record": record,
        "care": concept_text(rng.choice([*care, "something else"]), []),
        "outcome": rng.randint(0, 5),
        "known_on": _some(rng, 0.9, FIRST + rng.randint(-100, 90)),
    }
    assert list(row) == CARE.names
    return row
