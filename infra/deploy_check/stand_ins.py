"""`python -m infra.deploy_check.stand_ins`: base images of Debian's packages, where no registry is in reach.

They have the official images' names, so that Dockerfile and compose files run as they are, and a label that
says what they are. They are no substitutes: Python is Debian's 3.11 whatever the name says, Kafka the jars
of `make setup` behind the official image's own set-up (which is in the jars), Prometheus and nginx are
Debian's. Qdrant and Grafana are not among Debian's packages. Needs root, mmdebstrap and a Docker daemon; an
image that is there already stays, and `docker rmi` removes it.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import yaml

from infra.deploy_check.images import FOLDER, ROOT, parse

SUITE: Final = "bookworm"
LABEL: Final = "LABEL eddy.stand-in=made-of-Debian-packages"
SEARCH: Final = "ENV PATH=/usr/local/bin:/usr/bin:/bin"
# Debian's slim images lack the same files.
NOT_IN_SLIM: Final = ("doc", "groff", "info", "lintian", "linda", "locale", "man")
# Debian's own way to a merged /usr, after the fact, brings 50 MB of Perl.
MERGED_USR: Final = "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"
KAFKA: Final = ROOT / "infra" / "kafka"
JARS: Final = ROOT / "build" / "kafka" / "libs"
START_KAFKA: Final = """#!/bin/bash
# As the official image: its wrapper makes server.properties of KAFKA_… variables, and formats an empty disk.
set -euo pipefail
told=$(java -Xmx256m -cp '/opt/kafka/libs/*' kafka.docker.KafkaDockerWrapper setup \\
  --default-configs-dir /etc/kafka/docker --mounted-configs-dir /mnt/shared/config \\
  --final-configs-dir /opt/kafka/config 2>&1) \\
  || grep -qi 'already formatted' <<< "$told" || { echo "$told"; exit 1; }
exec java ${KAFKA_HEAP_OPTS:--Xmx512m} -XX:+UseSerialGC \\
  -Dlog4j2.configurationFile=/etc/kafka/docker/log4j2.properties \\
  -cp '/opt/kafka/libs/*' kafka.Kafka /opt/kafka/config/server.properties
"""
QUIET_LOG: Final = "Configuration: {Loggers: {Root: {level: INFO}}}\n"


@dataclass(frozen=True, slots=True)
class StandIn:
    """Debian's packages, what is done to their files (`$1` is the root), and what `docker import` sets."""

    packages: Sequence[str]
    hooks: Sequence[str]
    changes: Sequence[str]
    files: Mapping[str, str] | None = None


STAND_INS: Final = {
    "python": StandIn(
        ("ca-certificates", "python3", "python3-venv"),
        (
            'ln -s ../../bin/python3 "$1/usr/local/bin/python"',
            # The official image has Python's headers, too; Debian's package would bring a C library's.
            'chroot "$1" sh -c \'cd /tmp && apt-get -q download libpython3.11-dev && dpkg -x *.deb headers'
            " && cp -r headers/usr/include /usr && rm -r *.deb headers'",
        ),
        (SEARCH, 'CMD ["python3"]'),
    ),
    "apache/kafka": StandIn(
        ("bash", "openjdk-17-jre-headless"),
        (
            'useradd -R "$1" -u 1000 appuser',
            'cd "$1" && mkdir -p opt/kafka/config opt/kafka/logs mnt/shared/config var/lib/kafka/data',
            f'cp -r "{JARS}" "$1/opt/kafka/libs"',
            f'cp "{KAFKA}/server.properties" "{KAFKA}/log4j2.properties" "$1/etc/kafka/docker/"',
            'cp "$1"/etc/kafka/docker/*.yaml "$1/opt/kafka/config/"',
            'chown -R 1000:1000 "$1/opt/kafka/config" "$1/opt/kafka/logs" "$1/var/lib/kafka"',
        ),
        (SEARCH, "USER appuser", "VOLUME /var/lib/kafka/data", 'CMD ["bash", "/etc/kafka/docker/run"]'),
        {
            "etc/kafka/docker/run": START_KAFKA,
            "etc/kafka/docker/log4j2.yaml": QUIET_LOG,
            "etc/kafka/docker/tools-log4j2.yaml": QUIET_LOG,
        },
    ),
    "prom/prometheus": StandIn(
        ("prometheus", "wget"),
        ('mkdir -p "$1/prometheus" && chown 65534:65534 "$1/prometheus"',),
        (SEARCH, "USER 65534", "VOLUME /prometheus", 'ENTRYPOINT ["/usr/bin/prometheus"]'),
    ),
    "nginxinc/nginx-unprivileged": StandIn(
        ("bash", "nginx-light"),
        (),
        ("ENV PATH=/usr/sbin:/usr/bin:/bin", "USER 101", 'CMD ["nginx", "-g", "daemon off;"]'),
    ),
}


def name_images() -> dict[str, str]:
    """Of each stand-in the name with the tag that the Dockerfile and the compose files ask for."""
    asked = {parse((FOLDER / "Dockerfile").read_text())[0]["PYTHON_IMAGE"]}
    for file in ("compose.yaml", "compose.cluster.yaml"):
        services = yaml.safe_load((ROOT / "infra" / file).read_text())["services"]
        asked |= {service["image"] for service in services.values() if "image" in service}
    return {name: image for image in sorted(asked) if (name := re.split(r"[:@]", image)[0]) in STAND_INS}


def make(image: str, stand_in: StandIn, epoch: str) -> None:
    """Lets mmdebstrap make the files, and Docker an image of them. Raises CalledProcessError."""
    files = [
        f'mkdir -p "$(dirname "$1/{path}")" && cat > "$1/{path}" <<\'END\'\n{text}END'
        for path, text in (stand_in.files or {}).items()
    ]
    unneeded = " ".join(f'"$1/usr/share/{name}"' for name in NOT_IN_SLIM)
    hooks = [*files, *stand_in.hooks, f"rm -rf {unneeded}", 'rm -rf "$1"/var/log/* "$1"/var/cache/*']
    debian = subprocess.Popen(
        [
            *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(stand_in.packages)}"),
            MERGED_USR,
            *('--aptopt=APT::Install-Recommends "false"', *(f"--customize-hook={each}" for each in hooks)),
            *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in NOT_IN_SLIM),
            '--essential-hook=mkdir -p "$1/usr/share/man/man1"',  # Java's packages link into it
            *(SUITE, "-"),
        ],
        stdout=subprocess.PIPE,
        env=dict(os.environ) | {"SOURCE_DATE_EPOCH": epoch},
    )
    changes = [part for each in (*stand_in.changes, LABEL) for part in ("--change", each)]
    subprocess.run(["docker", "import", *changes, "-", image], stdin=debian.stdout, check=True)
    if debian.wait():
        subprocess.run(["docker", "rmi", image], check=False)
        raise subprocess.CalledProcessError(debian.returncode, "mmdebstrap")


def main() -> int:
    """The status of the process."""
    if not JARS.is_dir():
        print(f"{JARS} is missing: make setup", file=sys.stderr)
        return 2
    for name, image in name_images().items():
        there = subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False)
        if there.returncode == 0:
            print(f"{image}: there already")
            continue
        print(f"{image}: out of Debian's packages …", flush=True)
        make(image, STAND_INS[name], os.environ.get("SOURCE_DATE_EPOCH", "315532800"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
