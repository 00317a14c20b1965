"""Products through stand-in models: batches, slow pictures, refusals, the end."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from services.embedder.embedding import AHEAD, Embedder, Order
from services.embedder.errors import PictureRefused, TooLarge, Unreachable, Unreadable
from services.embedder.metrics import Metrics
from services.embedder.pictures.prepare import Preparation
from services.embedder.recipe import MODEL_SEGMENTS
from tests.support.embedding import DecoderInProcess, StandInPictures, StandInText, png, product

SLOW = "https://shop.example/slow.png"  # what is waited for comes over the network
ALL = frozenset(MODEL_SEGMENTS)


class Pictures:
    """Red pictures; those at SLOW come when released, `gone` ones never, `odd` ones break the code."""

    def __init__(self) -> None:
        self.release = threading.Event()

    def read(self, address: str) -> bytes:
        if address == SLOW:
            assert self.release.wait(10)
        if address == "gone":
            raise Unreachable("gone")
        if address.endswith("odd"):
            raise ZeroDivisionError
        if address == "large":
            raise MemoryError
        return png()


Make = Callable[..., Embedder]


@pytest.fixture
def pictures() -> Iterator[Pictures]:
    source = Pictures()
    yield source
    source.release.set()


@pytest.fixture
def text() -> StandInText:
    return StandInText()


@pytest.fixture
def make(pictures: Pictures, text: StandInText) -> Iterator[Make]:
    made: list[Embedder] = []

    def embedder(batch: int = 4) -> Embedder:
        metrics = Metrics()
        made.append(
            Embedder(
                text,
                StandInPictures(),
                Preparation(
                    StandInPictures(),
                    pictures,
                    DecoderInProcess(),
                    fetchers=4,
                    fetchers_a_host=2,
                    decoders=1,
                    metrics=metrics,
                ),
                batch=batch,
                workers=2,
                metrics=metrics,
            )
        )
        return made[-1]

    yield embedder
    pictures.release.set()
    for each in made:
        each.close()


def some(count: int, **fields: Any) -> list[Any]:
    return [product(f"p{number}", **fields) for number in range(count)]


def test_each_product_gets_the_segments_that_it_has(make: Make, text: StandInText) -> None:
    done = make().embed([*some(9), product("bare", image_url=None)], ALL)
    assert {order.product.product_id for order in done} == {*(f"p{n}" for n in range(9)), "bare"}
    for order in done:
        assert set(order.vectors) == (ALL - {"image"} if order.product.product_id == "bare" else ALL)
        assert order.refusal is None
    assert max(map(len, text.batches)) <= 4


def test_only_what_is_needed_is_made(make: Make, text: StandInText) -> None:
    [order] = make().embed(some(1), frozenset({"image"}))
    assert set(order.vectors) == {"image"}
    assert text.batches == []


def test_a_refused_picture_is_told_and_the_rest_is_made(make: Make) -> None:
    [order] = make().embed(some(1, image_url="gone"), ALL)
    assert set(order.vectors) == {"text", "caption"}
    assert isinstance(order.refusal, Unreachable)


def test_a_slow_picture_holds_up_nobody_else(make: Make, pictures: Pictures) -> None:
    embedder = make()
    slow = Order(product("slow", image_url=SLOW), ALL)
    others = [Order(each, ALL) for each in some(3)]
    embedder.submit([slow, *others])
    done: list[Order] = []
    while len(done) < 3:
        done += embedder.collect(timeout_s=5)
    assert slow not in done
    pictures.release.set()
    assert embedder.collect(timeout_s=5) == [slow]


def test_there_is_room_for_a_few_batches(make: Make) -> None:
    embedder = make(batch=2)
    assert embedder.room == 2 * (2 + AHEAD)
    embedder.submit([Order(each, ALL) for each in some(3)])
    assert embedder.room == 2 * (2 + AHEAD) - 3


@pytest.mark.parametrize(
    ("address", "kind", "reason"),
    [
        ("odd", Unreadable, "cannot be prepared: ZeroDivisionError"),
        ("https://shop.example/odd", Unreadable, "cannot be prepared: ZeroDivisionError"),
        ("large", TooLarge, "no memory left"),
    ],
)
def test_whatever_a_picture_breaks_refuses_this_picture_only(
    make: Make, address: str, kind: type[PictureRefused], reason: str
) -> None:
    done = make().embed([*some(3), product("odd", image_url=address)], ALL)
    refusals = {order.product.product_id: order.refusal for order in done}
    refusal = refusals.pop("odd")
    assert isinstance(refusal, kind)
    assert reason in str(refusal)
    assert refusals == {"p0": None, "p1": None, "p2": None}


def test_one_hosts_pictures_do_not_take_the_room_of_others(make: Make, pictures: Pictures) -> None:
    embedder = make(batch=2)
    room = embedder.room
    embedder.submit([Order(product(f"slow{number}", image_url=SLOW), ALL) for number in range(2 * room)])
    assert embedder.room == room - 2  # those that are being fetched
    other = Order(product("other"), ALL)
    embedder.submit([other])
    assert embedder.collect(timeout_s=5) == [other]


def test_a_broken_model_is_raised_to_the_owner(make: Make, text: StandInText) -> None:
    text.encode = None  # type: ignore[method-assign, assignment]
    with pytest.raises(TypeError):
        make().embed(some(1), ALL)


def test_closing_does_not_wait_for_slow_pictures(make: Make) -> None:
    embedder = make()
    embedder.submit([Order(each, ALL) for each in some(4, image_url=SLOW)])
    embedder.close()
    assert embedder.collect() == []
