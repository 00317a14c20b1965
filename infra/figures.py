"""Writes the README's figures from what was measured last: `python -m infra.figures`.

`infra/docs/measured/` holds the JSON files of `make bench` that the README speaks of.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
README: Final = ROOT / "README.md"
MEASURED: Final = ROOT / "infra" / "docs" / "measured"
BEGIN: Final = "<!-- figures: made by `python -m infra.figures` -->"
END: Final = "<!-- end of figures -->"

Json = dict[str, Any]


def text() -> str:
    """The part of the README between its two markers."""
    live: Json = json.loads((MEASURED / "live.json").read_text())
    embedding: Json = json.loads((MEASURED / "embedding.json").read_text())
    return "\n".join([BEGIN, "", *_live(live), "", *_memory(live), "", *_embedding(embedding), "", END])


def _live(live: Json) -> Iterator[str]:
    machine = live["machine"]
    yield (
        f"`make bench` on {machine['cores']} cores ({machine['cpu']}), broker and load generator included: "
        f"event → push, from the POST's first byte to the message in the client, with {live['sockets']} open "
        f"sockets and {live['products']:,} products."
    )
    yield from ("", "| events/s | p50 ms | p90 ms | p99 ms |", "|---|---|---|---|")
    for window in live["windows"]:
        yield _row(f"{window['rate']:,}", window["event_to_push"])
    yield _row("bare Kafka, two hops, 300/s", live["bare_two_hops"])
    yield ""
    yield (
        "Highest rate held for 30 s (every event answered 202, none lost, p99 under 1 s): "
        f"{live['held_rate']:,.0f}/s."
    )


def _row(name: str, spread: Json) -> str:
    return f"| {name} | {spread['p50']:,.1f} | {spread['p90']:,.1f} | {spread['p99']:,.1f} |"


def _memory(live: Json) -> Iterator[str]:
    told = ", ".join(f"{name} {megabytes:,.0f}" for name, megabytes in live["loaded_mb"].items())
    yield f"Resident memory after the load, MB: {told}."


def _embedding(embedding: Json) -> Iterator[str]:
    found = embedding["figures"]
    yield (
        f"Embedding: {found['pipeline_products_per_s']:,.0f} products/s from topic to topic, the bare models "
        f"{found['bare_products_per_s']:,.0f}/s in the same run: {found['ratio']:.0%}."
    )


def main() -> None:
    """Replaces the figures in the README."""
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(before + text() + after)


if __name__ == "__main__":
    main()
