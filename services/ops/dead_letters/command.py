"""`dlq list`, `show`, `requeue` and `drop`."""

from collections.abc import Iterator
from enum import StrEnum
from functools import partial
from typing import Annotated, Final

import typer

from schemas.deadletters import LetterId
from services import time_range
from services.cli import AsJson, confirm, exit_with_status, progress_console
from services.clock import now_ms
from services.errors import UsageError
from services.kafka.ranges import open_reader
from services.kafka.writer import open_writer
from services.ops.dead_letters import render
from services.ops.dead_letters.ingest import connect
from services.ops.dead_letters.letter import DeadLetter, NoSuchLetter, Selection, find_erased_visitor
from services.ops.dead_letters.query import DeadLetterRange, Readers, find_range, letters, one
from services.ops.dead_letters.report import Done, Groups, Newest, describe
from services.ops.dead_letters.requeue import RequeueRun, mark, open_letters
from services.ops.dead_letters.verdicts import RequeuePolicy, RequeueVerdict
from services.ops.output import present, say
from services.ops.services import Unanswered
from services.ops.settings import OpsSettings, load_settings
from services.progress import Progress, create_progress
from services.time_range import TimeRange
from services.visitors import erasure
from services.visitors.erasure import Erasures


class Which(StrEnum):
    """The topics of dead letters, for the command line."""

    EVENTS = "events"
    PRODUCTS = "products"


Ids = Annotated[list[str] | None, typer.Argument(help="letters, such as events.dlq/0/17", show_default=False)]
Of = Annotated[Which | None, typer.Option("--topic", help="only letters of this topic")]
Reason = Annotated[str | None, typer.Option(help="only with this text in the reason, in any case")]
Service = Annotated[str | None, typer.Option(help="only of ingest, session_processor or embedder")]
Stage = Annotated[str | None, typer.Option(help="only of this stage: decode, validate, size, picture, …")]
Since = Annotated[
    str | None,
    typer.Option("--from", help="written when or later: 2026-11-24, 2026-11-24T12:00 (UTC), 7d, 12h"),
]
Until = Annotated[str | None, typer.Option("--to", help="written before then; else up to now")]
AllOpen = Annotated[bool, typer.Option("--all-open", help="every open letter, where nothing else is named")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]


def _select(  # noqa: PLR0917 - the options of a command
    ids: list[str] | None,
    topic: Which | None,
    reason: str | None,
    service: str | None,
    stage: str | None,
    since: str | None,
    until: str | None,
    *,
    all_open: bool,
) -> tuple[Selection, TimeRange]:
    """What a command is to work on. Raises UsageError where nothing is named."""
    if not (ids or topic or reason or service or stage or since or until or all_open):
        raise UsageError("name letters by id or by filters, or say --all-open")
    selection = Selection.of(ids or [], topic, reason, service, stage)
    return selection, time_range.parse_range(since, until, int(now_ms()), ("--from", "--to"))


ATTEMPTS_MAX: Final = 3  # with the first
AGAIN: Final = "what was marked stays handled; run it again for the rest"

app = typer.Typer(
    help="Dead letters: what the services refused, with the reason.",
    epilog="Status 0: all done. 1: some letters stay, or were refused again. 2: it cannot be done, and why "
    "is said. 130, 143: stopped; run it again.",
    no_args_is_help=True,
)


@app.command("list")
def list_(  # noqa: PLR0917 - typer knows them by name
    topic: Of = None,
    reason: Reason = None,
    service: Service = None,
    stage: Stage = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="the newest so many")] = 50,
    everything: Annotated[bool, typer.Option("--all", help="also those requeued and dropped")] = False,
    by_reason: Annotated[bool, typer.Option("--by-reason", help="count them by reason")] = False,
    as_json: AsJson = False,
) -> None:
    """The open letters, oldest first: neither requeued nor dropped, nor of visitors who are to be forgotten.

    Example: python -m services.ops dlq list --topic events --from 7d --by-reason
    """
    with exit_with_status(stopped="a list changes nothing"):
        selection = Selection.of([], topic, reason, service, stage)
        times = time_range.parse_range(since, until, int(now_ms()), ("--from", "--to"))
        newest, groups = Newest(limit), Groups()
        readers = partial(open_reader, load_settings())
        erasures, erased = _erasures(readers), 0
        with create_progress(progress_console) as progress:
            for each in _letter_ranges(readers, selection, times, progress):
                if len(each):
                    progress.stage(f"reading {each.topic.name}", len(each))
                for read, found in letters(readers, each, selection, everything=everything):
                    shown = [one for one in found if find_erased_visitor(one.letter, erasures) is None]
                    erased += len(found) - len(shown)
                    (groups if by_reason else newest).take(shown)
                    progress.advance(read)
        if by_reason:
            present(groups.largest_first(), partial(render.show_groups, erased=erased), as_json=as_json)
        else:
            listed = newest.to_list(erased)
            present(listed, partial(render.show_list, everything=everything), as_json=as_json)


@app.command()
def show(
    letter: Annotated[str, typer.Argument(help="the letter, such as events.dlq/0/17")],
    as_json: AsJson = False,
) -> None:
    """One letter: headers, bytes, and whether it would be taken today. Letters that came by HTTP are shown to
    ingest, which writes nothing. One of a visitor who is to be forgotten is not shown.

    Example: python -m services.ops dlq show events.dlq/0/17
    """
    with exit_with_status(stopped="to look changes nothing"):
        at = load_settings()
        readers = partial(open_reader, at)
        with create_progress(progress_console) as progress:
            found = one(readers, Selection.of([letter]), progress)
            erasures = _erasures(readers)
            judge = RequeuePolicy(readers, erasures, attempts_max=ATTEMPTS_MAX)
            is_erased = find_erased_visitor(found.letter, erasures) is not None
            judgement, why = (None, "") if is_erased else _judge(at, judge, found.letter)
        if is_erased or (judgement and judgement.kind == "erased"):
            raise NoSuchLetter(
                f"{letter} is of a visitor who is to be forgotten, so it is not shown: dlq drop --erased"
            )
        answer = describe(found, judgement, why)
        present(answer, partial(render.show, raw=found.letter.raw), as_json=as_json)


@app.command()
def requeue(  # noqa: PLR0917 - typer knows them by name
    ids: Ids = None,
    topic: Of = None,
    reason: Reason = None,
    service: Service = None,
    stage: Stage = None,
    since: Since = None,
    until: Until = None,
    all_open: AllOpen = False,
    attempts_max: Annotated[
        int, typer.Option(min=1, max=1_000, help="leave those that have failed so often")
    ] = ATTEMPTS_MAX,
    as_is: Annotated[
        bool,
        typer.Option(
            "--as-is",
            help="without a look whether today's code takes them: for workers newer than this command. Too "
            "many bad ones in a row stop a worker (EDDY_BAD_EVENTS_IN_A_ROW)",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would become of them")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Put open letters back: on their topic, or through ingest where they came by HTTP.

    They keep their event_id, bytes and time. What today's code would refuse stays as it is, and so does what
    is of erased visitors, was overtaken by newer products, or has failed too often.

    Example: python -m services.ops dlq requeue --reason "invalid enum value" --from 7d --dry-run
    """
    with exit_with_status(stopped=AGAIN):
        at = load_settings()
        selection, times = _select(ids, topic, reason, service, stage, since, until, all_open=all_open)
        readers = partial(open_reader, at)
        piles, count = _count(readers, selection, times, needed=not (yes or dry_run))
        confirm(f"Requeue {count:,} letters?", yes=yes or dry_run or not count)
        judge = RequeuePolicy(readers, _erasures(readers), attempts_max=attempts_max, as_is=as_is)
        with (
            create_progress(progress_console) as progress,
            open_writer(at) as writer,
            RequeueRun(at, judge, writer, dry_run=dry_run) as requeuing,
        ):
            for some in open_letters(readers, piles, selection, progress, "requeuing from"):
                requeuing.take(some)
        present(requeuing.done, render.show_done, as_json=as_json)
        if not requeuing.done.is_complete:
            raise typer.Exit(1)


@app.command()
def drop(  # noqa: PLR0917 - typer knows them by name
    ids: Ids = None,
    topic: Of = None,
    reason: Reason = None,
    service: Service = None,
    stage: Stage = None,
    since: Since = None,
    until: Until = None,
    all_open: AllOpen = False,
    of_erased: Annotated[
        bool, typer.Option("--erased", help="only letters of visitors who are to be forgotten")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Mark open letters as not wanted: they are neither listed nor requeued again, and age out.

    Example: python -m services.ops dlq drop --stage size --from 30d --yes
    """
    with exit_with_status(stopped=AGAIN):
        at, done = load_settings(), Done()
        selection, times = _select(
            ids, topic, reason, service, stage, since, until, all_open=all_open or of_erased
        )
        readers = partial(open_reader, at)
        erasures = _erasures(readers)
        piles, count = _count(readers, selection, times, needed=not yes)
        whose = ", as far as they are of erased visitors" if of_erased else ""
        confirm(f"Drop {count:,} letters{whose}?", yes=yes or not count)
        with create_progress(progress_console) as progress, open_writer(at, at_once=True) as writer:
            for some in open_letters(readers, piles, selection, progress, "dropping from"):
                wanted = [each for each in some if not of_erased or find_erased_visitor(each, erasures)]
                mark(at, writer, wanted, "dropped")
                done.dropped += len(wanted)
        present(done, lambda _done: say(f"{done.dropped:,} dropped", wrap=True), as_json=as_json)


def _letter_ranges(
    readers: Readers, selection: Selection, times: TimeRange, progress: Progress
) -> Iterator[DeadLetterRange]:
    for topic in selection.topics:
        yield find_range(readers, topic, selection, times, progress)


def _count(
    readers: Readers, selection: Selection, times: TimeRange, *, needed: bool
) -> tuple[list[DeadLetterRange], int]:
    """The letters that are meant, as they lie now, and how many are open, where that is needed.

    Raises NoSuchLetter where an id that was named is not open.
    """
    count, seen = 0, set[LetterId]()
    with create_progress(progress_console) as progress:
        piles = list(_letter_ranges(readers, selection, times, progress))
        if not needed and not selection.ids:
            return piles, 0
        for some in open_letters(readers, piles, selection, progress, "counting letters of"):
            count += len(some)
            if selection.ids:
                seen |= {each.id for each in some}
    if lacking := sorted(selection.ids - seen):
        raise NoSuchLetter(f"no open letter lies at {', '.join(map(str, lacking))}: see `dlq list --all`")
    return piles, count


def _erasures(readers: Readers) -> Erasures:
    with readers() as reader:
        return erasure.read(reader)


def _judge(at: OpsSettings, judge: RequeuePolicy, letter: DeadLetter) -> tuple[RequeueVerdict | None, str]:
    """What would be said of a letter, or why nobody can say it."""
    if not letter.came_by_http:
        [judgement] = judge.on_topic([letter])
    else:
        try:
            with connect(at.ingest_url, at.api_key) as ingest:
                [judgement] = judge.by_http([letter], ingest)
        except Unanswered as error:
            return None, str(error)
    return judgement, judgement.why
