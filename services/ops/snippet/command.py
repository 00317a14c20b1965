"""`snippet`."""

from typing import Annotated

import typer
from rich.text import Text

from services.cli import AsJson, exit_with_status
from services.errors import CheckFailed
from services.ops.doctor.command import show_findings
from services.ops.output import present, say
from services.ops.services import url_of
from services.ops.settings import load_settings
from services.ops.snippet import query
from services.ops.snippet.report import Report, write_page


def snippet(
    origin: Annotated[str, typer.Option(help="where the shop's pages are: https://shop.example")],
    ingest: Annotated[
        str | None, typer.Option(metavar="URL", help="where browsers find ingest (default: EDDY_INGEST_URL)")
    ] = None,
    recommender: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="where browsers find the recommender (default: EDDY_RECOMMENDER_URL)"
        ),
    ] = None,
    modules: Annotated[
        str, typer.Option(metavar="PATH", help="where the shop serves the files of storefront/")
    ] = "/eddy/",
    as_json: AsJson = False,
) -> None:
    """The lines for a shop's page, and whether they would work there.

    Asks as a browser on such a page does: a visitor's token of ingest, a row of the recommender, a live row,
    and whether both let pages of that origin call. Of each that fails it says which setting of which service
    to change. A visitor without any event is left behind. Ends with 1 when the page would have no row.

    Example: python -m services.ops snippet --origin https://shop.example --recommender https://eddy.example
    """
    with exit_with_status(stopped="nothing was changed"):
        settings = load_settings()
        where = {"ingest": ingest, "recommender": recommender}
        urls = {name: (url or url_of(settings, name)).rstrip("/") for name, url in where.items()}
        page_origin = query.parse_origin(origin)
        report = Report(
            origin=page_origin,
            html=write_page(urls["ingest"], urls["recommender"], modules),
            findings=query.examine(page_origin, urls["ingest"], urls["recommender"]),
            **urls,
        )
        present(report, _show, as_json=as_json)
        bad = [finding.check for finding in report.findings if finding.state == "bad"]
        if bad:
            raise CheckFailed(f"these lines would show nothing on {page_origin}: {', '.join(bad)}")


def _show(report: Report) -> None:
    say(report.html)
    say(Text())
    show_findings(report.findings)
