"""The benchmark on accuracy, on a made-up shop: its figures, tables, picture and sentences."""

from io import StringIO
from pathlib import Path

import msgspec
import numpy as np
import pytest
from matplotlib.image import imread
from rich.console import Console
from typer.testing import CliRunner

from infra import accuracy
from services.model.candidates import KNN_UNIFORM, Workspace, generate
from services.model.session_index import SessionIndex, build_index
from services.progress import Silent
from tests.benchmark.__main__ import app
from tests.benchmark.accuracy import (
    cold_products,
    datasets,
    event_types,
    index_speed,
    picture,
    rees46,
    run,
    tables,
)
from tests.benchmark.accuracy.differences import compare_pairs
from tests.benchmark.accuracy.figures import (
    FUSED,
    ITEM2VEC,
    ITEM2VEC_ORDERS,
    KNN_ORDERS,
    SERVES,
    AccuracyFigures,
    parameters,
)
from tests.benchmark.accuracy.parts import Part
from tests.support import accuracy as shop


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> AccuracyFigures:
    """Of the made-up shop, in the place of every dataset."""
    work = tmp_path_factory.mktemp("accuracy")
    found = datasets.measure(shop.histories(), shop.cases(), work, Silent(), shop.QUICK)
    file = shop.rees46(work / "rees46.csv.gz")
    sessions = rees46.read(file)
    return AccuracyFigures(
        parameters=parameters(),
        retailrocket=found,
        diginetica=found,
        serenade=found,
        types=event_types.measure(sessions, work, Silent()),
        cold=cold_products.measure(sessions, rees46.contents(file), work, Silent()),
    )


def test_every_way_of_ordering_is_measured_on_all_cases(figures: AccuracyFigures) -> None:
    assert figures.retailrocket is not None
    rows = figures.retailrocket.rows
    assert list(rows) == [ITEM2VEC, ITEM2VEC_ORDERS, KNN_ORDERS, FUSED, SERVES]
    assert {told.cases for told in rows.values()} == {shop.PRODUCTS}
    assert rows[KNN_ORDERS].hr_20 > 0.9  # the product after is among the neighbours' nearly always
    assert rows[SERVES].hr_20 > 0.9


def test_hidden_products_are_found_by_content_only(figures: AccuracyFigures) -> None:
    assert figures.cold is not None
    assert figures.cold.cold_cases > 10
    assert figures.cold.cold_without == 0
    assert figures.cold.cold_model > 0
    assert figures.cold.warm_model > 0.5


def test_cases_that_types_tell_apart_are_counted(figures: AccuracyFigures) -> None:
    assert figures.types is not None
    assert 0 < figures.types.told_apart < figures.types.cases


def test_the_tables_show_peers_and_us(figures: AccuracyFigures) -> None:
    console = Console(width=140, record=True, file=StringIO())
    tables.show(console, figures)
    told = console.export_text()
    for word in ("GraphFine", "58.85", SERVES, "the model with contents", "weighed by type", "aim 5,000"):
        assert word in told
    assert "retailrocket: HR@20 " in told


def test_the_picture_is_drawn(figures: AccuracyFigures, tmp_path: Path) -> None:
    picture.draw(figures, tmp_path / "build" / "evaluation.png")
    pixels = imread(tmp_path / "build" / "evaluation.png")
    width, height = (round(inches * picture.DPI) for inches in picture.SIZE_INCHES)
    assert pixels.shape[:2] == (height, width)
    colours = np.round(pixels * 255).astype(np.uint8).view(np.uint32)  # sorting numbers is quicker than rows
    assert len(np.unique(colours)) > 10


def test_a_dataset_that_was_not_measured_is_left_out(figures: AccuracyFigures, tmp_path: Path) -> None:
    part = msgspec.structs.replace(figures, diginetica=None, serenade=None, types=None, cold=None)
    picture.draw(part, tmp_path / "evaluation.png")
    console = Console(width=140, record=True, file=StringIO())
    tables.show(console, part)
    assert "event types" not in console.export_text()


def test_the_readmes_text_tells_every_part(figures: AccuracyFigures) -> None:
    told = "\n".join(accuracy.lines(msgspec.json.decode(msgspec.json.encode(figures))))
    for word in ("GCE-GNN (published)", "| – | – |", "Serenade", "REES46", "is reached", "predictions/s"):
        assert word in told


def test_what_was_measured_before_is_kept(figures: AccuracyFigures, tmp_path: Path) -> None:
    file = tmp_path / "accuracy.json"
    file.write_bytes(msgspec.json.encode(figures))
    assert run.read_figures(file) == figures
    others = msgspec.structs.replace(figures, parameters={"item2vec": "another"})
    file.write_bytes(msgspec.json.encode(others))
    assert run.read_figures(file) == AccuracyFigures(parameters=parameters())
    file.write_text("no JSON")
    assert run.read_figures(file) == AccuracyFigures(parameters=parameters())


def test_a_part_without_data_is_skipped_with_a_sentence(tmp_path: Path) -> None:
    console = Console(width=1000, record=True, file=StringIO())
    out = tmp_path / "bench" / "accuracy.json"
    figures = run.measure(list(Part), tmp_path / "nowhere", out, console)
    assert figures == AccuracyFigures(parameters=parameters())
    assert console.export_text().count("is not there (real data is no part of Eddy)") == len(Part)
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["accuracy", "--only", "nope"], "'nope' is not one of 'retailrocket', 'diginetica', 'serenade'"),
        (["fold", "--only", "serenade"], "--only goes with the part accuracy"),
    ],
)
def test_a_wrong_only_is_refused_with_a_sentence(arguments: list[str], sentence: str) -> None:
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert sentence in done.output


def test_the_help_has_an_example_of_one_part() -> None:
    done = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert "python -m tests.benchmark accuracy --only serenade" in " ".join(done.output.split())


def test_numpy_votes_as_the_index_does() -> None:
    histories = shop.histories()
    index = build_index(histories.items, histories.starts, len(histories.products), 1_000)
    asked = np.array([10, 17, 18], np.int32), np.array([0.5, 0.8, 1.0], np.float32)
    products, features = generate(
        index, index_speed.nothing(index.products), *asked, index_speed.NONE, _work(index)
    )
    votes = features[:, KNN_UNIFORM] * np.log(1 + index.sessions / (index.support[products] + 1))
    assert index_speed.best_by_numpy(index, asked).tolist() == products[np.argsort(-votes)[:20]].tolist()


def _work(index: SessionIndex) -> Workspace:
    return Workspace.of(index.sessions, index.products)


def test_a_difference_is_told_from_chance() -> None:
    sessions = np.arange(400) // 2
    better = np.arange(400) % 10 != 0
    worse = np.arange(400) % 4 != 0
    found = compare_pairs(better, worse, sessions)
    assert found.difference == pytest.approx(0.15)
    assert 0 < found.low < 0.15 < found.high
    assert (found.gained, found.lost, found.is_noise) == (80, 20, False)
    assert compare_pairs(better, np.roll(better, 1), sessions).is_noise
    nothing = np.zeros(0, np.bool_)
    assert compare_pairs(nothing, nothing, np.zeros(0, np.int64)).is_noise


def test_events_of_hidden_products_are_gone_and_so_are_sessions_without_others() -> None:
    histories = shop.histories(50)
    first = frozenset(histories.session(0))
    rest = rees46.hide(histories, first)
    assert not first & set(rest.products)
    assert rest.sessions < histories.sessions
    assert (np.diff(rest.starts) > 0).all()


def test_no_case_has_a_hidden_product_before_its_target() -> None:
    histories = shop.histories(200)
    hidden = frozenset(histories.products[::5])
    held = rees46.cases(histories, hidden, without=hidden)
    assert held.cases
    assert len(held.cases) == len(held.sessions)
    for case in held.cases:
        assert case.target in hidden
        assert not hidden & set(case.prefix)
