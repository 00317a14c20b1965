"""EDDY_TENANTS: what a list of tenants may say, and what is refused before anything starts."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.settings import IngestSettings
from services.recommender.settings import RecommenderSettings
from services.tenants import KEYS, OF_A_TENANT, Tenant, TenantsRefused, load_tenants, read_tenants


def entry(name: str, **more: Any) -> dict[str, Any]:
    return {
        "topic_prefix": f"{name}.",
        "hosts": [f"{name}.example.com"],
        "token_secret": f"signs the tokens of {name}",
        "api_key": f"the key of the back end of {name}",
        **more,
    }


def read(*entries: dict[str, Any]) -> tuple[Tenant[RecommenderSettings], ...]:
    return read_tenants(RecommenderSettings, json.dumps(entries))


def test_what_tenants_may_have_apart_are_settings() -> None:
    known = IngestSettings.model_fields.keys() | RecommenderSettings.model_fields.keys()
    assert known >= OF_A_TENANT
    # Whoever adds a key says whether a tenant may have its own: it would be everybody's otherwise.
    secret = {
        name
        for kind in (IngestSettings, RecommenderSettings)
        for name, field in kind.model_fields.items()
        if "SecretStr" in str(field.annotation)
    }
    assert secret - {"tenants"} <= OF_A_TENANT


def test_each_tenant_has_its_own_settings_and_the_process_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDDY_DIVERSITY", "0.5")
    monkeypatch.setenv("EDDY_RECOMMENDER_PORT", "9999")
    first, second = read(entry("a", tenant_searches_per_s=5), entry("b", diversity=0.1, path="/b"))
    assert [each.settings.tenant for each in (first, second)] == ["a", "b"]
    assert (first.settings.diversity, second.settings.diversity) == (0.5, 0.1)
    assert (first.settings.tenant_searches_per_s, second.settings.tenant_searches_per_s) == (5, 0)
    assert first.settings.recommender_port == second.settings.recommender_port == 9999
    assert second.place is not None
    assert (second.place.hosts, second.place.path) == (("b.example.com",), "/b")


@pytest.mark.parametrize("kind", [IngestSettings, RecommenderSettings])
def test_no_key_of_the_process_opens_a_tenant(
    kind: type[IngestSettings] | type[RecommenderSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in KEYS:
        monkeypatch.setenv(f"EDDY_{name.upper()}", f"the environment's {name}")
    [tenant] = read_tenants(kind, json.dumps([entry("a")]))
    found = {name: getattr(tenant.settings, name, None) for name in KEYS}
    assert {name: key.get_secret_value() for name, key in found.items() if key} == {
        "token_secret": "signs the tokens of a",
        "api_key": "the key of the back end of a",
    }


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([], "empty"),
        ([{"hosts": ["a"]}], "entry 1 has no topic_prefix"),
        ([entry("a", prot=1)], r"entry 1 \(a\): prot cannot be set for one tenant"),
        ([entry("a", recommender_port=1)], "recommender_port cannot be set for one tenant"),
        ([entry("a", diversity=2)], "diversity: Input should be less than or equal to 1"),
        ([entry("a", hosts="a.example.com")], "hosts is a list"),
        ([entry("a", hosts=[])], "hosts or path is needed"),
        ([entry("a", hosts=["a.example.com:443"])], "no name of a host"),
        ([entry("a", hosts=["https://a.example.com"])], "no name of a host"),
        ([entry("a", path="a")], "no path such as /shop-a"),
        ([entry("a", path="/a/b")], "no path such as /shop-a"),
        ([entry("a", path="/v1")], "services answer"),
        ([entry("a", path="/metrics")], "services answer"),
        ([entry("a", api_key=None)], "EDDY_API_KEY"),
        ([entry("a", api_key="short")], "api_key: .*16"),
        ([{key: value for key, value in entry("a").items() if key != "token_secret"}], "token_secret"),
        ([entry("a"), entry("a")], "a and a have the same topic_prefix"),
        ([entry("a"), entry("b", hosts=["A.example.com"])], "a and b have the same host"),
        ([entry("a", path="/x"), entry("b", path="/x")], "a and b have the same path"),
        ([entry("a"), entry("b", admin_key="the key of the back end of a")], "a and b have the same key"),
        ([entry("a"), entry("b", token_secret="signs the tokens of a")], "a and b have the same key"),
        ([entry(".")], "no folder of a tenant"),
    ],
)
def test_a_wrong_list_is_refused_in_words_without_a_key(entries: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(TenantsRefused, match=told) as refused:
        read(*entries)
    assert "the key of the back end" not in str(refused.value)
    assert "signs the tokens" not in str(refused.value)


@given(st.text("aA.-_", min_size=1, max_size=4), st.text("aA.-_", min_size=1, max_size=4))
def test_two_tenants_of_a_list_never_have_one_name(one: str, other: str) -> None:
    entries = [entry("a") | {"topic_prefix": one}, entry("b") | {"topic_prefix": other}]
    try:
        first, second = read(*entries)
    except TenantsRefused:
        assert one == other or {one, other} & {".", ".."}
        return
    assert first.settings.tenant != second.settings.tenant
    assert first.settings.datadir != second.settings.datadir
    assert first.settings.tenant_store != second.settings.tenant_store


def test_a_list_comes_from_the_environment_or_a_file_and_not_from_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tenants.json"
    file.write_text(json.dumps([entry("a"), entry("b")]))
    monkeypatch.setenv("EDDY_TENANTS_FILE", str(file))
    assert [each.settings.tenant for each in load_tenants(IngestSettings)] == ["a", "b"]
    monkeypatch.setenv("EDDY_TENANTS", json.dumps([entry("c")]))
    with pytest.raises(SystemExit, match="2"):
        load_tenants(IngestSettings)
    assert "both set" in capsys.readouterr().err
    monkeypatch.delenv("EDDY_TENANTS_FILE")
    assert [each.settings.tenant for each in load_tenants(IngestSettings)] == ["c"]
    monkeypatch.setenv("EDDY_TENANTS", "[{")
    with pytest.raises(SystemExit, match="2"):
        load_tenants(IngestSettings)
    assert "EDDY_TENANTS: this is no JSON list" in capsys.readouterr().err
    monkeypatch.delenv("EDDY_TENANTS")
    monkeypatch.setenv("EDDY_TENANTS_FILE", str(tmp_path / "none"))
    with pytest.raises(SystemExit, match="2"):
        load_tenants(IngestSettings)
    assert "No such file" in capsys.readouterr().err


def test_without_a_list_there_is_the_one_tenant_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDDY_TOKEN_SECRET", "a secret of the tests")
    monkeypatch.setenv("EDDY_API_KEY", "the key of the shop's back end")
    [tenant] = load_tenants(IngestSettings)
    assert (tenant.place, tenant.settings.tenant) == (None, "default")
