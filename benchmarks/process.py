"""Memory of this process, and measurements in separate processes."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def resident() -> float:
    """Megabytes (10**6 bytes) that this process holds."""
    return _status("VmRSS")


def peak() -> float:
    """The most megabytes that this process has held, since its start or since `forget_peak`.

    `ru_maxrss` is not used, because a process inherits it from the process that started it.
    """
    return _status("VmHWM")


def forget_peak() -> None:
    """Resets `peak`. If the kernel does not allow it, `peak` still covers the whole life of the process."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def in_fresh_process(module: str, *arguments: str, python: Path | None = None) -> dict[str, Any]:
    """Runs `python -m module arguments` and returns the JSON in the last line of its output.

    Args:
        python: the interpreter; None for this one.

    Raises:
        RuntimeError: it failed; the message contains the end of its error output.
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
