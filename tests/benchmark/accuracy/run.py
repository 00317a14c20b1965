"""Measures one part after the other, and writes down what is known after each."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace
from rich.console import Console

from services.progress import Progress, create_progress
from tests.benchmark import report
from tests.benchmark.accuracy import cold_products, datasets, event_types, objectives, rees46
from tests.benchmark.accuracy.figures import (
    AccuracyFigures,
    ColdFigures,
    DatasetFigures,
    ObjectivesFigures,
    TypesFigures,
    parameters,
)
from tests.benchmark.accuracy.parts import SOURCES, TITLES, Part

Found = DatasetFigures | TypesFigures | ColdFigures | ObjectivesFigures


def measure(wanted: Sequence[Part], data: Path, out: Path, console: Console) -> AccuracyFigures:
    """Measures the wanted parts whose data is there; `out` is the file that keeps the other parts' figures.

    Figures that other settings gave are not kept.
    """
    figures = read_figures(out)
    for part in wanted:
        source = data / SOURCES[part]
        if not source.exists():
            console.print(f"{TITLES[part]}: skipped, {source} is not there (real data is no part of Eddy)")
            continue
        console.print(f"\n{TITLES[part]}")
        with create_progress(console) as progress:
            found = _WAYS[part](source, out.parent / "work", progress)
        figures = replace(figures, **{part.value: found})
        report.write(out, figures)
    return figures


def read_figures(file: Path) -> AccuracyFigures:
    """What is in the file, where it is of the same settings; else nothing."""
    nothing = AccuracyFigures(parameters=parameters())
    try:
        found = msgspec.json.decode(file.read_bytes(), type=AccuracyFigures)
    except (OSError, msgspec.MsgspecError):
        return nothing
    if found.parameters != nothing.parameters:
        return nothing
    return replace(nothing, **{part.value: getattr(found, part.value) for part in Part})


def _types(source: Path, work: Path, progress: Progress) -> TypesFigures:
    return event_types.measure(rees46.read(source), work, progress)


def _cold(source: Path, work: Path, progress: Progress) -> ColdFigures:
    return cold_products.measure(rees46.read(source), rees46.contents(source), work, progress)


_WAYS: Mapping[Part, Callable[[Path, Path, Progress], Found]] = {
    Part.retailrocket: datasets.from_files,
    Part.diginetica: datasets.from_files,
    Part.serenade: datasets.from_files,
    Part.types: _types,
    Part.cold: _cold,
    Part.objectives: objectives.measure,
}
