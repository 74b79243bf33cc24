from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from lstm_pipeline.definitions import defs as load_definitions
from lstm_pipeline.orchestration.code_location import project_definitions, resources, user_projects
from lstm_pipeline.orchestration.component import ForecastProject
from lstm_pipeline.orchestration.coordinator import tags_of
from lstm_pipeline.orchestration.jobs import OWNERS_ARE_BETA, build_jobs
from lstm_pipeline.orchestration.keys import FORECAST_ASSETS, JOB_KINDS
from lstm_pipeline.projects import load_project
from lstm_pipeline_tests.orchestration.plant import spec, tiny_project, write_data, write_project


def keys(definitions: dg.Definitions) -> set[str]:
    return {key.to_user_string() for key in graph(definitions).get_all_asset_keys()}


def graph(definitions: dg.Definitions) -> Any:
    """With the code location's resources, which a project's definitions leave to it."""
    if not definitions.resources:
        definitions = dg.Definitions.merge(definitions, dg.Definitions(resources=resources()))
    return definitions.resolve_asset_graph()


RUN = ("cleaned_data", "trained_model", "model_metadata", "recent_data", "predictions", "forecast_accuracy")
ASSETS = (*RUN, "backtest", "explanation", "report")


def test_a_project_is_nine_assets_and_its_source(tmp_path: Path) -> None:
    project = tiny_project(tmp_path)
    definitions = dg.Definitions.merge(project_definitions(project), dg.Definitions(resources=resources()))
    dg.Definitions.validate_loadable(definitions)
    assert keys(definitions) == {*(f"tiny-plant/{name}" for name in ASSETS), "sources/tiny-plant/plant"}
    nodes = graph(definitions)
    model = nodes.get(dg.AssetKey(["tiny-plant", "trained_model"]))
    assert model.partitions_def is not None
    assert model.partitions_def.get_partition_keys() == ["energy", "water"]
    assert model.backfill_policy == dg.BackfillPolicy.multi_run(1)
    assert {node.group_name for node in nodes.asset_nodes if node.key.path[0] == "tiny-plant"} == {"tiny_plant"}
    parents = nodes.get(dg.AssetKey(["tiny-plant", "predictions"])).parent_keys
    assert {key.path[-1] for key in parents} == {"recent_data", "model_metadata"}
    parents = nodes.get(dg.AssetKey(["tiny-plant", "backtest"])).parent_keys
    assert {key.path[-1] for key in parents} == {"cleaned_data", "model_metadata"}
    parents = nodes.get(dg.AssetKey(["tiny-plant", "explanation"])).parent_keys
    assert {key.path[-1] for key in parents} == {"cleaned_data", "model_metadata"}
    parents = nodes.get(dg.AssetKey(["tiny-plant", "report"])).parent_keys
    assert {key.path[-1] for key in parents} == {"model_metadata", "predictions"}


def test_jobs_and_their_tags(tmp_path: Path) -> None:
    project = tiny_project(tmp_path)
    definitions = dg.Definitions.merge(project_definitions(project), dg.Definitions(resources=resources()))
    steps = {
        name: [node.name for node in definitions.resolve_job_def(name).graph.node_dict.values()]
        for name in ("tiny_plant_train", "tiny_plant_forecast", "tiny_plant_train_and_forecast", "tiny_plant_backtest")
    }
    assert steps == {
        "tiny_plant_train": ["clean", "train", "publish"],
        "tiny_plant_forecast": ["read_recent", "forecast", "score"],
        "tiny_plant_train_and_forecast": ["clean", "train", "publish", "read_recent", "forecast", "score"],
        "tiny_plant_backtest": ["clean", "backtest"],
    }
    job = definitions.resolve_job_def("tiny_plant_train")
    assert job.tags["lstm_pipeline/executor_memory"] == "2g"
    assert job.run_tags == job.tags
    assert job.executor_def is dg.in_process_executor


def test_trainings_share_a_pool(tmp_path: Path) -> None:
    definitions = project_definitions(tiny_project(tmp_path))
    definitions = dg.Definitions.merge(definitions, dg.Definitions(resources=resources()))
    for name in ("tiny_plant_train", "tiny_plant_train_and_forecast"):
        nodes = definitions.resolve_job_def(name).graph.node_dict
        pools = {alias: node.definition.pools for alias, node in nodes.items()}
        assert {alias for alias, found in pools.items() if found} == {"train"}
        assert pools["train"] == {"lstm_pipeline_training"}
    assets = graph(definitions)
    pooled = {node.key.path[-1] for node in assets.asset_nodes if node.pools}
    assert pooled == {"trained_model"}


def test_materialize_all_leaves_the_backtest_out(tmp_path: Path) -> None:
    nodes = graph(project_definitions(tiny_project(tmp_path))).asset_nodes
    assert {node.key.path[-1] for node in nodes if node.is_materializable} == {*RUN, "explanation", "report"}
    (backtest,) = [node for node in nodes if node.key.path[-1] == "backtest"]
    assert "`tiny_plant_backtest`" in str(backtest.description)


def test_owners_tags_and_the_description_reach_every_asset_and_job(tmp_path: Path) -> None:
    write_data(tmp_path)
    said = {"owners": ["ann@example.com", "team:plant"], "tags": {"site": "north"}, "description": "Plans the shifts."}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({**spec(), **said}))
    project = load_project(tmp_path / "tiny.yaml", str(tmp_path / "storage"))
    definitions = dg.Definitions.merge(project_definitions(project), dg.Definitions(resources=resources()))
    with warnings.catch_warnings():
        warnings.simplefilter("error", dg.BetaWarning)
        warnings.filterwarnings("ignore", OWNERS_ARE_BETA, dg.BetaWarning)
        build_jobs(project)
        definitions.get_repository_def()  # Dagster copies the jobs, and warns of owners each time
    nodes = [node for node in graph(definitions).asset_nodes if node.key.path[0] == "tiny-plant"]
    assert len(nodes) == len(ASSETS)
    for node in nodes:
        assert node.owners == ["ann@example.com", "team:plant"]
        assert node.tags["site"] == "north"
        executor = (
            {}
            if node.key.path[-1] in FORECAST_ASSETS
            else {
                "lstm_pipeline/executor_memory": "2g",
                "dagster-k8s/config": '{"container_config": {"resources": {"limits": {"memory": "2Gi"}, '
                '"requests": {"memory": "2Gi"}}}}',
            }
        )
        assert tags_of(node.metadata) == {"site": "north", **executor}  # of its runs: see `coordinator`
        assert str(node.description).endswith("\n\nPlans the shifts.")
    for kind in JOB_KINDS:
        job = definitions.resolve_job_def(f"tiny_plant_{kind}")
        assert job.owners == ["ann@example.com", "team:plant"]
        assert job.tags["site"] == "north"
        assert str(job.description).endswith("\n\nPlans the shifts.")


def test_the_shipped_project_loads() -> None:
    assert {f"manufacturing_forecast/{name}" for name in ASSETS} <= keys(load_definitions())


def test_one_broken_spec_shows_and_takes_no_other_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_project(tmp_path)
    broken = spec()
    broken["model_metadata"]["transformations"][1]["epochz"] = 3
    (tmp_path / "broken.yaml").write_text(yaml.safe_dump(broken))
    (tmp_path / "no-yaml.yml").write_text("model_metadata: [")
    (tmp_path / "schema.json").write_text('{"details": {}}')  # a part of a project, not one
    monkeypatch.setenv("LSTM_PIPELINE_PROJECTS", str(tmp_path))
    with caplog.at_level(logging.ERROR):
        definitions = user_projects()
    found = keys(definitions)
    assert {f"tiny-plant/{name}" for name in ASSETS} <= found
    assert {"broken_specs/broken", "broken_specs/no_yaml"} <= found
    node = graph(definitions).get(dg.AssetKey(["broken_specs", "broken"]))
    assert "unknown key. Did you mean 'epochs'?" in " ".join(str(node.description).split())
    assert "epochz" in caplog.text


def test_two_projects_of_one_name_do_not_collide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_project(tmp_path)
    (tmp_path / "again.yaml").write_text(path.read_text().replace("tiny-plant", "tiny_plant"))
    monkeypatch.setenv("LSTM_PIPELINE_PROJECTS", str(tmp_path))
    found = keys(user_projects())
    assert "tiny_plant/predictions" in found
    assert "broken_specs/tiny" in found
    taken = keys(user_projects(taken=["tiny.plant"]))
    assert {"broken_specs/again", "broken_specs/tiny"} <= taken


def test_the_component_takes_the_spec_and_shows_every_problem(tmp_path: Path) -> None:
    write_project(tmp_path)
    component = ForecastProject(spec(), tmp_path)
    context = dg.ComponentTree.for_test().load_context
    assert {f"tiny-plant/{name}" for name in ASSETS} <= keys(component.build_defs(context))
    wrong = spec(epochz=1, patience=0)
    broken = ForecastProject(wrong, tmp_path).build_defs(context)
    (node,) = graph(broken).asset_nodes
    assert "epochz" in str(node.description)
    assert "patience" in str(node.description)


def test_the_components_schema_is_the_specs() -> None:
    schema = ForecastProject.get_model_cls().model_json_schema()
    assert "regression_training_lstm" in str(schema)


def test_the_schema_points_to_the_wrong_key_of_a_step_or_an_input() -> None:
    """As `dg check yaml` shows it."""
    from jsonschema import Draft202012Validator  # comes with dg

    validator = Draft202012Validator(ForecastProject.get_model_cls().model_json_schema())
    assert validator.is_valid(spec())
    for step, value, where in (
        ({"epochs": 0}, 0, ["model_metadata", "transformations", 1, "epochs"]),
        ({"transform": "lstm"}, "lstm", ["model_metadata", "transformations", 1, "transform"]),
    ):
        wrong = spec()
        wrong["model_metadata"]["transformations"][1] |= step
        (error,) = validator.iter_errors(wrong)
        assert (error.instance, list(error.absolute_path)) == (value, where)
    wrong = spec()
    wrong["predictions"]["inputs"] = {"features": {"input_type": "file", "uri": "plant.csv", "idd": 1}}
    (error,) = validator.iter_errors(wrong)
    assert "'idd' was unexpected" in error.message
