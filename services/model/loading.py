"""From a release to the model it names: fetched, verified, tried out."""

from pathlib import Path

from schemas.models import ModelRelease
from schemas.sessions import KIND_OF, SessionEvent
from services.model.artifact import MANIFEST, ArtifactRefused
from services.model.behaviour import Behaviour
from services.model.recommending import ranked
from services.model.soundness import require_sound
from services.model.store import fetch
from services.model.tuning import Tuning


def load(release: ModelRelease, cache: Path) -> Behaviour:
    """The generation that a release names; its files stay in the folder `cache`. Blocks.

    Raises StoreFailed while the store is away, OSError where the cache has no room, and ArtifactRefused for
    an artifact that is not whole, not the one named, or made for other code.
    """
    artifact = fetch(release.location, release.digest, cache)
    found = artifact.manifest.version
    if found != release.version:
        raise ArtifactRefused(f"{release.location}/{MANIFEST}", f"is {found}, released as {release.version}")
    require_sound(artifact)
    model = Behaviour.of(artifact)
    _try_out(model)
    return model


def _try_out(model: Behaviour) -> None:
    """Asks it once, so that no shopper is the first."""
    views = [
        SessionEvent(0, b"", product_id, KIND_OF["view_item"]) for product_id in model.by_popularity()[:1]
    ]
    ranked(model, views, Tuning())
