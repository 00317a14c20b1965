"""How good the recommendations are, as the pages tell it; all figures are those of `make evaluate`."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

Json = dict[str, Any]

DATASETS: Final = {"retailrocket": "RetailRocket", "diginetica": "Diginetica"}
SERVES: Final = "re-ranked: what serves"


def lines(found: Json) -> Iterator[str]:
    """The section's text from `accuracy.json`."""
    for part in (
        _protocol,
        _beside_published,
        _aims,
        _width,
        _settings,
        _serenade,
        _types,
        _objectives,
        _cold,
        _speed,
    ):
        yield from part(found)
        yield ""


def best(found: Json) -> tuple[str, str]:
    """HR@20 of what serves, and the best published beside it, each for both datasets."""
    ours, theirs = [], []
    for dataset, title in DATASETS.items():
        ours.append(f"{title} {_percent(_serves(found, dataset))[0]:.1f}%")
        published = [each for each in found["published"] if each["source"] == "published" and each[dataset]]
        peer = max(published, key=lambda each: float(each[dataset][0]))
        theirs.append(f"{title} {peer[dataset][0]:.1f}% ({peer['name']})")
    return ", ".join(ours), f"the best published we know of: {', '.join(theirs)}"


def _protocol(found: Json) -> Iterator[str]:
    machine = found["retailrocket"]["machine"]
    yield (
        f"`make evaluate` ({machine['cores']} cores, {machine['cpu']}) learns from public click histories "
        "and asks for the next product of sessions that come later, by the protocol of the papers: every "
        "case ranks all products of the training file, repeats allowed. HR@20 is the share of cases whose "
        "next product is among the first 20, MRR@20 the mean of 1/rank there. All settings are the trainer's "
        "defaults, the same for both; a test file is used for measuring only. The same as a picture: "
        f"`build/evaluation.png`. {_asked(found)}"
    )


def _asked(found: Json) -> str:
    told = (
        f"{title}: {found[name]['sessions']:,} sessions, {found[name]['products']:,} products, "
        f"{_serves(found, name)['cases']:,} cases"
        for name, title in DATASETS.items()
    )
    return "; ".join(told) + "."


def _beside_published(found: Json) -> Iterator[str]:
    yield "| % | RetailRocket HR@20 | MRR@20 | Diginetica HR@20 | MRR@20 |"
    yield "|---|---|---|---|---|"
    for peer in found["published"]:
        pairs = [peer[name] for name in DATASETS]
        yield _row(f"{peer['name']} ({peer['source']})", *(cell for pair in pairs for cell in _cells(pair)))
    for name in found["retailrocket"]["rows"]:
        cells = [cell for dataset in DATASETS for cell in _cells(_percent(found[dataset]["rows"][name]))]
        bold = "**" if name == SERVES else ""
        yield _row(*(f"{bold}{cell}{bold}" for cell in (f"Eddy, {name}", *cells)))
    yield ""
    yield (
        "“item2vec alone” searches all products by the session's vector. “orders the candidates” and "
        "“session-kNN alone” take the candidates of all sources and order them by that one figure."
    )


def _aims(found: Json) -> Iterator[str]:
    told = []
    for name, title in DATASETS.items():
        ours = _percent(_serves(found, name))
        verdicts = [
            f"{figure} {least} is {'reached' if value >= least else f'missed by {least - value:.2f}'}"
            for figure, value, least in zip(("HR@20", "MRR@20"), ours, found["aims"][name], strict=True)
        ]
        told.append(f"{title}: {', '.join(verdicts)}")
    yield f"The aims we had set ourselves: {'; '.join(told)}."


def _width(found: Json) -> Iterator[str]:
    yield "| | coverage | popularity bias | predictions/s |"
    yield "|---|---|---|---|"
    for dataset, title in DATASETS.items():
        for name, told in found[dataset]["rows"].items():
            yield _row(
                f"{title}, {name}",
                f"{told['coverage']:.1%}",
                f"{told['popularity_bias']:.2f}",
                f"{told['predictions_per_s']:,.0f}",
            )
    yield ""
    yield (
        "Coverage: the share of the catalogue that is among anybody's first 20. Popularity bias: the mean "
        "popularity rank of what is shown, 1 for always the most popular product, 0 for the least. "
        "predictions/s: one case after the other in one process, from events to ids in order; item2vec alone "
        "searches in blocks."
    )


def _settings(found: Json) -> Iterator[str]:
    told = found["parameters"]
    item2vec, trees, sources = told["item2vec"], told["lambdarank"], told["candidates"]
    yield (
        f"Settings: item2vec {item2vec['width']} wide, window {item2vec['window']}, {item2vec['epochs']} "
        f"epochs, {item2vec['negative']} negatives drawn with exponent {item2vec['ns_exponent']}, learning "
        f"rate {item2vec['alpha']}; session-kNN over the newest {told['newest']:,} sessions of a product, "
        f"k = {told['neighbours']}; candidates: {sources['session_knn']} by session-kNN, "
        f"{sources['transitions']} by transitions, {sources['together']} seen together, "
        f"{sources['item2vec']} by item2vec; re-ranker (LambdaMART): the newest {told['rank_share']:.0%} of "
        f"the training sessions, at most {trees['cases']:,} cases, {trees['rounds']} rounds, "
        f"{trees['leaves']} leaves, learning rate {trees['learning_rate']}."
    )


def _serenade(found: Json) -> Iterator[str]:
    serves, theirs = _serves(found, "serenade"), found["published_serenade"]
    ours = _percent(serves)
    yield (
        f"**Serenade's example** ({serves['cases']} test sessions, the last product of each held out): HR@20 "
        f"{ours[0]:.2f}, MRR@20 {ours[1]:.2f}; bol.com's Serenade publishes {theirs[0]:.2f} and "
        f"{theirs[1]:.2f}. So few cases leave ± {_error(ours[0], serves['cases']):.1f} points of HR@20 to "
        "chance."
    )


def _types(found: Json) -> Iterator[str]:
    told = found["types"]
    yield (
        f"**Event types** (REES46: views, carts, purchases; the newest fifth of {told['sessions']:,} "
        f"sessions, {told['cases']:,} cases): HR@20 is {_percent(told['weighed'])[0]:.2f} where events "
        f"are weighed by type, {_percent(told['alike'])[0]:.2f} where all count alike: "
        f"{_difference(told['hit_rate'])} In only {told['told_apart']} cases does anything but views come "
        "before."
    )


def _objectives(found: Json) -> Iterator[str]:
    """A sentence for each shop and objective."""
    if found["objectives"] is None:
        return
    told = []
    for title, by_name in found["objectives"]["shops"].items():
        shop = title[:1].upper() + title[1:]
        for name, each in by_name.items():
            what = {"cart": "put into the cart", "buy": "bought"}[name]
            if not each["is_learned"]:
                told.append(
                    f"{shop}, {what}: {each['lessons']} cases are too few to learn from, the order for "
                    f"clicks serves (HR@20 {100 * each['clicks'][0]:.2f}, {each['cases']:,} cases)."
                )
                continue
            told.append(
                f"{shop}, {what}: HR@20 {100 * each['own'][0]:.2f} and MRR@20 {100 * each['own'][1]:.2f} in "
                f"an order of its own, {100 * each['clicks'][0]:.2f} and {100 * each['clicks'][1]:.2f} in "
                f"that for clicks ({each['cases']:,} cases): HR@20 {_difference(each['hit_rate'])}"
            )
    yield (
        "**Objectives** (which products are put into the cart, or bought, by the session's end, asked after "
        f"each of its events; the newest fifth of the sessions, a small model): {' '.join(told)} Simulated "
        "shoppers show that it is learned where there is something to learn, not how real ones shop."
    )


def _cold(found: Json) -> Iterator[str]:
    told = found["cold"]
    yield (
        f"**Products nobody has clicked** (REES46, {told['products']:,} products, a random fifth hidden from "
        "training at a time; content vectors of category, brand, type and price, no text or pictures): in "
        f"{told['cold_cases']:,} cases the next product is a hidden one. HR@20 there is "
        f"{100 * told['cold_model']:.2f} for the model with contents, {100 * told['cold_content']:.2f} for "
        f"content alone, {100 * told['cold_without']:.2f} for the model without contents. Model with "
        f"contents less content alone: {_difference(told['cold_gain'])} In the {told['warm_cases']:,} cases "
        f"about products that training knows, HR@20 is {100 * told['warm_model']:.2f} with contents, "
        f"{100 * told['warm_without']:.2f} without: {_difference(told['warm_price'])}"
    )


def _difference(told: Json) -> str:
    low, high = 100 * told["low"], 100 * told["high"]
    noise = ", which may be chance" if low <= 0 <= high else ""
    return f"{100 * told['difference']:+.2f} points (95 %: {low:+.2f} to {high:+.2f}){noise}."


def _speed(found: Json) -> Iterator[str]:
    told, aim = [], found["index_aim_per_s"]
    for name, title in DATASETS.items():
        speed = found[name]["speed"]
        missed = "" if speed["index_per_s"] >= aim else f", short of {aim:,}"
        told.append(
            f"{title}: the index alone {speed['index_per_s']:,.0f}/s{missed}, a bare numpy session-kNN "
            f"{speed['numpy_per_s']:,.0f}/s, the whole prediction "
            f"{_serves(found, name)['predictions_per_s']:,.0f}/s (load average before: "
            f"{found[name]['machine']['load']:.1f})"
        )
    yield (
        f"**Predictions a second** on one core. {'; '.join(told)}. The index is session-kNN and transitions, "
        f"with all that the re-ranker is told of them; its aim is {aim:,}/s."
    )


def _serves(found: Json, dataset: str) -> Json:
    rows: Json = found[dataset]["rows"]
    told: Json = rows[SERVES]
    return told


def _percent(metrics: Json) -> tuple[float, float]:
    return 100 * metrics["HR@20"], 100 * metrics["MRR@20"]


def _error(percent: float, cases: int) -> float:
    """Two standard errors of a share, in points."""
    return float(2 * (percent * (100 - percent) / cases) ** 0.5)


def _cells(pair: Sequence[float] | None) -> tuple[str, str]:
    return ("–", "–") if pair is None else (f"{pair[0]:.2f}", f"{pair[1]:.2f}")


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
