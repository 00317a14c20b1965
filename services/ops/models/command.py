"""`models list` and `models rollback`."""

from functools import partial
from typing import Annotated, Final

import msgspec
import typer

from schemas.models import ModelRelease, Released
from services.cli import STATUSES, AsJson, confirm, console, exit_with_status
from services.errors import CheckFailed
from services.model import releases
from services.model.releases import ReleaseRefused
from services.model.store import ModelStore
from services.ops.models import query
from services.ops.models.query import Version, Versions
from services.ops.output import Column, present, say, table
from services.ops.services import Recommender, Unanswered
from services.ops.settings import OpsSettings, load_settings
from services.time_range import format_time

WAIT_S: Final = 30.0
BY_HAND: Final = "To a version that an operator named."
STYLES: Final = {"released": "green", "previous": "cyan"}

app = typer.Typer(
    help="Models: the versions of the store, which one is released, and the way back.",
    epilog=STATUSES,
    no_args_is_help=True,
)


class RollbackReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a rollback came to, for machines. `served` is None where nobody was asked, or nobody answered."""

    release: ModelRelease | None
    was: str
    now: str
    served: bool | None
    note: str | None = None


@app.command("list")
def list_(
    verify: Annotated[bool, typer.Option("--verify", help="read every byte of every version")] = False,
    as_json: AsJson = False,
) -> None:
    """The versions in the model store, 1 the oldest, and which is released. Status 1: one of them is broken.

    HR@20 and MRR@20 were measured on the day that a version did not learn from. Without --verify files are
    missed and told by their sizes only.

    Example: python -m services.ops models list
    """
    with exit_with_status(stopped="nothing was changed"):
        found = _versions(load_settings(), verify=verify)
        present(found, _show, as_json=as_json)
        broken = [each for each in found.versions if each.broken]
        if broken:
            raise CheckFailed("\n".join(f"{each.version} is broken: {each.broken}" for each in broken))


@app.command()
def rollback(
    to: Annotated[
        str | None, typer.Option("--to", metavar="VERSION", help="a version or number of `models list`")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    wait_s: Annotated[
        float, typer.Option("--wait", min=0, max=600, help="seconds to wait for the recommender; 0 for none")
    ] = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Tell all services to serve what was released before, or another version of the store.

    Every byte of it is verified first. A second rollback without --to takes the first one back. Then the
    recommender is waited for: status 1 where it does not serve that version in time, or does not answer. The
    release stands all the same.

    Example: python -m services.ops models rollback --to 3 --yes
    """
    with exit_with_status(stopped="look at `models list` for what is released"):
        found = load_settings()
        current = releases.current(found, found.model_name)
        before = releases.before(found.model_name, current) if to is None else None
        target = before or _find(found, to or "", current)
        assert current is not None
        if (target.version, target.digest) == (current.version, current.digest):
            release = None
        else:
            confirm(f"{current.name}: let {current.version} give way to {target.version}?", yes=yes)
            reasons = () if to is None else (BY_HAND,)
            release = releases.roll_back(found, current, target, found.ops_datadir, *reasons)
        done = _await_service(found, release, current, target, wait_s)
        present(done, partial(_show_rollback, found.model_name), as_json=as_json)
        if wait_s and not done.served:
            raise CheckFailed(done.note or "")


def _versions(found: OpsSettings, *, verify: bool) -> Versions:
    newest = releases.newest_by_name(found)
    warnings: list[str] = []
    try:
        release = releases.read(found, newest, found.model_name)
    except ReleaseRefused as error:
        release = None
        warnings.append(str(error))
    models = ModelStore(found.tenant_store, found.model_name)
    versions = query.list_versions(models, release, work=found.ops_datadir if verify else None)
    there = {each.location for each in versions}
    remembered = {"released": release.released, "previous": release.previous} if release else {}
    for what, version in remembered.items():
        if version is not None and version.location not in there:
            warnings.append(
                f"the {what} {version.version} lies elsewhere, or nowhere any more: {version.location}"
            )
    served = None
    try:
        with Recommender(found) as recommender:
            served = recommender.version_of(found.model_name)
    except Unanswered as error:
        warnings.append(str(error))
    return Versions(
        name=found.model_name,
        store=models.location(""),
        versions=versions,
        released=release.version if release else None,
        previous=release.previous.version if release and release.previous else None,
        served=served,
        lines=query.lines(newest, found.model_name),
        warnings=tuple(warnings),
    )


def _find(found: OpsSettings, wanted: str, current: ModelRelease | None) -> Released:
    """A version of the store by number or name. Raises ReleaseRefused."""
    if current is None:
        raise ReleaseRefused(
            f"no {found.model_name} is released, so there is nothing to go back from: "
            "`python -m services.trainer release`"
        )
    models = ModelStore(found.tenant_store, found.model_name)
    names = query.names(models)
    numbered = {str(number): name for number, name in enumerate(names, start=1)}
    name = numbered.get(wanted, wanted)
    if name not in names:
        raise ReleaseRefused(f"there is no version {wanted} in {models.location('')}: see `models list`")
    manifest, digest = models.manifest(name)
    if manifest.version != name:
        raise ReleaseRefused(f"{models.location(name)} holds {manifest.version}, not what it is called")
    for known in (current.released, current.previous):
        if known is not None and known.version == name and known.digest != digest:
            raise ReleaseRefused(
                f"{models.location(name)} is not what was released: its manifest has changed"
            )
    return Released(name, models.location(name), digest)


def _await_service(
    found: OpsSettings, release: ModelRelease | None, current: ModelRelease, target: Released, wait_s: float
) -> RollbackReport:
    served: bool | None = None
    note: str | None = None
    if wait_s:
        try:
            with Recommender(found) as recommender:
                served = recommender.serves(found.model_name, target.version, wait_s)
            if not served:
                note = (
                    f"the recommender at {found.recommender_url} did not serve {target.version} within "
                    f"{wait_s:g} s: its log says why"
                )
        except Unanswered as error:
            note = f"whether {target.version} serves is not known: {error}"
    return RollbackReport(release=release, was=current.version, now=target.version, served=served, note=note)


def _show_rollback(name: str, done: RollbackReport) -> None:
    if done.release is None:
        console.print(f"{name} {done.now} is released already", highlight=False)
    else:
        reasons = " ".join(done.release.gate.reasons)
        say(f"released {name} {done.now} again. {reasons}", wrap=True)
    if done.served:
        say("the recommender serves it", wrap=True)


def _show(found: Versions) -> None:
    say(f"{found.name} in {found.store}: {len(found.versions)} versions")
    if found.versions:
        console.print(table(found.versions, COLUMNS, row_style=_style))
    serves = f"; the recommender serves {found.served}" if found.served else ""
    say(f"released: {found.released or 'none'}{serves}", wrap=True)
    for line in found.lines:
        release = f"cannot be read: {line.unreadable}" if line.unreadable else f"{line.version} ({line.gate})"
        say(f"another line of releases, {line.name}: {release}", wrap=True)
    for warning in found.warnings:
        say(f"! {warning}", "yellow")


def _style(each: Version) -> str | None:
    return "red" if each.broken else STYLES.get(each.state)


def _training_range(each: Version) -> str:
    counts = ", ".join(f"{count:,} {what}" for what, count in each.counts.items())
    if each.since is None or not each.until:
        return counts
    return f"{format_time(each.since)} to {format_time(each.until)}" + (f"\n{counts}" if counts else "")


COLUMNS: Final[tuple[Column[Version], ...]] = (
    Column("", lambda each: each.number),
    Column("version", lambda each: each.version),
    Column("", lambda each: "broken" if each.broken else "" if each.state == "stored" else each.state),
    Column("created", lambda each: None if each.created_at is None else format_time(each.created_at)),
    Column("learned from", _training_range),
    Column("HR@20", lambda each: None if each.hr_20 is None else f"{each.hr_20:.4f}"),
    Column("MRR@20", lambda each: None if each.mrr_20 is None else f"{each.mrr_20:.4f}"),
    Column("MB", lambda each: None if each.bytes is None else f"{each.bytes / 1e6:.1f}"),
    Column("gate", lambda each: each.gate),
)
