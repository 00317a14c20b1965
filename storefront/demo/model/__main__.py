"""`python -m storefront.demo.model` (`make demo-model`): trains the demo's OpenCLIP and measures it."""

import json
from pathlib import Path
from typing import Annotated

import open_clip
import rich
import torch
import typer
from rich.progress import Progress as Bar
from rich.table import Table

from storefront.demo.model import architecture, evaluation, pictures, training

TRAIN_SEED, HELD_OUT_SEED = 1001, 9001


def main(
    minutes: Annotated[float, typer.Option(min=0.05, help="how long to train")] = 8.0,
    drawn: Annotated[int, typer.Option(min=200, help="drawn products to train on")] = 9000,
    photos: Annotated[Path, typer.Option(help="the CC0 photos; left out where absent")] = Path(
        "../shared/data/clothing_cc0_128px.zip"
    ),
    out: Annotated[Path, typer.Option(help="folder of the checkpoint")] = architecture.CHECKPOINT,
    threads: Annotated[int, typer.Option(min=1, help="torch threads")] = 2,
) -> None:
    """Train the demo's OpenCLIP on drawn products and CC0 photos, and print held-out figures.

    Example: python -m storefront.demo.model --minutes 2 --out /tmp/checkpoint
    """
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    model = architecture.create()
    preprocess = open_clip.image_transform(
        64,
        is_train=False,
        **{name: tuple(architecture.CONFIG["preprocess_cfg"][name]) for name in ("mean", "std")},
    )
    rich.print(f"drawing {drawn} products to train on, 600 to measure on …")
    train_set, _ = pictures.drawn(drawn, TRAIN_SEED, preprocess)
    held_out, looks = pictures.drawn(600, HELD_OUT_SEED, preprocess)
    shots = pictures.photos(photos, preprocess) if photos.is_file() else None
    if shots is None:
        rich.print(f"[yellow]no photos at {photos}: training on drawn products alone[/]")
    else:
        train_set = pictures.Pictures(
            torch.cat([train_set.pixels, shots[0].pixels]), train_set.captions + shots[0].captions
        )
    seen = _train(model, train_set, minutes * 60)
    metrics = {"pictures seen": float(seen)} | evaluation.retrieval(model, held_out, looks)
    if shots is not None:
        metrics |= evaluation.zero_shot(model, shots[1], shots[2])
    architecture.save(model, out)
    (out / "metrics.json").write_text(
        json.dumps({k: round(v, 4) for k, v in metrics.items()}, indent=2) + "\n"
    )
    table = Table("held out", "")
    for name, value in metrics.items():
        table.add_row(name, f"{value:.3f}" if value <= 1 else f"{value:,.0f}")
    rich.print(table)


def _train(model: open_clip.CLIP, train_set: pictures.Pictures, seconds: float) -> int:
    with Bar() as bar:
        task = bar.add_task("training", total=1.0)
        return training.train(
            model,
            train_set,
            seconds,
            lambda at: bar.update(
                task, completed=at.share, description=f"loss {at.loss:.2f}, {at.pictures:,} seen"
            ),
        )


if __name__ == "__main__":
    typer.run(main)
