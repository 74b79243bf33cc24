"""One way to automate a project, day by day: it trains, publishes and forecasts, and remembers what it did."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from lstm_pipeline.arrays import Float64
from lstm_pipeline.errors import PipelineError
from lstm_pipeline.forecasting import (
    Ensemble,
    TrainingRun,
    build_dataset,
    forecast,
    keep_issued,
    publish,
    train_groups,
)
from lstm_pipeline.monitoring.clock import due_between
from lstm_pipeline.monitoring.decisions import PastTraining, Waits, decide
from lstm_pipeline.monitoring.reasons import reasons
from lstm_pipeline.projects import Project, prediction_input, training_input
from lstm_pipeline.spec import Automation
from lstm_pipeline.verification import score_issued

if TYPE_CHECKING:
    from lstm_pipeline.registry import StoredModel

Action = Literal["train", "refused", "failed", "forecast", "warning"]


@dataclass(frozen=True)
class Did:
    """Something that was done on an as-of day.

    Attributes:
        contestant: who did it.
        action: what; `refused` is a training of which no model was promoted.
        groups: the groups it was about.
        why: the reason, or what went wrong.
        version: the version in use afterwards; empty if there is none.
    """

    day: dt.date
    contestant: str
    action: Action
    groups: tuple[str, ...]
    why: str
    version: str = ""


@dataclass(frozen=True)
class Issued:
    """A forecast, kept to be compared with what came.

    Attributes:
        origin: the last step of its history.
        steps: (H,) the steps it is for.
        names: (P,) features.
        values: (H, P) in the features' own units.
    """

    origin: pd.Timestamp
    steps: pd.DatetimeIndex
    names: tuple[str, ...]
    values: Float64


class Contestant:
    """A project under one automation.

    Args:
        name: what it is called.
        project: the project with clipped inputs and a storage root of its own.
        automation: what runs by itself.
    """

    def __init__(self, name: str, project: Project, automation: Automation) -> None:
        spec = project.spec.model_copy(update={"automation": automation})
        self.name = name
        self.project = Project(replace(project.loaded, spec=spec), project.storage)
        self.automation = automation
        self.issued: dict[pd.Timestamp, Issued] = {}
        self._trainings: list[PastTraining] = []
        self._ensemble: Ensemble | None = None
        self._warned: set[str] = set()
        self._runs = 0

    def day(self, day: dt.date, since: dt.datetime, now: dt.datetime, *, first: bool) -> list[Did]:
        """Does what is to be done on a day.

        Args:
            since: when the as-of day before was looked at.
            now: when this one is.
            first: whether it is the first one, on which all groups are trained.
        """
        zone, done = self.project.spec.schedule_timezone, list[Did]()
        trained = self.project.registry.versions() and first  # copied from another contestant
        if first and not trained:
            done += self._train(day, now, self.project.groups, "the first training")
        elif not first and due_between(self.automation.train, zone, since, now):
            done += self._train(day, now, self.project.groups, "schedule")
        if not first:
            done += self._retrain(day, now)
        predict = self.automation.predict
        if first or any(one.action == "train" for one in done) or not predict or due_between(predict, zone, since, now):
            done += self._forecast(day, now)
        return done

    def _retrain(self, day: dt.date, now: dt.datetime) -> list[Did]:
        """Retrains the groups that have a reason, as the sensor does."""
        settings = self.automation.retrain
        if settings is None:
            return []
        if settings.accuracy is not None and self.issued:
            score_issued(self.project, as_of=day, now=now)
        found = reasons(self.project, now=now)
        waits = Waits(settings.cooldown, zone=self.project.spec.schedule_timezone)
        decision = decide(found, self._trainings, waits, now)
        keys = {f"{reason.group}:{reason.trigger}": reason for reason in decision.warnings}
        done = [
            Did(day, self.name, "warning", (reason.group,), reason.message, self._version())
            for key, reason in keys.items()
            if key not in self._warned
        ]
        self._warned = set(keys)
        if decision.groups:
            done += self._train(day, now, decision.groups, decision.sentence, by_reason=True)
        return done

    def _train(
        self, day: dt.date, now: dt.datetime, groups: Sequence[str], why: str, *, by_reason: bool = False
    ) -> list[Did]:
        self._runs += 1
        run_id, groups = f"replay-{day:%Y%m%d}-{self._runs}", tuple(groups)
        try:
            table = training_input(self.project, day)
            trained = self._trained(table, run_id, groups, now)
            published = publish(self.project, table, trained, run_id=run_id)
        except PipelineError as error:
            if not self.project.registry.versions():
                raise
            self._trainings.append(PastTraining(groups, now, now, "failed"))
            return [Did(day, self.name, "failed", groups, f"{why}: {error}", self._version())]
        refused = {one.group: one.reason for one in published.decisions if not one.promoted}
        promoted = tuple(group for group in groups if group not in refused)
        counted = groups if by_reason else tuple(refused)  # a schedule starts no cooldown, a refused candidate does
        if counted:
            self._trainings.append(PastTraining(counted, now, now, "succeeded"))
        done = [Did(day, self.name, "train", promoted, why, self._version())] if promoted else []
        if refused:
            reason = "; ".join(dict.fromkeys(refused.values()))
            done.append(Did(day, self.name, "refused", tuple(refused), f"{why}: {reason}", self._version()))
        return done

    def _trained(self, table: object, run_id: str, groups: tuple[str, ...], now: dt.datetime) -> dict[str, StoredModel]:
        spec = self.project.spec
        run = TrainingRun(
            dataset=build_dataset(table, spec.training, spec.timezone),
            step=spec.training,
            registry=self.project.registry,
            horizon=spec.prediction.forecast_horizon,
            run_id=run_id,
            now=now,
        )
        return train_groups(run, groups)

    def _forecast(self, day: dt.date, now: dt.datetime) -> list[Did]:
        project = self.project
        try:
            ensemble = self._loaded()
            made = forecast(project, prediction_input(project, day), as_of=day, predicted_at=now, version=ensemble)
        except PipelineError as error:
            return [Did(day, self.name, "failed", project.groups, f"forecast: {error}", self._version())]
        keep_issued(project, made, f"replay-{day:%Y%m%d}")
        series, names = made.history.series, tuple(ensemble.predicted)
        origin, values = series.steps[-1], [made.raw[name].to_numpy().astype("float64") for name in names]
        steps = series.timeline.next_steps(origin, made.raw.num_rows)
        self.issued[origin] = Issued(origin, steps, names, np.column_stack(values))
        return [Did(day, self.name, "forecast", project.groups, "", self._version())]

    def _loaded(self) -> Ensemble:
        """The ensemble in use; loaded and compiled once a version."""
        version = self._version()
        if self._ensemble is None or self._ensemble.version != version:
            self._ensemble = Ensemble.of(self.project.registry, self.project.registry.load(version))
        return self._ensemble

    def _version(self) -> str:
        registry = self.project.registry
        return registry.resolve() if registry.versions() else ""
