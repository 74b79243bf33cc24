"""The names that the product adds beside the user's own columns, in one list.

A forecast has the timestamp column, the predicted features, the bounds of their intervals, and two columns that say
when and by which version it was made. A network reads the features, the calendar and the next step's covariates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lstm_pipeline.statistics import interval_columns
from lstm_pipeline.wording import listed

PREDICTED_AT, MODEL_VERSION = "_predicted_at", "model_version"
FORECAST_COLUMNS = {PREDICTED_AT: "when the forecast was made", MODEL_VERSION: "the version that made it"}
"""Column that every forecast has besides its features → what it says."""


def next_name(covariate: str) -> str:
    """The name of the network's input that holds a covariate's value at the next step."""
    return f"next {covariate}"


def forecast_names(predicted: Sequence[str], levels: Sequence[int]) -> dict[str, str]:
    """Every column that a forecast adds beside the timestamp and the features → what it is, for messages."""
    bounds = {
        column: f"a bound of the {level} % interval of '{name}'"
        for level in levels
        for name in predicted
        for column in interval_columns(name, level)
    }
    return FORECAST_COLUMNS | bounds


def input_names(calendar: Sequence[str], covariates: Sequence[str]) -> dict[str, str]:
    """Every input of a network besides the features → what it is, for messages."""
    following = {next_name(name): f"the next value of '{name}'" for name in covariates}
    return dict.fromkeys(calendar, "a calendar feature") | following


def output_conflicts(timestamp_col: str, predicted: Sequence[str], levels: Sequence[int]) -> Iterator[tuple[str, str]]:
    """The user's names that a forecast cannot have beside those that the product adds: (column, message).

    Letters' case does not matter, as it does not in SQL.
    """
    added = {name.lower(): (name, what) for name, what in forecast_names(predicted, levels).items()}
    for column in (timestamp_col, *predicted):
        if column.lower() in added:
            name, what = added[column.lower()]
            role = "the timestamp column" if column == timestamp_col else "a predicted feature"
            remedy = f"rename it in a select_expression: `{column}` AS another_name"
            if column != timestamp_col:
                remedy += f", or leave it out: drop_cols: [{column}]"
            if name not in FORECAST_COLUMNS:
                remedy += ", or remove the level from prediction_intervals"
            yield column, f"'{column}' is {role}, but every forecast has a column '{name}' ({what}); {remedy}"


def input_conflicts(names: Sequence[str], calendar: Sequence[str], covariates: Sequence[str]) -> Iterator[str]:
    """Why a network could not tell its inputs apart: a feature has the name of one that the product adds."""
    added = input_names(calendar, covariates)
    found = [name for name in names if name in added]
    if found:
        kinds = sorted({added[name] for name in found})
        yield (
            f"features have the names of inputs that the product adds ({listed(kinds)}): {listed(found)}. If a column "
            f"says the same as the timestamp, leave it out: drop_cols: [{listed(found)}]; otherwise rename it in a "
            f"select_expression: `{found[0]}` AS another_name, or set calendar_features without it"
        )
