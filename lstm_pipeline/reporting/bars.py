"""A progress bar that is drawn on a terminal alone; elsewhere, what uses it prints lines."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn


class TerminalBar:
    """Shows a bar from entering to leaving its `with` block.

    Args:
        console: where it is drawn, if that is a terminal.
        last: the column behind the bar and its numbers.
    """

    def __init__(self, console: Console, last: ProgressColumn | None = None) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            last or TimeRemainingColumn(),
            console=console,
            transient=True,
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._progress.stop()
