"""What is accepted, but what its author may not have meant. Pure."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from schemas.experiments import Experiment
from schemas.rules import Rule
from services.recommender.experiment_book import knobs, meet

NAMED_MAX: Final = 5  # products that one warning names


def of_rule(rule: Rule, is_product: Callable[[str], bool], now: float) -> Iterator[str]:
    """`is_product`: whether the catalogue knows a product id; `now`: Unix ms."""
    unknown = [product_id for product_id in rule.products if not is_product(product_id)]
    if unknown:
        yield f"{rule.rule_id}: the catalogue does not know {_listed(unknown)}"
    if rule.action == "boost" and rule.factor < 1:
        yield f"{rule.rule_id}: a boost by less than 1 moves products down"
    if rule.action == "bury" and rule.factor < 1:
        yield f"{rule.rule_id}: a bury by less than 1 moves products up"
    if rule.action in ("boost", "bury") and rule.factor == 1:
        yield f"{rule.rule_id}: a factor of 1 changes nothing"
    if rule.ends_at is not None and rule.ends_at <= now:
        yield f"{rule.rule_id}: ends_at is past, it holds no more"


def of_experiment(
    experiment: Experiment, before: Experiment | None, others: Iterable[Experiment], now: float
) -> Iterator[str]:
    """`before` is what it replaces, `others` are all known ones; `now`: Unix ms."""
    if experiment.ends_at is not None and experiment.ends_at <= now:
        yield "ends_at is past, it runs no more"
    if before is not None and before.runs(now) and _parts(before) != _parts(experiment):
        yield (
            "it was running: with other variants or shares some visitors change sides. "
            "A new name starts clean"
        )
    if not knobs(experiment):
        yield "no variant sets a weight, a model or a diversity: all visitors get the same"
    mine = knobs(experiment)
    for other in others:
        shared = sorted(mine & knobs(other))
        if other.name != experiment.name and shared and meet(experiment, other):
            winner = min(experiment.name, other.name)
            yield (
                f"{other.name} sets {_listed(shared)} at the same time: for visitors in both, "
                f"{winner} wins, as the first by name"
            )


def _parts(experiment: Experiment) -> list[tuple[str, float]]:
    return [(variant.name, variant.share) for variant in experiment.variants]


def _listed(names: Sequence[str]) -> str:
    told = ", ".join(names[:NAMED_MAX])
    return told if len(names) <= NAMED_MAX else f"{told} and {len(names) - NAMED_MAX} more"
