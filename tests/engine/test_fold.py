"""The fold against a day-by-day simulator: exact where everything is known, bounds where it is not; only backwards."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, MutableSequence, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import cast

import pytest

from safety_service.engine import fold
from safety_service.engine.fold import ENDLESS, IN_CLASS, MAYBE_IN_CLASS, NO, NONE, NOT_IN_CLASS, OPEN, YES
from safety_service.rules.vocabulary import HIGHEST, LOWEST
from tests.engine.simulator import Supplied, Taken, Truth, ended, share, simulate

GAPS = (0, 1, 7, 8, 30)
OPIOID, BENZODIAZEPINE, COUNTED, OTHER = 1, 2, 4, 8
ALL_CLASSES = -1
RELAXANTS = 3  # ingredients 0, 1, 2: key and chain alike
UNRECOGNISED = -1


@dataclass(frozen=True)
class Record:
    """A record as the fold is told of it, and as it truly was."""

    key: int
    start: int
    low: int  # days, bounds of the supply
    high: int
    days: int  # true
    role: int
    in_class: bool  # true
    bits: int
    may_bits: int
    classes: int  # true

    @property
    def relaxant(self) -> bool:
        return 0 <= self.key < RELAXANTS

    @property
    def supplied(self) -> Supplied:
        return Supplied(self.key, self.start, self.days, self.in_class)

    @property
    def taken(self) -> Taken:
        return Taken(self.key, self.classes, self.start, self.start + self.days)


@dataclass(frozen=True)
class Timeline:
    """Records in the order they became known, then the order under check."""

    history: tuple[Record, ...]
    order: Record
    gap: int


def random_record(rng: Random, key: int, start: int, known: bool, role: int) -> Record:
    days = rng.choice((1, 2, 3, 5, 7, 8, 10, 14, 15, 21, 30, rng.randint(1, 40)))
    low, high = days, days
    if not known and rng.random() < 0.5:
        low = rng.choice((0, 1, 1, rng.randint(0, days)))
        high = rng.choice((ENDLESS, days, days + rng.randint(0, 20)))
        days = rng.choice((low, days))
    opioid, benzodiazepine = OPIOID | COUNTED, BENZODIAZEPINE | COUNTED  # often, so that both often meet
    bits = rng.choice((0, OPIOID, BENZODIAZEPINE, COUNTED, OTHER, *(opioid,) * 4, *(benzodiazepine,) * 4))
    if 0 <= key < RELAXANTS:
        bits = COUNTED
    may_bits, classes = bits, bits
    if key == UNRECOGNISED:
        bits, may_bits, classes = 0, ALL_CLASSES, rng.randrange(16)
    in_class = role == IN_CLASS or (role == MAYBE_IN_CLASS and rng.random() < 0.5)
    return Record(key, start, low, high, days, role, in_class, bits, may_bits, classes)


def random_timeline(rng: Random, known: bool = True, ordered: bool = True, one_role: bool = True) -> Timeline:
    """`known`: every supply is known; `ordered`: records become known in the order of their starts."""
    span = rng.choice((10, 40, 120))
    first = rng.choice((0, -60, 20_000))
    roles = [rng.choice((IN_CLASS, IN_CLASS, NOT_IN_CLASS, *([] if known else [MAYBE_IN_CLASS]))) for _ in range(3)]
    keys = [*range(RELAXANTS), *range(RELAXANTS)] + [10, 11, 12] + ([] if known else [UNRECOGNISED])
    if rng.random() < 0.4:
        keys = [0]  # one ingredient alone: episodes that break, and are joined by what is known late
    starts = [rng.choice((rng.randrange(span), rng.randrange(0, span, 7))) for _ in range(rng.randrange(9))]
    starts.append(rng.randrange(span + 20))
    if ordered:
        starts.sort()
    records = []
    for i, start in enumerate(starts):
        key = rng.choice([each for each in keys if 0 <= each < RELAXANTS] if i == len(starts) - 1 else keys)
        role = NOT_IN_CLASS
        if 0 <= key < RELAXANTS:
            role = roles[key] if one_role else rng.choice(roles)
        record = random_record(rng, key, first + start, known, role)
        if i == len(starts) - 1:
            record = replace(record, low=max(1, record.low), days=max(1, record.days))
        records.append(record)
    return Timeline(tuple(records[:-1]), records[-1], rng.choice(GAPS))


# --- the fold, driven as the engine drives it -----------------------------------------------------------------------


def emptied(capacity: int, at: int = 0, room: int = 0) -> list[int]:
    state = [0] * (at + fold.size(capacity) + room)
    fold.clear(state, at, capacity)
    return state


def add(state: MutableSequence[int], record_at: int, record: Record, gap: int, at: int = 0) -> None:
    ints = cast("list[int]", state)
    end, may_end = record.start + record.low, min(record.start + record.high, ENDLESS)
    start = record.start
    fold.expose(
        ints, at, record.key, record.bits, record.may_bits, record_at, start, end, start, may_end, start
    )  # fmt: skip
    if record.relaxant and record.high > 0:
        fold.supply(ints, at, record.key, record_at, start, record.low, record.high, record.role, gap)


def folded(history: Sequence[Record], gap: int, capacity: int = 20) -> list[int]:
    state = emptied(capacity)
    for i, record in enumerate(history):
        add(state, i, record, gap)
    return state


def observed(state: MutableSequence[int], order: Record, gap: int, at: int = 0) -> list[int]:
    out = [0] * fold.OBSERVED
    fold.observe(
        cast("list[int]", state), at, order.key, order.key, order.start, order.low, order.high, order.role, gap, out, 0
    )
    return out


def overlapped(state: MutableSequence[int], order: Record, own: int = 1, at: int = 0) -> list[int]:
    out = [0] * fold.OVERLAPPED
    fold.overlaps(
        cast("list[int]", state), at, order.key, own, order.start, order.start + order.low,
        min(order.start + order.high, ENDLESS), OPIOID, BENZODIAZEPINE, COUNTED, out, 0,
    )  # fmt: skip
    return out


def since(state: MutableSequence[int], order: Record, at: int = 0) -> tuple[int, int]:
    out = [0, 0]
    fold.since(cast("list[int]", state), at, OPIOID, order.start, out, 0)
    return out[0], out[1]


def truths(line: Timeline) -> tuple[Truth, Truth]:
    """With every supply on file, and with those only that do not begin after the order."""
    relaxants = [(i, each) for i, each in enumerate(line.history) if each.relaxant]
    found = []
    for some in (relaxants, [(i, each) for i, each in relaxants if each.start <= line.order.start]):
        truth = simulate([each.supplied for _, each in some], line.order.supplied, line.gap)
        found.append(replace(truth, companions=frozenset(some[i][0] for i in truth.companions)))
    return found[0], found[1]


# --- what must hold -------------------------------------------------------------------------------------------------


def check_exposure_exact(line: Timeline, out: Sequence[int]) -> None:
    truth, _ = truths(line)
    assert out[fold.EPISODE_LOW] == out[fold.EPISODE_HIGH] == truth.episode
    assert out[fold.BEFORE_LOW] == out[fold.BEFORE_HIGH] == truth.before
    assert out[fold.IN_HAND_LOW] == out[fold.IN_HAND_HIGH] == truth.in_hand
    if line.gap > 0:  # a gap of 0 looks back on no day
        assert out[fold.CONTINUES] == (YES if truth.continues else NO)
    previous = out[fold.PREVIOUS_RECORD]
    if previous == -1:
        assert not truth.companions
    else:
        latest = max(truth.companions, key=lambda i: (line.history[i].start, i))
        assert previous == latest
    if line.order.role == IN_CLASS:
        assert out[fold.CLASS_LOW] == out[fold.CLASS_HIGH] == truth.class_days
        assert out[fold.SINCE_LOW] == out[fold.SINCE_HIGH] == (ENDLESS if truth.since is None else truth.since)
    else:
        assert out[fold.CLASS_LOW] == out[fold.CLASS_HIGH] == 0
        assert (out[fold.SINCE_LOW], out[fold.SINCE_HIGH]) == (NONE, ENDLESS)


def check_exposure_bounds(line: Timeline, out: Sequence[int]) -> None:
    whole, before = truths(line)
    for truth in (whole, before):
        assert out[fold.EPISODE_LOW] <= truth.episode <= out[fold.EPISODE_HIGH]
        if line.order.in_class:
            assert out[fold.CLASS_LOW] <= truth.class_days <= out[fold.CLASS_HIGH]
            since = ENDLESS if truth.since is None else truth.since
            assert out[fold.SINCE_LOW] <= since <= out[fold.SINCE_HIGH]
    assert out[fold.BEFORE_LOW] <= before.before <= out[fold.BEFORE_HIGH]
    assert out[fold.IN_HAND_LOW] <= before.in_hand <= out[fold.IN_HAND_HIGH]
    if line.gap > 0:
        assert out[fold.CONTINUES] in ((YES, OPEN) if before.continues else (NO, OPEN))
    previous = out[fold.PREVIOUS_RECORD]
    if previous != -1:
        assert line.history[previous].key == line.order.key
        assert previous in whole.companions or line.history[previous].days == 0


def check_overlaps(line: Timeline, out: Sequence[int], exact: bool) -> None:
    days = range(line.order.start, line.order.start + line.order.days)
    drugs = [each.taken for each in line.history]
    truth = share(drugs, line.order.key, days, OPIOID, BENZODIAZEPINE, COUNTED)
    assert out[fold.SURE_BITS] & ~truth.classes == 0
    assert truth.classes & ~out[fold.POSSIBLE_BITS] == 0
    assert out[fold.PAIR] in ((YES, OPEN) if truth.pair else (NO, OPEN))
    assert out[fold.COUNT_LOW] <= 1 + truth.most <= out[fold.COUNT_HIGH]
    if exact:
        assert out[fold.SURE_BITS] == out[fold.POSSIBLE_BITS]
        assert out[fold.PAIR] != OPEN
        assert out[fold.COUNT_LOW] == out[fold.COUNT_HIGH]


def check_since(line: Timeline, found: tuple[int, int], exact: bool) -> None:
    truth = ended([each.taken for each in line.history], OPIOID, line.order.start)
    days = ENDLESS if truth is None else truth
    assert found[0] <= days <= found[1]
    if exact:
        assert found[0] == found[1]


def check_exact(rng: Random) -> None:
    line = random_timeline(rng)
    state = folded(line.history, line.gap)
    check_exposure_exact(line, observed(state, line.order, line.gap))
    check_overlaps(line, overlapped(state, line.order), exact=True)
    check_since(line, since(state, line.order), exact=True)


def check_partly_known(rng: Random) -> None:
    line = random_timeline(rng, known=False)
    state = folded(line.history, line.gap)
    check_exposure_bounds(line, observed(state, line.order, line.gap))
    check_overlaps(line, overlapped(state, line.order), exact=False)
    check_since(line, since(state, line.order), exact=False)


def check_known_late(rng: Random) -> None:
    known = rng.random() < 0.5
    line = random_timeline(rng, known, ordered=False)
    state = folded(line.history, line.gap)
    check_exposure_bounds(line, observed(state, line.order, line.gap))
    check_overlaps(line, overlapped(state, line.order), exact=known)
    check_since(line, since(state, line.order), exact=known)


def check_small_capacity(rng: Random) -> None:
    line = random_timeline(rng, known=rng.random() < 0.5, ordered=rng.random() < 0.5)
    state = folded(line.history, line.gap, capacity=rng.randint(1, 3))
    check_exposure_bounds(line, observed(state, line.order, line.gap))
    check_overlaps(line, overlapped(state, line.order), exact=False)
    check_since(line, since(state, line.order), exact=False)


def check_mixed_roles(rng: Random) -> None:
    """One ingredient now for spasms, now for spasticity: days of the second kind are no days of the class."""
    line = random_timeline(rng, known=rng.random() < 0.5, one_role=False)
    state = folded(line.history, line.gap)
    check_exposure_bounds(line, observed(state, line.order, line.gap))


def check_planned_after(rng: Random) -> None:
    """What was before an order stays known as it was when supplies that begin after it are on file too."""
    line = random_timeline(rng)
    order = line.order
    state = folded(line.history, line.gap)
    alone = observed(state, order, line.gap)[fold.CONTINUES]
    day = order.start
    for i in range(rng.randint(1, 3)):
        day += rng.randint(1, 7)
        add(state, 50 + i, random_record(rng, order.key, day, True, order.role), line.gap)
    after = observed(state, order, line.gap)[fold.CONTINUES]
    assert after in (alone, OPEN)
    with_it = any(each.key == order.key and each.start == order.start for each in line.history)
    if line.gap >= 7 and alone == NO and not with_it:  # those after are one episode, and none before belongs to it
        assert after == NO


CHECKS = (
    check_exact, check_partly_known, check_known_late, check_small_capacity, check_mixed_roles, check_planned_after,
)  # fmt: skip


@pytest.mark.parametrize("check", CHECKS)
def test_agrees_with_the_simulator(check: Callable[[Random], None], seed: int) -> None:
    for i in range(1_500):
        check(Random(f"{seed} {i}"))


@pytest.mark.long
@pytest.mark.parametrize("check", CHECKS)
def test_agrees_with_the_simulator_on_many(check: Callable[[Random], None], seed: int) -> None:
    for i in range(1_500, 21_500):
        check(Random(f"{seed} {i}"))


def test_the_random_search_reaches_what_it_is_for(seed: int) -> None:
    """Bounds that are never tight, or answers never given, would prove nothing."""
    seen: Counter[str] = Counter()
    for i in range(6000):
        rng = Random(f"{seed} {i}")
        line = random_timeline(rng, known=i % 2 == 0, ordered=i % 3 > 0)
        starts = [each.start for each in line.history] + [line.order.start]
        state = folded(line.history, line.gap, capacity=20 if i % 5 else 2)
        out, shared = observed(state, line.order, line.gap), overlapped(state, line.order)
        seen["late record"] += starts != sorted(starts)
        seen["same day"] += len(set(starts)) < len(starts)
        seen["linked"] += out[fold.PREVIOUS_RECORD] >= 0
        seen["in hand"] += out[fold.IN_HAND_LOW] > 0
        seen["episode known"] += out[fold.EPISODE_LOW] == out[fold.EPISODE_HIGH]
        seen["episode bounded"] += out[fold.EPISODE_LOW] < out[fold.EPISODE_HIGH] < ENDLESS
        seen["class longer than ingredient"] += out[fold.CLASS_LOW] > out[fold.EPISODE_LOW]
        seen["since known"] += NONE < out[fold.SINCE_LOW] == out[fold.SINCE_HIGH] < ENDLESS
        seen["since none"] += out[fold.SINCE_LOW] == ENDLESS
        seen[f"continues {out[fold.CONTINUES]}"] += 1
        seen[f"pair {shared[fold.PAIR]}"] += 1
        seen["classes open"] += shared[fold.SURE_BITS] != shared[fold.POSSIBLE_BITS]
        seen["classes sure"] += shared[fold.SURE_BITS] != 0
        seen["three at once"] += shared[fold.COUNT_LOW] >= 3
        fewest, most = since(state, line.order)
        seen["ended known"] += 0 < fewest == most < ENDLESS
        seen["ended open"] += fewest != most
        seen["overflow"] += state[fold.OVERFLOW]
        seen["forgotten"] += state[fold.FORGOTTEN_TO] != NONE
    wanted = {
        "late record", "same day", "linked", "in hand", "episode known", "episode bounded", "since known", "since none",
        "class longer than ingredient", "continues 1", "continues 2", "continues 3", "pair 1", "pair 2", "pair 3",
        "classes open", "classes sure", "three at once", "overflow", "forgotten",
        "ended known", "ended open",
    }  # fmt: skip
    assert {each for each in wanted if seen[each] < 10} == set(), seen


# --- only backwards, and nothing but its own state ------------------------------------------------------------------


def answers(history: Sequence[Record], gap: int) -> list[tuple[list[int], list[int]]]:
    """What each record gets on the way through a history, just before it is added."""
    state, found = emptied(20), []
    for at, record in enumerate(history):
        chain = replace(record, key=record.key % RELAXANTS)
        found.append((observed(state, chain, gap), overlapped(state, chain)))
        add(state, at, record, gap)
    return found


def test_an_order_depends_on_what_was_known_before_it_alone(seed: int) -> None:
    """Later events taken away, exchanged or added: the same answer; and that of a fold of its own."""
    for i in range(400):
        rng = Random(f"{seed} {i}")
        line = random_timeline(rng, known=i % 2 == 0, ordered=i % 3 > 0)
        other = random_timeline(rng, known=False, ordered=False)
        whole = (*line.history, line.order)
        cut = rng.randint(0, len(whole))
        given = answers(whole, line.gap)
        assert answers(whole[:cut], line.gap) == given[:cut]
        assert answers((*whole[:cut], *other.history), line.gap)[:cut] == given[:cut]
        state = folded(line.history, line.gap)
        assert given[-1] == (observed(state, line.order, line.gap), overlapped(state, line.order))


def test_observing_changes_nothing(seed: int) -> None:
    for i in range(400):
        rng = Random(f"{seed} {i}")
        line = random_timeline(rng, known=i % 2 == 0, ordered=i % 3 > 0)
        state = folded(line.history, line.gap)
        before = list(state)
        first = observed(state, line.order, line.gap), overlapped(state, line.order)
        assert state == before
        assert first == (observed(state, line.order, line.gap), overlapped(state, line.order))


def test_a_state_is_the_same_anywhere_in_any_array(seed: int) -> None:
    """Many patients in one array of 64-bit integers: same answers, neighbours untouched, rows written where asked."""
    for i in range(300):
        rng = Random(f"{seed} {i}")
        line = random_timeline(rng, known=i % 2 == 0, ordered=i % 3 > 0)
        at, room = rng.randrange(50), rng.randrange(50)
        alone = folded(line.history, line.gap, capacity=4)
        many = array("q", [7] * (at + fold.size(4) + room))
        fold.clear(cast("list[int]", many), at, 4)
        for n, record in enumerate(line.history):
            add(many, n, record, line.gap, at)
        assert list(many[at : at + fold.size(4)])[: fold.EXPOSURES] == alone[: fold.EXPOSURES]
        assert set(many[:at]) | set(many[at + fold.size(4) :]) <= {7}
        assert observed(many, line.order, line.gap, at) == observed(alone, line.order, line.gap)
        assert overlapped(many, line.order, at=at) == overlapped(alone, line.order)
        row = [7] * 40
        order = line.order
        fold.observe(
            alone, 0, order.key, order.key, order.start, order.low, order.high, order.role, line.gap, row, 3
        )  # fmt: skip
        assert row[:3] + row[3 + fold.OBSERVED :] == [7] * (40 - fold.OBSERVED)
        assert row[3 : 3 + fold.OBSERVED] == observed(alone, order, line.gap)


def test_clearing_forgets_everything(seed: int) -> None:
    line = random_timeline(Random(seed), known=False, ordered=False)
    state = folded(line.history, line.gap, capacity=3)
    fold.clear(state, 0, 3)
    assert state[: fold.EXPOSURES] == emptied(3)[: fold.EXPOSURES]
    assert state[fold.COUNT] == state[fold.OVERFLOW] == 0


# --- by hand: both sides of every boundary --------------------------------------------------------------------------


def relaxant(start: int, days: int, key: int = 0, high: int = 0, role: int = IN_CLASS) -> Record:
    return Record(key, start, days, high or days, days, role, role == IN_CLASS, COUNTED, COUNTED, COUNTED)


def partner(start: int, days: int, bits: int, key: int = 10) -> Record:
    return Record(key, start, days, days, days, NOT_IN_CLASS, False, bits, bits, bits)


def ask(history: Sequence[Record], order: Record, gap: int = 7) -> list[int]:
    return observed(folded(history, gap), order, gap)


@pytest.mark.parametrize(
    ("gap", "free_days", "episode"),
    [(0, 0, 20), (0, 1, 10), (1, 1, 20), (1, 2, 10), (7, 7, 20), (7, 8, 10), (8, 8, 20), (8, 9, 10), (30, 30, 20)],
)
def test_a_gap_continues_the_episode_up_to_the_tolerance(gap: int, free_days: int, episode: int) -> None:
    for order in (relaxant(10 + free_days, 10), replace(relaxant(10 + free_days, 10), key=0)):
        out = ask([relaxant(0, 10)], order, gap)
        assert out[fold.EPISODE_LOW] == out[fold.EPISODE_HIGH] == episode, "gap days are not counted"
        assert out[fold.CLASS_LOW] == episode
        assert out[fold.PREVIOUS_RECORD] == (0 if episode == 20 else -1)
        assert out[fold.SINCE_LOW] == (ENDLESS if episode == 20 else free_days)
    out = ask([relaxant(0, 10, key=1)], relaxant(10 + free_days, 10), gap)
    assert out[fold.EPISODE_LOW] == 10, "another ingredient"
    assert out[fold.CLASS_LOW] == episode


@pytest.mark.parametrize(("start", "in_hand"), [(0, 14), (6, 8), (7, 7), (13, 1), (14, 0), (15, 0)])
def test_an_early_supply_is_carried_forward(start: int, in_hand: int) -> None:
    out = ask([relaxant(0, 14)], relaxant(start, 14))
    assert out[fold.EPISODE_LOW] == out[fold.EPISODE_HIGH] == 28
    assert out[fold.IN_HAND_LOW] == out[fold.IN_HAND_HIGH] == in_hand
    assert out[fold.BEFORE_LOW] == out[fold.BEFORE_HIGH] == 14


def test_ten_days_and_ten_of_another_relaxant() -> None:
    out = ask([relaxant(0, 10, key=1)], relaxant(10, 10))
    assert (out[fold.EPISODE_LOW], out[fold.CLASS_LOW]) == (10, 20)
    out = ask([relaxant(0, 10, key=1)], relaxant(5, 10))
    assert (out[fold.EPISODE_LOW], out[fold.CLASS_LOW]) == (10, 15), "a day on two relaxants is one day"


@pytest.mark.parametrize(("free_days", "continues"), [(0, YES), (6, YES), (7, NO), (8, NO)])
def test_use_in_the_week_before_is_continuing(free_days: int, continues: int) -> None:
    assert ask([relaxant(0, 10)], relaxant(10 + free_days, 5))[fold.CONTINUES] == continues
    # the same by the exposure alone, for a drug that counts for no chain
    state = emptied(3)
    fold.expose(state, 0, 0, COUNTED, COUNTED, 0, 0, 10, 0, 10, 0)
    assert observed(state, relaxant(10 + free_days, 5), 7)[fold.CONTINUES] == continues


@pytest.mark.parametrize(("free_days", "continues"), [(6, OPEN), (7, NO)])
def test_possible_use_in_the_week_before_leaves_it_open(free_days: int, continues: int) -> None:
    state = emptied(3)
    fold.expose(state, 0, 0, COUNTED, COUNTED, 0, NONE, NONE, 0, 10, NONE)
    assert observed(state, relaxant(10 + free_days, 5), 7)[fold.CONTINUES] == continues


def test_what_joins_two_episodes_late_leaves_their_sum_open() -> None:
    """The episode before is no longer held, so there is no upper bound; and one day further off it is not joined."""
    out = ask([relaxant(0, 5), relaxant(30, 5), relaxant(12, 5)], relaxant(35, 5))
    assert (out[fold.EPISODE_LOW], out[fold.EPISODE_HIGH]) == (10, ENDLESS)
    assert out[fold.CLASS_HIGH] == ENDLESS
    out = ask([relaxant(0, 5), relaxant(30, 5), relaxant(13, 5)], relaxant(35, 5))
    assert (out[fold.EPISODE_LOW], out[fold.EPISODE_HIGH]) == (10, 15)
    assert out[fold.CLASS_HIGH] < ENDLESS


def test_days_without_bound_are_those_of_the_vocabulary() -> None:
    assert (NONE, ENDLESS) == (LOWEST, HIGHEST)


def test_a_supply_that_begins_with_the_order_does_not_make_it_continuing() -> None:
    assert ask([relaxant(20, 5)], relaxant(20, 5))[fold.CONTINUES] == NO
    assert ask([relaxant(13, 0, high=5), relaxant(20, 5)], relaxant(20, 5))[fold.CONTINUES] == OPEN
    assert ask([relaxant(10, 10), relaxant(20, 5)], relaxant(20, 5))[fold.CONTINUES] == YES


@pytest.mark.parametrize(
    ("before", "continues"),
    [([], NO), ([relaxant(-100, 10)], NO), ([relaxant(-17, 10)], NO), ([relaxant(-16, 10)], YES)],
)
@pytest.mark.parametrize("later", [(14,), (1,), (14, 21), (14, 21, 28), (21, 14), (8,), (2, 1)])
def test_what_begins_after_the_order_is_no_use_before_it(
    before: list[Record], continues: int, later: tuple[int, ...]
) -> None:
    planned = [relaxant(each, 7) for each in later]
    assert ask([*before, *planned], relaxant(0, 7))[fold.CONTINUES] == continues


def test_supplies_after_the_order_that_break_leave_open_at_most_what_was_before_them() -> None:
    apart = [relaxant(14, 7), relaxant(60, 7)]
    assert ask(apart, relaxant(0, 7))[fold.CONTINUES] == NO, "none begins before the order"
    assert ask([relaxant(-100, 10), *apart], relaxant(0, 7))[fold.CONTINUES] == OPEN, "where each ended is not held"
    assert ask([relaxant(-16, 10), *apart], relaxant(0, 7))[fold.CONTINUES] == YES
    stock = [relaxant(-30, 10), relaxant(-29, 14), relaxant(14, 7)]  # in hand until day -6, each by itself until -15
    assert ask(stock, relaxant(0, 7))[fold.CONTINUES] == OPEN


def test_days_before_do_not_hang_on_the_days_of_the_order() -> None:
    out = ask([relaxant(0, 14)], relaxant(14, 7, high=ENDLESS))
    assert (out[fold.EPISODE_LOW], out[fold.EPISODE_HIGH]) == (21, ENDLESS)
    assert out[fold.BEFORE_LOW] == out[fold.BEFORE_HIGH] == 14


@pytest.mark.parametrize(("start", "continues"), [(4, OPEN), (11, OPEN), (12, NO)])
def test_what_was_forgotten_may_have_been_the_drug_itself(start: int, continues: int) -> None:
    state = emptied(1)
    fold.expose(state, 0, 0, COUNTED, COUNTED, 0, 0, 5, 0, 5, 0)
    fold.expose(state, 0, 10, OPIOID, OPIOID, 1, 37, 40, 37, 40, 37)
    assert observed(state, relaxant(start, 5), 7)[fold.CONTINUES] == continues


def test_a_first_order_knows_that_nothing_was_before_it() -> None:
    out = ask([], relaxant(0, 14))
    assert out == [14, 14, 0, 0, 0, 0, 14, 14, ENDLESS, ENDLESS, NO, -1]


def test_an_episode_known_late_leaves_the_days_since_the_last_one_open() -> None:
    """A relaxant episode on days 200 to 209 comes to be known after one that began on day 300."""
    late = [relaxant(0, 10), relaxant(300, 10), relaxant(200, 10, key=1)]
    out = ask(late, relaxant(310, 5))
    assert out[fold.SINCE_LOW] <= 300 - 210 <= out[fold.SINCE_HIGH]
    out = ask([relaxant(300, 10), relaxant(200, 10, key=1)], relaxant(310, 5))
    assert out[fold.SINCE_LOW] <= 300 - 210 <= out[fold.SINCE_HIGH]
    out = ask([relaxant(0, 10), relaxant(100, 10, key=1)], relaxant(50, 5))
    assert out[fold.SINCE_LOW] <= 50 - 10 <= out[fold.SINCE_HIGH], "the order lies before a planned episode"
    in_order = sorted(late, key=lambda each: each.start)
    assert ask(in_order, relaxant(310, 5))[fold.SINCE_LOW] == 90
    assert ask([*late, relaxant(330, 5)], relaxant(336, 5))[fold.SINCE_LOW] == 330 - 310, "past it, all is clear again"


def test_in_hand_from_a_use_for_spasticity_is_not_counted_for_the_class() -> None:
    out = ask([relaxant(0, 10, role=NOT_IN_CLASS)], relaxant(5, 10))
    assert out[fold.EPISODE_LOW] == 20
    assert out[fold.CLASS_LOW] == 10 < out[fold.CLASS_HIGH]
    assert out[fold.SINCE_LOW] == NONE
    out = ask([relaxant(0, 10, role=NOT_IN_CLASS)], relaxant(10, 10))
    assert out[fold.CLASS_LOW] == out[fold.CLASS_HIGH] == 10, "nothing in hand"
    assert out[fold.SINCE_LOW] == ENDLESS
    out = ask([relaxant(0, 10, role=NOT_IN_CLASS), relaxant(10, 10)], relaxant(20, 10))
    assert out[fold.CLASS_LOW] == out[fold.CLASS_HIGH] == 20


@pytest.mark.parametrize(("start", "shares"), [(-5, False), (-4, True), (0, True), (9, True), (10, False)])
def test_sharing_is_at_least_one_day(start: int, shares: bool) -> None:
    out = overlapped(folded([partner(start, 5, OPIOID)], 7), relaxant(0, 10))
    assert (out[fold.SURE_BITS], out[fold.POSSIBLE_BITS]) == ((OPIOID, OPIOID) if shares else (0, 0))


def test_a_pair_shares_a_day_of_the_order() -> None:
    def pair(*history: Record) -> int:
        return overlapped(folded(history, 7), relaxant(10, 10))[fold.PAIR]

    assert pair(partner(0, 30, OPIOID), partner(12, 2, BENZODIAZEPINE, 11)) == YES
    assert pair(partner(0, 15, OPIOID), partner(15, 9, BENZODIAZEPINE, 11)) == NO, "each shares a day, not the same"
    assert pair(partner(0, 12, OPIOID), partner(0, 10, BENZODIAZEPINE, 11)) == NO, "they share days before the order"
    assert pair(partner(0, 30, OPIOID | BENZODIAZEPINE)) == NO, "one drug is no pair"
    apart = partner(0, 12, OPIOID), partner(15, 9, BENZODIAZEPINE, 11)
    for bits in (OPIOID, BENZODIAZEPINE):
        assert pair(*apart, partner(0, 30, bits, 0)) == NO, "the order's own ingredient is not a partner"
    assert pair(*apart, partner(0, 30, OTHER, 12)) == NO, "nor is a drug of another class"
    assert pair(partner(0, 30, OPIOID), partner(0, 30, BENZODIAZEPINE, 0)) == NO, "the order's own ingredient"


def test_each_ingredient_counts_once_a_day_and_each_unrecognised_drug_by_itself() -> None:
    twice = [partner(0, 9, COUNTED), partner(3, 9, COUNTED), partner(5, 1, COUNTED, 11)]
    out = overlapped(folded(twice, 7), relaxant(0, 20))
    assert (out[fold.COUNT_LOW], out[fold.COUNT_HIGH]) == (3, 3)
    unknown = Record(UNRECOGNISED, 0, 9, 9, 9, NOT_IN_CLASS, False, 0, ALL_CLASSES, 0)
    out = overlapped(folded([unknown, unknown], 7), relaxant(0, 20))
    assert (out[fold.SURE_BITS], out[fold.POSSIBLE_BITS]) == (0, ALL_CLASSES)
    assert (out[fold.COUNT_LOW], out[fold.COUNT_HIGH], out[fold.PAIR]) == (1, 3, OPEN)
    apart = [partner(0, 5, COUNTED), partner(5, 5, COUNTED, 11)]
    assert overlapped(folded(apart, 7), relaxant(0, 20))[fold.COUNT_HIGH] == 2, "never on the same day"


def test_no_room_is_unknown_never_no() -> None:
    opioids = [partner(0, 50, OPIOID, key) for key in (10, 11)]
    state = folded([*opioids, partner(1, 50, BENZODIAZEPINE, 12)], 7, capacity=2)
    assert state[fold.OVERFLOW] == 1
    out = overlapped(state, relaxant(5, 10))
    assert out[fold.SURE_BITS] == OPIOID
    assert out[fold.POSSIBLE_BITS] & BENZODIAZEPINE
    assert out[fold.PAIR] == OPEN
    assert out[fold.COUNT_HIGH] == ENDLESS
    assert observed(state, relaxant(5, 10), 7)[fold.CONTINUES] == OPEN


def test_room_is_used_again_once_its_drug_is_long_past() -> None:
    state = folded([partner(0, 5, OPIOID), partner(37, 5, BENZODIAZEPINE, 11)], 7, capacity=1)
    assert state[fold.OVERFLOW] == 0
    out = overlapped(state, relaxant(37, 5))
    assert out[fold.SURE_BITS] == out[fold.POSSIBLE_BITS] == BENZODIAZEPINE
    assert overlapped(state, relaxant(5, 5))[fold.POSSIBLE_BITS] == 0
    back = overlapped(state, relaxant(4, 5))
    assert back[fold.POSSIBLE_BITS] & OPIOID, "an order that begins earlier may still have shared a day with it"
    assert folded([partner(0, 5, OPIOID), partner(36, 5, OPIOID)], 7, capacity=1)[fold.OVERFLOW] == 1


# --- planted faults -------------------------------------------------------------------------------------------------

supply, expose, carry, most = fold.supply, fold.expose, fold._carry, fold._most


def no_carry_over(state: list[int], c: int, start: int, low: int, high: int, gap: int) -> tuple[int, int, int, int]:
    low_end, low_total, _, high_total = carry(state, c, start, low, high, gap)
    return min(low_end, start + low), low_total, start + high, high_total


def gap_one_longer(state: list[int], c: int, start: int, low: int, high: int, gap: int) -> tuple[int, int, int, int]:
    return carry(state, c, start, low, high, gap + 1)


def last_day_counted(state: list[int], *rest: int) -> None:
    at, key, bits, may_bits, record, start, end, may_start, may_end, now = rest
    expose(state, at, key, bits, may_bits, record, start, end + 1, may_start, may_end + 1, now)


def class_by_sum(state: list[int], rail: int, start: int, end: int, gap: int, high: bool) -> int:
    linked = state[rail + fold.END] != NONE and start <= state[rail + fold.END] + gap
    return (state[rail + fold.DAYS] if linked else 0) + end - start


def unknown_supply_taken_as_its_least(state: list[int], *rest: int) -> None:
    at, chain, record, start, low, _, role, gap = rest
    supply(state, at, chain, record, start, low, low, role, gap)


def nothing_before(state: list[int], c: int, start: int) -> int:
    return NONE


def all_before(state: list[int], c: int, start: int) -> int:
    return state[c + fold.HIGH_END]


@pytest.mark.parametrize(
    ("name", "fault", "check"),
    [
        ("_carry", no_carry_over, check_exact),
        ("_carry", gap_one_longer, check_exact),
        ("expose", last_day_counted, check_exact),
        ("_covered", class_by_sum, check_exact),
        ("_most", lambda *rest: most(*rest) and 1, check_exact),
        ("supply", unknown_supply_taken_as_its_least, check_partly_known),
        ("_possible_end_before", nothing_before, check_known_late),
        ("_possible_end_before", all_before, check_planned_after),
    ],
)
def test_planted_faults_are_caught(
    name: str, fault: Callable[..., object], check: Callable[[Random], None], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(fold, name, fault)
    with pytest.raises(AssertionError):
        test_agrees_with_the_simulator(check, seed)
