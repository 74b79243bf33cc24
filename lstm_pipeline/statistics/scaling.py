"""Scaling of features, fitted once on the training rows and stored by column name."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstm_pipeline.arrays import Float64
from lstm_pipeline.errors import DataError
from lstm_pipeline.wording import listed

KINDS = ("standard", "minmax", "robust", "none")


@dataclass(frozen=True)
class Scaler:
    """An affine map of each feature: scaled = (value - centre) / scale.

    Attributes:
        kind: standard (mean, standard deviation), minmax (minimum, range), robust (median, interquartile range), none.
        names: (F,) features.
        centre, scale: (F,) in the features' own units.
        constant: features that do not vary in the training rows; their scale is 1.
    """

    kind: str
    names: tuple[str, ...]
    centre: Float64
    scale: Float64
    constant: tuple[str, ...] = ()

    def transform(self, values: Float64) -> Float64:
        """(…, F) own units → scaled."""
        return (values - self.centre) / self.scale

    def inverse(self, scaled: Float64) -> Float64:
        """(…, F) scaled → own units."""
        return scaled * self.scale + self.centre

    def subset(self, names: Sequence[str]) -> Scaler:
        """The scaler of these features, in this order."""
        at = [self.names.index(name) for name in names]
        constant = tuple(name for name in names if name in self.constant)
        return Scaler(self.kind, tuple(names), self.centre[at], self.scale[at], constant)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-serialisable dictionary, by column name."""
        columns = {
            name: {"centre": float(centre), "scale": float(scale), "constant": name in self.constant}
            for name, centre, scale in zip(self.names, self.centre, self.scale, strict=True)
        }
        return {"kind": self.kind, "columns": columns}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Scaler:
        """The inverse of `to_dict`.

        Raises:
            DataError: the data does not describe a scaler, or has a centre or scale that is not valid.
        """
        try:
            columns = data["columns"]
            centre = np.array([float(column["centre"]) for column in columns.values()])
            scale = np.array([float(column["scale"]) for column in columns.values()])
            constant = tuple(name for name, column in columns.items() if column["constant"])
            kind = data["kind"]
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DataError(f"invalid scaler: {error!r}") from None
        if kind not in KINDS:
            raise DataError(f"invalid scaler: expected one of the kinds {listed(KINDS)}, found {kind!r}")
        if not (np.isfinite(centre).all() and np.isfinite(scale).all() and (scale > 0).all()):
            raise DataError("invalid scaler: centres and scales must be finite, and scales must be positive")
        return Scaler(kind, tuple(columns), centre, scale, constant)


def fit_scaler(values: Float64, names: Sequence[str], kind: str) -> Scaler:
    """Fits a scaler in float64.

    Args:
        values: (N, F) training rows in the features' own units; NaN is ignored.
        kind: standard, minmax, robust, or none.

    Raises:
        DataError: a column has no values, or values too large to scale.
    """
    from sklearn.preprocessing import (  # takes a second to import
        MinMaxScaler,
        RobustScaler,
        StandardScaler,
    )

    width = len(names)
    if kind == "none":
        return Scaler(kind, tuple(names), np.zeros(width), np.ones(width))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # columns without values are reported below
        if kind == "minmax":
            minmax = MinMaxScaler().fit(values)
            centre, scale = minmax.data_min_, minmax.data_range_
        elif kind == "robust":
            robust = RobustScaler().fit(values)
            centre, scale = robust.center_, robust.scale_
        else:
            standard = StandardScaler().fit(values)
            centre, scale = standard.mean_, standard.scale_
        spread = np.nanmax(values, axis=0) - np.nanmin(values, axis=0)
    unfit = [name for name, *ends in zip(names, centre, spread, strict=True) if not np.isfinite(ends).all()]
    if unfit:
        raise DataError(
            f"columns without values in the training rows, or with values too large to scale: {listed(unfit)}"
        )
    # rounding in a long sum can leave a constant column a tiny spread, so the spread is compared with the column's size
    constant = ~(spread > 1e-12 * np.abs(centre))
    scale = np.where(constant | ~(scale > 0), 1.0, scale)
    flagged = tuple(name for name, flag in zip(names, constant, strict=True) if flag)
    return Scaler(kind, tuple(names), np.asarray(centre, np.float64), np.asarray(scale, np.float64), flagged)
