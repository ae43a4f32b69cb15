"""Generated form of many conditions for a table: one NumPy function that answers them all on every row.

The two rails of `generate`, as columns: a comparison is made once for all rows and all conditions that name it, `not`
goes down to the comparisons (so that none is left), and each rail ends as one bit of a mask per row. Needs the extra
`audit`; nothing that answers a call imports this.

The facts of a table are one column per slot of `vocabulary.SLOTS`: a 2-D int32 array (slots x rows), or a sequence of
1-D arrays of any signed integer type. Separate columns may hold choices as int8, which is a little faster. A choice has
at least one possible value in every row. Columns of slots that no condition names are never looked at.

Why masks, and not a column of booleans for each condition: packing takes about a tenth of the time, and what comes out
is what `generate` gives, an eighth as large and ready to be stored.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from safety_service.rules.generate import Condition, refuse_too_many
from safety_service.rules.tree import (
    And,
    Compare,
    Constant,
    FactRef,
    Known,
    Not,
    Number,
    OneOf,
    Operand,
    Operator,
    Or,
    Tree,
)
from safety_service.rules.vocabulary import FACTS, SLOTS

WORD: Final = 63  # conditions in one word, so that no mask is negative
ROWS: Final = 1 << 15  # answered at a time: enough to forget the cost of a call, few enough to stay in the cache

Table: TypeAlias = NDArray[np.int32] | Sequence[NDArray[Any]]
Words: TypeAlias = NDArray[np.int64]
ColumnAnswerer: TypeAlias = Callable[[Table], tuple[Words, Words, Words]]


def generate_columns(conditions: Sequence[Condition], name: str) -> tuple[ColumnAnswerer, str]:
    """A function from a table to (true, unknown, not applicable) masks of its rows, and its source.

    Each is (words x rows), with `conditions[i]` in bit i % 63 of word i // 63: row by row what `generate` says. Beside
    table and masks the function holds some columns of at most `ROWS` booleans, however many rows there are; it may be
    called from several threads at once. It raises ValueError for columns of unequal length or not of signed integers,
    this for more than `MOST_CONDITIONS`.
    """
    refuse_too_many(conditions, name)
    writer = _written(conditions)
    source = writer.text()
    scope: dict[str, Any] = {"__builtins__": {}} | {each: getattr(np, each) for each in _CALLED}
    exec(compile(source, f"<generated columns of {name}>", "exec"), scope)  # our own trees only
    return _on_table(scope["answer"], writer.slots, writer.registers, -(-len(conditions) // WORD)), source


def numpy_source(conditions: Sequence[Condition]) -> str:
    """The text of the generated function, which answers one chunk of rows."""
    return _written(conditions).text()


def row_masks(words: Words) -> list[int]:
    """One integer per row, as `generate` gives it."""
    masks = [0] * words.shape[1]
    for i, word in enumerate(words.tolist()):
        masks = [mask | bits << i * WORD for mask, bits in zip(masks, word, strict=True)]
    return masks


def _on_table(answer: Callable[..., None], slots: Sequence[int], registers: int, words: int) -> ColumnAnswerer:
    def on_table(table: Table) -> tuple[Words, Words, Words]:
        rows = len(table[0])
        columns = [_column(table, slot, rows) for slot in slots]
        masks = [np.zeros((words, rows), "<i8") for _ in range(3)]
        planes = [each.view(np.uint8).reshape(words, rows, 8).transpose(0, 2, 1) for each in masks]
        scratch = np.empty((registers, min(rows, ROWS)), np.bool_)
        for first in range(0, rows, ROWS):
            chunk = slice(first, min(first + ROWS, rows))
            held = scratch[:, : chunk.stop - first]
            answer([each[chunk] for each in columns], held, held.view(np.uint8), *(each[..., chunk] for each in planes))
        true, unknown, not_applicable = masks
        return true, unknown, not_applicable

    return on_table


def _column(table: Table, slot: int, rows: int) -> NDArray[Any]:
    column: NDArray[Any] = table[slot]
    if column.dtype.kind != "i":
        raise ValueError(f"column {slot} ({_fact_at(slot)}) holds {column.dtype}, not signed integers")
    if column.shape != (rows,):
        raise ValueError(f"column {slot} ({_fact_at(slot)}) is {column.shape}, the first has {rows} rows")
    return column


def _fact_at(slot: int) -> str:
    return max((name for name in SLOTS if SLOTS[name] <= slot), key=SLOTS.__getitem__)


# --- a condition as rails --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table, or those of its bits that are in `bits`."""

    slot: int
    bits: int | None = None


End: TypeAlias = Column | int


@dataclass(frozen=True, slots=True)
class Relation:
    """One comparison, made in every row."""

    sign: Operator
    left: End
    right: End


@dataclass(frozen=True, slots=True)
class Both:
    left: Rail
    right: Rail


@dataclass(frozen=True, slots=True)
class Either:
    left: Rail
    right: Rail


Rail: TypeAlias = bool | Relation | Both | Either  # a bool: alike in all rows

_OPPOSITE: Final[Mapping[Operator, Operator]] = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_PLAIN: Final[Mapping[Operator, Callable[[int, int], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def definitely(tree: Tree) -> Rail:
    """True in the rows where the meaning is TRUE. Raises TypeError for a tree that is not specialised."""
    match tree:
        case Constant(value):
            return value
        case OneOf(fact, mask, _):
            return _all_among(fact, mask)
        case Compare(sign, left, right):
            return _always(sign, left, right)
        case And(parts):
            return both(*(definitely(part) for part in parts))
        case Or(parts):
            return either(*(definitely(part) for part in parts))
        case Not(part):
            return opposite(possibly(part))
        case Known(part):
            return definitely(part)
    raise TypeError(f"not specialised: {tree!r}")


def possibly(tree: Tree) -> Rail:
    """True in the rows where the meaning is TRUE or UNKNOWN. Raises TypeError for a tree that is not specialised."""
    match tree:
        case Constant(value):
            return value
        case OneOf(fact, mask, _):
            return opposite(_all_among(fact, ~mask))
        case Compare(sign, left, right):
            return opposite(_always(_OPPOSITE[sign], left, right))
        case And(parts):
            return both(*(possibly(part) for part in parts))
        case Or(parts):
            return either(*(possibly(part) for part in parts))
        case Not(part):
            return opposite(definitely(part))
        case Known(part):
            return definitely(part)
    raise TypeError(f"not specialised: {tree!r}")


def both(*rails: Rail) -> Rail:
    """Conjunction, built from the left, so that conditions that begin alike share what they begin with."""
    joined: Rail = True
    for each in rails:
        if each is False or joined is False:
            return False
        if each is not True:
            joined = each if joined is True else Both(joined, each)
    return joined


def either(*rails: Rail) -> Rail:
    """Disjunction, built from the left."""
    return opposite(both(*map(opposite, rails)))


def opposite(rail: Rail) -> Rail:
    """True where `rail` is not. The opposite of a comparison of integers is one too."""
    match rail:
        case Relation(sign, left, right):
            return Relation(_OPPOSITE[sign], left, right)
        case Both(left, right):
            return Either(opposite(left), opposite(right))
        case Either(left, right):
            return Both(opposite(left), opposite(right))
    return not rail


def _all_among(fact: str, mask: int) -> Rail:
    """All values that a choice can have are in `mask`; one comparison where that holds one, as of a yes/no fact."""
    values, others = mask & FACTS[fact].everything, ~mask & FACTS[fact].everything
    if not values or not others:
        return not others
    at = SLOTS[fact]
    return Relation("==", Column(at), values) if values.bit_count() == 1 else Relation("==", Column(at, others), 0)


def _always(sign: Operator, left: Operand, right: Operand) -> Rail:
    """The comparison holds for all values that its sides can have."""
    (low, high), (other_low, other_high) = _ends(left), _ends(right)
    match sign:
        case "<" | "<=":
            return _relation(sign, high, other_low)
        case ">" | ">=":
            return _relation(sign, low, other_high)
        case "==":
            ends = list(dict.fromkeys((low, high, other_low, other_high)))
            return both(*(_relation("==", a, b) for a, b in pairwise(ends)))
        case "!=":
            return either(_relation("<", high, other_low), _relation(">", low, other_high))


def _relation(sign: Operator, left: End, right: End) -> Rail:
    if isinstance(left, int) and isinstance(right, int):
        return _PLAIN[sign](left, right)
    return Relation(sign, left, right)


def _ends(operand: Operand) -> tuple[End, End]:
    match operand:
        case FactRef(name):
            at = SLOTS[name]
            return Column(at), Column(at + 1)
        case Number(value, _):
            return value, value
    raise TypeError(f"not specialised: {operand!r}")


# --- rails as text ---------------------------------------------------------------------------------------------------

_NUMPY: Final[Mapping[Operator, str]] = {
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
    "==": "equal",
    "!=": "not_equal",
}
_CALLED: Final = (*_NUMPY.values(), "bitwise_and", "bitwise_or", "bitwise_xor", "add", "copyto")


def _written(conditions: Sequence[Condition]) -> _Writer:
    """All rails of all conditions, eight conditions to a byte."""
    rails: list[tuple[Rail, Rail, Rail]] = []
    for each in conditions:
        sure, maybe = (True, True) if each.applies is None else (definitely(each.applies), possibly(each.applies))
        rails.append((both(sure, definitely(each.when)), both(maybe, possibly(each.when)), opposite(maybe)))
    writer = _Writer(rail for each in rails for rail in each)
    for word in range(0, len(rails), WORD):
        in_word = rails[word : word + WORD]
        for at in range(0, len(in_word), 8):
            true, possible, silent = (writer.byte([each[i] for each in in_word[at : at + 8]]) for i in range(3))
            if true is not None and possible is not None:
                writer.lines.append(f"bitwise_xor(b{possible}, b{true}, b{possible})")  # what is definite is possible
            for mask, register in (("t", true), ("u", possible), ("n", silent)):
                if register is not None:
                    writer.lines.append(f"{mask}[{word // WORD}, {at // 8}] = b{register}")
                    writer.free.append(register)
    return writer


class _Writer:
    """Lines that keep each rail in a register, a column of scratch, for as long as one of them still needs it."""

    def __init__(self, rails: Iterable[Rail]) -> None:
        self.lines: list[str] = []
        self.slots: list[int] = []
        self.registers = 0
        self.free: list[int] = []
        self._held: dict[Rail, int] = {}
        self._uses: Counter[Rail] = Counter()  # still to come
        for each in rails:
            self._count(each)

    def text(self) -> str:
        """`c` are the columns of `slots`, `r` the registers, `b` the same as bytes; `t`, `u`, `n` the masks to fill."""
        unpacked = [
            ("c", [f"c{slot}" for slot in self.slots]),
            ("r", [f"r{i}" for i in range(self.registers)]),
            ("b", [f"b{i}" for i in range(self.registers)]),
        ]
        lines = [f"{', '.join(names)}, = {name}" for name, names in unpacked if names]
        return "\n    ".join(["def answer(c, r, b, t, u, n):", *lines, *self.lines, "return None"]) + "\n"

    def byte(self, rails: Sequence[Rail]) -> int | None:
        """A register with a bit for each rail, shifted in from the right, the last first. None if all are False."""
        byte = None
        for rail in reversed(rails):
            if byte is not None:
                self.lines.append(f"add(b{byte}, b{byte}, b{byte})")
            if rail is False:
                continue
            bit = "1" if rail is True else f"b{self._register(rail)}"
            if byte is None:
                byte = self._take()
                self.lines.append(f"copyto(b{byte}, {bit})")
            else:
                self.lines.append(f"bitwise_or(b{byte}, {bit}, b{byte})")
            self._used(rail)
        return byte

    def _register(self, rail: Rail) -> int:
        """Where the rail is held, computed unless it is."""
        if rail not in self._held:
            match rail:
                case Both(left, right) | Either(left, right):
                    call = "bitwise_and" if isinstance(rail, Both) else "bitwise_or"
                    ends = [f"r{self._register(left)}", f"r{self._register(right)}"]
                    self._used(left)
                    self._used(right)
                case Relation(sign, left_end, right_end):
                    call = _NUMPY[sign]
                    ends = [self._end(left_end), self._end(right_end)]
                case _:
                    raise AssertionError("a rail alike in all rows is never joined to another")
            register = self._take()  # may be that of a part used for the last time: every row is read before written
            self.lines.append(f"{call}({ends[0]}, {ends[1]}, r{register})")
            self._held[rail] = register
        return self._held[rail]

    def _end(self, end: End) -> str:
        if isinstance(end, int):
            return str(end)
        if end.slot not in self.slots:
            self.slots.append(end.slot)
        return f"c{end.slot}" if end.bits is None else f"bitwise_and(c{end.slot}, {end.bits})"

    def _count(self, rail: Rail) -> None:
        self._uses[rail] += 1
        if self._uses[rail] == 1 and isinstance(rail, Both | Either):
            self._count(rail.left)
            self._count(rail.right)

    def _used(self, rail: Rail) -> None:
        self._uses[rail] -= 1
        if not self._uses[rail] and rail in self._held:
            self.free.append(self._held.pop(rail))

    def _take(self) -> int:
        if self.free:
            return self.free.pop()
        self.registers += 1
        return self.registers - 1
