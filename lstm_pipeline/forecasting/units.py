"""The units of a roll: all networks step together, although each was trained in the units of its own scaler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lstm_pipeline.arrays import Float32
from lstm_pipeline.forecasting.group_models import GroupModel
from lstm_pipeline.statistics import Scaler

if TYPE_CHECKING:
    from lstm_pipeline.network.rollout import RollModel


def common_scaler(models: Sequence[GroupModel]) -> Scaler:
    """The scaler whose units a roll uses: the first group model's."""
    return _in_order(models[0])


def roll_models(models: Sequence[GroupModel]) -> list[RollModel]:
    """The group models with the affine maps from the roll's units to their own and back."""
    from lstm_pipeline.network.rollout import RollModel  # TensorFlow takes seconds to import

    common = common_scaler(models)
    places = {name: place for place, name in enumerate(common.names)}
    maps: dict[int, tuple[Scaler, Float32, Float32]] = {}  # models often share a scaler
    found = []
    for model in models:
        if id(model.scaler) not in maps:
            maps[id(model.scaler)] = (_in_order(model), *_input_map(model, common, places))
        own, input_scale, input_shift = maps[id(model.scaler)]
        columns = np.array([places[name] for name in model.metadata.predicted_features], np.int64)
        found.append(
            RollModel(
                model=model.source,
                columns=columns,
                input_scale=input_scale,
                input_shift=input_shift,
                output_scale=(own.scale[columns] / common.scale[columns]).astype(np.float32),
                output_shift=((own.centre - common.centre)[columns] / common.scale[columns]).astype(np.float32),
            )
        )
    return found


def _input_map(model: GroupModel, common: Scaler, places: dict[str, int]) -> tuple[Float32, Float32]:
    """(F + K,) scale and shift of each column of a row: features, calendar, future covariates."""
    own, ones = _in_order(model), np.ones(len(model.metadata.calendar_features))
    scale, shift = common.scale / own.scale, (common.centre - own.centre) / own.scale
    planned = [places[name] for name in model.metadata.future_covariates]
    scales, shifts = [scale, ones, scale[planned]], [shift, 0 * ones, shift[planned]]
    return np.concatenate(scales).astype(np.float32), np.concatenate(shifts).astype(np.float32)


def _in_order(model: GroupModel) -> Scaler:
    """A model's scaler of the features in the order of the rows."""
    names = tuple(model.metadata.series_features)
    return model.scaler if model.scaler.names == names else model.scaler.subset(names)
