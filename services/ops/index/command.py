"""`index check` and `index rebuild`."""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer
from rich.text import Text

from services.cli import AsJson, exit_with_status, progress_console
from services.errors import CheckFailed
from services.ops.output import present, say
from services.ops.settings import load_settings
from services.progress import create_progress

if TYPE_CHECKING:  # qdrant-client is half a second, and other commands need none
    from services.ops.index.query import IndexState
    from services.ops.index.rebuild import RebuildReport


LIVE_S: Final = 3.0  # a change is on its way from the topic to the index so long at most, when all is well

IN_PROCESS: Final = (
    "each recommender builds its index from product-vectors when it starts, so it is rebuilt by restarting "
    "it: end it (kill -TERM) and let its supervisor start it again; of the stack of `make up`: "
    ".venv/bin/supervisorctl -c build/stack/supervisord.conf restart recommender. "
    "Then: python -m services.ops index check --wait 120"
)

app = typer.Typer(
    help="The vector index: is all of product-vectors in it, and building it anew.",
    epilog="Status 0: the index has all. 1: it has not. 2: it cannot be told or done, and why is said. "
    "130, 143: stopped.",
    no_args_is_help=True,
)


@app.command()
def check(
    wait: Annotated[float, typer.Option(min=0, help="wait so many seconds for the index to have all")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Compare the index with the topic product-vectors; ends with 1 when they differ.

    With EDDY_QDRANT_URL every product in the collection is looked at: which are missing, which are too many,
    which are older than on the topic. Without it the recommender at EDDY_RECOMMENDER_URL is asked how many
    it has. What changes just now is waited for: some seconds, or --wait.

    Example: python -m services.ops index check --wait 60
    """
    from services.ops.index import maintenance  # noqa: PLC0415 - qdrant-client: half a second

    with exit_with_status(stopped="looking changes nothing"):
        found = load_settings()
        with maintenance.explain_failures(), create_progress(progress_console) as progress:
            state = maintenance.await_agreement(found, max(wait, LIVE_S), progress)
        present(_answer(state), lambda _answer: _show(state), as_json=as_json)
        if not state.agrees:
            raise CheckFailed(f"→ {_what_to_do(state)}")


@app.command()
def rebuild(as_json: AsJson = False) -> None:
    """Build the index anew from the topic product-vectors, while the old one serves.

    With EDDY_QDRANT_URL: a new collection beside the old, filled from the topic, which takes its place in one
    moment when it has caught up; then the old one is removed. The embedder may go on meanwhile. Stopped
    before that moment nothing has changed; run again it starts anew. Without EDDY_QDRANT_URL the index lives
    in the recommenders: this tells whether it is whole, and how it is built anew.

    Example: EDDY_QDRANT_URL=http://qdrant:6333 python -m services.ops index rebuild
    """
    from services.ops.index import maintenance  # noqa: PLC0415 - qdrant-client: half a second

    with exit_with_status(stopped="one index or the other serves, whole; run it again"):
        found = load_settings()
        with maintenance.explain_failures(), create_progress(progress_console) as progress:
            rebuilt = None if found.qdrant_url is None else maintenance.rebuild_index(found, progress)
            state = maintenance.await_agreement(found, LIVE_S, progress)
        answer = {"rebuilt": rebuilt, "index": _answer(state)}
        present(answer, lambda _answer: _show(state, rebuilt), as_json=as_json)
        if not state.agrees:
            raise CheckFailed(f"→ {_what_to_do(state)}")
        if rebuilt is None and not as_json:
            say(Text(f"nothing is to be rebuilt; to build it anew all the same: {IN_PROCESS}"), wrap=True)


def _answer(state: "IndexState") -> dict[str, object]:
    return dict(msgspec.to_builtins(state)) | {"agrees": state.agrees}


def _what_to_do(state: "IndexState") -> str:
    if state.kind == "in_process":
        return IN_PROCESS
    return "python -m services.ops index rebuild"


def _show(state: "IndexState", rebuilt: "RebuildReport | None" = None) -> None:
    if rebuilt is not None:
        gone = f"; removed: {', '.join(rebuilt.removed)}" if rebuilt.removed else ""
        text = f"{rebuilt.products:,} products in {rebuilt.collection}, which serves now{gone}"
        say(Text(text), wrap=True)
    style = "green" if state.agrees else "red"
    there = "an unknown number" if state.in_index is None else f"{state.in_index:,}"
    say(Text(f"{state.topic} has {state.on_topic:,} products, {state.where} has {there}", style))
    if state.trouble is not None:
        say(Text(state.trouble, style))
    counts = {"missing": state.missing, "surplus": state.surplus, "stale": state.stale}
    for kind, ids in state.named.items():
        more = " …" if counts[kind] > len(ids) else ""
        say(Text(f"{kind}: {counts[kind]:,} ({', '.join(ids)}{more})", style))
