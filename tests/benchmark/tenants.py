"""What a tenant more costs a process that serves others already, beside a process of its own.

`python -m tests.benchmark.tenants` prints JSON.
"""

import json
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Final

import psutil
import typer

from services.kafka.admin import create
from services.settings import ServiceSettings
from tests.benchmark.brokers import broker
from tests.benchmark.scale import Shop
from tests.benchmark.usage import MB
from tests.support.services import run_service

COUNTS: Final = (1, 2, 4)  # tenants in one process
SERVICES: Final = ("ingest", "recommender")


def _entry(number: int) -> dict[str, Any]:
    return {
        "topic_prefix": f"shop-{number}.",
        "path": f"/shop-{number}",
        "token_secret": f"signs the tokens of shop {number}",
        "api_key": f"the key of the back end of shop {number}",
    }


def _measure(service: str, settings: ServiceSettings, count: int, folder: Path) -> dict[str, float]:
    """A fresh process with so many tenants, once all of them are ready."""
    environment = {
        "EDDY_TENANTS": json.dumps([_entry(number) for number in range(count)]),
        "EDDY_RECOMMENDER_DATADIR": str(folder / f"{service}-{count}"),
    }
    began = perf_counter()
    with run_service(
        service, settings, folder / f"{service}-{count}.log", environment=environment, fresh=True
    ) as running:
        ready_s = perf_counter() - began
        process = psutil.Process(running.process.pid)
        return {
            "tenants": count,
            "mb": round(process.memory_info().rss / MB, 1),
            "threads": process.num_threads(),
            "ready_s": round(ready_s, 1),
        }


def main(
    products: Annotated[int, typer.Option(min=1_000, help="of each tenant")] = 5_000,
) -> None:
    """Prints the figures as JSON."""
    figures: dict[str, Any] = {"products": products}
    with broker() as brokers, tempfile.TemporaryDirectory() as folder:
        settings = ServiceSettings(kafka_bootstrap=brokers.bootstrap)
        for number in range(max(COUNTS)):
            own = settings.model_copy(update={"topic_prefix": f"shop-{number}."})
            create(own)
            Shop(own, products).send(range(products))
        for service in SERVICES:
            typer.echo(f"{service} …", err=True)
            figures[service] = [_measure(service, settings, count, Path(folder)) for count in COUNTS]
    json.dump(figures, sys.stdout, indent=2)


if __name__ == "__main__":
    typer.run(main)
