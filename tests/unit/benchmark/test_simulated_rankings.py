"""The rankings that `make simulate` compares run on the real pipeline, and learn as they say."""

import asyncio

import numpy as np
import pytest

from infra.simulation.visits import Visit
from infra.simulation.world import Plan, Ranking, World
from schemas.vectors import Layout
from services.recommender.pipeline.exploration import SHARE_MAX, UNTOUCHED
from services.trainer.content import Contents
from services.vector_replica import VectorReplica
from storefront.demo.catalogue.generator import made
from tests.benchmark.simulate import RANKINGS
from tests.benchmark.simulated_rankings import LoopRanking, Stock, TrainedRanking
from tests.benchmark.standin_vectors import content_of

LAYOUT = Layout.of(text_width=16, image_width=16)
PLAN = Plan(days=1, shoppers=25, seed=3)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Ranking, list[Visit]]]:
    products, replica = [each.product for each in made(150, 7)], VectorReplica(LAYOUT)
    for product in products:
        replica.put(product, content_of(product, LAYOUT).astype(np.float16))
    found = {}
    with asyncio.Runner() as runner:
        stock = Stock(products, Contents(replica, LAYOUT), tmp_path_factory.mktemp("index"), runner)
        for name, create in RANKINGS.items():
            ranking = create(stock, SHARE_MAX)
            assert ranking.name == name
            found[name] = (ranking, dict(World(products, PLAN).run(ranking))[1])
    return found


def test_five_ways_make_whole_rows_of_what_is_in_stock(runs: dict[str, tuple[Ranking, list[Visit]]]) -> None:
    sold_out = World([each.product for each in made(150, 7)], PLAN).shop.is_sold_out
    assert len(runs) == 5
    for _, visits in runs.values():
        shown = set().union(*(visit.shown for visit in visits))
        assert len(shown) >= 12
        assert not any(sold_out[number] for number in shown)


def test_what_learns_has_a_model_of_what_it_was_told(runs: dict[str, tuple[Ranking, list[Visit]]]) -> None:
    learned = {name for name, (each, _) in runs.items() if isinstance(each, TrainedRanking) and each.model}
    assert learned == {"Eddy without the loop", "Eddy with the loop"}
    by_vectors, by_popularity = (
        set().union(*(visit.shown for visit in runs[name][1])) for name in ("item2vec", "popularity")
    )
    assert by_vectors - by_popularity


def test_the_loop_knows_its_rows_what_chance_did_in_them_and_what_was_clicked(
    runs: dict[str, tuple[Ranking, list[Visit]]],
) -> None:
    loop, visits = runs["Eddy with the loop"]
    assert isinstance(loop, LoopRanking)
    rows = loop.join_rows()
    assert len(rows) == sum(len(visit.chances) for visit in visits)
    assert sum(len(row.clicked) for row in rows) == sum(visit.clicks for visit in visits)
    for row in rows:
        told = [item.propensity is not None for item in row.shown.items]
        assert told == [place >= UNTOUCHED for place in range(len(told))]
