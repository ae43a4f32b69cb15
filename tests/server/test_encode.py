"""What an answer looks like, field by field, in both views."""

import uuid
from datetime import date

import pytest
from google.type.date_pb2 import Date

from medsafety.v1 import care_pb2, common_pb2, decision_pb2, review_pb2
from medsafety.v1.medication_safety_service_pb2 import CheckPrescriptionRequest
from safety_service import domain
from safety_service.domain import CheckStatus, MatchedBy, Severity, View, to_day
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.schema import Review
from safety_service.server import encode
from safety_service.server.decode import decode

ID = uuid.UUID("0b0e3a1c-7a4e-4a63-9d53-2a0c4b1f6e11")
NS = 1_795_377_975_690_643_808


@pytest.fixture
def decision(knowledge: Knowledge, request_sent: CheckPrescriptionRequest) -> domain.Decision:
    return check(knowledge, decode(request_sent, 0).request, b"key")


def test_the_envelope(knowledge: Knowledge, decision: domain.Decision) -> None:
    answer = encode.encode_response(knowledge, decision, View.FULL, "mine", ID.bytes, NS)

    assert answer.request_id == "mine"
    assert answer.decision_id == str(ID)
    assert answer.evaluated_at.ToNanoseconds() == NS
    assert list(answer.alert_ids) == [str(uuid.uuid5(ID, each.fingerprint)) for each in decision.alerts]
    assert len(answer.alert_ids) == len(answer.decision.alerts) > 1


def test_a_full_decision_leaves_nothing_out(knowledge: Knowledge, decision: domain.Decision) -> None:
    full = encode.encode_decision(knowledge, decision, View.FULL)

    assert full.overall == decision_pb2.OVERALL_ALERTS
    assert full.highest_severity == common_pb2.SEVERITY_HIGH
    assert full.complete is decision.complete
    assert full.as_of == Date(year=2026, month=11, day=2)
    assert [each.rule_id for each in full.alerts] == [each.rule_id for each in decision.alerts]
    assert [(each.rule_id, int(each.status)) for each in full.checks] == [
        (each.rule_id, int(each.status)) for each in decision.checks
    ]
    assert len(full.resolved_medications) == len(decision.resolved_medications) == 2
    assert list(full.care_option_ids) == list(decision.care_option_ids)
    assert [each.id for each in full.care_options] == list(decision.care_option_ids)
    assert len(full.care_pathway.steps) == 3
    assert full.knowledge.digest == knowledge.digest
    assert full.knowledge.review_status == review_pb2.REVIEW_STATUS_NOT_REVIEWED
    assert full.policy.id == "default"
    assert full.policy.digest == knowledge.policy_digest
    assert full.engine_version == decision.engine_version


def test_an_alert_is_explained_in_full(knowledge: Knowledge, decision: domain.Decision) -> None:
    ours = next(each for each in decision.alerts if each.rule_id == "hepatic.start-dose")

    alert = encode.encode_alert(knowledge, ours, full=True)

    assert (alert.fingerprint, alert.subject, alert.pathway_step) == (ours.fingerprint, ours.subject, ours.pathway_step)
    assert (alert.title, alert.message, alert.action) == (ours.title, ours.message, ours.action)
    assert [(each.name, each.value, each.unit) for each in alert.facts] == [
        (each.name, each.value, each.unit) for each in ours.facts
    ]
    assert [(each.comparison, each.value, each.unit, each.limit) for each in alert.thresholds] == [
        (each.operator, each.value, each.unit, each.limit) for each in ours.thresholds
    ]
    assert [(each.field, each.current, each.proposed, each.unit, each.text) for each in alert.suggestions] == [
        tuple(each) for each in ours.suggestions
    ]
    assert [(each.source_id, each.section, each.verb) for each in alert.citations] == [
        (each.source_id, each.section, each.verb) for each in ours.citations
    ]
    assert [each.option_id for each in alert.care_options] == list(ours.care_option_ids)
    assert (int(alert.kind), int(alert.severity)) == (ours.kind, ours.severity)
    assert [each.code for each in alert.act_codes] == list(ours.act_codes)
    assert {each.system for each in alert.act_codes} == {"http://terminology.hl7.org/CodeSystem/v3-ActCode"}
    assert list(alert.dur_codes) == list(ours.dur_codes)


def test_brief_keeps_what_was_decided_and_leaves_the_texts(knowledge: Knowledge, decision: domain.Decision) -> None:
    full = encode.encode_decision(knowledge, decision, View.FULL)
    brief = encode.encode_decision(knowledge, decision, View.BRIEF)

    untold = {CheckStatus.PASSED, CheckStatus.NOT_APPLICABLE}
    assert {each.status for each in full.checks} >= untold
    assert not untold & {CheckStatus(each.status) for each in brief.checks}
    assert brief.counts == full.counts
    assert sum(getattr(brief.counts, field.name) for field in brief.counts.DESCRIPTOR.fields) == len(full.checks)
    assert not brief.HasField("care_pathway")
    assert not brief.care_options
    assert list(brief.care_option_ids) == list(full.care_option_ids)
    assert brief.knowledge.digest == full.knowledge.digest
    assert brief.knowledge.version == full.knowledge.version
    assert not brief.knowledge.schema_version
    assert brief.knowledge.review_status == review_pb2.REVIEW_STATUS_UNSPECIFIED
    assert [each.reference for each in brief.resolved_medications] == ["order-1"]
    for told, alert in zip(full.alerts, brief.alerts, strict=True):
        assert alert.rule_id == told.rule_id
        assert alert.severity == told.severity
        assert alert.facts == told.facts
        assert alert.thresholds == told.thresholds
        assert alert.missing == told.missing
        for field in ("title", "message", "action", "computation", "citations", "care_options"):
            assert not getattr(alert, field), field
        assert not any(each.text for each in alert.suggestions)
        assert not any(each.display for each in alert.implicated)
        assert [each.reference for each in alert.implicated] == [each.reference for each in told.implicated]


def test_brief_keeps_medications_that_were_not_recognised_or_are_in_conflict(
    knowledge: Knowledge, decision: domain.Decision
) -> None:
    def resolved(reference: str, matched_by: MatchedBy, conflict: str = "") -> domain.ResolvedMedication:
        return domain.ResolvedMedication(reference, "as sent", matched_by, "", conflict=conflict)

    changed = decision._replace(
        resolved_medications=(
            resolved("order", MatchedBy.ATC),
            resolved("known", MatchedBy.ATC),
            resolved("unknown", MatchedBy.NONE),
            resolved("conflict", MatchedBy.ATC, "code and text disagree"),
        ),
    )

    brief = encode.encode_decision(knowledge, changed, View.BRIEF)

    assert [each.reference for each in brief.resolved_medications] == ["order", "unknown", "conflict"]


@pytest.mark.parametrize(
    ("severity", "indicator", "issue", "significance"),
    [
        (Severity.LOW, "INDICATOR_INFO", "DETECTED_ISSUE_SEVERITY_LOW", 3),
        (Severity.MODERATE, "INDICATOR_WARNING", "DETECTED_ISSUE_SEVERITY_MODERATE", 2),
        (Severity.HIGH, "INDICATOR_WARNING", "DETECTED_ISSUE_SEVERITY_HIGH", 1),
        (Severity.CONTRAINDICATED, "INDICATOR_CRITICAL", "DETECTED_ISSUE_SEVERITY_HIGH", 1),
    ],
)
def test_how_a_severity_is_shown(
    knowledge: Knowledge,
    decision: domain.Decision,
    severity: Severity,
    indicator: str,
    issue: str,
    significance: int,
) -> None:
    words = decision.alerts[0].words._replace(severity=severity)
    alert = encode.encode_alert(knowledge, decision.alerts[0]._replace(words=words), full=False)

    assert decision_pb2.Indicator.Name(alert.indicator) == indicator
    assert decision_pb2.DetectedIssueSeverity.Name(alert.detected_issue_severity) == issue
    assert alert.clinical_significance == significance


def test_an_order_that_is_not_known_stays_absent() -> None:
    order = encode.encode_order(domain.NormalizedOrder())

    assert order.ListFields() == []


def test_micrograms_are_told_in_mg() -> None:
    day = to_day(date(2026, 11, 2))
    order = domain.NormalizedOrder(7500, 10_000, 0, 30_000, day, 14, 14, "days-supply", 0, 14, 28)

    told = encode.encode_order(order)

    assert (told.single_dose_low_mg, told.single_dose_high_mg) == (7.5, 10.0)
    assert told.HasField("daily_dose_low_mg")
    assert told.daily_dose_low_mg == 0.0
    assert told.HasField("refills")
    assert told.days_source == "days_supply"
    assert told.start_date == Date(year=2026, month=11, day=2)


def test_a_strength_is_per_unit_of_the_form_or_a_concentration() -> None:
    resolved = domain.ResolvedMedication(
        "r",
        "x",
        MatchedBy.PRODUCT_NAME,
        "x",
        (
            domain.ResolvedIngredient("a", 5000),
            domain.ResolvedIngredient("b", 2500, "mL"),
            domain.ResolvedIngredient("c"),
        ),
        lines=("baclofen",),
    )

    told = encode.encode_resolved(resolved)

    first, second, third = told.ingredients
    assert (first.strength.value, first.strength.unit) == (5.0, "mg")
    assert (second.strength.value, second.strength.unit) == (2.5, "mg/mL")
    assert not third.HasField("strength")
    assert list(told.medication_ids) == ["baclofen"]


def test_suppressed_checks_are_counted_once(knowledge: Knowledge, decision: domain.Decision) -> None:
    suppressed = domain.Check("a.b", 1, "", CheckStatus.SUPPRESSED, "site policy")
    changed = decision._replace(checks=(), suppressed=(suppressed,))

    told = encode.encode_decision(knowledge, changed, View.BRIEF)

    assert told.counts.suppressed == 1
    assert [each.rule_id for each in told.suppressed] == ["a.b"]


def test_every_option_can_be_shown_with_a_link(knowledge: Knowledge) -> None:
    for option in knowledge.care.options.values():
        link = encode.encode_care_link(option, knowledge.sources)
        record = encode.encode_care_option(option, knowledge.sources)

        assert link.url.startswith("http"), option.id
        assert (link.option_id, link.tier, link.certainty) == (record.id, record.tier, record.certainty)
        assert link.tier != care_pb2.CARE_TIER_UNSPECIFIED
        assert record.phases
        assert len(record.evidence) == len(option.evidence) > 0
        assert all(each.direction and each.read_as for each in record.evidence)


def test_who_reviewed_is_told_only_when_somebody_did() -> None:
    assert encode.encode_review(Review(status="not_reviewed")).ListFields()[0][1] == (
        review_pb2.REVIEW_STATUS_NOT_REVIEWED
    )
    signed = encode.encode_review(Review(status="reviewed", reviewer="A. Example", on="2026-11-02"))
    assert signed.status == review_pb2.REVIEW_STATUS_REVIEWED
    assert signed.reviewer == "A. Example"
    assert signed.reviewed_on == Date(year=2026, month=11, day=2)


def test_a_uuid_of_random_bytes_is_a_uuid() -> None:
    for byte in (0x00, 0x5A, 0xFF):
        made = uuid.UUID(encode.uuid_text(encode.uuid4_bytes(bytes([byte]) * 16)))
        assert (made.version, made.variant) == (4, uuid.RFC_4122)
