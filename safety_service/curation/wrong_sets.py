"""Each value set without one of its rows, or with another set in its place, and the cases that look up what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

from safety_service.curation.altered import Workbench
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.schema import ConditionSet, MedicationSet
from safety_service.knowledge.value_sets import ConditionClasses, DrugClasses, condition_classes, drug_classes

S = TypeVar("S", MedicationSet, ConditionSet)
C = TypeVar("C", DrugClasses, ConditionClasses)
_TAKES_AWAY = ("not_", "excluded_")  # tables of what does not count: by route, by form, by ATC code


class LookUp(NamedTuple):
    """A table of a class index, the key looked up there, and what it was asked of."""

    table: str
    key: str
    asked_of: str


class WrongSet(NamedTuple):
    """A value set made wrong. `where` is the part of its file; `cases` are empty when no case meets the difference."""

    set_id: str
    change: str
    where: tuple[str | int, ...]
    put_in: Callable[[Knowledge], Knowledge]
    cases: tuple[int, ...]


def wrong_sets(bench: Workbench) -> Iterator[WrongSet]:
    """Every value set without each of its rows, and with each set it could be mistaken for in its place."""
    index = _cases_by_look_up(bench)
    drugs, conditions = bench.knowledge.medication_sets, bench.knowledge.condition_sets
    for at, drug_set in enumerate(drugs):
        own = drug_classes((drug_set,))
        for change, where, wrong_drugs in _wrong(drug_set, drugs):
            cases = _looking_up(index, own, drug_classes((wrong_drugs,)))
            put_in = partial(_with_drugs, (*drugs[:at], wrong_drugs, *drugs[at + 1 :]))
            yield WrongSet(drug_set.id, change, where, put_in, cases)
    for at, condition_set in enumerate(conditions):
        own_codes = condition_classes((condition_set,))
        for change, where, wrong_conditions in _wrong(condition_set, conditions):
            cases = _looking_up(index, own_codes, condition_classes((wrong_conditions,)))
            put_in = partial(_with_conditions, (*conditions[:at], wrong_conditions, *conditions[at + 1 :]))
            yield WrongSet(condition_set.id, change, where, put_in, cases)


def _with_drugs(drugs: tuple[MedicationSet, ...], knowledge: Knowledge) -> Knowledge:
    return replace(knowledge, drugs=drug_classes(drugs))


def _with_conditions(conditions: tuple[ConditionSet, ...], knowledge: Knowledge) -> Knowledge:
    return replace(knowledge, conditions=condition_classes(conditions))


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


class _Heard:
    """What was looked up: where a table only takes away, together with the name looked up just before."""

    def __init__(self) -> None:
        self.look_ups: set[LookUp] = set()
        self.name = ""


class _Listening(dict[str, int]):
    """A table that remembers what was looked up in it."""

    def __init__(self, table: Mapping[str, int], name: str, heard: _Heard) -> None:
        super().__init__(table)
        self.name = name
        self.heard = heard

    def get(self, key: str, default: Any = None) -> Any:
        self._hear(key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> int:
        self._hear(key)
        return super().__getitem__(key)

    def _hear(self, key: str) -> None:
        takes_away = self.name.startswith(_TAKES_AWAY)
        self.heard.look_ups.add(LookUp(self.name, key, self.heard.name if takes_away else ""))
        if not takes_away:
            self.heard.name = key


def _cases_by_look_up(bench: Workbench) -> dict[tuple[str, str], dict[str, list[int]]]:
    """By table and key: the cases that look it up, apart by the name it was asked of ("" where it adds)."""
    knowledge = bench.knowledge
    found: dict[tuple[str, str], dict[str, list[int]]] = {}
    for at in bench.holding:
        heard = _Heard()
        drugs, conditions = _listening(knowledge.drugs, heard), _listening(knowledge.conditions, heard)
        check(replace(knowledge, drugs=drugs, conditions=conditions), bench.recording.cases[at].request)
        for table, key, name in heard.look_ups:
            found.setdefault((table, key), {}).setdefault(name, []).append(at)
    return found


def _listening(classes: C, heard: _Heard) -> C:
    """The class index with tables that listen, and with nothing remembered."""
    parts: Any = {name: _Listening(table, name, heard) for name, table in _tables(classes).items()}
    parts |= {each.name: {} for each in fields(classes) if each.default_factory is not MISSING}
    return replace(classes, **parts)


def _tables(classes: DrugClasses | ConditionClasses) -> dict[str, dict[str, int]]:
    """The tables of a class index: from name or code to the bits of its sets. What it remembers is no table."""
    held = {each.name: getattr(classes, each.name) for each in fields(classes) if each.default_factory is MISSING}
    return {name: table for name, table in held.items() if isinstance(table, dict) and name != "bits"}


def _looking_up(index: Mapping[tuple[str, str], Mapping[str, list[int]]], before: C, now: C) -> tuple[int, ...]:
    """The cases that look up what differs between two class indexes: those of seldom names and codes first.

    What only takes away (a route, an ATC code that does not count) concerns no case but those of a member.
    """
    tables, others = _tables(before), _tables(now)
    differing: list[list[int]] = []
    for name, table in tables.items():
        for key in sorted(table.keys() | others[name].keys()):
            bits = table.get(key, 0) ^ others[name].get(key, 0)
            for asked_of, cases in index.get((name, key), {}).items() if bits else ():
                if not name.startswith(_TAKES_AWAY) or _is_member(tables, asked_of, bits):
                    differing.append(cases)
    return tuple(dict.fromkeys(at for cases in sorted(differing, key=len) for at in cases))


def _is_member(tables: Mapping[str, Mapping[str, int]], name: str, bits: int) -> bool:
    """Whether an ingredient, or an ATC code by one of its prefixes, is in one of these sets."""
    starts = [name[:end] for end in range(1, len(name) + 1)]
    return any(
        table.get(each, 0) & bits
        for kind, table in tables.items()
        if not kind.startswith((*_TAKES_AWAY, "by_group"))
        for each in (name, *(starts if kind == "by_prefix" else ()))
    )
