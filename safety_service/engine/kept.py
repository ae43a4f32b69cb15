"""A patient's history kept for many orders: each record is read and folded once, in the order they became known.

Events are made and folded by the functions that `read_history` uses. Where a later day or a later record changes what
an earlier record comes to, that event is made again, and the fold begins anew.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from safety_service.domain import MatchedBy, MedicationRecord, NotProcessed, RecordStatus
from safety_service.engine.fold import CAPACITY, ENDLESS, EXPOSURE, NONE
from safety_service.engine.history import (
    UNRECOGNISED,
    Event,
    History,
    Recorded,
    add,
    empty,
    event_of,
    preference,
)
from safety_service.engine.supply import days_of_a_supply
from safety_service.knowledge.knowledge import Knowledge

_ROOM = (0,) * EXPOSURE
_NOT_PROCESSED = (NotProcessed("patient.medications", "not recognised"),)
_LAST = 9  # behind every preference
_SETTLED = (RecordStatus.UNSPECIFIED, RecordStatus.COMPLETED, RecordStatus.STOPPED)


class KnownRecord(NamedTuple):
    """A record as it was before the day `changes_on` and is from then on, with the drug it was recognised as.

    `recorded` refers to it; `names` and `parts` are of its resolution.
    """

    record: MedicationRecord
    changes_on: int
    changed: MedicationRecord
    recorded: Recorded
    names: tuple[str, ...]
    parts: Sequence[tuple[str, int, int]]

    def on(self, day: int) -> MedicationRecord:
        return self.changed if day >= self.changes_on else self.record


class KeptHistory:
    """Records are added in the order they became known; `on` gives the history of a day, never before an earlier one.

    What it gives is good until the next record is added. It is what `read_history` reads of the same records on that
    day, without what that says in words (`resolved`, `conflicts`, why something was not processed).
    """

    def __init__(self, knowledge: Knowledge, complete: bool) -> None:
        self._knowledge = knowledge
        self._complete = complete
        self._gap = knowledge.policy_numbers["policy.exposure.gap_days"]
        self._most_days = knowledge.policy_numbers["policy.exposure.most_days"]
        self._known: list[KnownRecord] = []
        self._recorded: list[Recorded] = []
        self._of_record: list[list[Event]] = []
        self._keys: dict[str, int] = {}
        self._kinds: dict[str, int] = {}
        self._overtaken: set[str] = set()  # relaxants of which a preferred kind of record came after others
        self._unsettled: list[int] = []  # records that a later day may change
        self._not_processed: list[int] = []
        self._begin()

    def _begin(self) -> None:
        self._events: list[Event] = []
        self._state = list(empty(0))
        self._unrecognised = False
        self._open_chains: set[int] = set()

    def add(self, known: KnownRecord) -> None:
        """One record more, known no earlier than those before."""
        order = preference(known.record)
        for name in known.names:
            held = self._kinds.get(name, _LAST)
            if order < held:
                self._kinds[name] = order
                if held != _LAST and name in self._knowledge.lines_of:
                    self._overtaken.add(name)
        resolution = known.recorded.resolution
        if resolution.matched_by is MatchedBy.NONE or resolution.unrecognised:
            self._not_processed.append(len(self._known))
        self._known.append(known)
        self._recorded.append(known.recorded)

    def on(self, as_of: int) -> History:
        """The history as known on a day."""
        stale = False
        for at in self._to_make_again():
            events = self._made(at, as_of, self._kinds)
            if events != self._of_record[at]:
                self._of_record[at] = events
                stale = True
        if self._unsettled:
            self._unsettled = [at for at in self._unsettled if not self._settled(at, as_of)]
        made = len(self._of_record)
        for at in range(made, len(self._known)):
            self._of_record.append(self._made(at, as_of, self._kinds))
            if not self._settled(at, as_of):
                self._unsettled.append(at)
        if stale:
            self._begin()
            made = 0
        for events in self._of_record[made:]:
            for event in events:
                self._take(event)
        return self._history(
            self._events, self._unrecognised, self._open_chains, bool(self._not_processed), self._state
        )

    def without(self, as_of: int, left_out: Collection[int]) -> History:
        """The same, as if some records (by their place) were not there."""
        kinds: dict[str, int] = {}
        for at, known in enumerate(self._known):
            if at not in left_out:
                for name in known.names:
                    kinds[name] = min(kinds.get(name, _LAST), preference(known.record))
        taken = [at for at in range(len(self._known)) if at not in left_out]
        events = [event for at in taken for event in self._made(at, as_of, kinds)]
        open_chains = {event.chain for event in events if _is_open(event)}
        unrecognised = any(event.key == UNRECOGNISED for event in events)
        not_processed = any(at not in left_out for at in self._not_processed)
        return self._history(events, unrecognised, open_chains, not_processed, ())

    def _history(
        self,
        events: Sequence[Event],
        unrecognised: bool,
        open_chains: set[int],
        not_processed: bool,
        state: Sequence[int],
    ) -> History:
        return History(
            events,
            self._recorded,
            self._keys,
            self._complete,
            unrecognised,
            frozenset(open_chains),
            (),
            _NOT_PROCESSED if not_processed else (),
            (),
            state,
        )

    def _take(self, event: Event) -> None:
        self._events.append(event)
        self._state += _ROOM
        self._state[CAPACITY] += 1
        add(self._state, event, self._gap)
        self._unrecognised |= event.key == UNRECOGNISED
        if _is_open(event):
            self._open_chains.add(event.chain)

    def _to_make_again(self) -> Sequence[int]:
        if not self._overtaken:
            return self._unsettled
        again = {
            at
            for at, known in enumerate(self._known[: len(self._of_record)])
            if not self._overtaken.isdisjoint(known.names)
        }
        self._overtaken.clear()
        return sorted(again.union(self._unsettled))

    def _made(self, at: int, as_of: int, kinds: dict[str, int]) -> list[Event]:
        known = self._known[at]
        record = known.on(as_of)
        return [
            event_of(
                self._knowledge, as_of, record, known.recorded, at, name, bits, may_bits, kinds, self._keys,
                self._most_days,
            )
            for name, bits, may_bits in known.parts
        ]  # fmt: skip

    def _settled(self, at: int, as_of: int) -> bool:
        """No later day changes what the record comes to: each number of an event only grows with the day it is made."""
        known = self._known[at]
        if as_of < known.changes_on and known.changed is not known.record:
            return False
        record = known.on(as_of)
        if record.status in _SETTLED and days_of_a_supply(record.days_supply, self._most_days):
            return True
        return self._made(at, ENDLESS, self._kinds) == self._of_record[at]


def _is_open(event: Event) -> bool:
    return event.chain >= 0 and event.days_high > 0 and event.supply_start == NONE
