"""`catalogue load --full`: what the feed no longer has goes; sold out at once, deleted after a time."""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx
import msgspec
from tenacity import Retrying

from schemas.products import Product
from schemas.times import DAY_MS
from schemas.unreadable import Unreadable
from services.errors import OperationFailed, UsageError
from services.files import write_atomically
from services.kafka.admin import KafkaAdmin
from services.kafka.messages import PRODUCT, newest_of_topic
from services.kafka.ranges import open_reader
from services.ops.catalogue.feed_choice import FeedChoice
from services.ops.catalogue.mappings import BadRow, entries
from services.ops.catalogue.upload import RETRY_FOR_S, TIMEOUT_S
from services.ops.output import say
from services.ops.services import Unanswered, asking_ingest, bearer, patience, require_time
from services.ops.settings import OpsSettings

SHARE_MAX: Final = 0.2  # of the catalogue: more is rather half a feed than a shop that cleared its shelves
NAMED: Final = 5


class Departures(msgspec.Struct, frozen=True, kw_only=True):
    """What goes because the feed no longer has it, by id in order.

    `waiting` went before, and are deleted once their time is over; `newer` were changed after the file was
    written, so that it cannot know of them: they stay. `known` are all products of the catalogue.
    """

    known: int
    sold_out: list[str]
    deleted: list[str]
    waiting: list[str]
    newer: list[str]
    share: float

    @property
    def is_suspicious(self) -> bool:
        """Whether so much goes that the feed is probably not whole."""
        return self.share > SHARE_MAX


Since = dict[str, int]  # product → Unix ms since when no feed has had it


def find_departures(
    catalogue: Mapping[str, Product],
    listed: set[str],
    gone: Since,
    *,
    at: int,
    now: int,
    delete_after_ms: float,
) -> Departures:
    """What is to go, of products by id. `listed` are the feed's ids, `at` is its file's time (Unix ms)."""
    absent = sorted(catalogue.keys() - listed)
    newer = [each for each in absent if catalogue[each].updated_at > at]
    going = [each for each in absent if catalogue[each].updated_at <= at]
    buyable = {key for key, product in catalogue.items() if product.availability != "out_of_stock"}
    fresh = [each for each in going if each not in gone or each in buyable]
    before = [each for each in going if each in gone and each not in buyable]
    deleted = {each for each in before if now - gone[each] >= delete_after_ms}
    if delete_after_ms <= 0:
        deleted |= {*fresh}
    bases = ((len(fresh), len(catalogue) - len(before)), (len(buyable & {*fresh}), len(buyable)))
    return Departures(
        known=len(catalogue),
        sold_out=[each for each in fresh if each not in deleted],
        deleted=sorted(deleted),
        waiting=[each for each in before if each not in deleted],
        newer=newer,
        share=max((count / base for count, base in bases if base), default=0.0),
    )


def find_ids(chosen: FeedChoice) -> tuple[set[str], int]:
    """The ids of all products that the feed names, in refused rows too; and how many rows name none."""
    found, unreadable = set[str](), 0
    for _, each in entries(chosen.feed, chosen.mapping, chosen.defaults):
        if isinstance(each, Product):
            found.add(each.product_id)
        elif isinstance(each, BadRow):
            found.update(each.product_ids)
            unreadable += not each.product_ids
    return found, unreadable


class FullSync:
    """What a feed that tells the whole catalogue takes away from it. Raises OperationFailed."""

    def __init__(
        self, chosen: FeedChoice, settings: OpsSettings, state: Path, cluster: str, now: int
    ) -> None:
        """`cluster`: which Kafka, and which topics of it, ingest writes."""
        self._settings = settings
        self._at, self._now = chosen.defaults.updated_at, now
        about = f"gone: {settings.ingest_url} of {cluster}"
        self._path = state / f"{blake2b(about.encode(), digest_size=12).hexdigest()}.gone"
        own = f"{KafkaAdmin(settings).cluster_id()}/{settings.topic_prefix}"
        if cluster != own:
            raise OperationFailed(
                f"ingest at {settings.ingest_url} writes to another Kafka or other topics "
                f"({cluster or 'unknown'}) than EDDY_KAFKA_BOOTSTRAP and EDDY_TOPIC_PREFIX name ({own}): "
                "set them alike"
            )
        with open_reader(settings) as reader:
            found = newest_of_topic(reader, PRODUCT)
        self._catalogue = {key: each for key, each in found.items() if not isinstance(each, Unreadable)}
        self._gone = self._read()
        listed, self.unreadable = find_ids(chosen)
        self.departures = find_departures(
            self._catalogue,
            listed,
            self._gone,
            at=self._at,
            now=now,
            delete_after_ms=settings.catalogue_delete_after_days * DAY_MS,
        )

    def require_consent(self, *, yes: bool) -> None:
        """Raises UsageError where so much would go, or so little is known, that a person must agree."""
        found = self.departures
        going = len(found.sold_out) + len(found.deleted)
        if yes or not going:
            return
        if self.unreadable:
            raise UsageError(
                f"{self.unreadable:,} rows of the feed cannot be read, so nobody knows whether their "
                f"products are still there, and {going:,} would go; nothing was sent: mend them "
                "(`catalogue check` tells which), or say --yes"
            )
        if found.is_suspicious:
            first = ", ".join([*found.sold_out, *found.deleted][:NAMED])
            raise UsageError(
                f"{going:,} of {found.known:,} products are not in the feed and would go "
                f"({found.share:.0%}, more than {SHARE_MAX:.0%}), such as {first}; nothing was sent: is the "
                "feed whole? --full --dry-run lists them, --yes lets them go"
            )

    def products_to_sell_out(self) -> list[Product]:
        """The products as they are to be sent: as of the file's time they cannot be bought."""
        return [
            msgspec.structs.replace(
                self._catalogue[each], availability="out_of_stock", updated_at=self._at, price_changes=()
            )
            for each in self.departures.sold_out
            if self._catalogue[each].availability != "out_of_stock"
        ]

    def delete(self) -> None:
        """Deletes what is to be deleted. Raises Unanswered."""
        url = self._settings.ingest_url
        with httpx.Client(base_url=url, headers=bearer(self._settings.api_key), timeout=TIMEOUT_S) as client:
            for product_id in self.departures.deleted:
                Retrying(**patience(RETRY_FOR_S))(_delete, client, url, product_id, self._now)

    def remember(self) -> None:
        """Since when each has been gone, for the next load. Raises OSError."""
        found = self.departures
        gone = {each: self._gone.get(each, self._now) for each in (*found.waiting, *found.sold_out)}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path, msgspec.json.encode(gone))

    def _read(self) -> Since:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Since)
        except FileNotFoundError:
            return {}
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise OperationFailed(f"{self._path} is broken ({error}): remove it, or set --state") from None


def _delete(client: httpx.Client, url: str, product_id: str, at: int) -> None:
    with asking_ingest(url):
        answer = client.delete(f"/v1/products/{quote(product_id, safe='')}", params={"deleted_at": str(at)})
    require_time(answer)
    if not answer.is_success:
        raise Unanswered(f"ingest answered {answer.status_code}: {answer.text}")


def show(found: Departures) -> None:
    """Prints every product that goes, a line each, and the sum."""
    lists: Iterable[tuple[str, list[str]]] = (
        ("sold out", found.sold_out),
        ("deleted", found.deleted),
        ("changed after the file was written, stays", found.newer),
    )
    for what, ids in lists:
        for each in ids:
            say(f"{what}: {each}")
    say(
        f"--full: of {found.known:,} products {len(found.sold_out):,} would be sold out and "
        f"{len(found.deleted):,} deleted; {len(found.waiting):,} are gone already"
    )
