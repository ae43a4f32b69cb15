"""Both generated forms against the interpreter, which is the definition: no difference, and planted faults are seen."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from random import Random
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import pytest

from safety_service.engine.check import interpreted
from safety_service.knowledge.knowledge import Knowledge, Program
from safety_service.knowledge.load import load_knowledge
from safety_service.rules import columns as column_generator
from safety_service.rules import generate as generator
from safety_service.rules.columns import Both, Column, Either, Rail, Relation, generate_columns, row_masks
from safety_service.rules.generate import Condition, Masks, generate
from safety_service.rules.meaning import Truth, meaning
from safety_service.rules.tree import And, Compare, FactRef, Known, Not, Number, OneOf, Or, Tree
from safety_service.rules.vocabulary import FACTS, HIGHEST, LOWEST, SLOTS, Type, unknown_facts
from tests.rules.random_rules import OPERATORS, nodes, random_facts, random_tree

FACT_SETS = 300
CHUNK = 128  # rows of a table answered at a time here: fewer than there are
MOST = (40, 63, 140)  # conditions of one generated function: most fit one word of a mask, some need three


@pytest.fixture(autouse=True)
def several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_generator, "ROWS", CHUNK)


def by_function(conditions: Sequence[Condition], rows: Sequence[list[int]]) -> list[Masks]:
    function, _ = generate(conditions, "random")
    return [function(values) for values in rows]


def by_columns(conditions: Sequence[Condition], rows: Sequence[list[int]]) -> list[Masks]:
    function, _ = generate_columns(conditions, "random")
    return list(zip(*map(row_masks, function(np.array(rows, np.int32).T)), strict=True))


FORMS = {"function": by_function, "columns": by_columns}


def random_conditions(rng: Random) -> list[Condition]:
    """The conditions of one function. Neighbours often share `applies`, as the clauses of a rule do."""
    conditions: list[Condition] = []
    applies: Tree | None = None
    for _ in range(rng.randint(1, rng.choice(MOST))):
        if rng.random() < 0.4:
            applies = random_tree(rng, 3) if rng.random() < 0.6 else None
        conditions.append(Condition(random_tree(rng), applies))
    return conditions


def by_meaning(conditions: list[Condition], values: list[int]) -> tuple[Masks, list[Truth]]:
    """What the function must answer: fired only where it surely applies, silent only where it surely does not."""
    true = unknown = silent = 0
    answers = []
    asked: dict[int, Truth] = {}
    for i, condition in enumerate(conditions):
        applies = Truth.TRUE
        if condition.applies is not None:
            which = id(condition.applies)
            applies = asked[which] if which in asked else asked.setdefault(which, meaning(condition.applies, values))
        answer = meaning(condition.when, values)
        answers.append(answer)
        if applies is Truth.FALSE:
            silent |= 1 << i
        elif answer is Truth.TRUE and applies is Truth.TRUE:
            true |= 1 << i
        elif answer is not Truth.FALSE:
            unknown |= 1 << i
    return (true, unknown, silent), answers


Difference: TypeAlias = tuple[str, list[Condition], list[int], Masks, Masks]


def differences(seed: int, trees: int, fact_sets: int) -> Iterator[Difference]:
    """Every (form, conditions, facts, answer, right answer) that differs, over at least `trees` random trees."""
    rng = Random(seed)
    done = 0
    while done < trees:
        conditions = random_conditions(rng)
        done += len(conditions)
        rows = [random_facts(rng) for _ in range(fact_sets)]
        right = [by_meaning(conditions, values)[0] for values in rows]
        for form, answers in FORMS.items():
            for values, given, wanted in zip(rows, answers(conditions, rows), right, strict=True):
                if given != wanted:
                    yield form, conditions, values, given, wanted


def test_a_thousand_random_trees(seed: int) -> None:
    assert next(differences(seed, 1_000, FACT_SETS), None) is None


@pytest.mark.long
def test_twenty_thousand_random_trees(seed: int) -> None:
    assert next(differences(seed + 1, 20_000, FACT_SETS), None) is None


def test_the_random_search_reaches_every_kind_of_node_and_every_answer(seed: int) -> None:
    """Equal answers prove nothing where nothing was asked."""
    rng = Random(seed)
    seen: Counter[object] = Counter()
    missing = total = 0
    for _ in range(10):
        conditions = random_conditions(rng)
        seen["applies"] += sum(each.applies is not None for each in conditions)
        for _ in range(20):
            values = random_facts(rng)
            missing += sum(values[SLOTS[f.name]] == unknown_facts()[SLOTS[f.name]] for f in FACTS.values())
            total += len(FACTS)
            masks, answers = by_meaning(conditions, values)
            seen.update(answers)
            seen.update(name for name, mask in zip(("fired", "unknown", "silent"), masks, strict=True) if mask)
        for condition in conditions:
            for node in nodes(condition.when):
                if isinstance(node, Compare):
                    sides = isinstance(node.left, FactRef), isinstance(node.right, FactRef)
                    seen[node.operator, sides] += 1
                elif isinstance(node, OneOf):
                    seen[FACTS[node.fact].type] += 1
                else:
                    seen[type(node)] += 1
    wanted: set[object] = {
        *Truth,
        And,
        Or,
        Not,
        Known,
        Type.CHOICE,
        Type.YES_NO,
        "fired",
        "unknown",
        "silent",
        "applies",
    }
    wanted |= {(each, sides) for each in OPERATORS for sides in ((True, True), (True, False), (False, True))}
    assert {each for each in wanted if seen[each] < 5} == set(), seen
    assert min(seen[answer] for answer in Truth) > 0.1 * sum(seen[answer] for answer in Truth)
    assert 0.2 < missing / total < 0.35


# --- planted faults -------------------------------------------------------------------------------------------------

RailOf: TypeAlias = Callable[[Tree], Any]  # text in the function, a Rail in columns
MODULES: dict[str, ModuleType] = {"function": generator, "columns": column_generator}
RIGHT: dict[str, dict[str, RailOf]] = {
    form: {name: getattr(module, name) for name in ("definitely", "possibly")} for form, module in MODULES.items()
}


def not_that_keeps_its_rail(form: str, right: RailOf) -> RailOf:
    def rail(tree: Tree) -> Any:
        if not isinstance(tree, Not):
            return right(tree)
        kept = MODULES[form].possibly(tree.part)
        return f"not ({kept})" if isinstance(kept, str) else column_generator.opposite(kept)

    return rail


def unknown_taken_for_false(form: str, right: RailOf) -> RailOf:
    return RIGHT[form]["definitely"]


def unknown_taken_for_true(form: str, right: RailOf) -> RailOf:
    return RIGHT[form]["possibly"]


def boundary_off_by_one(form: str, right: RailOf) -> RailOf:
    def rail(tree: Tree) -> Any:
        match tree:
            case Compare("<", left, other):
                return right(Compare("<=", left, other))
        return right(tree)

    return rail


def wrong_constant(form: str, right: RailOf) -> RailOf:
    def rail(tree: Tree) -> Any:
        match tree:
            case Compare(operator, FactRef() as fact, Number(value)):
                return right(Compare(operator, fact, Number(value + 1)))
        return right(tree)

    return rail


def value_lost_from_a_set(form: str, right: RailOf) -> RailOf:
    return lambda tree: right(OneOf(tree.fact, tree.mask & ~2)) if isinstance(tree, OneOf) else right(tree)


def and_for_or(form: str, right: RailOf) -> RailOf:
    return lambda tree: right(And(tree.parts)) if isinstance(tree, Or) else right(tree)


def known_forgotten(form: str, right: RailOf) -> RailOf:
    return lambda tree: right(tree.part) if isinstance(tree, Known) else right(tree)


NUMBER_SLOTS = {SLOTS[fact.name] for fact in FACTS.values() if fact.type is Type.NUMBER}


def high_end_taken_for_low(form: str, right: RailOf) -> RailOf:
    def rail(tree: Tree) -> Any:
        found = right(tree)
        if not isinstance(found, str):
            return high(found)
        for slot in NUMBER_SLOTS:
            found = found.replace(f"v[{slot}]", f"v[{slot + 1}]")
        return found

    def high(found: Rail) -> Rail:
        match found:
            case Relation(sign, left, other):
                return Relation(sign, high_end(left), high_end(other))
            case Both(left_rail, right_rail):
                return Both(high(left_rail), high(right_rail))
            case Either(left_rail, right_rail):
                return Either(high(left_rail), high(right_rail))
        return found

    def high_end(end: Column | int) -> Column | int:
        return Column(end.slot + 1) if isinstance(end, Column) and end.slot in NUMBER_SLOTS else end

    return rail


@pytest.mark.parametrize("form", MODULES)
@pytest.mark.parametrize(
    ("rails", "fault"),
    [
        ("possibly", not_that_keeps_its_rail),
        ("possibly", unknown_taken_for_false),
        ("definitely", unknown_taken_for_true),
        ("definitely", boundary_off_by_one),
        ("possibly", boundary_off_by_one),
        ("both", boundary_off_by_one),
        ("both", wrong_constant),
        ("both", value_lost_from_a_set),
        ("definitely", and_for_or),
        ("both", and_for_or),
        ("possibly", known_forgotten),
        ("definitely", high_end_taken_for_low),
    ],
)
def test_planted_faults_are_caught(
    rails: str, fault: Callable[[str, RailOf], RailOf], form: str, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    for name, right in RIGHT[form].items():
        if rails in (name, "both"):
            monkeypatch.setattr(MODULES[form], name, fault(form, right))
    assert first_to_differ(seed) == form


def first_to_differ(seed: int) -> str | None:
    """The form with a fault; the other has none."""
    found = next(differences(seed, 1_000, 10), None)
    return found[0] if found is not None else None


@pytest.mark.parametrize(("form", "name"), [("function", "python_source"), ("columns", "_written")])
def test_applies_forgotten_is_caught(form: str, name: str, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    right = getattr(MODULES[form], name)
    monkeypatch.setattr(MODULES[form], name, lambda all_: right([Condition(each.when) for each in all_]))
    assert first_to_differ(seed) == form


def test_not_that_leaves_and_as_it_is_is_caught(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    right = column_generator.opposite

    def wrong(rail: Rail) -> Rail:
        return Both(wrong(rail.left), wrong(rail.right)) if isinstance(rail, Both) else right(rail)

    monkeypatch.setattr(column_generator, "opposite", wrong)
    assert first_to_differ(seed) == "columns"


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("bitwise_xor(", "bitwise_or("),  # true counted as unknown, too
        ("add(", "copyto("),  # a condition that takes the bit of the next
        ("[1, ", "[0, "),  # the second word written over the first
        (", 1] =", ", 2] ="),  # eight conditions in another's place
    ],
)
def test_faults_of_the_text_are_caught(right: str, wrong: str, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    text = column_generator._Writer.text

    def faulty(writer: column_generator._Writer) -> str:
        lines = text(writer).split("\n")
        if wrong == "copyto(":
            lines = [line for line in lines if right not in line]
        return "\n".join(line.replace(right, wrong) for line in lines)

    monkeypatch.setattr(column_generator._Writer, "text", faulty)
    assert first_to_differ(seed) == "columns"


def test_a_register_given_back_too_soon_is_caught(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    def at_first_use(writer: column_generator._Writer, rail: Rail) -> None:
        if rail in writer._held:
            writer.free.append(writer._held[rail])

    monkeypatch.setattr(column_generator._Writer, "_used", at_first_use)
    assert first_to_differ(seed) == "columns"


# --- the programs of the real knowledge -----------------------------------------------------------------------------


@cache
def knowledge() -> Knowledge:
    return load_knowledge()


def constants(program: Program) -> dict[str, list[int]]:
    """The numbers each fact is compared with."""
    found: dict[str, set[int]] = {}
    for live in program.rules:
        trees = [clause.when for clause in live.clauses] + ([] if live.applies is None else [live.applies])
        for tree in trees:
            for node in nodes(tree):
                if isinstance(node, Compare):
                    for side, other in ((node.left, node.right), (node.right, node.left)):
                        if isinstance(side, FactRef) and isinstance(other, Number):
                            found.setdefault(side.name, set()).add(other.value)
    return {name: sorted(numbers) for name, numbers in found.items()}


def facts_near(rng: Random, thresholds: dict[str, list[int]]) -> list[int]:
    """Random facts whose numbers stand on, just below and just above what the rules compare them with."""
    values = random_facts(rng)
    shared = rng.choice((0, 5_000, 10_000))  # doses are compared with each other as well
    for name, numbers in thresholds.items():
        at = SLOTS[name]
        if values[at] == LOWEST and values[at + 1] == HIGHEST:
            continue
        one, other = (rng.choice(numbers) + rng.choice((-1, 0, 0, 1)) for _ in range(2))
        low, high = sorted((one, other))
        drawn = rng.random()
        if drawn < 0.6:
            low = high = one
        elif drawn < 0.7:
            high = HIGHEST
        values[at], values[at + 1] = low, high
    if rng.random() < 0.3:
        for name in ("single_dose_mg", "last_dose_mg"):
            at = SLOTS[name]
            values[at] = values[at + 1] = shared + rng.choice((-1, 0, 1))
    return values


def programs() -> dict[str, Program]:
    found = {"any order": knowledge().any_order}
    for line in knowledge().lines.values():
        found[line.id] = line.program
        found[f"{line.id} as partner"] = line.pair_program
    return found


def conditions_of(program: Program) -> list[Condition]:
    return [Condition(clause.when, live.applies) for live in program.rules for clause in live.clauses]


def test_every_program_of_the_knowledge(seed: int) -> None:
    found = programs()
    assert len(found) >= 2 * 12 + 1
    for name, program in found.items():
        thresholds = constants(program)
        rng = Random(f"{seed} {name}")
        true = unknown = 0
        rows = [facts_near(rng, thresholds) for _ in range(1_500)]
        for values, in_columns in zip(rows, by_columns(conditions_of(program), rows), strict=True):
            given = program.answer(values)
            assert given == interpreted(program, values), (name, values)
            assert given == in_columns, (name, values)
            true |= given[0]
            unknown |= given[1]
        everything = 0
        for live in program.rules:
            everything |= live.mask
        assert true == everything, f"{name}: some clause was never seen to fire"
        can_be_open = program.answer(unknown_facts())[1]  # a clause all within known(...) is never open
        assert unknown & can_be_open == can_be_open, f"{name}: some clause was never seen open"


def test_every_program_with_nothing_known() -> None:
    for program in programs().values():
        values = unknown_facts()
        true, unknown, silent = program.answer(values)
        assert (true, unknown, silent) == interpreted(program, values)
        assert [(true, unknown, silent)] == by_columns(conditions_of(program), [values])
        for live in program.rules:
            asks_known = live.applies is not None and any(isinstance(node, Known) for node in nodes(live.applies))
            assert asks_known or not silent & live.mask, "where nothing is known nothing is known not to apply"
