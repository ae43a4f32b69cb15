"""A case explained: found by place or name, its facts, what made each rule fire, what it lacks."""

from dataclasses import replace

import pytest

from safety_service.cases import Case
from safety_service.curation.explain_case import NoSuchCaseError, case_text, find_case
from safety_service.domain import CheckStatus
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.report.layout import WIDTH, plain


def explained(knowledge: Knowledge, case: Case) -> str:
    return " ".join(plain(case_text(knowledge, case)).split())


def named(cases: tuple[Case, ...], name: str, drug: str = "") -> Case:
    return next(case for case in cases if case.name == name and drug in case.row.drug)


def test_a_case_is_found_by_any_line_of_it_and_by_its_name(cases: tuple[Case, ...]) -> None:
    case = named(cases, "two 5 mg tablets are 10 mg")
    for wanted in (
        f"hepatic:{case.line}",
        f"hepatic.yaml:{case.line + 1}",
        f"rules_data/cases/hepatic.yaml:{case.line}",
        "two 5 mg tablets are 10 mg",
        "TWO 5 mg tablets",
    ):
        assert find_case(cases, wanted) is case


@pytest.mark.parametrize(
    ("wanted", "told", "near"),
    [
        ("carried on", "cases are called so: give file:line", "hepatic:"),
        ("hepatc:12", "no case stands at hepatc:12", "hepatic:..."),
        ("two 5 mg tablet are 10", "no case is called", "two 5 mg tablets are 10 mg"),
        ("zzz", "no case is called 'zzz'", ""),
    ],
)
def test_what_is_not_found_offers_what_could_be_meant(
    cases: tuple[Case, ...], wanted: str, told: str, near: str
) -> None:
    with pytest.raises(NoSuchCaseError, match=told) as caught:
        find_case(cases, wanted)
    assert near in " ".join(caught.value.near)
    assert bool(caught.value.near) is bool(near)


def test_what_made_a_rule_fire(knowledge: Knowledge, cases: tuple[Case, ...]) -> None:
    text = explained(knowledge, named(cases, "two 5 mg tablets are 10 mg"))
    assert "dose 2 tablets x3" in text
    assert "Holds." in text
    assert "single_dose_mg 10 mg largest single dose" in text
    assert "HIGH hepatic.start-dose Start at 5 mg, not 10 mg" in text
    assert "Because hepatic_grade is mild" in text
    assert "Because single_dose_mg 10 mg > 5 mg (drug.hepatic.mild_start_mg, stated)" in text
    assert "hepatic.titrate: absorbed by hepatic.start-dose" in text


def test_what_is_missing_is_told_with_what_to_send(knowledge: Knowledge, cases: tuple[Case, ...]) -> None:
    text = explained(knowledge, next(case for case in cases if case.name == "dose not sent" and case.file == "hepatic"))
    assert "single_dose_mg not known" in text
    assert "OPEN hepatic.start-dose Needs single_dose_mg:" in text
    assert "send prescription.dose_quantity" in text


def test_one_of_a_set_and_never(knowledge: Knowledge, cases: tuple[Case, ...]) -> None:
    case = next(case for case in cases if "hepatic.not-recommended" in case.row.fired and case.row.hepatic == "severe")
    text = explained(knowledge, case)
    assert "hepatic_grade is severe, one of drug.hepatic.not_recommended" in text
    assert "days_since_relaxant_episode never" in text


def test_every_answer_of_every_case_is_explained(knowledge: Knowledge, cases: tuple[Case, ...]) -> None:
    for case in cases[::60]:
        lines = plain(case_text(knowledge, case))
        text = " ".join(lines.split())
        decision = check(knowledge, case.request)
        assert all(each.rule_id in text for each in decision.checks)
        assert text.count("Because") >= sum(each.status is CheckStatus.FIRED for each in decision.checks)
        assert all(f"{m.fact}: {m.why}" in text for each in decision.checks for m in each.missing)
        assert all(len(line) <= WIDTH for line in lines.splitlines()[1:])


def test_a_partner_that_is_ordered(knowledge: Knowledge, cases: tuple[Case, ...]) -> None:
    case = next(case for case in cases if case.file == "pair" and "sedation.opioid" in case.row.fired)
    text = explained(knowledge, case)
    assert "Facts for any order" in text
    assert "as the partner" in text


def test_a_case_that_does_not_hold_says_so(knowledge: Knowledge, cases: tuple[Case, ...]) -> None:
    case = named(cases, "two 5 mg tablets are 10 mg")
    wrong = replace(case, row=case.row.model_copy(update={"fired": (), "passed": ("hepatic.start-dose",)}))
    assert "Differs from its row: hepatic.start-dose: PASSED expected, FIRED found" in explained(knowledge, wrong)
