"""Small feeds that the tests of this folder write."""

from pathlib import Path
from xml.sax.saxutils import escape

from schemas.products import Product
from services.ops.catalogue.cell_values import Defaults
from services.ops.catalogue.file_formats import Feed
from services.ops.catalogue.mappings import BadRow, detect, entries

DEFAULTS = Defaults("EUR", 1_700_000_000_000)
RSS = (
    '<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel><title>A shop</title>'
    "{}</channel></rss>"
)


def rss(*items: dict[str, str]) -> str:
    """A Merchant feed of items; names without a prefix get g:."""

    def element(name: str, text: str) -> str:
        name = name.removeprefix("rss:") if name.startswith("rss:") else f"g:{name}"
        return f"<{name}>{escape(text)}</{name}>"

    return RSS.format(
        "".join(f"<item>{''.join(element(*each) for each in item.items())}</item>" for item in items)
    )


def write_file(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    """A file with this text."""
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def read_feed(path: Path, defaults: Defaults = DEFAULTS) -> tuple[list[Product], list[BadRow]]:
    """What a file, of a kind found out, is made into."""
    feed = Feed(path)
    found = [each for _, each in entries(feed, detect(feed), defaults)]
    return (
        [each for each in found if isinstance(each, Product)],
        [each for each in found if isinstance(each, BadRow)],
    )
