"""What a rule says of some facts, comparable, and what makes no difference. tests/equivalence holds it to the files."""

from safety_service.cases import Case
from safety_service.curation.altered import Workbench, answer, without_constants
from safety_service.curation.recording import record
from safety_service.knowledge.knowledge import Knowledge
from safety_service.rules.tree import And, Constant, Not, OneOf, Or


def test_answers_tell_all_that_a_case_could_see(bench: Workbench) -> None:
    key = next(key for key in bench.programs if key.line == "cyclobenzaprine-ir")
    form = bench.form(key, "hepatic.start-dose")
    assert form is not None
    assert answer(None, bench.asked(key)[0].values) is None
    told = {repr(answer(form, each.values)) for each in bench.asked(key)}
    assert any("Truth.UNKNOWN" in each and "single_dose_mg" in each for each in told)
    assert any("hepatic.titrate" in each for each in told), "what it absorbs counts once it fires"


def test_constants_within_a_condition() -> None:
    a = OneOf("falls", 2)
    assert without_constants(Or((Constant(True), a))) == Constant(True)
    assert without_constants(Or((Constant(False), a))) == a
    assert without_constants(And((Constant(True), a, Not(Constant(False))))) == a
    assert without_constants(And((a, Not(Or((Constant(True),)))))) == Constant(False)
    assert without_constants(And(())) == Constant(True)


def test_a_case_alone_is_enough(knowledge: Knowledge, cases: tuple[Case, ...]) -> None:
    alone = Workbench(record(knowledge, cases[:1]))
    assert alone.all_hold
    assert alone.holding == (0,)
