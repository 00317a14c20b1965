"""Where in the shop, and on what device, a Segment message happened."""

import re
from collections.abc import Mapping
from typing import Any, Final

from schemas.events import Context
from services.ingest.segment_products import NAME_MAX, text

URL_MAX: Final = 2048

# tracker.js knows these two. https://developer.mozilla.org/docs/Web/HTTP/Browser_detection_using_the_user_agent
MOBILE: Final = "mobile"
DESKTOP: Final = "desktop"
HANDHELD: Final = frozenset({"android", "ios", "phone", "mobile", "tablet"})


def context_of(told: Mapping[str, Any]) -> Context | None:
    """Page, referrer, locale and device as far as they are told in the form that they are meant to have."""
    page = told.get("page")
    page = page if isinstance(page, dict) else {}
    context = Context(
        page=text(page.get("path"), URL_MAX) or text(page.get("url"), URL_MAX),
        referrer=text(page.get("referrer"), URL_MAX) or _referrer(told.get("referrer")),
        locale=text(told.get("locale"), NAME_MAX),
        device=_device(told),
    )
    return None if context == Context() else context


def _referrer(told: object) -> str | None:
    return text(told.get("url") if isinstance(told, dict) else told, URL_MAX)


def _device(told: Mapping[str, Any]) -> str | None:
    """The kind of device; a whole user agent would tell people apart and the kinds hardly."""
    device = told.get("device")
    if isinstance(device, dict) and (kind := text(device.get("type"), NAME_MAX)):
        return MOBILE if kind.casefold() in HANDHELD else kind
    agent = told.get("userAgent")
    if not isinstance(agent, str) or not re.match(r"Mozilla/\d", agent):
        return None  # a library or a robot
    return MOBILE if "Mobi" in agent else DESKTOP
