"""What a site's policy and earlier overrides make of alerts: kept back or quieter, never silently gone."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from safety_service.cases import read_cases
from safety_service.domain import (
    Alert,
    Answer,
    CheckRequest,
    CheckStatus,
    Completeness,
    Decision,
    Hepatic,
    HepaticGrade,
    LabResult,
    Listed,
    LiverTest,
    Medication,
    MedicationRecord,
    Overall,
    PriorOverride,
    Quantity,
    Severity,
)
from safety_service.engine.check import check
from safety_service.knowledge.drug_names import DrugNames
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import load_knowledge

SIGNED = {"reviewer": "A. Example", "on": "2026-11-02", "reason": "Accepted."}
Load = Callable[..., Knowledge]


cases = cache(read_cases)


@pytest.fixture(scope="module", autouse=True)
def drug_names_are_read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("safety_service.knowledge.load.DrugNames", cache(DrugNames))
        yield


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


@pytest.fixture
def site(tmp_path: Path) -> Load:
    """The knowledge with a site's policy."""

    def load(**changes: Any) -> Knowledge:
        file = tmp_path / "site.yaml"
        head = {"extends": "default", "id": "site", "version": "7", "title": "A site"}
        file.write_text(yaml.safe_dump({**head, **changes}))
        return load_knowledge(policy_file=file)

    return load


def off(*rules: str) -> dict[str, Any]:
    return {"rules": {each: {"alert": False, "reason": f"No {each} here.", "signed_off": SIGNED} for each in rules}}


@pytest.fixture(scope="module")
def ordered(knowledge: Knowledge) -> CheckRequest:
    """Cyclobenzaprine 10 mg three times a day for 28 days, a first dose with mild hepatic impairment, on oxycodone."""
    case = next(
        each for each in cases() if {"duration.course", "hepatic.start-dose", "sedation.opioid"} <= set(each.row.fired)
    )
    request = replace(case.request, patient=replace(case.request.patient, id="patient-1"))
    assert {"duration.course", "hepatic.start-dose", "sedation.opioid"} <= rules_of(check(knowledge, request).alerts)
    return request


def rules_of(found: Any) -> set[str]:
    return {each.rule_id for each in found}


def alert_of(decision: Decision, rule_id: str) -> Alert:
    (found,) = (each for each in decision.alerts if each.rule_id == rule_id)
    return found


# --- switched off ------------------------------------------------------------------------------------------------


def test_a_switched_off_alert_stands_among_the_suppressed(
    site: Load, knowledge: Knowledge, ordered: CheckRequest
) -> None:
    before, after = check(knowledge, ordered), check(site(**off("sedation.opioid")), ordered)

    (kept,) = after.suppressed
    assert (kept.rule_id, kept.status, kept.severity) == ("sedation.opioid", CheckStatus.SUPPRESSED, Severity.HIGH)
    assert kept.reason == (
        "switched off by policy site 7: No sedation.opioid here. (signed off by A. Example, 2026-11-02: Accepted.)"
    )
    assert rules_of(after.alerts) == rules_of(before.alerts) - {"sedation.opioid"}
    assert [each for each in after.checks if each.rule_id == "sedation.opioid"] == []
    assert len(after.checks) + len(after.suppressed) == len(before.checks)
    assert (after.policy_id, before.policy_id) == ("site", "default")


def test_what_it_absorbs_stays_absorbed(site: Load, knowledge: Knowledge, ordered: CheckRequest) -> None:
    """The weaker sibling does not come up in its place: it would look as if the stronger had not fired."""
    for decision in (check(knowledge, ordered), check(site(**off("duration.course")), ordered)):
        absorbed = {
            each.rule_id: each.reason
            for each in decision.checks
            if each.rule_id in ("duration.episode", "duration.third-week")
        }
        assert absorbed == dict.fromkeys(("duration.episode", "duration.third-week"), "absorbed by duration.course")


def test_the_place_in_the_care_pathway_stays(site: Load, knowledge: Knowledge) -> None:
    case = next(each for each in cases() if "pathway.inadequate-response" in each.row.fired)
    before = check(knowledge, case.request)
    after = check(site(**off("pathway.inadequate-response")), case.request)
    assert "pathway.inadequate-response" in rules_of(after.suppressed)
    assert after.care_pathway == before.care_pathway
    assert after.care_pathway.current_step == 3


def test_a_rule_that_is_open_or_passed_answers_as_ever(site: Load, knowledge: Knowledge, ordered: CheckRequest) -> None:
    """Policy keeps an alert back; it does not answer the question."""
    patient = replace(ordered.patient, medications=Listed(), alcohol_use=Answer.NO)
    unknown = replace(ordered, patient=patient)
    rules = ("sedation.opioid", "sedation.alcohol", "sedation.benzodiazepine")
    before, after = check(knowledge, unknown), check(site(**off(*rules)), unknown)
    assert {e.status for e in before.checks if e.rule_id in rules} == {CheckStatus.NOT_EVALUATED, CheckStatus.PASSED}
    assert after.checks == before.checks
    assert after.overall is before.overall


def test_all_suppressed_is_advice_and_not_clear(site: Load, knowledge: Knowledge) -> None:
    for case in cases():
        fired = {each.rule_id for each in check(knowledge, case.request).alerts}
        if case.row.overall == "ADVICE" and fired and "hepatic.contraindicated" not in fired:
            break
    decision = check(site(**off(*fired)), case.request)
    assert rules_of(decision.suppressed) == fired
    assert (decision.alerts, decision.highest_severity, decision.complete) == ((), Severity.UNSPECIFIED, True)
    assert decision.overall is Overall.ADVICE


def test_for_a_partner_that_is_ordered_as_well(site: Load, knowledge: Knowledge) -> None:
    case = next(
        each
        for each in cases()
        if each.file == "pair" and "sedation.opioid" in rules_of(check(knowledge, each.request).alerts)
    )
    decision = check(site(**off("sedation.opioid")), case.request)
    assert "sedation.opioid" in rules_of(decision.suppressed)
    assert "sedation.opioid" not in rules_of(decision.alerts)


def test_policy_never_makes_a_decision_more_complete(site: Load, knowledge: Knowledge) -> None:
    """All cases, all rules but contraindications off: each check that fired is suppressed, all else stays."""
    programs = [knowledge.any_order, *(line.program for line in knowledge.lines.values())]
    protected = {
        live.rule.id
        for program in programs
        for live in program.rules
        if any(clause.severity is Severity.CONTRAINDICATED for clause in live.clauses)
    }
    quiet = site(**off(*(each.id for each in knowledge.rules if each.id not in protected)))
    for case in cases():
        before, after = check(knowledge, case.request), check(quiet, case.request)
        fired = {(e.rule_id, e.subject) for e in before.checks if e.status is CheckStatus.FIRED}
        assert {(e.rule_id, e.subject) for e in after.suppressed} == {
            each for each in fired if each[0] not in protected
        }, case.id
        assert rules_of(after.alerts) == {rule_id for rule_id, _ in fired} & protected
        assert [e for e in after.checks if e.status is not CheckStatus.FIRED] == [
            e for e in before.checks if e.status is not CheckStatus.FIRED
        ]
        assert after.complete is before.complete
        assert (after.overall is Overall.CLEAR) == (before.overall is Overall.CLEAR)


# --- other severities and limits ---------------------------------------------------------------------------------


def test_another_severity_is_told(site: Load, knowledge: Knowledge, ordered: CheckRequest) -> None:
    changed = site(
        rules={
            "sedation.opioid": {"severity": "LOW", "reason": "Pain contract.", "signed_off": SIGNED},
            "duration.course": {"severity": "HIGH", "reason": "As it is."},
        }
    )
    decision = check(changed, ordered)
    alert = alert_of(decision, "sedation.opioid")
    assert (alert.severity, alert.words.default_severity) == (Severity.LOW, Severity.HIGH)
    assert alert.message.endswith("Site policy: severity LOW in place of HIGH: Pain contract.")
    label, *_, policy = alert.citations
    assert (label.authority, policy.authority, policy.basis) == ("fda-communication", "policy", "policy")
    assert (policy.source_id, policy.section) == ("policy-site", "rules.sedation.opioid")
    assert changed.sources["policy-site"].title == "A site (site 7)"
    same = alert_of(decision, "duration.course")
    assert same.words == alert_of(check(knowledge, ordered), "duration.course").words


def test_the_severity_of_a_rule_is_that_of_all_its_clauses(site: Load, knowledge: Knowledge) -> None:
    changed = site(rules={"sedation.falls": {"severity": "HIGH", "reason": "Falls."}})
    seen = set()
    for case in cases():
        for alert in check(knowledge, case.request).alerts:
            if alert.rule_id == "sedation.falls":
                seen.add(alert.severity)
                assert {e.severity for e in check(changed, case.request).alerts if e.rule_id == "sedation.falls"} == {
                    Severity.HIGH
                }
    assert seen == {Severity.LOW, Severity.MODERATE}


def test_another_limit_fires_and_is_told(site: Load, knowledge: Knowledge) -> None:
    case = next(
        each
        for each in cases()
        if "duration.third-week" in each.row.fired
        and each.row.drug.startswith("cyclobenzaprine 10 mg")
        and each.row.days == 21
    )
    change = {"value": 14, "unit": "d", "reason": "Two weeks."}
    changed = site(limits={"cyclobenzaprine-ir": {"duration.max_days": change}})
    assert "duration.course" not in rules_of(check(knowledge, case.request).alerts)
    alert = alert_of(check(changed, case.request), "duration.course")
    (threshold,) = alert.thresholds
    assert (threshold.value, threshold.basis, threshold.default) == ("14", "policy", "21")
    assert threshold.limit == "drug.duration.max_days"
    assert "Site policy: 14 d in place of 21 d (duration.max_days): Two weeks." in alert.message
    assert alert.citations[0].authority == "label"
    assert alert.citations[-1].section == "limits.cyclobenzaprine-ir.duration.max_days"
    # the other lines keep theirs
    assert changed.lines["carisoprodol"].limits["drug.duration.max_days"].value == "21"


def test_a_policy_number_is_told_where_it_is_compared_and_where_facts_rest_on_it(
    site: Load, knowledge: Knowledge
) -> None:
    case = next(each for each in cases() if "duration.class-episode" in each.row.fired)
    changed = site(
        numbers={
            "duration.guideline_days": {"value": 20, "unit": "d", "reason": "Twenty."},
            "exposure.gap_days": {"value": 9, "unit": "d", "reason": "Nine."},
        }
    )
    alert = alert_of(check(changed, case.request), "duration.class-episode")
    assert "Site policy: 20 d in place of 21 d (duration.guideline_days): Twenty." in alert.message
    assert "Site policy: 9 d in place of 7 d (exposure.gap_days): Nine." in alert.message
    assert alert.citations[-1].section == "numbers.duration.guideline_days; numbers.exposure.gap_days"
    assert [(e.value, e.default) for e in alert.thresholds] == [("20", "21")]


@pytest.mark.parametrize(("gap", "joined"), [(8, False), (9, True)])
def test_the_gap_tolerance_joins_or_parts_two_supplies(site: Load, gap: int, joined: bool) -> None:
    """14 days, 9 days without, 14 days again: 28 in one episode, or 14."""
    case = next(each for each in cases() if each.row.drug == "cyclobenzaprine 10 mg tablet")
    start = case.request.prescription.start
    assert start is not None
    earlier = MedicationRecord(
        Medication(text="cyclobenzaprine 10 mg tablet"), id="earlier", known_on=start - 23, start=start - 23,
        days_supply=14, refills=0,
    )  # fmt: skip
    request = replace(
        case.request,
        prescription=replace(case.request.prescription, days_supply=14, refills=0),
        patient=replace(case.request.patient, medications=Listed((earlier,), Completeness.COMPLETE)),
    )
    changed = site(numbers={"exposure.gap_days": {"value": gap, "unit": "d", "reason": "Ours."}})
    assert ("duration.episode" in rules_of(check(changed, request).alerts)) is joined


# --- which alerts interrupt --------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [Severity.LOW, Severity.MODERATE, Severity.HIGH, Severity.CONTRAINDICATED])
def test_alerts_interrupt_from_the_stop_level(knowledge: Knowledge, ordered: CheckRequest, level: Severity) -> None:
    decision = check(replace(knowledge, stop_level=level), ordered)
    assert {each.severity for each in decision.alerts} >= {Severity.LOW, Severity.HIGH}
    assert [each.interruptive for each in decision.alerts] == [each.severity >= level for each in decision.alerts]


def test_by_default_high_interrupts_and_moderate_does_not(knowledge: Knowledge, ordered: CheckRequest) -> None:
    decision = check(knowledge, ordered)
    assert knowledge.stop_level is Severity.HIGH
    assert all(each.interruptive == (each.severity >= Severity.HIGH) for each in decision.alerts)


def overridden(request: CheckRequest, *overrides: PriorOverride) -> CheckRequest:
    return dataclasses.replace(request, prior_overrides=overrides)


def test_a_repeat_of_an_overridden_alert_does_not_interrupt(knowledge: Knowledge, ordered: CheckRequest) -> None:
    first = check(knowledge, ordered)
    override = PriorOverride(alert_of(first, "duration.course").fingerprint, ordered.as_of - 1, "Reviewed by phone.")
    again = check(knowledge, overridden(ordered, override, PriorOverride("another")))

    repeat = alert_of(again, "duration.course")
    assert not repeat.interruptive
    assert repeat.overridden_before == override
    assert repeat._replace(interruptive=True, overridden_before=None) == alert_of(first, "duration.course")
    others = [(e.rule_id, e.interruptive, e.overridden_before) for e in again.alerts if e.rule_id != "duration.course"]
    assert others == [(e.rule_id, e.interruptive, None) for e in first.alerts if e.rule_id != "duration.course"]
    assert (again.overall, again.highest_severity, again.checks) == (
        first.overall,
        first.highest_severity,
        first.checks,
    )
    assert again.normalized_order.notes == first.normalized_order.notes, "it is read"


def test_a_contraindication_interrupts_again(knowledge: Knowledge) -> None:
    case = next(each for each in cases() if "hepatic.contraindicated" in each.row.fired)
    request = replace(case.request, patient=replace(case.request.patient, id="patient-1"))
    first = alert_of(check(knowledge, request), "hepatic.contraindicated")
    again = alert_of(check(knowledge, overridden(request, PriorOverride(first.fingerprint))), "hepatic.contraindicated")
    assert again.severity is Severity.CONTRAINDICATED
    assert again.interruptive
    assert again.overridden_before is not None


def test_an_override_of_after_the_day_does_not_count(knowledge: Knowledge, ordered: CheckRequest) -> None:
    fingerprint = alert_of(check(knowledge, ordered), "duration.course").fingerprint
    today = check(knowledge, overridden(ordered, PriorOverride(fingerprint, ordered.as_of)))
    tomorrow = check(knowledge, overridden(ordered, PriorOverride(fingerprint, ordered.as_of + 1)))
    assert not alert_of(today, "duration.course").interruptive
    assert alert_of(tomorrow, "duration.course").interruptive
    assert alert_of(tomorrow, "duration.course").overridden_before is None
    assert "1 prior override(s) of after as_of were not used" in tomorrow.conflicts


def test_of_several_overrides_the_latest_is_told(knowledge: Knowledge, ordered: CheckRequest) -> None:
    fingerprint = alert_of(check(knowledge, ordered), "duration.course").fingerprint
    days = (ordered.as_of - 9, None, ordered.as_of - 2, ordered.as_of - 5)
    decision = check(knowledge, overridden(ordered, *(PriorOverride(fingerprint, day) for day in days)))
    assert alert_of(decision, "duration.course").overridden_before == PriorOverride(fingerprint, ordered.as_of - 2)


def test_without_a_pseudonym_no_override_counts(knowledge: Knowledge, ordered: CheckRequest) -> None:
    nobody = replace(ordered, patient=replace(ordered.patient, id=""))
    fingerprint = alert_of(check(knowledge, nobody), "duration.course").fingerprint
    decision = check(knowledge, overridden(nobody, PriorOverride(fingerprint)))
    assert alert_of(decision, "duration.course").interruptive
    assert any("without patient.id" in each for each in decision.conflicts)


# --- what makes an alert the same again --------------------------------------------------------------------------


def fingerprints(knowledge: Knowledge, request: CheckRequest) -> dict[str, str]:
    return {each.rule_id: each.fingerprint for each in check(knowledge, request, b"key").alerts}


def test_the_same_order_sent_again_has_the_same_fingerprints(knowledge: Knowledge, ordered: CheckRequest) -> None:
    first = fingerprints(knowledge, ordered)
    assert len(set(first.values())) == len(first) > 4
    assert fingerprints(knowledge, ordered) == first
    prescription, patient = ordered.prescription, ordered.patient
    for same in (
        replace(ordered, as_of=ordered.as_of + 3),  # looked at again some days later
        replace(ordered, prescription=replace(prescription, id="sent-again")),
        replace(ordered, patient=replace(patient, age_years=(patient.age_years or 40) + 1)),
        replace(ordered, prior_overrides=(PriorOverride("x"),)),
    ):
        again = fingerprints(knowledge, same)
        assert {rule: again[rule] for rule in first if rule in again} == first


def test_what_changes_by_waiting_does_not_make_an_alert_another(knowledge: Knowledge) -> None:
    """Liver tests that are a day older, and a birthday."""
    case = next(each for each in cases() if "hepatic.monitor" in each.row.fired and each.row.drug.startswith("dan"))
    days = [
        next(
            (alert.fingerprint, [fact.value for fact in alert.facts])
            for alert in check(knowledge, replace(case.request, as_of=case.request.as_of + later)).alerts
            if alert.rule_id == "hepatic.monitor"
        )
        for later in (0, 1)
    ]
    assert days[0][0] == days[1][0]
    assert days[0][1] != days[1][1], "told with the days of the day"
    case = next(each for each in cases() if "sedation.falls" in each.row.fired and each.request.patient.age_years == 65)
    older = replace(case.request, patient=replace(case.request.patient, age_years=66))
    assert fingerprints(knowledge, older)["sedation.falls"] == fingerprints(knowledge, case.request)["sedation.falls"]


def test_another_order_has_other_fingerprints(knowledge: Knowledge, ordered: CheckRequest) -> None:
    first = fingerprints(knowledge, ordered)
    prescription, patient = ordered.prescription, ordered.patient
    dose = prescription.dose_high
    assert dose is not None
    assert prescription.start is not None
    for name, other in {
        "dose": replace(prescription, dose_high=Quantity(dose.value * 2, dose.unit)),
        "strength": replace(prescription, medication=Medication(text="cyclobenzaprine 7.5 mg tablet")),
        "days": replace(prescription, days_supply=(prescription.days_supply or 0) + 1),
        "refills": replace(prescription, refills=(prescription.refills or 0) + 1),
        "start": replace(prescription, start=prescription.start + 1),
        "ordered": replace(prescription, start=None, ordered_on=prescription.start + 1),
        "prescriber": replace(prescription, prescriber_id="another"),
    }.items():
        again = fingerprints(knowledge, replace(ordered, prescription=other))
        assert again.keys() & first.keys(), name
        assert not set(again.values()) & set(first.values()), name
    again = fingerprints(knowledge, replace(ordered, patient=replace(patient, id="patient-2")))
    assert not set(again.values()) & set(first.values())


def test_another_implicated_drug_is_another_alert(knowledge: Knowledge, ordered: CheckRequest) -> None:
    first = fingerprints(knowledge, ordered)
    (opioid,) = ordered.patient.medications.items
    other = replace(opioid, medication=Medication(text="hydrocodone"))
    listed = replace(ordered.patient.medications, items=(other,))
    again = fingerprints(knowledge, replace(ordered, patient=replace(ordered.patient, medications=listed)))
    assert again["sedation.opioid"] != first["sedation.opioid"]
    for rule_id in ("duration.course", "hepatic.start-dose", "sedation.counsel"):
        assert again[rule_id] == first[rule_id]


def test_a_worse_liver_is_another_alert(knowledge: Knowledge, ordered: CheckRequest) -> None:
    """Not recommended with a moderate liver was overridden; with a severe one it has to be looked at again."""

    def with_grade(grade: HepaticGrade) -> dict[str, str]:
        hepatic = replace(ordered.patient.hepatic, grade=grade)
        return fingerprints(knowledge, replace(ordered, patient=replace(ordered.patient, hepatic=hepatic)))

    moderate, severe = with_grade(HepaticGrade.MODERATE), with_grade(HepaticGrade.SEVERE)
    assert moderate["hepatic.not-recommended"] != severe["hepatic.not-recommended"]
    assert moderate["sedation.opioid"] == severe["sedation.opioid"]


def test_a_worse_result_is_another_alert(knowledge: Knowledge, ordered: CheckRequest) -> None:
    def with_alt(value: float, days_ago: int) -> str:
        result = LabResult(LiverTest.ALT, Quantity(value, "U/L"), Quantity(40, "U/L"), ordered.as_of - days_ago)
        hepatic = Hepatic(HepaticGrade.NONE, labs=Listed((result,), Completeness.COMPLETE))
        prescription = replace(ordered.prescription, medication=Medication(text="chlorzoxazone 500 mg tablet"))
        patient = replace(ordered.patient, hepatic=hepatic)
        return fingerprints(knowledge, replace(ordered, prescription=prescription, patient=patient))["hepatic.stop"]

    assert with_alt(60, 3) == with_alt(60, 5)
    assert with_alt(60, 3) != with_alt(600, 3)


def test_another_severity_is_another_alert(site: Load, knowledge: Knowledge, ordered: CheckRequest) -> None:
    """It was overridden as LOW; the policy calls it HIGH now."""
    raised = site(rules={"sedation.counsel": {"severity": "HIGH", "reason": "Ours."}})
    before, after = fingerprints(knowledge, ordered), fingerprints(raised, ordered)
    assert before.pop("sedation.counsel") != after.pop("sedation.counsel")
    assert before == after, "the others stay what they were"
