"""A contender's process, started by `benchmarks.turns`: python -m benchmarks.contender MODULE:FUNCTION FD CORES."""

from __future__ import annotations

import importlib
import os
import sys
from multiprocessing.connection import Connection

from benchmarks.turns import Turns


def main() -> None:
    """Runs `function(case, turns)` for every case received, until the other side closes the connection."""
    runner, descriptor, cores = sys.argv[1:]
    os.sched_setaffinity(0, map(int, cores.split(",")))  # before any import counts the cores
    module, _, name = runner.partition(":")
    function, connection = getattr(importlib.import_module(module), name), Connection(int(descriptor))
    connection.send("ready")
    try:
        while True:
            function(connection.recv(), Turns(connection))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


if __name__ == "__main__":
    main()
