"""`ops models list` and `rollback`: a store's versions, and the way back under a real recommender."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from infra.stack.broker import Broker
from schemas import models
from schemas.models import DataRange, Manifest, Metrics, ModelRelease
from schemas.topics import MODELS
from services.model import artifact
from services.settings import ServiceSettings
from tests.support.kafka import TopicWriter, read_topic
from tests.support.machine import free_ports
from tests.support.operator import Json, Operator
from tests.support.released_models import ONE, OTHER, Models, change_byte, cut_file, version
from tests.support.services import RunningService, run_service
from tests.support.shop import open_shop

NAME = "behaviour"


def read_releases(settings: ServiceSettings) -> list[ModelRelease]:
    """All releases of the shop's model, the oldest first."""
    found = [message for message in read_topic(settings, MODELS) if message.key() == NAME.encode()]
    return [models.decode(message.value() or b"") for message in found]


def publish(store: Models, release: ModelRelease) -> None:
    """A release as the trainer makes it."""
    asyncio.run(store.publish(release))


def by_name(found: Json) -> dict[str, Json]:
    return {each["version"]: each for each in found["versions"]}


@pytest.fixture(scope="module")
def store(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Models:
    """The store of the shop's model; what is put there is whole and can serve."""
    shop = open_shop(broker)
    return Models(shop, tmp_path_factory.mktemp("store") / shop.settings.topic_prefix / NAME)


@pytest.fixture(scope="module")
def recommender(store: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("recommender")
    environment = {"EDDY_RECOMMENDER_MODELS": str(folder / "fetched")}
    with run_service("recommender", store.shop.settings, folder / "log", environment=environment) as service:
        yield service


@pytest.fixture(scope="module")
def ops(store: Models, recommender: RunningService, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    return Operator(
        store.shop.settings,
        {
            "EDDY_MODEL_STORE": str(store.folder.parents[1]),
            "EDDY_OPS_DATADIR": str(tmp_path_factory.mktemp("work")),
            "EDDY_RECOMMENDER_URL": recommender.url,
        },
    )


class Alone:
    """A store and topics of one test, with no recommender: versions that were measured, of no contents."""

    def __init__(self, settings: ServiceSettings, folder: Path) -> None:
        [nobody] = free_ports(1)
        self.settings = settings
        self.versions = folder / "store" / settings.topic_prefix / NAME
        self.work = folder / "work"
        self.ops = Operator(
            settings,
            {
                "EDDY_MODEL_STORE": str(self.versions.parents[1]),
                "EDDY_OPS_DATADIR": str(self.work),
                "EDDY_RECOMMENDER_URL": f"http://127.0.0.1:{nobody}",
            },
        )

    def store(self, number: int) -> ModelRelease:
        """A version in the store, not released."""
        name, hr = version(number), number / 10
        measured = Metrics(
            hr_20=hr, mrr_20=hr / 2, coverage=0.5, popularity_bias=0.5, cases=500, predictions_per_s=9
        )
        manifest = Manifest(
            version=name,
            created_at=1_732_406_400_000 + number,
            data=DataRange(1_732_000_000_000, 1_732_400_000_000),
            counts={"events": 1_000 * number, "sessions": 100},
            parameters={},
            metrics=measured,
        )
        folder = self.versions / name
        digest = artifact.write(folder, {"vectors": [[1.0] * 50]}, {"products.json": "[]"}, manifest)  # type: ignore[dict-item]
        return ModelRelease(
            name=NAME, version=name, location=f"file://{folder}", digest=digest, released_at=number,
            gate=models.Gate("passed", ("good",)), metrics=measured,
        )  # fmt: skip

    def publish(self, *releases: ModelRelease, name: str = NAME) -> None:
        """Each the one after the one before it."""
        filling, former = TopicWriter(self.settings), None
        for each in releases:
            made = replace(each, name=name, previous=former.released if former else None)
            filling.raw(MODELS, name, models.encode(made))
            former = each
        filling.flush()


@pytest.fixture
def alone(kafka: ServiceSettings, tmp_path: Path) -> Alone:
    return Alone(kafka, tmp_path)


def test_the_way_back_is_told_once_the_recommender_serves_it(store: Models, ops: Operator) -> None:
    first, second, third = store.store(ONE), store.store(OTHER), store.store(ONE)
    publish(store, first)
    publish(store, replace(second, previous=first.released))

    done = ops("models", "rollback", "--yes", "--json").json
    assert (done["was"], done["now"], done["served"]) == (second.version, first.version, True)
    back = read_releases(ops.settings)[-1]
    assert (back.released, back.previous) == (first.released, second.released)
    assert (back.gate.outcome, back.gate.reasons) == ("rolled_back", (f"Back from {second.version}.",))
    listed = ops("models", "list", "--json").json
    assert {each["version"]: each["state"] for each in listed["versions"]} == {
        first.version: "released",
        second.version: "previous",
        third.version: "stored",
    }
    assert (listed["served"], listed["warnings"]) == (first.version, [])

    told = ops.as_process("models", "rollback", "--to", "3", "--yes").out
    assert f"released {NAME} {third.version} again. Back from {first.version}." in told
    assert "the recommender serves it" in told
    named = read_releases(ops.settings)[-1]
    assert (named.released, named.previous) == (third.released, first.released)
    assert named.gate.reasons == (f"Back from {first.version}.", "To a version that an operator named.")

    before = len(read_releases(ops.settings))
    told = ops("models", "rollback", "--to", third.version, "--yes").out
    assert f"{NAME} {third.version} is released already" in told
    assert len(read_releases(ops.settings)) == before
    assert ops("models", "rollback", "--yes", "--json").json["now"] == first.version  # and back again


def test_a_version_that_the_recommender_refuses_ends_with_1(store: Models, ops: Operator) -> None:
    good = store.store(ONE)
    publish(store, good)
    foreign = version(99)
    artifact.write(
        store.folder / foreign, {}, {"products.json": "[]"}, replace(_manifest(store, good), version=foreign)
    )
    done = ops("models", "rollback", "--to", foreign, "--yes", "--wait", "1", status=1)
    assert f"did not serve {foreign} within 1 s: its log says why" in done.err
    assert ops("models", "list", "--json").json["served"] != foreign
    assert read_releases(ops.settings)[-1].version == foreign
    assert ops("models", "rollback", "--yes", "--json").json["now"] == good.version


def _manifest(store: Models, release: ModelRelease) -> Manifest:
    manifest, _ = artifact.read_manifest(store.folder / release.version)
    return manifest


def test_all_that_a_store_holds_is_told_numbered_from_the_oldest(alone: Alone) -> None:
    first, second, third = (alone.store(number) for number in (1, 2, 3))
    alone.publish(first, third)
    alone.publish(second, name="behaviour-b")
    found = alone.ops("models", "list", "--json").json
    assert [(each["number"], each["version"], each["hr_20"]) for each in found["versions"]] == [
        (1, first.version, 0.1),
        (2, second.version, 0.2),
        (3, third.version, 0.3),
    ]
    told = by_name(found)[third.version]
    assert (told["state"], told["gate"], told["reasons"]) == ("released", "passed", ["good"])
    assert (told["digest"], told["counts"]) == (third.digest, {"events": 3_000, "sessions": 100})
    assert (told["since"], told["until"]) == (1_732_000_000_000, 1_732_400_000_000)
    assert (
        told["bytes"]
        == sum(path.stat().st_size for path in (alone.versions / third.version).iterdir())
        - (alone.versions / third.version / "manifest.json").stat().st_size
    )
    assert (found["released"], found["previous"], found["served"]) == (third.version, first.version, None)
    assert [(each["name"], each["version"]) for each in found["lines"]] == [("behaviour-b", second.version)]
    [away] = found["warnings"]
    assert "no recommender answers" in away
    text = alone.ops("models", "list").out
    assert f"another line of releases, behaviour-b: {second.version} (passed)" in text
    assert "0.3000" in text


def test_an_empty_store_and_nothing_released_is_told(alone: Alone) -> None:
    found = alone.ops("models", "list", "--json").json
    assert (found["versions"], found["released"], found["lines"]) == ([], None, [])
    assert "released: none" in alone.ops("models", "list").out


@pytest.mark.parametrize("verify", [False, True])
def test_broken_versions_are_named_and_end_with_1(alone: Alone, verify: bool) -> None:
    for number in range(1, 7):
        alone.store(number)
    whole, short, without, rubbish, half, other = (alone.versions / version(number) for number in range(1, 7))
    (short / "vectors.npy").write_bytes((short / "vectors.npy").read_bytes()[:-1])
    (without / "products.json").unlink()
    (rubbish / "manifest.json").write_bytes(b"{}")
    (half / "manifest.json").unlink()
    (other / "products.json").write_bytes(b"{}")  # as long as it was
    arguments = ["models", "list", "--json", *(["--verify"] if verify else [])]
    done = alone.ops(*arguments, status=1)
    broken = {name: each["broken"] for name, each in by_name(done.json).items()}
    assert broken[whole.name] is None
    assert "vectors.npy" in broken[short.name]
    assert "products.json" in broken[without.name]
    assert "is no manifest" in broken[rubbish.name]
    assert "not found" in broken[half.name]
    assert bool(broken[other.name]) is verify, "the same size: only its bytes tell"
    assert f"{short.name} is broken: " in done.err
    assert not alone.work.exists() or not list(alone.work.iterdir())


def test_what_has_changed_since_it_was_released_or_is_gone_is_told(alone: Alone) -> None:
    first, second = alone.store(1), alone.store(2)
    alone.publish(first, second)
    shutil.rmtree(alone.versions / second.version)
    alone.store(2)
    path = alone.versions / second.version / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"2000", b"2001"))
    shutil.rmtree(alone.versions / first.version)
    done = alone.ops("models", "list", "--json", status=1)
    assert "has changed since it was released" in by_name(done.json)[second.version]["broken"]
    assert f"the previous {first.version} lies elsewhere, or nowhere any more" in done.json["warnings"][0]
    done = alone.ops("models", "rollback", "--yes", status=2)
    assert first.version in done.err
    assert len(read_releases(alone.settings)) == 2


@pytest.mark.parametrize("spoil", [cut_file, change_byte])
def test_a_version_that_is_not_whole_is_not_gone_back_to(
    store: Models, ops: Operator, spoil: Callable[[Path], None]
) -> None:
    broken = store.store_spoiled(spoil)
    before = len(read_releases(ops.settings))
    done = ops("models", "rollback", "--to", broken.version, "--yes", status=2)
    assert f"{broken.version}/" in done.err
    assert len(done.err.splitlines()) == 1
    assert len(read_releases(ops.settings)) == before


def test_a_recommender_that_does_not_answer_is_said_and_the_release_stands(alone: Alone) -> None:
    first, second = alone.store(1), alone.store(2)
    alone.publish(first, second)
    done = alone.ops("models", "rollback", "--yes", "--wait", "0.5", status=1)
    assert f"released {NAME} {first.version} again" in done.out
    assert f"whether {first.version} serves is not known: no recommender answers" in done.err
    assert read_releases(alone.settings)[-1].version == first.version
    assert alone.ops("models", "rollback", "--yes", "--wait", "0", "--json").json["served"] is None
    assert read_releases(alone.settings)[-1].version == second.version


def test_what_cannot_be_done_ends_with_2_and_changes_nothing(alone: Alone) -> None:
    first, second = alone.store(1), alone.store(2)
    for arguments, sentence in [
        ((), f"no {NAME} is released, so there is nothing to go back from"),
        (("--to", "1", "--yes"), "`python -m services.trainer release`"),
    ]:
        assert sentence in alone.ops("models", "rollback", *arguments, status=2).err
    alone.publish(first)
    assert "nothing came before it" in alone.ops("models", "rollback", "--yes", status=2).err
    alone.publish(first, second)
    for arguments, sentence in [
        (("--to", "7", "--yes"), "there is no version 7 in"),
        (("--to", version(50), "--yes"), f"there is no version {version(50)} in"),
        ((), f"let {second.version} give way to {first.version}? Nobody can be asked here: say --yes"),
    ]:
        done = alone.ops("models", "rollback", *arguments, status=2)
        assert sentence in done.err
        assert "Traceback" not in done.err
    assert len(read_releases(alone.settings)) == 3


def test_a_release_that_cannot_be_read_is_told_and_not_gone_back_from(alone: Alone) -> None:
    alone.store(1)
    filling = TopicWriter(alone.settings)
    filling.raw(MODELS, NAME, b"rubbish")
    filling.raw(MODELS, "other-line", b"rubbish")
    filling.flush()
    found = alone.ops("models", "list", "--json").json
    assert f"the newest message of {NAME}" in found["warnings"][0]
    assert found["lines"][0]["unreadable"]
    assert "is no release" in alone.ops("models", "rollback", "--yes", status=2).err
