"""Why ingest refuses a request: one exception a kind, with the status it is answered with."""

from http import HTTPStatus

from services.problems import Problem


class UnreadableBody(Problem):
    """The body as a whole is not what the path takes."""

    status = HTTPStatus.BAD_REQUEST
    kind = "unreadable-body"


class UnsupportedBody(Problem):
    """The body is declared as something else than JSON."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    kind = "unsupported-body"


class TooLarge(Problem):
    """The body has more bytes or entries than one request may have."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    kind = "too-large"


class NothingAcceptable(Problem):
    """No entry of the batch could be taken; the document says why for each."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    kind = "nothing-acceptable"


class NoMessageAcceptable(Problem):
    """No message of a Segment call could be taken: 400, as Segment's own API answers."""

    status = HTTPStatus.BAD_REQUEST
    kind = "nothing-acceptable"


class BrokerAway(Problem):
    """Kafka did not acknowledge; the sender is to keep what it has and try again."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    kind = "broker-away"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"Kafka has not acknowledged ({reason}): nothing was accepted, send the same again",
            headers={"Retry-After": "1"},
        )
