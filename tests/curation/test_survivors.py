"""A wrong turn that a case notices is killed; without that case it survives and is told with its place."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from safety_service.cases import Case
from safety_service.curation.altered import Workbench
from safety_service.curation.equivalent import Equivalent, Proof
from safety_service.curation.mutate import Mutant, Verdict, attempt, of_rules, stepped_limits
from safety_service.curation.places import Place, Places
from safety_service.curation.recording import record
from safety_service.curation.survivors import Survivors, survivors, survivors_text
from safety_service.knowledge.knowledge import Knowledge
from safety_service.report.layout import plain
from safety_service.rules.vocabulary import SLOTS

START = "hepatic.start-dose"
DOSE, LIMIT = "single_dose_mg", "drug.hepatic.mild_start_mg"


@pytest.fixture(scope="module")
def of_start_dose(every_mutant: dict[str, Mutant]) -> list[Mutant]:
    own = (START, "hepatic.mild_start_mg of cyclobenzaprine-ir")
    return [each for each in every_mutant.values() if each.of in own and each.change != "not stated"]


def without(knowledge: Knowledge, cases: tuple[Case, ...], rule_id: str) -> Workbench:
    """A bench without the cases that want an answer of a rule or anything of its alerts, or of the whole."""
    kept = tuple(
        replace(
            case, row=case.row.model_copy(update={"only": False, "overall": None, "highest": None, "complete": None})
        )
        for case in cases
        if rule_id not in repr(case.row)
    )
    return Workbench(record(knowledge, kept))


def verdicts(bench: Workbench, of: list[Mutant]) -> Iterator[Verdict]:
    return (attempt(bench, each._replace(cases=tuple(at for at in each.cases if at in bench.holding))) for each in of)


def test_cases_on_each_side_kill_every_wrong_turn(bench: Workbench, of_start_dose: list[Mutant]) -> None:
    assert len(of_start_dose) > 12
    found = list(verdicts(bench, of_start_dose))
    assert [str(each.mutant) for each in found if each.killed_by is None] == []
    killer = bench.recording.cases[next(each.killed_by for each in found if each.killed_by is not None)]
    assert START in repr(killer.row)


def test_without_them_every_wrong_turn_survives(
    knowledge: Knowledge, cases: tuple[Case, ...], of_start_dose: list[Mutant]
) -> None:
    found = list(verdicts(without(knowledge, cases, "hepatic."), of_start_dose))
    assert [str(each.mutant) for each in found if each.killed_by is not None] == []


def test_without_the_case_at_5_mg_the_lower_threshold_survives(
    knowledge: Knowledge, cases: tuple[Case, ...], of_start_dose: list[Mutant]
) -> None:
    """What passes at 5 mg is what tells > 5 mg from >= 5 mg, and nothing else does."""
    at = SLOTS["single_dose_mg"]
    of_5_mg = {each.at for each in record(knowledge, cases).asked if each.values[at] == 5000}
    kept = [case for number, case in enumerate(cases) if number not in of_5_mg]
    found = verdicts(Workbench(record(knowledge, kept)), of_start_dose)
    survived = {str(each.mutant) for each in found if each.killed_by is None}
    assert f"{START}, clause 1: {DOSE} > {LIMIT} -> {DOSE} >= {LIMIT}" in survived
    assert f"{START}, clause 1: new_start -> not new_start" not in survived


def test_a_mutant_that_changes_nothing_is_no_survivor(bench: Workbench, every_mutant: dict[str, Mutant]) -> None:
    """duration.course-guideline absorbs duration.third-week, which speaks on none of its drugs."""
    mutant = every_mutant["duration.course-guideline: no longer absorbs duration.third-week"]
    verdict = attempt(bench, mutant)
    assert verdict.alike
    assert verdict.tried == 0


def test_places_and_kinds_of_mutants(every_mutant: dict[str, Mutant]) -> None:
    found = every_mutant.values()
    assert {each.kind for each in found} == {"rule", "limit", "policy number", "value set row", "value set"}
    assert all(each.place.line > 1 or each.kind == "value set" for each in found)
    assert every_mutant[f"{START}, clause 1: clause dropped"].place.file == "rules/hepatic.yaml"
    assert every_mutant["opioid: oxycodone dropped from ingredients"].place.file == "value_sets/opioid.yaml"


# --- the whole run -----------------------------------------------------------------------------------------------


def run(bench: Workbench, places: Places, monkeypatch: pytest.MonkeyPatch, keep: str, **proofs: Proof) -> Survivors:
    """A run over the mutants of one rule."""
    own = [each for each in of_rules(bench, places, stepped_limits(bench)) if each.of == keep]
    monkeypatch.setattr("safety_service.curation.mutate.mutants", lambda *_: iter(own))
    return survivors(bench, places, {each.place.file: each for each in proofs.values()})


def proof(mutant: str, checked: str = "meaning") -> Proof:
    entry = Equivalent.model_validate({"mutants": (mutant,), "why": "made for a test", "checked": checked})
    return Proof(entry, (), Place(mutant, 7))


def test_all_killed(bench: Workbench, places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(bench, places, monkeypatch, "sedation.alcohol")
    assert found.is_sound
    assert "100 % (" in plain(survivors_text(found, brief=True))


def test_survivors_are_told_with_place_rule_clause_and_change(
    knowledge: Knowledge, cases: tuple[Case, ...], places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run(without(knowledge, cases, "sedation.alcohol"), places, monkeypatch, "sedation.alcohol")
    assert not found.is_sound
    text = plain(survivors_text(found))
    assert "survived: sedation.alcohol, clause 1: alcohol_use -> not alcohol_use" in text
    assert text.splitlines()[-1].startswith("0 % (0 of ")
    assert str(places.rule("sedation.alcohol", 0)) in text


def test_a_proof_of_a_mutant_that_a_case_notices_is_refused(
    bench: Workbench, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "sedation.alcohol, clause 1: alcohol_use -> not alcohol_use"
    found = run(bench, places, monkeypatch, "sedation.alcohol", a=proof(name, "words"))
    assert not found.is_sound
    assert "notices" in found.problems[0].reason
    assert found.problems[0].line == 7


def test_a_proof_of_no_mutant_is_refused(bench: Workbench, places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(bench, places, monkeypatch, "sedation.alcohol", a=proof("sedation.alcohol: no such turn", "words"))
    assert [each.reason for each in found.problems] == ["no mutant is called 'sedation.alcohol: no such turn'"]
