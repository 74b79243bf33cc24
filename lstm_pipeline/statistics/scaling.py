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
SMALLEST, LARGEST = 1e-200, 1e150
"""The scales that can be used. Beyond them, squares and quotients of float64 numbers become 0 or infinite."""

_SQUARABLE = 1e-100, 1e100  # beyond them, the squares that a standard deviation needs lose digits, vanish or overflow


@dataclass(frozen=True)
class Scaler:
    """An affine map of each feature: scaled = (value - centre) / scale.

    Attributes:
        kind: standard (mean, standard deviation), minmax (minimum, range), robust (median, interquartile range), none.
        names: (F,) features.
        centre, scale: (F,) in the features' own units.
        constant: features that do not vary in the training rows; under `robust` also those whose interquartile range
            is 0. Their scale is 1.
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
            columns, kind = data["columns"], data["kind"]
            found = [(column["centre"], column["scale"], column["constant"]) for column in columns.values()]
            wrong = [name for name, column in zip(columns, found, strict=True) if not _is_column(*column)]
            centre = np.array([float(centre) for centre, _, _ in found])
            scale = np.array([float(scale) for _, scale, _ in found])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DataError(f"invalid scaler: {error!r}") from None
        if kind not in KINDS:
            raise DataError(f"invalid scaler: expected one of the kinds {listed(KINDS)}, found {kind!r}")
        if wrong:
            raise DataError(
                f"invalid scaler: expected a finite centre, a scale from {SMALLEST:g} to {LARGEST:g} and constant true "
                f"or false, found something else for {listed(wrong)}"
            )
        return Scaler(kind, tuple(columns), centre, scale, tuple(name for name in columns if columns[name]["constant"]))


def _is_column(centre: Any, scale: Any, constant: Any) -> bool:
    """Whether the values of a column in a scaler's file can be used."""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (centre, scale))
    return numbers and bool(np.isfinite(float(centre))) and SMALLEST <= scale <= LARGEST and isinstance(constant, bool)


def fit_scaler(values: Float64, names: Sequence[str], kind: str) -> Scaler:
    """Fits a scaler in float64.

    Args:
        values: (N, F) training rows in the features' own units; NaN is ignored.
        kind: standard, minmax, robust, or none.

    Raises:
        DataError: a column has no values, or its scale is not between `SMALLEST` and `LARGEST`.
    """
    width = len(names)
    if kind == "none":
        return Scaler(kind, tuple(names), np.zeros(width), np.ones(width))
    with warnings.catch_warnings(), np.errstate(over="ignore", under="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # columns without values are reported below
        centre, scale = _centre_and_scale(values, kind)
        spread = np.nanmax(values, axis=0) - np.nanmin(values, axis=0)
    unfit = [name for name, *ends in zip(names, centre, spread, strict=True) if not np.isfinite(ends).all()]
    if unfit:
        raise DataError(
            f"columns without values in the training rows, or with values too large to scale: {listed(unfit)}"
        )
    # rounding in a long sum can leave a constant column a tiny spread, so the spread is compared with the column's size
    varies_by = np.minimum(spread, scale) if kind == "robust" else spread
    constant = ~(varies_by > 1e-12 * np.abs(centre))
    scale = np.where(constant, 1.0, scale)
    beyond = [
        f"{name} ({kind} scale {found:.3g})"
        for name, found in zip(names, scale, strict=True)
        if not SMALLEST <= found <= LARGEST
    ]
    if beyond:
        raise DataError(
            f"scales must be from {SMALLEST:g} to {LARGEST:g}, found columns with others in the training rows: "
            f"{listed(beyond)}; multiply them by a constant in a select_expression, or list them in drop_cols"
        )
    flagged = tuple(name for name, flag in zip(names, constant, strict=True) if flag)
    return Scaler(kind, tuple(names), np.asarray(centre, np.float64), np.asarray(scale, np.float64), flagged)


def _centre_and_scale(values: Float64, kind: str) -> tuple[Float64, Float64]:
    """The centre and the scale of each column, (F,) each, without any limit on the scale."""
    from sklearn.preprocessing import (  # takes a second to import
        MinMaxScaler,
        RobustScaler,
        StandardScaler,
    )

    if kind == "minmax":
        minmax = MinMaxScaler().fit(values)
        return minmax.data_min_, minmax.data_range_
    if kind == "robust":
        low, high = np.nanpercentile(values, (25.0, 75.0), axis=0)
        return RobustScaler().fit(values).center_, high - low  # its scale_ is 1 for any range below 2e-15
    size = np.nanmax(np.abs(values), axis=0)
    squarable = (size == 0) | ((size >= _SQUARABLE[0]) & (size <= _SQUARABLE[1]))
    unit = np.where(squarable | ~np.isfinite(size), 1.0, size)
    standard = StandardScaler().fit(values / unit)
    return standard.mean_ * unit, standard.scale_ * unit
