"""The model's size and its checkpoint folder, in the form that open_clip loads as `local-dir:`."""

import json
from pathlib import Path
from typing import Any, Final

import open_clip
import torch
from safetensors.torch import save_file

CHECKPOINT: Final = Path(__file__).parent / "checkpoint"
WEIGHTS: Final = "open_clip_model.safetensors"

# 0.9 M parameters for pictures; of the 3.5 M for words 3.2 M are the table of CLIP's 49,408 word pieces.
CONFIG: Final[dict[str, Any]] = {
    "model_cfg": {
        "embed_dim": 64,
        "vision_cfg": {"image_size": 64, "layers": 4, "width": 128, "head_width": 32, "patch_size": 8},
        "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 3},
    },
    "preprocess_cfg": {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "interpolation": "bicubic"},
}


def create() -> open_clip.CLIP:
    """The untrained model."""
    cfg = CONFIG["model_cfg"]
    return open_clip.CLIP(cfg["embed_dim"], cfg["vision_cfg"], cfg["text_cfg"])


def save(model: open_clip.CLIP, folder: Path) -> None:
    """Writes configuration and weights, these in half precision: a download of half the size."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    halves = {name: value.to(torch.float16).contiguous() for name, value in model.state_dict().items()}
    save_file(halves, folder / WEIGHTS)
