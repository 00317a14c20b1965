"""From events on a real broker to a released model, by the trainer's own commands."""

import random

import msgspec

from schemas.models import Gate, ModelRelease
from schemas.times import DAY_MS
from services.model.behaviour import PRODUCTS, Behaviour
from services.model.session import Tuning
from services.model.store import ModelStore, fetch
from services.progress import Silent
from services.trainer.cases import Case
from services.trainer.evaluation import answers
from tests.support.kafka import NOON, TopicWriter
from tests.support.trainer import NAME, Trainer

DAYS = 4


def a_day_of_pairs(filling: TopicWriter, day: int, seed: int = 0) -> None:
    """Visits of a then b of the same number, a minute apart, by visitors of that day."""
    drawn = random.Random(seed + day)
    for visit in range(120):
        pair, visitor = drawn.randrange(30), f"visitor-{seed}-{day}-{visit}"
        at = NOON + day * DAY_MS + visit * 60_000
        for step, product in enumerate((f"a{pair}", f"b{pair}")):
            filling.event(product, visitor=visitor, at=at + step * 60_000)


def newest_release(trainer: Trainer) -> ModelRelease:
    return trainer.read_releases()[-1]


def test_events_become_a_model_that_is_released_and_tells_what_follows(trainer: Trainer) -> None:
    filling = TopicWriter(trainer.settings)
    for day in range(DAYS):
        a_day_of_pairs(filling, day)
    filling.event("secret", visitor="forgotten", at=NOON + DAY_MS)
    filling.erasure("forgotten", NOON + 2 * DAY_MS)
    filling.flush()

    status, told = trainer("train")
    assert status == 0, told
    assert "1 events of erased visitors" in told
    assert "the gate would release it" in told, told
    status, told = trainer("release")
    assert status == 0, told

    release = newest_release(trainer)
    assert isinstance(release.gate, Gate)
    model = fetch(release.location, release.digest, trainer.folder / "cache")
    products = msgspec.json.decode(model.texts[PRODUCTS])
    assert len(products) == 60
    assert "secret" not in products
    assert model.manifest.data.until == NOON + (DAYS - 1) * DAY_MS + 120 * 60_000  # the newest day, too
    [rank] = answers(Behaviour.of(model), [Case(("a7",), "b7")], Silent(), Tuning()).ranks
    assert 1 <= rank <= 3

    # The same events again: there is nothing that the released model does not know already.
    status, told = trainer("train")
    assert status == 0, told
    assert "has learned from the last day already" in told
    assert trainer("release")[0] == 1

    # Another day, on which both can be measured.
    filling = TopicWriter(trainer.settings)
    filling.event("a0", visitor="first-of-the-day", at=NOON + DAYS * DAY_MS)
    a_day_of_pairs(filling, DAYS + 1, seed=7)
    filling.flush()
    status, told = trainer("train")
    assert status == 0, told
    assert "released" in told
    [_, _, newest] = ModelStore(str(trainer.store), NAME).versions()
    manifest, _ = ModelStore(str(trainer.store), NAME).manifest(newest)
    assert manifest.released is not None
    assert manifest.released.metrics is not None
    assert manifest.metrics is not None
    assert manifest.released.metrics.cases == manifest.metrics.cases


def test_one_visitor_with_one_product_is_a_model_that_the_gate_refuses(trainer: Trainer) -> None:
    filling = TopicWriter(trainer.settings)
    filling.event("das einzige Stück ☂", at=NOON)
    filling.flush()
    status, told = trainer("train")
    assert status == 0, told
    assert "not measured on held-out cases" in told
    assert trainer("release")[0] == 1
