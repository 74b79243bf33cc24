"""The benchmarks' specs are ones a user could write, and their targets are what was published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import write_report
from benchmarks.accuracy import BARS, DEFAULTS, LONG, PROTOCOLS, SIMPLE_BARS, SPECS, Job, targets, written
from lstm_pipeline.projects.project import load_project


@pytest.mark.parametrize("name", sorted(path.stem for path in SPECS.glob("*.yaml")))
def test_every_spec_is_right_with_any_horizon_seed_and_option(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LSTM_PIPELINE_DATA", str(tmp_path))
    assert load_project(SPECS / f"{name}.yaml", str(tmp_path)).name
    job = Job(name, 7, 3, (("members", 2), ("batch_size", 8)), epochs=4)
    spec = load_project(written(job, tmp_path), str(tmp_path)).spec
    assert (spec.prediction.forecast_horizon, spec.training.random_seed, spec.training.epochs) == (7, 3, 4)
    assert (spec.training.options("default").members, spec.training.batch_size) == (2, 8)


def test_every_protocol_has_a_spec() -> None:
    assert {path.stem for path in SPECS.glob("*.yaml")} == {*DEFAULTS, *PROTOCOLS}
    assert set(SIMPLE_BARS) <= set(PROTOCOLS)
    assert set(BARS) <= {dataset for dataset, _ in PROTOCOLS.values()}


def result(spec: str, horizon: int, mse: float, mae: float, **more: Any) -> dict[str, Any]:
    return {"spec": spec, "horizon": horizon, "mse": mse, "mae": mae, "coverage": {}, **more}


def test_errors_are_measured_by_the_published_mean_of_the_same_horizons_and_window(tmp_path: Path) -> None:
    """SegRNN has .368, .408 at window 96 and .351, .392 at 720; seeds count alike."""
    results = [result("ETTh1_lookback96", 96, *pair) for pair in ((0.3, 0.4), (0.5, 0.4))]
    results += [result("ETTh1_lookback96", 192, *pair) for pair in ((0.3, 0.4), (0.4, 0.4))]
    results += [result("ETTh1_lookback720", 96, np.float64(0.36), 0.39)]
    found = {target.name: target for target in targets(results)}
    at_96 = found["ETTh1_lookback96: mse, mean over [96, 192], against SegRNN"]
    assert (at_96.value, at_96.target, at_96.met) == (0.375, pytest.approx((0.368 + 0.408) / 2), True)
    at_720 = found["ETTh1_lookback720: mse, mean over [96], against SegRNN"]
    assert (at_720.value, at_720.target, at_720.met) == (0.36, 0.351, False)
    assert found["ETTh1_lookback720: mae, mean over [96], against SegRNN"].met
    write_report(tmp_path / "report.json", results, list(found.values()))
    assert json.loads((tmp_path / "report.json").read_text())["targets"][-1]["met"] in (True, False)


def test_exchange_rates_are_measured_by_repeat_up_to_336_steps_and_by_dlinear_at_720() -> None:
    results = [result("exchange_rate_published", horizon, 0.2, 0.3) for horizon in LONG]
    found = {target.name: target.target for target in targets(results)}
    assert found == {
        "exchange_rate_published: mse, mean over [96, 192, 336], against Repeat": pytest.approx(0.554 / 3),
        "exchange_rate_published: mae, mean over [96, 192, 336], against Repeat": pytest.approx(0.883 / 3),
        "exchange_rate_published: mse, mean over [720], against DLinear": 0.643,
        "exchange_rate_published: mae, mean over [720], against DLinear": 0.601,
    }


def test_a_day_of_the_appliances_is_measured_by_what_its_loss_asks_for() -> None:
    bars = {"bar_mse_time_of_day": 5.0, "bar_mae_median": 2.0}
    own = {"mse_by_feature": {"Appliances": 4.0}, "mae_by_feature": {"Appliances": 3.0}, **bars}
    results = [result(spec, 144, 1.0, 1.0, **own) for spec in ("appliances_day", "appliances_day_median")]
    assert [(target.target, target.met) for target in targets(results)] == [(5.0, True), (2.0, False)]
