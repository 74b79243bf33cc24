"""What a notebook or a service uses: one project's whole job, without Dagster.

The files are the same as those of scheduled runs: what is trained here can be published there, and the other way round.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lstm_pipeline import projects
from lstm_pipeline.backtesting import (
    Backtest,
    BacktestOptions,
    VersionComparison,
    backtest,
    compare_versions,
    require_versions,
)
from lstm_pipeline.errors import DataError
from lstm_pipeline.forecasting import TrainingRun, build_dataset, forecast, publish, shared_length, train_groups
from lstm_pipeline.forecasting.arguments import described, require_day, require_groups, require_name
from lstm_pipeline.projects import prediction_input, training_input
from lstm_pipeline.registry import IndividualRecord, StoredModel, Version
from lstm_pipeline.tracking import TrackedTraining, track_version, tracked

if TYPE_CHECKING:
    from lstm_pipeline.network.training import EpochReport


class Project(projects.Project):
    """A project that trains, publishes, forecasts, back-tests and compares versions.

    Every method takes the as-of date, which `current_date()` in the spec's SQL returns: a date or text like 2025-01-31;
    by default it is today.

    >>> project = load_project("plant.yaml")
    >>> sorted(project.train())
    ['energy', 'water']
    >>> project.publish().record.version
    'v1'
    >>> len(project.forecast())
    5
    """

    def train(
        self,
        groups: Sequence[str] | None = None,
        *,
        as_of: dt.date | None = None,
        on_epoch: Callable[[str, EpochReport], None] | None = None,
    ) -> dict[str, StoredModel]:
        """Trains feature groups side by side, and stores each as a candidate for the next version.

        >>> load_project("plant.yaml").train(["water"])["water"].group
        'water'

        Args:
            groups: the groups to train; None for all.
            as_of: the as-of date.
            on_epoch: called with the group and a report after every epoch, from the training threads.

        Returns:
            group → model.

        Raises:
            DataError: there is no such group, or the data does not fit the spec.
            TrainingError: a group could not be trained; the others' models are stored.
        """
        wanted, day = require_groups(groups, self.groups), self._day(as_of)
        self.registry.candidates.require_room(wanted)
        step, longest = self.spec.training, shared_length(self, wanted)
        run = TrainingRun(
            dataset=build_dataset(training_input(self, day), step, self.spec.timezone, longest),
            step=step,
            registry=self.registry,
            horizon=self.spec.prediction.forecast_horizon,
            run_id=f"python-{uuid.uuid4()}",
            on_epoch=on_epoch,
        )
        training = TrackedTraining(self, run.run_id, draw=_drawn_losses)
        return tracked(training, wanted, lambda: train_groups(run, wanted))

    def publish(self, *, as_of: dt.date | None = None) -> Version:
        """Publishes the newest models of all groups, scored together, as the next version.

        With `automation` in the spec, new models are compared with those in use first; if all are refused, nothing is
        published and the version in use is returned.

        >>> version = load_project("plant.yaml").publish()
        >>> sorted(version.record.metadata.metrics)
        ['mae', 'rmse', 'smape']

        Raises:
            DataError: the data does not fit the spec.
            RegistryError: a group has no model yet, or models do not fit the spec or each other.
        """
        table = training_input(self, self._day(as_of))
        published = publish(self, table, {}, run_id=f"python-{uuid.uuid4()}")
        if published.is_new:
            track_version(self)
        return published.version

    def forecast(self, *, as_of: dt.date | None = None) -> pd.DataFrame:
        """Forecasts with the version in use, from the last rows of the prediction input.

        >>> load_project("plant.yaml").forecast().columns[0]
        'date'

        Returns:
            One row per step, as the prediction step and its transformations define it. Nothing is stored.

        Raises:
            DataError: the input does not fit the models.
            RegistryError: there is no version yet, or it is damaged.
        """
        now, day = dt.datetime.now(dt.UTC), self._day(as_of)
        frame: pd.DataFrame = forecast(self, prediction_input(self, day), as_of=day, predicted_at=now).table.to_pandas()
        return frame

    def backtest(self, options: BacktestOptions | None = None, *, as_of: dt.date | None = None) -> Backtest:
        """Forecasts from many origins of the held-out rows and scores that beside simpler methods.

        >>> from lstm_pipeline.backtesting import BacktestOptions
        >>> found = load_project("plant.yaml").backtest(BacktestOptions(origins=3))
        >>> found.protocol["origins"]
        3

        Raises:
            DataError: options cannot be combined, or nothing is held out.
            RegistryError: there is no such version, or it does not fit the spec.
            TrainingError: a group could not be trained anew.
        """
        _require_options(options)
        return backtest(self, training_input(self, self._day(as_of)), options)

    def compare(
        self,
        first: str,
        second: str,
        options: BacktestOptions | None = None,
        *,
        as_of: dt.date | None = None,
    ) -> VersionComparison:
        """Compares two published versions on the rows that neither has seen.

        >>> project = load_project("plant.yaml")
        >>> _ = project.train(["water"]), project.publish()
        >>> found = project.compare("v1", "v2")
        >>> found.overall.relative_rmse is not None
        True

        Args:
            first, second: names of versions.
            options: how many origins, or how far apart.
            as_of: the as-of date.

        Raises:
            DataError: options cannot be combined, nothing is held out from both, or the input does not fit a version.
            RegistryError: a version does not exist, or the two have nothing in common.
        """
        _require_options(options)
        require_versions(self, first, second)
        return compare_versions(self, training_input(self, self._day(as_of)), first, second, options)

    def _day(self, as_of: dt.date | None) -> dt.date:
        return require_day(as_of) or self.today()


def _require_options(options: object) -> None:
    if options is not None and not isinstance(options, BacktestOptions):
        raise DataError(f"options: expected BacktestOptions, found {described(options)}")


def _drawn_losses(name: str, record: IndividualRecord, log: Mapping[str, Any]) -> bytes:
    """The loss curve of a trained group as PNG."""
    from lstm_pipeline.reporting import draw_losses  # matplotlib takes a second to import

    return draw_losses(name, record, log)


def load_project(reference: str | Path, storage: str | None = None) -> Project:
    """Loads a project.

    >>> load_project("plant.yaml").groups
    ('energy', 'water')

    Args:
        reference: a spec file, or the name of a project: one in the projects folder or one that ships with the package.
        storage: storage root, a folder or a URI; by default `LSTM_PIPELINE_STORAGE`, else `storage/`.

    Raises:
        DataError: an argument has the wrong type.
        SpecError: with every problem in the spec, or because there is no such project.
    """
    if not isinstance(reference, str | Path):
        raise DataError(f"reference: expected a spec file or the name of a project, found {described(reference)}")
    if storage is not None:
        require_name("storage", storage)
    found = projects.load_project(reference, storage)
    return Project(found.loaded, found.storage)
