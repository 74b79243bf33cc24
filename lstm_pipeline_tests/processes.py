"""Processes of a test's own, forked from one that has already imported what takes seconds: Dagster and TensorFlow.

None of this package's layers is imported there and TensorFlow has started nothing, so that each of them begins as a
fresh process does after its imports. Where the imports matter, or how a process ends, a test takes `subprocess`.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["lstm_pipeline_tests.storage.victims", "lstm_pipeline.cli", "tensorflow", "keras"])


def forked(function: Callable[..., None], *arguments: Any, **variables: str | None) -> ForkServerProcess:
    """A process that has yet to be started.

    Args:
        variables: of its environment, beside or instead of this process's own as they are now; None takes one away.
    """
    changed = {**os.environ, **variables}
    environment = {name: value for name, value in changed.items() if value is not None}
    return FORKED.Process(target=_in_environment, args=(environment, function, arguments))


def _in_environment(environment: Mapping[str, str], function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    gc.freeze()  # what has been imported stays: no search for garbage in it
    os.environ.clear()
    os.environ.update(environment)
    function(*arguments)


@dataclass(frozen=True)
class Started:
    """A process whose output is kept."""

    process: ForkServerProcess
    written: tempfile.TemporaryDirectory[str]

    def ended(self, seconds: float = 300) -> CompletedProcess[str]:
        """Waits for its end."""
        self.process.join(seconds)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        with self.written as folder:
            output, errors = ((Path(folder) / name).read_text() for name in ("stdout", "stderr"))
        assert self.process.exitcode is not None
        return CompletedProcess((), self.process.exitcode, output, errors)


def started(folder: Path, function: Callable[..., None], *arguments: Any, **variables: str | None) -> Started:
    """Starts a function in a folder, in a process of its own."""
    written = tempfile.TemporaryDirectory()
    process = forked(_with_output, folder, Path(written.name), function, arguments, **variables)
    process.start()
    return Started(process, written)


def _with_output(folder: Path, written: Path, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.chdir(folder)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(written / name, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, descriptor)
        os.close(file)
    function(*arguments)


def lstm_pipeline(*arguments: str) -> None:
    """The command, in this process."""
    from lstm_pipeline.cli import main

    sys.argv = ["lstm-pipeline", *arguments]
    main()
