"""What the commands tell of letters, for machines: rows, groups by reason, one letter, what was done."""

import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from schemas.deadletters import Outcome
from services.ops.dead_letters.letter import about
from services.ops.dead_letters.query import Found
from services.ops.dead_letters.verdicts import RequeueVerdict

GROUPS_MAX: Final = 1_000  # kinds of reasons; those beyond are counted together
STAYED_MAX: Final = 1_000  # letters that stayed of which a report says why; the others are counted


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One letter in a list; `failed_at` is Unix ms, `outcome` is null for an open one.

    `count`: for how many identical refusals it stands.
    """

    id: str
    failed_at: int
    service: str
    stage: str
    source: str
    reason: str
    attempts: int
    about: str
    outcome: Outcome | None
    count: int = 1


class Group(msgspec.Struct, kw_only=True):
    """Letters with one kind of reason: what is quoted in it, and its numbers, do not count.

    `refusals`: for how many the letters stand.
    """

    reason: str
    service: str
    stage: str
    count: int
    refusals: int
    first_failed_at: int
    last_failed_at: int
    example: str


class Listed(msgspec.Struct, kw_only=True):
    """The answer of `dlq list --json`: how many letters fit, and the newest of them, oldest first.

    `erased` are left out: they are of visitors who are to be forgotten.
    """

    count: int
    letters: list[Row]
    erased: int = 0


def row_of(found: Found) -> Row:
    """A letter as it is listed."""
    letter = found.letter
    return Row(
        id=str(letter.id),
        failed_at=letter.failed_at,
        service=letter.service,
        stage=letter.stage,
        source=letter.source,
        reason=letter.reason,
        attempts=letter.attempts,
        about=about(letter),
        outcome=found.outcome,
        count=letter.count,
    )


class Newest:
    """Keeps the last few of all letters that go by."""

    def __init__(self, limit: int) -> None:
        self._rows: deque[Row] = deque(maxlen=limit)
        self._limit = limit
        self.count = 0

    def take(self, batch: Sequence[Found]) -> None:
        """Letters in their order."""
        self.count += len(batch)
        self._rows.extend(map(row_of, batch[-self._limit :]))

    def to_list(self, erased: int = 0) -> Listed:
        """Those that were kept; `erased` were left out."""
        return Listed(count=self.count, letters=[*self._rows], erased=erased)


@dataclass(slots=True)
class Groups:
    """Counts letters by reason."""

    _by: dict[tuple[str, str, str], Group] = field(default_factory=dict)

    def take(self, batch: Iterable[Found]) -> None:
        """Letters in any order."""
        for letter in (each.letter for each in batch):
            reason = pattern(letter.reason)
            if (letter.service, letter.stage, reason) not in self._by and len(self._by) >= GROUPS_MAX:
                reason = "other reasons"
            key = (letter.service, letter.stage, reason)
            group = self._by.get(key)
            if group is None:
                self._by[key] = Group(
                    reason=reason,
                    service=letter.service,
                    stage=letter.stage,
                    count=1,
                    refusals=letter.count,
                    first_failed_at=letter.failed_at,
                    last_failed_at=letter.failed_at,
                    example=str(letter.id),
                )
                continue
            group.count += 1
            group.refusals += letter.count
            group.first_failed_at = min(group.first_failed_at, letter.failed_at)
            if letter.failed_at >= group.last_failed_at:
                group.last_failed_at, group.example = letter.failed_at, str(letter.id)

    def largest_first(self) -> list[Group]:
        """All groups."""
        return sorted(self._by.values(), key=lambda each: (-each.count, each.reason))


def pattern(reason: str) -> str:
    """A reason without what differs from letter to letter: quoted texts and numbers."""
    without_addresses = re.sub(r" at 0x[0-9a-fA-F]+", "", reason)  # of letters that are older than this code
    return re.sub(r"[0-9]+", "#", re.sub(r"'[^']*'", "'…'", without_addresses))


class Shown(msgspec.Struct, kw_only=True):
    """The answer of `dlq show --json`. `raw` is text, or `raw_base64` where the bytes are no UTF-8.

    `verdict`: good, or why it would not be put back; null where nobody could be asked (`why` says so).
    """

    letter: Row
    key: str | None
    headers: dict[str, str]
    raw: str | None
    raw_base64: bytes | None
    verdict: str | None
    why: str


def describe(found: Found, judgement: RequeueVerdict | None, why: str) -> Shown:
    """A letter with all that is known of it."""
    letter = found.letter
    text = utf8(letter.raw)
    return Shown(
        letter=row_of(found),
        key=None if letter.key is None else letter.key.decode(errors="replace"),
        headers={name: (value or b"").decode(errors="replace") for name, value in letter.headers},
        raw=text,
        raw_base64=letter.raw if text is None else None,
        verdict=judgement.kind if judgement else None,
        why=why,
    )


class Done(msgspec.Struct, kw_only=True):
    """The answer of `dlq requeue --json` and `dlq drop --json`. `stayed` counts by kind of why; `letters`
    says it for the first 1,000. `refused_again`: these have new letters, with one attempt more.
    """

    requeued: int = 0
    refused_again: int = 0
    dropped: int = 0
    dry_run: bool = False
    stayed: dict[str, int] = {}
    letters: list[dict[str, str]] = []

    @property
    def is_complete(self) -> bool:
        """Whether no letter stays or was refused again."""
        return not (self.stayed or self.refused_again)

    def stays(self, judgement: RequeueVerdict) -> None:
        """One that is not put back."""
        kind = str(judgement.kind)
        self.stayed[kind] = self.stayed.get(kind, 0) + 1
        if len(self.letters) < STAYED_MAX:
            self.letters.append({"id": str(judgement.letter.id), "kind": kind, "why": judgement.why})


def utf8(raw: bytes | None) -> str | None:
    """The text of bytes; None where they are no UTF-8."""
    try:
        return None if raw is None else raw.decode()
    except UnicodeDecodeError:
        return None
