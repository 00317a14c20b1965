"""The README and its pages say what is true: commands, endpoints, settings, metrics, examples, figures."""

import json
import re
from collections.abc import Iterator
from importlib.util import find_spec

import msgspec
import pytest
import typer
from fastapi import FastAPI
from PIL import Image
from pydantic import SecretStr
from typer.main import get_command

from infra import curve, faults, figures, reference, trace_picture
from infra.picture import BYTES_MAX
from infra.simulation import picture
from infra.stack.__main__ import app as stack_commands
from infra.stack.broker import ROOT
from schemas import events, experiments, live, products, rules
from schemas.experiments import Experiment
from schemas.live import Slot
from schemas.sessions import KINDS
from services.ingest.app import create_app as create_ingest
from services.ingest.settings import IngestSettings
from services.ops.__main__ import app as ops_commands
from services.ops.catalogue import public_datasets
from services.recommender.api.parameters import FILTERS
from services.recommender.app import create_app as create_recommender
from services.recommender.settings import RecommenderSettings
from services.trainer.cases import Case
from services.trainer.commands import app as trainer_commands
from tests.benchmark.accuracy.figures import UNTOLD, parameters

README = (ROOT / "README.md").read_text()
API = (ROOT / "infra" / "docs" / "api.md").read_text()
TRAIN = (ROOT / "infra" / "docs" / "train.md").read_text()
REFERENCE = reference.FILE.read_text()
PAGES = {"README.md": README} | {
    f"infra/docs/{path.name}": path.read_text() for path in (ROOT / "infra" / "docs").glob("*.md")
}
README_LINES = 200
COLUMN = 78  # characters that a drawing may be wide
SECRET = SecretStr("a secret of the tests")


def test_the_reference_is_made_from_the_code() -> None:
    assert reference.text() == REFERENCE, "run `python -m infra.reference`"


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", PAGES[page], re.M)
    assert {first or second for first, second in named} <= targets


@pytest.mark.parametrize("page", PAGES)
def test_every_module_that_is_run_exists(page: str) -> None:
    for module in re.findall(r"python -m ([\w.]+\w)", PAGES[page]):
        assert find_spec(module) is not None, module


@pytest.mark.parametrize("page", PAGES)
def test_every_subcommand_exists(page: str) -> None:
    modules = {
        "services.ops": ops_commands,
        "services.trainer": trainer_commands,
        "infra.stack": stack_commands,
    }
    for module, commands in modules.items():
        for words in re.findall(rf"python -m {re.escape(module)} ([a-z]+(?: [a-z]+)?)", PAGES[page]):
            assert words in set(_commands(commands)), words


def _commands(app: typer.Typer) -> Iterator[str]:
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", {})
        yield name
        yield from (f"{name} {each}" for each in inner)


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_exists(page: str) -> None:
    known = set(re.findall(r"^\| `(EDDY_\w+)`", REFERENCE, re.M))
    assert set(re.findall(r"EDDY_[A-Z_]*[A-Z]", PAGES[page])) <= known


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_linked_exists(page: str) -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)", PAGES[page]):
        assert ((ROOT / page).parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_is_named_exists(page: str) -> None:
    for path in re.findall(r"`((?:schemas|services|storefront|infra|tests)/[\w./-]*)`", PAGES[page]):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES)
def test_every_section_that_is_linked_exists(page: str) -> None:
    for link, section in re.findall(r"\]\((?!http)([^)#]*)#([^)]+)\)", PAGES[page]):
        linked = ((ROOT / page).parent / link).read_text() if link else PAGES[page]
        assert section in {_anchor(each) for each in re.findall(r"^#+ (.+)$", linked, re.M)}, section


def _anchor(heading: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    assert README.count("\n") <= README_LINES
    linked = set(re.findall(r"\]\((infra/docs/[^)#]+\.md)", README))
    assert linked == set(PAGES) - {"README.md"}


def test_drawings_fit_the_column() -> None:
    fenced = re.findall(r"^```(\w*)\n(.+?)^```$", README, re.M | re.S)
    lines = [line for language, text in fenced if not language for line in text.splitlines()]
    assert lines
    assert max(map(len, lines)) <= COLUMN


def test_the_picture_is_small_and_moves() -> None:
    picture = ROOT / "infra" / "docs" / "shop.webp"
    assert f"](infra/docs/{picture.name})" in README
    assert picture.stat().st_size < BYTES_MAX
    with Image.open(picture) as film:
        assert getattr(film, "n_frames", 1) > 1


async def test_the_endpoints_are_those_of_the_services() -> None:
    ingest = create_ingest(IngestSettings(token_secret=SECRET, api_key=SECRET))
    recommender = create_recommender(RecommenderSettings(token_secret=SECRET, api_key=SECRET))
    served = _routes(ingest) | _routes(recommender)
    told = set(re.findall(r"`((?:GET|POST|PUT|DELETE) /[^`]*)`", API))
    assert told == served
    assert "`WS /v1/live`" in API
    elsewhere = "".join(text for page, text in PAGES.items() if not page.endswith("api.md"))
    assert set(re.findall(r"`((?:GET|POST|PUT|DELETE) /v1[^`]*)`", elsewhere)) <= served


def _routes(app: FastAPI) -> set[str]:
    paths = app.openapi()["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def test_the_filters_are_those_of_the_routes() -> None:
    [told] = re.findall(r"^Filters: (.+)$", API, re.M)
    assert set(re.findall(r"`(\w+)`", told)) == set(FILTERS)


def test_the_kinds_of_slots_are_those_of_the_protocol() -> None:
    [told] = re.findall(r"^Kinds of slots: (.+)$", API, re.M)
    kinds = Slot.__annotations__["kind"].__args__
    assert set(re.findall(r"`(\w+)`", told)) - {"product_id", "product_ids", "query"} == set(kinds)


def test_the_examples_are_accepted() -> None:
    bodies = re.findall(r"-d '(\{.+?\})'$", API + README, re.M | re.S)
    assert len(bodies) == 6
    for body in bodies:
        filled = body.replace("'$VISITOR'", "v1").replace("'$(date +%s000)'", "1798000000000")
        told = json.loads(filled)
        told.pop("visitor_id", None)  # of a page
        for name, entries in told.items():
            if name == "variants":
                experiment = msgspec.convert({"name": "less-brand", "variants": entries}, Experiment)
                assert experiments.check(experiment) is None
                continue
            if name == "slots":
                slots = msgspec.convert(entries, tuple[Slot, ...])
                assert live.check(live.Subscribe(slots=slots)) is None
                continue
            for entry in entries:
                raw = json.dumps(entry).encode()
                if name == "events":
                    assert events.check(events.decode(raw)) is None
                elif name == "rules":
                    assert rules.check(rules.decode(raw)) is None
                else:
                    products.decode(raw)


@pytest.mark.parametrize("block", figures.BLOCKS)
def test_figures_are_those_measured_and_weights_those_of_the_code(block: str) -> None:
    page, _ = figures.BLOCKS[block]
    assert figures.block(block) in page.read_text(), "run `python -m infra.figures`"
    assert sum(text.count(f"<!-- {block}: made by") for text in PAGES.values()) == 1


def test_the_trace_is_drawn_from_what_was_recorded() -> None:
    spans = msgspec.json.decode(trace_picture.MEASURED.read_bytes())
    assert trace_picture.PICTURE.read_text() == trace_picture.draw(spans)
    took = max(each["ended_ms"] for each in spans) - min(each["began_ms"] for each in spans)
    assert f"{took:.1f} ms from the page to the push" in (trace_picture.DOCS / "operate.md").read_text()


def test_the_curve_is_drawn_from_what_was_measured() -> None:
    live = json.loads((figures.MEASURED / "live.json").read_text())
    assert figures.CURVE.read_text() == curve.draw(live), "run `python -m infra.figures`"
    simulated = json.loads((figures.MEASURED / "simulate.json").read_text())["figures"]
    assert figures.SIMULATION.read_text() == picture.draw(simulated), "run `python -m infra.figures`"
    cluster = json.loads((figures.MEASURED / "cluster.json").read_text())
    assert figures.FAULTS.read_text() == faults.draw(cluster), "run `python -m infra.figures`"


def test_the_figures_of_accuracy_are_of_todays_parameters() -> None:
    told = json.loads((figures.MEASURED / "accuracy.json").read_text())
    assert told["parameters"] == parameters(), "measure again: `make evaluate`"
    assert UNTOLD.isdisjoint({*public_datasets.TYPES.values(), KINDS[Case(("a",), "b").events[0].kind]})


def test_the_models_figures_are_those_measured() -> None:
    measured = json.loads((ROOT / "storefront/demo/model/checkpoint/metrics.json").read_text())
    told = dict(re.findall(r"^\| ([a-z@0-9 ]+?) \| (\d+\.\d+) \|", TRAIN, re.M))
    model = {name: value for name, value in told.items() if name in measured}
    assert len(model) >= 6
    for name, value in model.items():
        assert float(value) == pytest.approx(measured[name], abs=0.0051), name
