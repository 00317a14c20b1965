"""What a Qdrant server, or the way to it, has against a request, in words that say what to do."""

from typing import Final

import grpc
import httpx
from grpc import StatusCode
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

# By gRPC and by REST; a request that a server refuses, and one that does not reach it.
FAILURES: Final = (grpc.RpcError, ApiException, QdrantException, httpx.HTTPError)

PASSING: Final = frozenset(
    {
        StatusCode.UNAVAILABLE,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.INTERNAL,
        StatusCode.UNKNOWN,
        StatusCode.ABORTED,
        StatusCode.CANCELLED,
    }
)
PASSING_STATUS: Final = (408, 429)  # and every 5xx
KEY_REFUSED: Final = frozenset({StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED, 401, 403})
# What strict mode says; the server has no status of its own for it.
STRICT: Final = ("Index required but not found", "Limit exceeded", "strict mode", "Strict mode")


def may_pass(error: BaseException) -> bool:
    """Whether a failure is the server's or the network's, and may be gone at the next attempt.

    A certificate or a key that is refused will be refused again.
    """
    code, told = _read(error)
    if _is_of_tls(told):
        return False
    if isinstance(code, StatusCode):
        return code in PASSING
    if isinstance(error, UnexpectedResponse):
        status = code or 500
        return status >= 500 or status in PASSING_STATUS
    return isinstance(error, QdrantException | ResponseHandlingException | httpx.HTTPError | OSError)


def describe(error: BaseException) -> str:  # noqa: PLR0911 - a table
    """One sentence, with what to do where that is known."""
    code, told = _read(error)
    if "WRONG_VERSION_NUMBER" in told:
        return f"the Qdrant server speaks no TLS there ({told}): EDDY_QDRANT_URL has to begin with http://"
    if _is_of_tls(told):
        return (
            f"the Qdrant server's certificate is not trusted ({told}): set EDDY_QDRANT_CA_FILE to the "
            "PEM file of the authority that signed it, and call the server by a name in the certificate"
        )
    if any(words in told for words in STRICT):
        return (
            f"the Qdrant server's strict mode refuses the request ({told}): its payload indexes or bounds "
            "are other than Eddy's; python -m services.ops index rebuild makes a collection with Eddy's"
        )
    if code in KEY_REFUSED:
        return f"the Qdrant server refuses the key ({told}): set EDDY_QDRANT_API_KEY to the server's"
    if may_pass(error) and isinstance(error, UnexpectedResponse):
        return f"the Qdrant server cannot answer now ({told}): its log says why"
    if may_pass(error):
        return (
            f"no Qdrant server answers ({told}): start it, or set EDDY_QDRANT_URL and EDDY_QDRANT_GRPC_PORT"
        )
    return f"the Qdrant server refuses the request ({told})"


def _read(error: BaseException) -> tuple[StatusCode | int | None, str]:
    """The status, of gRPC or HTTP, and what was said."""
    if isinstance(error, grpc.RpcError):
        code = error.code() if hasattr(error, "code") else StatusCode.UNKNOWN
        details = error.details() if hasattr(error, "details") else str(error)
        name = getattr(code, "name", str(code))
        return code, f"{name}: {details}" if details else name
    if isinstance(error, UnexpectedResponse):
        content = error.content.decode(errors="replace")
        return error.status_code, f"{error.status_code} {error.reason_phrase} {content}".strip()
    if isinstance(error, ResponseHandlingException):
        return None, str(error.source) or type(error.source).__name__
    return None, str(error) or type(error).__name__


def _is_of_tls(told: str) -> bool:
    return "CERTIFICATE_VERIFY_FAILED" in told or "WRONG_VERSION_NUMBER" in told or "SSL_ERROR_SSL" in told
