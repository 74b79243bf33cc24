"""The result: an explanation, its JSON and its table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from lstm_pipeline.arrays import Float64
from lstm_pipeline.errors import DataError
from lstm_pipeline.explaining.attribution import Attribution
from lstm_pipeline.explaining.importance import Importance
from lstm_pipeline.explaining.lags import Block
from lstm_pipeline.explaining.shares import Shares
from lstm_pipeline.explaining.what_if import WhatIf

FORMAT = 1
"""Of the JSON."""

PERMUTATION, GRADIENTS, SHARE, WHAT_IF = "permutation", "integrated gradients", "share", "what-if"
_SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("version", pa.string()),
        ("feature", pa.string()),
        ("input", pa.string()),
        ("first_lag", pa.int64()),
        ("last_lag", pa.int64()),
        ("step", pa.string()),
        ("value", pa.float64()),
        ("floor", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Explanation:
    """Why a version forecasts what it does.

    Attributes:
        project, version: what is explained.
        importance: which inputs matter, measured on rows that the version has not seen.
        attribution: what each input adds to one forecast.
        shares: feature → what its forecast is made of → its weight.
        what_if: the forecast with another input; None if the user asked for none.
        notes: what a person should know about these numbers.
    """

    project: str
    version: str
    importance: Importance
    attribution: Attribution
    shares: Shares
    what_if: WhatIf | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What `json.dumps` takes; numbers that are not finite are None."""
        importance, attribution = self.importance, self.attribution
        found: dict[str, Any] = {
            "format": FORMAT,
            "project": self.project,
            "version": self.version,
            "features": list(importance.features),
            "inputs": list(importance.inputs),
            "lags": [[block.first, block.last] for block in importance.blocks],
            "importance": {
                **{name: _plain(getattr(importance, name)) for name in _ARRAYS[Importance]},
                "together": [
                    {"inputs": list(names), "rise": _plain(rise)}
                    for names, rise in zip(importance.together, importance.together_rise, strict=True)
                ],
                **{name: getattr(importance, name) for name in ("horizon", "origins", "repeats", "seed")},
            },
            "attribution": {
                **{name: _plain(getattr(attribution, name)) for name in _ARRAYS[Attribution]},
                "steps": list(attribution.steps),
                "origin": attribution.origin,
            },
            "shares": self.shares,
            "notes": list(self.notes),
        }
        if self.what_if is not None:
            found["what_if"] = {
                "changes": list(self.what_if.changes),
                "steps": list(self.what_if.steps),
                "before": _plain(self.what_if.before),
                "after": _plain(self.what_if.after),
            }
        return found

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Explanation:
        """The inverse of `to_json`.

        Raises:
            DataError: the data is no explanation, or one of a later release.
        """
        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            found = data.get("format") if isinstance(data, Mapping) else type(data).__name__
            raise DataError(f"expected an explanation of format {FORMAT}, found {found}; explain again")
        try:
            return _from_json(data)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"the explanation is damaged: {error!r}; explain again") from None

    def table(self) -> pa.Table:
        """One row for each number, whose `kind` says what it is.

        `permutation` is a rise of the scaled error; `integrated gradients` and `what-if` are in the feature's own
        units; `share` is a weight from 0 to 1. Lag 0 is what is known of the steps that are forecast.
        """
        return pa.Table.from_pylist([{"version": self.version, **row} for row in self._rows()], _SCHEMA)

    def _rows(self) -> Iterator[dict[str, Any]]:
        matrices = ((PERMUTATION, self.importance.rise), (GRADIENTS, self.attribution.values))
        for kind, values in matrices:
            for place in np.ndindex(values.shape):
                feature, name, block = place
                lags, floor = self.importance.blocks[block], float(self.importance.floor[feature])
                yield {
                    "kind": kind,
                    "feature": self.importance.features[feature],
                    "input": self.importance.inputs[name],
                    "first_lag": lags.first,
                    "last_lag": lags.last,
                    "value": _finite(float(values[place])),
                    "floor": _finite(floor) if kind == PERMUTATION else None,
                }
        for feature_name, parts in self.shares.items():
            for part, weight in parts.items():
                yield {"kind": SHARE, "feature": feature_name, "input": part, "value": weight}
        if self.what_if is not None:
            for row, step in enumerate(self.what_if.steps):
                for column, feature_name in enumerate(self.what_if.features):
                    yield {
                        "kind": WHAT_IF,
                        "feature": feature_name,
                        "input": "; ".join(self.what_if.changes),
                        "step": step,
                        "value": _finite(float(self.what_if.change[row, column])),
                    }


_ARRAYS: dict[type, tuple[str, ...]] = {
    Importance: ("rise", "error", "floor", "input_floor", "block_floor"),
    Attribution: ("values", "forecast", "baseline", "gap"),
}


def _from_json(data: Mapping[str, Any]) -> Explanation:
    features, inputs = tuple(data["features"]), tuple(data["inputs"])
    blocks = tuple(Block(int(first), int(last)) for first, last in data["lags"])
    shared: dict[str, Any] = {"features": features, "inputs": inputs, "blocks": blocks}
    importance, attribution, changed = dict(data["importance"]), dict(data["attribution"]), data.get("what_if")
    for own, kind in ((importance, Importance), (attribution, Attribution)):
        own |= {name: _array(own[name]) for name in _ARRAYS[kind]}
    expected = (len(features), len(inputs), len(blocks))
    for name, values in (("rise", importance["rise"]), ("values", attribution["values"])):
        if values.shape != expected:
            raise ValueError(f"expected {name} of shape {expected}, found {values.shape}")
    groups = importance["together"]
    importance["together"] = tuple(tuple(group["inputs"]) for group in groups)
    importance["together_rise"] = _array([group["rise"] for group in groups]).reshape(len(groups), len(features))
    attribution["steps"] = tuple(attribution["steps"])
    return Explanation(
        project=data["project"],
        version=data["version"],
        importance=Importance(**shared, **importance),
        attribution=Attribution(**shared, **attribution),
        shares={feature: dict(parts) for feature, parts in data["shares"].items()},
        what_if=None
        if changed is None
        else WhatIf(
            tuple(changed["changes"]),
            features,
            tuple(changed["steps"]),
            _array(changed["before"]),
            _array(changed["after"]),
        ),
        notes=tuple(data["notes"]),
    )


def _plain(values: Float64) -> Any:
    """Nested lists, with None for what is not finite."""
    return np.where(np.isfinite(values), values, None).tolist()  # type: ignore[call-overload]


def _array(values: Any) -> Float64:
    return np.array(values, dtype=np.float64)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
