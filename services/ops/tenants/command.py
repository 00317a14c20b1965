"""`tenants` and `tenants delete`."""

from collections.abc import Sequence
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.text import Text

from schemas.topics import TOPICS
from services.cli import STATUSES, AsJson, confirm, console, exit_with_status
from services.errors import CheckFailed, UsageError
from services.ops.output import Column, present, say, table
from services.ops.settings import OpsSettings, load_settings
from services.ops.tenants.query import delete_tenant, find_own, list_tenants, require_unread
from services.ops.tenants.report import Deleted, TenantFacts

app = typer.Typer()

COLUMNS: tuple[Column[TenantFacts], ...] = (
    Column("tenant", lambda each: each.tenant),
    Column("prefix", lambda each: each.prefix or "(none)"),
    Column("topics", lambda each: f"{each.topics} of {len(TOPICS)}", right=True),
    Column("events, last minute", lambda each: each.events_last_minute, right=True),
    Column("last day", lambda each: each.events_last_day, right=True),
    Column("products", lambda each: each.products, right=True),
    Column("lag", lambda each: each.lag, right=True),
    Column("workers", lambda each: each.members, right=True),
    Column("models", lambda each: _size(each.models_bytes), right=True),
    Column("recommender's disk", lambda each: _size(each.recommender_disk_bytes), right=True),
)


def _size(in_bytes: int | None) -> str | None:
    return None if in_bytes is None else f"{in_bytes / 1e6:,.1f} MB"


@app.callback(invoke_without_command=True, epilog=STATUSES)
def tenants(
    context: typer.Context,
    products: Annotated[
        bool,
        typer.Option(
            "--products/--no-products", help="count products, for which all of each topic products is read"
        ),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """The tenants of the cluster: topics, events, products, how far their workers are behind.

    Ends with 1 when topics of one are missing. Workers are session processors and embedders: ingest and
    recommenders read without a group, so that the broker does not know them. Models are as EDDY_MODEL_STORE
    lists them; the recommender is the one at EDDY_RECOMMENDER_URL. What topics take on disk is told by
    kafka_log_size_bytes and kafka-log-dirs.sh --describe: Kafka's client for Python does not ask for it.

    Example: EDDY_KAFKA_BOOTSTRAP=kafka:9092 python -m services.ops tenants --no-products
    """
    if context.invoked_subcommand is not None:
        return
    with exit_with_status(stopped="looking changes nothing"):
        found = list_tenants(load_settings(), count_products=products)
        present(found, _show, as_json=as_json)
        if torn := [each.tenant for each in found if not each.is_whole]:
            raise CheckFailed(
                f"topics are missing of {', '.join(torn)}: python -m services.ops topics create"
            )


@app.command(epilog=STATUSES)
def delete(
    prefix: Annotated[str, typer.Argument(help="the topic prefix, whole, such as shop-a. with its dot")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a tenant's topics and consumer groups. It cannot be undone: `export` keeps its history.

    Refused while a worker is in its groups, or the ingest or recommender that the settings name serves it.
    Others that serve it cannot be seen from here. What is elsewhere stays, and is named.

    Example: python -m services.ops tenants delete shop-a.
    """
    with exit_with_status(stopped="run it again: what is deleted already is left out"):
        settings = _of(load_settings(), prefix)
        topics = find_own(settings)
        require_unread(settings)
        confirm(
            f"Delete the tenant {settings.tenant} with {len(topics)} topics "
            f"({', '.join(topics)})? Nothing brings them back.",
            yes=yes,
        )
        require_unread(settings)  # a person may have thought for long
        present(delete_tenant(settings, topics), _show_deleted, as_json=as_json)


def _of(settings: OpsSettings, prefix: str) -> OpsSettings:
    """The settings, of this tenant. Raises UsageError for what is no prefix."""
    try:
        type(settings).model_validate({"topic_prefix": prefix})
    except ValidationError as error:
        raise UsageError(f"{prefix!r} is no topic prefix: {error.errors()[0]['msg']}") from None
    return settings.model_copy(update={"topic_prefix": prefix})


def _show(found: Sequence[TenantFacts]) -> None:
    if not found:
        console.print("no tenant: no prefix has at least half of Eddy's topics")
        return
    console.print(table(found, COLUMNS, row_style=lambda each: None if each.is_whole else "red"))
    for each in found:
        if each.missing:
            say(Text(f"{each.tenant} has no {', '.join(each.missing)}", "red"), wrap=True)


def _show_deleted(done: Deleted) -> None:
    groups = f" and the groups {', '.join(done.groups)}" if done.groups else ""
    say(Text(f"deleted: {len(done.topics)} topics of {done.tenant}{groups}", "green"), wrap=True)
    for each in done.left:
        say(Text(f"left, remove it where nobody needs it: {each}"), wrap=True)
