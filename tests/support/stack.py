"""A stack of the tests' own."""

from pathlib import Path

from infra.stack.settings import StackSettings
from tests.support.machine import free_ports


def settings_on_free_ports(folder: Path) -> StackSettings:
    """A stack of its own in a folder, on ports that nobody uses now."""
    kafka, controller, shop, ingest, recommender, processor, embedder = free_ports(7)
    return StackSettings(
        stack_folder=folder,
        kafka_port=kafka,
        kafka_controller_port=controller,
        shop_port=shop,
        ingest_port=ingest,
        recommender_port=recommender,
        session_processor_port=processor,
        embedder_port=embedder,
    )
