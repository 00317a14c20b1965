"""Why the recommender refuses a request: one exception a kind, with the status it is answered with."""

from collections.abc import Sequence
from http import HTTPStatus

from schemas.objectives import OBJECTIVES
from services.web.problems import Problem


class UnknownProduct(Problem):
    """Nobody has told of a product with this id."""

    status = HTTPStatus.NOT_FOUND
    kind = "unknown-product"

    def __init__(self, product_id: str) -> None:
        super().__init__(f"there is no product {product_id!r}")


class NotReady(Problem):
    """The state that rows are made from is still being read."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    kind = "not-ready"

    def __init__(self, waiting_for: str) -> None:
        super().__init__(f"still reading {waiting_for}", headers={"Retry-After": "1"})


class BadWeight(Problem):
    """A weight of the request has no such name, or no such number."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    kind = "bad-weight"

    def __init__(self, name: str, reason: str, known: Sequence[str]) -> None:
        super().__init__(
            f"weight {name!r}: {reason}; weights are {', '.join(known)}",
            fields={"weight": name, "weights": list(known)},
        )


class WrongObjective(Problem):
    """What the order is to be for has no such name, or no such weight."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    kind = "bad-objective"

    def __init__(self, reason: str) -> None:
        super().__init__(f"objective: {reason}", fields={"objectives": list(OBJECTIVES)})


class UnknownParameter(Problem):
    """A query parameter is neither a filter on an indexed field nor anything else that the route knows."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    kind = "unknown-parameter"

    def __init__(self, name: str, filters: Sequence[str]) -> None:
        super().__init__(
            f"{name!r} is no filter on a field that is indexed; those are {', '.join(filters)}",
            fields={"parameter": name, "filters": list(filters)},
        )


class RepeatedParameter(Problem):
    """A query parameter that holds one value is given several."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    kind = "repeated-parameter"

    def __init__(self, name: str, times: int) -> None:
        super().__init__(f"{name!r} is given {times} times: give it once", fields={"parameter": name})


class BadSlots(Problem):
    """A slot of a page is not what it must be; the text names it."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    kind = "bad-slots"
