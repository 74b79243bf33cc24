"""Rules of a spec that involve more than one key. Each function yields every violation with its place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from lstm_pipeline.spec.documents import Loc
from lstm_pipeline.spec.effects import Finding, check_effects
from lstm_pipeline.spec.project import RESERVED_NAMES, DataProduct, DataProductInput, FileInput, ProjectSpec
from lstm_pipeline.spec.steps import DEFAULT_GROUP, PredictionStep, Step, TrainingStep
from lstm_pipeline.spec.tuning import check_tuning
from lstm_pipeline.spec.uris import uri_problem
from lstm_pipeline.wording import Hints, did_you_mean, listed, number

ModelStep = type[TrainingStep] | type[PredictionStep]

T = TypeVar("T", bound=Step)


def check_project(spec: ProjectSpec) -> Iterator[Finding]:
    """Yields every violation of the rules that need the whole spec."""
    yield from _check_chain(spec.model_metadata, TrainingStep, ("model_metadata",))
    yield from _check_chain(spec.predictions, PredictionStep, ("predictions",))
    yield from _check_inputs(spec)
    if spec.automation is not None:
        yield from check_effects(spec.automation)
    training = _only(spec.model_metadata, TrainingStep)
    prediction = _only(spec.predictions, PredictionStep)
    if training:
        index, step = training
        yield from check_training(step, ("model_metadata", "transformations", index))
        yield from check_tuning(spec.tuning, list(step.feature_groups or [DEFAULT_GROUP]))
        if re.sub(r"[-.]", "_", step.project_name) in RESERVED_NAMES:
            yield (
                ("model_metadata", "transformations", index, "project_name"),
                f"'{step.project_name}' is a reserved name, under which the UI shows other assets; choose another",
            )
        if spec.name is not None and spec.name != step.project_name:
            yield ("name",), f"expected the training step's project_name '{step.project_name}', found '{spec.name}'"
    if training and prediction:
        index, prediction_step = prediction
        yield from _check_agreement(training[1], prediction_step, ("predictions", "transformations", index))


def check_training(step: TrainingStep, loc: Loc) -> Iterator[Finding]:
    """Checks that feature groups, column lists and per-group options are consistent."""
    groups = step.feature_groups
    if groups is not None:
        yield from _check_groups(step, groups, (*loc, "feature_groups"))
    known = dict.fromkeys(groups or [DEFAULT_GROUP])  # in order, and fast to look up
    hint = Hints(known)
    for group in step.models_config:
        if group not in known:
            message = f"is not a feature group.{hint(group)} Known groups: {listed(known)}"
            yield (*loc, "models_config", group), message
    dropped = set(step.drop_cols)
    for key in ("features_to_predict", "drop_cols", "future_covariates"):
        columns = getattr(step, key) or []
        for column, count in Counter(columns).items():
            if count > 1:
                yield (*loc, key), f"'{column}' is listed {count} times; list it once"
            if column == step.timestamp_col:
                yield (*loc, key), f"'{column}' is the timestamp column; it can be neither a feature nor dropped"
    if step.features_to_predict == []:
        yield (*loc, "features_to_predict"), "is empty; list the features, or use null for every numeric column"
    for column in step.features_to_predict or []:
        if column in dropped:
            yield (*loc, "features_to_predict"), f"'{column}' is also in drop_cols; remove it from one of the two"
    predicted = {
        *(step.features_to_predict or []),
        *(name for group in (step.feature_groups or {}).values() for name in group),
    }
    for column in step.future_covariates:
        if column in predicted:
            yield (
                (*loc, "future_covariates"),
                f"'{column}' is also predicted, but a covariate's future must be known; remove it from one of the two",
            )
        if column in dropped:
            yield (*loc, "future_covariates"), f"'{column}' is also in drop_cols; remove it from one of the two"
    for column, bound in step.bounds.items():
        if bound.min is not None and bound.max is not None and bound.min > bound.max:
            found = f"min {number(bound.min)} and max {number(bound.max)}"
            yield (*loc, "bounds", column), f"expected a min that is not above the max, found {found}; exchange them"
    if step.time_budget is not None and step.preset != "accurate":
        found = "no preset" if step.preset is None else f"preset {step.preset}"
        yield (*loc, "time_budget"), f"has an effect only with preset accurate, found {found}; add that, or remove it"


def _check_groups(step: TrainingStep, groups: Mapping[str, Sequence[str]], loc: Loc) -> Iterator[Finding]:
    if not groups:
        yield loc, "is empty; add a group, or remove this key to train one group with every feature"
    for folded, count in Counter(name.lower() for name in groups).items():
        if count > 1:
            yield (
                loc,
                f"group names differ only in case ('{folded}'), which not every storage system supports; rename one",
            )
    group_of: dict[str, str] = {}
    dropped, to_predict = set(step.drop_cols), set(step.features_to_predict or ())
    hint = Hints(step.features_to_predict or ())
    for group, members in groups.items():
        if not members:
            yield (*loc, group), "is empty; list its features or remove the group"
        for column, count in Counter(members).items():
            if count > 1:
                yield (*loc, group), f"'{column}' is listed {count} times in this group; list it once"
            if column in group_of:
                yield (
                    (*loc, group),
                    f"'{column}' is already in group '{group_of[column]}'; each feature belongs to exactly one group",
                )
            group_of.setdefault(column, group)
            if column in dropped:
                yield (*loc, group), f"'{column}' is also in drop_cols; remove it from one of the two"
            if column == step.timestamp_col:
                yield (*loc, group), f"'{column}' is the timestamp column, not a feature"
            if step.features_to_predict is not None and column not in to_predict:
                yield (*loc, group), f"'{column}' is not in features_to_predict.{hint(column)}"
    missing = [column for column in step.features_to_predict or [] if column not in group_of]
    if missing:
        yield loc, f"no group contains these features to predict: {listed(missing)}; add each to a group"


def _check_chain(product: DataProduct, expected: ModelStep, loc: Loc) -> Iterator[Finding]:
    """Checks the chain of frames: each is produced once, before it is used, and the output derives from `expected`."""
    produced = set(product.inputs)
    derived: set[str] = set()  # frames that derive from the training or prediction step
    model_steps = 0
    for index, step in enumerate(product.transformations):
        place = (*loc, "transformations", index)
        if step.input not in produced:
            yield (*place, "input"), _unknown_frame(step.input, produced)
        if step.output in produced:
            yield (
                (*place, "output"),
                f"the name '{step.output}' is already used by an input or an earlier step; choose another",
            )
        produced.add(step.output)
        if step.input in derived or isinstance(step, expected):
            derived.add(step.output)
        if isinstance(step, TrainingStep | PredictionStep):
            model_steps += 1
            if not isinstance(step, expected):
                yield (
                    (*place, "transform"),
                    f"this step belongs in the other data product; expected {_tag(expected)} here",
                )
            elif model_steps > 1:
                yield (*place, "transform"), f"expected exactly one {_tag(expected)} step, found a second one"
            elif step.input in derived:
                yield (
                    (*place, "input"),
                    f"'{step.input}' is this step's own output; name an input or the output of an earlier step",
                )
    if not model_steps:
        yield (*loc, "transformations"), f"expected exactly one {_tag(expected)} step, found none"
    final = product.finalisers.input
    if final not in produced:
        yield (*loc, "finalisers", "input"), _unknown_frame(final, produced)
    elif model_steps and final not in derived:
        yield (
            (*loc, "finalisers", "input"),
            f"expected the output of the {_tag(expected)} step or of a step after it, found '{final}'",
        )


def _check_inputs(spec: ProjectSpec) -> Iterator[Finding]:
    for identifier, uri in spec.catalog.items():
        yield from _check_uri(uri, ("catalog", identifier))
    for key, product in (("model_metadata", spec.model_metadata), ("predictions", spec.predictions)):
        for name, source in product.inputs.items():
            loc: Loc = (key, "inputs", name)
            if isinstance(source, FileInput):
                yield from _check_uri(source.uri, (*loc, "uri"))
            elif isinstance(source, DataProductInput) and source.identifier not in spec.catalog:
                identifier = source.identifier
                yield (
                    (*loc, "identifier"),
                    f"'{identifier}' is not in the catalog.{did_you_mean(identifier, spec.catalog)} "
                    f"Add it to the spec: catalog: {{{identifier}: <path or s3:// URI>}}",
                )


def _check_uri(uri: str, loc: Loc) -> Iterator[Finding]:
    problem = uri_problem(uri)
    if problem:
        yield loc, problem


def _check_agreement(training: TrainingStep, prediction: PredictionStep, loc: Loc) -> Iterator[Finding]:
    for key in ("project_name", "model_bucket", "timestamp_col"):
        expected, found = getattr(training, key), getattr(prediction, key)
        if expected != found:
            yield (*loc, key), f"expected '{expected}', as in the training step, found '{found}'"
    if training.sequence_length and prediction.sequence_length not in (None, training.sequence_length):
        yield (
            (*loc, "sequence_length"),
            f"expected {training.sequence_length}, as in the training step, found {prediction.sequence_length}; "
            "use the same number or remove this key",
        )


def _only(product: DataProduct, kind: type[T]) -> tuple[int, T] | None:
    """The product's only step of a kind, with its index; None if there is none or more than one."""
    steps = [(index, step) for index, step in enumerate(product.transformations) if isinstance(step, kind)]
    return steps[0] if len(steps) == 1 else None


def _unknown_frame(name: str, known: set[str]) -> str:
    hint = did_you_mean(name, sorted(known))
    return f"no input or earlier step is named '{name}'.{hint} Known names: {listed(sorted(known))}"


def _tag(kind: ModelStep) -> str:
    return "regression_training_lstm" if kind is TrainingStep else "regression_prediction_lstm"
