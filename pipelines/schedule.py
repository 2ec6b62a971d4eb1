"""Keeps the schedules in Kubeflow Pipelines as pipelines/schedules.yaml declares them.

python -m pipelines.schedule plan
python -m pipelines.schedule apply
python -m pipelines.schedule pause nightly-digits
python -m pipelines.schedule list
"""

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, TypeVar

import click

from nightshift.errors import ConfigurationError
from nightshift.options import Commands
from pipelines.endpoint import Endpoint, connect, endpoint_options
from pipelines.page import shown_at, ui_option
from pipelines.reconcile import Change, carry_out, plan
from pipelines.recurring import Place, Recurring, last_run, read_recurring, switch_off, switch_on
from pipelines.runs import experiment_id, make_experiment
from pipelines.schedule_file import FILE, read_schedules
from pipelines.upload import Package, current_version, find_pipeline, upload

FIRINGS = 3
SIGNS = {"created": "+", "changed": "~", "switched on": "~", "switched off": "~", "deleted": "-", "unchanged": "="}
F = TypeVar("F", bound=Callable[..., Any])


@click.group(cls=Commands)
def main() -> None:
    """Schedules in Kubeflow Pipelines, as a file in git declares them."""


def file_option(command: F) -> F:
    """--file."""
    return click.option(
        "--file", default=FILE, type=click.Path(path_type=Path), show_default="pipelines/schedules.yaml"
    )(command)


@main.command("plan")
@file_option
@endpoint_options
def show_plan(file: Path, endpoint: str, namespace: str, token_file: str) -> None:
    """Show what apply would change, and change nothing."""
    declared = read_schedules(file)
    kubeflow = connect(endpoint, namespace, token_file)
    package = _compiled()
    pipeline_id = find_pipeline(kubeflow, package.pipeline)
    place = Place(pipeline_id, experiment_id(kubeflow, declared.experiment))
    if not pipeline_id or not current_version(kubeflow, package, pipeline_id, newest=True):
        click.echo(f"+ {package.version}: to be uploaded; the firings that follow run it")
    changes = plan(declared, read_recurring(kubeflow, declared.group), place)
    for change in changes:
        _show(change)
    click.echo(_counted(changes, "to be "))


@main.command("apply")
@file_option
@endpoint_options
def apply(file: Path, endpoint: str, namespace: str, token_file: str) -> None:
    """Upload the pipeline if its newest version is another, and make the schedules what the file says."""
    declared = read_schedules(file)
    kubeflow = connect(endpoint, namespace, token_file)
    version = upload(kubeflow, _compiled(), newest=True)
    if version.uploaded:
        click.echo(f"+ {version.name}: uploaded; the firings that follow run it")
    place = Place(version.pipeline_id, make_experiment(kubeflow, declared.experiment))
    changes = plan(declared, read_recurring(kubeflow, declared.group), place)
    for change in changes:
        carry_out(kubeflow, change, declared, place)
        _show(change)
    click.echo(_counted(changes, ""))


@main.command()
@click.argument("name")
@file_option
@endpoint_options
def pause(name: str, file: Path, endpoint: str, namespace: str, token_file: str) -> None:
    """Switch schedule NAME off until it is resumed; a run that is under way goes on."""
    _switch(name, file, (endpoint, namespace, token_file), on=False)


@main.command()
@click.argument("name")
@file_option
@endpoint_options
def resume(name: str, file: Path, endpoint: str, namespace: str, token_file: str) -> None:
    """Switch schedule NAME on again, from its next firing on; what it has missed is not made up for."""
    _switch(name, file, (endpoint, namespace, token_file), on=True)


@main.command("list")
@file_option
@endpoint_options
@ui_option
def show_list(file: Path, endpoint: str, namespace: str, token_file: str, ui: str) -> None:
    """List the schedules: state, cron, next firing times, last run."""
    declared = read_schedules(file)
    kubeflow = connect(endpoint, namespace, token_file)
    there = {each.name: each for each in read_recurring(kubeflow, declared.group)}
    for schedule in declared.schedules:
        found = there.pop(schedule.name, None)
        state = "not applied" if not found else "on" if found.enabled else "paused"
        click.echo(f"{schedule.name}: {state}, {schedule.cron} {declared.time_zone}")
        if found and found.enabled:
            zone: tzinfo = declared.time_zone
            times = schedule.cron.next_times(datetime.now(UTC), zone, FIRINGS)
            click.echo("  next: " + ", ".join(f"{time:%a %Y-%m-%d %H:%M %Z}" for time in times))
        if found:
            click.echo(f"  last: {_last(kubeflow, found, ui)}")
    for name in there:
        click.echo(f"{name}: no longer in {file.name}; apply deletes it")


def _last(endpoint: Endpoint, found: Recurring, ui: str) -> str:
    run = last_run(endpoint, found)
    return f"{run.state}, {run.created:%Y-%m-%d %H:%M %Z}, {shown_at(endpoint, run.run_id, ui)}" if run else "none yet"


def _switch(name: str, file: Path, where: tuple[str, str, str], *, on: bool) -> None:
    declared = read_schedules(file)
    schedule = declared.named(name)
    kubeflow = connect(*where)
    found = [each for each in read_recurring(kubeflow, declared.group) if each.name == name]
    if not found:
        raise ConfigurationError(f"schedule {name!r}: not in Kubeflow Pipelines yet; apply the file first")
    for each in found:
        if each.enabled is not on:
            (switch_on if on else switch_off)(kubeflow, each)
    click.echo(f"{name}: {'on' if on else 'paused'}")
    if schedule.enabled is not None and schedule.enabled is not on:
        click.echo(f"  until the next apply: {file.name} says enabled: {str(schedule.enabled).lower()}")


def _compiled() -> Package:
    from pipelines.compile import package  # kfp takes its time

    return Package(package("train_and_deploy"))


def _show(change: Change) -> None:
    paused = change.found and not change.found.enabled and not change.enabled and change.kind != "deleted"
    click.echo(f"{SIGNS[change.kind]} {change.name}: {change.kind}{', stays paused' if paused else ''}")
    for each in change.differences:
        if change.kind == "changed":
            click.echo(f"    {each.field}: {_told(each.found)} -> {_told(each.expected)}")
        elif each.field == "cron" or each.field.startswith("parameters."):
            click.echo(f"    {each.field}: {each.expected}")


def _told(value: Any) -> str:
    return "not given" if value is None else str(value)


def _counted(changes: list[Change], tense: str) -> str:
    kinds = [change.kind for change in changes if change.kind != "unchanged"]
    if not kinds:
        return f"nothing to change: {len(changes)} as declared"
    return ", ".join(f"{kinds.count(kind)} {tense}{kind}" for kind in dict.fromkeys(kinds))


if __name__ == "__main__":
    main()
