"""A case that is missing is told: an answer, a clause, a drug, a side of a threshold, each with its place."""

from collections.abc import Callable

import pytest

from safety_service.cases import Case
from safety_service.curation.altered import Workbench
from safety_service.curation.coverage import Coverage, coverage, coverage_text, percent
from safety_service.curation.places import Places
from safety_service.curation.recording import record
from safety_service.knowledge.knowledge import Knowledge
from safety_service.report.layout import plain


def fires(case: Case, rule_id: str) -> bool:
    return any(key.partition("@")[0] == rule_id for key in case.row.fired)


@pytest.fixture(scope="module")
def covered(
    knowledge: Knowledge, cases: tuple[Case, ...], places: Places
) -> Callable[[Callable[[Case], bool]], Coverage]:
    def cover(kept: Callable[[Case], bool]) -> Coverage:
        return coverage(Workbench(record(knowledge, [case for case in cases if kept(case)])), places)

    return cover


def test_an_answer_without_a_case(covered: Callable[[Callable[[Case], bool]], Coverage], places: Places) -> None:
    found = covered(lambda case: "hepatic.information" not in case.row.passed)
    assert [gap.text for gap in found.answers_missing] == ["hepatic.information: no case for PASSED"]
    assert found.answers_missing[0].place == places.rule("hepatic.information")


def test_a_clause_without_a_case(covered: Callable[[Callable[[Case], bool]], Coverage]) -> None:
    found = covered(
        lambda case: not fires(case, "function.anticholinergic") or (case.row.age != "unknown" and case.row.age < 65)
    )
    assert "function.anticholinergic: clause 1 has no case in which it fires" in [g.text for g in found.answers_missing]


def test_a_drug_without_a_case(covered: Callable[[Callable[[Case], bool]], Coverage]) -> None:
    found = covered(lambda case: not (fires(case, "sedation.alcohol") and "baclofen" in case.row.drug))
    text = "sedation.alcohol, clause 1: no case in which it fires on baclofen"
    assert [gap.text for gap in found.drugs_missing] == [text]
    done, of = found.fired_on
    assert done == of - 1


def test_a_threshold_with_one_side(covered: Callable[[Callable[[Case], bool]], Coverage]) -> None:
    found = covered(lambda case: not (fires(case, "hepatic.start-dose") and "7.5" in f"{case.row.drug}{case.row.dose}"))
    (gap,) = found.sides_missing
    assert gap.text == (
        "hepatic.start-dose, clause 1: single_dose_mg > drug.hepatic.mild_start_mg (cyclobenzaprine-ir): "
        "the nearest cases are 5 mg apart, 2.5 mg wanted"
    )
    none = covered(lambda case: "hepatic.start-dose" not in repr(case.row))
    assert "no pair of cases around it (0 values fire, 0 do not); within 2.5 mg wanted" in none.sides_missing[0].text


def test_gaps_and_shares_are_printed(covered: Callable[[Callable[[Case], bool]], Coverage]) -> None:
    found = covered(lambda case: case.file != "sedation")
    text = plain(coverage_text(found))
    assert "sedation.alcohol" in text
    assert "rules/sedation.yaml:" in text
    assert "100 %" not in text
    brief = plain(coverage_text(found, brief=True)).splitlines()
    assert brief[-1].endswith("of thresholds two-sided")
    assert len(brief) == len(found.gaps) + 3


def test_a_hundred_is_all_of_it() -> None:
    assert percent(999, 1000) == "99 % (999 of 1000)"
    assert percent(1000, 1000) == "100 % (1000 of 1000)"
    assert percent(0, 0) == "100 % (0 of 0)"
