"""The report of a replay as one HTML file that needs nothing else: figures, plots, and how to read them."""

import os
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from services.history.timerange import TimeRange, shown
from services.ops.replay import plots, telling
from services.ops.replay.answers import ReplayReport

TEMPLATE: Final = "page.html.j2"
READABLE: Final = 0o644


def write_page(report: ReplayReport, path: Path) -> None:
    """Writes the page; what was there before stays until it is whole. Raises PlotsMissing and OSError."""
    written = html(report)
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as part:
        try:
            part.write(written)
            part.flush()
            os.fsync(part.fileno())
            Path(part.name).chmod(READABLE)
            Path(part.name).replace(path)
        except BaseException:
            Path(part.name).unlink(missing_ok=True)
            raise


def html(report: ReplayReport) -> str:
    """The page's text: the same for the same report. Raises PlotsMissing."""
    head, _, rest = report.verdict.partition(":")
    return _template().render(
        report=report,
        times=str(TimeRange(report.asked.since, report.asked.until)),
        made_at=shown(report.created_at),
        asked_for=list(telling.asked_for(report.asked)),
        fed=list(telling.fed(report.fed)),
        sessions=list(telling.sessions(report.sessions)) if report.sessions else [],
        qualities=list(telling.quality_rows(report)) if report.qualities else [],
        pairs=list(telling.pair_rows(report)) if report.compared else [],
        advantage=telling.advantage(report),
        plots=plots.plots(report),
        verdict_head=head,
        verdict_rest=rest.strip(),
    )


@cache
def _template() -> Template:
    folder = Path(__file__).parent
    return Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(TEMPLATE)  # fmt: skip
