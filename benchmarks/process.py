"""Memory of this process, and measurements in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def resident() -> float:
    """Megabytes (10**6 bytes) this process holds."""
    return _status("VmRSS")


def peak() -> float:
    """The most megabytes it has held, since it began or since `forget_peak`.

    Not `ru_maxrss`: a process that was started by a large one begins with the large one's.
    """
    return _status("VmHWM")


def forget_peak() -> None:
    """From now on `peak` is about what comes. Where the kernel does not allow it, it stays about everything."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def in_fresh_process(module: str, *arguments: str, python: Path | None = None) -> dict[str, Any]:
    """What `python -m module arguments` prints as JSON in its last line.

    Args:
        python: the interpreter; None for this one.

    Raises:
        RuntimeError: it failed; with the last lines it wrote.
    """
    command = [str(python or sys.executable), "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    kibibytes = next(line.split()[1] for line in lines if line.startswith(name))
    return int(kibibytes) * 1024 / 1e6
