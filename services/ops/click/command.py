"""`click`."""

from typing import Annotated

import typer

from services.cli import AsJson, exit_with_status
from services.ops.click.query import Click, send_click
from services.ops.output import present, say
from services.ops.services import url_of
from services.ops.settings import load_settings


def click(
    product: Annotated[
        str | None, typer.Option(metavar="ID", help="what is clicked on (default: the row's first product)")
    ] = None,
    within: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="how long the page waits")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Send one click from a page of our own, and wait until that page is told what follows from it.

    Takes a visitor's token, opens a live row, sends a view_item to ingest and waits for the push that it
    causes; then the visitor is erased, with that token. So a shop that is in use may be asked, too. Needs no
    key. `helm test` runs it. Ends with 1 when the page is not told in time, or has nothing to click on.

    Example: python -m services.ops click --within 5
    """
    with exit_with_status(stopped="the visitor of the click may be left behind"):
        settings = load_settings()
        found = send_click(url_of(settings, "ingest"), url_of(settings, "recommender"), within, product)
        present(found, _show, as_json=as_json)


def _show(found: Click) -> None:
    say(
        f"{found.visitor_id} clicked on {found.product_id}: the page was told after {found.pushed_ms:,.1f} ms"
    )
    folded = "" if found.folded_ms is None else f", the session computed {found.folded_ms:,.1f} ms later"
    say(f"  taken by ingest after {found.accepted_ms:,.1f} ms{folded}")
    say(f"  {len(found.items)} products follow; the visitor is erased again")
