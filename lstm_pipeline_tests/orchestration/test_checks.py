"""The checks in Dagster: a failing one shows as failed, and as passed once its cause is mended, however it was run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from lstm_pipeline.errors import TrainingError
from lstm_pipeline.forecasting import Forecast, Published
from lstm_pipeline.forecasting.history import read_history
from lstm_pipeline.monitoring import Verdict, check_version
from lstm_pipeline.orchestration import ops, stages
from lstm_pipeline.orchestration.assets import build_assets
from lstm_pipeline.orchestration.checks import CHECKS_OF, check_results
from lstm_pipeline.orchestration.code_location import resources
from lstm_pipeline.orchestration.job_config import run_config
from lstm_pipeline.orchestration.jobs import build_job
from lstm_pipeline.orchestration.keys import AS_OF_TAG, FORECAST, TRAIN, asset_key, job_name
from lstm_pipeline.projects import Project
from lstm_pipeline.registry import CalibrationRecord
from lstm_pipeline.registry.registry import Score
from lstm_pipeline_tests.stubs import metadata, save_candidate
from lstm_pipeline_tests.verification.issuing import project_in, rows, spec, write_input

DAYS, LAST = 40, dt.date(2024, 2, 9)
"""Rows of the inputs, and the day of the newest one."""

Run = Callable[..., None]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as here:
        yield here


@pytest.fixture(params=["asset", "job"])
def run(request: pytest.FixtureRequest, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Makes assets of a project, by themselves or by the same steps of a job."""

    def by_assets(project: Project, names: Sequence[str], steps: Sequence[str], as_of: dt.date = LAST) -> None:
        del steps
        wanted = {asset_key(project.name, name) for name in names}
        found = [one for one in build_assets(project) if isinstance(one, dg.AssetsDefinition) and wanted & one.keys]
        done = dg.materialize(
            found, instance=instance, resources=resources(project.storage), tags={AS_OF_TAG: str(as_of)}
        )
        assert done.success

    def by_job(project: Project, names: Sequence[str], steps: Sequence[str], as_of: dt.date = LAST) -> None:
        del names
        kind = TRAIN if steps[0] in ("clean", "publish") else FORECAST
        monkeypatch.setitem(ops.STEPS, kind, tuple(steps))  # type: ignore[arg-type]
        definitions = dg.Definitions(jobs=[build_job(project, kind, quiet=True)], resources=resources(project.storage))
        job = definitions.resolve_job_def(job_name(project.name, kind))
        config = dict(run_config(project, kind, as_of=as_of))
        assert job.execute_in_process(run_config=config, instance=instance).success

    return by_assets if request.param == "asset" else by_job


def shown(instance: dg.DagsterInstance, asset: str, check: str) -> tuple[bool, str, str]:
    """The latest state of a check as the UI has it: whether it passed, its severity, its sentence."""
    key = dg.AssetCheckKey(asset_key("mill", asset), check)
    record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    evaluation = record.evaluation
    assert evaluation is not None
    passed = record.status is AssetCheckExecutionRecordStatus.SUCCEEDED
    assert passed is evaluation.passed
    made = instance.get_latest_materialization_event(key.asset_key)
    assert made is not None
    assert made.run_id == record.run_id  # the UI shows a check of the latest materialisation only
    return passed, evaluation.severity.value, evaluation.description or ""


def table(days: Sequence[int] = range(1, DAYS + 1)) -> pa.Table:
    wave = [20.0 + 5 * np.sin(day) for day in days]
    return rows(days, wave, [3 * value for value in wave])


def project_with(folder: Path, **checks: Any) -> Project:
    """The inputs are complete up to `LAST`."""
    project = project_in(folder, sequence_length=4)
    write_input(project, table())
    return respecified(project, **checks)


def respecified(project: Project, **checks: Any) -> Project:
    data = {**spec(sequence_length=4), "checks": checks}
    loaded = replace(project.loaded, spec=type(project.spec).model_validate(data))
    return Project(loaded, project.storage)


RECENT = (["recent_data"], ["read_recent"])


def test_a_stale_input_fails_until_it_goes_on(tmp_path: Path, run: Run, instance: dg.DagsterInstance) -> None:
    project = project_with(tmp_path)
    run(project, *RECENT, as_of=LAST + dt.timedelta(days=3))
    passed, severity, sentence = shown(instance, "recent_data", "freshness")
    assert (passed, severity) == (False, "WARN")
    assert "behind 2024-02-12, which is due at the as-of date, found 2024-02-09, 3 steps of D behind" in sentence
    assert shown(instance, "recent_data", "schema")[0]
    write_input(project, table(range(1, DAYS + 4)))
    run(project, *RECENT, as_of=LAST + dt.timedelta(days=3))
    assert shown(instance, "recent_data", "freshness")[0]


def test_a_gap_of_30_percent_fails_until_it_is_filled(tmp_path: Path, run: Run, instance: dg.DagsterInstance) -> None:
    project = project_with(tmp_path, gaps="error")
    write_input(project, table([*range(1, 11), *range(23, 41)]))  # 12 days of 40 are missing
    for names, steps in (RECENT, (["cleaned_data"], ["clean"])):
        run(project, names, steps)
        passed, severity, sentence = shown(instance, names[0], "gaps")
        assert (passed, severity) == (False, "ERROR")
        assert "to be missing, found load 30 %, heat 30 %" in sentence.replace(
            "heat 30 %, load 30 %", "load 30 %, heat 30 %"
        )
        assert "12 steps of 40 without a row" in sentence
    write_input(project, table())
    for names, steps in (RECENT, (["cleaned_data"], ["clean"])):
        run(project, names, steps)
        assert shown(instance, names[0], "gaps")[0]


def test_a_column_that_stands_still_or_is_missing(tmp_path: Path, run: Run, instance: dg.DagsterInstance) -> None:
    project = project_with(tmp_path)
    still = table()
    still = still.set_column(1, "load", pa.array([7.0] * DAYS))
    write_input(project, table(), still)
    run(project, *RECENT)
    assert "found the same value in 40 rows of 'load'" in shown(instance, "recent_data", "constant_columns")[2]
    write_input(project, table(), table().drop_columns(["heat"]))
    run(project, *RECENT)
    passed, severity, sentence = shown(instance, "recent_data", "schema")
    assert (passed, severity) == (False, "ERROR")
    assert "found no 'heat'" in sentence
    assert "could not be judged" in shown(instance, "recent_data", "freshness")[2]


def published(project: Project, skill: float | None, coverage: float) -> Published:
    """A version without networks, whose scores are known."""
    for group in ("power", "warmth"):
        save_candidate(project.registry, group, f"run {skill}")
    rolled = {"load": {"skill": 0.5}, "heat": {"skill": skill}}
    calibration = CalibrationRecord(coverage={"80": {"load": 0.8, "heat": coverage}})
    score = Score({}, {"rolled": rolled, "one_step": {}}, {}, {"horizon": 3, "origins": 4, "mean": {}}, {}, calibration)
    made = project.registry.publish(("power", "warmth"), {}, lambda models: score, run_id=f"publishing {skill}")
    return Published(made.version, {}, is_new=False)


def test_a_feature_with_negative_skill_fails_until_it_has_some(
    tmp_path: Path, run: Run, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = project_with(tmp_path)
    publish = (["cleaned_data", "model_metadata"], ["clean", "publish"])
    monkeypatch.setattr(stages, "publish", lambda *_, **__: published(project, -0.25, 0.6))
    run(project, *publish)
    passed, severity, sentence = shown(instance, "model_metadata", "skill")
    assert (passed, severity) == (False, "WARN")
    assert "found heat -0.25;" in sentence
    assert "found heat (80 %) 60 %;" in shown(instance, "model_metadata", "coverage")[2]
    monkeypatch.setattr(stages, "publish", lambda *_, **__: published(project, 0.25, 0.75))
    run(project, *publish)
    assert shown(instance, "model_metadata", "skill")[0]
    assert shown(instance, "model_metadata", "coverage")[0]


def test_a_feature_that_is_constant_in_the_test_part_has_no_coverage_to_judge(tmp_path: Path) -> None:
    project = project_with(tmp_path)
    verdicts = check_version(project, published(project, None, 1.0).version.record.metadata)
    assert [verdict.passed for verdict in verdicts] == [True, True]
    assert verdicts[1].numbers == {"coverage_80/load": 0.8}


def test_numbers_have_four_digits_and_infinity_is_text() -> None:
    numbers = {"columns": 9, "share": 1 / 3, "steps": 12345678, "far": float("inf"), "worst": "heat", "none": None}
    verdict = Verdict("gaps", False, "warn", "found", numbers, {"share_allowed": 0.1})
    found = check_results([verdict])[0].metadata
    assert {name: value.value for name, value in found.items()} == {
        "columns": "9", "share": 0.3333, "steps": 12345678, "far": "inf", "worst": "heat", "share_allowed": "0.1",
    }  # fmt: skip


def forecast_of(project: Project, values: Sequence[float], written: Sequence[float | None] | None = None) -> Any:
    """A forecast of `load`, made by nobody."""
    known = metadata(
        "power",
        "run",
        predicted_features=["load"],
        feature_columns=["heat", "load"],
        hyperparameters={"sequence_length": 4},
    )

    def forecast(_: Project, recent: pa.Table, **__: Any) -> Forecast:
        history = read_history(known, recent, needs_season=False)
        first = history.series.steps[-1].date()
        days = [first + dt.timedelta(days=lead + 1) for lead in range(len(values))]
        raw = pa.table({"date": days, "load": pa.array(values, pa.float64())})
        final = raw if written is None else raw.set_column(1, "load", pa.array(written, pa.float64()))
        ensemble: Any = SimpleNamespace(
            predicted=["load"], models=[SimpleNamespace(metadata=known)], version="v1", metadata=known
        )
        return Forecast(final, raw, history, ensemble)

    return forecast


PREDICTIONS = (["recent_data", "predictions"], ["read_recent", "forecast"])


def test_a_forecast_out_of_bounds_fails_until_it_is_not(
    tmp_path: Path, run: Run, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = project_with(tmp_path)
    monkeypatch.setattr(stages, "keep_issued", lambda *_: None)
    monkeypatch.setattr(stages, "forecast", forecast_of(project, [20.0, 90.0, 20.0]))
    run(project, *PREDICTIONS)
    passed, severity, sentence = shown(instance, "predictions", "forecast_within_history")
    assert (passed, severity) == (False, "WARN")
    assert "the furthest is 90 of 'load' at 2024-02-11, whose history is 15 to 25" in sentence
    assert shown(instance, "predictions", "forecast_finite")[0]
    assert shown(instance, "predictions", "expected_origin")[0]
    monkeypatch.setattr(stages, "forecast", forecast_of(project, [20.0, 22.0, 20.0], [20.0, None, 20.0]))
    run(project, *PREDICTIONS)
    assert shown(instance, "predictions", "forecast_within_history")[0]
    passed, severity, sentence = shown(instance, "predictions", "forecast_finite")
    assert (passed, severity) == (False, "ERROR")
    assert "the first in 'load' at 2024-02-11" in sentence
    monkeypatch.setattr(stages, "forecast", forecast_of(project, [20.0, 22.0, 20.0]))
    run(project, *PREDICTIONS, as_of=LAST + dt.timedelta(days=5))
    assert shown(instance, "predictions", "forecast_finite")[0]
    assert "found 2024-02-09, 5 steps of D behind" in shown(instance, "predictions", "expected_origin")[2]
    run(project, *PREDICTIONS, as_of=LAST - dt.timedelta(days=5))
    assert "the input has rows from after the as-of date" in shown(instance, "predictions", "expected_origin")[2]


def test_a_check_that_breaks_costs_nothing_else(
    tmp_path: Path, run: Run, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstm_pipeline.monitoring.checks.gaps", lambda *_: 1 / 0)
    run(project_with(tmp_path), *RECENT)
    assert shown(instance, "recent_data", "gaps")[2] == "This could not be judged: ZeroDivisionError: division by zero."
    assert shown(instance, "recent_data", "freshness")[0]


def test_the_log_of_a_job_has_what_failed(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    project = project_with(tmp_path)
    definitions = dg.Definitions(jobs=[build_job(project, FORECAST, quiet=True)], resources=resources(project.storage))
    job = definitions.resolve_job_def(job_name(project.name, FORECAST))
    config = dict(run_config(project, FORECAST, as_of=LAST + dt.timedelta(days=3)))
    done = job.execute_in_process(run_config=config, instance=instance, raise_on_error=False)  # there is no version
    warnings = [entry.user_message for entry in instance.all_logs(done.run_id) if entry.level == 30]
    (warning,) = warnings
    assert warning.startswith("The check 'freshness' of recent_data failed: expected the newest row")


def test_a_check_that_is_off_is_none(tmp_path: Path, run: Run, instance: dg.DagsterInstance) -> None:
    project = project_with(tmp_path, gaps="off", coverage="off")
    assert specs_of(project) == {
        asset: [name for name in names if name not in ("gaps", "coverage")] for asset, names in CHECKS_OF.items()
    }
    run(project, *RECENT)
    key = dg.AssetCheckKey(asset_key("mill", "recent_data"), "gaps")
    assert not instance.event_log_storage.get_latest_asset_check_execution_by_key([key])
    nothing = respecified(project, **dict.fromkeys(project.spec.checks.rules, "off"))
    assert specs_of(nothing) == {}
    run(nothing, *RECENT)


def specs_of(project: Project) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for asset in build_assets(project):
        if isinstance(asset, dg.AssetsDefinition):
            for check in asset.check_specs:
                assert not check.blocking
                assert check.description
                found.setdefault(check.asset_key.path[-1], []).append(check.name)
    return found


def test_every_check_belongs_to_an_asset(tmp_path: Path) -> None:
    project = project_with(tmp_path)
    assert {name for names in specs_of(project).values() for name in names} == set(project.spec.checks.rules)
    assert {asset: tuple(names) for asset, names in specs_of(project).items()} == {**CHECKS_OF}


def test_a_job_whose_trainings_fail_leaves_the_versions_checks_as_they_were(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> None:
        raise TrainingError("the loss is not finite")

    project = project_with(tmp_path)
    monkeypatch.setattr(stages, "train_models", failing)
    definitions = dg.Definitions(jobs=[build_job(project, TRAIN, quiet=True)], resources=resources(project.storage))
    job = definitions.resolve_job_def(job_name(project.name, TRAIN))
    config = dict(run_config(project, TRAIN, as_of=LAST))
    assert not job.execute_in_process(run_config=config, instance=instance, raise_on_error=False).success
    keys = [dg.AssetCheckKey(asset_key("mill", "model_metadata"), name) for name in CHECKS_OF["model_metadata"]]
    assert not instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    assert shown(instance, "cleaned_data", "freshness")[0]
