"""How a model's setting is read, and what is said of one that does not fit."""

from pathlib import Path

import pytest

from services.embedder.models.device import CPU, CUDA, choose_device
from services.embedder.models.port import (
    ROOT,
    ModelUnavailable,
    WidthMismatch,
    check_width,
    digest,
    folder_of,
)


def test_a_folder_is_found_by_itself_and_from_the_repository(tmp_path: Path) -> None:
    assert folder_of(str(tmp_path)) == tmp_path.resolve()
    assert folder_of("services/embedder") == ROOT / "services" / "embedder"
    assert folder_of("ViT-B-32/laion2b_s34b_b79k") is None


def test_a_model_is_named_by_its_weights_and_configuration(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_text("{}")
    before = digest(tmp_path)
    (tmp_path / "README.md").write_text("read me")
    assert digest(tmp_path) == before
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    assert digest(tmp_path) != before


def test_a_width_that_does_not_fit_names_the_setting_and_the_value() -> None:
    check_width("m", "EDDY_TEXT_WIDTH", 384, 384)
    with pytest.raises(WidthMismatch, match=r"768 components.* is 384.*EDDY_TEXT_WIDTH=768"):
        check_width("m", "EDDY_TEXT_WIDTH", 768, 384)


def test_a_gpu_is_taken_where_there_is_one_in_half_precision() -> None:
    assert choose_device("auto", has_gpu=True) == choose_device("cuda", has_gpu=True) == CUDA
    assert CUDA.is_half
    assert choose_device("auto", has_gpu=False) == choose_device("cpu", has_gpu=True) == CPU
    assert not CPU.is_half


def test_a_gpu_that_is_asked_for_and_not_there_ends_the_start() -> None:
    with pytest.raises(ModelUnavailable, match="EDDY_EMBEDDER_DEVICE=cuda, but torch finds no GPU"):
        choose_device("cuda", has_gpu=False)
