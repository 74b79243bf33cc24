"""Where assets are kept: frames as Parquet, models in the registry; the same on the local disk and on S3.

These are subclasses of Dagster's UPathIOManager rather than the stock ones, because a model is several files, because
exactly one partition has to arrive as a dict like any other number, and because nothing may be pickled.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partial
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from lstm_pipeline.errors import DataError
from lstm_pipeline.orchestration.failures import user_errors
from lstm_pipeline.orchestration.frames import Frame, drawn
from lstm_pipeline.orchestration.keys import BUCKET, TRAINING_ONLY, WRITE_MODE
from lstm_pipeline.orchestration.resuming import chain_of
from lstm_pipeline.registry import Registry, StoredModel
from lstm_pipeline.storage import Store
from lstm_pipeline.tables import Choice, append_rows, from_parquet, to_parquet
from lstm_pipeline.timeseries import columns_read

Context = dg.InputContext | dg.OutputContext


class _ProjectIOManager(dg.UPathIOManager):
    """Keeps a project's assets under `<bucket>/<project>/`."""

    folder: str

    def __init__(self, store: Store) -> None:
        super().__init__(base_path=store.root)
        self.store = store

    def make_directory(self, path: UPath) -> None:
        """Does nothing: the store creates folders as it needs them, and object stores have none."""

    def get_asset_relative_path(self, context: Context) -> UPath:
        """`<bucket>/<project>/<folder>/<asset>`."""
        project, asset = context.asset_key.path
        return UPath(_bucket(context), project, self.folder, asset)


class ParquetIOManager(_ProjectIOManager):
    """Frames as Parquet files, `<bucket>/<project>/data/<asset>.parquet`.

    A file is replaced as a whole or not at all. An asset's value is a `Frame`, a table or a pandas frame; an input is
    an Arrow table, or a pandas frame if the parameter is annotated so.
    """

    extension = ".parquet"
    folder = "data"

    def dump_to_path(self, context: dg.OutputContext, obj: Frame | pa.Table | pd.DataFrame, path: UPath) -> None:
        """Writes the frame; in the mode `append` after the existing rows, of which no rival's are lost."""
        mode = str(context.definition_metadata.get(WRITE_MODE))
        with user_errors(context):
            self.write(path, _table(obj), mode=mode, runs=_runs(context))

    def write(self, path: UPath, table: pa.Table, *, mode: str, runs: Sequence[str]) -> None:
        """Writes a table; in the mode `append` after the existing rows, in place of the run's own, if there are any.

        Args:
            runs: the run, and those that it carries on after a failure, whose rows are its own.

        Raises:
            DataError: the table does not fit the existing rows.
            RegistryError: it cannot be written.
        """
        if mode == "append":
            self.store.update(path, lambda before: self._appended(before, table, runs, path))
            return
        with self.store.writing(path) as file:
            pq.write_table(table, file, compression="zstd")

    def read(self, path: UPath, needed: Choice | None = None) -> pa.Table:
        """Reads a table.

        Args:
            needed: the columns whose values are read; None: all. See `from_parquet`.

        Raises:
            RegistryError: it does not exist or cannot be read.
        """
        with self.store.opening(path) as file:
            return from_parquet(file, path, needed)

    def _appended(self, before: bytes | None, table: pa.Table, runs: Sequence[str], path: UPath) -> bytes:
        existing = None if before is None else from_parquet(io.BytesIO(before), path)
        try:
            return to_parquet(append_rows(existing, table, runs[0], runs[1:]))
        except DataError as error:
            raise DataError(
                f"cannot append to {path}: {error}; set write_config.mode to overwrite, or move the file away"
            ) from None

    def get_metadata(self, context: dg.OutputContext, obj: Any) -> dict[str, dg.MetadataValue]:
        """Draws the frame's plots. Dagster calls this once the data is written."""
        return drawn(obj.plots, self.store, context.log) if isinstance(obj, Frame) else {}

    def load_from_path(self, context: dg.InputContext, path: UPath) -> pa.Table | pd.DataFrame:
        """Reads the frame; of a training's input, what a training reads (see `keys.training_only`)."""
        only = (context.definition_metadata or {}).get(TRAINING_ONLY)
        with user_errors(context):
            table = self.read(path, partial(columns_read, **only) if isinstance(only, dict) else None)
        return table.to_pandas() if context.dagster_type.typing_type is pd.DataFrame else table


class ModelIOManager(_ProjectIOManager):
    """Models in the registry, `<bucket>/<project>/candidates/<group>/<run id>/`.

    Training stores each candidate as soon as it is trained, so that one group's failure loses nothing of the others;
    only references pass through here. An input is always a dict, group → the model that the next version takes, even
    if there is only one group.
    """

    folder = "candidates"

    def handle_output(self, context: dg.OutputContext, obj: dict[str, StoredModel]) -> None:
        """Does nothing: training has written the files, and the base class cannot take several partitions at once."""

    def load_input(self, context: dg.InputContext) -> dict[str, StoredModel]:
        """Group → model, for every requested group."""
        registry = Registry(self.store, _bucket(context), context.asset_key.path[0])
        with user_errors(context):
            return registry.next_models(list(context.asset_partition_keys))

    def dump_to_path(self, context: dg.OutputContext, obj: StoredModel, path: UPath) -> None:
        """Never called: training writes the files."""
        raise NotImplementedError

    def load_from_path(self, context: dg.InputContext, path: UPath) -> StoredModel:
        """Never called: `load_input` reads the files."""
        raise NotImplementedError


def _runs(context: dg.OutputContext) -> list[str]:
    """The run, and those that it carries on after a failure."""
    try:
        step = context.step_context
    except dg.DagsterInvariantViolationError:  # outside of a run
        return [context.run_id]
    return chain_of(step.dagster_run, step.instance)


def _bucket(context: Context) -> str:
    upstream = context.upstream_output if isinstance(context, dg.InputContext) else context
    metadata = upstream.definition_metadata if upstream is not None else {}
    return str(metadata[BUCKET])


def _table(value: Frame | pa.Table | pd.DataFrame) -> pa.Table:
    if isinstance(value, Frame):
        return value.table
    return value if isinstance(value, pa.Table) else pa.Table.from_pandas(value, preserve_index=False)
