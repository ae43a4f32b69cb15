"""Generated functions against the interpreter, which is the definition: no difference, and planted faults are seen."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from random import Random

import pytest

from safety_service.engine.check import interpreted
from safety_service.knowledge.knowledge import Knowledge, Program
from safety_service.knowledge.load import load_knowledge
from safety_service.rules import generate as generator
from safety_service.rules.generate import Condition, Masks, generate
from safety_service.rules.meaning import Truth, meaning
from safety_service.rules.tree import And, Compare, FactRef, Known, Not, Number, OneOf, Or, Tree
from safety_service.rules.vocabulary import FACTS, HIGHEST, LOWEST, SLOTS, Type, unknown_facts
from tests.rules.random_rules import OPERATORS, nodes, random_facts, random_tree

FACT_SETS = 300
SMALLEST, LARGEST = 1, 63  # conditions of one generated function


def random_conditions(rng: Random) -> list[Condition]:
    """The conditions of one function. Neighbours often share `applies`, as the clauses of a rule do."""
    conditions: list[Condition] = []
    applies: Tree | None = None
    for _ in range(rng.randint(SMALLEST, LARGEST)):
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


def differences(seed: int, trees: int, fact_sets: int) -> Iterator[tuple[list[Condition], list[int], Masks, Masks]]:
    """Every (conditions, facts, answer, right answer) that differs, over at least `trees` random trees."""
    rng = Random(seed)
    done = 0
    while done < trees:
        conditions = random_conditions(rng)
        done += len(conditions)
        function, _ = generate(conditions, "random")
        for _ in range(fact_sets):
            values = random_facts(rng)
            right, _ = by_meaning(conditions, values)
            given = function(values)
            if given != right:
                yield conditions, values, given, right


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

Rail = Callable[[Tree], str]
definitely, possibly = generator.definitely, generator.possibly


def not_that_keeps_its_rail(right: Rail) -> Rail:
    return lambda tree: f"not ({generator.possibly(tree.part)})" if isinstance(tree, Not) else right(tree)


def unknown_taken_for_false(right: Rail) -> Rail:
    return definitely


def unknown_taken_for_true(right: Rail) -> Rail:
    return possibly


def boundary_off_by_one(right: Rail) -> Rail:
    def rail(tree: Tree) -> str:
        match tree:
            case Compare("<", left, other):
                return right(Compare("<=", left, other))
        return right(tree)

    return rail


def wrong_constant(right: Rail) -> Rail:
    def rail(tree: Tree) -> str:
        match tree:
            case Compare(operator, FactRef() as fact, Number(value)):
                return right(Compare(operator, fact, Number(value + 1)))
        return right(tree)

    return rail


def value_lost_from_a_set(right: Rail) -> Rail:
    return lambda tree: right(OneOf(tree.fact, tree.mask & ~2)) if isinstance(tree, OneOf) else right(tree)


def and_for_or(right: Rail) -> Rail:
    return lambda tree: right(And(tree.parts)) if isinstance(tree, Or) else right(tree)


def known_forgotten(right: Rail) -> Rail:
    return lambda tree: right(tree.part) if isinstance(tree, Known) else right(tree)


def high_end_taken_for_low(right: Rail) -> Rail:
    def rail(tree: Tree) -> str:
        text = right(tree)
        for fact in FACTS.values():
            if fact.type is Type.NUMBER:
                text = text.replace(f"v[{SLOTS[fact.name]}]", f"v[{SLOTS[fact.name] + 1}]")
        return text

    return rail


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
    rails: str, fault: Callable[[Rail], Rail], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    for name, right in (("definitely", definitely), ("possibly", possibly)):
        if rails in (name, "both"):
            monkeypatch.setattr(generator, name, fault(right))
    assert next(differences(seed, 1_000, 10), None) is not None


def test_applies_forgotten_is_caught(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    right = generator.python_source
    monkeypatch.setattr(generator, "python_source", lambda all_: right([Condition(each.when) for each in all_]))
    assert next(differences(seed, 1_000, 10), None) is not None


# --- the programs of the real knowledge -----------------------------------------------------------------------------


@cache
def knowledge() -> Knowledge:
    return load_knowledge()


def constants(program: Program) -> dict[str, list[int]]:
    """The numbers each fact is compared with."""
    found: dict[str, list[int]] = {}
    for live in program.rules:
        trees = [clause.when for clause in live.clauses] + ([] if live.applies is None else [live.applies])
        for tree in trees:
            for node in nodes(tree):
                if isinstance(node, Compare):
                    for side, other in ((node.left, node.right), (node.right, node.left)):
                        if isinstance(side, FactRef) and isinstance(other, Number):
                            found.setdefault(side.name, []).append(other.value)
    return found


def facts_near(rng: Random, thresholds: dict[str, list[int]]) -> list[int]:
    """Random facts whose numbers stand on, just below and just above what the rules compare them with."""
    values = random_facts(rng)
    shared = rng.choice((0, 5_000, 10_000))  # doses are compared with each other as well
    for name, numbers in thresholds.items():
        at = SLOTS[name]
        if values[at] == LOWEST and values[at + 1] == HIGHEST:
            continue
        low, high = sorted(rng.choice(numbers) + rng.choice((-1, 0, 0, 1)) for _ in range(2))
        drawn = rng.random()
        if drawn < 0.6:
            low = high
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


def test_every_program_of_the_knowledge(seed: int) -> None:
    found = programs()
    assert len(found) >= 2 * 12 + 1
    for name, program in found.items():
        thresholds = constants(program)
        rng = Random(f"{seed} {name}")
        true = unknown = 0
        for _ in range(1_500):
            values = facts_near(rng, thresholds)
            given = program.answer(values)
            assert given == interpreted(program, values), (name, values)
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
        assert silent == 0, "where nothing is known nothing is known not to apply"
