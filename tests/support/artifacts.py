"""An artifact of every kind of array and text."""

from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.models import DataRange, Manifest

VERSION = "20241124T041507Z-3f9a"


ARRAYS: dict[str, npt.NDArray[Any]] = {
    "vectors": np.arange(12, dtype=np.float32).reshape(4, 3),
    "counts": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "names": np.array(["é", "b"]),
    "empty": np.zeros((0, 5), dtype=np.float16),
    "scalar": np.array(2.5),
}


TEXTS = {"items.json": '["é","b"]', "note.txt": "two\r\nlines\n"}


def manifest() -> Manifest:
    return Manifest(
        version=VERSION,
        created_at=1,
        data=DataRange(0, 1),
        counts={"sessions": 3},
        parameters={"epochs": 30, "nested": {"a": [1, 2.5, None]}},
    )
