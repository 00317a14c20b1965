"""Whether events and slots name products that there are: a sample of the newest, asked of the recommender."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from schemas.times import DAY_MS
from schemas.topics import EVENTS, RECOMMENDATIONS, Topic
from services.archive.history_events import HISTORY_EVENT
from services.clock import now_ms
from services.kafka.messages import IMPRESSION, MessageType, T, read_value
from services.kafka.ranges import RangeReader, open_reader
from services.ops.doctor.report import Finding, State
from services.ops.services import Recommender, Unanswered
from services.ops.settings import OpsSettings
from services.time_range import TimeRange

SAMPLE: Final = 10_000  # messages of a topic, the newest of each partition: half a second
IDS_MAX: Final = 2_000  # of the sample, the most frequent: 50 requests
NAMED: Final = 5
WARN_SHARE: Final = 0.01  # products go, and their pages stay open a while
BAD_SHARE: Final = 0.5

Named = Sequence[tuple[str, ...]]  # the products that each of some messages names


def products(settings: OpsSettings) -> list[Finding]:
    """Two lines: what events name, and what slots of live pages ask for."""
    with open_reader(settings) as reader:
        events = [each.products() for each in _sample(reader, EVENTS, HISTORY_EVENT)]
        shown = list(_sample(reader, RECOMMENDATIONS, IMPRESSION))
    # A slot of an unknown product is filled with what is popular, and recorded so.
    asked = [(row.product_id, row.fallback) for row in shown if row.product_id is not None]
    missed = Counter(product for product, fallback in asked if fallback == "unknown_product")
    slots = judge("products of slots", "rows about a product", missed.total(), len(asked), missed)
    return [_of_events(settings, [each for each in events if each]), slots]


def _of_events(settings: OpsSettings, named: Named) -> Finding:
    check, ids = "products of events", Counter(product for each in named for product in each)
    try:
        with Recommender(settings) as recommender:
            # Ids beyond the most frequent are not asked for, and count as known.
            known = recommender.find_known([product for product, _ in ids.most_common(IDS_MAX)])
    except Unanswered as error:
        return Finding(check, "warn", f"not looked at: {error}", "see the line of the recommender")
    unknown = Counter({product: ids[product] for product, is_known in known.items() if not is_known})
    apart = sum(any(product in unknown for product in each) for each in named)
    return judge(check, "events", apart, len(named), unknown)


def judge(check: str, what: str, apart: int, count: int, ids: Counter[str]) -> Finding:
    """`apart` of `count` messages name products that nobody knows, `ids` says which and how often."""
    if not count:
        return Finding(check, "ok", f"no {what} in the last day")
    if not apart:
        return Finding(check, "ok", f"{count:,} {what} of the last day name products that there are")
    share = apart / count
    top = ", ".join(f"{product} ({times:,}×)" for product, times in ids.most_common(NAMED))
    more = f" and {len(ids) - NAMED:,} more" if len(ids) > NAMED else ""
    found = f"{apart:,} of {count:,} {what} of the last day ({share:.1%}) name unknown products: {top}{more}"
    state: State = "bad" if share >= BAD_SHARE else "warn" if share >= WARN_SHARE else "ok"
    what_to_do = (
        "ids of events and catalogue differ? They match nothing until both say the same: "
        "python -m services.ops product ID, then mend the pages, or load the products"
    )
    return Finding(check, state, found, "" if state == "ok" else what_to_do)


def _sample(reader: RangeReader, topic: Topic, type_: MessageType[T]) -> Iterator[T]:
    """The newest messages of the last day, as many of each partition."""
    spans = reader.spans(topic, TimeRange(int(now_ms()) - DAY_MS))
    most = max(1, SAMPLE // max(1, len(spans)))
    for messages in reader.read([replace(each, start=max(each.start, each.end - most)) for each in spans]):
        for message in messages:
            if (read := read_value(type_, message)) is not None:
                yield read
