"""What is known of the patient, key by key: absent, none, failed, a part, all."""

from typing import Any

import pytest

from medsafety.v1 import common_pb2, patient_pb2
from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.people import Person, read_person
from safety_service.gateway.fhir.pool import Pool
from safety_service.gateway.fhir.prefetch import Known, read_prefetch
from safety_service.knowledge.knowledge import Knowledge
from tests.gateway.calls import TODAY

UNKNOWN, PARTIAL, COMPLETE = (
    common_pb2.COMPLETENESS_UNSPECIFIED,
    common_pb2.COMPLETENESS_PARTIAL,
    common_pb2.COMPLETENESS_COMPLETE,
)
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
FAILED = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]}


def bundle(*resources: dict[str, Any], **members: Any) -> dict[str, Any]:
    entries = [{"resource": each} for each in resources]
    return {"resourceType": "Bundle", **({"entry": entries} if entries else {}), **members}


def condition(code: str = "K74.60", **members: Any) -> dict[str, Any]:
    return {"resourceType": "Condition", "code": {"coding": [{"system": ICD, "code": code}]}, **members}


def statement(name: str = "oxycodone", **members: Any) -> dict[str, Any]:
    return {
        "resourceType": "MedicationStatement",
        "status": "active",
        "medicationCodeableConcept": {"text": name},
        **members,
    }


@pytest.fixture
def read(knowledge: Knowledge) -> Any:
    def call(**prefetch: Any) -> Person:
        pool, notes = Pool(), Notes()
        fetched = read_prefetch(prefetch, pool, notes)
        person = read_person("p1", fetched, pool, knowledge.care, TODAY)
        person.notes.unused += notes.unused
        return person

    return call


NEXT = [{"relation": "next", "url": "https://ehr.example.org/r4?page=2"}]
STATES: list[tuple[str, Any, Known, int, int]] = [
    ("null: looked, none", None, Known.NONE, 0, COMPLETE),
    ("an empty Bundle", bundle(), Known.COMPLETE, 0, COMPLETE),
    ("a Bundle without type", bundle(condition()), Known.COMPLETE, 1, COMPLETE),
    ("an OperationOutcome", FAILED, Known.FAILED, 0, UNKNOWN),
    ("a first page", bundle(condition(), link=NEXT), Known.PARTIAL, 1, PARTIAL),
    ("fewer than the total", bundle(condition(), total=2), Known.PARTIAL, 1, PARTIAL),
    ("as many as the total", bundle(condition(), total=1), Known.COMPLETE, 1, COMPLETE),
    ("a warning inside", bundle(condition(), FAILED), Known.PARTIAL, 1, PARTIAL),
    ("one resource", condition(), Known.PARTIAL, 1, PARTIAL),
    ("an array", [condition()], Known.PARTIAL, 1, PARTIAL),
    ("the old wrapper", {"response": {"status": "200"}, "resource": bundle(condition())}, Known.COMPLETE, 1, COMPLETE),
    ("a text", "none", Known.FAILED, 0, UNKNOWN),
    ("a bare resource as entry", {"resourceType": "Bundle", "entry": [condition()]}, Known.COMPLETE, 1, COMPLETE),
]


@pytest.mark.parametrize(("sent", "known", "count", "completeness"), [each[1:] for each in STATES],
                         ids=[each[0] for each in STATES])  # fmt: skip
def test_a_key(sent: Any, known: Known, count: int, completeness: int, read: Any) -> None:
    notes = Notes()
    assert read_prefetch({"conditions": sent}, Pool(), notes)["conditions"].known is known
    assert bool(notes.unused) == (known is Known.FAILED or "page" in str(notes.unused) or "total" in str(notes.unused)
                                  or "left" in str(notes.unused))  # fmt: skip
    told = read(conditions=sent).message
    assert len(told.conditions.items) == count
    assert told.conditions.completeness == completeness


def test_an_absent_key_is_not_there_at_all(read: Any) -> None:
    told = read().message
    assert not told.HasField("conditions")
    assert not told.HasField("medications")
    assert not told.HasField("allergies")
    assert not told.HasField("hepatic")
    assert not told.HasField("care_options_tried")


def test_medications_are_complete_only_by_all_three_keys(read: Any) -> None:
    three = {"medications": bundle(), "dispenses": None, "statements": bundle(statement())}
    assert read(**three).message.medications.completeness == COMPLETE
    for name in three:
        others = {each: three[each] for each in three if each != name}
        assert read(**others).message.medications.completeness != COMPLETE
        assert read(**others, **{name: FAILED}).message.medications.completeness != COMPLETE


def test_keys_of_other_services_are_true_and_not_all(read: Any) -> None:
    told = read(item1=bundle(statement()), item2=condition()).message
    assert (len(told.medications.items), told.medications.completeness) == (1, PARTIAL)
    assert (len(told.conditions.items), told.conditions.completeness) == (1, PARTIAL)


def test_a_resource_in_two_keys_counts_once(read: Any) -> None:
    twice = statement(id="s1")
    assert len(read(medications=bundle(twice), statements=bundle(twice)).message.medications.items) == 1


def test_what_is_of_another_patient_is_not_used(read: Any) -> None:
    other = {"reference": "https://ehr.example.org/r4/Patient/p2"}
    person = read(conditions=bundle(condition(subject=other), condition(subject={"reference": "Patient/p1"})))
    assert len(person.message.conditions.items) == 1
    assert person.message.conditions.completeness == PARTIAL
    assert [each.path for each in person.notes.unused] == ["prefetch.conditions.entry[0].resource"]
    person = read(patient={"resourceType": "Patient", "id": "p2", "gender": "male", "birthDate": "1950-01-01"})
    assert not person.message.HasField("birth_date")
    assert person.message.sex == patient_pb2.SEX_UNSPECIFIED


@pytest.mark.parametrize("verification", ["unconfirmed", "provisional", "differential"])
def test_what_is_not_confirmed_is_neither_there_nor_ruled_out(verification: str, read: Any) -> None:
    told = read(conditions=bundle(condition(verificationStatus={"coding": [{"code": verification}]}))).message
    assert (len(told.conditions.items), told.conditions.completeness) == (0, PARTIAL)
    told = read(conditions=bundle(condition(verificationStatus=verification))).message  # DSTU3
    assert (len(told.conditions.items), told.conditions.completeness) == (0, PARTIAL)


@pytest.mark.parametrize(
    ("members", "status"),
    [({"clinicalStatus": {"coding": [{"code": "resolved"}]}}, 6), ({"clinicalStatus": "active"}, 1), ({}, 0),
     ({"verificationStatus": {"coding": [{"code": "refuted"}]}, "clinicalStatus": "active"}, 7),
     ({"verificationStatus": {"coding": [{"code": "entered-in-error"}]}}, 8)],
)  # fmt: skip
def test_status_of_a_condition(members: dict[str, Any], status: int, read: Any) -> None:
    assert read(conditions=bundle(condition(**members))).message.conditions.items[0].status == status


def allergy(**members: Any) -> dict[str, Any]:
    return {"resourceType": "AllergyIntolerance", "code": {"text": "carisoprodol"}, **members}


def test_allergies(read: Any) -> None:
    none = allergy(code={"coding": [{"system": "http://snomed.info/sct", "code": "716186003"}]})
    peanut = allergy(code={"text": "peanut"}, category=["food"])
    told = read(allergies=bundle(allergy(), none, peanut)).message.allergies
    assert [each.substance.text for each in told.items] == ["carisoprodol"]
    assert told.completeness == COMPLETE
    told = read(allergies=bundle(none)).message.allergies
    assert (len(told.items), told.completeness) == (0, COMPLETE)
    told = read(allergies=bundle(allergy(verificationStatus="unconfirmed"))).message.allergies
    assert (len(told.items), told.completeness) == (0, PARTIAL)


BIRTH_SEX = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex"


@pytest.mark.parametrize(
    ("members", "sex"),
    [({"gender": "female"}, 1), ({"gender": "male"}, 2), ({"gender": "other"}, 3), ({"gender": "unknown"}, 0), ({}, 0),
     ({"gender": "female", "extension": [{"url": BIRTH_SEX, "valueCode": "F"}]}, 1),
     ({"gender": "male", "extension": [{"url": BIRTH_SEX, "valueCode": "F"}]}, 0),
     ({"extension": [{"url": BIRTH_SEX, "valueCode": "M"}]}, 2)],
)  # fmt: skip
def test_sex(members: dict[str, Any], sex: int, read: Any) -> None:
    assert read(patient={"resourceType": "Patient", "id": "p1", **members}).message.sex == sex


def lab(code: str, value: Any, unit: str = "U/L", on: str | None = "2026-11-20", **members: Any) -> dict[str, Any]:
    held = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "valueQuantity": {"value": value, "unit": unit},
        **({"effectiveDateTime": on} if on else {}),
        **members,
    }
    return held


def test_liver_tests(read: Any) -> None:
    limit = [{"high": {"value": 40, "unit": "U/L"}}]
    told = read(
        liver=bundle(
            lab("1742-6", 80, referenceRange=limit),
            lab("1975-2", 17, "umol/L"),
            lab("1920-8", 30, "IU/L"),
            lab("1742-6", 5, status="entered-in-error"),
            lab("2345-7", 5),
        )
    ).message.hepatic.labs
    assert [(each.test, each.value.value, each.value.unit) for each in told.items] == [
        (patient_pb2.LIVER_TEST_ALT, 80, "U/L"),
        (patient_pb2.LIVER_TEST_BILIRUBIN, 17, "umol/L"),
        (patient_pb2.LIVER_TEST_AST, 30, "U/L"),
    ]
    assert (told.items[0].upper_limit.value, told.items[0].resulted_on.day) == (40, 20)
    assert told.completeness == COMPLETE
    assert read(liver=None).message.hepatic.labs.completeness == COMPLETE
    assert read(item9=bundle(lab("1742-6", 80))).message.hepatic.labs.completeness == PARTIAL


def test_kidneys_take_the_latest_in_their_unit(read: Any) -> None:
    old, new = lab("98979-8", 70, "mL/min/1.73 m2", "2025-01-01"), lab("33914-3", 45, "mL/min/{1.73_m2}", "2026-11-01")
    person = read(kidney=bundle(old, new, lab("35591-7", 38, "mL/min")))
    assert (person.message.renal.egfr, person.message.renal.crcl) == (45, 38)
    person = read(kidney=bundle(lab("98979-8", 70, "mL/s")))
    assert not person.message.HasField("renal")
    assert person.notes.unused
    person = read(kidney=bundle(old, lab("98979-8", 30, "mL/min/1.73 m2", None)))
    assert not person.message.HasField("renal")  # the undated one could be the latest


def test_two_results_of_one_day_count_only_if_they_agree(read: Any) -> None:
    """The estimates for two races come together: which is the patient's nobody says."""
    one, same, other = (lab(code, value, "mL/min/1.73 m2", "2026-11-01")
                        for code, value in (("48642-3", 29), ("48643-1", 29), ("48643-1", 35)))  # fmt: skip
    assert read(kidney=bundle(one, same)).message.renal.egfr == 29
    person = read(kidney=bundle(one, other, lab("98979-8", 50, "mL/min/1.73 m2", "2026-10-01")))
    assert not person.message.HasField("renal")
    assert "differ" in person.notes.unused[0].reason


def test_a_measured_clearance_counts_as_one(read: Any) -> None:
    assert read(kidney=bundle(lab("2164-2", 38, "mL/min"))).message.renal.crcl == 38


@pytest.mark.parametrize(("code", "expected"), [("LA29252-6", 2), ("LA29253-4", 1), ("LA33-6", 0)])
def test_breastfeeding(code: str, expected: int, read: Any) -> None:
    value = {"coding": [{"system": "http://loinc.org", "code": code}]}
    observed = lab("63895-7", None, valueCodeableConcept=value)
    del observed["valueQuantity"]
    person = read(breastfeeding=bundle(observed))
    assert (person.message.lactating, bool(person.notes.unused)) == (expected, not expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [({"coding": [{"system": "http://snomed.info/sct", "code": "77386006"}]}, 2),
     ({"coding": [{"system": "http://snomed.info/sct", "code": "60001007"}]}, 1),
     ({"coding": [{"system": "http://loinc.org", "code": "LA15173-0"}]}, 2),
     ({"coding": [{"system": "http://snomed.info/sct", "code": "261665006"}]}, 0), ({"text": "Pregnant"}, 0)],
)  # fmt: skip
def test_pregnancy(value: dict[str, Any], expected: int, read: Any) -> None:
    observed = lab("82810-3", None, valueCodeableConcept=value)
    del observed["valueQuantity"]
    assert read(pregnancy=bundle(observed)).message.pregnant == expected


def procedure(name: str, status: str = "completed", kind: str = "Procedure") -> dict[str, Any]:
    return {"resourceType": kind, "status": status, "code": {"text": name}}


def test_non_drug_care(read: Any) -> None:
    told = read(
        procedures=bundle(procedure("Yoga")), referrals=bundle(procedure("Tai chi", "active", "ServiceRequest"))
    )
    care = told.message.care_options_tried
    assert [(each.option_id, each.outcome) for each in care.items] == [("yoga", 0), ("tai-chi", 1)]
    assert care.completeness == COMPLETE
    assert read(procedures=None, referrals=None).message.care_options_tried.completeness == COMPLETE
    assert read(procedures=None).message.care_options_tried.completeness == UNKNOWN
    unrelated = read(procedures=bundle(procedure("Appendectomy")), referrals=None).message.care_options_tried
    assert (len(unrelated.items), unrelated.completeness) == (0, UNKNOWN)


def test_a_list_longer_than_the_contract_takes_is_a_part(read: Any) -> None:
    many = [condition(id=f"c{i}") for i in range(501)]
    person = read(conditions=bundle(*many))
    assert (len(person.message.conditions.items), person.message.conditions.completeness) == (500, PARTIAL)
    assert person.notes.unused
