"""What a Qdrant server has against a request, put into words, by gRPC and by REST."""

import grpc
import httpx
import pytest
from grpc import StatusCode
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from services.qdrant_failures import describe, may_pass


class Answer(grpc.RpcError):  # type: ignore[misc]
    """As a call that failed is raised."""

    def __init__(self, code: StatusCode, details: str) -> None:
        self._code, self._details = code, details

    def code(self) -> StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


def rest(status: int, content: str = "") -> UnexpectedResponse:
    return UnexpectedResponse(status, "", content.encode(), httpx.Headers())


NO_INDEX = 'Bad request: Index required but not found for "brand" of one of the following types: [keyword].'
UNTRUSTED = "Ssl handshake failed: SSL_ERROR_SSL: CERTIFICATE_VERIFY_FAILED: unable to get local issuer"


@pytest.mark.parametrize(
    ("error", "words", "passes"),
    [
        (Answer(StatusCode.UNAVAILABLE, "Connection refused"), "no Qdrant server answers", True),
        (Answer(StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"), "no Qdrant server answers", True),
        (Answer(StatusCode.UNAVAILABLE, UNTRUSTED), "EDDY_QDRANT_CA_FILE", False),
        (Answer(StatusCode.UNAVAILABLE, "SSL_ERROR_SSL: WRONG_VERSION_NUMBER"), "begin with http://", False),
        (Answer(StatusCode.UNAUTHENTICATED, "Invalid API key or JWT"), "EDDY_QDRANT_API_KEY", False),
        (Answer(StatusCode.PERMISSION_DENIED, "Invalid api-key"), "EDDY_QDRANT_API_KEY", False),
        (Answer(StatusCode.INVALID_ARGUMENT, NO_INDEX), "strict mode", False),
        (Answer(StatusCode.PERMISSION_DENIED, f"Forbidden: {NO_INDEX}"), "strict mode", False),
        (Answer(StatusCode.NOT_FOUND, "Collection `products` doesn't exist!"), "refuses the request", False),
        (rest(401, "Must provide an API key"), "EDDY_QDRANT_API_KEY", False),
        (rest(400, NO_INDEX), "strict mode", False),
        (rest(503), "cannot answer now", True),
        (rest(429), "cannot answer now", True),
        (ResponseHandlingException(httpx.ConnectError("refused")), "no Qdrant server answers", True),
        (ResponseHandlingException(httpx.ConnectError(UNTRUSTED)), "EDDY_QDRANT_CA_FILE", False),
    ],
)
def test_a_failure_says_what_to_do_and_whether_it_may_pass(
    error: Exception, words: str, passes: bool
) -> None:
    assert words in describe(error)
    assert may_pass(error) is passes


def test_a_bug_is_no_failure_that_passes() -> None:
    assert not may_pass(KeyError("bug"))
