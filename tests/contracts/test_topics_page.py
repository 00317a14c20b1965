"""infra/docs/topics.md lists the topics as the code has them: every name, key, cleanup, writer and reader."""

import re

from infra import reference
from schemas.topics import TOPICS


def test_the_page_is_made_from_the_code() -> None:
    assert reference.TOPICS_FILE.read_text() == reference.topics_text(), "run `python -m infra.reference`"


def test_the_pages_table_is_the_codes_list() -> None:
    rows = re.findall(
        r"^\| `([\w.-]+)` \| (.+?) \| (\w+) \| (\w+) \| (\d+) \| ([\w,]+) \| .+? \| (.+?) \| (.+?) \|$",
        reference.TOPICS_FILE.read_text(),
        re.M,
    )
    assert rows == [
        (
            topic.name, topic.key, topic.message, topic.encoding, str(topic.partitions), topic.cleanup,
            ", ".join(topic.written_by), ", ".join(topic.read_by),
        )
        for topic in TOPICS
    ]  # fmt: skip
