"""A project's inputs as assets: made elsewhere, observed here.

An observation reads what the retraining sensor reads, and in the same way: listings and footers, of CSV the timestamp
column. What one has found out about the training input's files saves the other from opening them again; neither waits
for the other, nor starts a run because of it.
"""

# no `from __future__ import annotations`: Dagster looks at the types of an observation's parameters

import datetime as dt
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any, cast

import dagster as dg

from lstm_pipeline import monitoring
from lstm_pipeline.errors import DataError
from lstm_pipeline.orchestration.failures import user_errors
from lstm_pipeline.orchestration.keys import described, slug, source_key
from lstm_pipeline.orchestration.storage_resources import S3_INPUTS, s3_inputs, storage_options
from lstm_pipeline.projects import DEMO, InputState, Project, input_state, shown_time, step_input
from lstm_pipeline.reporting import authored
from lstm_pipeline.spec import DataProduct, ReadingOptions
from lstm_pipeline.storage import S3
from lstm_pipeline.wording import listed

_ENDINGS = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".csv.gz": "csv"}
_STORES = {"s3": "s3", "s3a": "s3", "gs": "gcs", "abfs": "azure", "abfss": "azure", "https": "https"}

_DEMO = Path(__file__).parent.parent / "defs" / DEMO
"""The folder of the demo, whose input is simulated by an asset that comes with the package."""


@dataclass(frozen=True)
class Source:
    """An input of a project, or several of its names that mean the same one.

    Attributes:
        key: of its asset.
        product: a data product that reads it; the training's, if that does.
        name: of the input in that data product.
        readers: the names it has, as they stand in the spec.
    """

    key: dg.AssetKey
    product: DataProduct
    name: str
    readers: tuple[str, ...]

    def is_training_input(self, project: Project) -> bool:
        """Whether the training step starts from it, so that the retraining sensor looks at it too."""
        training = project.spec.model_metadata
        return self.product is training and step_input(project, training)[0] == self.name


def sources_of(project: Project) -> list[Source]:
    """The inputs of a project that are made elsewhere; the demo's is made by an asset of its own."""
    if Path(project.loaded.folder).resolve() == _DEMO.resolve():
        return []
    found: dict[dg.AssetKey, Source] = {}
    for product_name in ("model_metadata", "predictions"):
        product = getattr(project.spec, product_name)
        start = step_input(project, product)[0]
        for name in sorted(product.inputs, key=lambda name: name != start):
            key, reader = source_key(project, product, name), f"{product_name}.inputs.{name}"
            known = found.get(key, Source(key, product, name, ()))
            found[key] = Source(key, known.product, known.name, (*known.readers, reader))
    return list(found.values())


def source_ops(project: Project) -> dict[dg.AssetKey, str]:
    """Key of a source → name of the step that observes it."""
    names: dict[str, dg.AssetKey] = {}
    for source in sources_of(project):
        name = f"{slug(project.name)}__observe__{slug(source.key.path[-1])}"
        free = next(one for one in chain([name], (f"{name}_{number}" for number in count(2))) if one not in names)
        names[free] = source.key
    return {key: name for name, key in names.items()}


def source_resources(project: Project) -> dict[str, object]:
    """The resources that the sources of a project need: S3, if one of them is there."""
    on_s3 = any(_is_s3(project, source) for source in sources_of(project))
    return {S3_INPUTS: s3_inputs()} if on_s3 else {}


def build_sources(project: Project) -> list[dg.AssetsDefinition]:
    """The inputs of a project as observable assets."""
    names = source_ops(project)
    return [_observable(project, source, names[source.key]) for source in sources_of(project)]


def _observable(project: Project, source: Source, name: str) -> dg.AssetsDefinition:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # the only decorator that takes owners and kinds
        decorator = dg.multi_observable_source_asset(specs=[source_spec(project, source)], name=name)

    def observed(context: dg.AssetExecutionContext, options: Mapping[str, Any] | None) -> dg.ObserveResult:
        with user_errors(context):
            state = _state(project, source, options)
        shown = observation_metadata(state, _last_seen(context.instance, source.key))
        return dg.ObserveResult(asset_key=source.key, metadata=shown, data_version=dg.DataVersion(state.fingerprint))

    if not _is_s3(project, source):

        def observe(context: dg.AssetExecutionContext) -> dg.ObserveResult:
            return observed(context, None)

        return cast(dg.AssetsDefinition, decorator(observe))

    from dagster_aws.s3 import S3Resource

    def observe_on_s3(context: dg.AssetExecutionContext, s3_inputs: S3Resource) -> dg.ObserveResult:
        return observed(context, storage_options(s3_inputs))

    return cast(dg.AssetsDefinition, decorator(observe_on_s3))


def _state(project: Project, source: Source, options: Mapping[str, Any] | None) -> InputState:
    if source.is_training_input(project):
        return monitoring.training_input_state(project, options)
    return input_state(project, source.product, name=source.name, storage_options=options)


def source_spec(project: Project, source: Source) -> dg.AssetSpec:
    """What is known of an input before anybody has looked at it."""
    given = source.product.inputs[source.name]
    options = ReadingOptions.model_validate({name: getattr(given, name) for name in ReadingOptions.model_fields})
    set_options = options.model_dump(mode="json", exclude_defaults=True)
    role = f"Read as {listed(source.readers)}. Made elsewhere; *Observe* counts its rows and finds the newest one."
    return dg.AssetSpec(
        key=source.key,
        group_name=slug(project.name),
        description=described(project, "\n\n".join(filter(None, [authored(given.description or ""), role]))),
        owners=project.spec.owners,
        tags=project.spec.tags,
        kinds=_kinds(project, source),
        metadata={
            "dagster/uri": project.shown_uri(source.product, source.name),
            **({"reading_options": set_options} if set_options else {}),
        },
    )


def observation_metadata(state: InputState, last_seen: dt.datetime | None = None) -> dict[str, Any]:
    """What the UI shows about an input that has been looked at.

    Args:
        state: the input.
        last_seen: when its newest file was written at the last look, by the store's clock; None if there was none.
    """
    written = [file.modified for file in state.listing if file.modified is not None]
    known: dict[str, Any] = {"first": state.oldest, "last": state.newest}
    shown: dict[str, Any] = {
        "dagster/row_count": state.rows,
        **{name: shown_time(time) for name, time in known.items() if time is not None},
        "files": state.files,
        "bytes": sum(file.size for file in state.listing),
        "bytes_read": state.bytes_read,
    }
    if written:
        shown["last_modified"] = dg.MetadataValue.timestamp(max(written))
    if last_seen is not None:
        shown["newer_files"] = sum(time > last_seen for time in written)
    return shown


def _last_seen(instance: dg.DagsterInstance, key: dg.AssetKey) -> dt.datetime | None:
    """When the newest file of the last observation was written."""
    for record in instance.fetch_observations(key, limit=1).records:
        observation = record.asset_observation
        found = observation.metadata.get("last_modified") if observation else None
        if isinstance(found, dg.TimestampMetadataValue):
            return dt.datetime.fromtimestamp(found.value, dt.UTC)
    return None


def _kinds(project: Project, source: Source) -> set[str]:
    uri = _place(project, source)
    path = uri.partition("?")[0].lower().rstrip("*")
    format_ = next((kind for ending, kind in _ENDINGS.items() if path.endswith(ending)), None)
    scheme = uri.partition("://")[0] if "://" in uri else ""
    return {_STORES.get(scheme, "file"), *([format_] if format_ else [])}


def _is_s3(project: Project, source: Source) -> bool:
    return _place(project, source).partition("://")[0] in S3


def _place(project: Project, source: Source) -> str:
    """Where an input is, which may contain secrets; empty if the environment does not say so any more."""
    try:
        return project.input_uri(source.product, source.name)
    except DataError:
        return ""
