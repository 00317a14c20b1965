"""`python -m storefront.demo.catalogue`: makes the demo's catalogue."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from storefront.demo.catalogue.writing import write


def main(
    out: Annotated[Path, typer.Option(help="folder for products.jsonl and pictures/")] = Path(
        "build/demo/catalogue"
    ),
    products: Annotated[int, typer.Option(min=1, max=100_000, help="how many")] = 2400,
    seed: Annotated[int, typer.Option(help="the same seed makes the same catalogue")] = 7,
) -> None:
    """Make a catalogue of products with drawn pictures.

    Example: python -m storefront.demo.catalogue --out /tmp/catalogue --products 500
    """
    with Progress(transient=True) as progress:
        task = progress.add_task("drawing", total=products)
        written = write(out, products, seed, lambda: progress.advance(task))
    print(f"{products} products in {out}" if written else f"{out} holds these {products} products already")


if __name__ == "__main__":
    typer.run(main)
