"""Why ingest refuses a request: one exception a kind, with the status it is answered with."""

from http import HTTPStatus

from services.problems import Problem


class NothingAcceptable(Problem):
    """No entry of the batch could be taken; the document says why for each."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    kind = "nothing-acceptable"


class NoMessageAcceptable(Problem):
    """No message of a Segment call could be taken: 400, as Segment's own API answers."""

    status = HTTPStatus.BAD_REQUEST
    kind = "nothing-acceptable"


class NoVisitor(Problem):
    """What is named cannot be a visitor."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    kind = "no-visitor"
