"""What a status consists of."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lstm_pipeline.monitoring.reasons import Reason


@dataclass(frozen=True)
class InUse:
    """The version in use.

    Attributes:
        name: its name.
        created: when it was published.
        latest: the latest version; another one if the project was rolled back.
    """

    name: str
    created: dt.datetime
    latest: str

    @property
    def rolled_back(self) -> bool:
        """Whether an older version was put in use instead of the latest."""
        return self.name != self.latest


@dataclass(frozen=True)
class LastForecast:
    """The newest issued forecast: the last row that it knew, when it was made, and by which version."""

    origin: dt.datetime
    made: dt.datetime
    version: str


@dataclass(frozen=True)
class Due:
    """When forecasts are due.

    Attributes:
        forecast, training: when the schedules are due next; None without one.
        missed: when the newest forecast was due that has not been made; None if it has.
    """

    forecast: dt.datetime | None = None
    training: dt.datetime | None = None
    missed: dt.datetime | None = None


@dataclass(frozen=True)
class FeatureError:
    """A feature's error in live forecasts beside that on the test part, both as rmse in the feature's own units.

    Attributes:
        group: its group.
        forecasts: how many forecasts count.
        limit: the ratio of the two that is a reason to retrain; None if the spec has no such rule.
    """

    group: str
    feature: str
    live: float | None
    test: float | None
    forecasts: int
    limit: float | None

    @property
    def ratio(self) -> float | None:
        """Live error divided by test error."""
        return self.live / self.test if self.live is not None and self.test else None


@dataclass(frozen=True)
class RefusedModel:
    """A candidate that was not promoted.

    Attributes:
        standing: whether it is newer than the version in use, so that nothing has replaced it.
    """

    group: str
    run_id: str
    when: dt.datetime
    reason: str
    standing: bool


@dataclass(frozen=True)
class Status:
    """How a project is doing.

    Attributes:
        now: when it was looked at.
        zone: time zone of the schedules.
        version: the version in use; None if there is none.
        newest: the newest row of the training input, as it is written; None if it is unknown.
        forecast: the newest issued forecast; None if there is none.
        due: when forecasts are due, and whether one was missed.
        accuracy: the features whose forecasts have come true.
        reasons: reasons to retrain, and warnings.
        refused: candidates that were not promoted.
        notes: sentences worth knowing that need no attention.
        attention: sentences that do.
        groups: group → its features; empty if the spec names none.
    """

    project: str
    now: dt.datetime
    zone: str
    version: InUse | None = None
    newest: str | None = None
    forecast: LastForecast | None = None
    due: Due = Due()
    accuracy: tuple[FeatureError, ...] = ()
    reasons: tuple[Reason, ...] = ()
    refused: tuple[RefusedModel, ...] = ()
    notes: tuple[str, ...] = ()
    attention: tuple[str, ...] = ()
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)

    @property
    def names(self) -> Iterator[str]:
        """The names of groups and features, in which sentences of one kind differ."""
        for group, features in self.groups.items():
            yield from (group, *features)

    @property
    def quiet(self) -> int:
        """The number of groups without a reason to retrain, a warning, or a refused model that nothing has replaced."""
        loud = {one.group for one in self.reasons} | {model.group for model in self.refused if model.standing}
        return len(self.groups) - len(loud & self.groups.keys())

    def to_json(self) -> dict[str, Any]:
        """As values that JSON can represent. Keys never disappear; what is unknown is null."""
        version, forecast, due = self.version, self.forecast, self.due
        return {
            "project": self.project,
            "checked_at": _iso(self.now),
            "ok": not self.attention,
            "attention": list(self.attention),
            "notes": list(self.notes),
            "version": version
            and {
                "name": version.name,
                "created_at": _iso(version.created),
                "age_seconds": round((self.now - version.created).total_seconds()),
                "latest": version.latest,
                "rolled_back": version.rolled_back,
            },
            "input": {"newest": self.newest},
            "forecast": {
                "origin": _iso(forecast.origin) if forecast else None,
                "made_at": _iso(forecast.made) if forecast else None,
                "version": forecast.version if forecast else None,
                "next_due": _iso(due.forecast),
                "missed": _iso(due.missed),
            },
            "training": {"next_due": _iso(due.training)},
            "accuracy": [
                {
                    "group": one.group,
                    "feature": one.feature,
                    "live_rmse": one.live,
                    "test_rmse": one.test,
                    "ratio": one.ratio,
                    "forecasts": one.forecasts,
                    "limit": one.limit,
                }
                for one in self.accuracy
            ],
            "reasons": [
                {
                    "group": one.group,
                    "trigger": one.trigger,
                    "message": one.message,
                    "numbers": dict(one.numbers),
                    "retrain": one.retrain,
                }
                for one in self.reasons
            ],
            "refused": [
                {
                    "group": one.group,
                    "run_id": one.run_id,
                    "refused_at": _iso(one.when),
                    "reason": one.reason,
                    "standing": one.standing,
                }
                for one in self.refused
            ],
        }


def _iso(time: dt.datetime | None) -> str | None:
    return time.astimezone(dt.UTC).isoformat(timespec="seconds") if time else None
