"""Which facts did each case put to which rules? Recorded once, so that a changed rule need not ask the engine again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from safety_service.cases import Case, Row, compare
from safety_service.domain import CheckRequest, CheckStatus, Decision
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge, LiveRule, Program
from safety_service.rules.generate import Answerer, Masks


class ProgramKey(NamedTuple):
    """A program of the knowledge: of a line as the order, of a line taken beside the order, or for any order."""

    line: str  # "" for any order
    partner: bool = False

    def __str__(self) -> str:
        return (self.line or "any order") + (" as the partner" if self.partner else "")


class Asked(NamedTuple):
    """One program put to the facts of one case. `at` is the case's place in the recording."""

    at: int
    program: ProgramKey
    values: tuple[int, ...]
    masks: Masks


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """All cases put to the engine. `differences` are, for each case, what it was answered otherwise than the row says.

    `asked` holds only what was asked for cases that hold: the others show nothing.
    """

    knowledge: Knowledge
    cases: tuple[Case, ...]
    decisions: tuple[Decision, ...]
    differences: tuple[tuple[str, ...], ...]
    asked: tuple[Asked, ...]

    def holds(self, at: int) -> bool:
        return not self.differences[at]


def programs(knowledge: Knowledge) -> dict[ProgramKey, Program]:
    """Every program of the knowledge."""
    found = {ProgramKey(""): knowledge.any_order}
    for line in knowledge.lines.values():
        found[ProgramKey(line.id)] = line.program
        found[ProgramKey(line.id, partner=True)] = line.pair_program
    return found


def with_programs(knowledge: Knowledge, changed: Mapping[ProgramKey, Program]) -> Knowledge:
    """The knowledge with other programs in some places."""
    lines = {
        line.id: replace(
            line,
            program=changed.get(ProgramKey(line.id), line.program),
            pair_program=changed.get(ProgramKey(line.id, partner=True), line.pair_program),
        )
        for line in knowledge.lines.values()
    }
    return replace(
        knowledge,
        lines=lines,
        lines_of={name: tuple(lines[line.id] for line in of) for name, of in knowledge.lines_of.items()},
        any_order=changed.get(ProgramKey(""), knowledge.any_order),
    )


def record(knowledge: Knowledge, cases: Sequence[Case]) -> Recording:
    """Puts every case to the engine and keeps what each program was asked."""
    ask = listening(knowledge)
    decisions: list[Decision] = []
    differences: list[tuple[str, ...]] = []
    asked: list[Asked] = []
    for at, case in enumerate(cases):
        decision, heard = ask(case.request)
        wrong = compare(knowledge, case.row, decision)
        decisions.append(decision)
        differences.append(wrong)
        if not wrong:
            asked += [Asked(at, *each) for each in heard]
    return Recording(knowledge, tuple(cases), tuple(decisions), tuple(differences), tuple(asked))


Heard: TypeAlias = tuple[ProgramKey, tuple[int, ...], Masks]


def listening(knowledge: Knowledge) -> Callable[[CheckRequest], tuple[Decision, list[Heard]]]:
    """The engine, which also tells what each program was asked and what it answered."""
    heard: list[Heard] = []
    own = with_programs(
        knowledge,
        {key: replace(each, answer=_listener(each.answer, key, heard)) for key, each in programs(knowledge).items()},
    )

    def ask(request: CheckRequest) -> tuple[Decision, list[Heard]]:
        heard.clear()
        decision = check(own, request)
        return decision, heard.copy()

    return ask


def _listener(answer: Answerer, key: ProgramKey, heard: list[Heard]) -> Answerer:
    def listening(values: Sequence[int]) -> Masks:
        masks = answer(values)
        heard.append((key, tuple(values), masks))
        return masks

    return listening


def fired(program: Program, masks: Masks) -> tuple[tuple[LiveRule, int], ...]:
    """The rules that fired and were not absorbed, each with the first of its live clauses that is true (from 0)."""
    true = masks[0]
    absorbed = {other for live in program.rules if live.mask & true for other in live.rule.absorbs}
    return tuple(
        (live, next(i for i in range(len(live.clauses)) if true & live.first_bit << i))
        for live in program.rules
        if live.mask & true and live.rule.id not in absorbed
    )


def named(row: Row) -> dict[CheckStatus, frozenset[str]]:
    """The rules that a row names, by the answer it wants."""
    keys = {
        CheckStatus.FIRED: row.fired,
        CheckStatus.PASSED: row.passed,
        CheckStatus.NOT_EVALUATED: row.not_evaluated,
        CheckStatus.NOT_APPLICABLE: (*row.not_applicable, *row.absorbed),
    }
    return {status: frozenset(key.partition("@")[0] for key in given) for status, given in keys.items()}


def names_rule(row: Row, rule_id: str) -> bool:
    """Whether a row wants some answer of a rule."""
    return any(rule_id in rules for rules in named(row).values())
