"""A published version explained as a whole: by the command, as an asset, as JSON and as pictures."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from lstm_pipeline.cli import cli
from lstm_pipeline.errors import DataError, RegistryError
from lstm_pipeline.explaining import ExplainOptions, Explanation, explain, narrowing
from lstm_pipeline.forecasting import Ensemble
from lstm_pipeline.orchestration import stages
from lstm_pipeline.orchestration.assets import build_assets
from lstm_pipeline.orchestration.code_location import resources
from lstm_pipeline.projects import Project, prediction_input
from lstm_pipeline_tests.mill import AS_OF, HORIZON, PREDICTED, mill_project, publish_mill, train_mill

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = mill_project(tmp_path_factory.mktemp("mill"))
    train_mill(made, "run")
    publish_mill(made)
    return made


@pytest.fixture(scope="module")
def whole(project: Project) -> Explanation:
    return explain(project, AS_OF, ExplainOptions(changes=("wind=+10%",)))


@pytest.fixture
def at_home(project: Project, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command's arguments that name the project and its storage."""
    monkeypatch.setenv("LSTM_PIPELINE_STORAGE", str(project.storage))
    return [project.loaded.source, "--as-of", str(AS_OF)]


def test_a_version_is_explained_as_a_whole(project: Project, whole: Explanation) -> None:
    assert (whole.project, whole.version) == ("mill", "v1")
    assert whole.importance.features == whole.attribution.features == tuple(PREDICTED)
    assert whole.importance.inputs == ("heat", "load", "parts", "wind", "calendar")
    assert (whole.importance.horizon, whole.importance.repeats) == (HORIZON, 3)
    assert np.isfinite(whole.importance.rise).all()
    assert (whole.importance.error > 0).all()
    attribution = whole.attribution
    differences = attribution.forecast - attribution.baseline
    np.testing.assert_allclose(attribution.values.sum(axis=(1, 2)), differences, rtol=0.01, atol=1e-3)
    assert {name: round(sum(parts.values()), 6) for name, parts in whole.shares.items()} == dict.fromkeys(PREDICTED, 1)
    changed = whole.what_if
    assert changed is not None
    ensemble = Ensemble.of(project.registry, project.registry.load("v1"))
    made = ensemble.forecast(ensemble.read_history(prediction_input(project, AS_OF)), HORIZON)
    np.testing.assert_allclose(changed.before, made)
    assert changed.after.shape == made.shape


def test_of_many_inputs_few_are_exchanged_one_by_one_and_the_others_together(
    project: Project, whole: Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(narrowing, "WIDE", 3)
    monkeypatch.setattr(narrowing, "_MOST_INPUTS", 2)
    monkeypatch.setattr(narrowing, "MOST_EXPLAINED", 1)
    loaded: list[list[str]] = []
    real = Ensemble.of
    monkeypatch.setattr(
        Ensemble, "of", lambda registry, version: loaded.append([*version.models]) or real(registry, version)
    )
    found = explain(project, AS_OF, ExplainOptions(features=("heat",)))
    assert loaded == [["power", "warmth"]]  # its forecasts take several passes
    place = PREDICTED.index("heat")
    moved = np.abs(whole.attribution.by_input[place])
    kept = sorted(np.argsort(-moved)[:2].tolist())
    names = whole.importance.inputs
    assert found.importance.inputs == found.attribution.inputs == (*(names[each] for each in kept), "3 other inputs")
    others = np.delete(whole.attribution.values[place], kept, axis=0).sum(axis=0)
    expected = np.vstack([whole.attribution.values[place][kept], others])
    np.testing.assert_allclose(found.attribution.values[0], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.importance.rise[0, :2], whole.importance.rise[place][kept], rtol=1e-4, atol=1e-6)
    assert (found.importance.rise[0, 2] != 0).any()
    assert found.notes[0].startswith(
        "of 4 inputs, the 2 that move the explained forecasts most are exchanged one by one"
    )
    json.dumps(Explanation.from_json(found.to_json()).to_json())
    worst = explain(project, AS_OF)
    rolled = project.registry.ensemble_record().metadata.feature_metrics["rolled"]
    assert worst.importance.features == (min(PREDICTED, key=lambda name: rolled[name]["skill"] or 0.0),)
    assert worst.notes[0] == "of 3 features, the 1 with the lowest skill are explained; name others with --feature"
    with pytest.raises(DataError, match=r"v1 predicts no feature 'haet'\. Did you mean 'heat'\?"):
        explain(project, AS_OF, ExplainOptions(features=("haet",)))


def test_a_forecast_of_one_pass_takes_no_networks_of_other_groups(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(narrowing, "WIDE", 3)
    version = project.registry.load("v1")
    part = narrowing.narrowed(version, ("heat",), horizon=1)
    assert ([*part.version.models], part.features) == (["warmth"], ("heat",))
    own, whole = Ensemble.of(project.registry, part.version), Ensemble.of(project.registry, version)
    assert own.predicted == ["heat"]
    table = prediction_input(project, AS_OF)
    made = [each.forecast_table(each.read_history(table), 1) for each in (own, whole)]
    assert made[0]["heat"].to_pylist() == pytest.approx(made[1]["heat"].to_pylist(), rel=1e-6)
    assert narrowing.narrowed(version, ("heat",), horizon=HORIZON).version is version
    monkeypatch.setattr(narrowing, "WIDE", 4)
    assert narrowing.narrowed(version, ("heat",), horizon=1).version is version


def test_json_holds_everything_and_is_read_back(whole: Explanation) -> None:
    text = json.dumps(whole.to_json())
    again = Explanation.from_json(json.loads(text))
    assert json.dumps(again.to_json()) == text
    np.testing.assert_array_equal(again.importance.rise, whole.importance.rise)
    assert again.importance.blocks == whole.importance.blocks
    assert again.what_if is not None
    np.testing.assert_array_equal(again.what_if.change, whole.what_if.change)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "expected an explanation of format 1, found 99; explain again"),
        ({"lags": [[1, 1]]}, "the explanation is damaged: .*expected rise of shape"),
        ({"shares": None}, "the explanation is damaged"),
    ],
)
def test_other_json_is_refused(whole: Explanation, change: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Explanation.from_json({**whole.to_json(), **change})


def test_the_table_has_a_row_for_each_number(whole: Explanation) -> None:
    rows = whole.table().to_pylist()
    kinds = {kind: [row for row in rows if row["kind"] == kind] for kind in {row["kind"] for row in rows}}
    cells = whole.importance.rise.size
    assert {kind: len(found) for kind, found in kinds.items()} == {
        "permutation": cells,
        "integrated gradients": cells,
        "share": sum(map(len, whole.shares.values())),
        "what-if": HORIZON * len(PREDICTED),
    }
    (row,) = [
        row
        for row in kinds["permutation"]
        if (row["feature"], row["input"], row["first_lag"], row["last_lag"]) == ("heat", "wind", 2, 3)
    ]
    importance = whole.importance
    block = [(each.first, each.last) for each in importance.blocks].index((2, 3))
    assert row["value"] == importance.rise[2, 3, block]
    assert row["floor"] == importance.floor[2]


def test_one_feature_and_an_origin_in_the_past(project: Project, whole: Explanation) -> None:
    found = explain(project, AS_OF, ExplainOptions(features=("heat",), origin="2024-03-01 15:00", origins=3))
    assert found.importance.features == found.attribution.features == ("heat",)
    assert list(found.shares) == ["heat"]
    assert found.attribution.origin == "2024-03-01T00:00:00"  # the last step at that time
    assert found.importance.origins == 3
    assert "importance is measured from 3 origins only" in found.notes[0]
    ensemble = Ensemble.of(project.registry, project.registry.load("v1"))
    table = prediction_input(project, AS_OF.replace(month=3, day=1))
    known = ensemble.read_history(table.filter(_until(table, "2024-03-01")))
    changed = explain(project, AS_OF, ExplainOptions(origin="2024-03-01", origins=3, changes=("wind=1",))).what_if
    assert changed is not None
    np.testing.assert_allclose(changed.before, ensemble.forecast(known, HORIZON), rtol=1e-6)


def _until(table: pa.Table, last: str) -> Any:
    """Flags of the rows up to a day."""
    return pc.less_equal(table["date"].cast(pa.date32()), pa.scalar(dt.date.fromisoformat(last)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"features": ("het",)},
            r"v1 predicts no feature 'het'\. Did you mean 'heat'\? It predicts: load",
        ),
        ({"features": ("wind",)}, "v1 predicts no feature 'wind'"),
        ({"changes": ("wnd=3",)}, r"there is no input 'wnd' among those of the models\. Did you mean 'wind'\?"),
        ({"origin": "soon"}, "origin: expected a date or a time, e.g. 2024-04-17T00:00:00, found 'soon'"),
        ({"origin": "2024-04-18"}, "origin: expected a time from 2023-12-27T00:00:00 to 2024-04-17T00:00:00, which"),
        (
            {"origin": "2023-12-26"},
            "origin: expected a time from 2023-12-27T00:00:00 to 2024-04-17T00:00:00, which",
        ),
    ],
)
def test_wrong_names_end_in_one_message(project: Project, options: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        explain(project, AS_OF, ExplainOptions(**options))  # type: ignore[arg-type]


def test_a_version_that_does_not_exist(project: Project) -> None:
    with pytest.raises(RegistryError, match="v9"):
        explain(project, AS_OF, ExplainOptions(version="v9"))


def test_the_command_shows_and_keeps_an_explanation(project: Project, at_home: list[str], tmp_path: Path) -> None:
    outputs = [f"-o{tmp_path / f'why.{suffix}'}" for suffix in ("json", "png", "parquet")]
    result = CliRunner().invoke(cli, ["explain", *at_home, "--origins", "4", "--what-if", "wind=+10%", *outputs])
    assert result.exit_code == 0, result.output
    for text in (
        "What v1 forecasts from: 4 held-out origins, 5 steps each",
        "What moved the forecast after 2024-04-17 ",
        "What if wind +10 % in the last 5 rows of the history",
        "importance is measured from 4 origins only",
    ):
        assert text in re.sub(r"\s+", " ", result.output)
    layout = project.registry.layout
    for suffix, path in (
        ("json", layout.explanation),
        ("png", layout.explanation_plot),
        ("parquet", layout.data("explanation")),
    ):
        assert (tmp_path / f"why.{suffix}").read_bytes() == layout.store.read(path)
    assert Explanation.from_json(json.loads((tmp_path / "why.json").read_text())).importance.origins == 4
    assert (tmp_path / "why.png").read_bytes().startswith(PNG)
    assert pq.read_table(tmp_path / "why.parquet").num_rows > 100


def test_a_part_of_an_explanation_is_not_kept(project: Project, at_home: list[str], tmp_path: Path) -> None:
    layout = project.registry.layout
    layout.store.write(layout.explanation, b"{}")
    output = tmp_path / "why.json"
    result = CliRunner().invoke(cli, ["explain", *at_home, "--origins", "2", "--feature", "heat", "-o", str(output)])
    assert result.exit_code == 0, result.output
    assert json.loads(output.read_text())["features"] == ["heat"]
    assert layout.store.read(layout.explanation) == b"{}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "why.txt"], "expected a name that ends in .json, .parquet or .png, found why.txt"),
        (["-o", "nowhere/why.png"], "no such folder"),
        (["--origins", "1"], "1 is not in the range x>=2"),
    ],
)
def test_wrong_arguments(at_home: list[str], arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(cli, ["explain", *at_home, *arguments])
    assert result.exit_code == 2
    assert message in result.output


def test_the_asset_makes_the_same(project: Project) -> None:
    made = resources(project.storage)
    assets = [asset for asset in build_assets(project) if isinstance(asset, dg.AssetsDefinition)]
    tags = {"lstm_pipeline/as_of": str(AS_OF)}
    with dg.DagsterInstance.ephemeral() as instance:
        for names in (("cleaned_data", "explanation"), ("report",)):
            chosen = dg.AssetSelection.assets(*(dg.AssetKey(["mill", name]) for name in names))
            assert dg.materialize(assets, instance=instance, resources=made, tags=tags, selection=chosen).success
        event, report = (
            instance.get_latest_materialization_event(dg.AssetKey(["mill", name])) for name in ("explanation", "report")
        )
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert metadata["version"].value == "v1"
    assert "data:image/png" in str(metadata["explanation"].value)
    assert [row.data["feature"] for row in metadata["explained"].value.records] == PREDICTED  # type: ignore[union-attr]
    layout = project.registry.layout
    stored = Explanation.from_json(json.loads(layout.store.read(layout.explanation)))
    assert stored.version == "v1"
    with layout.store.opening(layout.data("explanation")) as file:
        table = pq.read_table(file)
    assert table.equals(stored.table())
    assert stages.date_of(table) == AS_OF
    assert report is not None
    assert report.asset_materialization is not None
    assert report.asset_materialization.metadata["report"].value == str(layout.report)
    page = layout.store.read(layout.report).decode()
    assert "Which inputs matter" in page  # what the other asset has found
