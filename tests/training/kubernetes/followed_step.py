"""A train step that follows a TrainJob in a namespace in memory, and what happens there meanwhile."""

import json

from nightshift.files import sha256_of
from nightshift.training.kubernetes import Nodes, train_on_nodes
from nightshift.training.kubernetes.job import Work
from nightshift.training.kubernetes.patience import Limits

KEY = "0123456789abcdef0123"
NAME = f"nightshift-{KEY}"


class Step:
    """A train step with a cluster, and what it tells."""

    def __init__(self, folder, cluster):
        self.cluster, self.workspace = cluster, folder
        self.folder = folder / "checkpoints" / KEY
        self.told, self.said, self.asked = [], [], False

    def train(self, nodes=2, **limits):
        return train_on_nodes(
            Work(KEY, "digits", "default", {}, 0, "/d", self.workspace, "run-1"),
            Nodes(nodes),
            asked=lambda: self.asked,
            progress=lambda fraction, message: self.told.append((fraction, message)),
            say=self.said.append,
            limits=Limits(**limits),
        )

    def write_model(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "model.keras").write_bytes(b"weights")
        facts = {"sha256": sha256_of(self.folder / "model.keras")}
        (self.folder / "training.json").write_text(json.dumps(facts))


def begin(cluster):
    cluster.run_pods(NAME, 2)


def chief(attempt=0):
    return f"{NAME}-node-0-0-{attempt}"


def progress(*lines, attempt=0):
    return lambda cluster: cluster.print(chief(attempt), *lines)


def complete(step):
    def happen(cluster):
        step.write_model()
        cluster.end(NAME, "Complete")

    return happen
