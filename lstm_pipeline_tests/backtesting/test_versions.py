"""Two versions compared: numbers by hand, rows that neither has seen, and what cannot be compared.

The versions are linear networks with known errors, as in `test_champion`: on a ramp that rises by s a row, a forecast
of the last value is wrong by s·h at lead time h, and one of the value a week before by 7s; the unit of both is 7s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lstm_pipeline.api import Project as ProjectOfNotebook
from lstm_pipeline.api import load_project
from lstm_pipeline.backtesting import (
    BacktestOptions,
    VersionComparison,
    VersionScore,
    compare_versions,
    require_versions,
)
from lstm_pipeline.errors import DataError, RegistryError
from lstm_pipeline.forecasting.dataset import Dataset, build_dataset
from lstm_pipeline.network.persistence import save_network
from lstm_pipeline.projects.project import Project
from lstm_pipeline.registry import IndividualRecord
from lstm_pipeline.reporting import comparison_views, draw_comparison, make_console, verdict_line
from lstm_pipeline.storage import to_json
from lstm_pipeline_tests.forecasting.test_champion import LAST, OF_LAST, WEEK, ramp_table
from lstm_pipeline_tests.forecasting.test_promotion import plant, published, save
from lstm_pipeline_tests.mill import (
    AS_OF,
    HORIZON,
    PREDICTED,
    linear_member,
    mill_step,
    mill_table,
    poisoned,
    with_column,
)
from lstm_pipeline_tests.test_cli import command, fresh_command

MIXED = {**LAST, "heat": WEEK["heat"]}
RATIO = 1 / OF_LAST


def two(folder: Path, first: Any = MIXED, second: Any = WEEK, table: pa.Table | None = None) -> Project:
    """A project with v1 and v2 of linear networks; both were trained on the first 96 rows."""
    project = plant(folder, promote=None)
    for run, terms in (("run1", first), ("run2", second)):
        save(project, run, terms)
        published(project, run, table)
    return project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """v1: the last value (heat: that of a week before); v2: the value of a week before. To be read only."""
    return two(tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def found(project: Project) -> VersionComparison:
    return compare_versions(project, ramp_table(), "v1", "v2")


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """v1 forecasts the mill's weekly pattern by the last value, v2 by the value of a week before; v3 is v2 again."""
    project = plant(tmp_path_factory.mktemp("noisy"), promote=None)
    for run, terms in (("run1", LAST), ("run2", WEEK), ("run3", WEEK)):
        save(project, run, terms)
        published(project, run, mill_table())
    return project


def of(found: VersionComparison) -> dict[tuple[str | None, str | None], VersionScore]:
    return {(score.group, score.feature): score for score in found.scores}


def test_the_scores_are_exact(found: VersionComparison) -> None:
    scores = of(found)
    assert list(scores) == [
        (None, None), ("power", None), ("power", "load"), ("power", "parts"), ("warmth", None), ("warmth", "heat")
    ]  # fmt: skip
    load = scores["power", "load"]
    assert load.first["rmse"] == pytest.approx(2 * np.sqrt(11), rel=1e-5)
    assert load.first["mae"] == pytest.approx(2 * 3, rel=1e-5)
    assert load.first["mase"] == pytest.approx(3 / 7, rel=1e-5)
    assert load.first["skill"] == pytest.approx(1 - 11 / 49, rel=1e-5)
    assert (load.second["rmse"], load.second["mae"]) == pytest.approx((14, 14), rel=1e-5)
    assert load.second["skill"] == pytest.approx(0, abs=1e-5)
    assert load.relative_rmse == pytest.approx(RATIO, rel=1e-5)
    assert load.by_lead == pytest.approx([7, 7 / 2, 7 / 3, 7 / 4, 7 / 5], rel=1e-5)
    power, everything = scores["power", None], scores[None, None]
    assert power.first["rmse"] == pytest.approx((2 + 3) / 2 * np.sqrt(11), rel=1e-5)
    assert power.relative_rmse == pytest.approx(RATIO, rel=1e-5)
    assert everything is found.overall
    assert everything.relative_rmse == pytest.approx(np.sqrt(3 / (2 * 11 / 49 + 1)), rel=1e-5)
    assert everything.by_lead[0] == pytest.approx(np.sqrt(3 / (2 / 49 + 1)), rel=1e-5)
    assert everything.second["mase"] == pytest.approx(1, rel=1e-5)
    assert [(each.ahead, each.same) for each in found.features] == [("first", False)] * 2 + [(None, True)]


def test_the_protocol(found: VersionComparison) -> None:
    assert (found.rows, found.origins, found.horizon, found.overlapping_origins) == (24, 20, HORIZON, HORIZON - 1)
    assert (found.first_origin, found.last_origin) == ("2024-03-25T00:00:00", "2024-04-13T00:00:00")
    assert (found.first.name, found.second.name, found.season_length) == ("v1", "v2", 7)
    assert found.first.seen_until == found.second.seen_until == "2024-03-24T00:00:00"
    assert found.second.groups == {"power": ("load", "parts"), "warmth": ("heat",)}


def test_a_result_survives_json(found: VersionComparison) -> None:
    assert VersionComparison.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_swapped_versions_have_the_same_result_the_other_way_round(noisy: Project) -> None:
    one, other = (compare_versions(noisy, mill_table(), *pair) for pair in (("v1", "v2"), ("v2", "v1")))
    for there, back in zip(one.scores, other.scores, strict=True):
        assert (there.first, there.second) == (back.second, back.first)
        assert there.relative_rmse is not None
        assert back.relative_rmse is not None
        assert there.statistic is not None
        assert there.relative_rmse == pytest.approx(1 / back.relative_rmse)
        assert there.statistic == pytest.approx(-(back.statistic or 0.0))
        assert there.p_value == pytest.approx(back.p_value)
        assert there.adjusted_p == pytest.approx(back.adjusted_p)
    assert (one.first, one.second) == (other.second, other.first)
    assert [(each.name, each.first, each.second) for each in one.differences] == [
        (each.name, each.second, each.first) for each in other.differences
    ]


def test_a_clearly_better_version_is_better_by_more_than_chance(noisy: Project) -> None:
    found = compare_versions(noisy, mill_table(300), "v1", "v2")
    assert found.overall.relative_rmse is not None
    assert found.overall.relative_rmse < 0.5
    assert found.overall.ahead == "second"
    assert [each.ahead for each in found.features] == ["second"] * 3
    assert verdict_line(found).endswith("which is more than chance (p < 0.0001): v2 is better.")


def test_a_version_that_forecasts_the_same_differs_by_nothing(noisy: Project) -> None:
    found = compare_versions(noisy, mill_table(), "v2", "v3")
    for score in found.scores:
        assert (score.relative_rmse, score.ahead, score.p_value, score.same) == (1.0, None, None, True)
        assert score.first == score.second
        assert set(score.by_lead) == {1.0}
    assert verdict_line(found) == "v2 and v3 forecast the same values."


def test_features_are_adjusted_for_their_number_and_all_together_are_not(tmp_path: Path) -> None:
    """Networks that differ a little from the last value, so that nothing is obvious."""
    near = {name: [(1, name, 0.9), (2, name, 0.1)] for name in PREDICTED}
    found = compare_versions(two(tmp_path, LAST, near, mill_table()), mill_table(), "v1", "v2")
    raw = [each.p_value for each in found.features]
    known = sorted(value for value in raw if value is not None)
    assert len(known) == 3
    assert min(each.adjusted_p or 9 for each in found.features) == pytest.approx(min(1, 3 * known[0]))
    assert max(each.adjusted_p or 0 for each in found.features) >= known[2]
    groups = [each for each in found.scores if each.group and not each.feature]
    smallest = min(each.p_value or 9 for each in groups)
    assert min(each.adjusted_p or 9 for each in groups) == pytest.approx(min(1, 2 * smallest))
    assert found.overall.adjusted_p == found.overall.p_value


# which rows


def seen(folder: Path, rows: Mapping[str, Dataset | None]) -> Project:
    """Versions of networks that were trained on some datasets."""
    project = plant(folder, promote=None)
    for run, dataset in rows.items():
        save(project, run, LAST if run == "run1" else WEEK, rows=dataset)
        published(project, run)
    return project


def test_rows_that_either_version_has_seen_are_not_scored(tmp_path: Path) -> None:
    """v1 has seen 96 rows, v2 all but the last 40 of 200."""
    longer = ramp_table(200)
    project = seen(tmp_path, {"run1": None, "run2": build_dataset(longer, mill_step(), "UTC")})
    for pair in (("v1", "v2"), ("v2", "v1")):
        found = compare_versions(project, longer, *pair)
        assert (found.rows, found.origins) == (40, 36)
        assert found.first_origin == "2024-05-28T00:00:00"  # row 160
    assert (found.first.seen_until, found.second.seen_until) == ("2024-05-27T00:00:00", "2024-03-24T00:00:00")


def test_what_came_in_rows_that_were_seen_changes_no_score(tmp_path: Path) -> None:
    """Row 150 was seen by v2 alone. It enters the units of errors, but neither a forecast nor an observed value."""
    longer = ramp_table(200)
    project = seen(tmp_path, {"run1": None, "run2": build_dataset(longer, mill_step(), "UTC")})
    load = longer["load"].to_numpy().copy()
    load[140:150] += 1000
    spoilt = with_column(longer, "load", load)
    clean, found = (of(compare_versions(project, each, "v1", "v2"))["power", "load"] for each in (longer, spoilt))
    for name in ("rmse", "mae", "skill"):
        assert (found.first[name], found.second[name]) == (clean.first[name], clean.second[name])
    load[160:] += 1000
    found = of(compare_versions(project, with_column(longer, "load", load), "v1", "v2"))["power", "load"]
    assert found.first["rmse"] != clean.first["rmse"]


def test_rows_from_an_origin_on_leave_its_forecast_as_it_is(noisy: Project) -> None:
    """One origin, whose observed values alone are poisoned: both errors become the poison."""
    table = poisoned(mill_table(), 96, 1e9)
    found = compare_versions(noisy, table, "v1", "v2", BacktestOptions(origins=1))
    assert found.origins == 1
    score = of(found)["warmth", "heat"]
    assert score.first["rmse"] == pytest.approx(1e9 * np.sqrt(4 / 5), rel=1e-3)
    assert score.second["rmse"] == pytest.approx(1e9 * np.sqrt(4 / 5), rel=1e-3)


@pytest.mark.parametrize(
    ("options", "origins"), [(BacktestOptions(origins=3), 3), (BacktestOptions(stride=8), 3), (None, 20)]
)
def test_origins_are_chosen_as_in_a_back_test(project: Project, options: BacktestOptions | None, origins: int) -> None:
    assert compare_versions(project, ramp_table(), "v1", "v2", options).origins == origins


def test_missing_values_are_not_scored(project: Project) -> None:
    heat = ramp_table()["heat"].to_pylist()
    heat[110] = None
    found = compare_versions(project, with_column(ramp_table(), "heat", heat), "v1", "v2")
    assert of(found)["warmth", "heat"].first["rmse"] == pytest.approx(35, rel=1e-5)
    assert found.origins == 19  # no window ends with a value that was interpolated towards a later one


def test_refitted_networks_are_not_the_ones_that_are_scored(tmp_path: Path) -> None:
    """The network that is used forecasts the last value; the one held out from the test part, that of a week before."""
    project = two(tmp_path, LAST, LAST)
    dataset = build_dataset(ramp_table(), project.spec.training, "UTC")
    for group in project.groups:
        last, week = (linear_member(dataset, group, terms) for terms in (LAST, WEEK))
        stored = project.registry.load("v2").models[group].record.metadata
        options = {**stored.hyperparameters, "refit": True}
        metadata = stored.model_copy(update={"hyperparameters": options, "run_id": "run3", "version": None})
        folder = tmp_path / f"files-{group}"
        folder.mkdir()
        save_network(last.network, folder / "model.keras")
        save_network(week.network, folder / "held_out.keras")
        (folder / "scaler.json").write_bytes(to_json(last.scaler.to_dict()))
        (folder / "history.json").write_bytes(to_json({"loss": [1.0], "val_loss": [1.0], "learning_rate": [0.1]}))
        project.registry.save_candidate(IndividualRecord(metadata=metadata, model_path="", metadata_path=""), folder)
    published(project, "run3")
    found = compare_versions(project, ramp_table(), "v2", "v3")
    assert [score.relative_rmse for score in found.features] == pytest.approx([RATIO] * 3, rel=1e-5)


# a user's mistakes


def test_a_version_that_does_not_exist_or_is_named_twice(project: Project, tmp_path: Path) -> None:
    for pair, message in (
        (("v1", "v9"), "project 'mill' has no version v9; its versions are v1, v2."),
        (("V2", "v1"), "project 'mill' has no version V2; its versions are v1, v2. Did you mean 'v2'?"),
        (("v2", "v2"), "expected two different versions to compare, found v2 twice; the other versions are v1"),
        ((2, "v1"), "expected the name of a version, e.g. 'v3', found 2"),
    ):
        with pytest.raises(RegistryError) as caught:
            require_versions(project, *pair)  # type: ignore[arg-type]
        assert str(caught.value) == message
    with pytest.raises(RegistryError, match="has no version yet"):
        require_versions(plant(tmp_path), "v1", "v2")


def test_no_rows_that_both_have_not_seen(project: Project) -> None:
    with pytest.raises(DataError) as caught:
        compare_versions(project, ramp_table(96), "v1", "v2")
    assert str(caught.value) == (
        "no rows are held out from both versions: v1 has seen those up to 2024-03-24T00:00:00 and v2 has seen those up "
        "to 2024-03-24T00:00:00, and the data ends at 2024-03-24T00:00:00; give a later as-of date or wait for more "
        "rows"
    )


def test_a_table_that_does_not_fit_a_version(project: Project) -> None:
    with pytest.raises(DataError, match="v1 cannot be compared: the input lacks columns that it was trained on: wind;"):
        compare_versions(project, ramp_table().drop_columns(["wind"]), "v1", "v2")
    with pytest.raises(DataError, match="v1 cannot be compared: it was trained on numbers in heat"):
        compare_versions(project, with_column(ramp_table(), "heat", ["x"] * 120), "v1", "v2")
    with pytest.raises(
        DataError, match=r"the data begins at 2024-03-17 00:00:00, 8 rows before them; expected more tha"
    ):
        compare_versions(project, ramp_table().slice(88), "v1", "v2")
    holed = ramp_table(106)["heat"].to_pylist()
    holed[70:96] = [None] * 26  # too long to be filled, so the first window ends at row 103
    with pytest.raises(DataError, match="fits into the 10 rows that neither version has seen: each one needs 8 usable"):
        compare_versions(project, with_column(ramp_table(106), "heat", holed), "v1", "v2")
    with pytest.raises(DataError, match="origins and stride cannot be combined"):
        compare_versions(project, ramp_table(), "v1", "v2", BacktestOptions(origins=2, stride=2))


def test_a_short_held_out_part_cuts_the_horizon_and_says_so(project: Project) -> None:
    found = compare_versions(project, ramp_table(99), "v1", "v2")
    assert (found.horizon, found.origins, found.overall.p_value) == (3, 1, None)
    assert "the horizon is 3 steps instead of 5, as no more rows are held out from both" in found.notes
    assert any(note.startswith("there was no test of chance, as there are too few origins") for note in found.notes)


# what a person sees


def shown(found: VersionComparison) -> str:
    console = make_console()
    with console.capture() as capture:
        for view in comparison_views(found):
            console.print(view, highlight=False, soft_wrap=isinstance(view, str))
    return capture.get()


def test_the_tables(found: VersionComparison) -> None:
    text = shown(found)
    assert text.startswith("The error of v2 is 43.89 % larger than that of v1, which is more than chance (p < 0.0001)")
    assert "v1 and v2 of mill: 20 origins from 2024-03-25T00:00:00 to 2024-04-13T00:00:00, 5 steps each" in text
    load = next(line for line in text.splitlines() if "load" in line and "│" in line)
    cells = [cell.strip() for cell in load.strip("│ ").split("│")]
    assert (cells[0], cells[-3], cells[-2], cells[-1]) == ("load", "2.111", "< 0.0001", "v1")
    assert "note: both forecast the same values of heat" in text
    assert "v2 of run run2 (promoted)" in text


def test_the_verdict_follows_the_result(found: VersionComparison) -> None:
    def verdict(**changes: Any) -> str:
        score = replace(found.overall, **changes)
        return verdict_line(replace(found, scores=(score, *found.scores[1:])))

    assert verdict(relative_rmse=0.9, p_value=0.2, adjusted_p=0.2, statistic=-1.3) == (
        "The error of v2 is 10 % smaller than that of v1, which may be chance (p = 0.2)."
    )
    assert verdict(relative_rmse=0.9, p_value=0.01, adjusted_p=0.01, statistic=-3.0) == (
        "The error of v2 is 10 % smaller than that of v1, which is more than chance (p = 0.01): v2 is better."
    )
    assert verdict(relative_rmse=1.1, p_value=None, adjusted_p=None, statistic=None) == (
        "The error of v2 is 10 % larger than that of v1; whether that is chance was not tested."
    )
    none = {**found.overall.first, "rmse": 0.0}
    assert verdict(relative_rmse=None, first=none).startswith("v1 makes no error")
    assert verdict(relative_rmse=None).startswith("No feature changed in the rows before")


def test_the_plot_is_drawn_whatever_is_undefined(found: VersionComparison) -> None:
    assert draw_comparison(found).startswith(b"\x89PNG")
    undefined = tuple(replace(score, by_lead=(None,) * HORIZON, relative_rmse=None) for score in found.scores)
    many = tuple(replace(undefined[2], feature=f"a $very_ long name of feature {number}" * 2) for number in range(60))
    assert draw_comparison(replace(found, scores=(*undefined, *many))).startswith(b"\x89PNG")


def test_a_notebook_compares(project: Project) -> None:
    notebook = load_project(project.loaded.folder / "mill.yaml", project.storage)
    assert isinstance(notebook, ProjectOfNotebook)
    found = notebook.compare("v1", "v2", BacktestOptions(origins=4), as_of=AS_OF)
    assert (found.origins, found.overall.ahead) == (4, "first")
    with pytest.raises(DataError, match="options: expected BacktestOptions, found"):
        notebook.compare("v1", "v2", 4)  # type: ignore[arg-type]
    with pytest.raises(RegistryError, match="has no version v7"):
        notebook.compare("v1", "v7")


@pytest.mark.slow
def test_the_command_line(project: Project, found: VersionComparison, tmp_path: Path) -> None:
    pq.write_table(ramp_table(), project.loaded.folder / "mill.parquet")
    place = project.loaded.folder
    written, plot = tmp_path / "found.json", tmp_path / "found.png"
    result = fresh_command(
        place, "compare", "mill.yaml", "v1", "v2", "--as-of", "2024-06-01", "-o", str(written), "-o", str(plot)
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "v1 is better" in result.stdout
    assert VersionComparison.from_json(json.loads(written.read_text())) == found
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_mistakes_on_the_command_line(project: Project, tmp_path: Path) -> None:
    for arguments, status, message in (
        (("v1", "v2", "--origins", "2", "--stride", "2"), 2, "--origins and --stride cannot be combined"),
        (("v1", "v2", "-o", "found.txt"), 2, "expected a file name that ends in .json or .png, found found.txt"),
        (("v1", "v2", "-o", str(tmp_path / "no" / "a.json")), 2, "no such folder"),
        (("v1", "v8"), 1, "failed: project 'mill' has no version v8; its versions are v1, v2."),
    ):
        result = command(project.loaded.folder, "compare", "mill.yaml", *arguments)
        assert result.returncode == status
        assert message in " ".join(result.stderr.split())
        assert "Traceback" not in result.stderr
