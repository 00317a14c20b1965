"""Names of tenants: whatever their topic prefixes, no two share a label, a folder or a collection."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas import tenants
from schemas.topics import TOPICS
from services.recommender.settings import RecommenderSettings
from services.session_processor.settings import SessionProcessorSettings
from services.settings import QdrantSettings, ServiceSettings

# Few letters, so that prefixes which differ in their ends alone are common.
PREFIXES = st.one_of(
    st.text("aA.-_", max_size=5),
    st.sampled_from(["default", "default.", "default-", "default.."]),
    st.from_regex(tenants.PREFIX, fullmatch=True),
).filter(lambda prefix: prefix not in {".", ".."})


@given(PREFIXES, PREFIXES)
def test_no_two_prefixes_share_a_label_a_folder_or_a_collection(one: str, other: str) -> None:
    if one == other:
        return
    assert tenants.label(one) != tenants.label(other)
    assert tenants.folder(one) != tenants.folder(other)
    first, second = QdrantSettings(topic_prefix=one), QdrantSettings(topic_prefix=other)
    names = [each.topic_prefix + each.qdrant_collection for each in (first, second)]
    assert names[0] != names[1]
    assert not {first.topic(each) for each in TOPICS} & {second.topic(each) for each in TOPICS}


@given(PREFIXES)
def test_a_folder_of_a_tenant_stays_within_the_shared_one(prefix: str) -> None:
    shared = Path("/srv/eddy")
    inside = (shared / tenants.folder(prefix)).resolve()
    assert inside == shared if not prefix else inside.parent == shared
    assert inside.name not in {"index", "snapshots", "worker-1"}  # what lies there without a prefix


@given(PREFIXES, PREFIXES)
def test_services_that_are_given_one_folder_keep_tenants_apart_in_it(one: str, other: str) -> None:
    if one == other:
        return
    shared = Path("/srv/eddy")
    keys = {"token_secret": "a secret of the tests", "api_key": "the key of the shop"}

    def places(prefix: str) -> set[Path]:
        recommender = RecommenderSettings.model_validate(
            keys | {"topic_prefix": prefix, "recommender_datadir": shared, "recommender_models": shared}
        )
        worker = SessionProcessorSettings(topic_prefix=prefix, session_processor_datadir=str(shared))
        return {
            recommender.datadir / "index",
            recommender.datadir / "snapshots",
            recommender.modelsdir / "a digest",
            worker.datadir / "v1",
        }

    assert not places(one) & places(other)


@pytest.mark.parametrize(
    ("prefix", "label"),
    [("", "default"), ("shop-a.", "shop-a"), ("shop-a-", "shop-a-"), ("shop-a", "shop-a~"), ("a..", "a..")],
)
def test_a_label_is_the_prefix_as_people_say_it(prefix: str, label: str) -> None:
    assert tenants.label(prefix) == label
    assert re.fullmatch(r"[A-Za-z0-9._~-]+", label)


@pytest.mark.parametrize("prefix", [".", ".."])
def test_a_prefix_that_leads_out_of_a_folder_is_refused(prefix: str) -> None:
    with pytest.raises(ValidationError, match="no folder"):
        ServiceSettings(topic_prefix=prefix)
