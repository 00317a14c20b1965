"""The topics of the design document are those of the code, which has three more (decision 0007)."""

import re
from pathlib import Path

import pytest

from schemas.topics import EXPERIMENTS, IDENTITIES, RULES, TOPICS

DESIGN = Path(__file__).resolve().parents[2].parent / "shared" / "DESIGN.md"
LATER = (IDENTITIES, RULES, EXPERIMENTS)


def test_the_designs_table_is_the_codes_list() -> None:
    if not DESIGN.exists():
        pytest.skip(f"{DESIGN} is not there: the design is not part of the repository")
    rows = re.findall(
        r"^\| `([\w.-]+)` \| (.+?) \| .+? \| ((?:compact|delete)(?:,delete)?).*? \| (.+?) \| (.+?) \|$",
        DESIGN.read_text(),
        re.M,
    )
    written = {name: (key, cleanup, writers, readers) for name, key, cleanup, writers, readers in rows}
    assert written == {
        topic.name: (topic.key, topic.cleanup, ", ".join(topic.written_by), ", ".join(topic.read_by))
        for topic in TOPICS
        if topic not in LATER
    }
