"""The lines for a shop's page, and what was found."""

from html import escape
from typing import Final

import msgspec

from services.ops.doctor.report import Finding

_PAGE: Final = """\
<link rel="stylesheet" href="{modules}eddy.css">
<link rel="modulepreload" href="{modules}tracker.js">
<script type="module">
  import {{ createTracker }} from "{modules}tracker.js";
  import {{ configure }} from "{modules}live.js";
  const tracker = createTracker({{ ingest: "{ingest}" }});
  tracker.listenToDataLayer((window.dataLayer ??= []));  // GA4 events that the page pushes
  const page = {{ type: "home" }};  // this page's: home, category, product, search, cart, checkout, order
  configure({{ recommender: "{recommender}", tracker, page }});
</script>
<eddy-recommendations slot="for_you" k="12"></eddy-recommendations>"""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`html`: the lines; `findings`: whether pages of `origin` can call what they name."""

    origin: str
    ingest: str
    recommender: str
    html: str
    findings: tuple[Finding, ...]


def write_page(ingest: str, recommender: str, modules: str) -> str:
    """The lines of a page with a tracker and a row; `modules`: where the shop serves storefront's files."""
    folder = f"{modules.rstrip('/')}/"
    return _PAGE.format(modules=escape(folder), ingest=escape(ingest), recommender=escape(recommender))
