"""Freshness policies: by when a schedule of forecasts must have made its assets."""

from __future__ import annotations

import datetime as dt
import warnings
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.freshness import CronFreshnessPolicy, TimeWindowFreshnessPolicy

from lstm_pipeline.orchestration.assets import build_assets
from lstm_pipeline.orchestration.freshness import GRACE, freshness_policy
from lstm_pipeline.projects import Project
from lstm_pipeline_tests.orchestration.automated import automated
from lstm_pipeline_tests.orchestration.plant import tiny_project


def policies(project: Project) -> dict[str, dg.FreshnessPolicy | None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", dg.BetaWarning)
        assets = build_assets(project)
    found = {}
    for asset in assets:
        specs = asset.specs if isinstance(asset, dg.AssetsDefinition) else [asset]
        found |= {one.key.path[-1]: one.freshness_policy for one in specs}
    return found


def test_only_what_a_forecast_makes_has_one(tmp_path: Path) -> None:
    assert set(policies(tiny_project(tmp_path / "a")).values()) == {None}
    assert set(policies(automated(tmp_path / "b", train="@daily")).values()) == {None}
    found = policies(automated(tmp_path / "c", predict="15 6 * * *"))
    assert {name for name, policy in found.items() if policy} == {"recent_data", "predictions"}


@pytest.mark.parametrize(
    ("cron", "deadline"),
    [
        ("15 6 * * *", "45 6 * * *"),
        ("45 6 * * 1-5", "15 7 * * 1-5"),
        ("0 * * * *", "30 * * * *"),
        ("45 * * * *", "15 * * * *"),
        ("10 */6 * * *", "40 */6 * * *"),
        ("@daily", "30 0 * * *"),
        ("@Weekly", "30 0 * * 0"),
        ("@yearly", "30 0 1 1 *"),
    ],
)
def test_the_deadline_is_half_an_hour_after_the_schedule(tmp_path: Path, cron: str, deadline: str) -> None:
    policy = freshness_policy(automated(tmp_path, predict=cron, timezone="Europe/Berlin"))
    assert isinstance(policy, CronFreshnessPolicy)
    assert (policy.deadline_cron, policy.lower_bound_delta, policy.timezone) == (deadline, GRACE, "Europe/Berlin")


@pytest.mark.parametrize(
    ("crons", "window"),
    [
        ("*/15 * * * *", dt.timedelta(minutes=22, seconds=30)),
        ("* * * * *", dt.timedelta(minutes=2)),
        ("45 23 * * *", dt.timedelta(days=1, minutes=30)),
        ("45 6,18 * * *", dt.timedelta(hours=12, minutes=30)),
        (["0 6 * * *", "0 14 * * *"], dt.timedelta(hours=16, minutes=30)),
        (["0 6 * * 1-5", "0 7 * * 1-5"], dt.timedelta(days=2, hours=23, minutes=30)),
    ],
)
def test_where_the_schedule_cannot_be_moved_the_longest_pause_counts(
    tmp_path: Path, crons: Any, window: dt.timedelta
) -> None:
    policy = freshness_policy(automated(tmp_path, predict=crons))
    assert isinstance(policy, TimeWindowFreshnessPolicy)
    assert policy.fail_window.to_timedelta() == window
