"""Does every answer of every rule have a case, and every threshold one on each side? Read off the rules themselves.

Only a case that holds counts, and only for the rules that its row names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.text import Text

from safety_service.curation.altered import Workbench, facts_asked
from safety_service.curation.doses import step_up
from safety_service.curation.places import Place, Places
from safety_service.curation.recording import ProgramKey, fired, named
from safety_service.curation.written import WrittenRule
from safety_service.domain import CheckStatus
from safety_service.engine.check import interpreted
from safety_service.engine.explain import number_text
from safety_service.knowledge.knowledge import Line
from safety_service.knowledge.schema import Rule
from safety_service.rules.meaning import Truth, bounds, meaning
from safety_service.rules.tree import And, Compare, Constant, FactRef, Known, Not, Number, Or, Tree, facts_of, limits_of
from safety_service.rules.vocabulary import FACTS, NO, SLOTS, unknown_facts

# Told by the order itself: these facts are never open.
ALWAYS_KNOWN = ("code_text_conflict", "form_open")
# Words and conditions of these kinds do not depend on the drug: a case on one drug is enough.
SAME_FOR_ALL = frozenset({"PRODUCT", "CARE_PATHWAY"})
ANSWERS = (CheckStatus.FIRED, CheckStatus.PASSED, CheckStatus.NOT_EVALUATED, CheckStatus.NOT_APPLICABLE)


@dataclass(frozen=True, slots=True)
class Gap:
    """Something without a case, and the rule or clause it is about."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass(frozen=True, slots=True)
class Answers:
    """Cases of one rule: by clause that fired, and by answer. `wanted` are the answers it can give."""

    rule: Rule
    by_clause: tuple[int, ...]
    by_answer: dict[CheckStatus, int]
    wanted: frozenset[CheckStatus]


@dataclass(slots=True)
class Threshold:
    """A comparison of a fact with a number: for one line where the number is the drug's, for all ("") where it is not.

    `fires` holds values of the fact with which the clause is true, `silent` those that alone keep it from being so,
    each with the truth of the comparison. `allowed` is how far apart the nearest of both may be.
    """

    rule_id: str
    clause: int  # from 0
    comparison: str
    line_id: str
    fact: str
    allowed: int
    fires: set[tuple[int, Truth]] = field(default_factory=set)
    silent: set[tuple[int, Truth]] = field(default_factory=set)

    @property
    def distance(self) -> int | None:
        """The least distance between a value that fires and one that does not, on either side of the threshold."""
        return min(
            (abs(a - b) for a, side in self.fires for b, other in self.silent if side is not other), default=None
        )

    @property
    def is_two_sided(self) -> bool:
        return self.distance is not None and self.distance <= self.allowed

    def __str__(self) -> str:
        drug = f" ({self.line_id})" if self.line_id else ""
        return f"{self.rule_id}, clause {self.clause + 1}: {self.comparison}{drug}"


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the cases reach. `fired_on` counts the clauses of rules that fired on a drug, of all that can."""

    rules: tuple[Answers, ...]
    fired_on: tuple[int, int]
    thresholds: tuple[Threshold, ...]
    answers_missing: tuple[Gap, ...]
    drugs_missing: tuple[Gap, ...]
    sides_missing: tuple[Gap, ...]

    @property
    def gaps(self) -> tuple[Gap, ...]:
        return (*self.answers_missing, *self.drugs_missing, *self.sides_missing)


def coverage(bench: Workbench, places: Places) -> Coverage:
    """What the cases of a recording reach of its knowledge."""
    rules = tuple(_answers(bench))
    fired_on, drugs_missing = _on_drugs(bench, places)
    thresholds = tuple(_thresholds(bench))
    return Coverage(
        rules=rules,
        fired_on=fired_on,
        thresholds=thresholds,
        answers_missing=tuple(gap for each in rules for gap in _unanswered(each, places)),
        drugs_missing=drugs_missing,
        sides_missing=tuple(
            Gap(places.rule(each.rule_id, each.clause), f"{each}: {_how_far(each)}")
            for each in thresholds
            if not each.is_two_sided
        ),
    )


# --- every answer of every rule ----------------------------------------------------------------------------------


def _answers(bench: Workbench) -> Iterator[Answers]:
    by_answer = {rule.id: dict.fromkeys(ANSWERS, 0) for rule in bench.knowledge.rules}
    asked = {each.at for each in bench.recording.asked}
    for at in asked:
        for status, rules in named(bench.recording.cases[at].row).items():
            for rule_id in rules:
                by_answer[rule_id][status] += 1
    by_clause: dict[tuple[str, int], int] = {}
    for _, rule_id, place in _fired(bench):
        by_clause[rule_id, place] = by_clause.get((rule_id, place), 0) + 1
    speaking = {live.rule.id for program in bench.programs.values() for live in program.rules}
    for rule in bench.knowledge.rules:
        if rule.id not in speaking:  # its drug's file says why
            yield Answers(rule, (), by_answer[rule.id], frozenset({CheckStatus.NOT_APPLICABLE}))
            continue
        wanted = {CheckStatus.FIRED, CheckStatus.PASSED}
        wanted |= {CheckStatus.NOT_EVALUATED} if _can_be_open(bench, rule.id) else set()
        wanted |= {CheckStatus.NOT_APPLICABLE} if _can_be_silent(bench, rule) else set()
        fired_by = tuple(by_clause.get((rule.id, place), 0) for place in range(len(rule.clauses)))
        yield Answers(rule, fired_by, by_answer[rule.id], frozenset(wanted))


def _fired(bench: Workbench) -> Iterator[tuple[ProgramKey, str, int]]:
    """Each (program, rule, clause as the file counts them) that fired in a case whose row wants the rule fired."""
    wanted = [named(case.row)[CheckStatus.FIRED] for case in bench.recording.cases]
    for each in bench.recording.asked:
        for live, number in fired(bench.programs[each.program], each.masks):
            if live.rule.id in wanted[each.at] and (each.program.line, live.rule.id) in bench.answered[each.at]:
                form = bench.form(each.program, live.rule.id)
                assert form is not None
                yield each.program, live.rule.id, form.clauses[number].place


def _can_be_open(bench: Workbench, rule_id: str) -> bool:
    """Whether the rule is left open on some drug when nothing is known."""
    values = unknown_facts()
    for name in ALWAYS_KNOWN:
        values[SLOTS[name]] = NO
    for program in bench.programs.values():
        _, unknown, _ = interpreted(program, values)
        if any(unknown & live.mask for live in program.rules if live.rule.id == rule_id):
            return True
    return False


def _can_be_silent(bench: Workbench, rule: Rule) -> bool:
    """Whether some drug's label says nothing, the order can be exempt, or another rule absorbs this one.

    A pair rule of one drug alone is not asked where nobody takes that drug.
    """
    unsaid = any(each.rule_id == rule.id for program in bench.programs.values() for each in program.silent)
    any_relaxant = rule.scope == "pair" and getattr(rule, "drug", None) is None  # a family's rule names its drug
    return unsaid or any_relaxant or any(rule.id in each.absorbs for each in bench.knowledge.rules)


def _unanswered(answers: Answers, places: Places) -> Iterator[Gap]:
    rule_id = answers.rule.id
    for number, cases in enumerate(answers.by_clause):
        if not cases:
            yield Gap(places.rule(rule_id, number), f"{rule_id}: clause {number + 1} has no case in which it fires")
    for status in ANSWERS:
        if status in answers.wanted and not answers.by_answer[status]:
            yield Gap(places.rule(rule_id), f"{rule_id}: no case for {status.name}")


# --- every rule on every drug ------------------------------------------------------------------------------------


def _on_drugs(bench: Workbench, places: Places) -> tuple[tuple[int, int], tuple[Gap, ...]]:
    """(clauses that fired on a drug, clauses that can), and which of the rest need a case."""
    reached = {(key.line, rule_id, place) for key, rule_id, place in _fired(bench)}
    all_of_them = 0
    gaps = []
    for key, program in bench.programs.items():
        if key.partner:
            continue
        for live in program.rules:
            form = bench.form(key, live.rule.id)
            assert form is not None
            for clause in form.clauses:
                if live.rule.kind in SAME_FOR_ALL:
                    continue
                all_of_them += 1
                if (key.line, live.rule.id, clause.place) not in reached:
                    text = f"{live.rule.id}, clause {clause.place + 1}: no case in which it fires on {key}"
                    gaps.append(Gap(places.rule(live.rule.id, clause.place), text))
    return (all_of_them - len(gaps), all_of_them), tuple(gaps)


# --- both sides of every threshold -------------------------------------------------------------------------------


def _thresholds(bench: Workbench) -> Iterator[Threshold]:
    found: dict[tuple[str, int, str, str], Threshold] = {}
    for key, program in bench.programs.items():
        line = bench.knowledge.lines.get(key.line)
        for live in program.rules:
            form = bench.form(key, live.rule.id)
            assert form is not None
            groups = [
                group[0].values
                for group in bench.grouped(key, facts_asked(form))
                if any(
                    live.rule.id in bench.names[each.at] and (key.line, live.rule.id) in bench.answered[each.at]
                    for each in group
                )
            ]
            for clause in form.clauses:
                for leaf in _comparisons(clause.when):
                    new = _threshold(bench.written[live.rule.id], clause.place, leaf, line)
                    if new is not None:
                        place = (new.rule_id, new.clause, new.comparison, new.line_id)
                        threshold = found.setdefault(place, new)
                        for values in groups:
                            _put(threshold, clause.when, form.applies, leaf, values)
    order = {rule_id: at for at, rule_id in enumerate(bench.written)}
    yield from sorted(found.values(), key=lambda each: (order[each.rule_id], each.clause))


def _comparisons(tree: Tree) -> Iterator[Compare]:
    """The comparisons of a fact with a number."""
    match tree:
        case Compare(_, FactRef(), Number()):
            yield tree
        case And(parts) | Or(parts):
            for part in parts:
                yield from _comparisons(part)
        case Not(part) | Known(part):
            yield from _comparisons(part)


def _threshold(rule: WrittenRule, clause: int, leaf: Compare, line: Line | None) -> Threshold | None:
    """The threshold that a comparison is, if the rule's own text says so and not a rule that it names."""
    fact, number = leaf.left, leaf.right
    assert isinstance(fact, FactRef)
    assert isinstance(number, Number)
    text = rule.clauses[clause]
    if fact.name not in facts_of(text) or (number.limit and number.limit not in limits_of(text)):
        return None
    told = number.limit or number_text(fact.name, number.value, number.value)
    of_drug = line is not None and number.limit.startswith("drug.")
    return Threshold(
        rule_id=rule.id,
        clause=clause,
        comparison=f"{fact.name} {leaf.operator} {told}",
        line_id=line.id if of_drug and line is not None else "",
        fact=fact.name,
        allowed=step_up(line, fact.name, number.value) - number.value,
    )


def _put(threshold: Threshold, when: Tree, applies: Tree | None, leaf: Compare, values: tuple[int, ...]) -> None:
    """Notes the value of the fact where it is known, and where the comparison alone decides."""
    low, high = bounds(leaf.left, values)
    if low != high or (applies is not None and meaning(applies, values) is not Truth.TRUE):
        return
    truth, here = meaning(when, values), meaning(leaf, values)
    if truth is Truth.TRUE:
        threshold.fires.add((low, here))
    elif meaning(_replaced(when, leaf, here is not Truth.TRUE), values) is Truth.TRUE:
        threshold.silent.add((low, here))


def _replaced(tree: Tree, leaf: Compare, value: bool) -> Tree:
    """The tree with a constant in the place of a comparison."""
    match tree:
        case And(parts):
            return And(tuple(_replaced(part, leaf, value) for part in parts))
        case Or(parts):
            return Or(tuple(_replaced(part, leaf, value) for part in parts))
        case Not(part):
            return Not(_replaced(part, leaf, value))
        case Known(part):
            return Known(_replaced(part, leaf, value))
    return Constant(value) if tree == leaf else tree


def _how_far(threshold: Threshold) -> str:
    allowed = _amount(threshold.fact, threshold.allowed)
    if threshold.distance is None:
        silent, fires = (len(each) for each in (threshold.silent, threshold.fires))
        return f"no pair of cases around it ({fires} values fire, {silent} do not); within {allowed} wanted"
    return f"the nearest cases are {_amount(threshold.fact, threshold.distance)} apart, {allowed} wanted"


def _amount(fact: str, value: int) -> str:
    unit = FACTS[fact].unit
    return f"{value / unit.scale:g} {unit.value}" if unit.value != "1" else str(value)


# --- as a table --------------------------------------------------------------------------------------------------


def coverage_text(found: Coverage, brief: bool = False) -> Iterator[Text]:
    """The tables and the gaps; `brief`: the gaps and the last lines only."""
    if not brief:
        yield Text(f"{'Cases by rule':36}{'fired, by clause':>22}{'passed':>10}{'open':>8}{'silent':>10}", style="bold")
        for each in found.rules:
            shown = {status: str(n) if n or status in each.wanted else "-" for status, n in each.by_answer.items()}
            by_clause = " + ".join(map(str, each.by_clause))
            yield Text(
                f"{each.rule.id:36}{by_clause:>22}{shown[CheckStatus.PASSED]:>10}"
                f"{shown[CheckStatus.NOT_EVALUATED]:>8}{shown[CheckStatus.NOT_APPLICABLE]:>10}"
            )
        yield Text("open: NOT_EVALUATED; silent: NOT_APPLICABLE; -: the rule cannot answer so", style="dim")
        yield Text()
        yield Text(f"{'Threshold':78}{'fires':>8}{'does not':>12}", style="bold")
        for threshold in found.thresholds:
            yield Text(f"{threshold!s:78}{len(threshold.fires):>8}{len(threshold.silent):>12}")
        yield Text()
    for gap in found.gaps:
        yield Text(str(gap), style="red")
    complete = len(found.rules) - len({gap.text.partition(":")[0] for gap in found.answers_missing})
    two_sided = sum(each.is_two_sided for each in found.thresholds)
    yield Text(f"{percent(complete, len(found.rules))} of rules have a case for each answer they can give")
    yield Text(f"{percent(*found.fired_on)} of clauses have a case in which they fire, on each drug they speak on")
    yield Text(f"{percent(two_sided, len(found.thresholds))} of thresholds two-sided", style="bold")


def percent(done: int, of: int) -> str:
    """`99 % (85 of 86)`; 100 only when it is all."""
    share = 100 * done // of if of else 100
    return f"{share} % ({done} of {of})"
