"""A site's policy through a real server: what is suppressed, what interrupts, what keeps it from starting."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.type.date_pb2 import Date

from medsafety import MedsafetyClient
from medsafety.v1 import common_pb2, decision_pb2, knowledge_pb2
from medsafety.v1 import knowledge_service_pb2 as wire
from medsafety.v1.knowledge_service_pb2_grpc import KnowledgeServiceStub
from medsafety.v1.medication_safety_service_pb2 import (
    BatchCheckPrescriptionsRequest,
    CheckPrescriptionRequest,
    CheckPrescriptionResponse,
)
from medsafety.v1.medication_safety_service_pb2_grpc import MedicationSafetyServiceStub
from safety_service.knowledge.load import RULES_DATA
from safety_service.server.serve import Serving, start
from safety_service.server.settings import Settings

EXAMPLE = RULES_DATA / "examples" / "site-policy.yaml"
Refused = Callable[[Callable[[], Any]], Any]


@pytest.fixture(scope="module")
def at_site() -> Iterator[Serving]:
    """A server with the example of a site's policy."""
    server = start(Settings(listen="127.0.0.1:0", policy_file=EXAMPLE, log_level="error"))
    yield server
    server.server.stop(None).wait()


@pytest.fixture(scope="module")
def site_channel(at_site: Serving) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(at_site.address) as opened:
        yield opened


@pytest.fixture
def site_checks(site_channel: grpc.Channel) -> MedicationSafetyServiceStub:
    return MedicationSafetyServiceStub(site_channel)


@pytest.fixture
def site_shows(site_channel: grpc.Channel) -> KnowledgeServiceStub:
    return KnowledgeServiceStub(site_channel)


def test_what_is_suppressed_is_answered_with_its_reason(
    checks: MedicationSafetyServiceStub,
    site_checks: MedicationSafetyServiceStub,
    request_sent: CheckPrescriptionRequest,
) -> None:
    default = checks.CheckPrescription(request_sent).decision
    for view in (common_pb2.VIEW_FULL, common_pb2.VIEW_BRIEF):
        request_sent.view = view
        decision = site_checks.CheckPrescription(request_sent).decision

        (kept,) = decision.suppressed
        assert (kept.rule_id, kept.status) == ("pathway.first-line", decision_pb2.CHECK_STATUS_SUPPRESSED)
        assert kept.severity == common_pb2.SEVERITY_LOW
        assert kept.reason.startswith("switched off by policy example-clinic 2026.1: Referral to physiotherapy")
        assert "pathway.first-line" in [each.rule_id for each in default.alerts]
        assert "pathway.first-line" not in [each.rule_id for each in decision.alerts]
        assert "pathway.first-line" not in [each.rule_id for each in decision.checks]
        assert decision.counts.suppressed == 1
        assert decision.counts.fired == len(decision.alerts) == default.counts.fired - 1
        absorbed = [each for each in decision.checks if each.rule_id == "pathway.adjunct"]
        if view == common_pb2.VIEW_FULL:
            assert [each.reason for each in absorbed] == ["absorbed by pathway.first-line"]
        else:
            assert absorbed == []


def test_changed_severities_and_limits_are_told(
    site_checks: MedicationSafetyServiceStub, request_sent: CheckPrescriptionRequest
) -> None:
    decision = site_checks.CheckPrescription(request_sent).decision
    alerts = {each.rule_id: each for each in decision.alerts}

    raised = alerts["sedation.safety-critical-task"]
    assert (raised.severity, raised.default_severity) == (common_pb2.SEVERITY_HIGH, common_pb2.SEVERITY_MODERATE)
    assert (raised.indicator, raised.clinical_significance) == (decision_pb2.INDICATOR_WARNING, 1)
    assert [each.authority for each in raised.citations] == ["label", "policy"]
    (threshold,) = alerts["duration.course"].thresholds
    assert (threshold.value, threshold.default_value, threshold.basis) == ("14", "21", "policy")
    assert alerts["sedation.opioid"].default_severity == common_pb2.SEVERITY_UNSPECIFIED
    assert all(each.interruptive == (each.severity >= common_pb2.SEVERITY_MODERATE) for each in decision.alerts), (
        "the stop level of this site"
    )
    assert (decision.policy.id, decision.policy.version) == ("example-clinic", "2026.1")
    assert decision.policy.stop_level == common_pb2.SEVERITY_MODERATE
    assert not decision.policy.changes

    request_sent.view = common_pb2.VIEW_BRIEF
    brief = site_checks.CheckPrescription(request_sent).decision
    assert brief.policy == knowledge_pb2.PolicyInfo(id="example-clinic", digest=decision.policy.digest)
    assert [each.interruptive for each in brief.alerts] == [each.interruptive for each in decision.alerts]


def test_an_override_sent_along_quietens_the_repeat(
    site_checks: MedicationSafetyServiceStub, request_sent: CheckPrescriptionRequest
) -> None:
    first = site_checks.CheckPrescription(request_sent).decision
    assert first.alerts[0].interruptive
    assert not first.alerts[0].HasField("overridden_before")
    request_sent.prior_overrides.add(
        fingerprint=first.alerts[0].fingerprint,
        overridden_on=Date(year=2026, month=11, day=1),
        reason="Taken for two weeks only.",
    )

    again = site_checks.CheckPrescription(request_sent).decision
    repeat = again.alerts[0]
    assert repeat.fingerprint == first.alerts[0].fingerprint
    assert not repeat.interruptive
    assert repeat.overridden_before.reason == "Taken for two weeks only."
    assert repeat.overridden_before.overridden_on == Date(year=2026, month=11, day=1)
    assert [each.rule_id for each in again.alerts] == [each.rule_id for each in first.alerts]
    assert [each.interruptive for each in again.alerts[1:]] == [each.interruptive for each in first.alerts[1:]]

    batch = site_checks.BatchCheckPrescriptions(BatchCheckPrescriptionsRequest(items=[request_sent]))
    brief = batch.items[0].response.decision.alerts[0]
    assert not brief.interruptive
    assert brief.overridden_before.HasField("overridden_on")
    assert not brief.overridden_before.reason, "BRIEF stays brief"


def test_a_reason_that_is_too_long_is_refused(
    site_checks: MedicationSafetyServiceStub, request_sent: CheckPrescriptionRequest, refused: Refused
) -> None:
    request_sent.prior_overrides.add(fingerprint="f", reason="x" * 1001)
    told = refused(lambda: site_checks.CheckPrescription(request_sent))
    assert list(told.violations) == ["prior_overrides[0].reason"]


def test_the_policy_that_is_expected(
    site_checks: MedicationSafetyServiceStub, request_sent: CheckPrescriptionRequest, refused: Refused
) -> None:
    request_sent.policy = "example-clinic"
    assert isinstance(site_checks.CheckPrescription(request_sent), CheckPrescriptionResponse)
    request_sent.policy = "default"
    assert refused(lambda: site_checks.CheckPrescription(request_sent)).reason == "UNKNOWN_POLICY"


def test_knowledge_shows_what_the_policy_changes(site_shows: KnowledgeServiceStub, at_site: Serving) -> None:
    (policy,) = site_shows.GetKnowledge(wire.GetKnowledgeRequest()).policies
    kinds = knowledge_pb2.PolicyChangeKind
    assert [(kinds.Name(e.kind).removeprefix("POLICY_CHANGE_KIND_"), e.before, e.after) for e in policy.changes] == [
        ("STOP_LEVEL", "HIGH", "MODERATE"),
        ("RULE_OFF", "LOW", ""),
        ("SEVERITY", "MODERATE", "HIGH"),
        ("SEVERITY", "HIGH, MODERATE", "MODERATE"),
        ("NUMBER", "7", "10"),
        ("LIMIT", "21", "14"),
    ]
    assert all(each.reason for each in policy.changes)
    (signed,) = [each.signed_off for each in policy.changes if each.HasField("signed_off")]
    assert (signed.reviewer, signed.signed_on) == ("A. Example", Date(year=2026, month=11, day=2))
    assert policy.title == "Example clinic, drug committee"

    rule = site_shows.GetRule(wire.GetRuleRequest(rule_id="pathway.first-line")).rule
    assert rule.switched_off.startswith("switched off by policy example-clinic")
    raised = site_shows.GetRule(wire.GetRuleRequest(rule_id="sedation.safety-critical-task")).rule
    assert not raised.switched_off
    assert {(each.severity, each.default_severity) for each in raised.bases} == {
        (common_pb2.SEVERITY_HIGH, common_pb2.SEVERITY_MODERATE)
    }
    line = site_shows.GetMedication(wire.GetMedicationRequest(medication_id="cyclobenzaprine-ir")).medication
    values = {each.name: (each.value, each.site_value) for each in line.statements}
    assert values["duration.max_days"] == ("21", "14")
    assert values["hepatic.mild_start_mg"] == ("5", "")
    listed = site_shows.ListSources(wire.ListSourcesRequest(page_size=500)).sources
    assert "policy-example-clinic" in [each.id for each in listed]


def test_the_default_policy_changes_nothing(shows: KnowledgeServiceStub) -> None:
    (policy,) = shows.GetKnowledge(wire.GetKnowledgeRequest()).policies
    assert (policy.id, policy.stop_level, list(policy.changes)) == ("default", common_pb2.SEVERITY_HIGH, [])


def test_a_server_does_not_start_on_a_policy_below_the_floor(tmp_path: Path) -> None:
    file = tmp_path / "low.yaml"
    file.write_text(
        EXAMPLE.read_text().replace("pathway.first-line: {alert: off", "hepatic.contraindicated: {alert: off")
    )
    line = 1 + file.read_text().splitlines().index(
        "  hepatic.contraindicated: {alert: off, reason: Referral to physiotherapy is part of the admission order set}"
    )
    ended = subprocess.run(
        [sys.executable, "-m", "safety_service", "serve", "--listen", "127.0.0.1:0", "--policy-file", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 4
    assert f"low.yaml:{line}: hepatic.contraindicated tells of a contraindication" in ended.stderr
    assert "serving" not in ended.stdout


def test_the_client_reads_it_all(at_site: Serving, request_sent: CheckPrescriptionRequest) -> None:
    with MedsafetyClient(at_site.address) as client:
        decision = client.check(request_sent).decision
    assert [each.rule_id for each in decision.suppressed] == ["pathway.first-line"]
