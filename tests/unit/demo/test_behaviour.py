"""The behaviour that the demo ships: it loads, says that it is simulated, and knows what goes together."""

import json
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from schemas.models import DataRange, Manifest
from schemas.products import Product
from schemas.sessions import KIND_OF, SessionEvent
from services.model.artifact import Artifact, ArtifactRefused, load, write
from services.model.behaviour import Behaviour
from services.model.loader import require_sound
from services.model.session import Tuning
from storefront.demo.catalogue.generator import UPDATED_AT, made
from storefront.demo.shoppers import shelf
from storefront.demo.shoppers.complements import GOES_WITH
from storefront.demo.shoppers.shelf import BEHAVIOUR, SIMULATED, Catalogue, behaviour_of, shown

SIZES = (2400, 600)
K = 12
BYTES_MAX = 3 * 1024 * 1024


@cache
def load_shipped(size: int) -> tuple[Artifact, Behaviour, dict[str, Product]]:
    found = behaviour_of(Catalogue(size))
    assert found is not None, "not of today's catalogue: run `make demo-history`"
    artifact = load(found[0])
    require_sound(artifact)
    catalogue = {each.product.product_id: each.product for each in made(size, Catalogue(size).seed)}
    return artifact, Behaviour.of(artifact), catalogue


def beside(model: Behaviour, product_id: str) -> list[str]:
    """The products that the model puts beside a view of one."""
    found = model.candidates([SessionEvent(0, b"", product_id, KIND_OF["view_item"])], Tuning())
    order = np.argsort(-model.scores(found.features), kind="stable")
    return [found.product_ids[place] for place in order.tolist() if found.product_ids[place] != product_id][
        :K
    ]


@pytest.mark.parametrize("size", SIZES)
def test_it_loads_and_knows_the_catalogue(size: int) -> None:
    _, model, catalogue = load_shipped(size)
    assert set(model.products) <= set(catalogue)
    assert len(model) > 0.95 * size


@pytest.mark.parametrize("size", SIZES)
def test_it_is_older_than_whatever_happens_in_the_shop_and_carries_no_figures(size: int) -> None:
    artifact, model, _ = load_shipped(size)
    assert model.learned_until < UPDATED_AT
    assert artifact.manifest.created_at < UPDATED_AT
    assert SIMULATED in artifact.manifest.parameters
    assert artifact.manifest.metrics is None
    assert artifact.manifest.popularity is None


@pytest.mark.parametrize("size", SIZES)
def test_beside_a_product_it_puts_what_goes_with_it_and_is_of_other_types(size: int) -> None:
    _, model, catalogue = load_shipped(size)
    told: Counter[str] = Counter()
    by_chance = []
    known = [product_id for product_id in sorted(catalogue) if product_id in model][:: size // 60]
    kinds = Counter(product.type for product in catalogue.values())
    for product_id in known:
        own = catalogue[product_id].type or ""
        types = [catalogue[each].type for each in beside(model, product_id)]
        assert len(types) == K
        told.update("own" if each == own else "fits" if each in GOES_WITH[own] else "other" for each in types)
        by_chance.append(sum(kinds[kind] for kind in GOES_WITH[own]) / size)
    shares = {name: count / told.total() for name, count in told.items()}
    assert 0.2 < shares["own"] < 0.7  # visits hold what is similar, too
    assert shares["fits"] > 2 * np.mean(by_chance)
    assert shares["fits"] > shares["other"]


def test_its_figures_say_that_they_are_simulated_and_beat_popularity() -> None:
    told = json.loads((BEHAVIOUR / shelf.METRICS).read_text())
    assert "SIMULATED" in told["note"]
    for size in SIZES:
        figures = told[Catalogue(size).folder]
        assert figures["version"] == load_shipped(size)[0].manifest.version
        held_out = figures["held-out simulated visits"]
        assert held_out["model"]["cases"] == held_out["the 20 most popular"]["cases"] > 100
        for measure in ("HR@20", "MRR@20"):
            assert held_out["model"][measure] > 1.5 * held_out["the 20 most popular"][measure]


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in BEHAVIOUR.rglob("*") if path.is_file()) <= BYTES_MAX


def test_another_catalogue_has_no_behaviour() -> None:
    """The same ids are other products there."""
    assert behaviour_of(Catalogue(2400, seed=8)) is None
    assert behaviour_of(Catalogue(2400, version=0)) is None
    assert behaviour_of(Catalogue(700)) is None


def test_a_model_of_real_visits_is_not_taken_for_the_demos(tmp_path: Path) -> None:
    manifest = Manifest(
        version="20260101T000000Z-abcd", created_at=1, data=DataRange(0, 1), counts={}, parameters={}
    )
    write(tmp_path / "9-products", {}, {}, manifest)
    with pytest.raises(ArtifactRefused, match="was not learned from simulated shoppers"):
        behaviour_of(Catalogue(9), tmp_path)


def test_a_folder_tells_which_catalogue_it_holds(tmp_path: Path) -> None:
    assert shown(tmp_path) is None
    (tmp_path / "manifest.json").write_text('{"version": 1, "seed": 7, "products": 600, "size": 320}')
    assert shown(tmp_path) == Catalogue(600, 7, 1)
    (tmp_path / "manifest.json").write_text("[]")
    assert shown(tmp_path) is None
