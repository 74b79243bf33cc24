"""The summary of live accuracy: a small JSON file, which alone is read by whoever looks for reasons to retrain."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.projects import Project
from lstm_pipeline.registry import EnsembleRecord
from lstm_pipeline.spec import AccuracyRule
from lstm_pipeline.storage import from_json, to_json
from lstm_pipeline.verification.scoring import COMPARED_SQUARES, COUNT, NAIVE_SQUARES, SQUARES, Block
from lstm_pipeline.verification.tally import by_age


@dataclass(frozen=True)
class LatestError:
    """An error over the latest complete forecasts.

    Attributes:
        rmse: root mean squared error over all their steps, in the feature's own units; None without a value.
        forecasts: how many forecasts these are.
    """

    rmse: float | None
    forecasts: int


@dataclass(frozen=True)
class FeatureAccuracy:
    """How accurate the latest forecasts of a feature were.

    Only complete forecasts count, all of whose steps have come, and only those that the model in use has made: a group
    that was retrained starts anew, while its forecasts in a version that took its model over go on counting.

    Attributes:
        group: the group that predicts it.
        run_id: the run that trained the model in use.
        rmse: over the latest forecasts, in the feature's own units; None without one.
        forecasts: how many forecasts these are.
        test_rmse: that of the version in use on its test part, from origins over the same horizon; None if unknown.
        factor: `rmse` divided by `test_rmse`; None if either is unknown or the latter is 0.
        skill: of the latest forecasts beside the naive forecasts of the same origins; None if undefined.
        test_skill: that of the version in use on its test part; None if unknown or undefined.
        versions: version → error of its own latest complete forecasts, oldest version first.
    """

    group: str
    run_id: str
    rmse: float | None
    forecasts: int
    test_rmse: float | None
    factor: float | None
    skill: float | None = None
    test_skill: float | None = None
    versions: dict[str, LatestError] = field(default_factory=dict)


@dataclass(frozen=True)
class LiveSummary:
    """How accurate the latest forecasts were.

    Attributes:
        scored_at: when forecasts were last scored.
        version: the version that was in use then; None if there was none.
        last: how many of the latest forecasts count.
        features: feature → its accuracy, of the features that the version in use predicts and that have been forecast.
        remarks: what was left out of the scores and why.
    """

    scored_at: dt.datetime
    version: str | None
    last: int
    features: dict[str, FeatureAccuracy]
    remarks: tuple[str, ...] = ()


def live_accuracy(project: Project) -> LiveSummary | None:
    """The stored summary, which is all that is read; None if forecasts were never scored.

    Raises:
        RegistryError: it is damaged, or the store fails.
    """
    store, path = project.registry.store, project.registry.layout.accuracy
    if not store.exists(path):
        return None
    data = from_json(store.read(path), path)
    try:
        features = {str(name): _feature(values) for name, values in data["features"].items()}
        return LiveSummary(
            dt.datetime.fromisoformat(data["scored_at"]),
            _text(data["version"], optional=True),
            _whole(data["last"]),
            features,
            tuple(_text(remark) for remark in data["remarks"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RegistryError(f"{path} is damaged: {error!r}; it is written anew when forecasts are scored") from None


def _feature(values: Mapping[str, Any]) -> FeatureAccuracy:
    numbers = {name: _number(values[name]) for name in ("rmse", "test_rmse", "factor", "skill", "test_skill")}
    return FeatureAccuracy(
        group=_text(values["group"]),
        run_id=_text(values["run_id"]),
        forecasts=_whole(values["forecasts"]),
        versions={
            str(name): LatestError(_number(error["rmse"]), _whole(error["forecasts"]))
            for name, error in values["versions"].items()
        },
        **numbers,
    )


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"expected a number, found {value!r}")
    return float(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"expected a whole number, found {value!r}")
    return value


def _text(value: Any, *, optional: bool = False) -> Any:
    if not isinstance(value, str) and not (optional and value is None):
        raise ValueError(f"expected text, found {value!r}")
    return value


def store_summary(project: Project, summary: LiveSummary) -> None:
    """Writes the summary as a whole.

    Raises:
        RegistryError: the store fails.
    """
    data = {**asdict(summary), "scored_at": summary.scored_at.isoformat(), "remarks": list(summary.remarks)}
    project.registry.store.write(project.registry.layout.accuracy, to_json(data))


def summarised(project: Project, blocks: Sequence[Block], now: dt.datetime, remarks: Sequence[str] = ()) -> LiveSummary:
    """The summary of scored blocks.

    Args:
        blocks: by time.

    Raises:
        RegistryError: the version in use cannot be read.
    """
    last, record = _last(project), _record_in_use(project)
    if record is None:
        return LiveSummary(now, None, last, {}, tuple(remarks))
    metadata = record.metadata
    runs = {pinned.model_name: pinned.run_id for pinned in metadata.individual_models}
    tested = metadata.feature_metrics.get("rolled", {})
    features = {}
    for name in dict.fromkeys(name for block in blocks for name in block.features):
        made = _complete(blocks, name, last)
        group = next((one.group for one in reversed(made) if runs.get(one.group) == one.run_id), None)
        if group is None:  # no forecast of the model in use is complete yet
            group = next((block.features[name].group for block in reversed(blocks) if name in block.features), None)
        if group is None or group not in runs or name not in tested:
            continue
        latest = _latest([one for one in made if (one.group, one.run_id) == (group, runs[group])], last)
        live, test = _error(latest), tested[name].get("rmse")
        features[name] = FeatureAccuracy(
            group=group,
            run_id=runs[group],
            rmse=live.rmse,
            forecasts=live.forecasts,
            test_rmse=test,
            factor=live.rmse / test if live.rmse is not None and test else None,
            skill=_skill(latest),
            test_skill=tested[name].get("skill"),
            versions={
                version: _error(_latest([one for one in made if one.version == version], last))
                for version in by_age({one.version for one in made})
            },
        )
    return LiveSummary(now, record.version, last, features, tuple(remarks))


def _last(project: Project) -> int:
    """How many of the latest forecasts count."""
    automation = project.spec.automation
    retrain = automation.retrain if automation else None
    rule = retrain.accuracy if retrain else None
    return (rule or AccuracyRule()).forecasts


def _record_in_use(project: Project) -> EnsembleRecord | None:
    """The record of the version that the next forecast will be made with; None if there is none yet."""
    wanted, known = project.spec.prediction.version, project.registry.versions()
    if not known or (wanted is not None and wanted not in known):
        return None
    return project.registry.ensemble_record(project.registry.resolve(wanted))


@dataclass(frozen=True)
class _Made:
    """A complete forecast of a feature: its origin, when it was made, by what, and the sums of its errors."""

    origin: int
    predicted: int
    version: str
    group: str
    run_id: str
    sums: tuple[float, ...]


def _complete(blocks: Sequence[Block], name: str, last: int) -> list[_Made]:
    """Each version's latest complete forecasts of a feature of which a value has come true, at least `last` of them."""
    found: dict[str, list[_Made]] = {}
    for block in reversed(blocks):
        made, author = found.setdefault(block.version, []), block.features.get(name)
        if author is None or len(made) >= last:  # the latest of all are among each version's latest
            continue
        column = list(block.features).index(name)
        for row in np.flatnonzero(block.complete & (block.by_origin[COUNT, :, column] > 0)):
            times = int(block.origins[row]), int(block.predicted[row])
            sums = tuple(block.by_origin[:, row, column].tolist())
            made.append(_Made(*times, block.version, author.group, author.run_id, sums))
    return sorted((one for made in found.values() for one in made), key=lambda one: (one.origin, one.predicted))


def _latest(made: Sequence[_Made], last: int) -> list[_Made]:
    """The latest forecasts; of several from the same origin the one that was made last."""
    by_origin = {one.origin: one for one in sorted(made, key=lambda one: one.predicted)}
    return [by_origin[origin] for origin in sorted(by_origin)[-last:]]


def _error(made: Sequence[_Made]) -> LatestError:
    if not made:
        return LatestError(None, 0)
    return LatestError(_finite(math.sqrt(_sum(made, SQUARES) / _sum(made, COUNT))), len(made))


def _skill(made: Sequence[_Made]) -> float | None:
    baseline = _sum(made, NAIVE_SQUARES)
    return _finite(1 - _sum(made, COMPARED_SQUARES) / baseline) if baseline > 0 else None


def _sum(made: Sequence[_Made], kind: int) -> float:
    return sum(one.sums[kind] for one in made)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
