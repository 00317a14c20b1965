"""The runbook as tests read it."""

import re

from infra.alarms import ROOT, RUNBOOK


def find_sections() -> list[str]:
    """The anchors of the runbook's sections, in their order, as Markdown makes them of headings."""
    headings = re.findall(r"^#{2,3} (.+)$", (ROOT / RUNBOOK).read_text(), re.MULTILINE)
    return [re.sub(r"[^a-z0-9 -]", "", each.lower()).replace(" ", "-") for each in headings]
