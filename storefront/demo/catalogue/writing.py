"""Writes a catalogue into a folder: products.jsonl and pictures/, drawn on all cores."""

import json
import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from schemas.products import encode
from storefront.demo.catalogue.assortment import LARGE
from storefront.demo.catalogue.drawing import Look, draw_both
from storefront.demo.catalogue.generator import VERSION, WORDING, Made, made

PICTURE_SIZE: Final = 320
WEBP_QUALITY: Final = 82


def write(out: Path, count: int, seed: int, on_picture: Callable[[], object]) -> bool:
    """Writes the catalogue; False when this very one is there already. Raises OSError."""
    manifest = {"version": VERSION, "wording": WORDING, "seed": seed, "products": count, "size": PICTURE_SIZE}
    if _manifest(out) == manifest:
        return False
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    everything = list(made(count, seed))
    jobs = [(each.product.product_id, each.look) for each in everything]
    with ProcessPoolExecutor() as pool:
        for _ in pool.map(partial(_picture, out, seed), jobs, chunksize=16):
            on_picture()
    _write_products(out, everything)
    (out / "manifest.json").write_text(json.dumps(manifest))  # last: its presence says that all is there
    return True


def _manifest(out: Path) -> object:
    try:
        found: object = json.loads((out / "manifest.json").read_text())
    except (OSError, ValueError):
        return None
    return found


def _picture(out: Path, seed: int, job: tuple[str, Look]) -> None:
    product_id, look = job
    small, large = draw_both(look, PICTURE_SIZE, random.Random(f"{seed}:{product_id}"))
    for picture, name in ((small, product_id), (large, product_id + LARGE)):
        picture.save(out / "pictures" / f"{name}.webp", quality=WEBP_QUALITY, method=2)


def _write_products(out: Path, everything: list[Made]) -> None:
    (out / "products.jsonl").write_bytes(b"".join(encode(each.product) + b"\n" for each in everything))
