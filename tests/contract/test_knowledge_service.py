"""What the service knows can be read, page by page, and the pages hold together."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from medsafety.v1 import care_pb2, knowledge_pb2, review_pb2
from medsafety.v1 import knowledge_service_pb2 as wire
from medsafety.v1.knowledge_service_pb2_grpc import KnowledgeServiceStub
from medsafety.v1.medication_safety_service_pb2 import CheckPrescriptionRequest
from medsafety.v1.medication_safety_service_pb2_grpc import MedicationSafetyServiceStub
from safety_service import __version__
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server import limits

Refused = Callable[[Callable[[], Any]], Any]


def test_what_is_in_use(shows: KnowledgeServiceStub, knowledge: Knowledge) -> None:
    answer = shows.GetKnowledge(wire.GetKnowledgeRequest())

    assert (answer.knowledge.version, answer.knowledge.digest) == (knowledge.version, knowledge.digest)
    assert answer.knowledge.review_status == review_pb2.REVIEW_STATUS_NOT_REVIEWED
    assert answer.knowledge.schema_version
    assert [(each.id, each.digest) for each in answer.policies] == [("default", knowledge.policy_digest)]
    assert answer.server_version == answer.engine_version == __version__
    assert {each.name: each.value for each in answer.limits} == {each.name: each.value for each in limits.ALL}
    assert all(each.unit and each.meaning for each in answer.limits)
    assert answer.counts.medications == len(knowledge.lines) > 10
    assert answer.counts.rules == len(knowledge.rules) > 20
    assert answer.counts.care_options == len(knowledge.care.options)
    assert answer.counts.sources == len(knowledge.sources)
    assert answer.counts.value_sets > 10
    assert answer.counts.drug_names > 20_000


LISTS: list[tuple[str, Callable[..., Any], str]] = [
    ("ListMedications", wire.ListMedicationsRequest, "medications"),
    ("ListRules", wire.ListRulesRequest, "rules"),
    ("ListCareOptions", wire.ListCareOptionsRequest, "care_options"),
    ("ListSources", wire.ListSourcesRequest, "sources"),
]


@pytest.mark.parametrize(("method", "request_of", "field"), LISTS)
def test_pages_hold_everything_once(
    shows: KnowledgeServiceStub, knowledge: Knowledge, method: str, request_of: Callable[..., Any], field: str
) -> None:
    ask = getattr(shows, method)
    whole = ask(request_of(page_size=500))
    assert whole.knowledge_digest == knowledge.digest
    assert not whole.next_page_token

    seen: list[str] = []
    token = ""
    while True:
        page = ask(request_of(page_size=3, page_token=token))
        assert len(getattr(page, field)) <= 3
        seen += [each.id for each in getattr(page, field)]
        token = page.next_page_token
        if not token:
            break

    assert seen == [each.id for each in getattr(whole, field)]
    assert len(set(seen)) == len(seen) > 3
    if field != "care_options":
        assert seen == sorted(seen)


def test_options_stand_by_step_then_id(shows: KnowledgeServiceStub) -> None:
    listed = shows.ListCareOptions(wire.ListCareOptionsRequest(page_size=500)).care_options

    assert [(each.tier, each.id) for each in listed] == sorted((each.tier, each.id) for each in listed)


def test_filters(shows: KnowledgeServiceStub) -> None:
    hepatic = shows.ListRules(wire.ListRulesRequest(kind=knowledge_pb2.RULE_KIND_HEPATIC_DOSE)).rules
    assert "hepatic.start-dose" in [each.id for each in hepatic]
    assert {each.kind for each in hepatic} == {knowledge_pb2.RULE_KIND_HEPATIC_DOSE}

    acute = shows.ListCareOptions(wire.ListCareOptionsRequest(phase=care_pb2.PAIN_PHASE_ACUTE)).care_options
    assert "superficial-heat" in [each.id for each in acute]
    assert all(care_pb2.PAIN_PHASE_ACUTE in each.phases for each in acute)


def test_a_rule_is_printed_with_what_it_rests_on(shows: KnowledgeServiceStub) -> None:
    rule = shows.GetRule(wire.GetRuleRequest(rule_id="hepatic.start-dose")).rule

    assert "single_dose_mg > drug.hepatic.mild_start_mg" in rule.when
    assert {"hepatic_grade", "single_dose_mg"} <= set(rule.facts)
    assert rule.title
    assert rule.message
    bases = {each.medication_id: each for each in rule.bases}
    assert bases["cyclobenzaprine-ir"].statement == "hepatic.mild_start_mg"
    assert bases["cyclobenzaprine-ir"].source_id == "fda-cyclobenzaprine-ir"


def silent_with_a_reason(knowledge: Knowledge) -> set[str]:
    """Rules of one drug whose file says why it says nothing, such as a section that was not read."""
    return {
        check.rule_id
        for line in knowledge.lines.values()
        for check in line.program.silent
        if any(check.rule_id.startswith(prefix) for prefix in line.file.not_applicable)
    }


def test_every_rule_has_facts_texts_and_known_sources(shows: KnowledgeServiceStub, knowledge: Knowledge) -> None:
    for rule in shows.ListRules(wire.ListRulesRequest(page_size=500)).rules:
        assert rule.when, rule.id
        assert rule.facts or rule.id in silent_with_a_reason(knowledge), rule.id
        assert rule.title, rule.id
        assert rule.kind, rule.id
        assert rule.version >= 1
        assert all(each.severity for each in rule.bases), rule.id
        assert {each.source_id for each in rule.bases} <= set(knowledge.sources), rule.id


def test_a_medication_line_is_shown_with_every_statement(shows: KnowledgeServiceStub, knowledge: Knowledge) -> None:
    line = shows.GetMedication(wire.GetMedicationRequest(medication_id="cyclobenzaprine-ir")).medication

    assert list(line.ingredients) == ["cyclobenzaprine"]
    assert [(each.value, each.unit) for each in line.strengths] == [(5.0, "mg"), (7.5, "mg"), (10.0, "mg")]
    assert [each.name for each in line.statements] == list(knowledge.lines[line.id].file.statements)
    start = next(each for each in line.statements if each.name == "hepatic.mild_start_mg")
    assert (start.value, start.unit, start.verb) == ("5", "mg", "start-low-in-risk-group")
    assert start.section
    assert line.review.status == review_pb2.REVIEW_STATUS_NOT_REVIEWED


def test_every_line_says_something_and_names_its_form(shows: KnowledgeServiceStub, knowledge: Knowledge) -> None:
    for line in shows.ListMedications(wire.ListMedicationsRequest(page_size=500)).medications:
        assert line.form, line.id
        assert line.codings, line.id
        for said in line.statements:
            assert all((said.name, said.value, said.authority, said.verb, said.basis, said.read_as)), line.id
            assert said.source_id in knowledge.sources


def test_an_option_is_shown_with_what_each_body_says(shows: KnowledgeServiceStub) -> None:
    option = shows.GetCareOption(wire.GetCareOptionRequest(option_id="exercise")).care_option

    assert option.tier == care_pb2.CARE_TIER_FIRST_LINE
    assert option.url.startswith("http")
    assert {"ACP 2017", "WHO 2023"} <= {each.body for each in option.evidence}


def test_texts_of_a_brief_answer_are_found_by_their_ids(
    shows: KnowledgeServiceStub, checks: MedicationSafetyServiceStub, request_sent: CheckPrescriptionRequest
) -> None:
    decision = checks.CheckPrescription(request_sent).decision

    for alert in decision.alerts:
        rule = shows.GetRule(wire.GetRuleRequest(rule_id=alert.rule_id)).rule
        assert (rule.version, rule.kind) == (alert.rule_version, alert.kind)
        assert alert.severity in {each.severity for each in rule.bases}
        assert alert.citations[0].source_id in {each.source_id for each in rule.bases}
    for option in decision.care_options:
        assert shows.GetCareOption(wire.GetCareOptionRequest(option_id=option.id)).care_option == option


@pytest.mark.parametrize(
    ("text", "ingredient", "lines"),
    [
        ("Flexeril 10mg tablet", "cyclobenzaprine", ["cyclobenzaprine-ir"]),
        ("baclofen", "baclofen", ["baclofen"]),
        ("oxycodone 5 mg", "oxycodone", []),
    ],
)
def test_what_a_medication_would_be_recognised_as(
    shows: KnowledgeServiceStub, text: str, ingredient: str, lines: list[str]
) -> None:
    sent = wire.ResolveMedicationRequest()
    sent.medication.text = text

    resolved = shows.ResolveMedication(sent).resolved

    assert resolved.as_sent == text
    assert [each.name for each in resolved.ingredients] == [ingredient]
    assert list(resolved.medication_ids) == lines


def test_what_is_not_recognised_is_an_answer_too(shows: KnowledgeServiceStub) -> None:
    sent = wire.ResolveMedicationRequest()
    sent.medication.text = "zzyzxamine"

    assert shows.ResolveMedication(sent).resolved.matched_by == 0


@pytest.mark.parametrize(
    ("method", "request_sent", "field"),
    [
        ("GetRule", wire.GetRuleRequest(rule_id="no.such"), "rule_id"),
        ("GetMedication", wire.GetMedicationRequest(medication_id="no-such"), "medication_id"),
        ("GetCareOption", wire.GetCareOptionRequest(option_id="no-such"), "option_id"),
    ],
)
def test_what_is_not_there(
    shows: KnowledgeServiceStub, refused: Refused, method: str, request_sent: Any, field: str
) -> None:
    refusal = refused(lambda: getattr(shows, method)(request_sent))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")

    request_sent.Clear()
    refusal = refused(lambda: getattr(shows, method)(request_sent))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.violations == {field: "required"}


def test_pages_that_cannot_be(shows: KnowledgeServiceStub, refused: Refused) -> None:
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    token = shows.ListRules(wire.ListRulesRequest(page_size=1)).next_page_token

    negative = refused(lambda: shows.ListRules(wire.ListRulesRequest(page_size=-1)))
    assert (negative.code, list(negative.violations)) == (invalid, ["page_size"])
    for other in (
        lambda: shows.ListSources(wire.ListSourcesRequest(page_token=token)),
        lambda: shows.ListRules(wire.ListRulesRequest(page_token=token, kind=knowledge_pb2.RULE_KIND_SEDATION)),
        lambda: shows.ListRules(wire.ListRulesRequest(page_token="no token")),
    ):
        refusal = refused(other)
        assert (refusal.code, refusal.reason) == (invalid, "BAD_PAGE_TOKEN")
    unknown: Any = 99
    assert list(refused(lambda: shows.ListRules(wire.ListRulesRequest(kind=unknown))).violations) == ["kind"]
    phase = refused(lambda: shows.ListCareOptions(wire.ListCareOptionsRequest(phase=unknown)))
    assert list(phase.violations) == ["phase"]
    empty = refused(lambda: shows.ResolveMedication(wire.ResolveMedicationRequest()))
    assert list(empty.violations) == ["medication"]
