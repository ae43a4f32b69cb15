"""The server and the audit answer alike: made-up orders, each sent with what was known on its day.

Histories hold medications, conditions, liver tests, care, kidney function, pregnancy, breast-feeding and allergies.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest

from medsafety.v1 import decision_pb2
from medsafety.v1.medication_safety_service_pb2_grpc import MedicationSafetyServiceStub
from safety_service.audit.buckets import patients, read_bucket
from safety_service.audit.known import Told, requests
from safety_service.audit.run import Options, audit
from safety_service.audit.synth import Plan, write
from safety_service.domain import Answer, CheckRequest, CheckStatus, Completeness, Role, Severity
from safety_service.knowledge.knowledge import Knowledge
from tests.bench.wire import on_the_wire

Key = tuple[str, str]
ALL = Told(*[Completeness.COMPLETE] * 4)
_RECORD_ROLES = (Role.CO_AGENT, Role.HISTORY)
# Of several drugs asked for one order the audit counts the first of these.
_RANK = [
    getattr(decision_pb2, f"CHECK_STATUS_{name}")
    for name in ("FIRED", "ERROR", "NOT_EVALUATED", "PASSED", "SUPPRESSED", "NOT_APPLICABLE")
]


@pytest.mark.parametrize("rows", [250, pytest.param(11_200, marks=pytest.mark.long)])
def test_the_server_and_the_audit_give_the_same_alerts_and_answers(  # of 11,200 records 10,000 can be sent
    rows: int, knowledge: Knowledge, checks: MedicationSafetyServiceStub, tmp_path: Path, seed: int
) -> None:
    write(knowledge, Plan(rows, seed % 1000), tmp_path / "in", "parquet")
    _write_observed(tmp_path / "in", Random(seed))
    audit(Options((str(tmp_path / "in"),), tmp_path / "out", buckets=1, statuses=True), None, knowledge)
    alerts: dict[Key, list[Any]] = defaultdict(list)
    for row in pq.read_table(tmp_path / "out" / "alerts.parquet").to_pylist():
        alerts[row["patient"], row["index_record"]].append(
            (
                row["rule_id"], row["rule_version"], row["severity"], row["subject"],
                [tuple(fact.values()) for fact in row["facts"]],
                [tuple(each.values()) for each in row["thresholds"]],
                row["missing"], row["evidence_records"], row["evidence_codes"],
            )
        )  # fmt: skip
    answers: dict[Key, dict[str, str]] = defaultdict(dict)
    for row in pq.read_table(tmp_path / "out" / "statuses.parquet").to_pylist():
        answers[row["patient"], row["index_record"]][row["rule_id"]] = row["status"]

    seen: Counter[str] = Counter()
    for each in patients(read_bucket([tmp_path / "out" / ".work" / "rows" / "00000"], 0, range(9))):
        for i, request in requests(each, ALL, knowledge.policy_numbers["policy.exposure.most_days"]):
            key = each.patient, each.medications[i]["record"]
            message = on_the_wire(request)
            if message is None:  # a longer history than the contract takes
                seen["not sent"] += 1
                continue
            decision = checks.CheckPrescription(message, timeout=60).decision
            assert [_alert(alert) for alert in decision.alerts] == alerts[key]
            assert _answers(decision) == answers[key]
            seen["alerts"] += len(decision.alerts)
            seen["orders"] += 1
            seen.update(_told_by(request))
            seen.update(f"fired: {each.rule_id.partition('.')[0]}" for each in decision.alerts)
    print(f"\n{dict(seen)}")
    assert seen["orders"] >= rows * 0.9, seen
    assert seen["alerts"] > rows / 2
    wanted = ["conditions", "labs", "care", "kidneys", "pregnancy", "breast-feeding", "allergies"]
    if rows > 10_000:
        assert seen["orders"] >= 10_000
        wanted += ["fired: renal", "fired: pregnancy", "fired: lactation", "fired: contraindication", "fired: caution"]
    assert {each for each in wanted if not seen[each]} == set(), seen


def _told_by(request: CheckRequest) -> list[str]:
    patient = request.patient
    told = {
        "conditions": patient.conditions.items,
        "labs": patient.hepatic.labs.items,
        "care": patient.care.items,
        "kidneys": patient.renal.egfr,
        "pregnancy": patient.pregnant is not Answer.UNKNOWN,
        "breast-feeding": patient.lactating is not Answer.UNKNOWN,
        "allergies": patient.allergies.items,
    }
    return [name for name, value in told.items() if value]


def _write_observed(folder: Path, rng: Random) -> None:
    """What columns do not tell, as FHIR resources of the same patients: on days on which something was ordered too."""
    medications = pq.read_table(folder / "medications.parquet")
    columns = ("patient_id", "ordered_on", "dispensed_on", "drug_name")
    resources = []
    for number, row in enumerate(zip(*(medications.column(name).to_pylist() for name in columns), strict=True)):
        patient, ordered, dispensed, drug = row
        said = {"id": f"o{number}", "status": "final", "subject": {"reference": f"Patient/{patient}"}}
        on = {"effectiveDateTime": str(ordered or dispensed)}
        kidneys = {"valueQuantity": {"value": rng.choice((12, 24, 29, 30, 59, 60, 90)), "unit": "mL/min/{1.73_m2}"}}
        for part, code, value in (
            (0.3, "98979-8", kidneys),
            (0.3, "82810-3", _answer(rng.choice(("LA15173-0", "LA26683-5")))),
            (0.2, "63895-7", _answer(rng.choice(("LA29252-6", "LA29253-4")))),
        ):
            if rng.random() < part:
                coded = {"code": {"coding": [{"system": "http://loinc.org", "code": code}]}}
                observed = {"resourceType": "Observation", **said, "id": f"o{number}-{code}", **coded, **value, **on}
                resources.append(observed)
        if rng.random() < 0.2:
            none = {"coding": [{"system": "http://snomed.info/sct", "code": "716186003"}]}
            substance = rng.choice((none, {"text": drug.split()[0]}, {"text": "amoxicillin"}))
            resources.append(
                {
                    "resourceType": "AllergyIntolerance",
                    "id": f"a{number}",
                    "patient": said["subject"],
                    "clinicalStatus": {"coding": [{"code": "active"}]},
                    "verificationStatus": {"coding": [{"code": "confirmed"}]},
                    "code": substance,
                    "recordedDate": str(ordered or dispensed),
                }
            )
    (folder / "observed.ndjson").write_text("\n".join(map(json.dumps, resources)))


def _answer(code: str) -> dict[str, Any]:
    return {"valueCodeableConcept": {"coding": [{"system": "http://loinc.org", "code": code}]}}


def _alert(alert: decision_pb2.Alert) -> tuple[Any, ...]:
    records = [each.reference for each in alert.implicated if each.role in [int(role) for role in _RECORD_ROLES]]
    codes = [each.reference for each in alert.implicated if each.role == int(Role.CONDITION)]
    return (
        alert.rule_id, alert.rule_version, Severity(alert.severity).name.lower(), alert.subject,
        [(each.name, each.value, each.unit) for each in alert.facts],
        [_threshold(each) for each in alert.thresholds],
        [each.fact for each in alert.missing], list(dict.fromkeys(records)), list(dict.fromkeys(codes)),
    )  # fmt: skip


def _threshold(each: decision_pb2.Threshold) -> tuple[str, ...]:
    return each.fact, each.comparison, each.value, each.unit, each.basis, each.limit


def _answers(decision: decision_pb2.Decision) -> dict[str, str]:
    found: dict[str, int] = {}
    for each in decision.checks:
        if each.rule_id not in found or _RANK.index(each.status) < _RANK.index(found[each.rule_id]):
            found[each.rule_id] = each.status
    return {rule: CheckStatus(status).name.lower() for rule, status in found.items()}
