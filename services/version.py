"""Which release of Eddy this is: told by every process, to people, to Prometheus and to Kafka."""

from typing import Final

from prometheus_client import CollectorRegistry, Gauge

# The release that images, charts and the changelog are named after. pyproject.toml and the storefront's
# package.json say the same, which a test holds: here a process finds it also where neither file is beside it.
VERSION: Final = "0.2.0"
# What Kafka knows a process by: `ops doctor` finds mixed versions among the members of a group. Brokers take
# it into names of metrics, so it has nothing but letters, digits, dots and dashes.
CLIENT_ID: Final = f"eddy-{VERSION}"
UNTOLD: Final = "0.1.0 or older"  # of a process that tells none: releases before 0.2.0 did not


def describe_build(registry: CollectorRegistry) -> None:
    """Adds `eddy_build_info`, whose label tells the version."""
    built = Gauge("eddy_build_info", "The release that runs", ["version"], registry=registry)
    built.labels(VERSION).set(1)


def version_of(client_id: str) -> str | None:
    """The version of a member of a consumer group; None where it is none of Eddy's from 0.2.0 on."""
    name, _, version = client_id.partition("-")
    return version if name == "eddy" and version else None
