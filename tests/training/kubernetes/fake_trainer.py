"""A namespace in memory with TrainJobs, whose controller the tests play: Pods, logs, ends, an API that is away."""

import copy
import itertools
import time

from nightshift.kubernetes.asking import ClusterError
from nightshift.kubernetes.cluster import CONFLICT

JOBSET, INDEX = "jobset.sigs.k8s.io/jobset-name", "batch.kubernetes.io/job-completion-index"
ATTEMPT = "jobset.sigs.k8s.io/restart-attempt"


class FakeTrainer:
    """Stands for nightshift.kubernetes.cluster.Cluster.

    `moments` are functions, called one after the other each time the Pods are looked at: what happens meanwhile.
    """

    def __init__(self, *moments):
        self.namespace = "runs"
        self.jobs, self.pods, self.logs = {}, {}, {}
        self.moments = list(moments)
        self.refusal = None  # of whoever makes a TrainJob
        self.asked = []
        self.away = 0  # requests that are not answered
        self._numbers = itertools.count(1)

    # What the cluster's client offers.

    def get(self, kind, name):
        self._answer("get", kind)
        found = (self.jobs if kind == "trainjobs" else self.pods).get(name)
        return copy.deepcopy(found)

    def find(self, kind, selector="", fields=""):
        self._answer("find", kind)
        assert selector, "not all Pods of a namespace, which may be thousands"
        wanted = dict(pair.split("=") for pair in selector.split(",") if pair)
        found = [pod for pod in self.pods.values() if wanted.items() <= pod["metadata"].get("labels", {}).items()]
        return copy.deepcopy(found)

    def create(self, kind, body):
        self._answer("create", kind)
        if self.refusal:
            raise self.refusal
        name = body["metadata"]["name"]
        if name in self.jobs:
            return None
        self.jobs[name] = copy.deepcopy(body)
        self.jobs[name]["metadata"] |= {"uid": f"uid-{next(self._numbers)}"}
        self._change(name)
        return self.get(kind, name)

    def patch(self, kind, name, change):
        self._answer("patch", kind)
        found = self.jobs[name]["metadata"]
        if found["resourceVersion"] != change["metadata"]["resourceVersion"]:
            raise ClusterError("the object has been modified", CONFLICT)
        found |= copy.deepcopy(change["metadata"])
        self._change(name)

    def delete(self, kind, name, version):
        self._answer("delete", kind)
        if name in self.jobs and self.jobs[name]["metadata"]["resourceVersion"] != version:
            raise ClusterError("Precondition failed: ResourceVersion in precondition", CONFLICT)
        self.jobs.pop(name, None)
        self.pods = {key: pod for key, pod in self.pods.items() if pod["metadata"]["labels"].get(JOBSET) != name}

    def follow(self, kind, selector, *, tick):
        while True:
            if self.moments:
                self.moments.pop(0)(self)
            yield self.find(kind, selector)
            time.sleep(0.02)  # for the log's thread

    def follow_log(self, pod, container, since=""):
        assert container == "node"
        if pod not in self.logs:
            raise ClusterError("no such container", 400)
        yield from list(self.logs[pod])

    # What tests do.

    def _answer(self, verb, kind):
        self.asked.append(f"{verb} {kind}")
        if self.away:
            self.away -= 1
            raise ClusterError("the API server does not answer", 0)

    def _change(self, name):
        self.jobs[name]["metadata"]["resourceVersion"] = str(next(self._numbers))

    def run_pods(self, name, count, *, attempt=0, **status):
        """The workers of an attempt."""
        self.pods = {key: pod for key, pod in self.pods.items() if pod["metadata"]["labels"].get(JOBSET) != name}
        for index in range(count):
            pod = f"{name}-node-0-{index}-{attempt}"
            labels = {JOBSET: name, INDEX: str(index), ATTEMPT: str(attempt)}
            state = {"phase": "Running", "containerStatuses": []} | status
            self.pods[pod] = {"metadata": {"name": pod, "uid": pod, "labels": labels}, "status": state}

    def print(self, pod, *lines):
        """A container writes lines, each a microsecond after the last."""
        log = self.logs.setdefault(pod, [])
        log += [f"2026-11-23T05:00:00.{next(self._numbers):06d}Z {line}" for line in lines]

    def fail(self, pod, code, *last_lines, reason="Error"):
        """A worker ends."""
        end = {
            "exitCode": code,
            "reason": reason,
            "message": "\n".join(last_lines),
            "finishedAt": "2026-11-23T05:00:09Z",
        }
        status = {"name": "node", "state": {"terminated": end}}
        self.pods[pod]["status"] |= {"phase": "Failed", "containerStatuses": [status]}

    def end(self, name, kind, message=""):
        """The TrainJob is Complete or Failed."""
        self.jobs[name]["status"] = {"conditions": [{"type": kind, "status": "True", "message": message}]}
        self._change(name)


def step_pod(uid, phase="Running"):
    """The Pod of a train step."""
    spec = {"containers": [{"name": "wait", "image": "argo"}, {"name": "main", "image": "train@sha256:1"}]}
    return {"metadata": {"name": f"step-{uid}", "uid": uid, "labels": {}}, "spec": spec, "status": {"phase": phase}}
