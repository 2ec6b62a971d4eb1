"""Judges a released or trained model on the test split of other data than its own.

python -m benchmarks.judge puzzle workspace/models/puzzle/VERSION DATA.zip
"""

import json
import tempfile
from pathlib import Path

import click

from nightshift.data.prepare import prepare
from nightshift.evaluation.answers import judge, of_saved_model
from nightshift.tasks.registry import task as task_of
from nightshift.workspace import Workspace


@click.command()
@click.argument("task")
@click.argument("version", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("data")
@click.option("--seed", default=0, show_default=True)
def main(task: str, version: Path, data: str, seed: int) -> None:
    """Print the metrics of VERSION, a SavedModel's folder, on the test split of DATA as one line of JSON."""
    chosen = task_of(task)
    with tempfile.TemporaryDirectory() as folder:
        dataset = prepare(chosen, data, Workspace(Path(folder)), seed=seed)
        judgement = judge(chosen, dataset, of_saved_model(version), seed=seed)
    print(json.dumps({"count": judgement.count, **judgement.metrics}))


if __name__ == "__main__":
    main()
