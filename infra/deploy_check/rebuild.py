"""`python -m infra.deploy_check.rebuild [IMAGE]`: builds an image once more without a cache, and compares.

By default `eddy`, which must be there (`make images`). What differs is told file by file. DOCKER_FLAGS are
those of `make images`. Status 1 where a file or the image's configuration differs. Layers may differ without
that: a build puts its time on /etc, where it mounts the resolver's files, and on the marks of removed files,
unless BuildKit is told to write times anew (`--output type=image,rewrite-timestamp=true`, from 0.13 on).
"""

import hashlib
import json
import os
import shlex
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from typing import IO, Any, Final

from infra.deploy_check.images import FOLDER, ROOT, TARGETS
from services.version import VERSION

TOLD_MAX: Final = 40  # files that differ


def main(target: str = "eddy") -> int:
    """The status of the process."""
    if target not in TARGETS:
        print(f"no such image: {target}. Images are {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    image, again = f"{target}:{VERSION}", f"{target}-rebuild:{VERSION}"
    before = inspect(image)
    began = time.monotonic()
    build(target, again)
    after = inspect(again)
    print(f"{again} is built in {time.monotonic() - began:.0f} s")
    problems = [
        f"its {name} differs: {before['Config'].get(name)} and {after['Config'].get(name)}"
        for name in sorted({*before["Config"], *after["Config"]})
        if before["Config"].get(name) != after["Config"].get(name)
    ]
    layers, others = before["RootFS"]["Layers"], after["RootFS"]["Layers"]
    same = sum(one == other for one, other in zip(layers, others, strict=False))
    print(f"{same} of {len(layers)} layers are the same, bit by bit")
    if layers != others:
        problems += compare(files_of(image), files_of(again))
    for problem in problems[:TOLD_MAX]:
        print(f"  {problem}")
    if problems:
        print(f"{image} is not reproducible: {len(problems)} differences")
        return 1
    print("every file is the same, and so is the image's configuration")
    subprocess.run(["docker", "rmi", again], capture_output=True, check=True)
    return 0


def build(target: str, image: str) -> None:
    """As `make images` does it, without anything that is kept. Raises CalledProcessError."""
    epoch = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    subprocess.run(
        [
            *("docker", "build", "--no-cache", "-q", "-f", str(FOLDER / "Dockerfile"), "--target", target),
            *("--build-arg", f"SOURCE_DATE_EPOCH={epoch}", "-t", image),
            *(*shlex.split(os.environ.get("DOCKER_FLAGS", "")), str(ROOT)),
        ],
        env=dict(os.environ) | {"DOCKER_BUILDKIT": "1"},
        check=True,
    )


def inspect(image: str) -> dict[str, Any]:
    """What Docker says of an image. Raises CalledProcessError."""
    told = subprocess.run(["docker", "image", "inspect", image], capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(told.stdout)
    return found[0]


def files_of(image: str) -> dict[str, str]:
    """Every file of an image as a container sees it: kind, mode, owner, time, content."""
    made = subprocess.run(["docker", "create", image], capture_output=True, text=True, check=True)
    container = made.stdout.strip()
    try:
        with subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as export:
            assert export.stdout is not None
            return dict(_read(export.stdout))
    finally:
        subprocess.run(["docker", "rm", container], capture_output=True, check=True)


def _read(stream: IO[bytes]) -> Iterator[tuple[str, str]]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for entry in archive:
            content = archive.extractfile(entry) if entry.isfile() else None
            digest = hashlib.sha256(content.read()).hexdigest()[:12] if content else entry.linkname
            kind = f"{entry.type.decode()} {entry.mode:o} {entry.uid}:{entry.gid}"
            yield entry.name, f"{kind} {entry.size} bytes, time {entry.mtime:.0f}, {digest}"


def compare(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The files that differ, and how."""
    return [
        f"{name}: {one.get(name, 'missing')} | {other.get(name, 'missing')}"
        for name in sorted({*one, *other})
        # Docker makes these for each container.
        if one.get(name) != other.get(name)
        and name.split("/")[0] not in {"dev", "proc", "sys", ".dockerenv"}
        and name not in {"etc", "etc/", "etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/mtab"}
    ]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
