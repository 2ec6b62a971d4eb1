"""Runs in Kubeflow Pipelines: how one is made, and what is known of it while it runs."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import kfp_server_api

from pipelines.endpoint import Endpoint
from pipelines.upload import Version

SERVICE_ACCOUNT = "nightshift-runner"
EXPERIMENT = "nightshift"
SUCCEEDED = "SUCCEEDED"
ENDED = (SUCCEEDED, "FAILED", "CANCELED", "SKIPPED")
UNDER_WAY = ("starting", "pending", "running")
"""States of a step that are not its last."""

DRIVER = "-driver"
"""Ends the name of the Pod that prepares a step."""


@dataclass(frozen=True)
class Step:
    """A step that has begun: `state` is Kubeflow's in lower case, or `starting` while its Pod is prepared."""

    task: str
    name: str
    state: str
    seconds: float


@dataclass(frozen=True)
class Run:
    """A run as Kubeflow Pipelines knows it; `steps` in the order in which they began."""

    run_id: str
    name: str
    state: str
    error: str
    seconds: float
    steps: tuple[Step, ...]
    failed_nodes: tuple[str, ...]

    @property
    def ended(self) -> bool:
        """Whether its state is its last."""
        return self.state in ENDED

    @property
    def settled(self) -> bool:
        """Whether its steps, too, are in their last state: Kubeflow notes those a moment after the run's."""
        return self.ended and not any(step.state in UNDER_WAY for step in self.steps)

    @property
    def failed_step(self) -> Step | None:
        """The first step that failed."""
        return next((step for step in self.steps if step.state == "failed"), None)


def experiment_id(endpoint: Endpoint, name: str) -> str:
    """The id of the experiment of that name, empty if there is none."""
    named = json.dumps({"predicates": [{"operation": "EQUALS", "key": "name", "string_value": name}]})
    answer = endpoint.experiments.experiment_service_list_experiments(filter=named, **endpoint.in_namespace)
    return str(answer.experiments[0].experiment_id) if answer.experiments else ""


def make_experiment(endpoint: Endpoint, name: str) -> str:
    """The id of the experiment of that name, made if there is none."""
    new = kfp_server_api.V2beta1Experiment(display_name=name, **endpoint.in_namespace)
    return experiment_id(endpoint, name) or str(
        endpoint.experiments.experiment_service_create_experiment(new).experiment_id
    )


def create_run(
    endpoint: Endpoint,
    version: Version,
    arguments: Mapping[str, Any],
    *,
    experiment: str,
    name: str,
    description: str,
    service_account: str = SERVICE_ACCOUNT,
) -> str:
    """Start a run and give its id.

    Args:
        endpoint: where.
        version: of the pipeline.
        arguments: its parameters; those not given keep their defaults.
        experiment: id.
        name: need not be unique.
        description: the run page shows it.
        service_account: of its Pods.
    """
    new = kfp_server_api.V2beta1Run(
        display_name=name,
        description=description,
        experiment_id=experiment,
        service_account=service_account,
        pipeline_version_reference=kfp_server_api.V2beta1PipelineVersionReference(
            pipeline_id=version.pipeline_id, pipeline_version_id=version.version_id
        ),
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=dict(arguments)),
    )
    return str(endpoint.runs.run_service_create_run(new).run_id)


def read_run(endpoint: Endpoint, run_id: str, names: Mapping[str, str]) -> Run:
    """Ask what has become of a run.

    Args:
        endpoint: where.
        run_id: which.
        names: of the steps for people, by task name (see `step_names`).
    """
    found = endpoint.runs.run_service_get_run(run_id)
    details = (found.run_details.task_details if found.run_details else None) or []
    return Run(
        run_id=run_id,
        name=found.display_name,
        state=found.state or "PENDING",
        error=found.error.message or "" if found.error else "",
        seconds=_seconds(found.created_at, found.finished_at),
        steps=tuple(_steps(details, names)),
        failed_nodes=tuple(_failed_nodes(details, names)),
    )


def step_names(specification: Mapping[str, Any]) -> dict[str, str]:
    """What people call the steps that run a container, by the names of their tasks in the specification."""
    containers = {name for name, component in specification["components"].items() if "executorLabel" in component}
    dags = [specification["root"], *specification["components"].values()]
    tasks = {name: task for dag in dags for name, task in dag.get("dag", {}).get("tasks", {}).items()}
    return {
        name: task.get("taskInfo", {}).get("name", name)
        for name, task in tasks.items()
        if task["componentRef"]["name"] in containers
    }


def _steps(details: list[Any], names: Mapping[str, str]) -> Iterator[Step]:
    begun = {detail.display_name: detail for detail in details if detail.start_time and detail.state}
    order = sorted(begun, key=lambda name: begun[name].start_time)
    for task in order:
        detail = begun[task]
        seconds = _seconds(detail.start_time, detail.end_time)
        if task in names:
            yield Step(task, names[task], detail.state.lower(), seconds)
        elif task.removesuffix(DRIVER) in names and task.removesuffix(DRIVER) not in begun:
            state = "starting" if detail.state in ("PENDING", "RUNNING", SUCCEEDED) else detail.state.lower()
            yield Step(task.removesuffix(DRIVER), names[task.removesuffix(DRIVER)], state, seconds)


def _failed_nodes(details: list[Any], names: Mapping[str, str]) -> Iterator[str]:
    """The nodes whose logs may say why: those below a step that failed, and the tries of one that was tried again."""
    failed = (detail for detail in details if detail.state == "FAILED" and detail.start_time)
    for detail in sorted(failed, key=lambda detail: detail.start_time):
        if detail.display_name in names or detail.display_name.startswith("executor"):
            yield from (child.pod_name for child in detail.child_tasks or [] if child.pod_name)


def _seconds(started: datetime | None, ended: datetime | None) -> float:
    """From one to the other, or to now; Kubeflow writes the beginning of all time for an end that is to come."""
    if not started or started.year < 2000:
        return 0.0
    end = ended if ended and ended.year >= 2000 else datetime.fromtimestamp(time.time(), UTC)
    return max(0.0, (end - started).total_seconds())
