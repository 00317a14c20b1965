"""What came of the simulated days, for the page of benchmarks."""

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


def lines(told: Json) -> Iterator[str]:
    """Of the JSON that `make simulate` writes."""
    figures, machine = told["figures"], told["machine"]
    rankings = figures["rankings"]
    yield (
        f"`make simulate` ({machine['cores']} cores, {told['seconds'] / 60:.0f} min): "
        f"{figures['shoppers']:,} made-up shoppers, whose taste is known, visit a shop of "
        f"{figures['products']} products for {figures['days']} days, {rankings[0]['visits']:,} visits, "
        "the same for each way of making rows. They click by taste, need and place, search without rows, "
        "and buy; all ways have seen the same days without rows before. Nothing here says how real shoppers "
        "are; it says whether what is learned is what these do."
    )
    yield ""
    yield "| rows by | clicks a visit | purchases a visit | coverage a day | regret a row |"
    yield "|---" * 5 + "|"
    for each in rankings:
        cells = (
            _cell(each["clicks"]), _cell(each["purchases"]), _cell(each["coverage"], percent=True),
            _cell(each["regret"]),
        )  # fmt: skip
        yield f"| {each['name']} | {' | '.join(cells)} |"
    yield ""
    yield "![clicks a visit by day](simulate.svg)"
    yield ""
    yield (
        "In brackets 95 %, shoppers being drawn anew (coverage: over days). Coverage: the share of the "
        "catalogue that anybody was shown on a day. Regret: how much likelier the best possible row is to be "
        f"clicked than the row that was shown. {_verdict(rankings, figures['compared_with'], told['share'])}"
    )


def _verdict(rankings: list[Json], base: str, share: float) -> str:
    """Said as it came out, whichever way."""
    loop = rankings[-1]
    above, clicks = loop["clicks_above"], loop["clicks"]["value"]
    before = clicks - above["value"]
    outcome = "more" if above["low"] > 0 else "fewer" if above["high"] < 0 else "no difference beyond chance"
    return (
        f"{loop['name']} (chance fills {share:.0%} of lower places) brings {above['value']:+.3f} clicks a "
        f"visit ({above['low']:+.3f} … {above['high']:+.3f}; {above['value'] / (before or 1):+.1%}) beside "
        f"{base}: {outcome}."
    )


def _cell(interval: Json, *, percent: bool = False) -> str:
    if percent:
        return f"{interval['value']:.0%} ({interval['low']:.0%} to {interval['high']:.0%})"
    return f"{interval['value']:.3f} ({interval['low']:.3f} to {interval['high']:.3f})"
