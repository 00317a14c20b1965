"""What the commands show of letters to people: tables, one letter with its bytes, what was done."""

import re
from collections.abc import Sequence
from typing import Final

import msgspec
from rich.text import Text

from services.cli import console
from services.ops.dead_letters.report import Done, Group, Listed, Row, Shown, utf8
from services.ops.output import Column, say, table
from services.time_range import format_time

HEX_MAX: Final = 4_096  # bytes of a dump
WIDTH: Final = 16  # bytes of a line of it
STAYED_SHOWN: Final = 20


LETTERS: Final[tuple[Column[Row], ...]] = (
    Column("id", lambda row: row.id, no_wrap=True),
    Column("failed (UTC)", lambda row: _moment(row.failed_at), no_wrap=True),
    Column("by", lambda row: row.service),
    Column("stage", lambda row: row.stage),
    Column("tries", lambda row: row.attempts),
    Column("about", lambda row: row.about),
    Column("reason", lambda row: row.reason),
)
TIMES: Final[Column[Row]] = Column("refused", lambda row: f"{row.count:,}×")
STATE: Final[Column[Row]] = Column("", lambda row: row.outcome or "open")
GROUPS: Final[tuple[Column[Group], ...]] = (
    Column("letters", lambda group: str(group.count)),
    Column("by", lambda group: group.service),
    Column("stage", lambda group: group.stage),
    Column("reason", lambda group: group.reason),
    Column("last (UTC)", lambda group: _moment(group.last_failed_at)),
    Column("for example", lambda group: group.example),
)
REFUSALS: Final[Column[Group]] = Column("refusals", lambda group: group.refusals)


def show_list(listed: Listed, *, everything: bool) -> None:
    """The letters, oldest first."""
    kind = "letters" if everything else "open letters"
    _tell_erased(listed.erased)
    if not listed.letters:
        console.print(f"there are no {kind}")
        return
    sampled = (TIMES,) if any(row.count > 1 for row in listed.letters) else ()
    console.print(table(listed.letters, (*LETTERS, *sampled, *((STATE,) if everything else ()))))
    if listed.count > len(listed.letters):
        newest = f"the newest {len(listed.letters):,} of {listed.count:,} {kind}"
        console.print(f"{newest} (--limit, --by-reason)", highlight=False)


def _tell_erased(count: int) -> None:
    if count:
        whose = "of visitors who are to be forgotten are left out: dlq drop --erased"
        console.print(f"{count:,} letters {whose}", highlight=False)


def show_groups(groups: Sequence[Group], *, erased: int = 0) -> None:
    """Reasons, the most frequent first."""
    _tell_erased(erased)
    sampled = (REFUSALS,) if any(group.refusals > group.count for group in groups) else ()
    console.print(table(groups, (*GROUPS, *sampled)) if groups else "there are no such letters")


def show(told: Shown, raw: bytes | None) -> None:
    """Prints a letter: its headers, its bytes, what today's code says."""
    row = told.letter
    lines = [f"{row.id}  {row.outcome or 'open'}, tried {row.attempts}×"]
    lines += [f"  {name}: {_header(name, value)}" for name, value in told.headers.items()]
    lines += [f"  key: {told.key}"] if told.key is not None else []
    lines += ["", readable(raw), "", _verdict_sentence(told)]
    for line in lines:
        say(Text(line))


def readable(raw: bytes | None) -> str:
    """JSON on several lines, other text as it is, other bytes as a dump."""
    if raw is None:
        return "(no value: a tombstone)"
    try:
        return msgspec.json.format(raw.decode(), indent=2)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = utf8(raw)
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


def show_done(done: Done) -> None:
    """What was done, for people."""
    would = "would be " if done.dry_run else ""
    say(Text(f"{done.requeued:,} {would}requeued, {sum(done.stayed.values()):,} stay"), wrap=True)
    if done.refused_again:
        say(Text(f"{done.refused_again:,} were refused again: they have new letters"), wrap=True)
    for each in done.letters[:STAYED_SHOWN]:
        say(Text(f"  {each['id']} ({each['kind']}): {each['why']}"))
    if sum(done.stayed.values()) > STAYED_SHOWN:
        counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(done.stayed.items()))
        say(Text(f"  … in all {counts}"), wrap=True)


def _header(name: str, value: str) -> str:
    is_time = name.endswith("_at") and value.isdecimal() and len(value) <= 13
    return f"{value} ({format_time(int(value))})" if is_time else value


def _moment(time_ms: int) -> str:
    return format_time(time_ms).removesuffix("+00:00")
