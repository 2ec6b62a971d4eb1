"""Writes the pipelines as YAML: `python -m pipelines.compile`, to be uploaded in the Kubeflow UI.

python -m pipelines.compile --kubernetes --namespace kubeflow | kubectl apply -f -
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml
from kfp import compiler

from nightshift.tasks.registry import imported_tasks, tasks
from pipelines.import_and_deploy import import_and_deploy
from pipelines.sweep_and_deploy import sweep_and_deploy
from pipelines.train_and_deploy import train_and_deploy
from pipelines.upload import Package

FOLDER = Path(__file__).parent / "compiled"
PIPELINES = {
    "import_and_deploy": import_and_deploy,
    "sweep_and_deploy": sweep_and_deploy,
    "train_and_deploy": train_and_deploy,
}
API_VERSION = "pipelines.kubeflow.org/v2beta1"


def package(name: str) -> str:
    """A pipeline's YAML; choices that the SDK cannot express are added, so that the run form shows them as lists."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(PIPELINES[name], str(path))
        documents = list(yaml.safe_load_all(path.read_text()))
    parameters = documents[0]["root"]["inputDefinitions"]["parameters"]
    for parameter, literals in choices(name).items():
        parameters[parameter]["literals"] = literals
    return _yaml(documents)


def choices(pipeline: str = "train_and_deploy") -> dict[str, list[str]]:
    """What a parameter of a pipeline may be, where that is the same for every task."""
    if pipeline == "import_and_deploy":
        return {"task": sorted(imported_tasks())}
    presets = {frozenset(task.presets) for task in tasks().values()}
    return {"task": sorted(tasks()), **({"preset": sorted(presets.pop())} if len(presets) == 1 else {})}


def resources(package: Package, namespace: str = "") -> list[dict[str, Any]]:
    """A package as Pipeline and PipelineVersion, for a Kubeflow Pipelines that keeps pipelines in Kubernetes.

    The version's name is that of its content, the same that an upload gives it.
    """
    specification, *platform = yaml.safe_load_all(package.text)
    where = {"namespace": namespace} if namespace else {}
    description = {key: text for key, text in specification["pipelineInfo"].items() if key == "description"}
    return [
        {
            "apiVersion": API_VERSION,
            "kind": "Pipeline",
            "metadata": {"name": package.pipeline, **where},
            "spec": {"displayName": package.pipeline, **description},
        },
        {
            "apiVersion": API_VERSION,
            "kind": "PipelineVersion",
            "metadata": {"name": package.version, **where},
            "spec": {
                "displayName": package.version,
                "pipelineName": package.pipeline,
                "pipelineSpec": specification,
                **({"platformSpec": platform[0]} if platform else {}),
                **description,
            },
        },
    ]


def _yaml(documents: list[Any]) -> str:
    return str(yaml.safe_dump_all(documents, sort_keys=True, width=120))


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder.  [default: pipelines/compiled]")
@click.option("--kubernetes", is_flag=True, help="Resources for GitOps; on standard output if no folder is given.")
@click.option("--namespace", default="", help="Of those resources.")
def main(output: Path | None, kubernetes: bool, namespace: str) -> None:
    """Compile every pipeline."""
    if namespace and not kubernetes:
        raise click.UsageError("--namespace is that of --kubernetes resources")
    for name, text in _compiled(kubernetes, namespace):
        if kubernetes and not output:
            click.echo(f"---\n{text}", nl=False)
            continue
        folder = output or FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.yaml").write_text(text)
        click.echo(folder / f"{name}.yaml")


def _compiled(kubernetes: bool, namespace: str) -> Iterator[tuple[str, str]]:
    for name in PIPELINES:
        text = package(name)
        yield name, _yaml(resources(Package(text), namespace)) if kubernetes else text


if __name__ == "__main__":
    main()
