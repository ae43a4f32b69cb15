"""A patient's medication history, folded once into what one order needs to know. Integers; looks only backwards.

State is a flat run of integers from index `at`: a header, one chain per relaxant ingredient, then exposures. It can
be a list or any array of 64-bit integers, so that the same functions serve one request and a population (hence no
imports and plain loops).
Events come in the order they became known (ties: start, then record), the order under check last: what is answered
for it follows from events before it and itself.

Two rails run side by side, because supply is often only partly known: `low` counts what is certain, `high` what is
possible. They are equal when everything is known; otherwise the truth lies between them.

* A chain is the current episode of one ingredient. Each supply begins at its start or when the supply in hand ends,
  whichever is later; the episode goes on while the next start is at most `gap` days after the end. Its days are the
  days supplied; gap days are not counted.
* The class chain is the union of the days covered by relaxants used as antispasmodics, with the same gap.
* Exposures are the spans [start, end) of every drug, for sharing a day with the order.
"""

NONE = -(2**31) + 1  # no such day; also the lowest number of the vocabulary
ENDLESS = 2**31 - 1  # no end in sight; also the highest number of the vocabulary

# --- state: header, class chain (low rail, high rail), ingredient chains, exposures
CAPACITY, COUNT, OVERFLOW, FORGOTTEN_TO = 0, 1, 2, 3  # no day of an exposure let go is at or after FORGOTTEN_TO
CLASS = 4
RAIL = 5
START, END, DAYS, PREVIOUS_END, LATEST_START = 0, 1, 2, 3, 4
CHAINS = CLASS + 2 * RAIL
MOST_CHAINS = 16
CHAIN = 12
LOW_END, LOW_DAYS, HIGH_END, HIGH_DAYS, OLD_HIGH_END, LAST_START, LAST_RECORD = 0, 1, 2, 3, 4, 5, 6
LOW_BEFORE, HIGH_BEFORE = 7, 8  # the ends without the supplies that begin on LAST_START
OTHER_END = 9  # possible end of what is in hand from a use that is not surely the class's
FIRST_START, HIGH_START = 10, 11  # of all supplies; of those that end at HIGH_END, others ending at OLD_HIGH_END
EXPOSURES = CHAINS + MOST_CHAINS * CHAIN
EXPOSURE = 8
KEY, BITS, MAY_BITS, RECORD, FROM, TO, MAY_FROM, MAY_TO = 0, 1, 2, 3, 4, 5, 6, 7

# --- how a relaxant's use counts for the class
NOT_IN_CLASS, IN_CLASS, MAYBE_IN_CLASS = 0, 1, 2

# --- what `observe` writes
EPISODE_LOW, EPISODE_HIGH, BEFORE_LOW, BEFORE_HIGH, IN_HAND_LOW, IN_HAND_HIGH = 0, 1, 2, 3, 4, 5
CLASS_LOW, CLASS_HIGH, SINCE_LOW, SINCE_HIGH, CONTINUES, PREVIOUS_RECORD = 6, 7, 8, 9, 10, 11
OBSERVED = 12

# --- what `overlaps` writes
SURE_BITS, POSSIBLE_BITS, PAIR, COUNT_LOW, COUNT_HIGH = 0, 1, 2, 3, 4
OVERLAPPED = 5

NO, YES, OPEN = 1, 2, 3


def size(capacity: int) -> int:
    """Integers that a state with room for `capacity` exposures takes."""
    return EXPOSURES + capacity * EXPOSURE


def clear(state: list[int], at: int, capacity: int) -> None:
    """Make the state at `at` an empty history."""
    for i in range(at, at + EXPOSURES):
        state[i] = 0
    state[at + CAPACITY] = capacity
    state[at + FORGOTTEN_TO] = NONE
    for rail in range(at + CLASS, at + CHAINS, RAIL):
        state[rail + START] = NONE
        state[rail + END] = NONE
        state[rail + PREVIOUS_END] = NONE
        state[rail + LATEST_START] = NONE
    for chain in range(at + CHAINS, at + EXPOSURES, CHAIN):
        state[chain + LOW_END] = NONE
        state[chain + HIGH_END] = NONE
        state[chain + OLD_HIGH_END] = NONE
        state[chain + LAST_START] = NONE
        state[chain + LAST_RECORD] = -1
        state[chain + LOW_BEFORE] = NONE
        state[chain + HIGH_BEFORE] = NONE
        state[chain + OTHER_END] = NONE
        state[chain + FIRST_START] = ENDLESS
        state[chain + HIGH_START] = NONE


def expose(
    state: list[int],
    at: int,
    key: int,
    bits: int,
    may_bits: int,
    record: int,
    start: int,
    end: int,
    may_start: int,
    may_end: int,
    now: int,
) -> None:
    """Add the span of one drug: surely [start, end), possibly [may_start, may_end); `bits` are its classes."""
    slot = state[at + COUNT]
    if slot < state[at + CAPACITY]:
        state[at + COUNT] = slot + 1
    else:
        slot = -1
        for i in range(state[at + CAPACITY]):
            if state[at + EXPOSURES + i * EXPOSURE + MAY_TO] < now - 31:
                slot = i
                state[at + FORGOTTEN_TO] = max(state[at + FORGOTTEN_TO], state[at + EXPOSURES + i * EXPOSURE + MAY_TO])
                break
        if slot < 0:
            state[at + OVERFLOW] = 1
            return
    e = at + EXPOSURES + slot * EXPOSURE
    state[e + KEY] = key
    state[e + BITS] = bits
    state[e + MAY_BITS] = may_bits
    state[e + RECORD] = record
    state[e + FROM] = start
    state[e + TO] = end
    state[e + MAY_FROM] = may_start
    state[e + MAY_TO] = may_end


def supply(
    state: list[int],
    at: int,
    chain: int,
    record: int,
    start: int,
    low_days: int,
    high_days: int,
    role: int,
    gap: int,
) -> None:
    """Add a supply of relaxant `chain` of `low_days` to `high_days`; `role` says how the class counts it."""
    c = at + CHAINS + chain * CHAIN
    low_end, _, high_end, _ = _carry(state, c, start, low_days, high_days, gap)
    ordered = start >= state[c + LAST_START]
    if start > state[c + LAST_START]:
        state[c + LOW_BEFORE] = state[c + LOW_END]
        state[c + HIGH_BEFORE] = state[c + HIGH_END]
    elif not ordered:
        state[c + HIGH_BEFORE] = max(state[c + HIGH_BEFORE], high_end)
    if ordered and low_days > 0:
        linked = state[c + LOW_END] != NONE and start <= state[c + LOW_END] + gap
        state[c + LOW_DAYS] = (state[c + LOW_DAYS] if linked else 0) + low_days
        state[c + LOW_END] = low_end
    if state[c + HIGH_END] != NONE and start <= state[c + HIGH_END] + gap:
        bridged = not ordered and state[c + OLD_HIGH_END] != NONE and start <= state[c + OLD_HIGH_END] + gap
        state[c + HIGH_DAYS] = ENDLESS if bridged else _capped(state[c + HIGH_DAYS] + high_days)
        state[c + HIGH_START] = min(state[c + HIGH_START], start)
    else:
        state[c + OLD_HIGH_END] = state[c + HIGH_END]
        state[c + HIGH_DAYS] = high_days
        state[c + HIGH_START] = start
    state[c + FIRST_START] = min(state[c + FIRST_START], start)
    state[c + HIGH_END] = high_end
    if ordered:
        state[c + LAST_START] = start
        state[c + LAST_RECORD] = record
    if role != IN_CLASS:
        state[c + OTHER_END] = high_end
    elif ordered and low_days > 0 and start >= state[c + OTHER_END]:
        _cover(state, at + CLASS, start, low_end, gap, False)
    if role != NOT_IN_CLASS:
        _cover(state, at + CLASS + RAIL, start, high_end, gap, True)


def observe(
    state: list[int],
    at: int,
    chain: int,
    key: int,
    start: int,
    low_days: int,
    high_days: int,
    role: int,
    gap: int,
    out: list[int],
    row: int,
) -> None:
    """What the history says of an order of relaxant `chain` from `start`, put in `out` from `row`; state is kept."""
    c = at + CHAINS + chain * CHAIN
    ordered = start >= state[c + LAST_START]
    low_end, low_total, high_end, high_total = _carry(state, c, start, low_days, high_days, gap)
    out[row + EPISODE_LOW] = low_total
    out[row + EPISODE_HIGH] = high_total
    out[row + BEFORE_LOW] = low_total - low_days
    _, _, _, out[row + BEFORE_HIGH] = _carry(state, c, start, 0, 0, gap)
    out[row + IN_HAND_LOW] = max(0, state[c + LOW_END] - start) if ordered else 0
    out[row + IN_HAND_HIGH] = max(0, _between(start, state[c + HIGH_END])) if state[c + HIGH_END] != NONE else 0
    linked = ordered and state[c + LOW_END] != NONE and start <= state[c + LOW_END] + gap
    out[row + PREVIOUS_RECORD] = state[c + LAST_RECORD] if linked else -1

    same_day = start == state[c + LAST_START]  # what begins with the order is no use before it
    sure = ordered and state[c + (LOW_BEFORE if same_day else LOW_END)] > start - gap
    possible = sure or _possible_end_before(state, c, start) > start - gap
    for i in range(state[at + COUNT]):
        e = at + EXPOSURES + i * EXPOSURE
        if state[e + KEY] == key:
            if state[e + FROM] < start and state[e + TO] > start - gap and state[e + FROM] < state[e + TO]:
                sure = True
            if state[e + MAY_FROM] < start and state[e + MAY_TO] > start - gap:
                possible = True
    if state[at + OVERFLOW] or state[at + FORGOTTEN_TO] > start - gap:
        possible = True
    out[row + CONTINUES] = YES if sure else OPEN if possible else NO

    low = at + CLASS
    high = low + RAIL
    # behind what is in hand from another use, the order's own days of the class are sure, not where they fall
    placed = role == IN_CLASS and ordered and start >= state[c + OTHER_END]
    out[row + CLASS_LOW] = low_days if role == IN_CLASS else 0
    if placed:
        out[row + CLASS_LOW] = _covered(state, low, start, low_end, gap, False)
    out[row + CLASS_HIGH] = _covered(state, high, start, high_end, gap, True) if role != NOT_IN_CLASS else 0
    since = _since(state, low, high, start, gap) if placed else NONE
    out[row + SINCE_LOW] = since
    out[row + SINCE_HIGH] = ENDLESS if since == NONE else since


def overlaps(
    state: list[int],
    at: int,
    key: int,
    own: int,
    start: int,
    low_end: int,
    high_end: int,
    left: int,
    right: int,
    counted: int,
    out: list[int],
    row: int,
) -> None:
    """Which classes share a day with [start, low_end) surely, [start, high_end) possibly, other than ingredient `key`.

    PAIR answers whether a drug of `left` and one of `right` share a day of the span with each other. COUNT_* is the
    most drugs of `counted` on one day, each ingredient once, plus `own` (0 or 1).
    """
    first = at + EXPOSURES
    last = first + state[at + COUNT] * EXPOSURE
    sure_bits = 0
    possible_bits = 0
    for e in range(first, last, EXPOSURE):
        if state[e + KEY] != key or key < 0:
            if state[e + FROM] < low_end and state[e + TO] > start and state[e + FROM] < state[e + TO]:
                sure_bits |= state[e + BITS]
                possible_bits |= state[e + MAY_BITS]
            elif state[e + MAY_FROM] < high_end and state[e + MAY_TO] > start:
                possible_bits |= state[e + MAY_BITS]
    pair = NO
    if possible_bits & left and possible_bits & right:
        for e in range(first, last, EXPOSURE):
            if state[e + MAY_BITS] & left and (state[e + KEY] != key or key < 0):
                for f in range(first, last, EXPOSURE):
                    if (
                        state[f + MAY_BITS] & right
                        and (f != e or state[e + KEY] < 0)
                        and (state[f + KEY] != key or key < 0)
                    ):
                        begin = max(start, state[e + MAY_FROM], state[f + MAY_FROM])
                        if begin < min(high_end, state[e + MAY_TO], state[f + MAY_TO]) and pair == NO:
                            pair = OPEN
                        begin = max(start, state[e + FROM], state[f + FROM])
                        both = state[e + BITS] & left and state[f + BITS] & right
                        if both and begin < min(low_end, state[e + TO], state[f + TO]):
                            pair = YES
    most_low = own
    most_high = own
    if possible_bits & counted:
        most_low = own + _most(state, first, last, key, start, low_end, counted, BITS, FROM, TO)
        most_high = own + _most(state, first, last, key, start, high_end, counted, MAY_BITS, MAY_FROM, MAY_TO)
    if state[at + OVERFLOW] or state[at + FORGOTTEN_TO] > start:
        possible_bits = -1
        most_high = ENDLESS
        if pair == NO:
            pair = OPEN
    out[row + SURE_BITS] = sure_bits
    out[row + POSSIBLE_BITS] = possible_bits
    out[row + PAIR] = pair
    out[row + COUNT_LOW] = most_low
    out[row + COUNT_HIGH] = most_high


def since(state: list[int], at: int, bits: int, start: int, out: list[int], row: int) -> None:
    """Days from the end of the latest exposure to a class of `bits` to `start`, fewest and most, put in `out`.

    ENDLESS where there was none, 0 where it may still go on. What only begins at `start` does not count.
    """
    fewest = ENDLESS
    most = ENDLESS
    first = at + EXPOSURES
    for e in range(first, first + state[at + COUNT] * EXPOSURE, EXPOSURE):
        if state[e + MAY_BITS] & bits and state[e + MAY_FROM] < start and state[e + MAY_FROM] < state[e + MAY_TO]:
            fewest = min(fewest, max(0, start - state[e + MAY_TO]))
            if state[e + BITS] & bits and state[e + FROM] < state[e + TO] and state[e + FROM] < start:
                most = min(most, max(0, start - state[e + TO]))
    if state[at + OVERFLOW]:
        fewest = 0
    elif state[at + FORGOTTEN_TO] != NONE:
        fewest = min(fewest, max(0, start - state[at + FORGOTTEN_TO]))
    out[row] = fewest
    out[row + 1] = most


def _most(
    state: list[int],
    first: int,
    last: int,
    key: int,
    start: int,
    end: int,
    counted: int,
    bits: int,
    begin: int,
    to: int,
) -> int:
    """Most different drugs of `counted` on one day of [start, end): tried on its first day and each day one begins."""
    most = 0
    for candidate in range(first - EXPOSURE, last, EXPOSURE):
        day = start if candidate < first else state[candidate + begin]
        if day < start or day >= end:
            continue
        count = 0
        for e in range(first, last, EXPOSURE):
            if (
                state[e + bits] & counted
                and (state[e + KEY] != key or key < 0)
                and state[e + begin] <= day < state[e + to]
            ):
                again = False
                if state[e + KEY] >= 0:
                    for f in range(first, e, EXPOSURE):
                        if (
                            state[f + KEY] == state[e + KEY]
                            and state[f + bits] & counted
                            and state[f + begin] <= day < state[f + to]
                        ):
                            again = True
                            break
                if not again:
                    count += 1
        most = max(most, count)
    return most


def _carry(state: list[int], c: int, start: int, low_days: int, high_days: int, gap: int) -> tuple[int, int, int, int]:
    """(low end, low days, high end, high days) of the chain at `c` with one more supply.

    A supply that starts before the last one known (it became known late) counts by itself on the low rail and with all
    the chain's days on the high rail: bounds, since its place in the chain is lost.
    """
    ordered = start >= state[c + LAST_START]
    low_end = state[c + LOW_END]
    low_total = low_days
    if ordered and low_end != NONE and start <= low_end + gap:
        low_total += state[c + LOW_DAYS]
        low_end = max(low_end, start) + low_days
    else:
        low_end = start + low_days
    high_end = state[c + HIGH_END]
    high_total = high_days
    if high_end != NONE and start <= high_end + gap:
        high_total = _capped(high_total + state[c + HIGH_DAYS])
        old = state[c + OLD_HIGH_END]
        if not ordered and old != NONE and start <= old + gap:
            high_total = ENDLESS
        high_end = _capped(max(high_end, start) + high_days)
    else:
        high_end = _capped(start + high_days)
    return low_end, low_total, high_end, high_total


def _possible_end_before(state: list[int], c: int, start: int) -> int:
    """No supply of the chain at `c` that begins before `start` ends later; NONE if none does begin before it."""
    if start <= state[c + FIRST_START]:
        return NONE
    if start <= state[c + HIGH_START]:
        return state[c + OLD_HIGH_END]
    return state[c + (HIGH_BEFORE if start <= state[c + LAST_START] else HIGH_END)]


def _covered(state: list[int], rail: int, start: int, end: int, gap: int, high: bool) -> int:
    """Days of the class chain at `rail` once [start, end) is added."""
    if state[rail + END] == NONE or start > state[rail + END] + gap:
        return _between(start, end)
    if start < state[rail + LATEST_START]:
        if not high:
            return end - start
        if state[rail + PREVIOUS_END] != NONE and start <= state[rail + PREVIOUS_END] + gap:
            return ENDLESS
        return _capped(state[rail + DAYS] + _between(start, end))
    return _capped(state[rail + DAYS] + max(0, _between(max(start, state[rail + END]), end)))


def _cover(state: list[int], rail: int, start: int, end: int, gap: int, high: bool) -> None:
    """Add [start, end) to the class chain at `rail`."""
    if start < state[rail + LATEST_START] and not high:
        return
    days = _covered(state, rail, start, end, gap, high)
    if state[rail + END] == NONE or start > state[rail + END] + gap:
        state[rail + PREVIOUS_END] = state[rail + END]
        state[rail + START] = start
        state[rail + END] = end
    else:
        state[rail + START] = min(state[rail + START], start)  # earlier, when known late
        state[rail + END] = max(state[rail + END], end)
    state[rail + DAYS] = days
    state[rail + LATEST_START] = max(state[rail + LATEST_START], start)


def _since(state: list[int], low: int, high: int, start: int, gap: int) -> int:
    """Days from the end of the class episode before the one an order at `start` belongs to.

    ENDLESS if there was none; NONE where the two rails do not agree on both days, and so neither can be told.
    """
    if state[high + END] == NONE:
        return ENDLESS
    if start < state[high + LATEST_START]:
        return NONE
    if start > state[high + END] + gap:
        return start - state[high + END] if state[low + END] == state[high + END] else NONE
    if state[low + END] == NONE or start > state[low + END] + gap:
        return NONE
    if state[low + START] != state[high + START] or state[low + PREVIOUS_END] != state[high + PREVIOUS_END]:
        return NONE
    return ENDLESS if state[high + PREVIOUS_END] == NONE else state[high + START] - state[high + PREVIOUS_END]


def _between(start: int, end: int) -> int:
    """Days of [start, end); what has no end has no number of days."""
    return ENDLESS if end == ENDLESS else end - start


def _capped(days: int) -> int:
    return min(days, ENDLESS)
