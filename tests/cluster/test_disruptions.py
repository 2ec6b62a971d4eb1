"""Pods that end while they serve: by hand, and with their node."""

import json
from collections.abc import Callable, Iterator

import pytest
from clients import asking
from deployer import Deployer
from installation import VERSION, Installation, Object
from kubectl import until
from leftovers import expect_none

pytestmark = pytest.mark.cluster
MODEL = "disrupted"
HOLD = "nightshift.test/hold"
CLIENT_RETRIES = 4  # nightshift.serving.client's own


@pytest.fixture(scope="module")
def version(installation: Installation, releaser: Deployer) -> Iterator[int]:
    """Of a model that two Pods serve."""
    with installation.model(MODEL):
        with installation.server({}, replicas="2"):
            released = releaser.release(MODEL, "times-1")
        assert not released.error, released.said
        yield released.version
        expect_none(installation, releaser, MODEL)


def ready(installation: Installation, version: int) -> list[Object]:
    """The Pods of a version that take requests."""
    return [
        pod
        for pod in installation.pods(MODEL, version)
        if any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))
    ]


def test_a_pod_that_is_deleted_finishes_what_it_has_begun_and_exits_with_0(
    installation: Installation, version: int, measured: Callable[[str], None]
):
    kubectl, name = installation.serving, ready(installation, version)[0]["metadata"]["name"]

    def hold(*finalizers: str) -> None:
        kubectl("patch", "pod", name, "--type=merge", "-p", json.dumps({"metadata": {"finalizers": list(finalizers)}}))

    def ended() -> Object | None:
        status = kubectl.get("pod", name)["status"]["containerStatuses"][0]
        found: Object | None = status["state"].get("terminated")
        return found

    with asking(installation, MODEL, retries=0) as clients:
        hold(HOLD)  # or else its exit code would go with it
        try:
            kubectl("delete", "pod", name, "--wait=false")
            assert until(ended, 60, "its container ends")["exitCode"] == 0
        finally:
            hold()
        until(lambda: len(ready(installation, version)) == 2, 60, "another Pod takes its place")
        answers = clients.answers()
    assert not answers.failures, answers.summary()
    measured(answers.summary())


def test_while_a_node_is_drained_a_pod_goes_on_answering(
    installation: Installation, version: int, measured: Callable[[str], None]
):
    node = ready(installation, version)[0]["spec"]["nodeName"]
    nodes = {pod["spec"]["nodeName"] for pod in ready(installation, version)}
    selector = f"app.kubernetes.io/instance={MODEL},{VERSION}={version}"
    # Its servers only: the cluster may be in use for other things.
    options = (f"--pod-selector={selector}", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=30s")
    with asking(installation, MODEL, retries=CLIENT_RETRIES) as clients:
        try:
            drained = installation.cluster.attempt("drain", node, *options)
            left = [pod["metadata"]["name"] for pod in ready(installation, version)]
            if drained.returncode:  # no other node can take them
                assert nodes == {node}
                assert "violate the pod's disruption budget" in drained.stderr
                assert len(left) == 1, "the other one was evicted"
            assert left
        finally:
            installation.cluster("uncordon", node)
        until(lambda: len(ready(installation, version)) == 2, 90, "two Pods are ready again")
        answers = clients.answers()
    assert not answers.failures, answers.summary()
    measured(f"{len(left)} of 2 Pods stayed, drain ended with {drained.returncode}: {answers.summary()}")
