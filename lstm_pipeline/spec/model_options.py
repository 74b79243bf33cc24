"""What a user can set for one group's network (`models_config`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class SpecModel(BaseModel):
    """Base of everything a user writes: no unknown keys, no silent conversions, immutable once read."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ModelOptions(SpecModel):
    """Architecture and training options of one group's network.

    The first sixteen have the documented defaults. Those after them did not exist in the documented system; their
    defaults were chosen by measurement (`benchmarks.accuracy`), and `DOCUMENTED` turns them off.
    """

    units: Count = Field(32, description="LSTM cells in each layer and direction")
    num_layers: Count = Field(2, description="stacked LSTM layers")
    dropout: Fraction = Field(0.2, description="share of connections dropped between layers")
    recurrent_dropout: Fraction = Field(0.0, description="share of recurrent connections dropped")
    batch_norm: bool = Field(True, description="batch normalisation after each LSTM layer")
    activation: Literal["tanh", "relu"] = "tanh"
    learning_rate: Positive = 0.0002
    learning_rate_schedule: Literal["constant", "reduce_on_plateau", "cosine", "exponential"] = "constant"
    bidirectional: bool = Field(True, description="read the window in both directions (never past its end)")
    optimizer: Literal["adam", "sgd", "rmsprop", "adagrad", "adadelta", "adamax", "nadam"] = "adam"
    l2_reg: NonNegative = Field(0.0001, description="L2 penalty on LSTM and output kernels")
    attention_heads: int = Field(1, ge=0, description="0 turns attention off")
    attention_type: Literal["self", "luong"] = "self"
    loss: Literal["mse", "mae", "huber"] = "mse"
    min_delta: NonNegative = Field(0.0, description="smallest drop of validation loss that counts as progress")
    scaler: Literal["standard", "minmax", "robust"] = "standard"

    window_normalization: Literal["none", "last", "mean", "standard", "seasonal"] = Field(
        "last", description="what is taken off each window and put back on its forecast"
    )
    highway: Literal["none", "shared", "per_feature", "seasonal"] = Field(
        "shared", description="a linear map from window to forecast beside the network"
    )
    network: Literal["joint", "segments", "both"] | None = Field(
        None,
        description="joint: the documented one; segments: one LSTM that all features share, a segment of rows a step; "
        "null: segments, or both if an option of the documented network is set",
    )
    segment_length: Count = Field(24, description="rows of a segment, at most the window and the steps a roll")
    segment_context: bool = Field(True, description="the segment network's features attend to all others")
    segment_units: int = Field(64, ge=2, description="LSTM cells of the segment network")
    known_future: bool | None = Field(
        None, description="calendar and covariates of the forecast steps enter; null: with more than one step a roll"
    )
    output_chunk_length: Count | None = Field(None, description="steps a roll; null: the forecast horizon")
    rollout_steps: Count = Field(1, description="rolls that training goes through")
    members: Count = Field(1, description="networks of different seeds that are averaged")
    refit: bool = Field(False, description="after the evaluation, train on all rows for the best number of epochs")

    @property
    def parts(self) -> Literal["joint", "segments", "both"]:
        """Which networks a forecast is the sum of; what a user sets an option of is there."""
        return self.network or ("both" if _JOINT & self.model_fields_set else "segments")


_JOINT = {
    *("units", "num_layers", "recurrent_dropout", "batch_norm", "activation", "bidirectional"),
    *("attention_heads", "attention_type"),
}
DOCUMENTED: dict[str, Any] = {
    "window_normalization": "none",
    "highway": "none",
    "network": "joint",
    "known_future": False,
    "output_chunk_length": 1,
    "rollout_steps": 1,
    "members": 1,
    "refit": False,
}
"""The documented network and its roll, one step at a time."""
