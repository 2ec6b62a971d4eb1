"""The cluster that stands beside the checkout on machines that develop or check this: used if no other is given.

`NIGHTSHIFT_TEST_RIG` names another folder with the same programs: `cluster` (status, up --node, load IMAGE, down) and
`base-image`.
"""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FOLDER = Path(os.environ.get("NIGHTSHIFT_TEST_RIG", ROOT.parent / "shared" / "rig"))
CLUSTER = FOLDER / "cluster"
ENGINE = "buildah"
"""Images reach its node from this program's store only."""


def exists() -> bool:
    """Whether there is one on this machine."""
    return CLUSTER.is_file()


def is_up() -> bool:
    """Whether its node runs."""
    return "kubelet: up" in _run(CLUSTER, "status")


def up() -> Path:
    """Start it, if it does not run, and give its kubeconfig."""
    return Path(_run(CLUSTER, "up", "--node").splitlines()[-1])


def down() -> None:
    """Stop it and forget its state."""
    _run(CLUSTER, "down")


def kubectl(kubeconfig: Path) -> Path:
    """The kubectl that came with it."""
    return kubeconfig.parent.parent / "bin" / "kubectl"


def load_command() -> list[str]:
    """What hands an image to its node; the image's name goes behind."""
    return [str(CLUSTER), "load"]


def is_behind(command: list[str]) -> bool:
    """Whether a command hands images to it."""
    return command == load_command()


def prepare_building() -> None:
    """Make the base image, which cannot be pulled here, and choose the runtime that this kernel takes."""
    _run(FOLDER / "base-image")
    os.environ.setdefault("BUILDAH_RUNTIME", "runc")


def install_trainer(kubeconfig: Path) -> None:
    """Kubeflow Trainer and JobSet; its node is small, and their controllers ask for a quarter of it."""
    _run(CLUSTER, "trainer")
    asked = ["set", "resources", "--requests=cpu=50m", "deployment/jobset-controller-manager"]
    _run(kubectl(kubeconfig), "--kubeconfig", kubeconfig, "-n", "jobset-system", *asked)
    ready = ["rollout", "status", "deployment/jobset-controller-manager", "--timeout=90s"]
    _run(kubectl(kubeconfig), "--kubeconfig", kubeconfig, "-n", "jobset-system", *ready)


def _run(*command: str | Path) -> str:
    environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/local/go/bin"}
    done = subprocess.run(
        [str(part) for part in command], env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert not done.returncode, f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}"
    return done.stdout
