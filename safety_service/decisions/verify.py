"""Is everything there that was written, unchanged and in order?"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import orjson

from safety_service.decisions.ledger import BrokenLedgerError, Entry, read_ledger
from safety_service.decisions.segment import Reading, is_being_written, read, segments


@dataclass(slots=True)
class Verified:
    """What was found. `faults` name the segment and what is wrong with it; torn tails are none."""

    segments: int = 0
    records: int = 0
    pruned: int = 0
    open: int = 0
    torn: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def verify(folder: Path) -> Verified:
    """Read all of it. Raises OSError when the folder or a file of it cannot be read."""
    found = Verified()
    entries: dict[str, Entry] = {}
    pruned: set[str] = set()
    try:
        for each in read_ledger(folder):
            if each.is_pruned:
                pruned.add(each.segment)
            else:
                entries[each.segment] = each
    except BrokenLedgerError as error:
        found.faults.append(str(error))
    found.pruned = len(pruned)
    there = {path.name: path for path in segments(folder)}
    final: dict[str, str] = {name: each.hash for name, each in entries.items()}
    for name, path in there.items():
        if name not in pruned:
            _segment(path, entries.get(name), final, found)
    for name in entries:
        if name not in there and name not in pruned:
            found.faults.append(f"{name}: the segment is missing")
    return found


def _segment(path: Path, entry: Entry | None, final: dict[str, str], found: Verified) -> None:
    writing = is_being_written(path)
    state = Reading()
    after: list[str] | None = None
    for frame in read(path, state):
        if frame.number == 0:
            after = orjson.loads(frame.payload).get("after")
    found.segments += 1
    found.records += state.frames - 1 - state.closed if state.frames else 0
    found.open += writing
    if state.fault:
        found.faults.append(f"{path.name}: {state.fault}")
    elif entry is not None and (state.hash.hex(), state.frames) != (entry.hash, entry.frames):
        lost = entry.frames - state.frames
        what = f"{lost} records at its end are missing" if lost > 0 else "it is not what was sealed"
        found.faults.append(f"{path.name}: {what}")
    elif state.torn and not writing:
        found.torn.append(f"{path.name}: {state.torn} bytes of a record that was cut off")
    if after is not None and final.get(after[0]) not in (None, after[1]):
        found.faults.append(f"{path.name}: the segment before it, {after[0]}, ended otherwise")
