"""Expressions that several panels share."""

from typing import Final

from infra.watching.panels import Query

WRONG: Final = ((1e-9, "red"),)  # anything above 0
MANY: Final = ((1e-9, "orange"),)


def rate_of(metric: str, more: str = "") -> str:
    return f"rate({metric}{{{more}@}}[$__rate_interval])"


def total_of(metric: str, by: str = "", more: str = "") -> str:
    return f"sum{f' by ({by})' if by else ''} ({rate_of(metric, more)})"


def percentile_of(share: float, metric: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) ({rate_of(f'{metric}_bucket')}))"


def spread_of(metric: str) -> list[Query]:
    return [Query(percentile_of(share, metric), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)]


_OF_BROKER: Final = 'instance=~"$instance"'  # brokers have no tenant


def broker(metric: str, more: str = "") -> str:
    return f"{metric}{{{more}{_OF_BROKER}}}"


def broker_rate(metric: str) -> str:
    return f"sum by (instance) (rate({broker(metric)}[$__rate_interval]))"
