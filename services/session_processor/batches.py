"""What else lies in a stream's queue: Faust's streams give one event at a time, and 40 µs each."""

from typing import cast

import faust
from faust.types import ChannelT, StreamT

from services.session_processor.processor import Message


def pop_waiting(app: faust.App, stream: StreamT[bytes], most: int) -> list[Message]:
    """The events behind the one that a stream has just given, at most so many; its `noack` applies to them.

    Each is looked at as the stream itself does: what was read before the partitions were dealt out anew is
    dropped, the others are tracked until they are acknowledged.
    """
    queue, found = cast(ChannelT[bytes], stream.channel).queue, list[Message]()
    while len(found) < most and not queue.empty():
        event = queue.get_nowait()
        if is_current(app, event):
            if not event.message.tracked:
                event.message.tracked = True
                app.consumer.track_message(event.message)
            found.append(event)
    return found


def is_current(app: faust.App, event: Message) -> bool:
    """Whether the partitions are still those of when the event was read."""
    return app.flow_control.is_active() and event.message.generation_id == app.consumer_generation_id
