"""A real cluster for the tests marked `cluster`, `soak` and `kfp`.

KUBECONFIG says which; without it, the one beside the checkout, if there is one. See rig.py and images.py for the
variables that tell where images come from.
"""

import os
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import images
import pytest
import rig
from deployer import Deployer, deployer
from installation import Installation, installed
from kubectl import Kubectl
from training import TrainSteps, train_steps

HOW_TO_GET_ONE = (
    "no cluster: set KUBECONFIG to one that runs Pods, such as that of `kind create cluster` or `minikube start`, and "
    "NIGHTSHIFT_TEST_LOAD to what hands it an image, such as 'kind load docker-image' or 'minikube image load'"
)

TRAINER = "NIGHTSHIFT_TEST_TRAINER"
"""`installed`, or the command that installs Kubeflow Trainer in the cluster of KUBECONFIG."""

MEASURED = pytest.StashKey[list[str]]()
COUNT = 24
"""Candidates: enough for as many releases, each with answers of its own."""


def pytest_configure(config: pytest.Config) -> None:
    config.stash[MEASURED] = []
    config.addinivalue_line("markers", f"trainer: needs Kubeflow Trainer there; {TRAINER} says how it gets there")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs Kubeflow Pipelines where there is no KFP_ENDPOINT, and Kubeflow Trainer the same way."""
    absent = [] if os.environ.get("KFP_ENDPOINT") else ["kfp"]
    absent += [] if os.environ.get(TRAINER) or not os.environ.get("KUBECONFIG") else ["trainer"]
    left_out = [item for item in items if any(map(item.get_closest_marker, absent))]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What was counted and how long it took, a line a test."""
    if config.stash[MEASURED]:
        terminalreporter.section("measured")
        for line in config.stash[MEASURED]:
            terminalreporter.line(line)


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Tells a figure that the session's summary shows."""
    return lambda line: request.config.stash[MEASURED].append(f"{request.node.name}: {line}")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Kubectl]:
    """kubectl for a cluster whose node runs Pods."""
    if given := os.environ.get("KUBECONFIG"):
        program = shutil.which("kubectl")
        assert program, "KUBECONFIG is set, but there is no kubectl in PATH"
        yield Kubectl(program, given)
        return
    if not rig.exists():
        pytest.skip(HOW_TO_GET_ONE)
    running = rig.is_up()
    kubeconfig = rig.up()
    yield Kubectl(str(rig.kubectl(kubeconfig)), str(kubeconfig))
    if not running:
        rig.down()


@pytest.fixture(scope="session")
def loaded(cluster: Kubectl, request: pytest.FixtureRequest) -> None:
    """The images, of this checkout, on the nodes."""
    command = images.load_command()
    if not command:
        return
    images.build()
    known = f"nightshift/images-{cluster.get('namespace', 'kube-system')['metadata']['uid']}"
    request.config.cache.set(known, images.load(command, request.config.cache.get(known, {})))


@pytest.fixture(scope="session")
def installation(cluster: Kubectl, loaded: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The manifests, in namespaces of their own."""
    with installed(cluster, tmp_path_factory.mktemp("overlay") / "dev") as found:
        yield found


@pytest.fixture(scope="session")
def releaser(installation: Installation) -> Iterator[Deployer]:
    """A Pod that releases; it has candidates `times-1`, `times-2`, ... that multiply by that, and a `wrong` one."""
    with deployer(installation) as found:
        found.make({f"times-{factor}": str(factor) for factor in range(1, COUNT + 1)} | {"wrong": "2:3"})
        yield found


@pytest.fixture(scope="session")
def trainer(cluster: Kubectl) -> None:
    """Kubeflow Trainer in the cluster."""
    command = os.environ.get(TRAINER, "")
    if cluster.attempt("get", "crd", "trainjobs.trainer.kubeflow.org").returncode == 0:
        return
    assert command != "installed", f"{TRAINER} says that Kubeflow Trainer is installed, and there are no TrainJobs"
    if command:
        subprocess.run(shlex.split(command), check=True, timeout=600)
    else:
        rig.install_trainer(Path(cluster.kubeconfig))


@pytest.fixture(scope="session")
def steps(installation: Installation, trainer: None) -> Iterator[TrainSteps]:
    """The pipeline's train step, as Pods of the tests' own."""
    with train_steps(installation) as found:
        yield found


@pytest.fixture
def model(installation: Installation) -> Iterator[str]:
    """The name of a model that nobody else uses; what releases of it make goes with the test."""
    with installation.model(f"model-{secrets.token_hex(3)}") as name:
        yield name
