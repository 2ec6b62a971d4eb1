"""Runs `sweep_and_deploy` on this machine: settings of a preset are tried, the best is judged and released.

python -m pipelines.sweep digits --preset blog --try n_channel_1=16,25 --try n_dense=32,64
python -m pipelines.sweep digits --try learning_rate=1e-3..1e-2 --try width=8..32 --random 12 --seed 1 --json
"""

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from nightshift.errors import WorkspaceError
from nightshift.options import InWords, Setting, training_options, workspace_option
from nightshift.report import formats
from nightshift.serving.store import open_store
from nightshift.settings import address, settings, workspace_path
from nightshift.sweep.plan import Plan, plan_of
from nightshift.sweep.space import MOST_TRIALS
from nightshift.sweep.trials import CHOICE, PLANNED, Outcome, SweepRun, outcomes
from nightshift.tasks.registry import preset_of, source_of
from nightshift.tasks.registry import task as task_of
from nightshift.workspace import Workspace
from pipelines.interruption import Interruption
from pipelines.local import INTERRUPTED, LOG, execute, model_server, summary, tell

THREADS = 2
"""That kfp's local runner has for the iterations of a loop."""


@click.command(cls=InWords)
@click.argument("task")
@click.option("--try", "tried", multiple=True, type=Setting(), help="Values of a setting: 16,25,32 or LOW..HIGH.")
@click.option(
    "--random",
    "samples",
    type=click.IntRange(1, MOST_TRIALS),
    default=None,
    metavar="N",
    help="Try N random samples.  [default: every combination]",
)
@training_options
@click.option("--data", default="", metavar="URI", help="Where the data are; the task's own if not given.")
@click.option("--model", default="", help="Name of the served model; the task's name if not given.")
@click.option("--parallel", default=THREADS, show_default=True, type=click.IntRange(1, THREADS), help="At a time.")
@workspace_option
@click.option("--server", default="", metavar="HOST:PORT", help="Model server; one is started if none answers there.")
@click.option("--json", "as_json", is_flag=True, help="End with one line of figures on standard output.")
def main(
    task: str,
    tried: tuple[tuple[str, str], ...],
    samples: int | None,
    preset: str,
    changes: tuple[tuple[str, str], ...],
    seed: int,
    data: str,
    model: str,
    parallel: int,
    workspace: str,
    server: str,
    as_json: bool,
) -> None:
    """Try settings of TASK's preset; train, judge and release the best, then ask its endpoint."""
    if len(dict(tried)) < len(tried):
        raise click.UsageError("--try names a setting twice; give all of its values at once: NAME=A,B,C")
    if both := dict(tried).keys() & dict(changes).keys():
        raise click.UsageError(f"--set and --try both name {', '.join(sorted(both))}; give one of them")
    plan_of(preset_of(task_of(task), preset, dict(changes)), dict(tried), samples or 0, seed)
    source_of(task_of(task), data)
    place = Workspace(workspace_path(workspace))
    open_store(place.models).ledger(model or task)
    target = address(server or settings().server)
    place.make()
    try:
        with Interruption() as interruption, model_server(place, target) as answering:
            arguments = {
                "task": task,
                "model": model,
                "data": data,
                "preset": preset,
                "settings": dict(changes),
                "tried": dict(tried),
                "samples": samples or 0,
                "seed": seed,
                "workspace": str(place.root),
                "server": answering,
            }
            figures = _sweep_and_deploy(place, arguments, parallel, interruption)
            if as_json:
                click.echo(json.dumps(figures))
            if interruption.received:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        tell("interrupted; the same command goes on where this one stopped")
        sys.exit(INTERRUPTED)
    sys.exit(0 if figures["succeeded"] else 1)


def _sweep_and_deploy(
    place: Workspace, arguments: dict[str, Any], parallel: int, interruption: Interruption
) -> dict[str, Any]:
    """Run the pipeline and tell how that went; returns the figures."""
    task = arguments["task"]
    run = SweepRun(place.new_run(f"{task}-sweep-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}").path)
    tell(f"{task}: run {run.run_id} (log: {run.path / LOG})")

    def pipeline() -> Any:
        from pipelines.sweep_and_deploy import sweep_of

        # Between tries the local runner sleeps, also when the run is to end.
        return sweep_of(parallel, retries=0)

    succeeded = execute(run, pipeline, arguments, interruption)
    trials = _trials(run)
    _show(trials, task_of(task).score)
    server = "" if interruption.received else arguments["server"]
    figures = summary(run, place, arguments["model"] or task, server, succeeded)
    chosen = run.statuses().get(CHOICE, {}).get("figures", {})
    return figures | {
        "reason": figures["reason"] if figures["trained"] else chosen.get("reason", figures["reason"]),
        "trials": [trial.as_json() for trial in trials],
        "best": chosen.get("best", ""),
        "final_settings": chosen.get("final_settings", {}),
    }


def _trials(run: SweepRun) -> list[Outcome]:
    """The best first; none where the sweep did not come to a plan."""
    try:
        return outcomes(run.path, Plan.read(run.path / PLANNED))
    except WorkspaceError:
        return []


def _show(trials: Sequence[Outcome], score: str) -> None:
    """The trials as a table on standard error."""
    if not trials:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
    for name in ("  ", *trials[0].settings, f"validation {score}", "loss", "parameters", "best epoch", "time"):
        table.add_column(name, justify="right")
    for place, trial in enumerate(trials, 1):
        figures = [formats.plain(value) for value in trial.settings.values()]
        if trial.trained:
            figures += [formats.number(value) for value in (trial.score, trial.loss, trial.parameters)]
            figures += [f"{trial.best_epoch} of {trial.epochs}", formats.duration(trial.seconds)]
        else:
            figures += [trial.state or "not begun"]
        table.add_row(f"{place:4}" if trial.trained else "", *figures)
    Console(file=sys.stderr, highlight=False, width=max(120, Console(file=sys.stderr).width)).print(table)


if __name__ == "__main__":
    main()
