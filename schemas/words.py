"""`POST /v1/words`, which an embedder answers inside a deployment: texts in, their vectors out."""

from typing import Annotated, Final

import msgspec

TEXTS_MAX: Final = 64  # in one request
TEXT_MAX: Final = 200  # characters of one text; the models read no more of a search than that anyway

PATH: Final = "/v1/words"
MEDIA_TYPE: Final = "application/msgpack"

Text = Annotated[str, msgspec.Meta(max_length=TEXT_MAX, pattern=r"\S")]


class WordsRequest(msgspec.Struct, frozen=True):
    """Texts whose vectors are wanted, in JSON; none of them is blank."""

    texts: Annotated[list[Text], msgspec.Meta(min_length=1, max_length=TEXTS_MAX)]


class WordVectors(msgspec.Struct, frozen=True):
    """Vectors of the texts in their order, in MessagePack.

    `text` holds the text model's, `caption` those of the picture model's text tower: float16, little-endian
    (`schemas.vectors.pack`), of unit length and the widths of the segments of these names in `layout`.
    `models` names the model behind each, as in `ProductVectors`.
    """

    layout: str
    models: dict[str, str]
    text: list[bytes]
    caption: list[bytes]


_requests = msgspec.json.Decoder(WordsRequest)
_answers = msgspec.msgpack.Decoder(WordVectors)


def decode_request(raw: bytes) -> WordsRequest:
    """From a request's body. Raises msgspec.ValidationError or DecodeError."""
    return _requests.decode(raw)


def encode_request(texts: list[str]) -> bytes:
    """A request's body."""
    return msgspec.json.encode(WordsRequest(texts))


def decode_answer(raw: bytes) -> WordVectors:
    """From an answer's body. Raises msgspec.ValidationError or DecodeError."""
    return _answers.decode(raw)


def encode_answer(vectors: WordVectors) -> bytes:
    """An answer's body."""
    return msgspec.msgpack.encode(vectors)
