"""A case that is missing is told: an answer, a clause, a drug, a side of a threshold, each with its place."""

from collections.abc import Callable

import pytest

from safety_service.cases import Case
from safety_service.curation.altered import Workbench
from safety_service.curation.coverage import Coverage, Gap, coverage, coverage_text, percent
from safety_service.curation.places import Places
from safety_service.curation.recording import Recording
from safety_service.report.layout import plain


def fires(case: Case, rule_id: str) -> bool:
    return any(key.partition("@")[0] == rule_id for key in case.row.fired)


Cover = Callable[[Callable[[Case], bool]], Coverage]


@pytest.fixture(scope="module")
def covered(bench: Workbench, places: Places) -> Cover:
    """The coverage by the cases that a condition keeps."""

    def cover(kept: Callable[[Case], bool]) -> Coverage:
        recording = bench.recording
        places_kept = [at for at, case in enumerate(recording.cases) if kept(case)]
        new = {old: at for at, old in enumerate(places_kept)}
        poorer = Recording(
            recording.knowledge,
            tuple(recording.cases[at] for at in places_kept),
            tuple(recording.decisions[at] for at in places_kept),
            tuple(recording.differences[at] for at in places_kept),
            tuple(each._replace(at=new[each.at]) for each in recording.asked if each.at in new),
        )
        return coverage(Workbench(poorer), places)

    return cover


@pytest.fixture(scope="module")
def whole(covered: Cover) -> Coverage:
    return covered(lambda case: True)


def new_gaps(found: Coverage, whole: Coverage) -> list[Gap]:
    return [gap for gap in found.gaps if gap not in whole.gaps]


def test_an_answer_without_a_case(covered: Cover, whole: Coverage, places: Places) -> None:
    (gap,) = new_gaps(covered(lambda case: "hepatic.information" not in case.row.passed), whole)
    assert gap == Gap(places.rule("hepatic.information"), "hepatic.information: no case for PASSED")


def test_a_clause_without_a_case(covered: Cover, whole: Coverage) -> None:
    found = covered(
        lambda case: not fires(case, "function.anticholinergic") or (case.row.age != "unknown" and case.row.age < 65)
    )
    texts = [gap.text for gap in new_gaps(found, whole)]
    assert "function.anticholinergic: clause 1 has no case in which it fires" in texts
    assert all(text.startswith("function.anticholinergic") for text in texts)


def test_a_drug_without_a_case(covered: Cover, whole: Coverage) -> None:
    found = covered(lambda case: not (fires(case, "sedation.alcohol") and "baclofen" in case.row.drug))
    text = "sedation.alcohol, clause 1: no case in which it fires on baclofen"
    assert [gap.text for gap in new_gaps(found, whole)] == [text]
    assert found.fired_on == (whole.fired_on[0] - 1, whole.fired_on[1])


def test_a_threshold_with_one_side(covered: Cover, whole: Coverage) -> None:
    rule_id = "hepatic.start-dose"
    found = covered(lambda case: not (fires(case, rule_id) and "7.5" in f"{case.row.drug}{case.row.dose}"))
    (gap,) = new_gaps(found, whole)
    assert gap.text == (
        "hepatic.start-dose, clause 1: single_dose_mg > drug.hepatic.mild_start_mg (cyclobenzaprine-ir): "
        "the nearest cases are 5 mg apart, 2.5 mg wanted"
    )
    none = covered(lambda case: rule_id not in repr(case.row))
    (text,) = [gap.text for gap in none.sides_missing if "mild_start_mg" in gap.text and gap.text.startswith(rule_id)]
    assert text.endswith("no pair of cases around it (0 values fire, 0 do not); within 2.5 mg wanted")


def test_gaps_and_shares_are_printed(covered: Cover) -> None:
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
