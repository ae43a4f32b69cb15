"""Wrong turns that no case can notice, each with its proof; by machine where the meaning of the rule decides it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, product
from math import prod
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, RootModel

from safety_service.curation.altered import Change, Workbench, facts_asked
from safety_service.curation.mutate import Mutant
from safety_service.curation.places import Place
from safety_service.curation.recording import ProgramKey
from safety_service.curation.written import RuleForm, conditions_in, rule_names
from safety_service.engine.explain import fact_text
from safety_service.knowledge.read import KnowledgeError, Problem, read_document, validate
from safety_service.knowledge.schema import Strict, Text
from safety_service.rules.meaning import Truth, meaning, open_facts
from safety_service.rules.parse import RuleTextError, parse
from safety_service.rules.specialise import specialise
from safety_service.rules.tree import (
    And,
    Compare,
    FactRef,
    Fired,
    Known,
    Not,
    Number,
    Or,
    Tree,
    facts_of,
)
from safety_service.rules.vocabulary import FACTS, HIGHEST, LOWEST, SLOTS, Type, put_number, unknown_facts

FILE = "mutants/equivalent.yaml"  # in the folder of the cases
_NOTHING = ("silent", "passed")
MOST_COMBINATIONS = 200_000


class Equivalent(Strict):
    """Mutants with one proof, in words. `given` is what is always true of the facts, in the rule language.

    `meaning`: the machine compares the rule with its mutant on every combination of the facts they name. `words`: it
    cannot, since the reason lies outside the rule.
    """

    mutants: tuple[Text, ...]
    why: Text
    checked: Literal["meaning", "words"]
    given: Text | tuple[Text, ...] = ()


class EquivalentFile(RootModel[tuple[Equivalent, ...]]):
    model_config = ConfigDict(frozen=True, strict=True)


@dataclass(frozen=True, slots=True)
class Proof:
    """One mutant said to be equivalent, and where that is said."""

    entry: Equivalent
    given: tuple[Tree, ...]
    place: Place


def read_proofs(folder: Path, bench: Workbench) -> dict[str, Proof]:
    """The proofs of a folder of cases, by mutant; none when it has no such file. Raises KnowledgeError."""
    path = folder / FILE
    if not path.is_file():
        return {}
    document = read_document(path, f"cases/{FILE}")
    found: dict[str, Proof] = {}
    problems: list[Problem] = []
    names = rule_names(bench.knowledge)
    for at, entry in enumerate(validate(document, EquivalentFile).root):
        given: list[Tree] = []
        for text in (entry.given,) if isinstance(entry.given, str) else entry.given:
            try:
                given.append(parse(text, names))
            except RuleTextError as error:
                problems.append(document.problem(f"given: {error}", at, "given"))
        for number, mutant in enumerate(entry.mutants):
            if mutant in found:
                problems.append(document.problem(f"{mutant!r} is given twice", at, "mutants", number))
            found[mutant] = Proof(entry, tuple(given), Place(document.name, document.line(at, "mutants", number)))
    if problems:
        raise KnowledgeError(problems)
    return found


def refuted(bench: Workbench, mutant: Mutant, changes: Sequence[Change], proof: Proof) -> str:
    """Why a proof by meaning does not hold; "" when it does, and for a proof in words.

    Rules that change only because they name the wrong one by `fired` need no proof of their own: they follow from it.
    """
    if proof.entry.checked == "words":
        return ""
    own = [each for each in changes if mutant.kind != "rule" or each.rule_id == mutant.of]
    if not own:
        return "no rule changes by it, so that its meaning shows nothing: the proof can only be in words"
    leaned_on = len(own) < len(changes)
    for change in own:
        given = [each for tree in proof.given if (each := given_for(bench, change.program, tree)) is not None]
        if len(given) < len(proof.given):
            return f"what is given names a limit that {change.program} does not state"
        for asked in bench.asked(change.program):
            if not _holds(given, asked.values):
                return f"what is given does not hold in the case {bench.recording.cases[asked.at].id}"
        against = [form for other in _lost(change) if (form := bench.form(change.program, other)) is not None]
        names = frozenset().union(*map(facts_of, given), *map(facts_asked, (change.before, change.now, *against)))
        trees = [tree for form in (change.before, change.now, *against) for tree in conditions_in(form)]
        domains = _domains(names, [*trees, *given])
        if prod(map(len, domains.values())) > MOST_COMBINATIONS:
            return f"too many combinations of {', '.join(sorted(names))} to try: the proof can only be in words"
        for values in _combinations(domains):
            if not _holds(given, values):
                continue
            if told(change.before, values) != told(change.now, values) or _beside(change, against, values, leaned_on):
                facts = ", ".join(f"{name} is {fact_text(name, values)}" for name in sorted(names))
                return f"{change.rule_id} of {change.program} differs where {facts}"
    return ""


def given_for(bench: Workbench, key: ProgramKey, given: Tree) -> Tree | None:
    """What is given, with the limits of one program put in; None when it names one that is not stated there."""
    return specialise(given, bench.limits[key], lambda rule_id: (Fired(rule_id), ()))


def told(form: RuleForm | None, values: Sequence[int]) -> object:
    """What a rule answers, comparable: silent, passed, open for want of facts, or fired by its first true clause."""
    if form is None:
        return "silent"
    applies = Truth.TRUE if form.applies is None else meaning(form.applies, values)
    if applies is Truth.FALSE:
        return "silent"
    always = frozenset() if form.applies is None else frozenset(open_facts(form.applies, values))
    needs: list[frozenset[str]] = []
    for each in form.clauses:
        truth = meaning(each.when, values)
        if truth is Truth.TRUE and applies is Truth.TRUE:
            proposed = [
                (of.number, of.to) for of in each.proposals if of.when is None or meaning(of.when, values) is Truth.TRUE
            ]
            return each.place, proposed, _missing(always, needs)
        if truth is not Truth.FALSE:
            needs.append(frozenset(open_facts(each.when, values)))
    return _missing(always, needs) if needs else "passed"


def _missing(always: frozenset[str], needs: Sequence[frozenset[str]]) -> frozenset[str]:
    """The facts that are asked for; a clause that needs all that another needs and more adds nothing (engine/check)."""
    least = (need for need in needs if not any(other < need for other in needs))
    return always.union(*least) if needs else frozenset()


def _lost(change: Change) -> tuple[str, ...]:
    """The rules that are absorbed no more."""
    before = () if change.before is None else change.before.absorbs
    now = () if change.now is None else change.now.absorbs
    return tuple(each for each in before if each not in now)


def _beside(change: Change, against: Sequence[RuleForm], values: Sequence[int], leaned_on: bool) -> bool:
    """Whether the rule fires (or is open, where others lean on it) while one that it absorbs no more would speak."""
    own = told(change.now, values)
    speaks = own not in _NOTHING if leaned_on else isinstance(own, tuple)
    return speaks and any(told(form, values) not in _NOTHING for form in against)


def _holds(given: Sequence[Tree], values: Sequence[int]) -> bool:
    """Whether all that is given is true: for sure, or of the lowest values together and of the highest together.

    The latter is how numbers stand to each other, such as an episode to its course; it tells nothing of what is known.
    """
    return all(
        meaning(each, values) is Truth.TRUE or (not _asks_what_is_known(each) and _at_both_ends(each, values))
        for each in given
    )


def _asks_what_is_known(tree: Tree) -> bool:
    match tree:
        case Known():
            return True
        case And(parts) | Or(parts):
            return any(map(_asks_what_is_known, parts))
        case Not(part):
            return _asks_what_is_known(part)
    return False


def _at_both_ends(given: Tree, values: Sequence[int]) -> bool:
    lows, highs = list(values), list(values)
    for name in facts_of(given):
        if FACTS[name].type is Type.NUMBER:
            at = SLOTS[name]
            lows[at + 1] = lows[at]
            highs[at] = highs[at + 1]
    return meaning(given, lows) is Truth.TRUE and meaning(given, highs) is Truth.TRUE


# --- every combination of facts that can matter ------------------------------------------------------------------


def _domains(names: Iterable[str], trees: Sequence[Tree]) -> dict[str, list[tuple[int, ...]]]:
    """By fact: what its slots can hold, as far as these conditions tell it apart."""
    compared = [each for tree in trees for each in _comparisons(tree)]
    points: dict[str, set[int]] = {name: {LOWEST, HIGHEST} for name in names}
    for each in compared:
        facts, numbers = _sides(each)
        for fact in facts:
            points[fact] |= {near for number in numbers for near in (number - 1, number, number + 1)}
    for each in compared * 2:  # facts that are compared with each other, with the numbers that either is compared with
        facts, _ = _sides(each)
        shared = set().union(*(points[fact] for fact in facts))
        for fact in facts:
            points[fact] |= shared
    found: dict[str, list[tuple[int, ...]]] = {}
    for name in sorted(names):
        if FACTS[name].type is not Type.NUMBER:
            found[name] = [(mask,) for mask in range(1, FACTS[name].everything + 1)]
            continue
        spans = list(combinations_with_replacement(sorted(points[name]), 2))
        own = [each for each in compared if name in _sides(each)[0]]
        if all(len(_sides(each)[0]) == 1 for each in own):  # then spans of which every comparison says the same are one
            spans = list({_said(own, name, span): span for span in spans}.values())
        found[name] = list(spans)
    return found


def _said(compared: Sequence[Compare], name: str, span: tuple[int, int]) -> tuple[Truth, ...]:
    """What comparisons say of a number within a span, and of each of its ends."""
    values = unknown_facts()
    said = []
    for low, high in (span, (span[0], span[0]), (span[1], span[1])):
        put_number(values, name, low, high)
        said += [meaning(each, values) for each in compared]
    return tuple(said)


def _comparisons(tree: Tree) -> Iterator[Compare]:
    match tree:
        case Compare():
            yield tree
        case And(parts) | Or(parts):
            for part in parts:
                yield from _comparisons(part)
        case Not(part) | Known(part):
            yield from _comparisons(part)


def _sides(compared: Compare) -> tuple[list[str], list[int]]:
    sides = (compared.left, compared.right)
    return [side.name for side in sides if isinstance(side, FactRef)], [
        side.value for side in sides if isinstance(side, Number)
    ]


def _combinations(domains: Mapping[str, Sequence[tuple[int, ...]]]) -> Iterator[list[int]]:
    values = unknown_facts()
    slots = [SLOTS[name] for name in domains]
    for chosen in product(*domains.values()):
        for at, held in zip(slots, chosen, strict=True):
            values[at : at + len(held)] = held
        yield values
