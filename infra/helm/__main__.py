"""`python -m infra.helm`: writes what is generated around the chart. A test holds that it is up to date."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from infra.helm.readme import readme_text
from infra.helm.topics import topics_text
from infra.helm.values import CHART, schema_text

ROOT: Final = Path(__file__).resolve().parents[2]
FILES: Final = CHART / "files"
# Helm reads no file outside of the chart, so it has copies: folder in it → where they come from.
COPIES: Final[Mapping[str, tuple[str, ...]]] = {
    "prometheus": ("infra/prometheus/alerts.yml", "infra/prometheus/slo.yml"),
    "dashboards": ("infra/grafana/dashboards/*.json",),
}


def generate() -> dict[Path, str]:
    """Every generated file and what has to be in it."""
    made = {
        CHART / "values.schema.json": schema_text(),
        CHART / "README.md": readme_text(),
        FILES / "topics.yaml": topics_text(),
    }
    for folder, patterns in COPIES.items():
        made |= {
            FILES / folder / source.name: source.read_text()
            for pattern in patterns
            for source in sorted(ROOT.glob(pattern))
        }
    return made


def find_stale() -> list[Path]:
    """Files that are missing or otherwise than generated, and copies whose source is gone."""
    made = generate()
    there = {path for folder in COPIES for path in (FILES / folder).glob("*")}
    wrong = {path for path, text in made.items() if not path.exists() or path.read_text() != text}
    return sorted(wrong | (there - made.keys()))


def write() -> None:
    """Writes all, and removes copies whose source is gone."""
    made = generate()
    for path in find_stale():
        if path not in made:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made[path])


if __name__ == "__main__":
    write()
