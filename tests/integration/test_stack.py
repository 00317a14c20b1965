"""`make up` as people use it: all is well, twice is harmless, and what dies is started anew."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from infra.stack.broker import ROOT
from infra.stack.lifecycle import Stack, answers
from infra.stack.programs import SECRETS
from schemas.models import ModelRelease
from services.kafka.admin import create
from services.model import releases
from services.settings import ServiceSettings
from services.trainer.settings import TrainerSettings
from storefront.demo.shoppers import releasing
from storefront.demo.shoppers.shelf import Catalogue
from tests.support.operator import run_command
from tests.support.patience import patiently
from tests.support.stack import secrets_in_logs


def test_up_again_changes_no_process(stack: Stack) -> None:
    before = {name: stack.pid(name) for name in stack.ports}
    told: list[str] = []
    stack.up(lambda what, _seconds: told.append(what))
    assert {name: stack.pid(name) for name in stack.ports} == before
    assert told[-1] == "its products are embedded and searchable"


def test_a_stack_that_is_well_is_called_so(stack: Stack) -> None:
    processor = f"http://127.0.0.1:{stack.ports['session_processor']}"
    environment = stack.environment | {"EDDY_SESSION_PROCESSOR_URL": processor}

    @patiently(30, 1)
    def well() -> None:
        report = json.loads(run_command(environment, "doctor", "--json").out)
        # Other tests send what is refused, on purpose; how full this machine's disk is is its own matter.
        machine = {"dead letters of events", "products of events", "products of slots", "disk", "versions"}
        wrong = [
            each for each in report["findings"] if each["state"] != "ok" and each["check"] not in machine
        ]
        assert wrong == []

    well()
    assert "index" in run_command(environment, "doctor").out
    assert "keeps up" in run_command(environment, "lag").out
    assert "ready" in run_command(environment, "lag").out
    run_command(environment, "index", "check")


def test_a_click_of_the_operator_comes_back_as_a_row(stack: Stack) -> None:
    """What `helm test` runs, here on the stack."""
    told = run_command(stack.environment, "click", "--within", "20", "--json").json
    assert told["items"]
    assert told["product_id"] not in told["items"]


def test_keys_and_tokens_that_are_used_stand_in_no_log(stack: Stack) -> None:
    keys = {name: value for name, value in stack.environment.items() if name in SECRETS}
    assert len(keys) == len(SECRETS)
    visitor = httpx.post(f"{stack.ingest_url}/v1/visitors").json()
    who = {"visitor_id": visitor["visitor_id"], "token": visitor["token"]}
    wrong = who | {"token": visitor["token"][:-1]}
    for query, status in ((who, 200), (wrong, 401)):
        assert httpx.get(f"{stack.recommender_url}/v1/recommendations", params=query).status_code == status
        socket = stack.recommender_url.replace("http", "ws")
        with connect(f"{socket}/v1/live?{urlencode(query)}") as live, suppress(ConnectionClosed):
            live.send("{")
            live.recv()
    for key in keys.values():
        shown = {"Authorization": f"Bearer {key}"}
        httpx.post(f"{stack.ingest_url}/v1/events", params={"token": key}, headers=shown, content=key)
        httpx.post(f"{stack.ingest_url}/v1/track", auth=(key, ""), json={"event": key, "writeKey": key})
        httpx.get(f"{stack.recommender_url}/v1/rules", params={"key": key}, headers=shown)
    assert secrets_in_logs(Path(stack.environment["EDDY_STACK_FOLDER"])) == []


def test_a_killed_service_comes_back_by_itself(stack: Stack) -> None:
    before = stack.pid("shop")
    os.kill(before, signal.SIGKILL)

    @patiently(30)
    def back() -> None:
        assert stack.pid("shop") not in (0, before)
        assert answers(f"{stack.shop_url}/readyz")

    back()


def test_topics_check_finds_the_stack_as_listed(stack: Stack) -> None:
    command = [sys.executable, "-m", "services.ops", "topics", "check"]
    done = subprocess.run(
        command, env=stack.environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_fresh_stack_serves_what_its_simulated_shoppers_do(stack: Stack) -> None:
    @patiently(60, 0.2)
    def version_served() -> str:
        answer = httpx.get(f"{stack.recommender_url}/v1/products/p0001/also-liked").json()
        return str(answer["models"]["behaviour"])

    version = version_served()
    metrics = httpx.get(f"{stack.recommender_url}/metrics").text
    [told] = [line for line in metrics.splitlines() if line.startswith("eddy_recommender_model_served{")]
    assert f'version="{version}"' in told
    assert told.endswith(" 1.0")


def test_a_released_model_is_not_replaced_by_the_demos(stack: Stack) -> None:
    before = releases.current(TrainerSettings(kafka_bootstrap=stack.bootstrap), "behaviour")
    assert before is not None
    assert before.gate.outcome == "forced"
    assert "simulated" in before.gate.reasons[0]
    told: list[str] = []
    stack.up(lambda what, _seconds: told.append(what))
    assert f"model {before.version} stays released" in told
    assert releases.current(TrainerSettings(kafka_bootstrap=stack.bootstrap), "behaviour") == before


def test_the_demos_model_is_released_once_a_broker_whatever_the_store_has(
    kafka: ServiceSettings, tmp_path: Path
) -> None:
    def settings(prefix: str) -> TrainerSettings:
        named = {"kafka_bootstrap": kafka.kafka_bootstrap, "topic_prefix": prefix}
        places = {"model_store": str(tmp_path / "store"), "trainer_datadir": tmp_path / "data"}
        return TrainerSettings.model_validate(named | places)

    first, second = settings(kafka.topic_prefix), settings(f"{kafka.topic_prefix}other.")
    create(second)
    assert "train --products 700" in str(releasing.release(first, Catalogue(700)))
    assert releases.current(first, "behaviour") is None

    made = releasing.release(first, Catalogue(600))
    assert isinstance(made, ModelRelease)
    assert releases.current(first, "behaviour") == made
    assert releasing.release(first, Catalogue(600)) == f"model {made.version} stays released"

    again = releasing.release(second, Catalogue(600))
    assert isinstance(again, ModelRelease)
    assert again.digest == made.digest
    assert again.location != made.location  # each tenant has a folder of its own in the store
