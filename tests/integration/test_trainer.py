"""The trainer's commands as processes, on a real broker: release, rollback, and what stops or kills them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from infra.stack.broker import ROOT
from schemas.models import Compared, DataRange, Manifest
from schemas.topics import MODELS
from services.files import PREFIX
from services.model import artifact
from services.model.artifact import ArtifactRefused
from services.model.store import ModelStore
from services.settings import ServiceSettings
from tests.support.kafka import TopicWriter
from tests.support.launcher import ModuleProcess
from tests.support.machine import free_ports
from tests.support.trainer import NAME, Trainer, metrics

FIRST, SECOND, THIRD = (f"2024112{day}T041507Z-3f9a" for day in (3, 4, 5))


def test_a_release_and_the_way_back(trainer: Trainer) -> None:
    folder = trainer.add(FIRST, 0.5)
    status, told = trainer("release")
    assert status == 0, told
    assert "popularity" in told
    status, told = trainer("release")
    assert (status, told) == (0, f"{NAME} {FIRST} is released already\n")
    [first] = trainer.read_releases()
    assert (first.version, first.gate.outcome, first.previous) == (FIRST, "passed", None)
    assert first.location == f"file://{folder}"
    assert artifact.load(folder, first.digest).manifest.metrics == first.metrics

    trainer.add(SECOND, 0.51, Compared(FIRST, metrics(0.5)))
    status, told = trainer("release")
    assert status == 0, told
    assert f"released {NAME} {SECOND} (passed)" in told
    second = trainer.read_releases()[-1]
    assert second.previous == first.released

    status, told = trainer("rollback")
    assert (status, told) == (0, f"released {NAME} {FIRST} again. Back from {SECOND}.\n")
    back = trainer.read_releases()[-1]
    assert back.released == first.released
    assert (back.gate.outcome, back.metrics) == ("rolled_back", first.metrics)

    status, told = trainer("release")  # as a nightly job would
    assert status == 2
    assert f"{SECOND}, the latest, was rolled back: name it" in told

    status, told = trainer("rollback")  # a rollback of a rollback
    assert (status, told) == (0, f"released {NAME} {SECOND} again. Back from {FIRST}.\n")
    assert trainer.read_releases()[-1].released == second.released
    assert len(trainer.read_releases()) == 4


def test_a_worse_model_is_not_released_but_may_be_forced(trainer: Trainer) -> None:
    trainer.add(FIRST, 0.5)
    assert trainer("release")[0] == 0
    trainer.add(SECOND, 0.49, Compared(FIRST, metrics(0.5)))
    status, told = trainer("release")
    assert status == 1
    assert f"{SECOND} is not released" in told
    assert f"HR@20 0.4900 against the released {FIRST}'s 0.5000: worse than the released {FIRST}." in told
    assert len(trainer.read_releases()) == 1

    status, told = trainer("release", "--force")
    assert status == 0, told
    forced = trainer.read_releases()[-1]
    assert (forced.version, forced.gate.outcome) == (SECOND, "forced")
    assert forced.gate.reasons[0].startswith("HR@20 0.4900 against")


def test_a_model_compared_with_another_than_serves_is_not_released(trainer: Trainer) -> None:
    trainer.add(FIRST, 0.5)
    trainer.add(SECOND, 0.6)
    assert trainer("release")[0] == 0
    trainer.add(THIRD, 0.7, Compared(FIRST, metrics(0.5)))
    status, told = trainer("release")
    assert status == 1
    assert f"compared with {FIRST}, but {SECOND} is released: train again" in told


@pytest.mark.parametrize("command", ["release", "rollback"])
@pytest.mark.parametrize("spoil", ["cut", "changed", "missing"])
def test_an_artifact_that_is_not_whole_is_refused_by_name(trainer: Trainer, command: str, spoil: str) -> None:
    folder = trainer.add(FIRST, 0.5)
    if command == "rollback":
        assert trainer("release")[0] == 0
        trainer.add(SECOND, 0.51, Compared(FIRST, metrics(0.5)))
        assert trainer("release")[0] == 0
    before = len(trainer.read_releases())
    path = folder / "vectors.npy"
    whole = path.read_bytes()
    spoils: dict[str, Callable[[], object]] = {
        "cut": lambda: path.write_bytes(whole[:-1]),
        "changed": lambda: path.write_bytes(whole[:-1] + b"\x01"),
        "missing": path.unlink,
    }
    spoils[spoil]()
    status, told = trainer(command)
    assert status == 2
    assert f"{FIRST}/vectors.npy: " in told
    assert len(told.splitlines()) == 1
    assert len(trainer.read_releases()) == before
    assert not list(trainer.datadir.iterdir())


def test_what_is_not_there_is_told_in_a_sentence(trainer: Trainer) -> None:
    for arguments, sentence in [
        (("release",), "there are no versions in"),
        (("release", FIRST), f"there is no version {FIRST} in"),
        (("rollback",), f"no {NAME} is released, so there is nothing to go back from"),
        (("train",), "events holds no events"),
        (("train", "--since", "2999-01-01"), "--since 2999-01-01 lies in the future"),
        (("train", "--since", "1d", "--until", "2d"), "is not before --until"),
    ]:
        status, told = trainer(*arguments)
        assert (status, told.count("\n")) == (2, 1), told
        assert sentence in told
    trainer.add(FIRST, 0.5)
    assert trainer("release")[0] == 0
    status, told = trainer("rollback")
    assert (status, told) == (2, f"{FIRST} is the first release of {NAME}: nothing came before it\n")


def test_a_broker_that_is_away_is_told_in_a_sentence(trainer: Trainer) -> None:
    [nobody] = free_ports(1)
    away = Trainer(replace_broker(trainer.settings, nobody), trainer.folder)
    away.add(FIRST, 0.5)
    status, told = away("release")
    assert (status, told.count("\n")) == (2, 1), told
    assert f"no Kafka broker answers at 127.0.0.1:{nobody}" in told


def replace_broker(settings: ServiceSettings, port: int) -> ServiceSettings:
    return settings.model_copy(update={"kafka_bootstrap": f"127.0.0.1:{port}"})


def test_a_release_that_cannot_be_read_is_told_and_not_guessed_at(trainer: Trainer) -> None:
    filling = TopicWriter(trainer.settings)
    filling.raw(MODELS, NAME, b"rubbish")
    filling.flush()
    trainer.add(FIRST, 0.5)
    status, told = trainer("release")
    assert (status, told.count("\n")) == (2, 1)
    assert f"the newest message of {NAME} on {trainer.settings.topic(MODELS)} is no release" in told


@pytest.mark.parametrize(("sign", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_reading_ends_it_cleanly(trainer: Trainer, sign: signal.Signals, status: int) -> None:
    many_events(trainer.settings)
    process = trainer.start("train")
    when_reading(process)
    process.send_signal(sign)
    try:
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == status, err
    assert "nothing is left half-made" in err
    assert (out, "Traceback" in err) == ("", False)
    assert not list(trainer.datadir.iterdir())
    assert not list((trainer.store / NAME).iterdir())


def test_what_a_killed_training_left_is_cleared_away_by_the_next(trainer: Trainer) -> None:
    many_events(trainer.settings)
    process = trainer.start("train")
    when_reading(process)
    process.kill()
    process.communicate()
    [left] = trainer.datadir.iterdir()
    assert left.name.startswith(PREFIX)
    assert ModelStore(str(trainer.store), NAME).versions() == []

    assert trainer("train", "--since", "1m", "--until", "0m")[0] == 2
    assert not list(trainer.datadir.iterdir())


def many_events(settings: ServiceSettings) -> None:
    """So many that reading them takes longer than a signal."""
    filling = TopicWriter(settings)
    for number in range(60_000):
        filling.event(f"p{number % 100}", visitor=f"v{number % 1_000}")
    filling.flush()


def when_reading(process: ModuleProcess) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("reading events"):
            return
    pytest.fail("it ended before it read anything")


WRITES_HALF = """
import sys
from pathlib import Path
import numpy as np
from schemas.models import DataRange, Manifest
from services.model import artifact

class Halting(dict):
    def items(self):
        yield "first", np.ones(1000)
        print("halfway", flush=True)
        sys.stdin.read()
        yield "second", np.ones(1000)

manifest = Manifest(version=sys.argv[2], created_at=1, data=DataRange(0, 1), counts={}, parameters={})
artifact.write(Path(sys.argv[1]), Halting(), {}, manifest)
"""


def test_a_writer_killed_halfway_leaves_no_version(tmp_path: Path) -> None:
    target = tmp_path / FIRST
    process = subprocess.Popen(
        [sys.executable, "-c", WRITES_HALF, str(target), FIRST],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "halfway\n"
    [part] = tmp_path.iterdir()  # it lives, and nobody clears it away
    manifest = Manifest(version=FIRST, created_at=1, data=DataRange(0, 1), counts={}, parameters={})
    artifact.write(tmp_path / SECOND, {}, {}, replace(manifest, version=SECOND))
    assert (part / "first.npy").exists()

    process.kill()
    process.communicate()
    assert not target.exists()
    for folder in (target, part):
        with pytest.raises(ArtifactRefused):
            artifact.load(folder)
    digest = artifact.write(target, {"first": np.ones(3)}, {}, manifest)
    artifact.load(target, digest)
    assert {path.name for path in tmp_path.iterdir()} == {FIRST, SECOND}
