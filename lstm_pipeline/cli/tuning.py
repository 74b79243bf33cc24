"""The command `tune`: which options forecast best."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lstm_pipeline.cli.options import as_of_option, load, require_groups, with_storage

if TYPE_CHECKING:
    from lstm_pipeline.forecasting import Dataset
    from lstm_pipeline.projects import Project
    from lstm_pipeline.tuning import Case, Finding, Plan


@click.command(short_help="Search the options that forecast SPEC best.")
@click.argument("spec")
@click.option("--group", "groups", multiple=True, help="Search this group's options (can be repeated). Default: all.")
@click.option("--trials", type=click.IntRange(min=1), help="Trials of each group. Default: the spec's, or 20.")
@click.option("--timeout", metavar="TIME", help="How long it may take in all, e.g. 20m. Default: the spec's, or any.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Trials at once.")
@click.option("--sampler", type=click.Choice(["tpe", "random", "grid"]), help="Default: the spec's, or tpe.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the values that are tried.")
@click.option("--write", is_flag=True, help="Put the best options into SPEC; comments and layout stay.")
@click.option("--fresh", is_flag=True, help="Begin anew instead of going on with an earlier search.")
@as_of_option
@with_storage
def tune(spec: str, **options: Any) -> None:
    """Search the options with which SPEC's groups forecast the validation part best.

    The first trial is the spec as it is. The test part is left alone until the end, when the spec's own options and the
    best ones are scored on it. The same command goes on with a search that was stopped or killed, and may run several
    times at once. Nothing is published.
    """
    from lstm_pipeline.tuning import require_optuna, require_yaml

    require_optuna()
    project = load(spec)
    require_groups(project, options["groups"])
    if options["write"]:
        require_yaml(Path(project.loaded.source))  # before the search, not after it
    _tune(project, _plan(project, options), options)


def _plan(project: Project, options: dict[str, Any]) -> Plan:
    """How to search, by the command line and otherwise by the spec."""
    from lstm_pipeline.spec import Range, parse_duration
    from lstm_pipeline.tuning import Plan

    section, timeout = project.spec.tuning, None
    if options["timeout"] is not None:
        try:
            timeout = parse_duration(re.sub(r"(?<=\d)\s*m(?=$|[\s\d])", "min", options["timeout"]))
        except ValueError as error:
            raise click.BadParameter(f"{error}, found '{options['timeout']}'", param_hint="--timeout") from None
        if not timeout:
            raise click.BadParameter("expected a duration longer than 0", param_hint="--timeout")
    sampler, limit = options["sampler"] or section.sampler, timeout or section.timeout
    space = section.space
    if sampler == "grid" and (space is None or any(isinstance(values, Range) for values in space.values())):
        raise click.BadParameter(
            "grid needs tuning.space in the spec, with lists of values and without ranges", param_hint="--sampler"
        )
    return Plan(
        trials=options["trials"] or section.trials,
        seconds=limit.total_seconds() if limit else None,
        sampler=sampler,
        jobs=options["jobs"],
        seed=options["seed"],
        fresh=options["fresh"],
    )


def _tune(project: Project, plan: Plan, options: dict[str, Any]) -> None:
    from lstm_pipeline.forecasting import build_dataset
    from lstm_pipeline.network.runtime import import_quietly
    from lstm_pipeline.projects import training_input
    from lstm_pipeline.reporting import make_console
    from lstm_pipeline.tuning import best_yaml, case_of, plain, tuning_folder, write_options

    console, step = make_console(), plain(project.spec.training)
    as_of = options["as_of"].date() if options["as_of"] else project.today()
    groups = tuple(dict.fromkeys(options["groups"])) or project.groups
    dataset = build_dataset(training_input(project, as_of), step, project.spec.timezone)
    cases = [case_of(project, dataset, group) for group in groups]
    import_quietly()
    shared = plan if plan.seconds is None else replace(plan, seconds=plan.seconds / len(groups))
    findings: list[Finding] = []
    for case in cases:
        findings.append(_search(console, project, case, dataset, shared))
        if findings[-1].outcome.interrupted:
            break
    interrupted = findings[-1].outcome.interrupted
    text = best_yaml(findings)
    path = tuning_folder(project) / "best.yaml"
    path.write_text(text, encoding="utf-8")
    click.echo(f"\n{path}:\n{text}", nl=False)
    if interrupted:
        click.echo("stopped; the same command goes on", err=True)
        raise click.exceptions.Exit(130)
    changes = {finding.group: finding.changes for finding in findings if finding.changes}
    if options["write"] and changes:
        click.echo(f"written into {write_options(project, changes)}")
    elif options["write"]:
        click.echo(f"{project.loaded.source} is left as it is: its own options are the best")


def _search(console: Any, project: Project, case: Case, dataset: Dataset, plan: Plan) -> Finding:
    from lstm_pipeline.reporting import TuningLines, budget_lines, errors_table, importance_table, trials_table
    from lstm_pipeline.tuning import Finding, Watcher, compare_on_test, tune, tuning_folder

    folder = tuning_folder(project)
    for line in [*budget_lines(case, plan), f"kept in {folder / 'studies.db'}"]:
        console.print(line, highlight=False, soft_wrap=True)
    with TuningLines(console) as lines:
        outcome = tune(case, plan, folder, Watcher(lines.on_begin, lines.on_epoch, lines.on_trial))
    finding = Finding(case.group, outcome, None)
    if outcome.best is not None and not outcome.interrupted:
        console.print("training the spec's own options and the best ones for the test part", highlight=False)
        try:
            finding = replace(finding, compared=compare_on_test(case, dataset, outcome))
        except KeyboardInterrupt:
            finding = replace(finding, outcome=replace(outcome, interrupted=True))
    for view in (trials_table(finding), importance_table(finding), errors_table(finding)):
        if view is not None:
            console.print(view)
    if finding.compared is not None:
        console.print(finding.compared.verdict(), highlight=False, soft_wrap=True)
    missing = outcome.wanted - len(outcome.tried)
    if missing > 0 and not outcome.interrupted:
        others = f" ({outcome.others} in other processes)" if outcome.others else ""
        console.print(
            f"{missing} of {outcome.wanted} trials are left{others}: the same command goes on", highlight=False
        )
    return finding
