"""Bodies are read up to their limit and no further, declared or not."""

import gzip
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from starlette.requests import Request
from starlette.types import Message

from services.ingest.responses import NothingAcceptable, answer_of
from services.ingest.validation import Rejected
from services.web import requests
from services.web.requests import TooLarge, UnreadableBody, UnsupportedBody, read_body

LIMIT = 10


def request(chunks: list[bytes], **headers: str) -> Request:
    messages = iter(
        {"type": "http.request", "body": chunk, "more_body": n < len(chunks) - 1}
        for n, chunk in enumerate(chunks)
    )

    async def receive() -> Message:
        return next(messages)

    receiving: Callable[[], Awaitable[Message]] = receive
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": named}, receiving)


@pytest.mark.parametrize("chunks", [[b""], [b"x" * LIMIT], [b"abc", b"", b"def"]])
async def test_within_the_limit_the_whole_body_comes(chunks: list[bytes]) -> None:
    assert await read_body(request(chunks), LIMIT) == b"".join(chunks)


async def test_a_declared_length_over_the_limit_is_refused_unread() -> None:
    with pytest.raises(TooLarge, match="at most 10"):
        await read_body(request([], content_length="11"), LIMIT)


async def test_an_undeclared_length_is_refused_when_it_goes_over() -> None:
    with pytest.raises(TooLarge, match="more than 10"):
        await read_body(request([b"12345678", b"901", b"never read"]), LIMIT)


@pytest.mark.parametrize("declared", ["application/json", "text/plain;charset=UTF-8", "Application/JSON", ""])
async def test_json_may_be_declared_as_text(declared: str) -> None:
    assert await read_body(request([b"{}"], content_type=declared), LIMIT) == b"{}"


async def test_forms_are_refused() -> None:
    with pytest.raises(UnsupportedBody, match="application/json"):
        await read_body(request([b"a=b"], content_type="application/x-www-form-urlencoded"), LIMIT)


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_packed_body_is_unpacked_however_it_is_cut(size: int) -> None:
    packed = gzip.compress(b'{"a": 1}')
    chunks = [packed[start : start + size] for start in range(0, len(packed), size)]
    assert await read_body(request(chunks, content_encoding="GZIP"), 100) == b'{"a": 1}'


async def test_the_limit_holds_for_what_is_unpacked() -> None:
    packed = gzip.compress(b"x" * 100)
    assert len(await read_body(request([packed], content_encoding="gzip"), 100)) == 100
    with pytest.raises(TooLarge, match="more than 99"):
        await read_body(request([packed], content_encoding="gzip"), 99)


async def test_a_bomb_is_refused_and_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    limit = len(bomb)
    unpacked: list[int] = []

    def note(unpacker: Any, chunk: bytes, at_most: int) -> bytes:
        part: bytes = unpacker.decompress(chunk, at_most)
        unpacked.append(len(part))
        return part

    monkeypatch.setattr(requests, "_unpack", note)
    chunks = [bomb[start : start + 5000] for start in range(0, len(bomb), 5000)]
    with pytest.raises(TooLarge):
        await read_body(request(chunks, content_encoding="gzip"), limit)
    assert sum(unpacked) == limit + 1


@pytest.mark.parametrize(
    "packed", [b"{}", gzip.compress(b"{}", mtime=0)[:-1], gzip.compress(b"{}", mtime=0) + b"x", b""]
)
async def test_what_is_no_gzip_or_only_a_part_of_it_is_refused(packed: bytes) -> None:
    with pytest.raises(UnreadableBody, match="gzip"):
        await read_body(request([packed], content_encoding="gzip"), 100)


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip"])
async def test_another_packing_is_refused_and_told_what_is_taken(coding: str) -> None:
    with pytest.raises(UnsupportedBody, match="gzip") as refused:
        await read_body(request([b"{}"], content_encoding=coding), 100)
    assert refused.value.headers == {"Accept-Encoding": "gzip"}


def test_the_answer_tells_what_was_refused() -> None:
    response = answer_of(3, [Rejected(1, "validate", "no name", b"{}")])
    assert response.status_code == 202
    assert msgspec.json.decode(response.body) == {
        "accepted": 3,
        "rejected": [{"index": 1, "reason": "no name"}],
    }


@pytest.mark.parametrize("rejected", [[], [Rejected(0, "validate", "no name", b"{}")]])
def test_a_batch_without_an_acceptable_entry_is_a_problem(rejected: list[Rejected]) -> None:
    with pytest.raises(NothingAcceptable):
        answer_of(0, rejected)
