"""What a shadow has from live: each product's newest messages, the rules in force, the model."""

from collections.abc import Callable, Iterator

import msgspec

from schemas import experiments, models, rules
from schemas.experiments import Experiment
from schemas.models import ModelRelease
from schemas.topics import EXPERIMENTS, MODELS, PRODUCT_VECTORS, PRODUCTS, RULES, Topic
from services.history.partitions import reading
from services.history.past import HistoryReader, PastMessage, headers_of
from services.history.progress import Progress
from services.history.writing import BulkWriter, writing
from services.ops.replay.sessions import of, together
from services.settings import ServiceSettings

Keep = Callable[[PastMessage], bool]


def copy(
    live: ServiceSettings,
    shadow: ServiceSettings,
    *,
    model: tuple[str, ModelRelease | None],
    experiment: Experiment | None,
    now: int,
    progress: Progress,
) -> int:
    """Fills the shadow's topics; how many products have a vector. `model`: the line's name, its release."""
    line, release = model
    with reading(live) as reader, writing(shadow) as writer:
        _newest(reader, writer, PRODUCTS, shadow, progress)
        count = _newest(reader, writer, PRODUCT_VECTORS, shadow, progress)
        _newest(reader, writer, RULES, shadow, progress, lambda message: _holds(message, now))
        if release is not None:
            writer.write(shadow.topic(MODELS), line.encode(), models.encode(release))
        if experiment is not None:
            key = experiment.name.encode()
            writer.write(shadow.topic(EXPERIMENTS), key, experiments.encode(experiment))
    return count


def _newest(  # noqa: PLR0917 - from where, to where, of what
    reader: HistoryReader,
    writer: BulkWriter,
    topic: Topic,
    shadow: ServiceSettings,
    progress: Progress,
    keep: Keep = lambda _message: True,
) -> int:
    """Copies the newest message of each key; how many. Of a large topic one partition is held in memory."""
    spans, count, name = reader.spans(topic), 0, shadow.topic(topic)
    progress.stage(f"copying {topic.name}", sum(map(len, spans)))
    for partitions in together(spans):
        newest: dict[bytes | None, PastMessage] = {}
        for messages in reader.read(of(spans, partitions)):
            newest.update((message.key(), message) for message in messages)
            progress.advance(len(messages))
        for message in _kept(newest, keep):
            writer.write(name, message.key(), message.value(), headers=headers_of(message))
            count += 1
    return count


def _kept(newest: dict[bytes | None, PastMessage], keep: Keep) -> Iterator[PastMessage]:
    return (message for message in newest.values() if message.value() is not None and keep(message))


def _holds(message: PastMessage, now: int) -> bool:
    """Whether a rule is in force; one that cannot be read is in force nowhere."""
    try:
        return rules.decode(message.value() or b"").holds(now)
    except msgspec.MsgspecError:
        return False
