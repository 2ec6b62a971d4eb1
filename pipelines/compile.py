"""Writes the pipelines as YAML, to be uploaded in the Kubeflow UI: `python -m pipelines.compile`."""

import tempfile
from pathlib import Path

import click
import yaml
from kfp import compiler

from nightshift.tasks.registry import tasks
from pipelines.train_and_deploy import train_and_deploy

FOLDER = Path(__file__).parent / "compiled"
PIPELINES = {"train_and_deploy": train_and_deploy}


def package(name: str) -> str:
    """A pipeline's YAML; choices that the SDK cannot express are added, so that the run form shows them as lists."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(PIPELINES[name], str(path))
        documents = list(yaml.safe_load_all(path.read_text()))
    parameters = documents[0]["root"]["inputDefinitions"]["parameters"]
    parameters["task"]["literals"] = sorted(tasks())
    return yaml.safe_dump_all(documents, sort_keys=True, width=120)


@click.command()
@click.option("-o", "--output", default=FOLDER, type=click.Path(path_type=Path), show_default="pipelines/compiled")
def main(output: Path) -> None:
    """Compile every pipeline."""
    output.mkdir(parents=True, exist_ok=True)
    for name in PIPELINES:
        path = output / f"{name}.yaml"
        path.write_text(package(name))
        click.echo(path)


if __name__ == "__main__":
    main()
