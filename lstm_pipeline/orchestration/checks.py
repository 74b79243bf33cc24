"""Dagster's side of the checks: which asset has which, and a verdict as the result of an asset or of a job's step.

None of them blocks: a failed check is shown, and what was made is written. What is published is decided by code; see
`automation.promote`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import dagster as dg

from lstm_pipeline.monitoring import FORECAST_CHECKS, INPUT_CHECKS, VERSION_CHECKS, Verdict
from lstm_pipeline.orchestration.keys import CLEANED, METADATA, PREDICTIONS, RECENT, asset_key
from lstm_pipeline.projects import Project
from lstm_pipeline.spec import CheckRule
from lstm_pipeline.wording import number

CHECKS_OF: Mapping[str, Sequence[str]] = {
    CLEANED: INPUT_CHECKS,
    RECENT: INPUT_CHECKS,
    METADATA: VERSION_CHECKS,
    PREDICTIONS: FORECAST_CHECKS,
}
"""Asset → its checks, less those that a spec turns off."""

_SIZES = ("columns", "expected_columns", "values")
"""How much was looked at: the same every time, and so text, as the UI plots numbers."""

_SEVERITIES = {"warn": dg.AssetCheckSeverity.WARN, "error": dg.AssetCheckSeverity.ERROR}


def check_specs(project: Project, asset: str) -> list[dg.AssetCheckSpec]:
    """The checks that an asset has."""
    rules, meanings = project.spec.checks.rules, project.spec.checks.meanings
    return [
        dg.AssetCheckSpec(
            name,
            asset=asset_key(project.name, asset),
            description=f"{_sentence(meanings[name])} In the spec: `{_written(name, rules[name])}`.",
        )
        for name in CHECKS_OF.get(asset, ())
        if rules[name].severity != "off"
    ]


def check_results(verdicts: Sequence[Verdict]) -> list[dg.AssetCheckResult]:
    """Verdicts as an asset returns them."""
    return [
        dg.AssetCheckResult(
            passed=verdict.passed,
            check_name=verdict.name,
            severity=_SEVERITIES[verdict.severity],
            description=_sentence(verdict.sentence),
            metadata=_metadata(verdict),
        )
        for verdict in verdicts
    ]


def evaluations(project: Project, asset: str, verdicts: Sequence[Verdict]) -> Iterator[dg.AssetCheckEvaluation]:
    """Verdicts as a job's step logs them."""
    for verdict in verdicts:
        yield dg.AssetCheckEvaluation(
            asset_key=asset_key(project.name, asset),
            check_name=verdict.name,
            passed=verdict.passed,
            severity=_SEVERITIES[verdict.severity],
            description=_sentence(verdict.sentence),
            metadata=_metadata(verdict),
        )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _written(name: str, rule: CheckRule) -> str:
    """A rule as the spec has it, e.g. `gaps: {severity: warn, share: 0.1}`."""
    return f"{name}: {{{', '.join(f'{key}: {_value(value)}' for key, value in rule.model_dump().items())}}}"


def _value(value: str | float) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _metadata(verdict: Verdict) -> dict[str, float | int | str]:
    """The numbers of a verdict, with four digits. Thresholds are text, as the UI plots numbers; so is infinity."""
    return {
        name: str(value) if name in _SIZES else _shown(value)
        for name, value in verdict.numbers.items()
        if value is not None
    } | {name: number(value) for name, value in verdict.limits.items()}


def _shown(value: float | str) -> float | int | str:
    """JSON has no infinity, and the UI shows all digits that a number has."""
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else str(value)
    return value
