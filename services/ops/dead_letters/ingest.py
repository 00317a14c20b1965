"""Asks ingest to judge dead letters again, or to take them: POST /v1/dead-letters."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import httpx
import msgspec
from pydantic import SecretStr
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random_exponential

from schemas.deadletters import (
    MAX_RETURN_BYTES,
    MAX_RETURNED,
    RETURN_PATH,
    Return,
    Returned,
    Verdict,
    Verdicts,
)
from services.cli import CannotBeDone
from services.ops.dead_letters.letter import Letter

PATIENCE_S: Final = 60.0  # the broker may be restarted behind ingest


TIMEOUT_S: Final = 30.0


FRAME_BYTES: Final = 1_000  # of what stands around a letter's bytes, at most, but for its frame


class IngestAway(CannotBeDone):
    """Ingest does not answer, or does not let the command in."""


class _TryAgain(Exception):
    """It may answer otherwise in a moment."""


class Ingest:
    """Ingest's HTTP API, as the holder of the API key. Raises IngestAway."""

    def __init__(self, client: httpx.Client, url: str) -> None:
        self._client = client
        self._url = url

    def judge(self, letters: Sequence[Letter]) -> list[Verdict]:
        """What today's ingest would say to them; nothing is written."""
        return [each for some in chunks(letters, ()) for each in self._send(Return(some, judge_only=True))]

    def take(self, letters: Sequence[Letter], joined: Sequence[Sequence[str]]) -> list[Verdict]:
        """Sends them again. What is refused again has a new letter, with one more attempt.

        `joined`: for each letter the visitors of whom `identities` has a newer word.
        """
        return [each for some in chunks(letters, joined) for each in self._send(Return(some))]

    def _send(self, returned: Return) -> list[Verdict]:
        try:
            return self._answered(msgspec.json.encode(returned))
        except _TryAgain as error:
            raise IngestAway(
                f"ingest at {self._url} has not answered for {PATIENCE_S:.0f} s ({error}): "
                "what it took is marked; run this again"
            ) from None

    @retry(
        retry=retry_if_exception_type(_TryAgain),
        stop=stop_after_delay(PATIENCE_S),
        wait=wait_random_exponential(multiplier=0.2, max=5.0),
        reraise=True,
    )
    def _answered(self, body: bytes) -> list[Verdict]:
        try:
            answer = self._client.post(RETURN_PATH, content=body)
        except httpx.ConnectError as error:
            raise IngestAway(
                f"no ingest answers at {self._url} ({error}): start it, or set EDDY_INGEST_URL"
            ) from None
        except httpx.TransportError as error:
            raise _TryAgain(str(error) or type(error).__name__) from error
        if answer.status_code in (429, 502, 503, 504):
            raise _TryAgain(answer.text)
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise IngestAway(f"the ingest at {self._url} is of an older version: it takes no letters back")
        if answer.status_code != httpx.codes.OK:
            raise IngestAway(f"ingest at {self._url} answered {answer.status_code}: {answer.text}")
        return msgspec.json.decode(answer.content, type=Verdicts).letters


@contextmanager
def asking(url: str, api_key: SecretStr | None) -> Iterator[Ingest]:
    """Ingest for the block. Raises IngestAway without a key."""
    if api_key is None:
        raise IngestAway(
            "EDDY_API_KEY is needed: letters that came by HTTP go back to ingest, which lets nobody else say "
            "when they came"
        )
    headers = {
        "Authorization": f"Bearer {api_key.get_secret_value()}",
        "Content-Type": "application/json",
    }
    with httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S) as client:
        yield Ingest(client, url)


def chunks(letters: Sequence[Letter], joined: Sequence[Sequence[str]]) -> Iterator[list[Returned]]:
    """As ingest takes them, as many at a time as it takes."""
    some: list[Returned] = []
    filled = 0
    for number, letter in enumerate(letters):
        returned = _returned(letter, joined[number] if joined else ())
        size = len(msgspec.json.encode(returned)) + 1
        if some and (len(some) == MAX_RETURNED or filled + size > MAX_RETURN_BYTES - FRAME_BYTES):
            yield some
            some, filled = [], 0
        some.append(returned)
        filled += size
    if some:
        yield some


def _returned(letter: Letter, joined: Sequence[str]) -> Returned:
    return Returned(
        letter=str(letter.id),
        raw=letter.raw or b"",
        path=letter.source,
        received_at=letter.received_at,
        attempts=letter.attempts + 1,
        whole=letter.is_whole_body,
        sender=letter.sender,
        frame=letter.frame,
        joined=[*joined],
    )
