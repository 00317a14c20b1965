"""What the commands show of letters: rows, groups by reason, one letter whole. Pure."""

import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.deadletters import Outcome
from services.ops.dead_letters.letter import about
from services.ops.dead_letters.query import Found
from services.ops.dead_letters.requeue import Tally
from services.ops.dead_letters.verdicts import Judgement
from services.time_range import shown

GROUPS_MAX: Final = 1_000  # kinds of reasons; those beyond are counted together
HEX_MAX: Final = 4_096  # bytes of a dump
WIDTH: Final = 16  # bytes of a line of it
STAYED_SHOWN: Final = 20


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One letter in a list; `failed_at` is Unix ms, `outcome` is null for an open one."""

    id: str
    failed_at: int
    service: str
    stage: str
    source: str
    reason: str
    attempts: int
    about: str
    outcome: Outcome | None


class Group(msgspec.Struct, kw_only=True):
    """Letters with one kind of reason: what is quoted in it, and its numbers, do not count."""

    reason: str
    service: str
    stage: str
    count: int
    first_failed_at: int
    last_failed_at: int
    example: str


class Listed(msgspec.Struct, kw_only=True):
    """The answer of `dlq list --json`: how many letters fit, and the newest of them, oldest first."""

    count: int
    letters: list[Row]


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

    def listed(self) -> Listed:
        """Those that were kept."""
        return Listed(count=self.count, letters=[*self._rows])


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
                    first_failed_at=letter.failed_at,
                    last_failed_at=letter.failed_at,
                    example=str(letter.id),
                )
                continue
            group.count += 1
            group.first_failed_at = min(group.first_failed_at, letter.failed_at)
            if letter.failed_at >= group.last_failed_at:
                group.last_failed_at, group.example = letter.failed_at, str(letter.id)

    def largest_first(self) -> list[Group]:
        """All groups."""
        return sorted(self._by.values(), key=lambda each: (-each.count, each.reason))


def pattern(reason: str) -> str:
    """A reason without what differs from letter to letter: quoted texts and numbers."""
    return re.sub(r"[0-9]+", "#", re.sub(r"'[^']*'", "'…'", reason))


def list_table(listed: Listed, *, everything: bool) -> Table:
    """The letters, oldest first."""
    table = Table("id", "failed (UTC)", "by", "stage", "tries", "about", "reason")
    for number in (0, 1):
        table.columns[number].no_wrap = True
    if everything:
        table.add_column("")
    for row in listed.letters:
        state = [row.outcome or "open"] if everything else []
        cells = (row.id, _moment(row.failed_at), row.service, row.stage, str(row.attempts), row.about)
        table.add_row(*map(Text, (*cells, row.reason, *state)))
    return table


def group_table(groups: Sequence[Group]) -> Table:
    """Reasons, the most frequent first."""
    table = Table("letters", "by", "stage", "reason", "last (UTC)", "for example")
    for each in groups:
        cells = (str(each.count), each.service, each.stage, each.reason, _moment(each.last_failed_at))
        table.add_row(*map(Text, (*cells, each.example)))
    return table


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


def shown_letter(found: Found, judgement: Judgement | None, why: str) -> Shown:
    """A letter with all that is known of it."""
    letter = found.letter
    text = _utf8(letter.raw)
    return Shown(
        letter=row_of(found),
        key=None if letter.key is None else letter.key.decode(errors="replace"),
        headers={name: (value or b"").decode(errors="replace") for name, value in letter.headers},
        raw=text,
        raw_base64=letter.raw if text is None else None,
        verdict=judgement.kind if judgement else None,
        why=why,
    )


def show(console: Console, told: Shown, raw: bytes | None) -> None:
    """Prints a letter: its headers, its bytes, what today's code says."""
    row = told.letter
    lines = [f"{row.id}  {row.outcome or 'open'}, tried {row.attempts}×"]
    lines += [f"  {name}: {_header(name, value)}" for name, value in told.headers.items()]
    lines += [f"  key: {told.key}"] if told.key is not None else []
    lines += ["", readable(raw), "", _verdict_sentence(told)]
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def readable(raw: bytes | None) -> str:
    """JSON on several lines, other text as it is, other bytes as a dump."""
    if raw is None:
        return "(no value: a tombstone)"
    try:
        return msgspec.json.format(raw.decode(), indent=2)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = _utf8(raw)
    is_text = text is not None and all(line.isprintable() for line in re.split(r"[\n\r\t]", text))
    return text if text is not None and is_text else hex_dump(raw)


def hex_dump(raw: bytes) -> str:
    """Offset, bytes and what of them is ASCII, as `hexdump -C` has it."""
    lines = []
    for at in range(0, min(len(raw), HEX_MAX), WIDTH):
        piece = raw[at : at + WIDTH]
        plain = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
        lines.append(f"{at:08x}  {piece.hex(' '):<{WIDTH * 3 - 1}}  |{plain}|")
    if len(raw) > HEX_MAX:
        lines.append(f"… {len(raw) - HEX_MAX} more bytes")
    return "\n".join(lines)


def _verdict_sentence(told: Shown) -> str:
    if told.verdict is None:
        return f"whether it would be taken today is not known: {told.why}"
    if told.verdict == "good":
        return f"it would be taken today: dlq requeue {told.letter.id}"
    return f"it would not be put back ({told.verdict}): {told.why}"


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


def done_of(tally: Tally, *, dry_run: bool = False) -> Done:
    """What was done, for machines."""
    return Done(
        requeued=tally.requeued,
        refused_again=tally.again,
        dropped=tally.dropped,
        dry_run=dry_run,
        stayed={str(kind): count for kind, count in tally.kinds.items()},
        letters=[{"id": str(each.letter.id), "kind": each.kind, "why": each.why} for each in tally.stayed],
    )


def print_done(console: Console, done: Done) -> None:
    """What was done, for people."""
    would = "would be " if done.dry_run else ""
    console.print(Text(f"{done.requeued:,} {would}requeued, {sum(done.stayed.values()):,} stay"))
    if done.refused_again:
        console.print(Text(f"{done.refused_again:,} were refused again: they have new letters"))
    for each in done.letters[:STAYED_SHOWN]:
        console.print(Text(f"  {each['id']} ({each['kind']}): {each['why']}"), soft_wrap=True)
    if sum(done.stayed.values()) > STAYED_SHOWN:
        counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(done.stayed.items()))
        console.print(Text(f"  … in all {counts}"))


def _header(name: str, value: str) -> str:
    is_time = name.endswith("_at") and value.isdecimal() and len(value) <= 13
    return f"{value} ({shown(int(value))})" if is_time else value


def _moment(time_ms: int) -> str:
    return shown(time_ms).removesuffix("+00:00")


def _utf8(raw: bytes | None) -> str | None:
    try:
        return None if raw is None else raw.decode()
    except UnicodeDecodeError:
        return None
