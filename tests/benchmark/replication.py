"""What three replicas cost: event → push, and bare Kafka's two hops, on one broker and on three, in one run.

`python -m tests.benchmark.replication`. There is one of each service; of three brokers two must have what is
acknowledged. All share this machine's cores, so three brokers also leave less of them to the rest.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
import uvloop

from services.kafka.admin import create
from services.settings import TopicSettings
from tests.benchmark import two_hops
from tests.benchmark.brokers import broker
from tests.benchmark.load import Load
from tests.benchmark.machine import this_machine
from tests.benchmark.window import Window
from tests.support.cluster import NODES, run_cluster
from tests.support.services import run_service
from tests.support.shop import CATALOGUE, COUNT, Shop

FLOW: Final = ("ingest", "session_processor", "recommender")
WARM_UP_S: Final = 10.0
ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1", "EDDY_LIVE_LEARNING_S": "0"}

Json = dict[str, Any]


def measure(rates: list[int], seconds: float, pages: int) -> Json:
    """Both, one after the other. Times in ms; `ratio` is three replicas over one."""
    machine = msgspec.to_builtins(this_machine())
    with _one_broker() as settings:
        one = _measure(settings, rates, seconds, pages)
    with tempfile.TemporaryDirectory() as folder, run_cluster(Path(folder)) as (_, settings):
        three = _measure(settings, rates, seconds, pages)
    ratio = {
        way: {
            str(rate): {
                name: round(three[str(rate)][way][name] / one[str(rate)][way][name], 2)
                for name in ("p50", "p99")
                if one[str(rate)][way][name]
            }
            for rate in rates
        }
        for way in ("bare", "event_to_push")
    }
    return {
        "machine": machine,
        "figures": {"pages": pages, "seconds": seconds, "one": one, "three": three, "ratio": ratio},
    }


@contextmanager
def _one_broker() -> Iterator[TopicSettings]:
    with broker() as running:
        yield TopicSettings(kafka_bootstrap=running.bootstrap, topic_prefix="t.")


def _measure(settings: TopicSettings, rates: list[int], seconds: float, pages: int) -> Json:
    create(settings, replication=settings.topic_replicas)
    found: dict[str, Json] = {}
    for rate in rates:
        typer.echo(f"{settings.topic_replicas} of {NODES} replicas: bare Kafka at {rate}/s …", err=True)
        bare = two_hops.measure(settings, rate, seconds, lambda _: None, replicas=settings.topic_replicas)
        found[str(rate)] = {"bare": msgspec.to_builtins(bare)}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as started:
        uvloop.run(_fill(settings))
        replicas = {"EDDY_TOPIC_REPLICAS": str(settings.topic_replicas)}
        own = {f"EDDY_{name}_DATADIR": f"{folder}/data" for name in ("SESSION_PROCESSOR", "RECOMMENDER")}
        running = {
            name: started.enter_context(
                run_service(name, settings, Path(folder) / name, environment=ENVIRONMENT | replicas | own)
            )
            for name in FLOW
        }
        windows = uvloop.run(_load(running["ingest"].url, running["recommender"].url, rates, seconds, pages))
    for window in windows:
        found[str(window.rate)] |= {
            "event_to_push": msgspec.to_builtins(window.event_to_push),
            "post": msgspec.to_builtins(window.post),
            "lost": window.lost,
        }
    return found


async def _fill(settings: TopicSettings) -> None:
    shop = Shop(settings)
    await shop.put(*CATALOGUE)
    await shop.put_vectors(*range(COUNT))


async def _load(
    ingest_url: str, recommender_url: str, rates: list[int], seconds: float, pages: int
) -> list[Window]:
    load = await Load(ingest_url, recommender_url, [each.product_id for each in CATALOGUE]).open(pages)
    try:
        await load.run(max(rates), WARM_UP_S, lambda _: None)
        return [Window.of(rate, await load.run(rate, seconds, lambda _: None), {}) for rate in rates]
    finally:
        load.close()


def main(
    rates: Annotated[str, typer.Option(help="events a second, comma-separated")] = "50,100",
    seconds: Annotated[float, typer.Option(help="how long each is kept up")] = 20.0,
    pages: Annotated[int, typer.Option(help="open pages")] = 100,
) -> None:
    """Prints the figures as JSON."""
    json.dump(measure([int(each) for each in rates.split(",")], seconds, pages), sys.stdout, indent=2)


if __name__ == "__main__":
    typer.run(main)
