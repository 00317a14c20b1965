"""A clock that is set by hand: tests of time never wait for it."""


class Clock:
    """Stands still, in seconds, until a test sets `now` or something sleeps on it."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Lets the time pass at once."""
        self.now += seconds
