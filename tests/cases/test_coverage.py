"""The cases reach every answer of every rule and both sides of every threshold: `safety-service knowledge coverage`.

Run with `-s` to see the tables.
"""

import pytest

from safety_service.cases import read_cases
from safety_service.curation.altered import Workbench
from safety_service.curation.coverage import Coverage, Gap, coverage, coverage_text
from safety_service.curation.places import Places
from safety_service.curation.recording import record
from safety_service.knowledge.load import RULES_DATA, load_knowledge
from safety_service.report.layout import plain


@pytest.fixture(scope="module")
def covered() -> Coverage:
    bench = Workbench(record(load_knowledge(), read_cases()))
    assert bench.all_hold
    return coverage(bench, Places(RULES_DATA))


def told(gaps: tuple[Gap, ...]) -> str:
    return f"{len(gaps)} gaps\n" + "\n".join(map(str, gaps))


def test_every_answer_of_every_rule_has_a_case(covered: Coverage) -> None:
    print(f"\n{plain(coverage_text(covered))}")
    assert len(covered.rules) > 30
    assert not covered.answers_missing, told(covered.answers_missing)


def test_every_rule_fires_on_every_drug_it_can_speak_on(covered: Coverage) -> None:
    assert covered.fired_on[1] > 200
    assert not covered.drugs_missing, told(covered.drugs_missing)


def test_every_threshold_has_a_case_on_each_side(covered: Coverage) -> None:
    assert len(covered.thresholds) > 30
    assert not covered.sides_missing, told(covered.sides_missing)
