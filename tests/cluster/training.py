"""The pipeline's own train step in Pods of the tests' own: the compiled component, its account, volume, environment."""

import contextlib
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from deployer import Deployer, deployer
from installation import Installation
from kubectl import Kubectl, until
from overlays import MANIFESTS
from pods import PROGRAMS, pod

COMPILED = MANIFESTS.parent / "pipelines" / "compiled" / "train_and_deploy.yaml"
WORKSPACE = "/workspace"
RUNTIME = "nightshift-tensorflow"
ENDED = ("Succeeded", "Failed")
DESCRIPTION = "training.json"
ARTIFACTS = {"dataset": "system.Dataset", "model": "system.Model", "learning_curves": "system.HTML"}
ARTIFACTS |= {"training_metrics": "system.Metrics"}

Object = dict[str, Any]


@dataclass(frozen=True)
class TrainSteps:
    """Where train steps run.

    Attributes:
        kubectl: for the runs' namespace.
        hand: a Pod with the workspace, in which tests look and prepare.
        overlay: the folder of the kustomization.
    """

    kubectl: Kubectl
    hand: Deployer
    overlay: Path

    def prepare(self, task: str, run_id: str, settings: dict[str, Any], seed: int = 0) -> "Training":
        """Prepare a task's own data; the training of that run."""
        changes = [word for name, value in settings.items() for word in ("--set", f"{name}={json.dumps(value)}")]
        # Nothing serves here: the champion is asked for and not found.
        self.hand("nightshift", "step", "prepare-data", task, "--run", run_id, "--seed", str(seed), *changes)
        record = json.loads(self.hand("cat", f"{WORKSPACE}/runs/{run_id}/prepare_data/status.json"))
        return Training(self, task, run_id, settings, seed, record["figures"]["dataset_path"], record["figures"]["key"])


@dataclass(frozen=True)
class Training:
    """One recipe, to be trained."""

    steps: TrainSteps
    task: str
    run_id: str
    settings: dict[str, Any]
    seed: int
    dataset: str
    key: str

    @property
    def name(self) -> str:
        """The TrainJob's."""
        return f"nightshift-{self.key}"

    @property
    def kubectl(self) -> Kubectl:
        return self.steps.kubectl

    @contextlib.contextmanager
    def step(self, nodes: int, name: str = "step", **container: Any) -> Iterator["StepPod"]:
        """A Pod `NAME` that does the train step, for the length of the block.

        The shell of Kubeflow's command forwards no signals, so they go to the program itself.
        """
        body = pod(f"{name}-{self.run_id}", "train", _command(self._input(nodes)), **_container(container))
        body["spec"]["serviceAccountName"] = "nightshift-runner"
        claim = {"name": "workspace", "persistentVolumeClaim": {"claimName": "nightshift-workspace"}}
        memory = {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}
        body["spec"]["volumes"] += [claim, memory]
        self.kubectl.apply(body)
        found = StepPod(self, f"{name}-{self.run_id}")
        try:
            yield found
        finally:
            self.kubectl("delete", "pod", found.name, "--grace-period=1", "--ignore-not-found")

    def _input(self, nodes: int) -> Object:
        parameters = {
            "task": self.task,
            "preset": "default",
            "settings": self.settings,
            "seed": self.seed,
            "workspace": "",
            "run_id": self.run_id,
            "gpus": "0",
            "cpu": "2",
            "memory": "2Gi",
            "tolerations": [],
            "node_selector": {},
            "nodes": nodes,
            "per_node": {},
        }
        link = f"{WORKSPACE}/runs/{self.run_id}/dataset.link"
        self.steps.hand("sh", "-c", 'echo "$0" > "$1"', json.dumps({"path": self.dataset}), link)
        made = {name: _artifact(name, f"/tmp/out/{name}") for name in ARTIFACTS if name != "dataset"}
        return {
            "inputs": {"parameterValues": parameters, "artifacts": {"dataset": _artifact("dataset", link)}},
            "outputs": {"artifacts": made, "outputFile": "/tmp/out/metadata.json"},
        }

    def on_nodes(self, nodes: Object, **more: Any) -> Object:
        """What programs/on_nodes.py comes to, run by hand."""
        names = ("key", "task", "settings", "seed", "dataset", "run_id")
        work = {name: getattr(self, name) for name in names} | {"preset": "default", "workspace": WORKSPACE}
        asked = {"work": work, "nodes": nodes, **more}
        said = self.steps.hand("python", f"{PROGRAMS}/on_nodes.py", json.dumps(asked), timeout=600)
        return {**json.loads(said.splitlines()[-1]), "said": said}

    # What there is of it.

    def train_jobs(self) -> list[Object]:
        """All TrainJobs of the namespace with its key."""
        found: list[Object] = self.kubectl.get("trainjobs", "-l", f"nightshift/recipe={self.key}")
        return found

    def workers(self) -> list[Object]:
        """Its workers' Pods, by index, the newest of each."""
        found = self.kubectl.get("pods", "-l", f"jobset.sigs.k8s.io/jobset-name={self.name}")
        return sorted(found, key=lambda one: one["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"])

    def await_workers(self, count: int, seconds: float = 120) -> list[Object]:
        """Wait until so many run."""

        def running() -> list[Object]:
            found = [one for one in self.workers() if one["status"]["phase"] == "Running" and not _ending(one)]
            return found if len(found) == count else []

        found: list[Object] = until(running, seconds, f"{count} workers of {self.name} run")
        return found

    def kill(self, worker: Object) -> str:
        """End a worker without a chance to say goodbye; how.

        Where the node is this machine its process gets SIGKILL, as from the kernel when memory runs out. Elsewhere its
        Pod is deleted without a grace period, of which the kubelet makes one of a second or two.
        """
        index = worker["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"]
        marks = {f"NIGHTSHIFT_TRAINJOB={self.name}".encode(), f"JOB_COMPLETION_INDEX={index}".encode()}
        if killed := [pid for pid in processes(marks) if _kill(pid)]:
            return f"SIGKILL to {len(killed)} process"
        self.kubectl("delete", "pod", worker["metadata"]["name"], "--grace-period=0", "--force")
        return "deleted"

    def description(self) -> Object:
        """What training.json says."""
        found: Object = json.loads(self.steps.hand("cat", f"{WORKSPACE}/checkpoints/{self.key}/{DESCRIPTION}"))
        return found

    def expect_nothing_left(self, seconds: float = 1.0) -> None:
        """No TrainJob, no worker."""
        until(lambda: not self.train_jobs() and not self.workers(), seconds, f"nothing is left of {self.name}")

    def forget(self) -> None:
        """Take its model and checkpoints away, so that it is trained anew."""
        self.steps.hand("rm", "-rf", f"{WORKSPACE}/checkpoints/{self.key}")


@dataclass(frozen=True)
class StepPod:
    """A Pod that does the train step."""

    training: Training
    name: str

    def log(self) -> str:
        """What it has printed."""
        return self.training.kubectl.attempt("logs", self.name).stdout

    def phase(self) -> str:
        """Pending, Running, Succeeded or Failed."""
        return str(self.training.kubectl.get("pod", self.name)["status"]["phase"])

    def ended(self, seconds: float) -> str:
        """Wait for its end, and give its phase."""
        deadline = time.monotonic() + seconds
        while (phase := self.phase()) not in ENDED:
            assert time.monotonic() < deadline, f"{self.name} is {phase} after {seconds:g} s:\n{self.log()[-4000:]}"
            time.sleep(0.5)
        return phase

    def succeeded(self, seconds: float) -> "StepPod":
        """Wait for its good end."""
        assert self.ended(seconds) == "Succeeded", self.log()[-6000:]
        return self

    def await_line(self, pattern: str, seconds: float) -> "re.Match[str]":
        """Wait until its log has a line with that."""

        def look() -> "re.Match[str] | None":
            found = re.search(pattern, self.log(), re.MULTILINE)
            assert found or self.phase() not in ENDED, f"{self.name} ended without {pattern!r}:\n{self.log()[-4000:]}"
            return found

        found: re.Match[str] = until(look, seconds, f"{self.name} prints {pattern!r}", every=0.5)
        return found

    def signal(self, name: str) -> None:
        """Send its program a signal."""
        program = (
            "import os, signal, sys\n"
            "for entry in os.listdir('/proc'):\n"
            "    if entry.isdigit() and int(entry) not in (1, os.getpid()):\n"
            "        words = open(f'/proc/{entry}/cmdline', 'rb').read().split(b'\\0')\n"
            "        if b'kfp.dsl.executor_main' in words:\n"
            "            os.kill(int(entry), getattr(signal, sys.argv[1]))\n"
        )
        self.training.kubectl("exec", self.name, "--", "python3", "-c", program, name)


@contextlib.contextmanager
def train_steps(installation: Installation) -> Iterator[TrainSteps]:
    """The component `training` beside the installed overlay, for the length of the block."""
    folder = installation.overlay.parent / "training"
    folder.mkdir()
    component = os.path.relpath(MANIFESTS / "components" / "training", folder.resolve())
    content = {"kind": "Kustomization", "resources": ["../dev"], "components": [component]}
    (folder / "kustomization.yaml").write_text(json.dumps(content))
    # A webhook of Trainer's looks at the runtime, and answers a moment after its Pod is ready.
    apply = installation.cluster.attempt("apply", "-k", str(folder))
    for _ in range(20):
        if not apply.returncode:
            break
        time.sleep(1)
        apply = installation.cluster.attempt("apply", "-k", str(folder))
    assert not apply.returncode, apply.stderr
    try:
        with deployer(installation, "hand") as hand:
            yield TrainSteps(installation.runs, hand, folder)
    finally:
        installation.cluster("delete", "clustertrainingruntime", RUNTIME, "--ignore-not-found")


def _command(executor_input: Object) -> list[str]:
    """What Kubeflow's launcher starts in the step's container."""
    specification = next(yaml.safe_load_all(Path(COMPILED).read_text()))
    found = specification["deploymentSpec"]["executors"]["exec-train"]["container"]
    words = [*found["command"], *found["args"]]
    return [json.dumps(executor_input) if word == "{{$}}" else word.replace("$(", "$$(") for word in words]


def _container(more: Object) -> Object:
    mounts = [{"name": "workspace", "mountPath": WORKSPACE}, {"name": "shared-memory", "mountPath": "/dev/shm"}]
    limits = {"requests": {"cpu": "10m", "memory": "256Mi"}, "limits": {"memory": "3Gi"}}
    return {"envFrom": [{"configMapRef": {"name": "nightshift"}}], "volumeMounts": mounts, "resources": limits, **more}


def _artifact(name: str, path: str) -> Object:
    kind = {"schemaTitle": ARTIFACTS[name], "schemaVersion": "0.0.1"}
    return {"artifacts": [{"name": name, "type": kind, "uri": path, "metadata": {}}]}


def processes(marks: set[bytes]) -> Iterator[int]:
    """Those of this machine whose environment has all of these."""
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it has ended meanwhile, or is another user's
            if folder.name.isdigit() and marks <= set((folder / "environ").read_bytes().split(b"\0")):
                yield int(folder.name)


def _kill(pid: int) -> bool:
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def _ending(item: Object) -> bool:
    return "deletionTimestamp" in item["metadata"]
