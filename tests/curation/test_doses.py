"""The next dose up or down: by strength, then by more tablets, then by more doses a day."""

import pytest

from safety_service.curation.doses import step_down, step_up
from safety_service.knowledge.knowledge import Knowledge


@pytest.mark.parametrize(
    ("line", "fact", "mg", "up", "down"),
    [
        ("cyclobenzaprine-ir", "single_dose_mg", 5, 7.5, 3.75),  # half of the 7.5 mg tablet
        ("cyclobenzaprine-ir", "single_dose_mg", 10, 15, 7.5),  # above the highest strength: more tablets
        ("cyclobenzaprine-er", "single_dose_mg", 15, 30, 14),  # a capsule is not halved: nothing below is a dose
        ("methocarbamol", "single_dose_mg", 1500, 2000, 1000),
        ("diazepam", "single_dose_mg", 2.5, 5, 2),
    ],
)
def test_single_doses(knowledge: Knowledge, line: str, fact: str, mg: float, up: float, down: float) -> None:
    of = knowledge.lines[line]
    assert step_up(of, fact, round(mg * 1000)) == round(up * 1000)
    assert step_down(of, fact, round(mg * 1000)) == round(down * 1000)


def test_a_fact_that_is_no_dose_moves_by_its_unit(knowledge: Knowledge) -> None:
    of = knowledge.lines["cyclobenzaprine-ir"]
    assert (step_up(of, "course_days", 21), step_down(of, "course_days", 21)) == (22, 20)
    assert (step_up(None, "single_dose_mg", 5000), step_down(None, "single_dose_mg", 5000)) == (6000, 4000)
