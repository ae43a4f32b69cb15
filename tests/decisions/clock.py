"""A clock that is set by hand."""

NOON = 1_795_608_000 * 1_000_000_000  # 2026-11-25 12:00 UTC


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> int:
        return self.now
