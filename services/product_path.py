"""Product ids in paths: whatever text a shop uses, slashes and line feeds among it."""

from typing import Final

from starlette.convertors import Convertor, register_url_convertor

PRODUCT: Final = "{product_id:any}"  # the piece of a route's path


class AnyText(Convertor[str]):
    """Starlette's own `path` ends at a line feed, and the product behind it could not be reached."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        """As it is."""
        return value

    def to_string(self, value: str) -> str:
        """As it is."""
        return value


register_url_convertor("any", AnyText())
