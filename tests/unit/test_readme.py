"""The README and its pages say what is true: commands, endpoints, settings, metrics, examples, figures."""

import json
import re
from collections.abc import Iterator
from importlib.util import find_spec

import msgspec
import pytest
import typer
from fastapi import FastAPI
from pydantic import SecretStr
from typer.main import get_command

from infra import figures, reference
from infra.stack.__main__ import app as stack_commands
from infra.stack.broker import ROOT
from schemas import events, experiments, products, rules
from schemas.experiments import Experiment
from schemas.live import Slot
from services.ingest.app import create_app as create_ingest
from services.ingest.settings import IngestSettings
from services.ops.__main__ import app as ops_commands
from services.recommender.api.parameters import FILTERS
from services.recommender.app import create_app as create_recommender
from services.recommender.settings import RecommenderSettings
from services.trainer.commands import app as trainer_commands
from tests.benchmark.accuracy.figures import parameters

README = (ROOT / "README.md").read_text()
REFERENCE = reference.FILE.read_text()
PAGES = {"README.md": README} | {
    f"infra/docs/{path.name}": path.read_text() for path in (ROOT / "infra" / "docs").glob("*.md")
}
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


async def test_the_endpoints_are_those_of_the_services() -> None:
    ingest = create_ingest(IngestSettings(token_secret=SECRET))
    recommender = create_recommender(RecommenderSettings(token_secret=SECRET))
    served = _routes(ingest) | _routes(recommender)
    told = set(re.findall(r"`((?:GET|POST|PUT|DELETE) /[^`]*)`", README))
    assert told == served
    assert "`WS /v1/live`" in README


def _routes(app: FastAPI) -> set[str]:
    paths = app.openapi()["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def test_the_filters_are_those_of_the_routes() -> None:
    [told] = re.findall(r"^Filters: (.+)$", README, re.M)
    assert set(re.findall(r"`(\w+)`", told)) == set(FILTERS)


def test_the_kinds_of_slots_are_those_of_the_protocol() -> None:
    [told] = re.findall(r"^Kinds of slots: (.+)$", README, re.M)
    kinds = Slot.__annotations__["kind"].__args__
    assert set(re.findall(r"`(\w+)`", told)) - {"product_id", "product_ids", "query"} == set(kinds)


def test_the_examples_are_accepted() -> None:
    bodies = re.findall(r"-d '(\{.+?\})'$", README, re.M | re.S)
    assert len(bodies) == 4
    for body in bodies:
        filled = body.replace("'$VISITOR'", "v1").replace("'$(date +%s000)'", "1798000000000")
        for name, entries in json.loads(filled).items():
            if name == "variants":
                experiment = msgspec.convert({"name": "less-brand", "variants": entries}, Experiment)
                assert experiments.check(experiment) is None
                continue
            for entry in entries:
                raw = json.dumps(entry).encode()
                if name == "events":
                    assert events.check(events.decode(raw)) is None
                elif name == "rules":
                    assert rules.check(rules.decode(raw)) is None
                else:
                    products.decode(raw)


def test_the_default_weights_are_those_of_the_code() -> None:
    assert figures.profiles_text() in README, "run `python -m infra.figures`"


def test_the_benchmarks_figures_are_those_measured() -> None:
    assert figures.text() in README, "run `python -m infra.figures`"


def test_the_figures_of_accuracy_are_those_measured() -> None:
    assert figures.accuracy_text() in README, "run `python -m infra.figures`"


def test_the_figures_of_accuracy_are_of_todays_parameters() -> None:
    told = json.loads((figures.MEASURED / "accuracy.json").read_text())
    assert told["parameters"] == parameters(), "measure again: `make evaluate`"


def test_the_models_figures_are_those_measured() -> None:
    measured = json.loads((ROOT / "storefront/demo/model/checkpoint/metrics.json").read_text())
    told = dict(re.findall(r"^\| ([a-z@0-9 ]+?) \| (\d+\.\d+) \|", README, re.M))
    model = {name: value for name, value in told.items() if name in measured}
    assert len(model) >= 6
    for name, value in model.items():
        assert float(value) == pytest.approx(measured[name], abs=0.0051), name
