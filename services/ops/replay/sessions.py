"""Sessions byte for byte: the newest of each visitor here and there, and one digest over all.

Of large topics one partition is held in memory at a time: both put a visitor on the same one.
"""

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from typing import Final

from schemas.sessions import Session, decode
from schemas.topics import SESSIONS
from schemas.unreadable import Unreadable
from services.kafka.ranges import HistoryReader, Span, newest_by_key, value_of
from services.ops.replay.figures import Difference, SessionsCompared
from services.ops.replay.source import Seen
from services.progress import Progress

DIFFERENCES_MAX: Final = 20
AT_ONCE: Final = 200_000  # messages of sessions: at most 2 GB, where all are of different visitors

Newest = dict[str, bytes]  # visitor_id → the session's bytes


def newest(reader: HistoryReader, spans: Sequence[Span], progress: Progress) -> Newest:
    """The newest session of each visitor who has one, of some partitions."""
    found = newest_by_key(reader, spans, value_of, progress)
    return {key.decode("utf-8", "replace"): value for key, value in found.items()}


def compare_sessions(
    replayed: HistoryReader, live: HistoryReader, identities: Seen, visitors: Seen, progress: Progress
) -> SessionsCompared:
    """Each replayed visitor's session against the live one. `identities` are those of all replayed events."""
    ours, theirs = replayed.spans(SESSIONS), live.spans(SESSIONS)
    progress.stage("comparing sessions", sum(map(len, [*ours, *theirs])))
    comparison = Comparison()
    for partitions in together([*ours, *theirs]):
        here = newest(replayed, of(ours, partitions), progress)
        there = newest(live, of(theirs, partitions), progress)
        there = {name: raw for name, raw in there.items() if name.encode() in visitors}
        for visitor_id in here.keys() | there.keys():
            raw = here.get(visitor_id)
            kind, what = classify(raw, there.get(visitor_id), identities)
            comparison.count(visitor_id, None if raw is None else sha256(raw).digest(), kind, what)
    return comparison.result()


def together(spans: Sequence[Span], most: int = AT_ONCE) -> list[frozenset[int]]:
    """Partitions that are read together: as many as have so many messages, or one that has more."""
    counts: dict[int, int] = {}
    for span in spans:
        counts[span.partition] = counts.get(span.partition, 0) + len(span)
    groups: list[frozenset[int]] = []
    held = 0
    for partition, count in sorted(counts.items()):
        if groups and held + count <= most:
            groups[-1] |= {partition}
            held += count
        else:
            groups.append(frozenset({partition}))
            held = count
    return groups


def of(spans: Sequence[Span], partitions: Collection[int]) -> list[Span]:
    """The spans of these partitions."""
    return [span for span in spans if span.partition in partitions]


class Comparison:
    """Counts visitors by how their sessions compare."""

    def __init__(self) -> None:
        self._digests: dict[str, bytes] = {}
        self._counts = dict.fromkeys(("equal", "different", "beyond", "missing"), 0)
        self._differences: list[Difference] = []

    def count(self, visitor_id: str, session: bytes | None, kind: str, what: str) -> None:
        """One visitor, with the sha256 of its session, how that compares, and what is different in it."""
        if session is not None:
            self._digests[visitor_id] = session
        self._counts[kind] += 1
        if kind == "different":
            self._differences.append(Difference(visitor_id, what))
            self._differences = sorted(self._differences, key=lambda each: each.visitor_id)[:DIFFERENCES_MAX]

    def result(self) -> SessionsCompared:
        """All that was counted."""
        return SessionsCompared(
            digest=digest(self._digests),
            visitors=len(self._digests),
            differences=tuple(self._differences),
            **self._counts,
        )


def digest(digests: Mapping[str, bytes]) -> str:
    """sha256 over visitors in order, each with the sha256 of its session: equal for equal sessions only."""
    whole = sha256()
    for visitor_id in sorted(digests):
        whole.update(visitor_id.encode() + b"\0" + digests[visitor_id])
    return whole.hexdigest()


def classify(ours: bytes | None, live: bytes | None, identities: Seen) -> tuple[str, str]:
    """equal, different, beyond or missing; and in what they differ."""
    if live is None:
        return "missing", ""
    if ours == live:
        return "equal", ""
    try:
        theirs = decode(live)
    except Unreadable:
        return "different", "live's cannot be read"
    if any(event.identity not in identities for event in theirs.events):
        return "beyond", ""
    try:
        return "different", "only live has a session" if ours is None else difference(decode(ours), theirs)
    except Unreadable:
        return "different", "the replay's cannot be read"


def difference(ours: Session, live: Session) -> str:
    """In what two sessions differ, in words."""
    mine, theirs = set(ours.events), set(live.events)
    if mine != theirs:
        return f"events: {len(mine - theirs)} only in the replay, {len(theirs - mine)} only in live"
    if ours.layout != live.layout:
        return f"layout: {ours.layout or 'none'} in the replay, {live.layout or 'none'} in live"
    if ours.missing != live.missing:
        return "products that had no vector: a product came or went since"
    parts = [name for name in ("vector", "interests") if getattr(ours, name) != getattr(live, name)]
    return f"{' and '.join(parts) or 'bytes'} of the same events: vectors or settings have changed since"


def digests(reader: HistoryReader, progress: Progress) -> dict[str, bytes]:
    """visitor_id → the sha256 of its session: what is kept of all visitors while something happens."""
    spans = reader.spans(SESSIONS)
    progress.stage("reading sessions", sum(map(len, spans)))
    found = (newest(reader, of(spans, partitions), progress) for partitions in together(spans))
    return {visitor_id: sha256(raw).digest() for each in found for visitor_id, raw in each.items()}


def compare_digests(
    before: Mapping[str, bytes], after: Mapping[str, bytes], visitors: Seen
) -> SessionsCompared:
    """The sessions' digests of these visitors before and after something; `missing` had none before."""
    comparison = Comparison()
    for visitor_id in sorted(before.keys() | after.keys()):
        old, new = before.get(visitor_id), after.get(visitor_id)
        if visitor_id.encode() in visitors:
            kind = "equal" if old == new else "missing" if old is None else "different"
            what = "its session is gone" if new is None else "its session is another than before"
            comparison.count(visitor_id, new, kind, what)
    return comparison.result()
