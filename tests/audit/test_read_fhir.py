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


@pytest.mark.parametrize("status", ["active", "completed"])
def test_the_bounds_of_an_order_were_ordered_whatever_became_of_it(tmp_path: Path, status: str) -> None:
    bounds = {"boundsPeriod": {"start": "2024-03-01", "end": "2024-03-25"}, "frequency": 3, "period": 1}
    instruction = {"timing": {"repeat": bounds | {"periodUnit": "d"}}}
    one = order(status=status, dispenseRequest={"numberOfRepeatsAllowed": 0}, dosageInstruction=[instruction])
    run(tmp_path / "out", ndjson(tmp_path / "rx.ndjson", one))
    [course] = [row for row in table(tmp_path / "out", "alerts") if row["rule_id"] == "duration.course"]
    assert course["facts"] == [{"name": "course_days", "value": "25", "unit": "d"}]


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
        "medications": "complete", "conditions": "complete",
        "labs": "unknown", "care": "unknown", "allergies": "unknown",
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
    assert (("MedicationDispense/d1", "duration.episode") in fired(tmp_path / "out")) is not linked


@pytest.mark.parametrize("linked", [True, False])
def test_an_id_is_that_of_one_resource_of_its_type(tmp_path: Path, linked: bool) -> None:
    """A server counts each type by itself: none of these is lost, and the link still finds the order of that id."""
    supply = {"expectedSupplyDuration": {"value": 14, "unit": "d"}, "numberOfRepeatsAllowed": 0}
    link = {"authorizingPrescription": [{"reference": "MedicationRequest/1"}]} if linked else {}
    statement = {
        "resourceType": "MedicationStatement",
        "id": "1",
        "status": "active",
        "subject": ALICE,
        "dateAsserted": "2024-03-01",
        "effectiveDateTime": "2024-02-20",
        "medicationCodeableConcept": {"text": "oxycodone 5 mg tablet"},
    }
    one, its_supply = order(id="1", dispenseRequest=supply), dispensing(id="1", **link)
    twice = ndjson(tmp_path / "in" / "b.ndjson", one, its_supply, statement)
    manifest = run(tmp_path / "out", ndjson(tmp_path / "in" / "a.ndjson", statement, its_supply, one), twice)
    assert manifest["rejected"] == {}
    assert manifest["conservation"]["duplicate"] == 3
    assert manifest["checked_records"] == {"order": 1, "dispensing": 1}
    found = fired(tmp_path / "out")
    assert {("1", "sedation.opioid"), ("MedicationDispense/1", "sedation.opioid")} <= found
    evidence = {
        row["index_record"]: row["evidence_records"]
        for row in table(tmp_path / "out", "alerts")
        if row["rule_id"] == "sedation.opioid"
    }
    assert evidence["1"] == ["MedicationStatement/1"]
    assert (("MedicationDispense/1", "duration.episode") in found) is not linked


def test_the_same_id_with_other_content_is_still_a_contradiction(tmp_path: Path) -> None:
    source = ndjson(tmp_path / "a.ndjson", dispensing(id="1"), dispensing(id="1", daysSupply={"value": 7, "code": "d"}))
    manifest = run(tmp_path / "out", source)
    assert manifest["rejected"] == {"duplicate-id": 1}
    assert manifest["checked_records"] == {"dispensing": 1}


def test_a_procedure_and_the_order_for_one_may_have_the_same_id(tmp_path: Path) -> None:
    code = {"coding": [{"system": "http://snomed.info/sct", "code": "91251008"}]}
    done = {"resourceType": "Procedure", "id": "1", "status": "completed", "subject": ALICE, "code": code}
    asked = {"resourceType": "ServiceRequest", "id": "1", "status": "active", "intent": "order", "subject": ALICE}
    done |= {"performedDateTime": "2024-02-01"}
    asked |= {"code": code, "authoredOn": "2024-01-20"}
    manifest = run(tmp_path / "out", ndjson(tmp_path / "a.ndjson", order(), done, asked, asked))
    assert manifest["rejected"] == {}
    law = manifest["conservation"]
    assert (law["audited"], law["duplicate"], law["not_relevant"]) == (3, 1, 0)


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
    assert set(manifest["rejected"]) <= {
        "unknown-drug",
        "no-drug",
        "no-date",
        "no-patient",
        "bad-date",
        "no-condition",
        "not-confirmed",
    }
    medications = [each for each in resources if each["resourceType"] in ("MedicationRequest", "MedicationDispense")]
    assert sum(manifest["checked_records"].values()) + sum(manifest["rejected"].values()) > len(medications) / 2
    assert manifest["rejected"]["unknown-drug"] > 0


def of_rules(out: Path, *rules: str) -> dict[tuple[str, str], str]:
    found = table(out, "statuses")
    return {(row["index_record"], row["rule_id"]): row["status"] for row in found if row["rule_id"] in rules}


def kidneys(identity: str, on: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": identity,
        "status": "final",
        "subject": ALICE,
        "code": {"coding": [{"system": "http://loinc.org", "code": "98979-8"}]},
        "valueQuantity": {"value": 20, "unit": "mL/min/{1.73_m2}"},
        "effectiveDateTime": on,
    } | more


def test_kidney_function_is_the_latest_known_on_the_day(tmp_path: Path) -> None:
    from safety_service.audit.buckets import patients, read_bucket
    from safety_service.audit.known import Told, requests

    below = {"valueQuantity": {"value": 60, "comparator": ">", "unit": "mL/min/{1.73_m2}"}}
    source = ndjson(
        tmp_path / "in" / "a.ndjson",
        order(id="o1", authoredOn="2024-03-01"),
        order(id="o2", authoredOn="2024-03-10"),
        order(id="o3", authoredOn="2024-03-20"),
        order(id="o4", authoredOn="2024-03-30"),
        kidneys("k1", "2024-03-05"),
        kidneys("k2", "2024-03-15", **below),
        kidneys("k3", "2024-03-25"),
        kidneys("k4", "2024-03-25", valueQuantity={"value": 35, "unit": "mL/min/1.73m2"}),
        kidneys("k5", "2024-03-01", valueQuantity={"value": 9, "unit": "furlong"}, status="cancelled"),
    )
    manifest = run(tmp_path / "out", source, statuses=True)
    assert manifest["conservation"]["audited"] == 8
    bucket = read_bucket([tmp_path / "out" / ".work" / "rows" / "00000"], 0, [0])
    known = {
        request.prescription.id: request.patient.renal.egfr
        for _, request in requests(next(patients(bucket)), Told(), 365)
    }
    assert known == {"o1": None, "o2": 20.0, "o3": None, "o4": None}  # above 60 is no value; two of one day differ


def test_a_pregnancy_is_known_on_the_day_it_was_documented(tmp_path: Path) -> None:
    pregnant = {
        "resourceType": "Observation",
        "id": "p1",
        "status": "final",
        "subject": ALICE,
        "code": {"coding": [{"system": "http://loinc.org", "code": "82810-3"}]},
        "valueCodeableConcept": {"coding": [{"system": "http://snomed.info/sct", "code": "77386006"}]},
        "effectiveDateTime": "2024-03-01T09:00:00Z",
    }
    alice = {"resourceType": "Patient", "id": "alice", "gender": "female", "birthDate": "1994-05-01"}
    source = ndjson(
        tmp_path / "in" / "a.ndjson", alice, pregnant, order(id="o1"), order(id="o2", authoredOn="2025-03-01")
    )
    run(tmp_path / "out", source, statuses=True)
    status = {
        (row["index_record"], row["status"])
        for row in table(tmp_path / "out", "statuses")
        if row["rule_id"].startswith("pregnancy.")
    }
    assert ("o1", "fired") in status
    assert ("o2", "fired") not in status
    assert ("o2", "not_evaluated") in status  # a year later nobody knows


def allergy(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "AllergyIntolerance",
        "id": "a1",
        "clinicalStatus": {"coding": [{"code": "active"}]},
        "verificationStatus": {"coding": [{"code": "confirmed"}]},
        "patient": ALICE,
        "code": {"text": "cyclobenzaprine"},
        "recordedDate": "2024-02",
    } | more


@pytest.mark.parametrize(
    ("allergies", "expected"),
    [
        ([], "not_evaluated"),
        ([allergy()], "fired"),
        ([allergy(recordedDate="2024-03")], "not_evaluated"),  # known at the end of the month
        ([allergy(code={"text": "amoxicillin"})], "passed"),
        ([allergy(code={"coding": [{"system": "http://snomed.info/sct", "code": "716186003"}]})], "passed"),
        ([allergy(code={"text": "peanut"}, category=["food"])], "not_evaluated"),
        ([allergy(), allergy(id="a2", verificationStatus={"coding": [{"code": "refuted"}]})], "fired"),
        ([allergy(verificationStatus={"coding": [{"code": "unconfirmed"}]})], "not_evaluated"),
        ([allergy(verificationStatus={"coding": [{"code": "entered-in-error"}]})], "not_evaluated"),
        ([allergy(verificationStatus={"coding": [{"code": "refuted"}]})], "not_evaluated"),
        (
            [
                allergy(code={"text": "amoxicillin"}),
                allergy(id="a2", verificationStatus={"coding": [{"code": "unconfirmed"}]}),
            ],
            "not_evaluated",
        ),
    ],
)
def test_allergies_are_known_once_any_or_none_is_documented(
    allergies: list[dict[str, Any]], expected: str, tmp_path: Path
) -> None:
    manifest = run(tmp_path / "out", ndjson(tmp_path / "in" / "a.ndjson", order(), *allergies), statuses=True)
    rule = "contraindication.cyclobenzaprine.hypersensitivity"
    assert of_rules(tmp_path / "out", rule) == {("o1", rule): expected}
    assert manifest["conservation"]["balances"]


@pytest.mark.parametrize(
    ("allergies", "expected"),
    [
        ([allergy()], "fired"),
        ([allergy(code={"text": "amoxicillin"})], "not_evaluated"),
        ([allergy(code={"coding": [{"system": "http://snomed.info/sct", "code": "716186003"}]})], "passed"),
    ],
)
def test_allergies_said_to_be_partial_rule_none_out_unless_none_is_documented(
    allergies: list[dict[str, Any]], expected: str, tmp_path: Path
) -> None:
    lines = ndjson(tmp_path / "in" / "a.ndjson", order(), *allergies)
    run(tmp_path / "out", lines, statuses=True, partial=frozenset({"allergies"}))
    rule = "contraindication.cyclobenzaprine.hypersensitivity"
    assert of_rules(tmp_path / "out", rule) == {("o1", rule): expected}


def test_care_is_read_from_procedures_and_referrals(tmp_path: Path) -> None:
    exercise = {"resourceType": "Procedure", "id": "c1", "status": "completed", "subject": ALICE,
                "code": {"text": "Yoga"}, "performedDateTime": "2024-02-01"}  # fmt: skip
    other = {**exercise, "id": "c2", "code": {"text": "Appendectomy"}}
    manifest = run(tmp_path / "out", ndjson(tmp_path / "in" / "a.ndjson", order(), exercise, other), statuses=True)
    assert manifest["inputs"][0]["kept"] == {"medications": 1, "care": 1}
    assert manifest["conservation"]["not_relevant"] == 1
    assert manifest["complete"]["care"] == "partial"
    assert of_rules(tmp_path / "out", "pathway.first-line") == {("o1", "pathway.first-line"): "passed"}


def test_a_condition_that_is_not_confirmed_leaves_the_list_open(tmp_path: Path) -> None:
    glaucoma = {
        "resourceType": "Condition",
        "id": "x1",
        "subject": ALICE,
        "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "I50.9"}]},
        "clinicalStatus": {"coding": [{"code": "active"}]},
        "verificationStatus": {"coding": [{"code": "differential"}]},
        "recordedDate": "2024-01-01",
    }
    manifest = run(tmp_path / "out", ndjson(tmp_path / "in" / "a.ndjson", order(), glaucoma), statuses=True)
    assert manifest["rejected"] == {"not-confirmed": 1}
    found = {row["status"] for row in table(tmp_path / "out", "statuses") if "heart" in row["rule_id"]}
    assert "fired" not in found
    assert "not_evaluated" in found
