"""The options of one group's network that a user can set (`models_config`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Network = Literal["joint", "segments", "features", "both", "segments_and_features", "linear"]


class SpecModel(BaseModel):
    """Base of every part of a spec: unknown keys are errors, values are never converted, instances are immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ModelOptions(SpecModel):
    """Architecture and training options of one group's network.

    The first sixteen have the documented defaults. The others did not exist in the documented system. Their defaults
    were chosen by measurement (`benchmarks.accuracy`), and `DOCUMENTED` turns them off.
    """

    units: Count = Field(32, description="LSTM cells per layer and direction; at least 1")
    num_layers: Count = Field(2, description="number of stacked LSTM layers; at least 1")
    dropout: Fraction = Field(0.2, description="share of the activations dropped between layers; from 0 to below 1")
    recurrent_dropout: Fraction = Field(
        0.0, description="share of the recurrent activations dropped in each LSTM step; from 0 to below 1"
    )
    batch_norm: bool = Field(True, description="whether to apply batch normalisation after each LSTM layer")
    activation: Literal["tanh", "relu"] = Field("tanh", description="activation function of the LSTM cells")
    learning_rate: Positive = Field(0.0002, description="initial learning rate of the optimizer; above 0")
    learning_rate_schedule: Literal["constant", "reduce_on_plateau", "cosine", "exponential"] = Field(
        "constant", description="how the learning rate changes during training"
    )
    bidirectional: bool = Field(
        True, description="whether to read the window in both directions; neither direction reads past its end"
    )
    optimizer: Literal["adam", "sgd", "rmsprop", "adagrad", "adadelta", "adamax", "nadam"] = Field(
        "adam", description="Keras optimizer that trains the network"
    )
    l2_reg: NonNegative = Field(
        0.0001, description="weight of the L2 penalty on the LSTM and output kernels; at least 0, 0 turns it off"
    )
    attention_heads: int = Field(1, ge=0, description="number of attention heads; at least 0, 0 turns attention off")
    attention_type: Literal["self", "luong"] = Field(
        "self", description="self: multi-head attention over the sequence; luong: the last state queries the sequence"
    )
    loss: Literal["mse", "mae", "huber"] = Field(
        "mse", description="training loss over the group's features: squared error, absolute error or Huber loss"
    )
    min_delta: NonNegative = Field(
        0.0, description="smallest decrease of the validation loss that early stopping counts as progress; at least 0"
    )
    scaler: Literal["standard", "minmax", "robust"] = Field(
        "standard",
        description="how features are scaled: standard (mean and standard deviation), minmax (to the range 0 to 1) or "
        "robust (median and interquartile range)",
    )

    window_normalization: Literal["none", "last", "mean", "standard", "seasonal"] = Field(
        "last",
        description="level that is subtracted from each window and added back to its forecast: its last row, its "
        "mean, or the row one season before; standard: its mean, and the window is divided by its standard deviation; "
        "none: windows stay as they are",
    )
    highway: Literal["none", "shared", "per_feature", "seasonal"] = Field(
        "shared",
        description="linear map from window to forecast that is added to the network's output; shared: one for all "
        "features; per_feature: one per feature; seasonal: one for all features, between rows with the same place in "
        "the season; none: no such map",
    )
    network: Network | None = Field(
        None,
        description="joint: the documented network; segments: one LSTM shared by all features that reads a segment of "
        "rows per LSTM step; features: an LSTM whose steps are the features, each as its own linear forecast (the "
        "highway's, which is then not added); both: joint and segments, added; segments_and_features: the mean of "
        "these two, each trained as if alone; linear: the highway alone; null: segments, or both if an option of the "
        "documented network is set, beside a linear map of a longer window",
    )
    segment_length: Count = Field(
        24, description="rows per segment; at least 1, limited to the window and to output_chunk_length"
    )
    segment_context: bool = Field(
        True, description="whether each feature of the segment network attends to all other features"
    )
    segment_units: int = Field(64, ge=2, description="LSTM cells of the segment network; at least 2")
    feature_units: Count = Field(128, description="LSTM cells of the feature network; at least 1")
    known_future: bool | None = Field(
        None,
        description="whether calendar and covariates of the forecast steps are inputs; null: yes if a pass forecasts "
        "more than one step",
    )
    output_chunk_length: Count | None = Field(
        None,
        description="steps forecast in one pass of the network; at least 1; null: the forecast horizon, or fewer if "
        "the parts of the split are short",
    )
    rollout_steps: Count = Field(1, description="consecutive passes that training rolls through; at least 1")
    members: Count = Field(
        1, description="number of networks, trained with different seeds, whose forecasts are averaged; at least 1"
    )
    refit: bool = Field(
        False, description="whether to train again on all rows after the evaluation, for the best number of epochs"
    )

    @property
    def chosen_network(self) -> Network:
        """`network`, or what null stands for: setting an option of the joint network includes it."""
        return self.network or ("both" if _JOINT_OPTIONS & self.model_fields_set else "segments")

    @property
    def averaged(self) -> tuple[ModelOptions, ...]:
        """The options of the networks whose forecasts are averaged, each trained as if it were alone."""
        if self.chosen_network != "segments_and_features":
            return (self,)
        return self.model_copy(update={"network": "segments"}), self.model_copy(update={"network": "features"})

    @property
    def parts(self) -> frozenset[str]:
        """What is added up in one of the averaged networks: joint, segments, features."""
        return _PARTS[self.chosen_network]


_PARTS: dict[str, frozenset[str]] = {
    "joint": frozenset({"joint"}),
    "segments": frozenset({"segments"}),
    "features": frozenset({"features"}),
    "both": frozenset({"joint", "segments"}),
    "linear": frozenset(),
}
_JOINT_OPTIONS = {
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
"""The documented network, rolled forward one step at a time."""
