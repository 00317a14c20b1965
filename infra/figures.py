"""Writes the README's figures from what was measured last: `python -m infra.figures`.

`infra/docs/measured/` holds the JSON files of `make bench` and `make evaluate` that the README speaks of.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from infra import accuracy, surface
from services.model.content import PROFILES
from services.recommender.api.parameters import WEIGHTS

ROOT: Final = Path(__file__).resolve().parents[1]
README: Final = ROOT / "README.md"
MEASURED: Final = ROOT / "infra" / "docs" / "measured"
BEGIN: Final = "<!-- figures: made by `python -m infra.figures` -->"
END: Final = "<!-- end of figures -->"
BEGIN_ACCURACY: Final = "<!-- accuracy: made by `python -m infra.figures` -->"
END_ACCURACY: Final = "<!-- end of accuracy -->"
BEGIN_PROFILES: Final = "<!-- profiles: made by `python -m infra.figures` -->"
END_PROFILES: Final = "<!-- end of profiles -->"

Json = dict[str, Any]


def text() -> str:
    """The README's part about speed, between its two markers."""
    live: Json = json.loads((MEASURED / "live.json").read_text())
    embedding: Json = json.loads((MEASURED / "embedding.json").read_text())
    history: Json = json.loads((MEASURED / "history.json").read_text())
    surface_parts = [
        json.loads((MEASURED / f"{name}.json").read_text())
        for name in ("search", "complements", "catalogue", "experiment")
    ]
    parts = (
        _live(live),
        _memory(live),
        _embedding(embedding),
        _history(history),
        surface.lines(*surface_parts),
    )
    return "\n".join([BEGIN, "", *(line for part in parts for line in (*part, "")), END])


def accuracy_text() -> str:
    """The README's part about how good the recommendations are, between its two markers."""
    found: Json = json.loads((MEASURED / "accuracy.json").read_text())
    return "\n".join([BEGIN_ACCURACY, "", *accuracy.lines(found), END_ACCURACY])


def profiles_text() -> str:
    """The README's table of the default weights, between its two markers."""
    head = f"| | {' | '.join(f'`{name}`' for name in WEIGHTS)} |"
    lines = [head, "|---" * (len(WEIGHTS) + 1) + "|"]
    for kind, profile in PROFILES.items():
        cells = (f"{profile[name]:g}" if profile.get(name) else "" for name in WEIGHTS)
        lines.append(f"| `{kind}` | {' | '.join(cells)} |")
    return "\n".join([BEGIN_PROFILES, "", *lines, "", END_PROFILES])


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
    if live.get("search"):
        yield (
            "Highest rate held for 30 s (every event answered 202, none lost, p99 under 1 s): "
            f"{live['held_rate']:,.0f}/s."
        )
    elif live["held_rate"] < live["windows"][-1]["rate"]:
        last = live["windows"][-1]
        yield (
            f"{last['rate']:,}/s is more than these cores hold: rows were made later and later, by "
            f"{last['growth_ms']:,.0f} ms within {last['seconds']:,.0f} s. No event was lost."
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


def _history(history: Json) -> Iterator[str]:
    yield (
        f"History: the trainer reads {history['history_events_per_s']:,.0f} events/s off the topic, decoded "
        f"and checked; a bare consumer that decodes nothing {history['bare_events_per_s']:,.0f}/s in the "
        "same run."
    )


def main() -> None:
    """Replaces the figures in the README."""
    readme = README.read_text()
    for made, begin, end in (
        (text(), BEGIN, END),
        (accuracy_text(), BEGIN_ACCURACY, END_ACCURACY),
        (profiles_text(), BEGIN_PROFILES, END_PROFILES),
    ):
        before, _, rest = readme.partition(begin)
        _, _, after = rest.partition(end)
        readme = before + made + after
    README.write_text(readme)


if __name__ == "__main__":
    main()
