"""The export step: a trained network becomes a SavedModel, complete, described and proven equal through a server."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from keras.export import ExportArchive

import nightshift
from nightshift.data.input import evaluation_batches
from nightshift.data.manifest import Dataset
from nightshift.evaluation.architecture import load_network
from nightshift.export.checks import Checked
from nightshift.export.complete import complete, new_saved_model
from nightshift.export.reference import reference_of
from nightshift.export.signatures import signatures
from nightshift.files import write_atomic
from nightshift.problems.registry import problem_of
from nightshift.serving.card import TEXT, write_card
from nightshift.serving.golden import Golden
from nightshift.tasks.base import Task
from nightshift.training.model import TrainedModel

GOLDEN_EXAMPLES = 16


@dataclass(frozen=True)
class Exported:
    """A SavedModel's folder and how far a server's answers were from the trained network's, output by output."""

    path: Path
    card: str
    parity: Mapping[str, Mapping[str, float]]


def export(
    task: Task,
    model_name: str,
    trained: TrainedModel,
    dataset: Dataset,
    metrics: Mapping[str, float],
    target: Path,
    *,
    seed: int,
    progress: Callable[[float, str], None] = lambda fraction, message: None,
    checked: Checked = lambda check: None,
) -> Exported:
    """Write the SavedModel to `target`, a folder that is there complete or not at all.

    Args:
        task: what it does.
        model_name: the name it will be served by.
        trained: the network.
        dataset: gives the golden batch, from its test split.
        metrics: on the test split, for the card.
        target: made anew; what an earlier export left there is replaced.
        seed: puzzles of the golden batch are shuffled by it.
        progress: told (share done, words).
        checked: told of everything that it is held against.

    Raises:
        ExportRefusedError: a server does not answer as the trained network does, or not within the task's budgets.
    """
    problem = problem_of(task, tuple(dataset.manifest.classes))
    network = load_network(trained.weights)
    functions = signatures(network, problem, task)
    golden = _golden(functions, _inputs(problem, dataset, seed))
    with new_saved_model(target, progress) as staging:
        progress(0.2, "writing the SavedModel")
        archive = ExportArchive()
        archive.track(network)
        for name, (function, spec) in functions.items():
            archive.add_endpoint(name, function, input_signature=[spec])
        archive.write_out(str(staging), verbose=False)
        _write_labels(staging, task, dataset.manifest.classes)
        progress(0.4, "describing the images that it was validated on")
        function, spec = functions["serving_default"]
        asked = tf.function(function, input_signature=[spec])
        reference_of(task, dataset, problem, asked, seed).save(staging)
        write_card(staging, task, _facts(trained, dataset, metrics))
        parity = complete(staging, model_name, golden, progress, task, checked)
    return Exported(target, (target / TEXT).read_text(), parity)


def _write_labels(folder: Path, task: Task, classes: Sequence[str]) -> None:
    """The classes' names, a line each in the order of their labels: labels.txt, and labels.LANGUAGE.txt."""
    for language, names in {"": classes, **task.translations}.items():
        name = f"labels.{language}.txt" if language else "labels.txt"
        write_atomic(folder / "assets.extra" / name, "".join(f"{line}\n" for line in names).encode())


def _inputs(problem: Any, dataset: Dataset, seed: int) -> np.ndarray:
    """The golden images, uint8 [GOLDEN_EXAMPLES, H, W, C], as the network sees them."""
    batch = next(iter(evaluation_batches(dataset, "test", GOLDEN_EXAMPLES)))
    images: np.ndarray = problem.evaluation_batch(batch, seed)[0].numpy()
    return images


def _golden(functions: Mapping[str, tuple[Callable[..., Any], tf.TensorSpec]], images: np.ndarray) -> Golden:
    """The same images as pixels, as PNG bytes and as examples, and what the trained network answers to them."""
    encoded = [tf.io.encode_png(image).numpy() for image in images]
    examples = [
        tf.train.Example(
            features=tf.train.Features(
                feature={"image_bytes": tf.train.Feature(bytes_list=tf.train.BytesList(value=[content]))}
            )
        ).SerializeToString(deterministic=True)
        for content in encoded
    ]
    inputs = {
        "serving_default": images,
        "serve_bytes": np.array(encoded, object),
        "classify": np.array(examples, object),
    }
    requests = {name: {spec.name: inputs[name]} for name, (_, spec) in functions.items()}
    answers = {
        name: {output: tensor.numpy() for output, tensor in function(tf.constant(inputs[name])).items()}
        for name, (function, _) in functions.items()
    }
    return Golden(requests, answers)


def _facts(trained: TrainedModel, dataset: Dataset, metrics: Mapping[str, float]) -> dict[str, Any]:
    description, manifest = trained.description, dataset.manifest
    counts = {name: split.count for name, split in manifest.splits.items()}
    return {
        "recipe": description["recipe"],
        "recipe_key": trained.path.name,
        "classes": description["classes"],
        "parameters": description["parameters"],
        "epochs": description["epochs"],
        "best_epoch": description["best_epoch"],
        "seconds": description["seconds"],
        "dataset": {"source": manifest.source.uri, "counts": counts},
        "statistics": manifest.statistics["train"].model_dump(),
        "metrics": dict(metrics),
        "code_version": nightshift.__version__,
    }
