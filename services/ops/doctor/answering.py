"""What `doctor` asks the services: whether they are ready, and what they wait for."""

from typing import Final

from services.ops.doctor import health
from services.ops.doctor.findings import Finding
from services.ops.settings import OpsSettings

STARTS: Final = {service: f"python -m services.{service}" for service in health.SERVICES}


def service(settings: OpsSettings, name: str) -> list[Finding]:
    """One service at /readyz."""
    found = health.asked(settings, name)
    variable = f"EDDY_{name.upper()}_URL"
    if found.error is not None:
        what = f"start it ({STARTS[name]}, or make up), see its log, or set {variable}"
        return [Finding(name, "bad", found.told, what)]
    if not found.ready:
        return [
            Finding(
                name, "warn", f"{found.told} ({found.url})", "wait, or mend what it waits for; see its log"
            )
        ]
    products = "" if found.products is None else f", {found.products:,} products"
    return [Finding(name, "ok", f"ready at {found.url}{products}")]
