"""Why a product, or only its picture, could not be taken: one exception a kind, each a sentence."""

from typing import ClassVar


class BadProduct(Exception):
    """A message that is no product; the text is the reason written to products.dlq."""


class TooManyBadProducts(Exception):
    """So many bad messages in a row that the fault is likely not theirs."""


class PictureRefused(Exception):
    """A picture that cannot be had; the product is embedded without it."""

    may_pass: ClassVar[bool] = False  # whether the same picture may be had later, without a change of its own


class UnsupportedAddress(PictureRefused):
    """The picture's address is of a kind that is not fetched."""


class PrivateAddress(PictureRefused):
    """The picture's host is, or resolves to, an address that is not public."""

    def __init__(self, host: str, address: str) -> None:
        super().__init__(
            f"{host} is at {address}, which is not a public address; "
            "EDDY_PICTURE_PRIVATE_HOSTS=true allows such hosts"
        )


class Unreachable(PictureRefused):
    """The picture's host does not have it, or nobody can say where it would be."""


class HostAway(Unreachable):
    """The picture's host did not deliver it in time, or not now: it is asked again later."""

    may_pass = True


class OutsideCatalogue(PictureRefused):
    """A path that leaves the catalogue's folder, or there is none."""


class TooLarge(PictureRefused):
    """The picture has more bytes or pixels than one may have."""


class Unreadable(PictureRefused):
    """The bytes are no picture."""


class DecoderAway(PictureRefused):
    """No decoder could be had: a matter of this machine, not of the picture."""

    may_pass = True
