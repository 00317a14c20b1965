"""The real models, loaded as the embedder loads them; a few seconds."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from services.embedder.app import load_models
from services.embedder.models.device import Device
from services.embedder.models.port import ModelUnavailable, PictureModel, TextModel, WidthMismatch
from services.embedder.settings import EmbedderSettings

Models = tuple[TextModel, PictureModel]
SETTINGS = EmbedderSettings()


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models(EmbedderSettings())


def test_the_text_model_puts_like_texts_together(models: Models) -> None:
    vectors = models[0].encode(
        ["a warm winter jacket", "a thick coat for cold days", "a set of steak knives"]
    )
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_pictures_and_captions_meet_in_one_space(models: Models) -> None:
    pictures = []
    for colour in ("red", "blue"):
        image = Image.new("RGB", (320, 320), "white")
        ImageDraw.Draw(image).rectangle((90, 60, 230, 280), fill=colour)
        pictures.append(models[1].prepare(image))
    assert pictures[0].shape == (3, models[1].edge, models[1].edge)
    seen = models[1].encode_pictures(pictures)
    words = models[1].encode_captions(["plain red t-shirt", "plain blue t-shirt"])
    assert seen.dtype == words.dtype == np.float32
    assert np.allclose(np.linalg.norm(np.concatenate([seen, words]), axis=1), 1, atol=1e-5)
    assert (seen @ words.T).argmax(axis=1).tolist() == [0, 1]


def test_half_precision_changes_no_vector_by_much(models: Models) -> None:
    """As a GPU computes; a processor can do it, too, only more slowly."""
    # torch takes seconds to import, and every worker of a test run collects this module.
    from services.embedder.models.image import ClipModel  # noqa: PLC0415
    from services.embedder.models.text import SentenceModel  # noqa: PLC0415

    half = Device("cpu", is_half=True)
    text, clip = SentenceModel(SETTINGS.text_model, half), ClipModel(SETTINGS.image_model, half)
    assert (text.identity, clip.identity) == (models[0].identity, models[1].identity)
    words = ["a warm winter jacket", "a set of steak knives"]
    picture = models[1].prepare(Image.new("RGB", (320, 320), "teal"))
    for whole, halved in (
        (models[0].encode(words), text.encode(words)),
        (models[1].encode_captions(words), clip.encode_captions(words)),
        (models[1].encode_pictures([picture]), clip.encode_pictures([picture])),
    ):
        assert halved.dtype == np.float32
        assert ((whole * halved).sum(axis=1) > 0.999).all()
        assert np.abs(whole - halved).max() < 0.004


def test_threads_share_the_models(models: Models) -> None:
    texts = [
        [f"product {number} of thread {thread} " * (1 + number % 9) for number in range(40)]
        for thread in range(4)
    ]
    alone = [models[0].encode(each) for each in texts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(models[0].encode, texts))
    for one, other in zip(alone, together, strict=True):
        assert np.allclose(one, other, atol=1e-5)


def test_a_model_of_another_width_names_the_setting() -> None:
    with pytest.raises(WidthMismatch, match="EDDY_IMAGE_WIDTH=64"):
        load_models(EmbedderSettings(image_width=512))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("text_model", "package:no_such_package"),
        ("text_model", "services/embedder"),
        ("image_model", "nothing-of-the-kind"),
        ("image_model", "ViT-B-32/no-such-weights"),
        ("image_model", "services/embedder"),
    ],
)
def test_a_model_that_cannot_be_loaded_names_the_setting(setting: str, value: str) -> None:
    with pytest.raises(ModelUnavailable, match=f"EDDY_{setting.upper()}"):
        load_models(EmbedderSettings.model_validate({setting: value}))


def test_a_model_is_the_same_wherever_it_lies(models: Models, tmp_path: Path) -> None:
    folder = Path("storefront/demo/model/checkpoint")
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path.resolve())
    assert load_models(EmbedderSettings(image_model=str(tmp_path)))[1].identity == models[1].identity
