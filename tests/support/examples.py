"""How many inputs hypothesis draws: all in `make test`, a part in `make unit`, which runs at each change."""

from typing import Any, Final

from hypothesis import settings

ALL: Final = 100  # what a test draws that says nothing
QUICK: Final = 20


def register_profiles() -> None:
    """`all` is loaded, `--hypothesis-profile quick` may come after it."""
    # Machines are noisy, and compiled code is slow the first time: how long an example takes is no failure.
    settings.register_profile("all", max_examples=ALL, deadline=None)
    settings.register_profile("quick", max_examples=QUICK, deadline=None)
    settings.load_profile("all")


def examples(count: int, **others: Any) -> settings:
    """Settings of a test that draws `count` inputs, or the part of them that the profile has of `ALL`."""
    return settings(max_examples=max(1, count * settings().max_examples // ALL), **others)
