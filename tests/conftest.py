"""What the tests stand on: a real broker for the whole run, and a topic prefix of its own for each test."""

import gc
import os
import shutil
import signal
import subprocess
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from infra.stack.broker import LIBS, Broker
from infra.stack.lifecycle import Stack
from services.settings import ServiceSettings
from tests.support.examples import register_profiles
from tests.support.kafka import create_topics, wait_for_broker
from tests.support.machine import (
    SHARED_DATA,
    QdrantServer,
    free_ports,
    put_temporary_folders_in_memory,
    skip_or_fail,
)
from tests.support.qdrant import StandIn
from tests.support.stack import run_stack

register_profiles()
put_temporary_folders_in_memory()

# A shell starts what runs in its background with Ctrl-C ignored, and what the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


# What one worker runs together: a module, whose fixtures are dear; all that asks for the one stack; all that
# needs torch, which is imported once.
STACK = "the stack"
STACK_ENDS = pytest.StashKey[ExitStack]()  # what ends it
STACK_S = (
    400  # seconds for the first test of it, which waits for the start of all and for a catalogue to be drawn
)
TOGETHER = {
    STACK: {
        "test_crashes",
        "test_own_shop",
        "test_stack",
        "test_shop",
        "test_shop_live",
        "test_shop_search",
        "test_shop_weight",
        "test_prometheus",
    },
    "torch": {
        "test_embedder",
        "test_odd_bytes",
        "test_embedder_topics",
        "test_catalogue_load",
        "test_words",
        "test_embedding_models",
        "test_real_input",
    },
}
# The dearest first, so that at the end of a run no worker waits long for another.
DEAREST = (
    "torch", STACK, "test_openapi", "test_replay", "test_dead_letters", "test_element", "test_trainer",
    "test_topics_made_anew", "test_session_processor", "test_visitor_and_product", "test_archives",
    "test_restarts", "test_no_leaks", "test_leader_killed", "test_looking_inside", "test_replay_rows",
    "test_erasure", "test_embedder_qdrant", "test_ingest", "test_ops_models", "test_index_rebuild",
    "test_accuracy",
)  # fmt: skip


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each worker group by group, in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    path, _, _ = nodeid.partition("::")
    names = (name for name, modules in TOGETHER.items() if Path(path).stem in modules)
    return path if "/unit/" in path else next(names, path)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling:
    return GroupScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The dear groups first, then those with services, then those that need none."""
    ranks: dict[str, tuple[int, int]] = {}
    for item in items:
        needs, group = getattr(item, "fixturenames", ()), group_of(item.nodeid)
        if "stack" in needs and group != STACK:
            raise pytest.UsageError(f"{group} uses the stack: name it in TOGETHER")
        if group == STACK and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(STACK_S))
        name = Path(group).stem
        dear = DEAREST.index(name) if name in DEAREST else len(DEAREST)
        ranks[group] = min(ranks.get(group, (dear, 1)), (dear, 0 if "broker" in needs else 1))
    items.sort(key=lambda item: ranks[group_of(item.nodeid)])


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Looks for no garbage meanwhile, nor ever again among what is there then: both took seconds."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def no_chance() -> Iterator[None]:
    """Rows are as they are ranked: what a test asserts of one holds each time. Tests of chance ask for it."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("EDDY_EXPLORE_SHARE", "0")
        yield


@pytest.fixture(scope="session", autouse=True)
def qdrant() -> Iterator[QdrantServer | None]:
    """The Qdrant server that the environment names. Who does not ask for it sees nothing of it: an index in
    the process is the default, and most tests are about that."""
    with pytest.MonkeyPatch.context() as environment:
        given = {name: value for name, value in os.environ.items() if name.startswith("EDDY_QDRANT_")}
        for name in given:
            environment.delenv(name)
        yield QdrantServer(given) if given.get("EDDY_QDRANT_URL") else None


@pytest.fixture(scope="session")
def qdrant_stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """A stand-in of a Qdrant server, one for the whole run: tests take collections of their own."""
    running = StandIn(tmp_path_factory.mktemp("qdrant")).start()
    yield running
    running.kill()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running Kafka broker, one for the whole run."""
    if shutil.which("java") is None or not LIBS.is_dir():
        skip_or_fail("a broker needs Java 17 and the jars of `make setup`")
    port, controller_port = free_ports(2)
    broker = Broker(tmp_path_factory.mktemp("kafka"), port, controller_port)
    broker.prepare()
    with (broker.folder / "log").open("wb") as log:
        process = subprocess.Popen(broker.command(), stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for_broker(broker.bootstrap)
        yield broker
    finally:
        process.kill()  # it has nothing to keep; ended gently it takes 3 s
        process.wait(timeout=30)


@pytest.fixture
def kafka(broker: Broker) -> ServiceSettings:
    """Settings of a fresh set of topics on the running broker."""
    return create_topics(broker)


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole flow, as `make up` starts it, on ports and in a folder of its own; one for the whole run."""
    if shutil.which("java") is None or not LIBS.is_dir():
        skip_or_fail("the stack needs Java 17 and the jars of `make setup`")
    with ExitStack() as ends:
        request.session.stash[STACK_ENDS] = ends
        yield ends.enter_context(run_stack(tmp_path_factory.mktemp("stack")))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Ends the stack after the last test of its group: idle, its processes take a tenth of a core."""
    goes_on = nextitem is not None and group_of(nextitem.nodeid) == STACK
    if STACK_ENDS in item.session.stash and not goes_on:
        item.session.stash[STACK_ENDS].close()


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"{SHARED_DATA} is not there: real data is not part of the repository")
    return SHARED_DATA
