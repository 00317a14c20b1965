"""schemas/topics.py as the chart reads it: files/topics.yaml, of which KafkaTopics are made."""

import yaml

from schemas.topics import TOPICS, durability

HEAD = (
    "# Made by `python -m infra.helm` from schemas/topics.py; `durable` goes with three replicas and more.\n"
)


def topics_text() -> str:
    """A list, an entry a topic."""
    entries = [
        {
            "name": topic.name,
            "partitions": topic.partitions,
            "config": topic.config(),
            "durable": durability(3),
        }
        for topic in TOPICS
    ]
    text: str = yaml.safe_dump(entries, sort_keys=False)
    return HEAD + text
