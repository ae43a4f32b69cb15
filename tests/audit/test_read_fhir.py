"""FHIR R4 NDJSON: resources as rows, orders and dispensings apart, and nothing lost."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.audit.records import run, table

EXAMPLES = Path(__file__).parents[1] / "data" / "fhir-r4-examples"
RELAXANT = {"text": "cyclobenzaprine 10 mg tablet"}
ALICE = {"reference": "Patient/alice"}


def ndjson(path: Path, *resources: dict[str, Any] | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in resources]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def order(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest",
        "id": "o1",
        "status": "active",
        "intent": "order",
        "subject": ALICE,
        "authoredOn": "2024-03-01T10:00:00Z",
        "medicationCodeableConcept": RELAXANT,
        "requester": {"reference": "Practitioner/d1"},
        "dispenseRequest": {"expectedSupplyDuration": {"value": 2, "unit": "wk"}, "numberOfRepeatsAllowed": 1},
        "dosageInstruction": [
            {
                "asNeededBoolean": False,
                "timing": {"repeat": {"frequency": 3, "period": 1, "periodUnit": "d"}},
                "doseAndRate": [{"doseQuantity": {"value": 10, "unit": "mg", "code": "mg"}}],
            }
        ],
    } | more


def dispensing(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "MedicationDispense",
        "id": "d1",
        "status": "completed",
        "subject": ALICE,
        "medicationCodeableConcept": RELAXANT,
        "whenHandedOver": "2024-03-02",
        "daysSupply": {"value": 14, "code": "d"},
    } | more


def fired(out: Path) -> set[tuple[str, str]]:
    return {(row["index_record"], row["rule_id"]) for row in table(out, "alerts")}


def test_an_order_is_read_as_it_says(tmp_path: Path) -> None:
    condition = {
        "resourceType": "Condition",
        "id": "c1",
        "subject": ALICE,
        "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "I50.9"}]},
        "clinicalStatus": {"coding": [{"code": "active"}]},
        "onsetDateTime": "2019",
    }
    patient = {"resourceType": "Patient", "id": "alice", "birthDate": "1950", "gender": "female"}
    manifest = run(tmp_path / "out", ndjson(tmp_path / "all.ndjson", order(), condition, patient), statuses=True)
    assert manifest["conservation"] == {
        "physical": 3, "header": 0, "blank": 0, "rejected": 0, "duplicate": 0, "not_relevant": 0, "audited": 3,
        "balances": True,
    }  # fmt: skip
    assert manifest["checked_records"] == {"order": 1}
    assert manifest["complete"] == {
        "medications": "complete", "conditions": "complete", "labs": "unknown", "care": "unknown"
    }  # fmt: skip
    [course] = [row for row in table(tmp_path / "out", "alerts") if row["rule_id"] == "duration.course"]
    assert course["facts"] == [{"name": "course_days", "value": "28", "unit": "d"}]
    assert course["prescriber"] == "d1"
    assert any("I50.9" in row["evidence_codes"] for row in table(tmp_path / "out", "alerts"))


@pytest.mark.parametrize("linked", [True, False])
def test_an_order_and_its_dispensing_are_kept_apart_and_counted_once(tmp_path: Path, linked: bool) -> None:
    one = order(dispenseRequest={"expectedSupplyDuration": {"value": 14, "unit": "d"}, "numberOfRepeatsAllowed": 0})
    link = {"authorizingPrescription": [{"reference": "MedicationRequest/o1"}]} if linked else {}
    source = ndjson(tmp_path / "rx.ndjson", dispensing(**link), one)
    manifest = run(tmp_path / "out", source)
    assert manifest["checked_records"] == {"order": 1, "dispensing": 1}
    assert (("d1", "duration.episode") in fired(tmp_path / "out")) is not linked


def test_a_medication_is_found_in_another_file_or_inside(tmp_path: Path) -> None:
    medication = {"resourceType": "Medication", "id": "m1", "code": {"text": "cyclobenzaprine 10 mg tablet"}}
    inside = order(
        id="o2",
        contained=[medication | {"id": "here"}],
        medicationCodeableConcept=None,
        medicationReference={"reference": "#here"},
    )
    outside = order(medicationCodeableConcept=None, medicationReference={"reference": "Medication/m1"})
    lost = order(id="o3", medicationCodeableConcept=None, medicationReference={"reference": "Medication/m9"})
    source = [
        ndjson(tmp_path / "a.ndjson", *[{k: v for k, v in each.items() if v} for each in (inside, outside, lost)]),
        ndjson(tmp_path / "z.ndjson", medication),
    ]
    manifest = run(tmp_path / "out", *source)
    assert {record for record, rule in fired(tmp_path / "out") if rule == "duration.course"} == {"o1", "o2"}
    assert manifest["rejected"] == {"no-drug": 1}
    assert manifest["conservation"]["not_relevant"] == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"resourceType": "MedicationRequest", ', "bad-json"),
        (b'{"resourceType": "Patient", "id": "a\xff"}', "not-utf8"),
        (b"[1, 2]", "not-a-resource"),
        (b'{"id": "x"}', "not-a-resource"),
        (b'{"resourceType": "Bundle", "entry": []}', "not-a-resource"),
        (json.dumps(order(subject={"reference": "Group/1"})).encode(), "no-patient"),
        (json.dumps(order(authoredOn="2024-02-31")).encode(), "bad-date"),
        (json.dumps({k: v for k, v in order().items() if k != "authoredOn"}).encode(), "no-date"),
        (json.dumps(dispensing(daysSupply={"value": -7, "code": "d"})).encode(), "negative-number"),
        (json.dumps(dispensing(quantity={"value": {"a": 1}})).encode(), "bad-number"),
    ],
)
def test_a_line_that_is_no_record_is_refused_whole(tmp_path: Path, line: bytes, reason: str) -> None:
    manifest = run(tmp_path / "out", ndjson(tmp_path / "a.ndjson", order(id="good"), line, b""))
    assert manifest["rejected"] == {reason: 1}
    [row] = table(tmp_path / "out", "rejected")
    assert (row["line"], row["row"]) == (2, line)
    assert row["table"] == ("" if reason in ("bad-json", "not-utf8", "not-a-resource") else "medications")
    assert manifest["conservation"]["blank"] == 1
    assert manifest["conservation"]["balances"]


def test_what_was_never_in_effect_is_no_record(tmp_path: Path) -> None:
    source = ndjson(
        tmp_path / "a.ndjson",
        order(id="1", status="entered-in-error"),
        order(id="2", status="cancelled"),
        order(id="3", doNotPerform=True),
        dispensing(id="4", status="declined"),
        order(id="5", intent="plan"),
        order(id="6"),
    )
    manifest = run(tmp_path / "out", source)
    assert manifest["conservation"]["not_relevant"] == 4
    assert manifest["checked_records"] == {"order": 1}  # a plan is history


def test_several_instructions_leave_the_dose_open(tmp_path: Path) -> None:
    twice = order(dosageInstruction=order()["dosageInstruction"] * 2)
    run(tmp_path / "one", ndjson(tmp_path / "one.ndjson", order()), statuses=True)
    run(tmp_path / "two", ndjson(tmp_path / "two.ndjson", twice), statuses=True)

    def open_facts(out: Path) -> set[str]:
        return {fact for row in table(out, "statuses") for fact in row["missing"]}

    assert {"single_dose_mg", "daily_dose_mg"} & open_facts(tmp_path / "two") - open_facts(tmp_path / "one")


def test_liver_tests_are_a_part_of_what_there_is(tmp_path: Path) -> None:
    test = {
        "resourceType": "Observation",
        "id": "l1",
        "status": "final",
        "subject": ALICE,
        "code": {"coding": [{"system": "http://loinc.org", "code": "1742-6"}]},
        "effectiveDateTime": "2024-02-01",
        "valueQuantity": {"value": 200, "code": "U/L"},
        "referenceRange": [{"high": {"value": 40, "code": "U/L"}}],
    }
    other = test | {"id": "l2", "code": {"coding": [{"system": "http://loinc.org", "code": "2160-0"}]}}
    below = test | {"id": "l3", "valueQuantity": {"value": 5, "comparator": "<", "code": "U/L"}}
    manifest = run(tmp_path / "out", ndjson(tmp_path / "a.ndjson", order(), test, other, below))
    assert manifest["complete"]["labs"] == "partial"
    assert manifest["rejected"] == {"bad-number": 1}
    assert manifest["conservation"]["not_relevant"] == 1


def test_a_file_that_breaks_off_is_refused_from_there(tmp_path: Path) -> None:
    path = ndjson(tmp_path / "a.ndjson", *[order(id=f"{i}-{hash(str(i))}") for i in range(200)])
    packed = gzip.compress(path.read_bytes())
    (tmp_path / "b.ndjson.gz").write_bytes(packed[: len(packed) // 2])
    manifest = run(tmp_path / "out", tmp_path / "b.ndjson.gz")
    assert manifest["rejected"] == {"truncated-file": 1}
    assert manifest["conservation"]["audited"] > 10


def test_the_examples_of_the_standard_run_and_balance(tmp_path: Path) -> None:
    """Strangers' records: nothing fails, what is not recognised is counted, every line is accounted for."""
    resources = [json.loads(path.read_bytes()) for path in sorted(EXAMPLES.glob("*-*.json"))]
    assert len(resources) > 100
    manifest = run(tmp_path / "out", ndjson(tmp_path / "in" / "examples.ndjson", *resources), statuses=True)
    law = manifest["conservation"]
    assert law["balances"]
    assert law["physical"] == len(resources)
    assert set(manifest["rejected"]) <= {"unknown-drug", "no-drug", "no-date", "no-patient", "bad-date", "no-condition"}
    medications = [each for each in resources if each["resourceType"] in ("MedicationRequest", "MedicationDispense")]
    assert sum(manifest["checked_records"].values()) + sum(manifest["rejected"].values()) > len(medications) / 2
    assert manifest["rejected"]["unknown-drug"] > 0
