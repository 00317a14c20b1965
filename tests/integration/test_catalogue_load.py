"""`catalogue load` with a real ingest: killed in the middle it goes on, loaded twice it changes nothing."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self
from xml.sax.saxutils import escape

import pytest

from infra.stack.broker import Broker
from schemas import products
from schemas.products import Product
from schemas.topics import PRODUCT_VECTORS, PRODUCTS
from services.ops.catalogue.upload import BATCH
from services.settings import ServiceSettings
from tests.support.kafka import create_topics, read_topic
from tests.support.launcher import ModuleProcess, start_module
from tests.support.patience import patiently
from tests.support.services import KEY, RunningService, run_service

pytestmark = pytest.mark.timeout(300)

IN_FLIGHT_MAX = 4 * 500  # batches that ingest has, and whose answers a killed load never read
HEAD_BYTES = 1_000  # more than the journal's first line


def item(number: int, price: str = "15.00 USD") -> str:
    fields = {
        "id": f"sku-{number}",
        "title": f"Dress {number}",
        "description": f"<p>Dress &amp; number {number}</p>",
        "link": f"https://shop.example/{number}",
        "price": price,
        "availability": "in stock" if number % 7 else "out_of_stock",
        "brand": "Solberg",
        "product_type": "Women > Dresses",
        "color": "Red",
    }
    return f"<item>{''.join(f'<g:{name}>{escape(text)}</g:{name}>' for name, text in fields.items())}</item>"


def write_feed(path: Path, items: Iterable[str], mtime_s: int = 1_700_000_000) -> Path:
    head = '<?xml version="1.0"?><rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel>'
    path.write_text(f"{head}{''.join(items)}</channel></rss>")
    os.utime(path, (mtime_s, mtime_s))
    return path


class Loader:
    """The command, with a state folder of its own."""

    def __init__(self, ingest: RunningService, state: Path) -> None:
        self.state = state
        self._variables = os.environ | {
            "EDDY_INGEST_URL": ingest.url,
            "EDDY_API_KEY": KEY,
        }

    def of(self, settings: ServiceSettings, **more: str) -> Self:
        """This command, with Kafka's address and other variables."""
        self._variables |= {
            "EDDY_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
            "EDDY_TOPIC_PREFIX": settings.topic_prefix,
        }
        self._variables |= more
        return self

    def fail(self, feed: Path, *more: str) -> str:
        """What a load that cannot be done says."""
        process = self.start(feed, *more)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 2, errors
        assert "Traceback" not in errors
        return errors

    def start(self, feed: Path, *more: str) -> ModuleProcess:
        command = ("catalogue", "load", str(feed), "--json", "--state", str(self.state))
        return start_module("services.ops", *command, *more, environment=self._variables)

    def load(self, feed: Path, *more: str) -> dict[str, Any]:
        """A whole load's summary."""
        process = self.start(feed, *more)
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, output + errors
        return dict(json.loads(output))

    def kill_after(self, feed: Path, acknowledged: int) -> int:
        """kill -9 once so many products are in the journal; answers how many are."""
        process = self.start(feed)

        @patiently(60, 0.002)
        def far_enough() -> None:
            assert process.poll() is None, "the load was over before it could be killed"
            [journal] = self.state.glob("*.journal")
            assert journal.stat().st_size >= HEAD_BYTES + 16 * acknowledged

        far_enough()
        process.kill()
        process.communicate()
        [journal] = self.state.glob("*.journal")
        content = journal.read_bytes()
        return (len(content) - content.index(b"\n") - 1) // 16


@pytest.fixture
def ingest(kafka: ServiceSettings, tmp_path: Path) -> Iterator[RunningService]:
    with run_service("ingest", kafka, tmp_path / "ingest.log") as process:
        yield process


@pytest.fixture
def loader(ingest: RunningService, tmp_path: Path) -> Loader:
    return Loader(ingest, tmp_path / "state")


def on_topic(settings: ServiceSettings) -> list[Product]:
    return [products.decode(each.value() or b"") for each in read_topic(settings, PRODUCTS)]


@patiently(20)
def all_sent(settings: ServiceSettings) -> Counter[str]:
    """How often each product is on the topic, once ingest has written all that a killed load had sent."""
    first, again = (Counter(each.product_id for each in on_topic(settings)) for _ in range(2))
    assert first == again
    assert again.total() % BATCH == 0  # a batch is written whole
    return again


def test_what_another_cluster_has_acknowledged_is_sent_to_this_one(
    kafka: ServiceSettings, broker: Broker, tmp_path: Path
) -> None:
    """The same file to the same URL; behind it are other topics, as after `make clean`."""
    feed = write_feed(tmp_path / "feed.xml", map(item, range(30)))
    with run_service("ingest", kafka, tmp_path / "one.log") as one:
        loader = Loader(one, tmp_path / "state")
        assert loader.load(feed, "--only-changed")["accepted"] == 30
        assert loader.load(feed, "--only-changed")["skipped"] == 30
        one.kill()
        with run_service("ingest", create_topics(broker), tmp_path / "two.log", port=one.port):
            assert loader.load(feed, "--only-changed")["accepted"] == 30
            assert loader.load(feed, "--only-changed")["skipped"] == 30


def test_a_merchant_feed_arrives_as_products(kafka: ServiceSettings, loader: Loader, tmp_path: Path) -> None:
    feed = write_feed(tmp_path / "feed.xml", map(item, range(1_200)))
    summary = loader.load(feed)
    assert (summary["accepted"], summary["rejected"], summary["skipped"]) == (1_200, 0, 0)
    arrived = {each.product_id: each for each in on_topic(kafka)}
    assert len(arrived) == 1_200
    assert arrived["sku-8"] == Product(
        product_id="sku-8",
        name="Dress 8",
        description="Dress & number 8",
        price=15.0,
        currency="USD",
        availability="in_stock",
        updated_at=1_700_000_000_000,
        category=("Women", "Dresses"),
        type="Dresses",
        brand="Solberg",
        tags=("red",),
        url="https://shop.example/8",
    )


def test_a_load_that_was_killed_goes_on_where_it_was(
    kafka: ServiceSettings, loader: Loader, tmp_path: Path
) -> None:
    count = 20_000
    feed = write_feed(tmp_path / "feed.xml", map(item, range(count)))
    acknowledged = loader.kill_after(feed, 5_000)
    before = all_sent(kafka)
    assert 5_000 <= acknowledged < count
    assert acknowledged <= len(before) <= acknowledged + IN_FLIGHT_MAX
    assert set(before.values()) == {1}

    summary = loader.load(feed)
    assert summary["skipped"] == acknowledged
    assert summary["accepted"] == count - acknowledged
    arrived = Counter(each.product_id for each in on_topic(kafka))
    assert len(arrived) == count
    # Twice came only what the killed load had sent and not heard of; never what it knew to be in.
    assert sum(arrived.values()) - count == len(before) - acknowledged
    assert not list(loader.state.glob("*.journal"))


def test_a_feed_that_changed_after_the_kill_is_loaded_anew(
    kafka: ServiceSettings, loader: Loader, tmp_path: Path
) -> None:
    count = 10_000
    feed = write_feed(tmp_path / "feed.xml", map(item, range(count)))
    loader.kill_after(feed, 1_000)
    write_feed(feed, (item(number, "9.00 USD") for number in range(count)), mtime_s=1_700_000_100)
    assert loader.load(feed)["accepted"] == count
    newest = {each.product_id: each.price for each in on_topic(kafka)}
    assert newest == {f"sku-{number}": 9.0 for number in range(count)}


def test_a_second_load_says_the_same_and_only_changed_says_what_is_new(
    kafka: ServiceSettings, loader: Loader, tmp_path: Path
) -> None:
    feed = write_feed(tmp_path / "feed.xml", map(item, range(1_000)))
    loader.load(feed)
    first = {each.key(): each.value() for each in read_topic(kafka, PRODUCTS)}
    assert loader.load(feed)["accepted"] == 1_000
    again = read_topic(kafka, PRODUCTS)
    assert len(again) == 2_000
    assert {each.key(): each.value() for each in again} == first

    assert loader.load(feed, "--only-changed")["accepted"] == 1_000  # the first that remembers
    write_feed(feed, map(item, range(1_000)), mtime_s=1_700_086_400)  # as exported the next day
    summary = loader.load(feed, "--only-changed")
    assert (summary["accepted"], summary["skipped"]) == (0, 1_000)
    assert len(read_topic(kafka, PRODUCTS)) == 3_000

    new_price = (item(number, "9.00 USD" if number == 5 else "15.00 USD") for number in range(1_000))
    write_feed(feed, new_price, mtime_s=1_700_172_800)
    assert loader.load(feed, "--only-changed")["accepted"] == 1
    newest = {each.product_id: each.price for each in on_topic(kafka)}
    assert newest["sku-5"] == 9.0
    assert loader.load(feed, "--only-changed", "--restart")["accepted"] == 1_000


def test_an_unchanged_feed_with_a_newer_time_embeds_nothing_again(
    kafka: ServiceSettings, ingest: RunningService, loader: Loader, tmp_path: Path
) -> None:
    count = 30
    with run_service("embedder", kafka, tmp_path / "embedder.log") as embedder:
        feed = write_feed(tmp_path / "feed.xml", map(item, range(count)))
        loader.load(feed)
        wait_for_published(embedder, count)
        made = segments(embedder)
        assert made > 0
        write_feed(feed, map(item, range(count)), mtime_s=1_700_086_400)
        loader.load(feed)
        wait_for_published(embedder, 2 * count)
        assert segments(embedder) == made
        loader.load(feed)
        dealt_with(embedder, "unchanged", count)
        assert segments(embedder) == made
    keys = [each.key() for each in read_topic(kafka, PRODUCT_VECTORS)]
    assert len(set(keys)) == count


def segments(embedder: RunningService) -> float:
    """Segments that a model made so far."""
    return metric(embedder, r"eddy_embedder_segments_total\{.*\}")


def wait_for_published(embedder: RunningService, count: int) -> None:
    dealt_with(embedder, "published", count)


@patiently(90)
def dealt_with(embedder: RunningService, outcome: str, count: int) -> None:
    told = metric(embedder, rf'eddy_embedder_products_total\{{outcome="{outcome}"\}}')
    assert told == count, f"{told} of {count} {outcome}"


def metric(service: RunningService, pattern: str) -> float:
    """The sum of a metric's samples."""
    text = service.metrics()
    return sum(map(float, re.findall(rf"^{pattern} (\S+)$", text, re.M)))


def states(settings: ServiceSettings) -> dict[str, str]:
    """The availability of each product on the topic; what is deleted is not there."""
    newest = {(each.key() or b"").decode(): each.value() for each in read_topic(settings, PRODUCTS)}
    return {key: products.decode(value).availability for key, value in newest.items() if value is not None}


def test_a_full_load_takes_away_what_the_feed_no_longer_has(
    kafka: ServiceSettings, loader: Loader, tmp_path: Path
) -> None:
    loader.of(kafka)
    feed = write_feed(tmp_path / "feed.xml", map(item, range(1, 7)))
    assert loader.load(feed, "--full")["accepted"] == 6

    write_feed(feed, map(item, range(1, 6)), mtime_s=1_700_086_400)
    listed = loader.load(feed, "--full", "--dry-run")
    assert listed["full"]["sold_out"] == ["sku-6"]
    assert states(kafka)["sku-6"] == "in_stock"
    assert loader.load(feed, "--full")["sold_out"] == 1
    assert states(kafka)["sku-6"] == "out_of_stock"
    again = loader.load(feed, "--full")
    assert (again["sold_out"], again["deleted"]) == (0, 0)

    write_feed(feed, map(item, range(1, 4)), mtime_s=1_700_172_800)
    refused = loader.fail(feed, "--full")
    assert "2 of 6 products are not in the feed" in refused
    assert "--yes" in refused
    assert states(kafka)["sku-5"] == "in_stock"
    assert loader.load(feed, "--full", "--yes")["sold_out"] == 2

    loader.of(kafka, EDDY_CATALOGUE_DELETE_AFTER_DAYS="0.0000001")
    assert loader.load(feed, "--full")["deleted"] == 3
    assert states(kafka) == {f"sku-{number}": "in_stock" for number in range(1, 4)}


def test_what_comes_back_into_a_full_feed_is_for_sale_again_and_what_is_newer_stays(
    kafka: ServiceSettings, loader: Loader, tmp_path: Path
) -> None:
    loader.of(kafka)
    feed = write_feed(tmp_path / "feed.xml", map(item, range(1, 7)))
    options = ("--full", "--only-changed")
    loader.load(feed, *options)
    write_feed(feed, map(item, range(1, 6)), mtime_s=1_700_086_400)
    assert loader.load(feed, *options)["sold_out"] == 1
    write_feed(feed, map(item, range(1, 7)), mtime_s=1_700_172_800)
    assert loader.load(feed, *options)["accepted"] == 1
    assert states(kafka)["sku-6"] == "in_stock"

    late = write_feed(tmp_path / "late.xml", [item(8)], mtime_s=1_700_300_000)
    loader.load(late)
    write_feed(feed, map(item, range(1, 7)), mtime_s=1_700_200_000)
    summary = loader.load(feed, *options)
    assert (summary["sold_out"], summary["kept"]) == (0, 1)
    assert states(kafka)["sku-8"] == "in_stock"


def test_a_full_load_beside_the_topics_that_ingest_writes_is_refused(
    kafka: ServiceSettings, loader: Loader, tmp_path: Path
) -> None:
    feed = write_feed(tmp_path / "feed.xml", map(item, range(3)))
    told = loader.of(kafka, EDDY_TOPIC_PREFIX="other.").fail(feed, "--full")
    assert "EDDY_TOPIC_PREFIX" in told


def test_a_broken_place_costs_its_item_and_a_feed_that_broke_off_goes_on_once_it_is_mended(
    kafka: ServiceSettings, loader: Loader, tmp_path: Path
) -> None:
    count = 1_200
    feed = tmp_path / "feed.xml"
    items = [item(number) for number in range(count)]
    broken = [*items[:700], items[700].replace("Solberg", "Sol & berg"), *items[701:]]
    write_feed(feed, broken)
    cut = feed.read_bytes()[:-1_000]
    feed.write_bytes(cut)
    os.utime(feed, (1_700_000_000, 1_700_000_000))
    told = loader.fail(feed)
    there = {each.product_id for each in on_topic(kafka)}
    assert "cut off" in told
    assert f"The {len(there):,} products before that place are in" in told
    assert "sku-699" in there
    assert "sku-700" not in there
    assert "sku-701" in there
    assert len(there) > count - 10

    write_feed(feed, items, mtime_s=1_700_000_100)
    summary = loader.load(feed)
    assert (summary["skipped"], summary["accepted"]) == (len(there), count - len(there))
    assert len(on_topic(kafka)) == count


def test_of_two_rows_of_a_file_about_one_product_the_newest_is_on_the_topic(
    kafka: ServiceSettings, loader: Loader, tmp_path: Path
) -> None:
    row = {"product_id": "k", "name": "Kettle", "price": 40, "currency": "EUR", "availability": "in_stock"}
    older = row | {"updated_at": 1_700_000_000_000}
    newer = row | {"updated_at": 1_700_003_600_000, "price": 35, "availability": "out_of_stock"}
    for number, several in enumerate(([older, newer], [newer, older])):
        rows = [each | {"product_id": f"k{number}"} for each in several]
        feed = tmp_path / f"{number}.jsonl"
        feed.write_text("\n".join(map(json.dumps, rows)))
        loader.load(feed)
    assert states(kafka) == {"k0": "out_of_stock", "k1": "out_of_stock"}
