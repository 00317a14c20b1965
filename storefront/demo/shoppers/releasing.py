"""Puts the demo's behaviour into the model store and releases it, where nobody has released a model yet."""

import asyncio
from pathlib import Path
from typing import Final

from schemas.models import ModelRelease, Released
from services.clock import now_ms
from services.model import releases, store
from services.model.store import ModelStore
from services.trainer.gate import Verdict
from services.trainer.release import build_release
from services.trainer.settings import TrainerSettings
from storefront.demo.shoppers.shelf import BEHAVIOUR, Catalogue, behaviour_of

REASON: Final = "Learned from the demo's simulated shoppers: it says nothing of real ones."


def release(settings: TrainerSettings, catalogue: Catalogue, among: Path = BEHAVIOUR) -> ModelRelease | str:
    """The release that was made, or why none was: somebody's own is never replaced.

    Raises what the store, the topic and a bad artifact raise.
    """
    current = releases.current(settings, settings.model_name)
    if current is not None:
        return f"model {current.version} stays released"
    found = behaviour_of(catalogue, among)
    if found is None:
        return (
            f"simulated shoppers of {catalogue.products} products: "
            f"python -m storefront.demo.shoppers train --products {catalogue.products}\n"
            f"no model is released for {catalogue.products} products"
        )
    folder, manifest = found
    models = ModelStore(settings.tenant_store, settings.model_name)
    if manifest.version not in models.versions():
        models.upload(folder, manifest.version)
    _, digest = models.manifest(manifest.version)
    location = models.location(manifest.version)
    store.check(location, digest, settings.trainer_datadir)
    made = build_release(
        None,
        settings.model_name,
        Released(manifest.version, location, digest),
        None,
        verdict=Verdict(False, (REASON,)),
        at=int(now_ms()),
    )
    asyncio.run(releases.publish(settings, made))
    return made
