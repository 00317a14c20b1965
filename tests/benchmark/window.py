"""The figures of one window of load at one rate, and whether the rate was held."""

from collections import Counter
from typing import Final, Self

import msgspec
import numpy as np

from tests.benchmark.matches import growth_s, latencies, match_pushes, stages
from tests.benchmark.recording import ACCEPTED, Recording
from tests.benchmark.spread import Spread

HELD_P99_MS: Final = 1000.0
HELD_GROWTH_MS: Final = 100.0


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Times in ms. `cores` is the CPU time of each process over the time it had: 1.0 is one whole core.

    `refused` counts the answers other than 202 by status; 0 is a request without any answer.
    """

    rate: int
    seconds: float
    sent: int
    accepted: int
    refused: dict[str, int]
    coalesced: int
    lost: int
    sockets_lost: int
    event_to_push: Spread
    post: Spread  # first byte → the answer
    stages: dict[str, Spread]
    growth_ms: float
    cores: dict[str, float]

    @classmethod
    def of(cls, rate: int, recording: Recording, cores: dict[str, float]) -> Self:
        """From a recording."""
        events = recording.events
        found = match_pushes(events, recording.pushes, recording.remembered)
        waited = latencies(recording, found)
        accepted = [event for event in events if event.status == ACCEPTED]
        return cls(
            rate=rate,
            seconds=recording.seconds,
            sent=len(events),
            accepted=len(accepted),
            refused=dict(Counter(str(event.status) for event in events if event.status != ACCEPTED)),
            coalesced=int((~found.named & ~found.lost).sum()),
            lost=int(found.lost.sum()),
            sockets_lost=recording.sockets_lost,
            event_to_push=Spread.of(waited),
            post=Spread.of(np.array([event.answered - event.first_byte for event in accepted])),
            stages={name: Spread.of(each) for name, each in stages(recording, found).items()},
            growth_ms=round(growth_s(recording, waited) * 1000, 1),
            cores=cores,
        )

    @property
    def not_held_because(self) -> str | None:
        """Why this rate cannot be held, or None where it was."""
        if self.accepted < self.sent:
            return f"{self.sent - self.accepted} of {self.sent} events were not answered 202: {self.refused}"
        if self.sockets_lost:
            return f"{self.sockets_lost} live sockets were closed"
        if self.lost:
            return f"{self.lost} events were on no page in the end"
        if self.event_to_push.p99 > HELD_P99_MS:
            return f"p99 is {self.event_to_push.p99:.0f} ms, over {HELD_P99_MS:.0f}"
        if self.growth_ms > HELD_GROWTH_MS:
            return f"the backlog grew: the last third waited {self.growth_ms:.0f} ms longer than the first"
        return None
