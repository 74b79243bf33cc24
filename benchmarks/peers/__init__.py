"""Other libraries, in an environment of their own (`make bench-peers`, `make peers`).

Nothing here imports this project, but for `__main__`, which is `benchmarks.beside_peers` under a shorter name.
"""

from __future__ import annotations

from pathlib import Path

_ENVIRONMENT = Path(__file__).parents[2] / ".venv-peers"
MISSING = "no .venv-peers: measured without torch, Darts and NeuralForecast (`make bench-peers` makes it)"


def interpreter() -> Path | None:
    """The peers' Python, if it is there."""
    python = _ENVIRONMENT / "bin" / "python"
    return python if python.exists() else None


def packages() -> list[str]:
    """Where the peers are installed, for a path to look in."""
    return [str(path) for path in _ENVIRONMENT.glob("lib/python*/site-packages")]
