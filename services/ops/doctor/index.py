"""Whether the index has what is on product-vectors, and whether that is of the settings' layout."""

import time
from typing import Final

from schemas.vectors import LayoutMismatch
from services.history.partitions import reading
from services.history.progress import Silent
from services.ops.doctor.findings import Finding
from services.ops.index.checking import OnTopic, looking
from services.ops.settings import OpsSettings

LIVE_S: Final = 2.0  # what changes just now is on its way
LOOK_S: Final = 0.25


def index(settings: OpsSettings) -> list[Finding]:
    """Two lines: vectors and index."""
    look = looking(settings)
    deadline = time.monotonic() + LIVE_S
    with reading(settings) as reader:
        topic = OnTopic(reader, settings.layout)
        try:
            topic.read_on(Silent())
            while not (state := look(topic.updated_at)).agrees and time.monotonic() < deadline:
                time.sleep(LOOK_S)
                topic.read_on(Silent())
        except LayoutMismatch as error:
            return [Finding("vectors", "bad", str(error), "set both widths alike in all services")]
    vectors = Finding("vectors", "ok", f"{state.on_topic:,} products, of the settings' layout")
    if not state.on_topic:
        what = "python -m services.ops catalogue load FILE; and see that the embedder runs"
        vectors = Finding("vectors", "warn", "no product has a vector", what)
    there = "an unknown number" if state.in_index is None else f"{state.in_index:,}"
    told = f"{there} of {state.on_topic:,} products in {state.where}"
    if state.agrees:
        return [vectors, Finding("index", "ok", told)]
    counts = ", ".join(
        f"{count:,} {kind}"
        for kind, count in (("missing", state.missing), ("surplus", state.surplus), ("stale", state.stale))
        if count
    )
    more = "; ".join(filter(None, (counts, state.trouble)))
    what = "python -m services.ops index check --wait 60, then index rebuild"
    return [vectors, Finding("index", "bad", f"{told}{f'; {more}' if more else ''}", what)]
