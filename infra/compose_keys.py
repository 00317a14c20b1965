"""`python -m infra.compose_keys`: makes infra/.env, the keys of the containers; what is there already stays.

Only the standard library is needed. There are no default keys: `docker compose` ends where one is missing.
"""

import secrets
import sys
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).resolve().with_name(".env")
NAMES: Final = (
    *("EDDY_TOKEN_SECRET", "EDDY_API_KEY", "EDDY_ADMIN_KEY", "EDDY_WRITE_KEY", "EDDY_IDENTITY_KEY"),
    *("EDDY_QDRANT_API_KEY", "GRAFANA_PASSWORD"),
)


def make_keys(path: Path = FILE) -> list[str]:
    """Appends the missing keys to the file, readable by this user only; returns their names."""
    path.touch(mode=0o600)
    text = path.read_text()
    there = {line.partition("=")[0].strip() for line in text.splitlines()}
    missing = [name for name in NAMES if name not in there]
    lines = "".join(f"{name}={secrets.token_urlsafe(32)}\n" for name in missing)
    path.write_text(text + ("" if text.endswith("\n") or not text else "\n") + lines)
    return missing


if __name__ == "__main__":
    made = make_keys()
    print(f"{FILE}: {', '.join(made) if made else 'all keys were there'}", file=sys.stderr)
