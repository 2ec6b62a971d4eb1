"""The TrainJob of a training, as the API takes it."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightshift.kubernetes.objects import Object
from nightshift.training.kubernetes.nodes import Nodes

RUNTIME = "nightshift-tensorflow"
"""The ClusterTrainingRuntime of manifests/components/training, which says how each of the Pods runs."""

NODE = "node"
"""The runtime's replicated Job, and the container of its Pods."""

OVERRIDES = "podTemplateOverrides"
"""Of Trainer 2.1; 2.2 has `runtimePatches` in its place."""

KEY, RUN = "nightshift/recipe", "nightshift/run"
NAME, COUNT, INDEX = "NIGHTSHIFT_TRAINJOB", "NIGHTSHIFT_NODES", "JOB_COMPLETION_INDEX"
"""What a worker reads of its place among the others; Kubernetes sets the last one."""

HANDED_ON = ("NIGHTSHIFT_CHECKPOINTS",)
"""Of the step's own environment."""

PORT = 2222
LONGEST_LABEL = 63


@dataclass(frozen=True)
class Work:
    """What is to be trained, as `nightshift worker` is told.

    Attributes:
        key: of the recipe; the TrainJob's name follows from it, so that a step that begins again finds it.
        task: name.
        preset: name.
        settings: changes to it.
        seed: of weights, order and random changes.
        dataset: its folder, on the volume that all nodes share, or its URI.
        workspace: the same.
        run_id: of the pipeline.
    """

    key: str
    task: str
    preset: str
    settings: Mapping[str, Any]
    seed: int
    dataset: str
    workspace: Path
    run_id: str

    @property
    def name(self) -> str:
        """The TrainJob's."""
        return f"nightshift-{self.key}"

    def command(self) -> list[str]:
        """What each worker runs."""
        options = {
            "task": self.task,
            "preset": self.preset,
            "settings": json.dumps(dict(self.settings)),
            "seed": str(self.seed),
            "dataset": self.dataset,
            "workspace": str(self.workspace),
            "run": self.run_id,
        }
        # Kubernetes would put the value of a variable in the place of $(NAME).
        pairs = [(f"--{name}", value.replace("$(", "$$(")) for name, value in options.items()]
        return ["nightshift", "worker", *(word for pair in pairs for word in pair)]


def train_job(work: Work, nodes: Nodes, image: str, pull_secrets: list[Object], owner: Object) -> Object:
    """The TrainJob.

    Args:
        work: what is trained.
        nodes: on how many nodes, and what each gets.
        image: that the workers run: the step's own.
        pull_secrets: the step's own.
        owner: reference to the step's Pod: whoever deletes that deletes the TrainJob.
    """
    environment = {NAME: work.name, COUNT: str(nodes.count)}
    environment |= {name: os.environ[name] for name in HANDED_ON if os.environ.get(name)}
    placed: Object = {
        "nodeSelector": dict(nodes.node_selector),
        "tolerations": [dict(one) for one in nodes.tolerations],
        "imagePullSecrets": pull_secrets,
    }
    placed = {name: value for name, value in placed.items() if value}
    overrides = [{"targetJobs": [{"name": NODE}], "spec": placed}] if placed else []
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {
            "name": work.name,
            "labels": {"app.kubernetes.io/managed-by": "nightshift", KEY: work.key, RUN: _label(work.run_id)},
            "ownerReferences": [owner],
        },
        "spec": {
            "runtimeRef": {"name": RUNTIME},
            "trainer": {
                "numNodes": nodes.count,
                "image": image,
                "command": work.command(),
                "env": [{"name": name, "value": value} for name, value in environment.items()],
                "resourcesPerNode": nodes.resources(),
            },
            **({OVERRIDES: overrides} if overrides else {}),
        },
    }


def workers(name: str, count: int) -> list[str]:
    """HOST:PORT of each worker of a TrainJob, from the names that its headless Service gives them."""
    return [f"{name}-{NODE}-0-{index}.{name}:{PORT}" for index in range(count)]


def _label(text: str) -> str:
    """A run's identifier as the value of a label."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text)[:LONGEST_LABEL].strip("-_.")
