"""A stack of the tests' own."""

import json
from pathlib import Path

from infra.stack.settings import StackSettings
from services.logging import NAMED, REDACTED
from tests.support.machine import free_ports


def settings_on_free_ports(folder: Path) -> StackSettings:
    """A stack of its own in a folder, on ports that nobody uses now."""
    kafka, controller, shop, ingest, recommender, processor, embedder = free_ports(7)
    return StackSettings(
        stack_folder=folder,
        kafka_port=kafka,
        kafka_controller_port=controller,
        kafka_quick_start=True,
        shop_port=shop,
        ingest_port=ingest,
        recommender_port=recommender,
        session_processor_port=processor,
        embedder_port=embedder,
    )


def secrets_in_logs(folder: Path) -> list[str]:
    """Each key of a stack, and all that looks like a visitor's token, that stands in one of its logs."""
    keys: dict[str, str] = json.loads((folder / "secrets.json").read_text())
    found: list[str] = []
    for path in sorted((folder / "logs").iterdir()):
        text = path.read_text(errors="replace") if path.is_file() else ""
        found += [f"{path.name}: {name}" for name, key in keys.items() if key in text]
        found += [f"{path.name}: {each[0]}" for each in NAMED.finditer(text) if each[0] != REDACTED]
    return found
