"""A picture's address: what is fetched, what is inside it, what is a file, what is refused."""

from base64 import b64encode
from pathlib import Path

import pytest

from services.embedder.errors import (
    OutsideCatalogue,
    PictureRefused,
    TooLarge,
    Unreachable,
    Unreadable,
    UnsupportedAddress,
)
from services.embedder.pictures.fetch import PictureSource


class Fetched:
    def __init__(self) -> None:
        self.urls: list[str] = []

    def fetch(self, url: str) -> bytes:
        self.urls.append(url)
        return b"fetched"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "catalogue"
    (folder / "pictures").mkdir(parents=True)
    (folder / "pictures" / "a b.png").write_bytes(b"file")
    (folder / "large.png").write_bytes(b"x" * 101)
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "catalogue-too").mkdir()
    (tmp_path / "catalogue-too" / "x").write_bytes(b"secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "inner").symlink_to(folder / "pictures")
    return folder


@pytest.fixture
def source(shop: Path) -> PictureSource:
    return PictureSource(Fetched(), shop, bytes_max=100, url="https://own.example/shop")


@pytest.mark.parametrize(
    ("address", "raw"),
    [
        ("https://shop.example/a.png", b"fetched"),
        ("https://own.example/shopping.png", b"fetched"),
        ("https://own.example/shop/pictures/a%20b.png", b"file"),
        ("HTTP://shop.example/a.png", b"fetched"),
        ("data:image/png;base64," + b64encode(b"inline").decode(), b"inline"),
        ("data:image/svg+xml,%3Csvg/%3E", b"<svg/>"),
        ("data:;BASE64,aW5saW5l", b"inline"),
        ("pictures/a b.png", b"file"),
        ("pictures/a%20b.png", b"file"),
        ("./pictures/../pictures/a b.png", b"file"),
        ("inner/a b.png", b"file"),
    ],
)
def test_every_kind_of_address_is_read(source: PictureSource, address: str, raw: bytes) -> None:
    assert source.read(address) == raw


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("../secret", OutsideCatalogue),
        ("%2e%2e/secret", OutsideCatalogue),
        ("pictures/../../secret", OutsideCatalogue),
        ("../catalogue-too/x", OutsideCatalogue),
        ("/etc/passwd", OutsideCatalogue),
        ("//shop.example/a.png", OutsideCatalogue),
        ("link", OutsideCatalogue),
        ("none.png", Unreachable),
        ("pictures", Unreachable),
        ("", Unreachable),
        ("a\0b", Unreachable),
        ("a" * 5000, Unreachable),
        ("large.png", TooLarge),
        ("data:image/png;base64," + b64encode(b"x" * 101).decode(), TooLarge),
        ("data:image/png;base64", Unreadable),
        ("data:image/png;base64,***", Unreadable),
        ("file:///etc/passwd", UnsupportedAddress),
        ("ftp://shop.example/a.png", UnsupportedAddress),
        ("javascript:alert(1)", UnsupportedAddress),
        ("http://[::1", UnsupportedAddress),
    ],
)
def test_an_address_that_may_not_be_read_is_refused(
    source: PictureSource, address: str, kind: type[PictureRefused]
) -> None:
    with pytest.raises(kind) as refused:
        source.read(address)
    assert len(str(refused.value)) < 300


def test_without_a_catalogue_there_are_no_files() -> None:
    with pytest.raises(OutsideCatalogue, match="EDDY_CATALOGUE_DIR"):
        PictureSource(Fetched(), None, bytes_max=100).read("pictures/a.png")
