"""What an erasure has come to: structs that the terminal and --json show alike. Times are Unix ms."""

import msgspec


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One place where something of the visitor was.

    `removed` is what is gone now, `left_out` what nobody who reads it takes into account any more, and
    `gone_by` when that itself is gone; None where somebody has to do something for it, which `note` says.
    """

    where: str
    removed: str = ""
    left_out: str = ""
    gone_by: int | None = None
    note: str = ""


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """The report. `visitors` are all that are one person; `confirmed` after how many ms each was gone.

    What a session processor has not confirmed is `unconfirmed`: it is erased when one starts.
    """

    visitor_id: str
    visitors: tuple[str, ...]
    erased_at: int
    confirmed: dict[str, float]
    unconfirmed: tuple[str, ...]
    places: tuple[Place, ...]
