"""Which wrong turns would nobody notice? All mutants tried, those with a proof of equivalence set aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

from rich.text import Text

from safety_service.curation.altered import Workbench
from safety_service.curation.coverage import percent
from safety_service.curation.equivalent import Proof, refuted
from safety_service.curation.mutate import Kind, Verdict, mutate
from safety_service.curation.places import Place, Places
from safety_service.knowledge.read import Problem


@dataclass(frozen=True, slots=True)
class Survivors:
    """What came of all mutants; counts are by kind. `problems` are proofs that do not hold or are of no use.

    `unmet` counts the rows of value sets that no case meets: they are no mutants here.
    """

    killed: Mapping[Kind, int]
    by_meaning: Mapping[Kind, int]
    by_words: Mapping[Kind, int]
    survived: tuple[Verdict, ...]
    problems: tuple[Problem, ...]
    unmet: int

    @property
    def is_sound(self) -> bool:
        return not self.survived and not self.problems


def survivors(bench: Workbench, places: Places, proofs: Mapping[str, Proof]) -> Survivors:
    """Tries every mutant of a knowledge on its cases."""
    killed: Counter[Kind] = Counter()
    proved: dict[str, Counter[Kind]] = {"meaning": Counter(), "words": Counter()}
    survived: list[Verdict] = []
    problems: list[Problem] = []
    left = dict(proofs)
    unmet = 0
    for verdict in mutate(bench, places):
        mutant = verdict.mutant
        proof = left.pop(str(mutant), None)
        if verdict.killed_by is not None:
            killed[mutant.kind] += 1
            if proof is not None:
                case = bench.recording.cases[verdict.killed_by]
                reason = f"the case {case.id} notices {str(mutant)!r}: it is not equivalent"
                problems.append(_problem(proof.place, reason))
        elif verdict.alike:
            unmet += mutant.kind == "value set row"
        elif proof is None:
            survived.append(verdict)
        else:
            reason = refuted(bench, mutant, verdict.changes, proof)
            if reason:
                problems.append(_problem(proof.place, f"{str(mutant)!r} is not equivalent by meaning: {reason}"))
            proved[proof.entry.checked][mutant.kind] += 1
    problems += [_problem(proof.place, f"no mutant is called {name!r}") for name, proof in left.items()]
    return Survivors(killed, proved["meaning"], proved["words"], tuple(survived), tuple(problems), unmet)


def _problem(place: Place, reason: str) -> Problem:
    return Problem(place.file, place.line, reason)


def survivors_text(found: Survivors, brief: bool = False) -> Iterator[Text]:
    """The table, the survivors with their place, and what is wrong with proofs; `brief`: without the table."""
    if not brief:
        columns = ("killed", "equal by meaning", "equal in words", "survived")
        yield Text(f"{'Mutants of':<16}" + "".join(f"{name:>18}" for name in columns), style="bold")
        survived = Counter(each.mutant.kind for each in found.survived)
        for kind in get_args(Kind):
            numbers = (each.get(kind, 0) for each in (found.killed, found.by_meaning, found.by_words, survived))
            yield Text(f"{kind:<16}" + "".join(f"{number:>18}" for number in numbers))
        yield Text(f"{found.unmet} rows of value sets are met by no case: tests/knowledge looks after them", "dim")
        yield Text()
    for verdict in found.survived:
        cases = f"{verdict.tried} cases looked at it" if verdict.tried else "no case comes near it"
        yield Text(f"{verdict.mutant.place}: survived: {verdict.mutant} ({cases})", style="red")
    for problem in found.problems:
        yield Text(str(problem), style="red")
    killed = sum(found.killed.values())
    equal = sum(found.by_meaning.values()), sum(found.by_words.values())
    yield Text(
        f"{percent(killed, killed + len(found.survived))} of mutants killed; {sum(equal)} more are equivalent, "
        f"{equal[0]} proved by meaning, {equal[1]} in words",
        style="bold",
    )
