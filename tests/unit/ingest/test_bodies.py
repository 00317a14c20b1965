"""Bodies are read up to their limit and no further, declared or not."""

from collections.abc import Awaitable, Callable

import msgspec
import pytest
from starlette.requests import Request
from starlette.types import Message

from services.ingest.batches import Rejected
from services.ingest.bodies import answer_of, read_body
from services.ingest.refusals import NothingAcceptable, TooLarge, UnsupportedBody

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
