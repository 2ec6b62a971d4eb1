"""Trains `synthetic.CORNERS` and rests a second after each checkpoint, so that another process finds it at work."""

import sys
import time
from pathlib import Path

import synthetic

from nightshift.data.manifest import Dataset
from nightshift.tasks.registry import preset_of
from nightshift.training.train import train
from nightshift.workspace import Workspace


def rest(_: float, words: str) -> None:
    if "validation" in words:
        time.sleep(1)


if __name__ == "__main__":
    data, workspace, epochs = sys.argv[1:]
    train(
        synthetic.CORNERS,
        "plain",
        preset_of(synthetic.CORNERS, "plain", {"epochs": epochs}),
        Dataset.open(Path(data)),
        Workspace(Path(workspace)),
        seed=0,
        progress=rest,
    )
