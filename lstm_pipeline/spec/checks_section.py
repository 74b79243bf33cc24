"""Which checks of data, models and forecasts are made, and what a failed one is (`checks`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from lstm_pipeline.spec.model_options import Fraction, NonNegative, SpecModel

Severity = Literal["off", "warn", "error"]
"""What a failed check is; `off`: the check is not made. None of them stops a run."""


class CheckRule(SpecModel):
    """A check that has no threshold."""

    severity: Severity = Field("warn", description="what a failed check is; off: the check is not made")


class ErrorRule(CheckRule):
    """A check that has no threshold, and whose failure is an error unless the spec says otherwise."""

    severity: Severity = Field("error", description="what a failed check is; off: the check is not made")


class StepsRule(CheckRule):
    """A check of how far the newest row is from the step that is due."""

    steps: Annotated[int, Field(ge=0)] = Field(
        1, description="number of steps that the newest row may be away from the one that is due; at least 0"
    )


class GapsRule(CheckRule):
    """A check of missing steps and values."""

    share: Fraction = Field(
        0.1, description="share of a column's steps that may be without a value; from 0 to below 1, e.g. 0.1"
    )


class BoundsRule(CheckRule):
    """A check of a forecast against the values before it."""

    margin: NonNegative = Field(
        0.5, description="how far beyond the history's values, as a share of their range, a forecast may go; at least 0"
    )


class SkillRule(CheckRule):
    """A check of the accuracy on the test part."""

    above: Annotated[float, Field(lt=1, allow_inf_nan=False)] = Field(
        0.0, description="the skill that every feature must exceed; 0: the seasonal naive forecast; below 1"
    )


class CoverageRule(CheckRule):
    """A check of the prediction intervals on the test part."""

    tolerance: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = Field(
        0.1, description="how far the share of values inside an interval may be from its level; from 0 to 1, e.g. 0.1"
    )


def _in_full(value: Any) -> Any:
    """`gaps: warn` means `gaps: {severity: warn}`. In YAML 1.1, which Dagster reads `defs.yaml` with, off is false."""
    value = "off" if value is False else value
    return value if isinstance(value, dict | CheckRule) else {"severity": value}


CheckOrSeverity = Annotated[CheckRule, BeforeValidator(_in_full, json_schema_input_type=CheckRule | Severity)]
ErrorOrSeverity = Annotated[ErrorRule, BeforeValidator(_in_full, json_schema_input_type=ErrorRule | Severity)]
StepsOrSeverity = Annotated[StepsRule, BeforeValidator(_in_full, json_schema_input_type=StepsRule | Severity)]
GapsOrSeverity = Annotated[GapsRule, BeforeValidator(_in_full, json_schema_input_type=GapsRule | Severity)]
BoundsOrSeverity = Annotated[BoundsRule, BeforeValidator(_in_full, json_schema_input_type=BoundsRule | Severity)]
SkillOrSeverity = Annotated[SkillRule, BeforeValidator(_in_full, json_schema_input_type=SkillRule | Severity)]
CoverageOrSeverity = Annotated[CoverageRule, BeforeValidator(_in_full, json_schema_input_type=CoverageRule | Severity)]


class Checks(SpecModel):
    """The checks, each a severity, or a mapping of its severity and its threshold."""

    schema_: ErrorOrSeverity = Field(
        ErrorRule(), alias="schema", description="the inputs have the columns and types that the models read"
    )
    freshness: StepsOrSeverity = Field(
        StepsRule(), description="the newest row is not far behind the step that is due at the as-of date"
    )
    gaps: GapsOrSeverity = Field(GapsRule(), description="no column lacks more than a share of its values")
    constant_columns: CheckOrSeverity = Field(
        CheckRule(), description="no column has stopped varying, or has no values any more"
    )
    forecast_finite: ErrorOrSeverity = Field(ErrorRule(), description="every value of the forecast is a finite number")
    forecast_within_history: BoundsOrSeverity = Field(
        BoundsRule(), description="no value of the forecast is far outside the values of the history"
    )
    skill: SkillOrSeverity = Field(
        SkillRule(), description="on the test part, each feature is forecast better than by the seasonal naive forecast"
    )
    coverage: CoverageOrSeverity = Field(
        CoverageRule(), description="on the test part, each interval contains about as many values as its level says"
    )
    expected_origin: StepsOrSeverity = Field(
        StepsRule(), description="the forecast begins after the last row that ought to be there at the as-of date"
    )

    @property
    def rules(self) -> dict[str, CheckRule]:
        """Name → rule of every check."""
        return {field.alias or name: getattr(self, name) for name, field in type(self).model_fields.items()}

    @property
    def meanings(self) -> dict[str, str]:
        """Name → what the check is passed by."""
        return {field.alias or name: field.description or "" for name, field in type(self).model_fields.items()}
