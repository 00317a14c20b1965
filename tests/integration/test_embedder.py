"""The embedder as a real process with its real models on a real broker: products in, vectors out."""

import io
import signal
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from msgspec.structs import replace
from PIL import Image

from infra.stack.broker import Broker
from schemas import deadletters, products, vectors
from schemas.topics import PRODUCT_VECTORS, PRODUCTS
from schemas.vectors import ProductVectors, unpack
from services.kafka.admin import create
from services.settings import ServiceSettings
from tests.support.embedder_service import (
    LAYOUT,
    NOW,
    EmbedderService,
    boot,
    count_committed,
    inline,
    picture,
    put,
    read_dead_letters,
    read_vectors,
    run_embedder,
    wait_for,
    wait_until_committed,
)
from tests.support.kafka import QUICKLY_BACK, create_topics, quick_config, read_topic
from tests.support.machine import free_ports
from tests.support.patience import patiently, wait_until
from tests.support.picture_server import serve

pytestmark = pytest.mark.timeout(300)


def segment(found: ProductVectors, name: str) -> bytes:
    return unpack(found.content)[LAYOUT.slices[name]].tobytes()


def length(found: ProductVectors, name: str) -> float:
    return float(np.linalg.norm(unpack(found.content)[LAYOUT.slices[name]]))


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue's folder with one picture, beside a file that is none of its business."""
    folder = tmp_path_factory.mktemp("shop") / "catalogue"
    (folder / "pictures").mkdir(parents=True)
    (folder / "pictures" / "blue.png").write_bytes(picture("blue"))
    (folder.parent / "secret.png").write_bytes(picture("black"))
    (folder / "pictures" / "link.png").symlink_to(folder.parent / "secret.png")
    return folder


@pytest.fixture(scope="module")
def topics(broker: Broker) -> ServiceSettings:
    """One set of topics for the tests that look only at products of their own."""
    return create_topics(broker)


@pytest.fixture(scope="module")
def embedder(
    topics: ServiceSettings, catalogue: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbedderService]:
    log = tmp_path_factory.mktemp("embedder") / "log"
    with run_embedder(topics, log, EDDY_CATALOGUE_DIR=str(catalogue)) as process:
        yield process


class _Shop(BaseHTTPRequestHandler):
    """Pictures of a shop: /red.png, /broken.png is none, /once.png is 503 at first, /away leads to red."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "/red.png")
            self.end_headers()
            return
        passing = self.path == "/once.png" and self.asked.count(self.path) == 1
        known = self.path in ("/red.png", "/broken.png", "/once.png")
        body = b"no picture" if self.path == "/broken.png" else picture("red")
        self.send_response(503 if passing else 200 if known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


@pytest.fixture
def shop() -> Iterator[str]:
    """A picture server on loopback."""
    _Shop.asked.clear()
    with serve(_Shop) as url:
        yield url


def test_a_product_becomes_a_vector_with_every_segment(
    embedder: EmbedderService, topics: ServiceSettings
) -> None:
    sent = [
        boot("a", image_url=inline(picture("red"))),
        boot("b", image_url="pictures/blue.png"),
        boot("bare", description=None, brand=None, category=(), type=None, popularity=None),
    ]
    put(topics, *sent)
    found = wait_for(topics, *sent)
    wait_until_committed(topics)
    for product_id in ("a", "b"):
        assert found[product_id].layout == LAYOUT.id
        lengths = {name: length(found[product_id], name) for name, _ in LAYOUT.widths}
        assert lengths == pytest.approx(dict.fromkeys(lengths, 1.0), abs=2e-3)
        assert set(found[product_id].hashes) == set(lengths)
    lacking = {name for name, _ in LAYOUT.widths if length(found["bare"], name) == 0}
    assert lacking == {"image", "category", "brand", "type", "popularity"}
    assert not {"a", "b", "bare"} & {key.decode() for key, _, _ in read_dead_letters(topics)}
    assert segment(found["a"], "image") != segment(found["b"], "image")


def thin_picture() -> bytes:
    """What a model that scales the shorter edge would make gigabytes of."""
    buffer = io.BytesIO()
    Image.new("L", (19_000, 1)).save(buffer, "PNG")
    return buffer.getvalue()


def test_pictures_that_cannot_be_had_are_left_out_and_said_why(
    embedder: EmbedderService, topics: ServiceSettings, shop: str
) -> None:
    addresses = {
        "private": (f"{shop}/red.png", "not a public address"),
        "outside": ("../secret.png", "not inside the catalogue"),
        "absolute": ("/etc/passwd", "not inside the catalogue"),
        "link": ("pictures/link.png", "not inside the catalogue"),
        "missing": ("pictures/none.png", "no file"),
        "thin": (inline(thin_picture()), "20 times as many"),
        "rubbish": (inline(b"no picture"), "no picture that can be read"),
        "scheme": ("file:///etc/passwd", "not fetched"),
    }
    sent = [boot(key, image_url=address) for key, (address, _) in addresses.items()]
    put(topics, *sent)
    found = wait_for(topics, *sent)
    wait_until_committed(topics)  # the vectors may be there before the letters
    reasons = {key.decode(): (value, headers) for key, value, headers in read_dead_letters(topics)}
    for product in sent:
        assert length(found[product.product_id], "image") == 0
        assert "image" not in found[product.product_id].hashes
        assert length(found[product.product_id], "caption") == pytest.approx(1, abs=2e-3)
        value, headers = reasons[product.product_id]
        assert products.decode(value) == product
        assert addresses[product.product_id][1] in headers[deadletters.REASON]
        assert (headers[deadletters.SERVICE], headers[deadletters.STAGE]) == ("embedder", "picture")
        assert headers[deadletters.SOURCE].startswith(topics.topic(PRODUCTS) + "/")
    assert _Shop.asked == []


def test_a_change_embeds_only_what_changed(embedder: EmbedderService, topics: ServiceSettings) -> None:
    first = boot("changes", image_url=inline(picture("green")))
    put(topics, first)
    before = wait_for(topics, first)["changes"]
    made = embedder.count_made()
    cheaper = replace(first, price=10.0, availability="out_of_stock", updated_at=NOW + 1)
    put(topics, cheaper)
    after = wait_for(topics, cheaper)["changes"]
    changed = {name for name, _ in LAYOUT.widths if segment(before, name) != segment(after, name)}
    assert changed == {"price"}
    assert embedder.count_made() == made
    renamed = replace(cheaper, description="Lined.", updated_at=NOW + 2)
    put(topics, renamed)

    def check_embedded_anew() -> None:
        now = wait_for(topics, renamed)["changes"]
        assert {name for name, _ in LAYOUT.widths if segment(after, name) != segment(now, name)} == {"text"}

    wait_until(check_embedded_anew)
    assert embedder.count_made() == {**made, "text": made["text"] + 1}


def test_the_newest_counts_and_a_tombstone_removes(
    embedder: EmbedderService, topics: ServiceSettings
) -> None:
    newest = boot("newest", name="The newest", updated_at=NOW + 5)
    put(topics, boot("newest", updated_at=NOW + 3), newest, boot("newest", name="Older", updated_at=NOW + 4))
    put(topics, boot("gone"), ("gone", None))
    wait_for(topics, newest)
    put(topics, boot("newest", name="Older", updated_at=NOW + 4), mark := boot("newest-mark"))
    wait_for(topics, mark)
    wait_until_committed(topics)
    found = read_vectors(topics)
    assert found["newest"] is not None
    assert found["newest"].product == newest
    assert found["gone"] is None
    put(topics, ("newest", None))

    def check_removed() -> None:
        assert read_vectors(topics)["newest"] is None

    wait_until(check_removed)


def test_what_is_no_product_goes_to_the_dead_letters_and_stops_nothing(
    embedder: EmbedderService, topics: ServiceSettings
) -> None:
    bad = [("bad", b"{"), ("bad", b'{"product_id": "bad"}'), ("bad", products.encode(boot("another")))]
    after = boot("after")
    put(topics, *bad, after)
    wait_for(topics, after)
    wait_until_committed(topics)
    found = [(value, headers) for key, value, headers in read_dead_letters(topics) if key == b"bad"]
    assert [value for value, _ in found] == [value for _, value in bad]
    assert {headers[deadletters.STAGE] for _, headers in found} == {"decode"}
    assert "another" in found[2][1][deadletters.REASON]
    assert "another" not in read_vectors(topics)


def test_a_restart_embeds_nothing_again(
    kafka: ServiceSettings, catalogue: Path, shop: str, tmp_path: Path
) -> None:
    sent = [
        boot("inline", image_url=inline(picture("red"))),
        boot("file", image_url="pictures/blue.png"),
        boot("http", image_url=f"{shop}/red.png"),
        boot("redirect", image_url=f"{shop}/away"),
        boot("twice", image_url=f"{shop}/once.png"),
        boot("broken", image_url=f"{shop}/broken.png"),
        boot("none", image_url=f"{shop}/none.png"),
    ]
    options: dict[str, Any] = {"EDDY_CATALOGUE_DIR": str(catalogue), "EDDY_PICTURE_PRIVATE_HOSTS": "true"}
    with run_embedder(kafka, tmp_path / "log", **options) as first:
        put(kafka, *sent)
        found = wait_for(kafka, *sent)
        wait_until_committed(kafka)
        assert first.count_made() == {"text": 7, "caption": 7, "image": 5}
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(timeout=5) == 0
    pictured = {key for key, each in found.items() if length(each, "image") > 0}
    assert pictured == {"inline", "file", "http", "redirect", "twice"}
    assert segment(found["http"], "image") == segment(found["inline"], "image")
    reasons = {key.decode(): headers[deadletters.REASON] for key, _, headers in read_dead_letters(kafka)}
    assert set(reasons) == {"broken", "none"}, reasons
    assert "no picture that can be read" in reasons["broken"]
    assert "status 404" in reasons["none"]
    with run_embedder(kafka, tmp_path / "log", **options) as second:
        later = [replace(each, updated_at=NOW + 1) for each in sent[:5]]
        put(kafka, *sent[:5], *later)
        again = wait_for(kafka, *later)
        wait_until_committed(kafka)
        assert second.count_made() == {"text": 0, "caption": 0, "image": 0}
        assert all(again[each.product_id].content == found[each.product_id].content for each in later)
        asked = len(_Shop.asked)
        put(kafka, tried := replace(sent[5], updated_at=NOW + 2))
        wait_for(kafka, tried)
        wait_until_committed(kafka)
        assert _Shop.asked[asked:] == ["/broken.png"]
        assert second.count_made() == {"text": 0, "caption": 0, "image": 0}
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_kill_in_the_middle_loses_nothing(kafka: ServiceSettings, tmp_path: Path) -> None:
    sent = [boot(f"p{number:03d}", image_url=inline(picture("red"))) for number in range(300)]
    with run_embedder(kafka, tmp_path / "log") as killed:
        put(kafka, *sent)

        def some() -> None:
            assert 0 < len(read_topic(kafka, PRODUCT_VECTORS)) < 300

        wait_until(some, every_s=0.01)
        killed.process.kill()
        killed.process.wait()
    before = len(read_vectors(kafka))
    assert 0 < before < 300
    with run_embedder(kafka, tmp_path / "log", EDDY_BAD_PRODUCTS_IN_A_ROW="3") as second:
        found = wait_for(kafka, *sent)
        wait_until_committed(kafka)
        assert second.count_made()["text"] == 300 - before  # what was there is not made again
        put(kafka, *((f"bad{number}", b"{") for number in range(40)))
        assert second.process.wait(timeout=20) == 70
    assert all(length(each, "image") > 0 for each in found.values())
    assert "bad messages in a row" in (tmp_path / "log").read_text()
    assert count_committed(kafka) < 340


def test_embedders_share_the_work_and_take_it_over(kafka: ServiceSettings, tmp_path: Path) -> None:
    first, second = ([boot(f"{part}{number:03d}") for number in range(200)] for part in "ab")
    with run_embedder(kafka, tmp_path / "one", EDDY_EMBEDDER_INSTANCE="one") as one:
        put(kafka, *first)
        with run_embedder(kafka, tmp_path / "two", EDDY_EMBEDDER_INSTANCE="two") as two:
            put(kafka, *second)

            def both_work() -> None:
                assert all(each.count_made()["text"] > 20 for each in (one, two))

            wait_until(both_work)
            one.process.send_signal(signal.SIGTERM)
            assert one.process.wait(timeout=5) == 0
            wait_for(kafka, *first, *second)
            wait_until_committed(kafka)
    for name in ("one", "two"):
        assert "Traceback" not in (tmp_path / name).read_text()


def test_vectors_of_another_layout_stop_the_start(kafka: ServiceSettings, tmp_path: Path) -> None:
    foreign = ProductVectors(product=boot("foreign"), layout="v0/text:3", content=b"", hashes={}, models={})
    producer = Producer(quick_config(kafka, linger_ms=0))
    producer.produce(kafka.topic(PRODUCT_VECTORS), vectors.encode(foreign), b"foreign")
    assert producer.flush(10) == 0
    with pytest.raises(AssertionError, match="EDDY_TEXT_WIDTH"), run_embedder(kafka, tmp_path / "log"):
        pass


def test_a_broker_that_is_away_is_waited_for(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "kafka", *free_ports(2), more=QUICKLY_BACK)
    broker.prepare()
    settings = ServiceSettings(kafka_bootstrap=broker.bootstrap)
    process = _start(broker)
    try:
        create(settings)
        with run_embedder(settings, tmp_path / "log") as embedder:
            put(settings, first := boot("first"))
            wait_for(settings, first)
            process.kill()
            process.wait()
            process = _start(broker)
            assert embedder.process.poll() is None
            put(settings, second := boot("second"))
            wait_for(settings, second)
            wait_until_committed(settings)
    finally:
        process.kill()
        process.wait()


def _start(broker: Broker) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(broker.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @patiently(60)
    def answers() -> None:
        AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0}).list_topics(timeout=2)

    answers()
    return process


# The last, since its embedder goes on with hundreds of long texts.
def test_a_sold_out_product_does_not_wait_behind_new_ones(
    embedder: EmbedderService, topics: ServiceSettings
) -> None:
    known = boot("sells-out")
    put(topics, known)
    wait_for(topics, known)
    interim = embedder.metric("eddy_embedder_products_total", outcome="interim")
    put(topics, *(boot(f"new{number}", description=f"Number {number}. " * 60) for number in range(600)))
    sold_out = replace(known, availability="out_of_stock", description="Gone.", updated_at=NOW + 1)
    put(topics, sold_out)

    def check_interim() -> None:
        assert embedder.metric("eddy_embedder_products_total", outcome="interim") == interim + 1

    wait_until(check_interim)
    assert embedder.metric("eddy_embedder_products_waiting") > 300
