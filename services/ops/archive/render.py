"""What exports and imports come to, for people."""

from collections.abc import Iterable

from schemas.topics import Topic
from services.archive.exporter import ExportReport, ExportResult
from services.archive.importer import ImportReport
from services.archive.manifest import Piece
from services.ops.output import say
from services.visitors.erasure import Erasures


def of_export(
    exported: ExportResult, url: str, topic: str, erasures: Erasures, seconds: float
) -> ExportReport:
    """The report of an export."""
    made = exported.made
    files = made.files if made else ()
    return ExportReport(
        url=url,
        topic=topic,
        export_id=made.export_id if made else None,
        manifest=exported.location,
        messages=made.count if made else 0,
        digest=made.digest if made else "0" * 32,
        files=len(files),
        days=len({file.name.partition("/")[0] for file in files}),
        bytes=sum(file.size for file in files),
        erased=made.erased if made else 0,
        unreadable_erasures=erasures.unreadable,
        already=exported.already,
        strays=exported.strays,
        archive_messages=sum(each.count for each in exported.before) + (made.count if made else 0),
        seconds=round(seconds, 2),
    )


def show_export(report: ExportReport) -> None:
    """Some lines on a terminal."""
    if report.export_id is None:
        had = f"{report.url} has all {report.already:,} messages of the range already"
        say(f"nothing new: {had if report.already else f'{report.topic} holds none of the range'}")
    else:
        say(
            f"exported {report.messages:,} messages of {report.topic} to {report.url}: "
            f"{report.bytes / 1e6:,.1f} MB in {report.seconds:.1f} s (days: {report.days}, "
            f"files: {report.files:,})",
        )
        say(f"digest {report.digest}, manifest {report.manifest}")
        if report.already:
            say(f"passed over: {report.already:,} messages that the archive has already")
    _print_omissions(report.erased, report.unreadable_erasures)
    if report.strays:
        say(
            f"{report.strays:,} files there belong to no finished export: one that runs on another machine, "
            "or was killed there; nobody reads them",
        )
    say(f"the archive holds {report.archive_messages:,} messages of {report.topic}")


def show_import(report: ImportReport) -> None:
    """Some lines on a terminal."""
    resumed = f", {report.resumed_at:,} of them before it was stopped" if report.resumed_at else ""
    say(
        f"imported {report.written:,} messages from {report.url} to {report.topic} "
        f"in {report.seconds:.1f} s{resumed}",
    )
    _print_omissions(report.erased, report.unreadable_erasures)
    agree = "agree" if report.agrees else "DO NOT AGREE"
    say(f"count and digest {agree}:")
    say(f"  manifests  {report.archive_messages:>12,}  {report.archive_digest}")
    say(f"  read       {report.read:>12,}  {report.digest}")
    say(f"  written    {report.written:>12,}  {report.written_digest}")
    if report.past_retention:
        say(
            f"{report.past_retention:,} of them are older than {report.topic} keeps messages: the broker "
            "will delete them soon. Trainer and replay read an archive without importing it",
        )


def past_retention(topic: Topic, pieces: Iterable[Piece], now_ms: float) -> int:
    """How many messages lie in files that are wholly older than the topic's retention; by files, about."""
    if topic.retention_ms is None:
        return 0
    return sum(piece.file.rows for piece in pieces if piece.file.latest < now_ms - topic.retention_ms)


def _print_omissions(erased: int, unreadable: int) -> None:
    if erased:
        say(f"left out: {erased:,} messages of erased visitors")
    if unreadable:
        say(f"{unreadable:,} erasures could not be read: they count up to when they were sent")
