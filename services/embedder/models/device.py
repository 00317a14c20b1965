"""Where the models compute: on the processor, or on a GPU in half precision."""

from dataclasses import dataclass
from typing import Literal

from services.embedder.models.port import ModelUnavailable

DeviceSetting = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Device:
    """torch's name of a device, and whether models there have half precision (float16)."""

    name: Literal["cpu", "cuda"] = "cpu"
    is_half: bool = False


CPU = Device()
# Vectors are published as float16 wherever they come from: no reader sees another format, and what a
# processor has embedded need not be embedded again.
CUDA = Device("cuda", is_half=True)


def choose_device(wanted: DeviceSetting, *, has_gpu: bool) -> Device:
    """What the models compute on. Raises ModelUnavailable where a GPU is asked for and none is found."""
    if wanted == "cuda" and not has_gpu:
        raise ModelUnavailable(
            "EDDY_EMBEDDER_DEVICE=cuda, but torch finds no GPU: is its driver there, may the container see "
            "it (`docker run --gpus all`), and is torch the CUDA build?"
        )
    return CUDA if has_gpu and wanted != "cpu" else CPU
