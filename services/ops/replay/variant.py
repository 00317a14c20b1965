"""What a shadow is to have otherwise than live: settings, weights by kind of row, a model."""

import difflib
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from schemas import experiments
from schemas.experiments import Experiment, Kind, Variant
from schemas.models import Gate, ModelRelease, Released
from services.model.content import PROFILES
from services.model.store import ModelStore
from services.ops.replay.source import ReplayFailed
from services.settings import QdrantSettings

WEIGHTS: Final = "weights"  # the table of weights in a settings file
OWN_LINE: Final = "item2vec"  # another name of the shop's own line of models
EXPERIMENT: Final = "replay"
NO_MODEL: Final = "none"
PREVIOUS: Final = "previous"

# What the shadow sets by itself: it would not be isolated, or would not be what it is compared as.
ITS_OWN: Final = frozenset(
    {
        "admin_key", "admin_key_also", "allowed_origins", "api_key", "api_key_also",
        "embedder_url", "host", "impressions", "kafka_bootstrap",
        "kafka_ca_file", "kafka_password", "kafka_sasl_mechanism", "kafka_security_protocol",
        "kafka_username", "live_learning_s", "live_visitors_max", "log_format", "log_level", "model_name",
        "model_store", *(name for name in QdrantSettings.model_fields if name.startswith("qdrant_")),
        "recommender_datadir", "recommender_models", "recommender_port", "replication_factor",
        "session_processor_datadir", "session_processor_group", "session_processor_host",
        "session_processor_instance", "session_processor_port", "session_table_mb", "sessions_max",
        "sessions_mb",
        "tenants", "tenants_file", "token_secret", "token_secret_also", "topic_min_isr", "topic_prefix",
        "topic_replicas",
    }
)  # fmt: skip

Weights = dict[Kind, dict[str, float]]


class VariantSettings(msgspec.Struct, frozen=True):
    """What a settings file says: values by name of setting as the environment has them, and weights."""

    settings: dict[str, str] = {}
    weights: Weights = {}

    def experiment(self, now: int) -> Experiment | None:
        """The weights as an experiment that everyone is part of: so a recommender is told of them."""
        if not self.weights:
            return None
        changed = Variant(name="changed", share=1, weights=self.weights)
        return Experiment(name=EXPERIMENT, variants=(changed, Variant(name="live", share=0)), updated_at=now)


def read(path: Path, known: Collection[str]) -> VariantSettings:
    """What a file says; `known` are the settings that there are. Raises ReplayFailed."""
    try:
        found = tomllib.loads(path.read_text())
    except OSError as error:
        raise ReplayFailed(f"--settings {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ReplayFailed(f"--settings {path} is no TOML: {error}") from None
    try:
        return parse_changes(found, known)
    except ReplayFailed as error:
        raise ReplayFailed(f"--settings {path}: {error}") from None


def parse_changes(found: Mapping[str, Any], known: Collection[str]) -> VariantSettings:
    """What a parsed file says. Raises ReplayFailed."""
    settings = {  # as the environment has them: texts as they are, all others as JSON
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in found.items()
        if name != WEIGHTS
    }
    for name in settings:
        if name in ITS_OWN:
            raise ReplayFailed(f"{name} is set by the shadow itself")
        if name not in known:
            raise ReplayFailed(f"there is no setting {name}{_near(name, set(known) - ITS_OWN | {WEIGHTS})}")
    if not found:
        raise ReplayFailed("nothing is in it")
    try:
        variant = msgspec.convert({"name": "x", "share": 1, WEIGHTS: found.get(WEIGHTS, {})}, Variant)
    except msgspec.ValidationError as error:
        raise ReplayFailed(
            f"[{WEIGHTS}.…] {error} (as in [weights.for_you], and brand = 0.2 below it)"
        ) from None
    for kind, told in variant.weights.items():
        names = weight_names(kind)
        for name in told:
            if name not in names:
                raise ReplayFailed(f"[{WEIGHTS}.{kind}] knows no {name}{_near(name, names)}")
    return VariantSettings(settings, variant.weights)


def weight_names(kind: str) -> frozenset[str]:
    """The weights that a kind of row has; only searches have one of the session."""
    names = frozenset(name for profile in PROFILES.values() for name in profile) | {"caption", "price"}
    return names if kind == "search" else names - {"session"}


def _near(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=4, cutoff=0.5)
    return f"; near it are: {', '.join(near)}" if near else f"; there are: {', '.join(sorted(known))}"


def choose_release(text: str, own: str, url: str, live: ModelRelease | None, now: int) -> ModelRelease | None:
    """The release that NAME=VERSION names, as one of the shop's own line `own`; None for no model.

    A version is named in full, by a beginning that no other has, by its number (1 is the oldest in the
    store), as `previous` or `none`. Blocks. Raises ReplayFailed, StoreFailed, ArtifactRefused.
    """
    name, equals, wanted = text.partition("=")
    if not equals or not wanted or not experiments.MODEL_NAME.fullmatch(name):
        raise ReplayFailed(f"--model takes NAME=VERSION, such as {own}=7 or {own}=none: {text!r}")
    line = own if name == OWN_LINE else name
    if wanted == NO_MODEL:
        return None
    if wanted == PREVIOUS:
        if line != own:
            raise ReplayFailed(f"`{PREVIOUS}` is a version of {own}, the shop's own line: name one of {line}")
        if live is None or live.previous is None:
            raise ReplayFailed(f"nothing was released before the {own} that is live")
        found, reason = live.previous, f"before {live.version}"
    else:
        store = ModelStore(url, line)
        version = pick_version(wanted, store.versions(), store.location(""))
        manifest, digest = store.manifest(version)
        found = Released(version, store.location(version), digest)
        reason = f"{line} {version} of {manifest.created_at}"
    return ModelRelease(
        name=own,
        version=found.version,
        location=found.location,
        digest=found.digest,
        released_at=now,
        gate=Gate("forced", (f"replayed: {reason}",)),
    )


def pick_version(wanted: str, versions: list[str], where: str) -> str:
    """The one version, of all from the oldest on, that a number or a beginning names. Raises ReplayFailed."""
    if wanted.isdecimal() and 0 < int(wanted) <= len(versions):
        return versions[int(wanted) - 1]
    found = [version for version in versions if version.startswith(wanted)]
    if len(found) == 1 or wanted in found:
        return wanted if wanted in found else found[0]
    if found:
        raise ReplayFailed(f"{len(found)} versions in {where} begin with {wanted}: {', '.join(found)}")
    there = f"{len(versions)}, the newest is {versions[-1]}" if versions else "none"
    raise ReplayFailed(f"there is no version {wanted} in {where}; there are {there}")
