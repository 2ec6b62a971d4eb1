"""`nightshift releases`, `rollback` and `status` with --server kubernetes:NAMESPACE."""

import contextlib
import json

import pytest
from click.testing import CliRunner

from nightshift.cli import main
from nightshift.serving.kubernetes import KubernetesServing


@pytest.fixture
def run(serving, cluster, monkeypatch, tmp_path):
    """Run a command on the fake; gives its output, and fails if it fails unless a failure is expected."""

    @contextlib.contextmanager
    def connected(namespace, store, patience=0):
        assert namespace == "serving"
        yield KubernetesServing(cluster, store)

    monkeypatch.setattr("nightshift.serving.kubernetes.kubernetes_serving", connected)
    monkeypatch.setenv("NIGHTSHIFT_WORKSPACE", str(tmp_path / "elsewhere"))

    def run(*arguments, code=0):
        result = CliRunner().invoke(main, [*arguments, "--server", "kubernetes:serving"])
        assert result.exit_code == code, result.output
        return result.output

    return run


def test_status_is_a_table_and_names_what_was_changed_by_hand(run, release_all, cluster):
    first, second = release_all(1, 2)
    cluster.edit("deployments", f"m-v{first}", {"spec": {"replicas": 3}})
    head, row, drift = run("status").splitlines()
    assert head.split() == ["MODEL", "ENDPOINT", "VERSION", "READY", "SINCE", "IMAGE", "PREDECESSOR", "HELD", "BY"]
    assert row.split()[:4] == ["m", "m.serving.svc:8500", str(second), "1/1"]
    assert f"{first} (ready)" in row
    assert drift.startswith(f"m: not as released: Deployment m-v{first}: spec.replicas, by kubectl-edit")


def test_status_for_programs(run, release_all):
    (version,) = release_all(1)
    found = json.loads(run("status", "m", "--json"))
    assert found.pop("since").startswith("20")
    assert found == {
        "model": "m",
        "endpoint": "m.serving.svc:8500",
        "version": version,
        "ready": 1,
        "desired": 1,
        "image": "server:1",
        "predecessor": 0,
        "predecessor_ready": False,
        "holder": "",
        "drift": [],
    }


def test_status_tells_who_holds_the_lease_and_what_is_missing(run, release_all, cluster):
    (version,) = release_all(1)
    cluster.objects["leases", "m"]["spec"]["holderIdentity"] = "pod/1/abc"
    del cluster.objects["poddisruptionbudgets", f"m-v{version}"]
    found = json.loads(run("status", "m", "--json"))
    assert found["holder"] == "pod/1/abc"
    assert found["drift"] == [f"PodDisruptionBudget of m-v{version}: not there"]


def test_status_of_a_deleted_service(run, release_all, cluster):
    release_all(1)
    del cluster.objects["services", "m"]
    found = json.loads(run("status", "m", "--json"))
    assert (found["version"], found["drift"]) == (0, ["Service m: not there, so nothing serves"])


def test_status_of_what_was_never_released(run):
    assert "nothing has been released as m there" in run("status", "m", code=1)


def test_a_model_that_was_never_released_cannot_be_rolled_back_and_leaves_nothing(run, cluster):
    assert "nothing has been released as that in namespace serving" in run("rollback", "nope", code=1)
    assert cluster.objects == {}


@pytest.mark.parametrize("command", ["status", "releases"])
def test_a_namespace_where_nothing_is_served(run, cluster, command):
    assert run(command) == "nothing is served in namespace serving\n"
    cluster.denied_to_get["podtemplates"] = "forbidden"
    assert run(command) == "nothing is served in namespace serving\n", "who only looks need not see the template"
    cluster.denied_to_get.clear()
    cluster.template = None
    assert "namespace serving: no PodTemplate 'server'" in run(command, code=1)


def test_rollback_and_releases_need_no_store(run, release_all):
    first, second, third = release_all(1, 2, 3)
    assert f"version {second} serves again" in run("rollback", "m")
    rows = [json.loads(line) for line in run("releases", "m", "--json").splitlines()]
    assert [(row["version"], row["status"]) for row in rows] == [
        (third, "rolled back"),
        (second, "serving"),
        (first, "earlier"),
    ]
    assert rows[0]["reason"] == "rolled back by a person"
    assert rows[1]["metrics"] == {"accuracy": 0.5}
    text = run("releases")
    assert [line.split()[1] for line in text.splitlines()] == [str(third), str(second), str(first)]


def test_rollback_to_what_is_not_kept(run, release_all):
    versions = release_all(1, 2, 3, 4)
    said = run("rollback", "m", str(versions[0]), code=1)
    assert f"cannot roll back to version {versions[0]}" in said
    assert f"{versions[2]}, {versions[1]}" in said
