"""Every row of `rules_data/cases` holds, and what a row gets wrong is told with file and line."""

from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from safety_service.cases import CASES, Case, read_cases, run_case
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import load_knowledge
from safety_service.knowledge.read import KnowledgeError

ALL = read_cases()


@cache
def knowledge() -> Knowledge:
    return load_knowledge()


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.id)
def test_case(case: Case) -> None:
    differences = run_case(knowledge(), case)
    assert not differences, f"cases/{case.file}.yaml:{case.line}\n  " + "\n  ".join(differences)


def test_the_tables_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    counts = Counter(case.file for case in ALL)
    answers = sum(
        len(row.fired) + len(row.passed) + len(row.not_evaluated) + len(row.not_applicable) + len(row.absorbed)
        for row in (case.row for case in ALL)
    )
    with capsys.disabled():
        told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        print(f"\n{len(ALL)} cases, {answers} answers of single rules: {told}")
    assert set(counts) >= {
        "age", "article", "caution", "contraindication", "dose", "duplicate", "duration", "function", "hepatic",
        "indication", "interaction", "pair", "pathway", "pregnancy", "product", "renal", "sedation", "withdrawal",
    }  # fmt: skip
    assert len(ALL) >= 300


def test_every_case_has_an_answer_to_check() -> None:
    idle = [case.id for case in ALL if not set(case.row.model_fields_set) & _ANSWERS]
    assert not idle


_ANSWERS = {
    "fired", "passed", "not_evaluated", "not_applicable", "absorbed", "overall", "computed", "conflict",
    "not_processed", "highest", "complete", "phase", "step", "care_options",
}  # fmt: skip


# --- the runner finds what is wrong --------------------------------------------------------------------------------

SOUND = "drug: cyclobenzaprine 10 mg tablet, days: 22"


def _differences(folder: Path, answers: str) -> str:
    (folder / "made.yaml").write_text(f"# made for a test\n- {{{SOUND}, {answers}}}\n")
    (case,) = read_cases(folder)
    assert case.line == 2
    return "\n".join(run_case(knowledge(), case))


def test_a_true_row_has_no_differences(tmp_path: Path) -> None:
    row = (
        "fired: [duration.course], passed: [sedation.opioid], not_applicable: [hepatic.stop], overall: ALERTS, "
        "absorbed: {duration.episode: duration.course}, severity: {duration.course: HIGH}, computed: {course_days: 22},"
        "suggest: {duration.course: days 22 -> 14}, says: {duration.course: 22 days planned}, highest: HIGH"
    )
    assert _differences(tmp_path, row) == ""


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ("fired: [duration.third-week]", "FIRED expected, NOT_APPLICABLE found"),
        ("passed: [duration.course]", "PASSED expected, FIRED found"),
        ("not_evaluated: [sedation.opioid]", "NOT_EVALUATED expected, PASSED found"),
        ("not_applicable: [sedation.opioid]", "NOT_APPLICABLE expected, PASSED found"),
        ("not_evaluated: {sedation.opioid: overlap_opioid}, meds: unknown, days: 3", "key 'days' is given twice"),
        ("not_evaluated: {sedation.opioid: age_years}, meds: unknown", "age_years expected as missing"),
        ("send: {sedation.opioid: patient.age}, meds: unknown", "to send patient.age expected"),
        ("absorbed: {duration.episode: duration.third-week}", "absorbed by duration.third-week expected"),
        ("severity: {duration.course: LOW}", "'LOW' expected, 'HIGH' found"),
        ("suggest: {duration.course: days 22 -> 7}", "to suggest days 22 -> 7 expected"),
        ("suggest: {duration.course: nothing}", "to suggest nothing expected, ['days 22 -> 14"),
        ("suggest: {duration.course: [days 22 -> 14, refills 1 -> 0]}", "and refills 1 -> 0 expected"),
        ("suggest: {sedation.opioid: refills 1 -> 0}", "to suggest refills 1 -> 0 expected, [] found"),
        ("says: {duration.course: 23 days}", "'23 days' expected"),
        ("severity: {sedation.opioid: HIGH}", "no alert to look at"),
        ("partners: {duration.course: oxycodone}", "'oxycodone' expected"),
        ("because: {hepatic.stop: full moon}", "'full moon' expected"),
        ("computed: {course_days: 21}", "21 expected, 22 found"),
        ("overall: CLEAR", "CLEAR expected, ALERTS found"),
        ("highest: LOW", "LOW expected, HIGH found"),
        ("complete: yes", "True expected, False found"),
        ("phase: acute", "acute expected, unknown found"),
        ("step: 3", "3 expected, 2 found"),
        ("only: yes, fired: [duration.course]", "sedation.counsel: fired, and only the listed rules may"),
        ("conflict: history", "'history' expected"),
        ("not_processed: prescription.medication", "prescription.medication expected"),
        ("care_options: [ice-bath]", "ice-bath expected"),
        ("fired: [duration.coarse]", "no rule is called 'duration.coarse'; did you mean 'duration.course'?"),
        ("fired: [duration.course@tizanidine]", "there is no such check"),
    ],
)
def test_a_false_row_is_told(tmp_path: Path, answers: str, told: str) -> None:
    try:
        found = _differences(tmp_path, answers)
    except KnowledgeError as error:
        found = str(error)
    assert told in found


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("drug: x, hepatc: mild", "cases/made.yaml:2: 0.hepatc: Extra inputs are not permitted"),
        ("drug: x, dose: ten mg", "cases/made.yaml:2: dose: 'ten mg' does not read as"),
        ("drug: x, hepatic: bad", "cases/made.yaml:2: hepatic: 'bad' is not"),
        ("drug: x, meds: [oxycodone day 3 active]", "cases/made.yaml:2: meds: 'oxycodone day 3 active' does not read"),
        ("drug: x, meds: {partial: [], unmarked: []}", "cases/made.yaml:2: meds: an open list holds either"),
        ("drug: x, problems: [cirrhosis]", "cases/made.yaml:2: problems: 'cirrhosis' does not read"),
        ("drug: x, labs: [ALT high]", "cases/made.yaml:2: labs: 'ALT high' does not read"),
        ("drug: x, start: soon", "cases/made.yaml:2: start: 'soon' is neither days from 2026-11-02 nor a date"),
        ("drug: x, quantity: a few", "cases/made.yaml:2: quantity:"),
        ("dose: 10 mg", "cases/made.yaml:2: 0.drug: Field required"),
        ("drug: x, new: maybe", "cases/made.yaml:2: 0.new"),
    ],
)
def test_a_row_that_is_not_understood_is_refused(tmp_path: Path, row: str, told: str) -> None:
    (tmp_path / "made.yaml").write_text(f"# made for a test\n- {{{row}}}\n")
    with pytest.raises(KnowledgeError) as caught:
        read_cases(tmp_path)
    assert told in str(caught.value)


def test_a_folder_without_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError):
        read_cases(tmp_path)


def test_the_cases_ship_with_the_package() -> None:
    assert CASES.is_dir()
    assert (CASES / "README.md").is_file()
