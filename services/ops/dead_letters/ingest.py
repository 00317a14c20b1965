"""Asks ingest to judge dead letters again, or to take them: POST /v1/dead-letters."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import httpx
import msgspec
from pydantic import SecretStr
from tenacity import Retrying

from schemas.deadletters import (
    MAX_RETURN_BYTES,
    MAX_RETURNED,
    RETURN_PATH,
    Return,
    Returned,
    Verdict,
    Verdicts,
)
from services.ops.dead_letters.letter import DeadLetter
from services.ops.services import Passing, Unanswered, asking_ingest, batches, bearer, patience, require_time

PATIENCE_S: Final = 60.0  # the broker may be restarted behind ingest
TIMEOUT_S: Final = 30.0
FRAME_BYTES: Final = 1_000  # of what stands around a letter's bytes, at most, but for its frame


class Ingest:
    """Ingest's HTTP API, as the holder of the API key. Raises Unanswered."""

    def __init__(self, client: httpx.Client, url: str) -> None:
        self._client = client
        self._url = url

    def judge(self, letters: Sequence[DeadLetter]) -> list[Verdict]:
        """What today's ingest would say to them; nothing is written."""
        return [each for some in chunks(letters, ()) for each in self._send(Return(some, judge_only=True))]

    def take(self, letters: Sequence[DeadLetter], joined: Sequence[Sequence[str]]) -> list[Verdict]:
        """Sends them again. What is refused again has a new letter, with one more attempt.

        `joined`: for each letter the visitors of whom `identities` has a newer word.
        """
        return [each for some in chunks(letters, joined) for each in self._send(Return(some))]

    def _send(self, returned: Return) -> list[Verdict]:
        try:
            return Retrying(**patience(PATIENCE_S))(self._post, msgspec.json.encode(returned))
        except Passing as error:
            raise Unanswered(
                f"ingest at {self._url} has not answered for {PATIENCE_S:.0f} s ({error}): "
                "what it took is marked; run this again"
            ) from None

    def _post(self, body: bytes) -> list[Verdict]:
        with asking_ingest(self._url):
            answer = self._client.post(RETURN_PATH, content=body)
        require_time(answer)
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise Unanswered(f"the ingest at {self._url} is of an older version: it takes no letters back")
        if answer.status_code != httpx.codes.OK:
            raise Unanswered(f"ingest at {self._url} answered {answer.status_code}: {answer.text}")
        return msgspec.json.decode(answer.content, type=Verdicts).letters


@contextmanager
def connect(url: str, api_key: SecretStr | None) -> Iterator[Ingest]:
    """Ingest for the block. Raises Unanswered without a key."""
    if api_key is None:
        raise Unanswered(
            "EDDY_API_KEY is needed: letters that came by HTTP go back to ingest, which lets nobody else say "
            "when they came"
        )
    headers = bearer(api_key) | {"Content-Type": "application/json"}
    with httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S) as client:
        yield Ingest(client, url)


def chunks(letters: Sequence[DeadLetter], joined: Sequence[Sequence[str]]) -> Iterator[list[Returned]]:
    """As ingest takes them, as many at a time as it takes."""
    returned = (
        Returned(
            letter=str(letter.id),
            raw=letter.raw or b"",
            path=letter.source,
            received_at=letter.received_at,
            attempts=letter.attempts + 1,
            whole=letter.is_whole_body,
            sender=letter.sender,
            frame=letter.frame,
            joined=[*joined[number]] if joined else [],
        )
        for number, letter in enumerate(letters)
    )
    return batches(returned, MAX_RETURNED, MAX_RETURN_BYTES - FRAME_BYTES)
