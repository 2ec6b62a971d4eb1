"""What a person changed in the cluster by hand is reported and kept."""

import pytest
from deployer import Deployer
from installation import Installation
from leftovers import expect_none

pytestmark = pytest.mark.cluster


def test_a_person_s_changes_are_reported_and_kept(installation: Installation, releaser: Deployer, model: str):
    kubectl, first = installation.serving, releaser.release(model, "times-1")
    assert not first.error, first.said
    deployment = f"deployment/{model}-v{first.version}"
    kubectl("scale", deployment, "--replicas=2")
    kubectl("annotate", "service", model, "example.com/owner=somebody")
    kubectl("rollout", "status", deployment, "--timeout=60s")

    status = releaser("nightshift", "status", model)
    assert f"Deployment {model}-v{first.version}: spec.replicas, by kubectl" in status

    second = releaser.release(model, "times-2")
    assert not second.error, second.said
    assert f"changed by hand, left as it is: Deployment {model}-v{first.version}: spec.replicas" in second.said
    assert kubectl.get(deployment)["spec"]["replicas"] == 2
    assert kubectl.get("service", model)["metadata"]["annotations"]["example.com/owner"] == "somebody"
    assert len(installation.pods(model, second.version)) == 2, "as many as the version before has by now"
    expect_none(installation, releaser, model)
