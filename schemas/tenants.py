"""What a tenant is called: by its topic prefix, in metrics and in folders. No two prefixes share a name.

A tenant is what lies under one topic prefix: a shop, or a shadow run beside it.
"""

import re
from typing import Final

DEFAULT: Final = "default"  # the label of the tenant without a prefix
PREFIX: Final = r"^[A-Za-z0-9._-]{0,64}$"  # without `~`, which names made here are free to use
_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]*[A-Za-z0-9]\.")


def label(prefix: str) -> str:
    """The value of the label `tenant`: of `shop-a.` it is `shop-a`, and `default` without a prefix.

    A prefix that ends otherwise keeps its end, and one that has none gets a `~`: `shop-a-`, `shop-a~`.
    """
    if not prefix:
        return DEFAULT
    if _PLAIN.fullmatch(prefix):
        name = prefix.removesuffix(".")
        return prefix if name == DEFAULT else name
    return f"{prefix}~" if prefix[-1].isalnum() else prefix


def folder(prefix: str) -> str:
    """The tenant's own folder within one that several may share; empty without a prefix: that very one."""
    return f"tenant-{prefix}" if prefix else ""
