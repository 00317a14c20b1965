"""The static checks of images and compose files: what is here passes, what is broken does not."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from infra.compose_keys import NAMES, make_keys
from infra.deploy_check import Skipped, cluster, containers, images, native, rebuild, stand_ins
from infra.deploy_check.__main__ import find_parts, main, run
from infra.deploy_check.compose import INFRA, compose_problems, merge
from infra.deploy_check.images import FOLDER, ROOT, dockerfile_problems, ignore_problems, lock_problems
from services.version import VERSION

DOCKERFILE = (FOLDER / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((INFRA / "compose.yaml").read_text())
CLUSTER = yaml.safe_load((INFRA / "compose.cluster.yaml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()
LOCKS = {path.name: path.read_text() for path in FOLDER.glob("*.lock")}
PYPROJECT = (ROOT / "pyproject.toml").read_text()


def test_what_is_here_is_fine() -> None:
    assert dockerfile_problems(DOCKERFILE) == []
    assert lock_problems(LOCK, LOCKS, PYPROJECT) == []
    assert compose_problems(COMPOSE, VERSION) == []
    assert compose_problems(merge([COMPOSE, CLUSTER]), VERSION) == []


@pytest.mark.parametrize(
    ("found", "instead", "problem"),
    [
        ("python:3.11.14-slim-bookworm", "python:latest", "not pinned"),
        ("python:3.11.14-slim-bookworm", "python", "not pinned"),
        ("USER 10001:10001", "", "eddy-embedder: it runs as root"),
        ("USER 10001:10001", "USER 0", "eddy: it runs as root"),
        ("HEALTHCHECK ", "LABEL ", "eddy: it has no HEALTHCHECK"),
        ("AS eddy\n", "AS eddie\n", "no target eddy"),
        ("--require-hashes -r /build/eddy.lock", "-r /build/eddy.lock", "without --require-hashes"),
        ('ENTRYPOINT ["python", "-m"]', 'ENTRYPOINT ["bash"]', "entry point"),
    ],
)
def test_a_broken_dockerfile_is_refused(found: str, instead: str, problem: str) -> None:
    assert found in DOCKERFILE
    assert problem in "\n".join(dockerfile_problems(DOCKERFILE.replace(found, instead)))


def test_hadolint_reads_the_dockerfile() -> None:
    assert images._lint(FOLDER / "Dockerfile") == []


def test_hadolint_refuses_what_it_refuses(tmp_path: Any) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text("FROM debian:latest\nRUN cd /tmp && apt-get install curl\n")
    assert "DL3007" in "\n".join(images._lint(path))


def test_a_lock_without_a_hash_is_refused() -> None:
    bare = "numpy==2.4.6\nscipy==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n"
    assert lock_problems(bare, LOCKS, PYPROJECT)[0] == "requirements.lock: numpy has no hash"


def test_an_images_lock_that_is_behind_is_refused() -> None:
    older = LOCKS | {"eddy.lock": LOCKS["eddy.lock"].replace("\nnumpy==", "\nnumpy==0")}
    assert "eddy.lock: numpy is 0" in "\n".join(lock_problems(LOCK, older, PYPROJECT))
    lacking = LOCKS | {"eddy.lock": LOCKS["eddy.lock"].replace("\nuvloop==", "\nother==")}
    assert "eddy.lock: uvloop is missing: make lock" in lock_problems(LOCK, lacking, PYPROJECT)


def test_torch_in_the_small_image_is_refused() -> None:
    heavy = LOCKS | {"eddy.lock": LOCKS["eddy.lock"] + "torch==2.0 --hash=sha256:" + "0" * 64}
    assert "eddy.lock: torch belongs to the embedder's image only" in lock_problems(LOCK, heavy, PYPROJECT)


def test_a_compiler_in_an_image_is_refused() -> None:
    numba = "numba==0.68.1 --hash=sha256:" + "0" * 64
    heavy = LOCKS | {"embedder.lock": LOCKS["embedder.lock"] + numba}
    problems = lock_problems(LOCK, heavy, PYPROJECT)
    assert "embedder.lock: numba belongs to the build only: code is compiled ahead of time" in problems


def test_an_ignore_file_that_lets_everything_in_is_refused() -> None:
    assert ignore_problems("# why\n*\n!services\n") == []
    assert ignore_problems("build\n.venv\n")


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda of: of.update(image="eddy"), "not pinned"),
        (lambda of: of.update(image="eddy:latest"), "not pinned"),
        (lambda of: of.update(image="eddy:0.0.9"), f"its image is eddy:0.0.9, the project is {VERSION}"),
        (lambda of: of.pop("healthcheck"), "it has no health check"),
        (lambda of: of.update(healthcheck={"test": ["NONE"]}), "it has no health check"),
        (lambda of: of.update(read_only=False), "its root can be written to"),
        (lambda of: of.pop("mem_limit"), "it has no memory limit"),
        (lambda of: of.pop("cap_drop"), "it keeps capabilities"),
        (lambda of: of.pop("security_opt"), "it may gain privileges"),
        (lambda of: of.update(ports=["8001:8001"]), "open to every network"),
        (lambda of: of["environment"].update(EDDY_INGEST_PROT="1"), "EDDY_INGEST_PROT is no setting"),
        (lambda of: of["environment"].update(EDDY_API_KEY="secret"), "EDDY_API_KEY is a key"),
        (lambda of: of["environment"].update(EDDY_API_KEY="${EDDY_API_KEY:-changeme}"), "EDDY_API_KEY is a"),
        (lambda of: of["environment"].update(OTHER="${NOBODY_MAKES:?}"), "makes no NOBODY_MAKES"),
        (lambda of: of.update(depends_on={"kafak": {"condition": "service_healthy"}}), "does not exist"),
        (lambda of: of.update(depends_on={"kafka": {"condition": "healthy"}}), "does not know: healthy"),
    ],
)
def test_a_broken_service_is_refused(change: Change, problem: str) -> None:
    document = copy.deepcopy(COMPOSE)
    change(document["services"]["ingest"])
    assert problem in "\n".join(compose_problems(document, VERSION))


def test_a_file_without_services_is_refused() -> None:
    assert compose_problems({"servces": {}}, VERSION) == ["it has no services"]


def test_keys_are_made_once_and_for_this_user_only(tmp_path: Any) -> None:
    path = tmp_path / ".env"
    path.write_text("EDDY_API_KEY=mine")
    assert set(make_keys(path)) == set(NAMES) - {"EDDY_API_KEY"}
    before = path.read_text()
    assert make_keys(path) == []
    assert path.read_text() == before
    assert before.startswith("EDDY_API_KEY=mine\nEDDY_TOKEN_SECRET=")
    fresh = tmp_path / "fresh.env"
    make_keys(fresh)
    assert fresh.stat().st_mode & 0o077 == 0
    keys = dict(line.split("=", 1) for line in fresh.read_text().splitlines())
    assert len(set(keys.values())) == len(NAMES)


def test_a_part_that_finds_something_fails_and_one_that_cannot_run_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def skip() -> list[str]:
        raise Skipped("no daemon")

    parts: dict[str, Callable[[], list[str]]] = {"good": list, "bad": lambda: ["it is"], "absent": skip}
    assert run(["good", "absent"], parts.__getitem__) == 0
    assert run(["good", "bad"], parts.__getitem__) == 1
    out = capsys.readouterr().out
    assert "SKIPPED  absent: no daemon" in out
    assert "WRONG     bad" in out
    assert "  it is" in out


def test_without_a_daemon_the_containers_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(Skipped, match="no Docker daemon answers"):
        containers.check()
    with pytest.raises(Skipped, match="no Docker daemon answers"):
        cluster.check()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Skipped, match="no Docker daemon answers"):
        containers.check()


def test_parts_are_the_modules_that_check() -> None:
    assert {"cluster", "compose", "containers", "images", "native"} <= set(find_parts())
    assert main(["imgaes"]) == 2


def test_stand_ins_have_the_names_that_are_asked_for() -> None:
    names = stand_ins.name_images()
    assert set(names) == set(stand_ins.STAND_INS)
    assert f"ARG PYTHON_IMAGE={names['python']}\n" in DOCKERFILE
    assert names["apache/kafka"] == COMPOSE["services"]["kafka"]["image"]


def test_of_two_builds_what_differs_is_told_file_by_file() -> None:
    one = {"opt/a": "0 644 0:0 1 bytes, time 1, abc", "opt/b": "same", "etc/hosts": "of one container"}
    other = {"opt/a": "0 644 0:0 1 bytes, time 2, abc", "opt/b": "same", "opt/c": "new"}
    assert rebuild.compare(one, other) == [
        "opt/a: 0 644 0:0 1 bytes, time 1, abc | 0 644 0:0 1 bytes, time 2, abc",
        "opt/c: missing | new",
    ]
    assert rebuild.compare(one, one) == []


def test_only_images_that_there_are_are_built_again() -> None:
    assert rebuild.main("eddie") == 2


def test_without_a_compiler_what_is_compiled_ahead_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Skipped, match="no C\\+\\+ compiler"):
        native.check()


def test_the_tests_of_what_is_compiled_are_there() -> None:
    assert [each for each in native.TESTS if not (ROOT / each).is_file()] == []
