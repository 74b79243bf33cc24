"""Where assets are kept: frames as Parquet, models in the registry. The same on the local disk and on S3."""

from __future__ import annotations

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from lstm_pipeline.errors import DataError
from lstm_pipeline.orchestration.failures import user_errors
from lstm_pipeline.orchestration.keys import BUCKET, WRITE_MODE
from lstm_pipeline.registry.registry import Registry, StoredModel
from lstm_pipeline.storage.store import Store

Context = dg.InputContext | dg.OutputContext


class _ProjectIOManager(dg.UPathIOManager):
    """Puts a project's asset below `<bucket>/<project>/`."""

    folder: str

    def __init__(self, store: Store) -> None:
        super().__init__(base_path=store.root)
        self.store = store

    def make_directory(self, path: UPath) -> None:
        """The store makes the folders it needs; on an object store there are none."""

    def get_asset_relative_path(self, context: Context) -> UPath:
        """`<bucket>/<project>/<folder>/<asset>`."""
        project, asset = context.asset_key.path
        return UPath(_bucket(context), project, self.folder, asset)


class ParquetIOManager(_ProjectIOManager):
    """Frames as Parquet files, `<bucket>/<project>/data/<asset>.parquet`.

    A file is replaced as a whole or not at all. An input is an Arrow table, or a pandas frame where its type says so.
    """

    extension = ".parquet"
    folder = "data"

    def dump_to_path(self, context: dg.OutputContext, obj: pa.Table | pd.DataFrame, path: UPath) -> None:
        """Writes the frame; in the mode `append` after the rows that are there."""
        table = obj if isinstance(obj, pa.Table) else pa.Table.from_pandas(obj, preserve_index=False)
        with user_errors():
            if context.definition_metadata.get(WRITE_MODE) == "append" and self.store.exists(path):
                table = _append(self._read(path), table, path)
            with self.store.writing(path) as file:
                pq.write_table(table, file, compression="zstd")

    def load_from_path(self, context: dg.InputContext, path: UPath) -> pa.Table | pd.DataFrame:
        """Reads the frame."""
        with user_errors():
            table = self._read(path)
        return table.to_pandas() if context.dagster_type.typing_type is pd.DataFrame else table

    def _read(self, path: UPath) -> pa.Table:
        with self.store.opening(path) as file:
            try:
                return pq.read_table(file)
            except pa.ArrowInvalid as error:
                raise DataError(f"{path} is damaged: {error}; materialise it again") from None


class ModelIOManager(_ProjectIOManager):
    """Models in the registry, `<bucket>/<project>/candidates/<group>/<run id>/`.

    Training stores each candidate as soon as it is done, so that one group's failure loses nothing of the others;
    what passes through here are references. An input is always a dict, group → the model the next version takes,
    also when there is one group only.
    """

    folder = "candidates"

    def handle_output(self, context: dg.OutputContext, obj: dict[str, StoredModel]) -> None:
        """Nothing is left to write; several partitions may come from one run, which the base class cannot take."""

    def load_input(self, context: dg.InputContext) -> dict[str, StoredModel]:
        """Group → model, for every group asked for."""
        registry = Registry(self.store, _bucket(context), context.asset_key.path[0])
        with user_errors():
            return registry.next_models(list(context.asset_partition_keys))

    def dump_to_path(self, context: dg.OutputContext, obj: StoredModel, path: UPath) -> None:
        """Not called: training writes the files (see the class)."""
        raise NotImplementedError

    def load_from_path(self, context: dg.InputContext, path: UPath) -> StoredModel:
        """Not called: `load_input` reads them."""
        raise NotImplementedError


def _bucket(context: Context) -> str:
    upstream = context.upstream_output if isinstance(context, dg.InputContext) else context
    metadata = upstream.definition_metadata if upstream is not None else {}
    return str(metadata[BUCKET])


def _append(before: pa.Table, table: pa.Table, path: UPath) -> pa.Table:
    if before.schema != table.schema:
        raise DataError(
            f"cannot append to {path}: it has the columns {before.schema.to_string()}, the new rows have "
            f"{table.schema.to_string()}; set write_config.mode to overwrite, or move the file away"
        )
    return pa.concat_tables([before, table])
