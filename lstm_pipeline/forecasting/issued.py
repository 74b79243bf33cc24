"""Issued forecasts: every forecast is also kept as it was made, so that it can be compared with what really came.

A forecast is kept by its origin, its version and its run. It is never changed afterwards; only a run that is repeated
replaces its own file.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from lstm_pipeline.errors import DataError, RegistryError
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.forecasting.forecast import Forecast
from lstm_pipeline.forecasting.history import History
from lstm_pipeline.projects import Project
from lstm_pipeline.registry import Metrics, issued_parts
from lstm_pipeline.timeseries import is_numeric, require_frequency

_MADE = "_predicted_at"
"""The column that says when a forecast was made."""

_MOST = 10**9
"""A horizon or a season that is longer is none."""

ISSUED = b"lstm_pipeline/issued"
"""Key of the file's schema metadata that holds what `Issue` says, as JSON."""


@dataclass(frozen=True)
class Author:
    """The model that made a feature's forecast.

    Attributes:
        group: the group that it belongs to.
        version: the version that it was published in.
        run_id: the run that trained it.
        scale: the unit of mase, the feature's mean absolute change over a season in the model's training part; None if
            it is not known.
    """

    group: str
    version: str
    run_id: str
    scale: float | None


@dataclass(frozen=True)
class Issue:
    """How a forecast came about.

    Attributes:
        origin: time of the last row that it knows, in UTC; of dates and of steps of a day or more without a time zone,
            the wall clock.
        step: the same on the step clock, without a time zone.
        horizon: number of steps.
        frequency, timezone, season: of the series.
        levels: levels of its intervals in percent.
        features: feature → the model that made its forecast.
        widths: level in percent → feature → the factor by which the widths of its intervals at training were
            multiplied; what is left out was not changed.
    """

    origin: str
    step: str
    as_of: str | None
    run_id: str
    version: str
    horizon: int
    frequency: str
    timezone: str
    season: int
    levels: tuple[int, ...]
    features: dict[str, Author]
    widths: dict[str, dict[str, float]] = field(default_factory=dict)

    def to_json(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: bytes) -> Issue:
        """The inverse of `to_json`.

        Raises:
            ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, DataError: it is something
                else.
        """
        data = json.loads(text)
        features = {str(name): Author(**author) for name, author in data["features"].items()}
        issue = Issue(**{**data, "levels": tuple(data["levels"]), "features": features})
        for problem in _problems(issue):
            raise ValueError(problem)
        return issue


def _problems(issue: Issue) -> Iterator[str]:
    """What is not as it was written: whoever scores the forecast relies on it.

    Raises:
        DataError: the frequency is not one.
        ValueError, TypeError, OverflowError: something else cannot be read at all.
    """
    texts = [issue.origin, issue.step, issue.run_id, issue.version, issue.frequency, issue.timezone]
    texts += [text for author in issue.features.values() for text in (author.group, author.version, author.run_id)]
    if not all(isinstance(text, str) for text in texts):
        yield "expected text in its description, found something else"
    numbers = [issue.horizon, issue.season, *issue.levels]
    if (
        not all(isinstance(number, int) and 1 <= number <= _MOST for number in numbers)
        or max(issue.levels, default=1) > 99
    ):
        yield f"expected a horizon, a season and levels of whole numbers above 0, found {numbers}"
    scales = [author.scale for author in issue.features.values() if author.scale is not None]
    if not all(math.isfinite(scale) and scale > 0 for scale in scales):
        yield f"expected scales above 0, found {scales}"
    factors = [factor for own in issue.widths.values() for factor in own.values()]
    if not all(math.isfinite(factor) and factor > 0 for factor in factors):
        yield f"expected factors of widths above 0, found {factors}"
    step = pd.Timestamp(issue.step)
    if pd.isna(step) or step.tzinfo is not None:
        yield f"expected the step of its origin without a time zone, found '{issue.step}'"
    ZoneInfo(issue.timezone)
    require_frequency(issue.frequency)


@dataclass(frozen=True)
class Issued:
    """An issued forecast in the listing.

    Attributes:
        origin: time of the last row that it knows, in UTC.
        version: the version that made it.
        run_id: its run.
        folder: the folder of all issued forecasts.
        name: of its file below that folder, e.g. origin=20240601T000000Z/v1.<run id>.parquet.
        size: bytes of the file.
        written: when the file was written; later than the forecast if its run was repeated.
        tag: of the file's content, where the store has one; else empty.
    """

    origin: dt.datetime
    version: str
    run_id: str
    folder: UPath
    name: str
    size: int
    written: dt.datetime
    tag: str

    @property
    def path(self) -> UPath:
        """Its file. Thousands of paths take longer to make than to list, and most of them are not needed."""
        return self.folder.joinpath(*self.name.split("/"))


def keep_issued(project: Project, made: Forecast, run_id: str) -> UPath:
    """Keeps a forecast as it was made: own units, before the transformations of the forecast.

    Args:
        run_id: the run that made it; the same run replaces its file, another one never does.

    Returns:
        its file.

    Raises:
        RegistryError: it cannot be written.
    """
    version, history, shared = str(made.ensemble.version), made.history, made.ensemble.metadata
    if "/" in run_id:
        raise RegistryError(f"run id: expected a name without '/', found '{run_id}'")
    origin = _origin(history)
    issue = Issue(
        origin=origin.isoformat(),
        step=history.series.steps[-1].isoformat(),
        as_of=str(made.as_of) if made.as_of else None,
        run_id=run_id,
        version=version,
        horizon=made.raw.num_rows,
        frequency=shared.frequency,
        timezone=shared.timezone,
        season=shared.season_length,
        levels=made.levels,
        features=_authors(made.ensemble),
        widths=made.widths.recorded(made.ensemble.predicted, made.levels) if made.widths else {},
    )
    return write_issued(project, issue, made.raw)


def write_issued(project: Project, issue: Issue, rows: pa.Table) -> UPath:
    """Writes an issued forecast.

    Args:
        rows: one per step, with the columns of `Forecast.raw`.

    Raises:
        RegistryError: it cannot be written.
    """
    path = project.registry.layout.issued(dt.datetime.fromisoformat(issue.origin), issue.version, issue.run_id)
    table = rows.replace_schema_metadata({**(rows.schema.metadata or {}), ISSUED: issue.to_json()})
    sink = pa.BufferOutputStream()
    # a year of hourly forecasts is thousands of files of a few rows: plain columns are read twice as fast
    pq.write_table(table, sink, compression="none", use_dictionary=False, write_statistics=False)
    project.registry.store.write(path, bytes(sink.getvalue()))
    return path


def _origin(history: History) -> dt.datetime:
    """Time of the last row in UTC."""
    last = history.series.timeline.column_of(history.series.steps[-1:])
    if pa.types.is_timestamp(last.type) and last.type.tz:
        return pd.Timestamp(last[0].as_py()).to_pydatetime()
    # the step clock: UTC for steps of less than a day, else the wall clock as it is written
    return history.series.steps[-1].tz_localize("UTC").to_pydatetime()


def _authors(ensemble: Ensemble) -> dict[str, Author]:
    return {
        name: Author(own.feature_group, own.version or "", own.run_id, _scale(own.feature_metrics, name))
        for own in (model.metadata for model in ensemble.models)
        for name in own.predicted_features
    }


def _scale(metrics: dict[str, dict[str, Metrics]], feature: str) -> float | None:
    """The unit of mase: its model's record has mae and mase, which is mae divided by it."""
    own = metrics.get("one_step", {}).get(feature, {})
    mae, mase = own.get("mae"), own.get("mase")
    return mae / mase if mae and mase else None


def issued_forecasts(project: Project) -> list[Issued]:
    """Every issued forecast, by origin; reads no file, and takes one request for a thousand of them.

    Raises:
        RegistryError: the folder cannot be listed.
    """
    store, folder = project.registry.store, project.registry.layout.forecasts
    known = ((file, issued_parts(file.parts)) for file in store.files(folder))
    found = [
        Issued(*named, folder, "/".join(file.parts), file.size, file.written, file.tag)
        for file, named in known
        if named
    ]
    return sorted(found, key=lambda issued: (issued.origin, issued.version, issued.run_id))


def read_issued(project: Project, issued: Issued) -> tuple[Issue, pa.Table]:
    """An issued forecast: how it came about, and its rows, one per step.

    Raises:
        DataError: the file is damaged.
        RegistryError: it cannot be read, or no longer exists.
    """
    data = project.registry.store.read(issued.path)
    try:
        table = pq.ParquetFile(io.BytesIO(data)).read(use_threads=False)
        issue = Issue.from_json((table.schema.metadata or {})[ISSUED])
    except (
        pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError,
        DataError,
    ) as error:  # fmt: skip
        raise DataError(f"{issued.path} is damaged: {type(error).__name__}: {error}") from None
    types = {field.name: field.type for field in table.schema}
    absent = [name for name in issue.features if name not in types or not is_numeric(types[name])]
    made = types.get(_MADE)
    if (
        absent
        or not issue.features
        or made is None
        or not pa.types.is_timestamp(made)
        or table.num_rows != issue.horizon
    ):
        raise DataError(
            f"{issued.path} is damaged: expected {issue.horizon} rows of {', '.join(issue.features)}, found "
            f"{table.num_rows} rows of {', '.join(f'{name} ({kind})' for name, kind in types.items())}"
        )
    if len(types) < table.num_columns or table.column(_MADE).null_count:
        raise DataError(f"{issued.path} is damaged: expected each column once and times in {_MADE}")
    return issue, table


def predicted_at(table: pa.Table) -> dt.datetime:
    """When an issued forecast was made, in UTC."""
    stamp = np.datetime64(table[_MADE].to_numpy()[0], "us").astype(dt.datetime)
    return stamp.replace(tzinfo=dt.UTC) if isinstance(stamp, dt.datetime) else dt.datetime.min.replace(tzinfo=dt.UTC)
