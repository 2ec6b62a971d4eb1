"""Releases as the API server sees them, and what a person with nothing but a kubeconfig does about them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployer import Deployer
from installation import Installation

from nightshift.kubernetes.asking import ClusterError
from nightshift.kubernetes.cluster import Cluster, connect
from nightshift.kubernetes.objects import Object
from nightshift.serving.kubernetes.history import History
from nightshift.serving.kubernetes.names import Names
from nightshift.serving.kubernetes.objects import (
    autoscaler,
    config_map,
    deployment,
    disruption_budget,
    models_config,
    service,
    service_change,
)
from nightshift.serving.kubernetes.settings import ServingSettings, read_template

pytestmark = pytest.mark.cluster

MODEL = "kubeconfig_alone"
NAMES = Names.of(MODEL)
TENSORFLOW_SERVING = {"image": "tensorflow/serving:2.20.0", "command": ["/usr/bin/tensorflow_model_server"]}


@pytest.fixture
def namespace(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The serving namespace, through the library."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", installation.cluster.kubeconfig)
    with connect(installation.serving.namespace) as found:
        yield found


def objects(template: Object, settings: ServingSettings) -> Iterator[tuple[str, Object]]:
    """All that a release makes."""
    configuration = config_map(NAMES, 7, settings.store)
    yield "configmaps", configuration
    name, facts = configuration["metadata"]["name"], {"metrics": {"accuracy": 0.5}}
    green = deployment(NAMES, 7, template, settings, replicas=2, configuration=name, facts=facts)
    yield "deployments", green
    yield "poddisruptionbudgets", disruption_budget(NAMES, 7)
    yield "services", service(NAMES, 7, History().promoted(7, settings.keep))
    yield "horizontalpodautoscalers", autoscaler(NAMES, 7, ServingSettings(max_replicas=3))


@pytest.mark.parametrize("container", [{}, TENSORFLOW_SERVING], ids=["embedded", "tensorflow-serving"])
def test_the_api_server_takes_every_object_and_its_pods_as_restricted(
    namespace: Cluster, installation: Installation, container: Object
):
    template, settings = read_template(namespace)
    template["spec"]["containers"][0] |= container
    for kind, body in objects(template, settings):
        assert namespace.create(kind, body, dry_run=True)
        if kind == "deployments":
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "p"},
                "spec": body["spec"]["template"]["spec"],
            }
            said = installation.serving.attempt("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
            assert (said.returncode, said.stderr) == (0, "")


def test_a_change_that_is_late_is_refused_by_the_api_server(namespace: Cluster):
    made = namespace.create("services", service(NAMES, 7, History().promoted(7, 3)))
    assert made
    try:
        late = service_change(made, NAMES, 9, History().promoted(9, 3))
        namespace.patch("services", NAMES.slug, service_change(made, NAMES, 8, History().promoted(8, 3)))
        with pytest.raises(ClusterError) as refusal:
            namespace.patch("services", NAMES.slug, late)
        assert refusal.value.status == 409
        found = namespace.get("services", NAMES.slug)
        assert found
        assert found["spec"]["selector"] == NAMES.selector(8)
    finally:
        namespace.delete("services", NAMES.slug)


def test_following_sees_what_is_made_and_deleted(namespace: Cluster):
    made, selector = config_map(NAMES, 7, "/models"), "app.kubernetes.io/instance=kubeconfig-alone"
    seen = []
    for found in namespace.follow("configmaps", selector, tick=1):
        seen.append(len(found))
        if len(seen) == 1:
            assert namespace.create("configmaps", made)
        elif found:
            namespace.delete("configmaps", made["metadata"]["name"])
        elif 1 in seen:
            break
        assert len(seen) < 20
    assert seen[0] == seen[-1] == 0


def nightshift(installation: Installation, *arguments: str) -> str:
    """The command on this machine, with a kubeconfig and without a store."""
    server = f"kubernetes:{installation.serving.namespace}"
    command = [str(Path(sys.executable).parent / "nightshift"), *arguments, "--server", server]
    environment = {
        "KUBECONFIG": installation.cluster.kubeconfig,
        "NIGHTSHIFT_WORKSPACE": "/nonexistent",
        "HOME": "/tmp",
    }
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_person_with_a_kubeconfig_sees_and_rolls_back_and_the_ledger_hears_of_it(
    installation: Installation, releaser: Deployer
):
    releaser.make({"kubeconfig-1": "2", "kubeconfig-2": "3"})
    first, second = (releaser.release(MODEL, name).version for name in ("kubeconfig-1", "kubeconfig-2"))
    status = json.loads(nightshift(installation, "status", MODEL, "--json"))
    assert (status["version"], status["ready"], status["desired"]) == (second, 1, 1)
    assert (status["predecessor"], status["predecessor_ready"], status["drift"]) == (first, True, [])
    (live,) = [one for one in installation.made("configmaps", NAMES.slug) if f"-v{second}-" in one["metadata"]["name"]]
    assert live["data"]["models.config"] == models_config(MODEL, second, "/models")

    said = nightshift(installation, "rollback", MODEL)
    assert f"version {first} serves again" in said
    assert installation.selected(NAMES.slug) == first
    rows = [json.loads(line) for line in nightshift(installation, "releases", MODEL, "--json").splitlines()]
    assert [(row["version"], row["status"]) for row in rows] == [(second, "rolled back"), (first, "serving")]

    assert releaser.state(MODEL)["serving"][-1] == second, "nobody could tell the ledger yet"
    champion = (
        "import sys; from pathlib import Path; from nightshift.serving.store import open_store;"
        "from nightshift.serving.target import target; from nightshift.settings import settings;"
        "serving = target(settings().server, open_store(Path('/nonexistent')));"
        "print(serving.__enter__().champion(sys.argv[1]))"
    )
    assert int(releaser("python", "-c", champion, MODEL)) == first
    assert releaser.state(MODEL)["serving"] == [first]
