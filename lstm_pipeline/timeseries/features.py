"""Which columns are predicted, by which group, and which only serve as context."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import pyarrow as pa

from lstm_pipeline.errors import DataError, Problem, told
from lstm_pipeline.spec import DEFAULT_GROUP, Bound, TrainingStep
from lstm_pipeline.timeseries.calendar import calendar_names
from lstm_pipeline.timeseries.names import input_conflicts, output_conflicts
from lstm_pipeline.wording import Hints, counted, listed, plain

MOST_GROUPS = 30
"""Of more groups than this, a list of what columns are used for gives the names alone."""


@dataclass(frozen=True)
class FeatureSet:
    """The features of a project, resolved against its data.

    Attributes:
        groups: group → the features it predicts.
        context: numeric inputs that no group predicts.
        integers: features with an integer column; their forecasts are rounded.
        covariates: the context features whose future values the prediction input supplies.
        ignored: column that is neither a feature nor the timestamp → the reason.
    """

    groups: dict[str, tuple[str, ...]]
    context: tuple[str, ...]
    integers: tuple[str, ...]
    covariates: tuple[str, ...] = ()
    ignored: Mapping[str, str] = field(default_factory=dict)

    @property
    def predicted(self) -> tuple[str, ...]:
        """All predicted features, group by group."""
        return tuple(name for members in self.groups.values() for name in members)

    @property
    def names(self) -> tuple[str, ...]:
        """All features in the order of a network's inputs: sorted, whatever the order of groups or files."""
        return tuple(sorted((*self.predicted, *self.context)))

    def lines(self) -> list[str]:
        """What each column of the input is used for, one line per use; of many groups, the last are named alone."""
        shown = [f"{group}: {listed(_plain(members))}" for group, members in islice(self.groups.items(), MOST_GROUPS)]
        if others := list(self.groups)[MOST_GROUPS:]:
            features = sum(len(self.groups[group]) for group in others)
            groups = f"{counted(len(others), 'more group')} with {counted(features, 'feature')}"
            shown.append(f"{groups}: {listed(_plain(others))}")
        covariates = set(self.covariates)
        inputs = [name for name in self.context if name not in covariates]
        if inputs:
            shown.append(f"input only: {listed(_plain(inputs))}")
        if self.covariates:
            shown.append(f"future covariates: {listed(_plain(self.covariates))}")
        if self.ignored:
            reasons = [f"{plain(name)} ({reason})" for name, reason in self.ignored.items()]
            shown.append(f"ignored: {listed(reasons)}")
        return shown


def _plain(names: Iterable[str]) -> list[str]:
    return [plain(name) for name in names]


def ignored_columns(schema: pa.Schema, step: TrainingStep) -> dict[str, str]:
    """Every column that no network reads → the reason, in the order of the table."""
    reasons, dropped = {}, set(step.drop_cols)
    for column in schema:
        if column.name == step.timestamp_col:
            continue
        if column.name in dropped:
            reasons[column.name] = "in drop_cols"
        elif not is_numeric(column.type):
            reasons[column.name] = _kind(column.type)
    return reasons


def _kind(kind: pa.DataType) -> str:
    """What a column that is not numeric holds, in a word."""
    if pa.types.is_dictionary(kind):
        return _kind(kind.value_type)
    words = {
        "text": (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
        "boolean": (pa.types.is_boolean,),
        "date": (pa.types.is_date,),
        "timestamp": (pa.types.is_timestamp,),
        "time": (pa.types.is_time, pa.types.is_duration),
        "no values": (pa.types.is_null,),
        "nested": (pa.types.is_nested,),
        "binary": (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary),
    }
    return next((word for word, tests in words.items() if any(test(kind) for test in tests)), str(kind))


def feature_problems(schema: pa.Schema, step: TrainingStep) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every part of the training step that does not fit its input's columns: (keys within the step, message)."""
    names = schema.names  # a new list each time it is asked
    known, hint = set(names), Hints(names)
    if step.timestamp_col not in known:
        yield ("timestamp_col",), _unknown(step.timestamp_col, names, hint)
    for column in step.drop_cols:
        if column not in known:
            yield ("drop_cols",), _unknown(column, names, hint)
    numeric = _numeric(schema, step)
    numbers, dropped, covariates = set(numeric), set(step.drop_cols), set(step.future_covariates)
    hint = Hints(numeric)
    named: list[tuple[tuple[str, ...], str]] = []
    named += [(("features_to_predict",), column) for column in step.features_to_predict or []]
    named += [(("future_covariates",), column) for column in step.future_covariates]
    for group, members in (step.feature_groups or {}).items():
        named += [(("feature_groups", group), column) for column in members]
    for keys, column in named:
        if column in dropped or column == step.timestamp_col:
            continue  # reported when the spec was read
        if column not in known:
            yield keys, _unknown(column, numeric, hint)
        elif column not in numbers:
            use = "be future covariates; cast it" if keys == ("future_covariates",) else "be predicted"
            yield keys, f"'{column}' is {schema.field(column).type}; only numeric columns can {use}"
    if step.features_to_predict is None and step.feature_groups is not None:
        grouped = {column for members in step.feature_groups.values() for column in members}
        ungrouped = [column for column in numeric if column not in grouped and column not in covariates]
        if ungrouped:
            yield (
                ("feature_groups",),
                f"some numeric columns are not in any group: {listed(ungrouped)}. Add them to a group, list them in "
                "drop_cols, or set features_to_predict to keep them as context",
            )
    yield from _bound_problems(schema, step, numeric)
    yield from _name_problems(step, numeric)
    if not numbers - covariates:
        yield ("timestamp_col",), f"there is no numeric column besides it. Columns: {listed(names)}"


def _bound_problems(
    schema: pa.Schema, step: TrainingStep, numeric: Sequence[str]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Bounds of columns that are not predicted, and bounds that no whole number is within."""
    grouped = [name for members in (step.feature_groups or {}).values() for name in members]
    wanted = step.features_to_predict or grouped or numeric
    covariates, known, numbers = set(step.future_covariates), set(schema.names), set(numeric)
    predicted = dict.fromkeys(name for name in wanted if name in numbers and name not in covariates)
    hint = Hints(predicted)
    for column, bound in step.bounds.items():
        if column not in known:
            yield ("bounds", column), _unknown(column, predicted, hint)
        elif column not in predicted:
            yield ("bounds", column), f"'{column}' is not predicted, and bounds are of forecasts; remove it from bounds"
        elif pa.types.is_integer(schema.field(column).type) and _between(bound):
            yield (
                ("bounds", column),
                f"'{column}' is an integer; expected bounds with a whole number between them, found {bound.min:g} to "
                f"{bound.max:g}; widen them",
            )


def _between(bound: Bound) -> bool:
    """Whether both bounds lie between two whole numbers."""
    return bound.min is not None and bound.max is not None and math.ceil(bound.min) > math.floor(bound.max)


def _name_problems(step: TrainingStep, numeric: Sequence[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Columns with names that the product adds: those of a forecast, and those of the calendar if the spec names it."""
    grouped = [name for members in (step.feature_groups or {}).values() for name in members]
    numbers, covariates = set(numeric), set(step.future_covariates)
    wanted = step.features_to_predict or grouped or [name for name in numeric if name not in covariates]
    for column, message in output_conflicts(step.timestamp_col, [name for name in wanted if name in numbers], ()):
        yield ("timestamp_col" if column == step.timestamp_col else "features_to_predict",), message
    if step.calendar_features is not None:
        calendar = calendar_names("D", step.calendar_features)
        yield from ((("calendar_features",), text) for text in input_conflicts(numeric, calendar, ()))
    yield from ((("future_covariates",), text) for text in input_conflicts(numeric, (), step.future_covariates))


def resolve_features(schema: pa.Schema, step: TrainingStep) -> FeatureSet:
    """Resolves the training step's features against the columns of its input.

    Raises:
        DataError: they do not fit the columns; the message lists every problem.
    """
    problems = [Problem(".".join(keys), message) for keys, message in feature_problems(schema, step)]
    if problems:
        lines = "\n".join(f"  - {line}" for line in told(problems))
        raise DataError(f"the training step does not fit its input:\n{lines}")
    numeric = _numeric(schema, step)
    covariates = set(step.future_covariates)
    wanted = step.features_to_predict or [name for name in numeric if name not in covariates]
    groups = step.feature_groups or {DEFAULT_GROUP: wanted}
    predicted = {column for members in groups.values() for column in members}
    integers = [name for name in numeric if pa.types.is_integer(schema.field(name).type)]
    return FeatureSet(
        groups={group: tuple(members) for group, members in groups.items()},
        context=tuple(name for name in numeric if name not in predicted),
        integers=tuple(integers),
        covariates=tuple(name for name in numeric if name in covariates),
        ignored=ignored_columns(schema, step),
    )


def _numeric(schema: pa.Schema, step: TrainingStep) -> list[str]:
    """The names of all numeric columns that can be inputs, sorted."""
    stamps = step.timestamp_col
    return sorted(name for name in columns_read(schema, stamps, step.drop_cols) if name != stamps)


def columns_read(schema: pa.Schema, timestamp_col: str, drop_cols: Collection[str]) -> list[str]:
    """The columns whose values `build_dataset` reads: the timestamps, and every number that is not left out.

    Of all others it reads the names and the types.
    """
    dropped = set(drop_cols)
    return [
        field.name
        for field in schema
        if field.name == timestamp_col or (is_numeric(field.type) and field.name not in dropped)
    ]


def is_numeric(kind: pa.DataType) -> bool:
    """Whether a column of this type can be a feature."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def numeric_columns(schema: pa.Schema) -> set[str]:
    """The names of the columns that can be features, by their types."""
    return {field.name for field in schema if is_numeric(field.type)}


def _unknown(column: str, known: Collection[str], hint: Hints) -> str:
    return f"there is no column '{column}'.{hint(column) or f' Columns: {listed(known)}'}"
