"""How often a caller may ask, against a bucket that is filled drop by drop."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from safety_service.access import rates
from safety_service.access.rates import Rates


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Bucket:
    """The definition: `burst` at first, one more each interval, never more than `burst`."""

    def __init__(self, per_second: int, burst: int) -> None:
        self.per_second, self.burst, self.held = per_second, burst, float(burst)

    def pass_by(self, seconds: float) -> None:
        self.held = min(self.burst, self.held + seconds * self.per_second)

    def take(self) -> bool:
        if self.held < 1 - 1e-6:
            return False
        self.held -= 1
        return True


STEPS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), min_size=1, max_size=60)


@given(st.integers(1, 8), st.integers(1, 6), STEPS)
def test_a_caller_has_what_a_bucket_holds(per_second: int, burst: int, steps: Sequence[tuple[int, int]]) -> None:
    clock, bucket = Clock(), Bucket(per_second, burst)
    held = Rates(per_second, burst, clock)
    for eighths, more in steps:
        clock.now += eighths / 8
        bucket.pass_by(eighths / 8)
        wait = held.take("a")
        assert (wait == 0) == bucket.take()
        if wait == 0:
            held.owe("a", more)
            bucket.held -= more
        else:
            clock.now += wait
            bucket.pass_by(wait)
            assert held.take("a") == 0, "after the wait it was told there is one"
            assert bucket.take()


def test_callers_have_buckets_of_their_own() -> None:
    held = Rates(1, 1, Clock())
    assert held.take("a") == 0
    assert held.take("a") == 1
    assert held.take("b") == 0


def test_without_a_limit_there_is_none() -> None:
    held = Rates(0, 1, Clock())
    held.owe("a", 1000)
    assert all(held.take("a") == 0 for _ in range(1000))
    assert not held._full_at


def test_callers_that_ask_no_more_are_forgotten(monkeypatch: object) -> None:
    clock = Clock()
    held = Rates(1, 1, clock)
    most = rates._MOST
    for i in range(most):
        held.take(str(i))
    assert len(held._full_at) == most
    clock.now += 10
    held.take("one more")
    assert len(held._full_at) == 1

    for i in range(most + 1):
        held.take(str(i))
    assert len(held._full_at) <= most, "nor does it grow when all of them do"
