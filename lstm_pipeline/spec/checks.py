"""Rules of a spec that concern more than one key. Each yields every place that breaks it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from lstm_pipeline.spec.documents import Loc
from lstm_pipeline.spec.project import DataProduct, DataProductInput, FileInput, ProjectSpec
from lstm_pipeline.spec.settings import expand
from lstm_pipeline.spec.steps import DEFAULT_GROUP, PredictionStep, Step, TrainingStep
from lstm_pipeline.wording import did_you_mean

Finding = tuple[Loc, str]
ModelStep = type[TrainingStep] | type[PredictionStep]

T = TypeVar("T", bound=Step)


def check_project(spec: ProjectSpec) -> Iterator[Finding]:
    """All rules that need the whole spec."""
    yield from _check_chain(spec.model_metadata, TrainingStep, ("model_metadata",))
    yield from _check_chain(spec.predictions, PredictionStep, ("predictions",))
    yield from _check_inputs(spec)
    training = _only(spec.model_metadata, TrainingStep)
    prediction = _only(spec.predictions, PredictionStep)
    if training:
        index, step = training
        yield from check_training(step, ("model_metadata", "transformations", index))
        if spec.name is not None and spec.name != step.project_name:
            yield ("name",), f"expected the training step's project_name '{step.project_name}', found '{spec.name}'"
    if training and prediction:
        index, wanted = prediction
        yield from _check_agreement(training[1], wanted, ("predictions", "transformations", index))


def check_training(step: TrainingStep, loc: Loc) -> Iterator[Finding]:
    """Feature groups, dropped columns and per-group options fit together."""
    groups = step.feature_groups
    if groups is not None:
        yield from _check_groups(step, groups, (*loc, "feature_groups"))
    known = list(groups) if groups else [DEFAULT_GROUP]
    for group in step.models_config:
        if group not in known:
            expected = ", ".join(known)
            yield (*loc, "models_config", group), f"is no feature group.{did_you_mean(group, known)} Groups: {expected}"
    for key in ("features_to_predict", "drop_cols", "future_covariates"):
        columns = getattr(step, key) or []
        for column, count in Counter(columns).items():
            if count > 1:
                yield (*loc, key), f"'{column}' stands {count} times; name it once"
            if column == step.timestamp_col:
                yield (*loc, key), f"'{column}' is the timestamp column, which is neither a feature nor dropped"
    if step.features_to_predict == []:
        yield (*loc, "features_to_predict"), "is an empty list; name features, or null for every numeric column"
    for column in step.features_to_predict or []:
        if column in step.drop_cols:
            yield (*loc, "features_to_predict"), f"'{column}' is also in drop_cols; remove it from one of them"
    predicted = {
        *(step.features_to_predict or []),
        *(name for group in (step.feature_groups or {}).values() for name in group),
    }
    for column in step.future_covariates:
        if column in predicted:
            yield (
                (*loc, "future_covariates"),
                f"'{column}' is predicted; its future is not given. Remove it from one of them",
            )
        if column in step.drop_cols:
            yield (*loc, "future_covariates"), f"'{column}' is also in drop_cols; remove it from one of them"
    if step.enable_mlflow:
        yield (*loc, "enable_mlflow"), "MLflow tracking is not available in this version; set it to false"


def _check_groups(step: TrainingStep, groups: Mapping[str, Sequence[str]], loc: Loc) -> Iterator[Finding]:
    if not groups:
        yield loc, "names no group; leave it out for one group with every feature"
    for folded, count in Counter(name.lower() for name in groups).items():
        if count > 1:
            yield (
                loc,
                f"groups differ only by upper and lower case ('{folded}'), which not every storage can tell apart",
            )
    home: dict[str, str] = {}
    for group, members in groups.items():
        if not members:
            yield (*loc, group), "is empty; name its features or remove the group"
        for column, count in Counter(members).items():
            if count > 1:
                yield (*loc, group), f"'{column}' stands {count} times in this group; name it once"
            if column in home:
                yield (*loc, group), f"'{column}' is already in group '{home[column]}'; a feature belongs to one group"
            home.setdefault(column, group)
            if column in step.drop_cols:
                yield (*loc, group), f"'{column}' is dropped by drop_cols; remove it from one of them"
            if column == step.timestamp_col:
                yield (*loc, group), f"'{column}' is the timestamp column, not a feature"
            if step.features_to_predict is not None and column not in step.features_to_predict:
                hint = did_you_mean(column, step.features_to_predict)
                yield (*loc, group), f"'{column}' is not in features_to_predict.{hint}"
    missing = [column for column in step.features_to_predict or [] if column not in home]
    if missing:
        yield loc, f"features to predict are in no group: {', '.join(missing)}"


def _check_chain(product: DataProduct, wanted: ModelStep, loc: Loc) -> Iterator[Finding]:
    """Frames are made before they are used, once each, and the product's step leads to what is written."""
    made = set(product.inputs)
    derived: set[str] = set()  # frames that come from the training or prediction step
    special = 0
    for index, step in enumerate(product.transformations):
        place = (*loc, "transformations", index)
        if step.input not in made:
            yield (*place, "input"), _unknown_frame(step.input, made)
        if step.output in made:
            yield (
                (*place, "output"),
                f"the name '{step.output}' is taken by an input or an earlier step; choose another",
            )
        made.add(step.output)
        if step.input in derived or isinstance(step, wanted):
            derived.add(step.output)
        if isinstance(step, TrainingStep | PredictionStep):
            special += 1
            if not isinstance(step, wanted):
                yield (*place, "transform"), f"belongs into the other data product; here goes {_tag(wanted)}"
            elif special > 1:
                yield (*place, "transform"), f"expected one {_tag(wanted)}, found another one"
            elif step.input in derived:
                yield (*place, "input"), f"'{step.input}' is made by this step itself"
    if not special:
        yield (*loc, "transformations"), f"expected one {_tag(wanted)} step, found none"
    final = product.finalisers.input
    if final not in made:
        yield (*loc, "finalisers", "input"), _unknown_frame(final, made)
    elif special and final not in derived:
        yield (*loc, "finalisers", "input"), f"'{final}' does not come from the {_tag(wanted)} step"


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
                    f"Add to the spec: catalog: {{{identifier}: <path or s3:// URI>}}",
                )


def _check_uri(uri: str, loc: Loc) -> Iterator[Finding]:
    try:
        expand(uri)
    except KeyError as error:
        name = error.args[0]
        yield loc, f"the environment variable {name} is not set; set it, or give a default: ${{{name}:-…}}"


def _check_agreement(training: TrainingStep, prediction: PredictionStep, loc: Loc) -> Iterator[Finding]:
    for key in ("project_name", "model_bucket", "timestamp_col"):
        trained, asked = getattr(training, key), getattr(prediction, key)
        if trained != asked:
            yield (*loc, key), f"expected '{trained}' as in the training step, found '{asked}'"
    if prediction.sequence_length not in (None, training.sequence_length):
        yield (
            (*loc, "sequence_length"),
            f"is {prediction.sequence_length}, but the models are trained with {training.sequence_length}; "
            "give the same number or leave it out",
        )
    if prediction.enable_mlflow:
        yield (*loc, "enable_mlflow"), "MLflow tracking is not available in this version; set it to false"


def _only(product: DataProduct, kind: type[T]) -> tuple[int, T] | None:
    found = [(index, step) for index, step in enumerate(product.transformations) if isinstance(step, kind)]
    return found[0] if len(found) == 1 else None


def _unknown_frame(name: str, made: set[str]) -> str:
    return f"no earlier step or input makes '{name}'.{did_you_mean(name, made)} There are: {', '.join(sorted(made))}"


def _tag(kind: ModelStep) -> str:
    return "regression_training_lstm" if kind is TrainingStep else "regression_prediction_lstm"
