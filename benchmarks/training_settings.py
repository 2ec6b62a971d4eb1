"""Which precision and compilation suit a preset on this machine: images a second of its training step, each way.

python -m benchmarks.training_settings digits puzzle
"""

import json
import statistics
import time

import click
import keras
import numpy as np
import tensorflow as tf

from nightshift.models import networks
from nightshift.problems.registry import problem_of
from nightshift.tasks.base import Preset, Task
from nightshift.tasks.registry import preset_of
from nightshift.tasks.registry import task as task_of
from nightshift.training.optimizers import optimizer as optimizer_of
from nightshift.training.steps import training_step

STEPS = 30


def images_per_second(task: Task, preset: Preset) -> tuple[float, float]:
    """The median rate of a step, and the seconds until the first is done (tracing, compiling)."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    keras.mixed_precision.set_global_policy(preset.precision)
    problem = problem_of(task, task.classes)
    model = networks.build(preset.network, task.image_shape, problem.outputs, preset.network_options)
    optimizer = optimizer_of(preset, STEPS)
    optimizer.build(model.trainable_variables)
    step = training_step(tf.distribute.get_strategy(), model, optimizer, problem, preset)
    random = np.random.default_rng(0)
    images = tf.constant(random.integers(0, 256, (preset.batch_size, *task.image_shape), np.uint8))
    targets = tf.constant(random.integers(0, problem.outputs, preset.batch_size))
    began = time.perf_counter()
    step((images, targets)).numpy()
    first = time.perf_counter() - began
    seconds = []
    for _ in range(STEPS):
        began = time.perf_counter()
        step((images, targets)).numpy()
        seconds.append(time.perf_counter() - began)
    return preset.batch_size / statistics.median(seconds), first


@click.command()
@click.argument("tasks", nargs=-1, required=True)
@click.option("--preset", default="default", show_default=True)
def main(tasks: tuple[str, ...], preset: str) -> None:
    """Print a line of JSON for each combination."""
    for name in tasks:
        task = task_of(name)
        for precision in ("float32", "mixed_bfloat16"):
            for jit_compile in (False, True):
                changes = {"precision": precision, "jit_compile": jit_compile}
                rate, first = images_per_second(task, preset_of(task, preset, changes))
                print(
                    json.dumps(
                        {
                            "task": name,
                            "preset": preset,
                            **changes,
                            "images_per_second": round(rate),
                            "first_step_seconds": round(first, 1),
                        }
                    ),
                    flush=True,
                )


if __name__ == "__main__":
    main()
