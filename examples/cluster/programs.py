"""Programs of this machine that a cluster without containers needs."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from pathlib import Path

BINARIES = Path(sys.executable).parent


def missing_programs() -> str:
    """What is to be installed before a cluster can start, in one line; empty if there is nothing."""
    wanted = [("redis-server", "redis-server"), ("initdb", "postgresql"), ("postgres", "postgresql")]
    packages = sorted({package for name, package in wanted if program(name) is None})
    extras = [("celery", "celery"), ("dagster-webserver", "ui"), ("rclone", "dev")]
    absent = [extra for name, extra in extras if not (BINARIES / name).exists()]
    told = [f"Debian packages: apt-get install {' '.join(packages)}"] if packages else []
    told += [f"extras of the package: pip install -e '.[{','.join(absent)}]'"] if absent else []
    if not packages and os.getuid() == 0 and postgres_user() is None:
        told.append("a user named postgres, because PostgreSQL refuses root: start the cluster as an ordinary user")
    return f"the cluster needs {'; '.join(told)}" if told else ""


def program(name: str) -> str | None:
    """Where a program is. Debian keeps PostgreSQL's servers off the path."""
    newest = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    return str(newest[-1]) if newest else shutil.which(name)


def postgres_user() -> str | None:
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return None
