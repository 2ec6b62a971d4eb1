"""Asks an endpoint about a few test pictures of its task. No TensorFlow."""

from pathlib import Path

import numpy as np

from nightshift.data.manifest import Dataset
from nightshift.data.sample import sample
from nightshift.serving.ask import classify, solve
from nightshift.serving.client import Client
from nightshift.serving.pictures import png, rearrange
from nightshift.tasks.base import Task

PICTURES = 3


def ask_examples(server: str, model: str, task: Task, dataset_path: Path) -> list[str]:
    """The endpoint's answers in words, with the truth.

    Args:
        server: HOST:PORT.
        model: name of the served model.
        task: classifiers are sent PNG files, puzzle solvers shuffled pictures.
        dataset_path: its test split gives the pictures.

    Raises:
        ServingError: refused or no answer.
    """
    dataset = Dataset.open(dataset_path)
    images, labels = sample(dataset, "test", PICTURES)
    random = np.random.default_rng(0)
    with Client(server) as client:
        if task.problem == "puzzle":
            tiles = task.grid * task.grid
            return [_puzzle(client, model, image, random.permutation(tiles)) for image in images]
        answers = classify(client, model, [png(image) for image in images])
    classes = dataset.manifest.classes
    return [
        f"{model} version {answer.version}: a picture of {classes[label]} is {answer.in_words()}"
        for answer, label in zip(answers, labels, strict=True)
    ]


def _puzzle(client: Client, model: str, image: np.ndarray, truth: np.ndarray) -> str:
    answer = solve(client, model, rearrange(image, truth))
    right = "solved" if np.array_equal(answer.picture, image) else "not solved"
    return (
        f"{model} version {answer.version}: tiles {truth.tolist()} are {answer.permutation} "
        f"({answer.probability:.1%}): {right}"
    )
