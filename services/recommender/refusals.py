"""Why the recommender refuses a request: one exception a kind, with the status it is answered with."""

from http import HTTPStatus

from services.problems import Problem


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
