"""The manifests, as the API server sees them."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from installation import Installation
from kubectl import Kubectl
from overlays import MANIFESTS, write_overlay
from pods import pod

pytestmark = pytest.mark.cluster


def test_dev_is_applied_without_a_warning_and_a_second_time_changes_nothing(installation: Installation):
    assert not installation.warned
    assert "created" in installation.applied
    again = installation.cluster.attempt("apply", "-k", str(installation.overlay))
    assert (again.returncode, again.stderr) == (0, "")
    assert {line.split()[-1] for line in again.stdout.splitlines()} == {"unchanged"}


def test_prod_passes_the_api_server_without_a_warning(installation: Installation, tmp_path: Path):
    cluster, places = installation.cluster, [f"{installation.name}-prod-{place}" for place in ("runs", "serving")]
    overlay = write_overlay(tmp_path / "prod", "prod", *places)
    names = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place}} for place in places]
    try:
        cluster("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": names}))
        cluster("label", "namespace", places[1], "pod-security.kubernetes.io/warn=restricted")
        done = cluster.attempt("apply", "-k", str(overlay), "--dry-run=server")
    finally:
        cluster("delete", "namespace", *places, "--ignore-not-found")
    # The namespace was there without kubectl's note of what was applied; that is the one thing it may say.
    said = [line for line in done.stderr.splitlines() if "last-applied-configuration" not in line]
    assert (done.returncode, said) == (0, [])
    assert "podtemplate/server created (server dry run)" in done.stdout


@pytest.mark.parametrize("overlay", ["dev", "prod"])
def test_only_the_overlays_for_training_on_several_nodes_need_kubeflow_trainer(cluster: Kubectl, overlay: str):
    plain, training = (rendered(cluster, name) for name in (overlay, f"{overlay}-training"))
    assert not [one for one in plain if "trainer" in one["apiVersion"]]
    added = {(one["kind"], one["metadata"]["name"], one["metadata"].get("namespace")) for one in training}
    added -= {(one["kind"], one["metadata"]["name"], one["metadata"].get("namespace")) for one in plain}
    assert added == {
        ("ClusterTrainingRuntime", "nightshift-tensorflow", None),
        ("ServiceAccount", "nightshift-worker", "kubeflow"),
        ("NetworkPolicy", "nightshift-workers", "kubeflow"),
        ("Role", "nightshift-training", "kubeflow"),
        ("RoleBinding", "nightshift-training", "kubeflow"),
    }


def rendered(cluster: Kubectl, overlay: str) -> list[Any]:
    """An overlay's objects."""
    return list(yaml.safe_load_all(cluster("kustomize", str(MANIFESTS / "overlays" / overlay))))


def test_where_models_are_served_pods_that_are_not_restricted_are_refused(installation: Installation):
    kubectl: Kubectl = installation.serving
    good = pod("good", "serve", ["true"])
    assert not kubectl.attempt("create", "--dry-run=server", "-f", "-", stdin=json.dumps(good)).stderr
    for missing in ("allowPrivilegeEscalation", "capabilities"):
        bad = pod("bad", "serve", ["true"])
        del bad["spec"]["containers"][0]["securityContext"][missing]
        refused = kubectl.attempt("create", "--dry-run=server", "-f", "-", stdin=json.dumps(bad))
        assert refused.returncode
        assert 'violates PodSecurity "restricted:latest"' in refused.stderr
        assert missing in refused.stderr
