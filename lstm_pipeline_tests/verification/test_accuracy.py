"""Scores of issued forecasts, in exact numbers: two origins, a horizon of three days, a season of two."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lstm_pipeline.errors import DataError
from lstm_pipeline.projects.project import Project
from lstm_pipeline.verification import accuracy, live_accuracy
from lstm_pipeline_tests.verification.issuing import AS_OF, NOW, issue, project_in, row, rows, scored, write_input

LOAD = [10.0, 20.0, 12.0, 22.0, 15.0, 21.0, 16.0]
"""Days 1 to 7."""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Forecasts from the 3rd and the 4th; the naive forecasts are 20, 12, 20 and 12, 22, 12."""
    own = project_in(tmp_path)
    write_input(own, rows(range(1, 8), LOAD))
    issue(own, "2024-01-03", {"load": [20.0, 14.0, 22.0]}, bounds={80: (1.0, 1.0), 95: (2.0, 2.0)})
    issue(own, "2024-01-04", {"load": [15.0, 18.0, 16.0]}, bounds={80: (1.0, 1.0), 95: (2.0, 2.0)})
    return own


def test_exact_scores_over_all_lead_times(project: Project) -> None:
    """Errors: 2, 1, -1 and 0, 3, 0; naive errors: 2, 3, 1 and 3, -1, 4."""
    found = row(scored(project))
    assert (found["forecasts"], found["n"], found["group"]) == (2, 6, "power")
    assert found["rmse"] == pytest.approx((15 / 6) ** 0.5)
    assert found["mae"] == pytest.approx(7 / 6)
    assert found["mase"] == pytest.approx(7 / 6 / 2)
    assert found["skill"] == pytest.approx(1 - 15 / 40)
    assert found["coverage_80"] == pytest.approx(4 / 6)
    assert found["coverage_95"] == pytest.approx(5 / 6)
    assert found["interval_score_80"] == pytest.approx((6 * 2 + 10 * (1 + 2)) / 6)
    assert found["interval_score_95"] == pytest.approx((6 * 4 + 40 * 1) / 6)


def test_exact_scores_by_lead_time(project: Project) -> None:
    found = scored(project)
    first, second, third = (row(found, lead=lead) for lead in (1, 2, 3))
    assert [each["n"] for each in (first, second, third)] == [2, 2, 2]
    assert first["rmse"] == pytest.approx(2**0.5)
    assert second["mae"] == pytest.approx(2)
    assert third["mase"] == pytest.approx(0.25)
    assert second["skill"] == pytest.approx(1 - 10 / 10)
    assert (first["coverage_80"], second["coverage_95"]) == (0.5, 0.5)
    assert (first["interval_score_80"], second["interval_score_95"]) == pytest.approx((2 + 10 / 2, 4 + 40 / 2))


def test_all_versions_together_and_by_feature(project: Project) -> None:
    issue(project, "2024-01-04", {"load": [16.0, 21.0, 16.0]}, version="v2", scale=4.0)
    found = scored(project)
    assert row(found, version="v2")["mase"] == pytest.approx(1 / 3 / 4)
    both = row(found, version=None)
    assert (both["forecasts"], both["n"]) == (3, 9)
    assert both["rmse"] == pytest.approx((16 / 9) ** 0.5)
    assert both["mase"] == pytest.approx((7 / 2 + 1 / 4) / 9)
    assert both["coverage_80"] == pytest.approx(4 / 6)
    assert row(found, version="v2")["coverage_80"] is None
    assert both["interval_score_80"] == row(found, version="v1")["interval_score_80"]
    assert row(found, version="v2")["interval_score_80"] is None
    assert found.by_feature("v1")["load"]["rmse"] == row(found)["rmse"]
    assert found.by_feature()["load"]["rmse"] == both["rmse"]


def test_what_has_not_come_yet_is_scored_when_it_comes(project: Project) -> None:
    write_input(project, rows(range(1, 6), LOAD[:5]))
    assert row(found := scored(project))["n"] == 3
    assert found.over_time["v1"].rmse[:, 0] == pytest.approx([2.5**0.5, 0])
    assert not any(each["lead"] == 3 for each in found.table.to_pylist())
    write_input(project, rows(range(1, 8), LOAD))
    assert row(scored(project))["n"] == 6


def test_values_that_are_missing_are_left_out(project: Project) -> None:
    """Without the 5th; the naive forecasts repeat what was known before the origin."""
    write_input(project, rows([1, 2, 3, 4, 6, 7], [*LOAD[:4], *LOAD[5:]]))
    found = row(scored(project))
    assert found["n"] == 4
    assert found["rmse"] == pytest.approx((14 / 4) ** 0.5)
    write_input(
        project, rows(range(1, 8), [10, 20, None, 22, 15, 21, 16])
    )  # the naive value of the 5th is that of day 2
    assert row(scored(project), lead=2)["skill"] == pytest.approx(1 - 10 / (5**2 + 1))


def test_values_in_any_order_are_the_same_values(project: Project) -> None:
    expected = scored(project).table
    order = [4, 6, 1, 7, 3, 5, 2]
    write_input(project, rows(order, [LOAD[day - 1] for day in order]))
    again = scored(project)
    assert again.table.equals(expected)
    assert again.scored == 0


@pytest.mark.parametrize(("rule", "value"), [("mean", 16.0), ("last", 17.0), ("error", None)])
def test_values_that_come_twice_follow_the_rule_for_duplicates(tmp_path: Path, rule: str, value: float | None) -> None:
    project = project_in(tmp_path, on_duplicates=rule)
    issue(project, "2024-01-04", {"load": [15.0, 18.0, 16.0]})
    write_input(project, rows([1, 2, 3, 4, 5, 6, 7, 5, 7], [*LOAD, 17.0, LOAD[6]]))
    found = scored(project)
    squares = 9.0 + (0.0 if value is None else (value - 15) ** 2)
    count = 2 if value is None else 3
    assert row(found)["n"] == count
    assert row(found)["rmse"] == pytest.approx((squares / count) ** 0.5)
    said = [remark for remark in found.remarks if "more than once with different values" in remark]
    assert bool(said) == (value is None)


def test_a_corrected_value_changes_the_scores_that_depend_on_it(project: Project) -> None:
    issue(project, "2024-03-01", {"load": [1.0, 1.0, 1.0]})
    assert scored(project).scored == 2  # two months
    write_input(project, rows(range(1, 8), [*LOAD[:4], 16.0, *LOAD[5:]]))
    found = scored(project)
    assert found.scored == 1
    assert row(found)["rmse"] == pytest.approx((4 + 4 + 1 + 1 + 9) ** 0.5 / 6**0.5)
    write_input(project, rows(range(1, 8), [11.0, *LOAD[1:4], 16.0, *LOAD[5:]]))
    assert scored(project).scored == 0  # of the first day nothing depends


def test_a_corrected_value_before_the_origin_changes_the_naive_forecast_alone(project: Project) -> None:
    before = row(scored(project))
    write_input(project, rows(range(1, 8), [LOAD[0], 21.0, *LOAD[2:]]))
    after = row(scored(project))
    assert after["rmse"] == before["rmse"]
    assert after["skill"] == pytest.approx(1 - 15 / (1 + 9 + 0 + 9 + 1 + 16))


def test_nothing_is_read_again_if_nothing_has_changed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    first = scored(project)

    def refuse(*_: object) -> None:
        raise AssertionError("an issued forecast was read again")

    monkeypatch.setattr(accuracy, "read_issued", refuse)
    again = scored(project)
    assert again.table.equals(first.table)
    assert again.scored == 0
    with pytest.raises(AssertionError):
        scored(project, afresh=True)


def test_scoring_afresh_gives_the_same(project: Project) -> None:
    first = scored(project)
    again = scored(project, afresh=True)
    assert again.scored == 1
    assert again.table.equals(first.table)


def test_the_forecast_made_last_counts_and_a_repeated_run_replaces_its_own(project: Project) -> None:
    later = NOW + dt.timedelta(hours=1)
    issue(project, "2024-01-04", {"load": [16.0, 21.0, 16.0]}, run="run0", made=later)
    assert row(scored(project), lead=2)["rmse"] == pytest.approx((1 / 2) ** 0.5)
    issue(project, "2024-01-04", {"load": [16.0, 21.0, 16.0]}, run="run0", made=NOW - dt.timedelta(hours=1))
    assert row(scored(project), lead=2)["rmse"] == pytest.approx((10 / 2) ** 0.5)
    assert row(scored(project))["forecasts"] == 2


def test_scores_stay_when_the_forecasts_are_pruned(project: Project) -> None:
    before = scored(project).table
    store, layout = project.registry.store, project.registry.layout
    store.remove_all(layout.forecasts / "origin=20240103T000000Z")
    assert scored(project).table.equals(before)
    assert scored(project, afresh=True).table.equals(before)
    write_input(project, rows(range(1, 8), [*LOAD[:4], 99.0, *LOAD[5:]]))  # they cannot be made again
    assert scored(project).table.equals(before)
    store.remove_all(layout.forecasts)
    assert scored(project).table.equals(before)


def test_scores_stay_when_the_input_no_longer_has_their_rows(project: Project) -> None:
    before = scored(project).table
    write_input(project, rows(range(5, 9), [15.0, 99.0, 16.0, 17.0]))
    assert scored(project).table.equals(before)


def test_the_training_input_has_what_the_prediction_input_lacks(project: Project) -> None:
    expected = scored(project).table
    late = rows([6, 7], LOAD[5:])
    write_input(project, rows(range(1, 8), [*LOAD[:5], 500.0, 600.0]), late)
    assert scored(project, afresh=True).table.equals(expected)
    with_gap = rows([5, 6, 7], [None, *LOAD[5:]])
    write_input(project, rows(range(1, 6), LOAD[:5]), with_gap)
    assert scored(project, afresh=True).table.equals(expected)


def test_one_input_that_cannot_be_read_is_said_and_two_are_an_error(project: Project) -> None:
    expected = scored(project).table
    (project.loaded.folder / "all.parquet").unlink()
    found = scored(project)
    assert found.table.equals(expected)
    assert any("the training input cannot be read" in remark for remark in found.remarks)
    (project.loaded.folder / "recent.parquet").unlink()
    with pytest.raises(DataError, match=r"the prediction input cannot be read.*the training input cannot be read"):
        scored(project)


def test_without_forecasts_or_values_there_is_a_table_and_a_sentence(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    found = scored(project)
    columns = ["feature", "group", "version", "lead", "forecasts", "n", "rmse", "mae", "mase", "skill"]
    assert found.table.column_names == [
        *columns,
        "coverage_80",
        "coverage_95",
        "interval_score_80",
        "interval_score_95",
    ]
    assert found.table.num_rows == 0
    assert "No forecast has been issued yet" in found.remarks[0]
    issue(project, "2024-01-07", {"load": [1.0, 2.0, 3.0]})
    write_input(project, rows(range(1, 8), LOAD))
    found = scored(project)
    assert (found.table.num_rows, found.table.schema.names[0]) == (0, "feature")
    assert "The one issued forecast has not come true yet" in found.remarks[0]


def test_a_damaged_forecast_is_left_out_and_said(project: Project) -> None:
    path = issue(project, "2024-01-05", {"load": [15.0, 18.0, 16.0]})
    project.registry.store.write(path, b"PAR1 but not really")
    found = scored(project)
    assert row(found)["n"] == 6
    assert any("1 issued forecast could not be read: origin=20240105" in remark for remark in found.remarks)
    assert scored(project).remarks == found.remarks
    issue(project, "2024-01-05", {"load": [22.0, 16.0, 16.0]})
    assert row(scored(project))["n"] == 8


def test_damaged_scores_are_made_again(project: Project) -> None:
    expected = scored(project).table
    path = project.registry.layout.scores / "2024-01.parquet"
    project.registry.store.write(path, b"nonsense")
    found = scored(project)
    assert (found.scored, found.table.equals(expected)) == (1, True)
    pq.write_table(pa.table({"version": ["v1"]}), str(path))
    assert scored(project).table.equals(expected)


def test_values_that_are_no_numbers_are_left_out(project: Project) -> None:
    table = rows(range(1, 8), [*LOAD[:5], float("inf"), 16.0])
    write_input(project, table)
    assert row(scored(project))["n"] == 4
    text = table.set_column(1, "load", pa.array(["a"] * 7))
    write_input(project, text)
    assert scored(project, afresh=True).table.num_rows == 0


def test_rows_without_a_timestamp_are_left_out(project: Project) -> None:
    expected = scored(project).table
    table = pa.concat_tables([rows([1, 2], LOAD[:2]), pa.table({"date": [None], "load": [5.0], "heat": [5.0]}).cast(
        rows([1], [1.0]).schema), rows(range(3, 8), LOAD[2:])])  # fmt: skip
    write_input(project, table)
    found = scored(project)
    assert found.table.equals(expected)
    assert any("1 row of the prediction input without a timestamp" in remark for remark in found.remarks)


def test_a_perfect_naive_forecast_leaves_the_skill_undefined(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    write_input(project, rows(range(1, 8), [1, 2, 1, 2, 1, 2, 1]))
    issue(project, "2024-01-04", {"load": [1.0, 2.5, 1.0]}, scale=None)
    found = row(scored(project))
    assert (found["skill"], found["mase"]) == (None, None)
    assert found["mae"] == pytest.approx(1 / 6)


def test_a_history_shorter_than_a_season_repeats_its_last_value(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    write_input(project, rows([4, 5, 6, 7], [22, 15, 21, 16]))
    issue(project, "2024-01-04", {"load": [15.0, 20.0, 16.0]})
    assert row(scored(project))["skill"] == pytest.approx(1 - 1 / (49 + 1 + 36))


def test_forecasts_of_different_lengths(project: Project) -> None:
    issue(project, "2024-01-02", {"load": [12.0]})
    found = scored(project)
    assert row(found)["n"] == 7
    assert [row(found, lead=lead)["n"] for lead in (1, 2, 3)] == [3, 2, 2]


def test_a_fresh_process_sees_the_same(project: Project) -> None:
    expected = scored(project)
    code = (
        "import datetime as dt; from lstm_pipeline.verification import score_issued, live_accuracy;"
        "from lstm_pipeline.projects import load_project; import sys;"
        f"project = load_project({str(project.loaded.folder / 'mill.yaml')!r}, {project.storage!r});"
        f"found = score_issued(project, as_of=dt.date({AS_OF.year}, {AS_OF.month}, {AS_OF.day}), "
        "now=dt.datetime.now(dt.UTC)); print(found.scored, found.table.to_pylist());"
        "print(sorted({'tensorflow', 'matplotlib', 'dagster'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"0 {expected.table.to_pylist()}", "[]"]


def test_killed_between_the_scores_and_the_summary(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """And between issuing and scoring: the next run scores what is there."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(accuracy, "store_summary", die)
        with pytest.raises(KeyboardInterrupt):
            scored(project)
    assert live_accuracy(project) is None
    found = scored(project)
    assert (found.scored, row(found)["n"]) == (0, 6)
    assert live_accuracy(project) == found.summary
