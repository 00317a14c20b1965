"""The same with several of everything: compose.yaml with compose.cluster.yaml on it, through its proxy."""

from typing import Final

from infra.deploy_check.containers import Deployment, check_deployment

CLUSTER: Final = Deployment(
    ("compose.yaml", "compose.cluster.yaml"), "PROXY_INGEST_PORT", "PROXY_RECOMMENDER_PORT"
)


def check() -> list[str]:
    """As `containers`, on three brokers. Some 8 GB of memory, and minutes."""
    return check_deployment(CLUSTER)
