"""Trains a task, as one of the workers if TF_CONFIG names some; the chief prints the metrics of the test split."""

import argparse
import json
import sys
from pathlib import Path

from nightshift.data.manifest import Dataset
from nightshift.evaluation.answers import judge, of_keras
from nightshift.problems.registry import problem_of
from nightshift.tasks.registry import preset_of, task
from nightshift.training.train import train
from nightshift.workspace import Workspace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("data", type=Path)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], type=lambda text: text.split("="))
    chosen = parser.parse_args()
    learnt = task(chosen.task)
    preset = preset_of(learnt, "default", dict(chosen.set))
    dataset = Dataset.open(chosen.data)
    trained = train(learnt, "default", preset, dataset, Workspace(chosen.workspace), seed=chosen.seed)
    if trained is not None:
        answer = of_keras(trained.weights, problem_of(learnt, tuple(dataset.manifest.classes)))
        json.dump(judge(learnt, dataset, answer, seed=0).metrics, sys.stdout)


if __name__ == "__main__":
    main()
