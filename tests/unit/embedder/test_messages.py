"""Messages of `products`: what is taken, what is not, and how that is said."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import deadletters, products
from schemas.products import MAX_PRODUCT_BYTES
from services.embedder.errors import BadProduct
from services.embedder.publisher import dead_letter, decode_product
from tests.support.embedding import product


def test_a_product_under_its_own_key_is_taken() -> None:
    assert decode_product(b"p", products.encode(product())) == product()


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (b"p", b"{", "truncated"),
        (b"p", b'{"product_id": "p"}', "name"),
        (b"q", products.encode(product()), "key is not the product_id 'p'"),
        (None, products.encode(product()), "key is not"),
        (b"p", b" " * (MAX_PRODUCT_BYTES + 1), "at most"),
    ],
)
def test_what_is_no_product_says_why(key: bytes | None, value: bytes, reason: str) -> None:
    with pytest.raises(BadProduct, match=reason):
        decode_product(key, value)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_product_or_bad(value: bytes) -> None:
    with pytest.raises(BadProduct):
        decode_product(b"p", value)


def test_a_dead_letter_is_the_message_with_its_reason() -> None:
    key, raw, headers = dead_letter(
        b"p", b"raw", reason="no picture", stage="picture", source="products/1/2", failed_at=5
    )
    assert (key, raw) == (b"p", b"raw")
    assert dict(headers) == {
        "reason": b"no picture",
        "service": b"embedder",
        "stage": b"picture",
        "source": b"products/1/2",
        "failed_at": b"5",
    }


def test_a_dead_letter_always_fits() -> None:
    _, raw, headers = dead_letter(
        b"p", b"x" * 1_000_000, reason="too large", stage="decode", source="products/1/2", failed_at=5
    )
    told = dict(headers)
    assert raw == b"x" * deadletters.RAW_MAX
    assert (told["size"], told["sha256"]) == (b"1000000", sha256(b"x" * 1_000_000).hexdigest().encode())


def test_a_dead_letter_says_how_often_its_message_was_tried() -> None:
    _, _, headers = dead_letter(
        b"p", b"raw", reason="", stage="decode", source="products/1/2", failed_at=5, attempts=2
    )
    assert dict(headers)["attempts"] == b"2"
