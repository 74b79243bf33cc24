"""What an asset hands to its IO manager: a table, and the plots to draw once it is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

import dagster as dg
import pyarrow as pa
from upath import UPath

from lstm_pipeline.reporting import picture
from lstm_pipeline.storage import Store


@dataclass(frozen=True)
class Plot:
    """A picture for an asset's page.

    Attributes:
        name: key of the metadata that shows it.
        text: what it shows, for those who cannot see it.
        draw: returns it as PNG.
        path: where it is kept as a file too, if anywhere.
    """

    name: str
    text: str
    draw: Callable[[], bytes]
    path: UPath | None = None


@dataclass(frozen=True)
class Frame:
    """An asset's table and its plots."""

    table: pa.Table
    plots: tuple[Plot, ...] = ()


def drawn(plots: Iterable[Plot], store: Store, log: dg.DagsterLogManager) -> dict[str, dg.MetadataValue]:
    """Draws plots, each for itself: one that cannot be drawn or kept is a warning, never a failed run.

    Returns:
        metadata key → picture.
    """
    shown: dict[str, dg.MetadataValue] = {}
    for plot in plots:
        try:
            png = plot.draw()
            if plot.path is not None:
                store.write(plot.path, png)
        except Exception as error:  # whatever it is, the data matters more than its picture
            reason = f"{type(error).__name__}: {error}"
            if plot.path is not None:
                with suppress(Exception):  # an earlier run's picture must not be taken for this run's
                    store.remove(plot.path)
            log.warning(f"The plot '{plot.name}' could not be drawn ({reason}); the data is stored.")
        else:
            shown[plot.name] = dg.MetadataValue.md(picture(png, plot.text))
    return shown
