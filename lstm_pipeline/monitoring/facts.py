"""What is known about a project when somebody asks whether there is a reason to retrain."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from lstm_pipeline.monitoring.options import Change
from lstm_pipeline.projects import InputState
from lstm_pipeline.registry import ModelMetadata
from lstm_pipeline.statistics import Drift
from lstm_pipeline.timeseries import fixed_step, is_sub_daily, offset_of


@dataclass(frozen=True)
class ModelFacts:
    """A group's model in the version in use.

    Attributes:
        version: the version that the model was published in, e.g. v3; older than the version in use if that one took
            the model over.
        metadata: its record.
    """

    version: str
    metadata: ModelMetadata

    @property
    def run_id(self) -> str:
        """The run that trained it."""
        return self.metadata.run_id

    @property
    def trained_at(self) -> dt.datetime | None:
        """When it was trained; None if its record does not say so."""
        try:
            time = dt.datetime.fromisoformat(self.metadata.training_date)
        except ValueError:
            return None
        return time if time.tzinfo else time.replace(tzinfo=dt.UTC)

    def steps_between(self, since: str, until: str) -> int:
        """How many steps of the model's series lie between two times of its input, given in ISO format and UTC."""
        first, last = pd.Timestamp(since), pd.Timestamp(until)
        frequency, zoned = self.metadata.frequency, self.metadata.timestamp_kind == "timestamptz"
        if zoned and not is_sub_daily(frequency):  # steps of a day and more are counted on the wall clock
            zone = self.metadata.timezone
            first, last = (time.tz_localize("UTC").tz_convert(zone).tz_localize(None) for time in (first, last))
        offset = offset_of(frequency)
        step = fixed_step(offset)
        if step is not None:
            return int((last - first) // step)
        return int((pd.date_range(first, last, freq=offset) > first).sum())


@dataclass(frozen=True)
class LiveError:
    """A feature's error in forecasts that have come true.

    Attributes:
        live: root mean squared error over the last forecasts of the model in use.
        test: its error on the test part, when it was published; None if it is not known.
        forecasts: over how many forecasts `live` is.
        run_id: the run that trained the model that made them.
    """

    live: float
    test: float | None
    forecasts: int
    run_id: str


@dataclass(frozen=True)
class Facts:
    """What is known about a project.

    Attributes:
        project: its name.
        now: when the facts were gathered.
        version: the version in use; None if there is none.
        models: group → its model in that version.
        untrained: the groups of the spec that it has no model of.
        changes: group → the settings that differ from those its model was trained with.
        input: the training input; None if it cannot be read.
        accuracy: feature → its error in forecasts that have come true.
        drift: group → feature → how far the feature has moved since the group's model was trained.
        problems: what could not be found out, and why, as sentences: somebody has to mend it.
        remarks: what is as it should be, but limits what can be found out.
        bytes_read: about how many bytes were read for all this.
    """

    project: str
    now: dt.datetime
    version: str | None = None
    models: Mapping[str, ModelFacts] = field(default_factory=dict)
    untrained: tuple[str, ...] = ()
    changes: Mapping[str, tuple[Change, ...]] = field(default_factory=dict)
    input: InputState | None = None
    accuracy: Mapping[str, LiveError] = field(default_factory=dict)
    drift: Mapping[str, Mapping[str, Drift]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    bytes_read: int = 0
