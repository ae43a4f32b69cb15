"""Each value set without one of its rows, or with another set in its place, and the cases that look up what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypeVar

from safety_service.curation.altered import Workbench
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.schema import ConditionSet, MedicationSet
from safety_service.knowledge.value_sets import ConditionClasses, DrugClasses, condition_classes, drug_classes

S = TypeVar("S", MedicationSet, ConditionSet)
C = TypeVar("C", DrugClasses, ConditionClasses)
LookUp: TypeAlias = tuple[str, str]  # a table of a class index, and the key looked up there


class WrongSet(NamedTuple):
    """A value set made wrong. `where` is the part of its file; `cases` are empty when no case meets the difference."""

    set_id: str
    change: str
    where: tuple[str | int, ...]
    put_in: Callable[[Knowledge], Knowledge]
    cases: tuple[int, ...]


def wrong_sets(bench: Workbench) -> Iterator[WrongSet]:
    """Every value set without each of its rows, and with each set it could be mistaken for in its place."""
    knowledge = bench.knowledge
    index = _cases_by_look_up(bench)
    drugs, conditions = knowledge.medication_sets, knowledge.condition_sets
    for at, drug_set in enumerate(drugs):
        for change, where, wrong_drugs in _wrong(drug_set, drugs):
            drug_bits = drug_classes((*drugs[:at], wrong_drugs, *drugs[at + 1 :]))
            cases = _looking_up(index, knowledge.drugs, drug_bits)
            yield WrongSet(drug_set.id, change, where, partial(_with_drugs, drug_bits), cases)
    for at, condition_set in enumerate(conditions):
        for change, where, wrong_conditions in _wrong(condition_set, conditions):
            condition_bits = condition_classes((*conditions[:at], wrong_conditions, *conditions[at + 1 :]))
            cases = _looking_up(index, knowledge.conditions, condition_bits)
            yield WrongSet(condition_set.id, change, where, partial(_with_conditions, condition_bits), cases)


def _with_drugs(drugs: DrugClasses, knowledge: Knowledge) -> Knowledge:
    return replace(knowledge, drugs=drugs)


def _with_conditions(conditions: ConditionClasses, knowledge: Knowledge) -> Knowledge:
    return replace(knowledge, conditions=conditions)


def _wrong(own: S, among: Sequence[S]) -> Iterator[tuple[str, tuple[str | int, ...], S]]:
    """(what was done, which part of the file, the set) for each row left out and each set it could be mistaken for."""
    for row in _rows(own):
        left = own.model_copy(update={row.field: row.others})
        yield f"{row.name} dropped from {row.field}", (row.field, row.number), left
    for other in _mistakable(own, among):
        yield f"{other.id} in its place", (), other.model_copy(update={"id": own.id})


def _mistakable(own: S, among: Sequence[S]) -> Iterator[S]:
    """The sets that share a name or code with this one, however long, and the next that shares none."""
    rows = [row.name for row in _rows(own)]
    stranger = True
    after = [each for each in among if each.id > own.id] + [each for each in among if each.id < own.id]
    for other in after:
        names = [row.name for row in _rows(other)]
        if any(one.startswith(two) or two.startswith(one) for one in rows for two in names):
            yield other
        elif stranger:
            stranger = False
            yield other


class _Row(NamedTuple):
    field: str
    number: int
    name: str
    others: tuple[Any, ...]


def _rows(own: MedicationSet | ConditionSet) -> Iterator[_Row]:
    """Every row of a set, with its name or code."""
    for field in type(own).model_fields:
        rows: Any = getattr(own, field)
        if isinstance(rows, tuple):
            for number, row in enumerate(rows):
                named = row if isinstance(row, str) else getattr(row, "name", "") or row.code
                yield _Row(field, number, named, (*rows[:number], *rows[number + 1 :]))


class _Listening(dict[str, int]):
    """A table that remembers what was looked up in it."""

    def __init__(self, table: Mapping[str, int], name: str, heard: set[LookUp]) -> None:
        super().__init__(table)
        self.name = name
        self.heard = heard

    def get(self, key: str, default: Any = None) -> Any:
        self.heard.add((self.name, key))
        return super().get(key, default)

    def __getitem__(self, key: str) -> int:
        self.heard.add((self.name, key))
        return super().__getitem__(key)


def _cases_by_look_up(bench: Workbench) -> dict[LookUp, list[int]]:
    """By name or code looked up in a value set: the cases that do so."""
    heard: set[LookUp] = set()

    def listening(classes: C) -> C:
        tables: Any = {name: _Listening(table, name, heard) for name, table in _tables(classes).items()}
        return replace(classes, **tables)

    conditions = replace(listening(bench.knowledge.conditions), seen={})
    knowledge = replace(bench.knowledge, drugs=listening(bench.knowledge.drugs), conditions=conditions)
    found: dict[LookUp, list[int]] = {}
    for at in bench.holding:
        heard.clear()
        conditions.seen.clear()
        check(knowledge, bench.recording.cases[at].request)
        for each in heard:
            found.setdefault(each, []).append(at)
    return found


def _tables(classes: DrugClasses | ConditionClasses) -> dict[str, dict[str, int]]:
    """The tables of a class index: from name or code to the bits of its sets."""
    held = {each.name: getattr(classes, each.name) for each in fields(classes)}
    return {name: table for name, table in held.items() if isinstance(table, dict) and name not in ("bits", "seen")}


def _looking_up(index: Mapping[LookUp, list[int]], before: C, now: C) -> tuple[int, ...]:
    """The cases that look up what differs between two class indexes: those of seldom names and codes first."""
    others = _tables(now)
    differing = [
        index.get((name, key), [])
        for name, table in _tables(before).items()
        for key in sorted(table.keys() | others[name].keys())
        if table.get(key, 0) != others[name].get(key, 0)
    ]
    return tuple(dict.fromkeys(at for cases in sorted(differing, key=len) for at in cases))
