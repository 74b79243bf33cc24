"""What a comparison of two versions finds, as values that survive a trip through JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lstm_pipeline.backtesting.differences import Difference
from lstm_pipeline.statistics import Metrics

SIGNIFICANT = 0.05
"""An adjusted p-value below this is called more than chance."""


@dataclass(frozen=True)
class ComparedVersion:
    """One of the two versions.

    Attributes:
        name: e.g. `v3`.
        created_at: when it was published, in ISO format.
        groups: group → the features it predicts.
        seen_until: the last step that it was trained, validated or fitted on, on the wall clock in ISO format.
    """

    name: str
    created_at: str
    groups: dict[str, tuple[str, ...]]
    seen_until: str


@dataclass(frozen=True)
class VersionScore:
    """Both versions' scores of a feature, of a group's features, or of all common features.

    Attributes:
        group: None for all features.
        feature: None for the means over several features.
        origins: from how many origins both were tested.
        first, second: metric → value: those of `statistics.METRIC_NAMES`, and `wql`, `coverage_80`,
            `interval_score_80`, … if both versions have intervals of that level; None where undefined.
        relative_rmse: the second version's rmse divided by the first one's, over features in units of their mean
            change over a season; below 1 the second one is better. None if the first one makes no error.
        by_lead: (H,) the same for each lead time.
        statistic: of `statistics.diebold_mariano`, above 0 if the second version is worse; None if there was no
            test.
        p_value: two-sided.
        adjusted_p: by Holm's method for the number of features (or of groups) that are tested.
        same: both versions forecast the same values, up to the rounding of their networks.
    """

    group: str | None
    feature: str | None
    origins: int
    first: Metrics
    second: Metrics
    relative_rmse: float | None
    by_lead: tuple[float | None, ...]
    statistic: float | None
    p_value: float | None
    adjusted_p: float | None
    same: bool

    @property
    def ahead(self) -> Literal["first", "second"] | None:
        """The version that is better by more than chance; None if neither is, or if it was not tested."""
        if self.adjusted_p is None or self.statistic is None or self.adjusted_p >= SIGNIFICANT:
            return None
        return "first" if self.statistic > 0 else "second"


@dataclass(frozen=True)
class VersionComparison:
    """Two versions on rows that neither has seen.

    Attributes:
        project: the project's name.
        first, second: the versions, in the order in which they were asked for.
        scores: of all features, then each group followed by its features.
        differences: what differs between the versions, besides their scores.
        notes: what could not be compared, and what a person should know about the comparison.
        levels: levels of the intervals that are scored, in percent.
        horizon: steps per forecast.
        origins: number of origins.
        first_origin, last_origin: the first step that these origins forecast, on the wall clock in ISO format.
        rows: number of rows that neither version has seen.
        overlapping_origins: the largest distance, in origins, at which two forecasts share steps.
        season_length: steps of a season.
        data_fingerprint: of the data, as the newer version reads it.
    """

    project: str
    first: ComparedVersion
    second: ComparedVersion
    scores: tuple[VersionScore, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]
    levels: tuple[int, ...]
    horizon: int
    origins: int
    first_origin: str
    last_origin: str
    rows: int
    overlapping_origins: int
    season_length: int
    data_fingerprint: str

    @property
    def overall(self) -> VersionScore:
        """The scores of all common features together."""
        return self.scores[0]

    @property
    def features(self) -> tuple[VersionScore, ...]:
        """The scores of each feature."""
        return tuple(score for score in self.scores if score.feature is not None)

    def to_json(self) -> dict[str, Any]:
        """As values that JSON can represent."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> VersionComparison:
        """The inverse of `to_json`."""
        values = dict(data)
        for side in ("first", "second"):
            groups = {group: tuple(names) for group, names in values[side]["groups"].items()}
            values[side] = ComparedVersion(**{**values[side], "groups": groups})
        values["scores"] = tuple(VersionScore(**{**own, "by_lead": tuple(own["by_lead"])}) for own in values["scores"])
        values["differences"] = tuple(Difference(**own) for own in values["differences"])
        for name in ("notes", "levels"):
            values[name] = tuple(values[name])
        return VersionComparison(**values)
