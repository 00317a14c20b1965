"""Where numba finds what it compiled before: beside the sources, also where nothing may be written there.

A container's root is read-only. numba then passes over the folder that it would write to, compiled functions
and all, and a start takes half a minute. NUMBA_CACHE_LOCATOR_CLASSES names `ReadOnlyTree` in the image: what
lies beside the sources is copied, folder by folder, among temporary files and found there. What has to be
compiled anew is kept in the same place.
"""

# mypy: disable-error-code="no-untyped-call"
# (numba says no types)

import os
import shutil
import tempfile
from pathlib import Path

from numba.core.caching import InTreeCacheLocator


class ReadOnlyTree(InTreeCacheLocator):
    """A function's cache beside its source, or in a copy of that folder which can be written to."""

    def ensure_cache_path(self) -> None:
        """Makes the copy where there is none. Raises OSError where nothing can be written at all."""
        shipped, copy = Path(super().get_cache_path()), Path(self.get_cache_path())
        if copy != shipped and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            # Whole or not at all: several processes of one container may start at once.
            part = Path(tempfile.mkdtemp(dir=copy.parent))
            for path in shipped.glob("*.nb[ic]"):
                shutil.copyfile(path, part / path.name)
            try:
                part.rename(copy)
            except OSError:  # another process was faster
                shutil.rmtree(part)
        super().ensure_cache_path()

    def get_cache_path(self) -> str:
        """Where the compiled functions of this source's folder are, or will be."""
        shipped = Path(super().get_cache_path())
        if os.access(shipped if shipped.exists() else shipped.parent, os.W_OK):
            return str(shipped)
        copies = Path(tempfile.gettempdir()) / f"numba-{os.getuid()}"
        return str(copies / self.get_suitable_cache_subpath(self._py_file))
