"""The images that the cluster runs: built by `make image`, handed to the node when their content is new to it.

`NIGHTSHIFT_TEST_LOAD` is the command that hands an image to the nodes of the cluster in KUBECONFIG; the image's name
goes behind: `kind load docker-image`, `minikube image load`, or `docker push` with NIGHTSHIFT_TEST_REGISTRY. Without it
the images are taken to be there.
"""

import hashlib
import json
import os
import shlex
import subprocess
from pathlib import Path

import rig

ROOT = Path(__file__).parent.parent.parent
REGISTRY = os.environ.get("NIGHTSHIFT_TEST_REGISTRY", "localhost")
TAG = os.environ.get("NIGHTSHIFT_TEST_TAG", "dev")
TARGETS = ("train", "serve")
ENGINES = ("docker", "podman", "buildah")  # in the order of `make image`


def name(target: str) -> str:
    """An image as Pods name it."""
    return f"{REGISTRY}/nightshift/{target}:{TAG}"


def load_command() -> list[str]:
    """What hands an image to the nodes; empty if they have it."""
    if given := os.environ.get("NIGHTSHIFT_TEST_LOAD"):
        return shlex.split(given)
    return [] if os.environ.get("KUBECONFIG") else rig.load_command()


def engine() -> str:
    """What builds images here: the rig's, or the first that works."""
    if rig.is_behind(load_command()):
        return rig.ENGINE
    for program in ENGINES:
        try:
            if subprocess.run([program, "info"], capture_output=True, timeout=60, check=False).returncode == 0:
                return program
        except FileNotFoundError:
            continue
    raise AssertionError(f"none of {', '.join(ENGINES)} works here: nothing can build the images")


def build() -> None:
    """Bring the images up to date: seconds, where the dependencies have not changed."""
    arguments = [f"REGISTRY={REGISTRY}", f"TAG={TAG}", f"IMAGES={' '.join(TARGETS)}", f"ENGINE={engine()}"]
    if engine() == rig.ENGINE and rig.exists():
        rig.prepare_building()
    done = subprocess.run(["make", "image", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.returncode, f"make image: {done.stdout[-2000:]}{done.stderr[-2000:]}"


def load(command: list[str], known: dict[str, str]) -> dict[str, str]:
    """Hand over what the nodes do not know; gives what they know then, a name to its content."""
    now = {name(target): _content(name(target)) for target in TARGETS}
    for image, content in now.items():
        if known.get(image) != content:
            done = subprocess.run([*command, image], capture_output=True, text=True, timeout=900, check=False)
            assert not done.returncode, f"{shlex.join([*command, image])}: {done.stdout}{done.stderr}"
    return now


def _content(image: str) -> str:
    """A hash of what runs: layers and configuration, not the labels, which change with every commit."""
    if engine() == "buildah":
        found = json.loads(_output("buildah", "inspect", "--type", "image", image))["OCIv1"]
        layers, settings = found["rootfs"], found["config"]
    else:
        found = json.loads(_output(engine(), "image", "inspect", image))[0]
        layers, settings = found["RootFS"], found["Config"]
    settings.pop("Labels", None)
    return hashlib.sha256(json.dumps([layers, settings], sort_keys=True).encode()).hexdigest()


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
