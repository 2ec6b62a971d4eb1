"""What a result depends on: hashes of sources, versions of packages. No TensorFlow."""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import nightshift
from nightshift.tasks.base import Preset, Task

PACKAGE = Path(nightshift.__file__).parent
TRAINING_SOURCES = (
    "data/input.py",
    "data/lanes.py",
    "data/augmentation.py",
    "data/randomness.py",
    "problems/base.py",
    "models/dropout.py",
    "models/networks.py",
    "training",
)
PROBLEM_SOURCES = {
    "classification": ("problems/classification.py",),
    "grouped": ("problems/classification.py", "problems/grouped.py"),
    "puzzle": ("problems/puzzle.py", "problems/tiles.py", "problems/arrangements.py"),
}
TRAINING_PACKAGES = ("tensorflow", "keras", "numpy")
BUILDS = {"tensorflow": ("tensorflow-cpu",)}
"""Other names that a package is installed by: the same sources, built for fewer devices."""


@dataclass(frozen=True)
class Recipe:
    """All that determines a trained model; two equal ones give the same model on one kind of device.

    Attributes:
        task: name.
        score: the metric that chooses the best epoch.
        preset: name.
        settings: of the preset, changes included; and the questions of a grouped task, which are learnt too.
        seed: of weights, order and random changes.
        dataset: fingerprint.
        sources: SHA-256 of the code that training runs.
        versions: package -> version.
    """

    task: str
    score: str
    preset: str
    settings: Mapping[str, Any]
    seed: int
    dataset: str
    sources: str
    versions: Mapping[str, str]

    @property
    def key(self) -> str:
        """A name for it: 20 hex digits of its hash. The preset's name does not count, its settings do."""
        facts = {name: value for name, value in vars(self).items() if name != "preset"}
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=dict).encode()).hexdigest()[:20]


def recipe(task: Task, preset_name: str, preset: Preset, seed: int, dataset: str) -> Recipe:
    """The recipe of a training on the dataset of that fingerprint."""
    return Recipe(
        task=task.name,
        score=task.score,
        preset=preset_name,
        settings=preset.settings() | ({"groups": dict(task.groups)} if task.groups else {}),
        seed=seed,
        dataset=dataset,
        sources=hash_of_sources((*TRAINING_SOURCES, *PROBLEM_SOURCES[task.problem], f"models/{preset.network}.py")),
        versions=versions(TRAINING_PACKAGES),
    )


def hash_of_sources(names: Iterable[str]) -> str:
    """SHA-256 over the text of files and folders of this package, by name and content.

    What is in folders of these folders does not count: training/kubernetes starts a training, and does not change it.
    """
    digest = hashlib.sha256()
    for name in names:
        path = PACKAGE / name
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path] if path.exists() else []:
            digest.update(f"{file.relative_to(PACKAGE).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The installed version of each package.

    Raises:
        importlib.metadata.PackageNotFoundError: one is not installed.
    """
    return {package: _version(package) for package in packages}


def _version(package: str) -> str:
    for build in BUILDS.get(package, ()):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(build)
    return metadata.version(package)
