"""Where the demo's trained behaviour lies, and for which catalogue each is: a folder a catalogue's size."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import msgspec

from schemas.models import Manifest
from services.model.artifact import ArtifactRefused, read_manifest
from storefront.demo.catalogue.generator import VERSION

BEHAVIOUR: Final = Path(__file__).resolve().parents[1] / "behaviour"
METRICS: Final = "metrics.json"
SIMULATED: Final = "simulated"  # among a manifest's parameters; real models have no such entry


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Which demo catalogue: another size or seed has other products under the same ids."""

    products: int
    seed: int = 7
    version: int = VERSION

    @property
    def folder(self) -> str:
        """The name of its behaviour's folder."""
        return f"{self.products}-products"


def shown(folder: Path) -> Catalogue | None:
    """The demo catalogue that was written to a folder; None where there is none."""
    try:
        found = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=dict[str, int])
        return Catalogue(found["products"], found["seed"], found["version"])
    except (OSError, msgspec.MsgspecError, KeyError):
        return None


def behaviour_of(catalogue: Catalogue, among: Path = BEHAVIOUR) -> tuple[Path, Manifest] | None:
    """The folder and manifest of what was learned on this very catalogue; None where there is none.

    Raises ArtifactRefused for a folder that is no artifact.
    """
    folder = among / catalogue.folder
    if not folder.is_dir():
        return None
    manifest, _ = read_manifest(folder)
    told = manifest.parameters.get(SIMULATED)
    if not isinstance(told, dict):
        raise ArtifactRefused(folder, "was not learned from simulated shoppers")
    return (folder, manifest) if told.get("catalogue") == asdict(catalogue) else None


def tell_figures(catalogue: Catalogue, figures: dict[str, object], among: Path) -> None:
    """Puts the figures of one catalogue beside those of the others, in metrics.json."""
    path = among / METRICS
    told = json.loads(path.read_text()) if path.exists() else {}
    told.pop("note", None)
    note = (
        "SIMULATED shoppers of the demo, made up by storefront/demo/shoppers. "
        "No figure here says anything about real shoppers."
    )
    told[catalogue.folder] = figures
    path.write_text(json.dumps({"note": note} | dict(sorted(told.items())), indent=2) + "\n")
