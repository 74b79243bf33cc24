"""The command `lstm-pipeline`.

Exit status: 0 success, 1 the run failed, 2 the spec or the command line is wrong, 3 (of `status`) a person is
needed.
"""

from __future__ import annotations

import atexit
import datetime as dt
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lstm_pipeline.cli.automation import simulate, status
from lstm_pipeline.cli.comparing import compare
from lstm_pipeline.cli.explaining import explain
from lstm_pipeline.cli.options import as_of_option, load, require_groups, with_storage
from lstm_pipeline.cli.planning import plan
from lstm_pipeline.cli.report import report
from lstm_pipeline.cli.tuning import tune
from lstm_pipeline.cli.versioning import promote, rollback
from lstm_pipeline.errors import PipelineError, SpecError
from lstm_pipeline.wording import counted, listed

if TYPE_CHECKING:
    from lstm_pipeline.backtesting import BacktestOptions
    from lstm_pipeline.projects import Project
    from lstm_pipeline.registry import Decision, Refused, Registry

RUN_FAILED, SPEC_WRONG = 1, 2
_FORMER = "lstm_pipeline.refit_every"
_MOST_TOLD = 100
"""Files whose removal is told one by one, which --dry-run lists all; and groups whose networks are."""


def _renamed(context: click.Context, parameter: click.Parameter, value: int | None) -> None:
    """An option's former name: it still works and says so."""
    if value is not None:
        click.echo("note: --refit-every is now called --retrain-every; the old name still works", err=True)
        context.meta[_FORMER] = value


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lstm-pipeline")
def cli() -> None:
    """Train one LSTM per feature group, publish versions of the ensemble, and forecast.

    SPEC is a project spec (YAML or JSON) or the name of a project in the projects folder.
    """


@cli.command(short_help="Write a first spec, filled in from your data.")
@click.argument("file", metavar="SPEC", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--data", metavar="URI", help="Parquet or CSV: a file, a folder, a glob or s3://…, to fill in its columns."
)
def init(file: Path, data: str | None) -> None:
    """Write a first spec to SPEC, e.g. projects/plant.yaml: valid, commented, filled in from your data."""
    from lstm_pipeline.projects import EXAMPLE, first_spec, read_columns, relative_uri

    if file.suffix.lower() not in (".yaml", ".yml"):
        raise click.BadParameter(f"expected a file name that ends in .yaml, found {file.name}", param_hint="SPEC")
    if file.exists():
        raise click.BadParameter(f"{file} exists already, and is left as it is; choose another name", param_hint="SPEC")
    name = re.sub(r"[^A-Za-z0-9_-]", "_", file.stem)
    columns = read_columns(data) if data else EXAMPLE
    uri = relative_uri(data, file.parent) if data else f"{name}.parquet"
    text = first_spec(name, uri, columns)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("x") as target:
        target.write(text)
    click.echo(f"{file}: {counted(len(columns.features), 'feature')}, timestamps in '{columns.timestamp}'")
    if columns.problem:
        click.echo(f"  the frequency was not inferred: {columns.problem}")
    problems = _first_problems(file) if data else []
    for problem in problems:
        click.echo(f"  to be settled by you: {problem}")
    click.echo(f"next: lstm-pipeline validate {file}" if data else f"next: put your columns in, then validate {file}")


def _first_problems(file: Path) -> list[str]:
    """What a fresh spec cannot decide by itself: columns of numbers that are text, or a frequency."""
    from lstm_pipeline.projects import data_problems, load_project

    try:
        return [str(problem) for problem in data_problems(load_project(file))]
    except PipelineError as error:
        return [str(error)]


@cli.command(short_help="Check SPEC against its inputs; list every problem.")
@click.argument("spec")
@as_of_option
@with_storage
def validate(spec: str, as_of: dt.datetime | None) -> None:
    """Check SPEC against the columns and rows of its inputs, and list every problem."""
    from lstm_pipeline.forecasting import described_data
    from lstm_pipeline.projects import checked_data
    from lstm_pipeline.spec import cluster_notes

    project = load(spec)
    checked = checked_data(project, as_of.date() if as_of else None)
    if checked.problems:
        raise SpecError(project.loaded.source, checked.problems)
    lines = described_data(project, checked.frame)
    click.echo(f"{project.loaded.source}: the spec is valid and fits its inputs")
    for line in [*lines, *cluster_notes(project.spec)]:
        click.echo(f"  {line}")


@cli.command(short_help="Train SPEC's groups, publish a version and forecast.")
@click.argument("spec")
@click.option("--only", type=click.Choice(["train", "predict"]), help="Only train, or only forecast.")
@click.option("--group", "groups", multiple=True, help="Train only this group (can be repeated).")
@as_of_option
@with_storage
def run(spec: str, only: str | None, groups: tuple[str, ...], as_of: dt.datetime | None) -> None:
    """Train SPEC's groups, publish a version and forecast."""
    project = load(spec)
    require_groups(project, groups)
    if groups and only == "predict":
        raise click.BadParameter("--group selects what to train, so it cannot be combined with --only predict")
    _run(project, train=only != "predict", predict=only != "train", groups=groups or None, as_of=as_of)


@cli.command(short_help="Score SPEC's forecasts beside simpler methods.")
@click.argument("spec")
@click.option(
    "--origins", type=click.IntRange(min=1), help="Number of origins, spread evenly. Default: all, at most 512."
)
@click.option("--stride", type=click.IntRange(min=1), help="Rows from one origin to the next, instead of --origins.")
@click.option(
    "--retrain-every",
    type=click.IntRange(min=1),
    help="Train anew after this many origins, instead of scoring a published version.",
)
@click.option("--refit-every", type=click.IntRange(min=1), hidden=True, expose_value=False, callback=_renamed)
@click.option("--version", metavar="vN", help="Version to score. Default: the one in use.")
@as_of_option
@with_storage
def backtest(
    spec: str,
    origins: int | None,
    stride: int | None,
    retrain_every: int | None,
    version: str | None,
    as_of: dt.datetime | None,
) -> None:
    """Forecast from many origins in the rows that SPEC's version has not seen, and score it beside simpler methods.

    With --retrain-every nothing is published: the models are trained for this back-test alone.
    """
    retrain_every = retrain_every or click.get_current_context().meta.get(_FORMER)
    if origins is not None and stride is not None:
        raise click.BadParameter("--origins and --stride cannot be combined")
    if version is not None and retrain_every is not None:
        raise click.BadParameter(
            "--version scores a published version and --retrain-every trains anew; use one of them"
        )
    project = load(spec)
    from lstm_pipeline.backtesting import BacktestOptions

    _backtest(project, BacktestOptions(version, origins, stride, retrain_every), as_of.date() if as_of else None)


@cli.command(short_help="Train and forecast with simulated data.")
@as_of_option
@with_storage
def demo(as_of: dt.datetime | None) -> None:
    """Simulate a plant's data, then train and forecast with the shipped project."""
    from lstm_pipeline.defs.simulated_plant import simulated_plant
    from lstm_pipeline.orchestration import materialize
    from lstm_pipeline.projects import DEMO

    project = load(DEMO)
    last = as_of.date() if as_of else project.today()
    click.echo(f"The data of this demo is SIMULATED: nine daily columns of a plant up to {last}.")
    materialize(simulated_plant, project, as_of=last)
    _run(project, train=True, predict=True, groups=None, as_of=as_of)


@cli.command(short_help="List SPEC's versions and refused models.")
@click.argument("spec")
@with_storage
def versions(spec: str) -> None:
    """List SPEC's versions: how accurate they are, which models they pin, which one is in use, and what was refused."""
    from lstm_pipeline.reporting import make_console, versions_table
    from lstm_pipeline.storage import each

    registry = load(spec).registry
    in_use = registry.resolve()
    records = each(registry.summary, registry.versions(), "reading versions")
    console = make_console()
    console.print(versions_table(records, in_use))
    _report_refused(console, [refused.decision for refused in _refused(registry)])


@cli.command(short_help="Remove what SPEC no longer needs.")
@click.argument("spec")
@click.option("--keep", type=click.IntRange(min=1), required=True, help="How many of the latest versions to keep.")
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@with_storage
def prune(spec: str, keep: int, dry_run: bool) -> None:
    """Remove old versions of SPEC, and the models and candidates that are no longer needed.

    The version in use and every model that a kept version pins are kept. Issued forecasts of versions that are gone
    are kept for a year after they were written, so that they can be scored; their scores are kept for good.
    """
    from lstm_pipeline.registry import prune as remove

    removals = remove(load(spec).registry, keep, dry_run=dry_run)
    shown = removals if dry_run or len(removals) <= _MOST_TOLD else removals[:_MOST_TOLD]
    for removal in shown:
        click.echo(f"{'would remove' if dry_run else 'removed'} {removal.path} ({removal.reason})")
    if more := len(removals) - len(shown):
        click.echo(f"… {more:,} more")
    total = sum(removal.size for removal in removals)
    click.echo(f"{len(removals)} removals, {total / 1e6:,.1f} MB{' (nothing was removed)' if dry_run else ''}")


cli.add_command(promote)
cli.add_command(rollback)
cli.add_command(status)
cli.add_command(simulate)
cli.add_command(compare)
cli.add_command(explain)
cli.add_command(report)
cli.add_command(tune)
cli.add_command(plan)


def main() -> None:
    """Entry point: a user's mistake ends in a message, never in a traceback."""
    try:
        status = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except click.Abort:
        click.echo("stopped", err=True)
        status = 130
    except SpecError as error:
        click.echo(str(error), err=True)
        status = SPEC_WRONG
    except PipelineError as error:
        click.echo(f"failed: {error}", err=True)
        status = RUN_FAILED
    _leave(status if isinstance(status, int) else 0)


def _leave(status: int) -> NoReturn:
    """Exits at once if TensorFlow has been loaded, which would otherwise take seconds to shut down."""
    if "tensorflow" in sys.modules:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _run(
    project: Project, *, train: bool, predict: bool, groups: tuple[str, ...] | None, as_of: dt.datetime | None
) -> None:
    from lstm_pipeline.network.runtime import import_quietly
    from lstm_pipeline.orchestration import run_project
    from lstm_pipeline.reporting import TrainingBars, make_console

    import_quietly()
    console = make_console()
    trained = [group for group in project.groups if groups is None or group in groups] if train else []
    with TrainingBars(console, trained, project.spec.training.epochs) as bars:
        version = run_project(
            project,
            train=train,
            predict=predict,
            groups=groups,
            as_of=as_of.date() if as_of else None,
            progress=bars,
        )
    _report(console, project, version, train=train, predict=predict)
    for line in bars.failed_checks:
        console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)


def _backtest(project: Project, options: BacktestOptions, as_of: dt.date | None) -> None:
    import pyarrow.parquet as pq

    from lstm_pipeline.backtesting import read_protocol
    from lstm_pipeline.network.runtime import import_quietly
    from lstm_pipeline.orchestration import run_backtest
    from lstm_pipeline.reporting import TrainingBars, backtest_tables, make_console

    import_quietly()
    console, layout = make_console(), project.registry.layout
    trained = project.groups if options.retrain_every else ()
    with TrainingBars(console, trained, project.spec.training.epochs) as bars:
        run_backtest(project, options, as_of=as_of, progress=bars)
    path = layout.data("backtest")
    with layout.store.opening(path) as file:
        table = pq.read_table(file)
    for view in backtest_tables(table, read_protocol(table)):
        console.print(view)
    console.print(f"scores: {path}", soft_wrap=True)
    console.print(f"plot:   {layout.backtest_plot}", soft_wrap=True)


def _refused(registry: Registry) -> list[Refused]:
    """The refused candidates. A note of one that is damaged is told and hides no other."""
    damaged: list[str] = []
    found = registry.refused(damaged)
    for sentence in damaged:
        click.echo(f"warning: {sentence}", err=True)
    return found


def _report_refused(console: Any, decisions: list[Decision]) -> None:
    """Prints which candidates were refused, if any."""
    if decisions:
        from lstm_pipeline.reporting import decisions_table

        console.print(
            decisions_table(decisions, "Refused candidates (to overrule: lstm-pipeline promote SPEC --group …)")
        )


def _report(console: Any, project: Project, version: str | None, *, train: bool, predict: bool) -> None:
    """Prints how good the version is, and where everything is."""
    import pyarrow.parquet as pq

    from lstm_pipeline.reporting import coverage_line, forecast_table, made_of, metrics_table, note_lines

    registry = project.registry
    record = registry.ensemble_record(version or project.spec.prediction.version)
    lines = note_lines(record)
    if train and project.spec.training.preset == "accurate":
        pinned, files = record.metadata.individual_models, registry.files
        for one in pinned[:_MOST_TOLD]:
            made = made_of(files.load(files.folder_of(one)).record.metadata.variants)
            lines.append(f"group {one.model_name}: {listed(made)}")
        if more := pinned[_MOST_TOLD:]:
            lines.append(f"… {counted(len(more), 'more group')}")
    for text in lines:
        console.print(text, highlight=False, soft_wrap=True)
    console.print(metrics_table(record))
    if line := coverage_line(record):
        console.print(line, highlight=False, soft_wrap=True)
    if train:
        newest = {refused.group: refused for refused in _refused(registry)}
        pointers = {group: registry.candidates.readable_pointer(group) for group in newest}
        current = [each for group, each in newest.items() if (p := pointers[group]) and p.run_id == each.run_id]
        _report_refused(console, [refused.decision for refused in current])
    if predict:
        path = registry.layout.data("predictions")
        with registry.store.opening(path) as file:
            console.print(forecast_table(pq.read_table(file), project.spec.prediction.timestamp_col))
        console.print(f"predictions: {path}", soft_wrap=True)
        console.print(f"plot:        {registry.layout.forecast_plot}", soft_wrap=True)
    console.print(f"version:     {record.version} ({registry.layout.ensemble(record.version)})", soft_wrap=True)
