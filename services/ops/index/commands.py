"""`index check` and `index rebuild`."""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer
from rich.text import Text

from services.endings import AnswerIsNo
from services.history.progress import shown_on
from services.ops.shell import AsJson, console, ending_clearly, print_json, progress_console, settings

if TYPE_CHECKING:  # qdrant-client is half a second, and other commands need none
    from services.ops.index.checking import IndexState
    from services.ops.index.rebuilding import Rebuilt

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
    with ending_clearly(stopped="looking changes nothing"):
        from services.ops.index import working  # noqa: PLC0415 - qdrant-client: half a second

        found = settings()
        with working.told_clearly(), shown_on(progress_console) as progress:
            state = working.settled(found, max(wait, LIVE_S), progress)
        if as_json:
            print_json(msgspec.to_builtins(state) | {"agrees": state.agrees})
        else:
            _show(state)
        if not state.agrees:
            raise AnswerIsNo(f"→ {_what_to_do(state)}")


@app.command()
def rebuild(as_json: AsJson = False) -> None:
    """Build the index anew from the topic product-vectors, while the old one serves.

    With EDDY_QDRANT_URL: a new collection beside the old, filled from the topic, which takes its place in one
    moment when it has caught up; then the old one is removed. The embedder may go on meanwhile. Stopped
    before that moment nothing has changed; run again it starts anew. Without EDDY_QDRANT_URL the index lives
    in the recommenders: this tells whether it is whole, and how it is built anew.

    Example: EDDY_QDRANT_URL=http://qdrant:6333 python -m services.ops index rebuild
    """
    with ending_clearly(stopped="one index or the other serves, whole; run it again"):
        from services.ops.index import working  # noqa: PLC0415 - qdrant-client: half a second

        found = settings()
        with working.told_clearly(), shown_on(progress_console) as progress:
            rebuilt = None if found.qdrant_url is None else working.rebuilt(found, progress)
            state = working.settled(found, LIVE_S, progress)
        if as_json:
            print_json({"rebuilt": rebuilt, "index": msgspec.to_builtins(state) | {"agrees": state.agrees}})
        else:
            if rebuilt is not None:
                _tell(rebuilt)
            _show(state)
        if not state.agrees:
            raise AnswerIsNo(f"→ {_what_to_do(state)}")
        if rebuilt is None and not as_json:
            console.print(Text(f"nothing is to be rebuilt; to build it anew all the same: {IN_PROCESS}"))


def _what_to_do(state: "IndexState") -> str:
    if state.kind == "in_process":
        return IN_PROCESS
    return "python -m services.ops index rebuild"


def _tell(rebuilt: "Rebuilt") -> None:
    removed = f"; removed: {', '.join(rebuilt.removed)}" if rebuilt.removed else ""
    console.print(Text(f"{rebuilt.products:,} products in {rebuilt.collection}, which serves now{removed}"))


def _show(state: "IndexState") -> None:
    style = "green" if state.agrees else "red"
    there = "an unknown number" if state.in_index is None else f"{state.in_index:,}"
    console.print(
        Text(f"product-vectors has {state.on_topic:,} products, {state.where} has {there}", style),
        soft_wrap=True,
    )
    if state.trouble is not None:
        console.print(Text(state.trouble, style), soft_wrap=True)
    counts = {"missing": state.missing, "surplus": state.surplus, "stale": state.stale}
    for kind, ids in state.named.items():
        more = " …" if counts[kind] > len(ids) else ""
        console.print(Text(f"{kind}: {counts[kind]:,} ({', '.join(ids)}{more})", style), soft_wrap=True)
