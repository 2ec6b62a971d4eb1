"""Trains `synthetic.CORNERS`, one of the workers if TF_CONFIG names some, and rests so that a test finds it at work."""

import argparse
import sys
import time
from pathlib import Path

import synthetic

from nightshift.data.manifest import Dataset
from nightshift.errors import NightshiftError
from nightshift.tasks.registry import preset_of
from nightshift.training import checkpoints, epochs, workers
from nightshift.training.train import train
from nightshift.workspace import Workspace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("epochs")
    parser.add_argument("--preset", default="plain")
    parser.add_argument("--rest", type=float, default=1.0, help="seconds after each epoch")
    parser.add_argument("--rest-a-step", type=float, default=0.0)
    parser.add_argument("--interval", type=float, default=checkpoints.INTERVAL_SECONDS)
    parser.add_argument("--join-seconds", type=int, default=workers.JOIN_SECONDS)
    chosen = parser.parse_args()
    checkpoints.INTERVAL_SECONDS, workers.JOIN_SECONDS = chosen.interval, chosen.join_seconds
    if chosen.rest_a_step:
        epochs.TELL_SECONDS = 0.0

    def rest(_: float, words: str) -> None:
        print(words, flush=True)
        time.sleep(chosen.rest if "validation" in words else chosen.rest_a_step)

    train(
        synthetic.CORNERS,
        chosen.preset,
        preset_of(synthetic.CORNERS, chosen.preset, {"epochs": chosen.epochs}),
        Dataset.open(chosen.data),
        Workspace(chosen.workspace),
        seed=0,
        progress=rest,
    )


if __name__ == "__main__":
    try:
        main()
    except NightshiftError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
