"""The training loop: one for a laptop, for several devices and for several machines, resumed after any step.

Keras 3's own `fit` stops at one host; this one is built around `strategy.run` and drives Keras callbacks.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import keras
import tensorflow as tf

from nightshift.data.lanes import usable
from nightshift.data.manifest import Dataset
from nightshift.data.reading import in_words
from nightshift.errors import ConfigurationError, DataError
from nightshift.models import networks
from nightshift.problems.base import Problem
from nightshift.problems.registry import problem_of
from nightshift.tasks.base import Preset, Task
from nightshift.training import checkpoints, devices
from nightshift.training.checkpoints import Checkpoints, Progress
from nightshift.training.epochs import Epochs, Trained, share_done, where
from nightshift.training.feed import training_feed, validation_feed
from nightshift.training.kept import Kept
from nightshift.training.lines import GOING_ON
from nightshift.training.optimizers import optimizer as optimizer_of
from nightshift.training.place import ALONE, Place
from nightshift.training.steps import training_step, validation_step
from nightshift.training.workers import from_chief, together


def fit(
    task: Task,
    preset: Preset,
    dataset: Dataset,
    *,
    seed: int,
    kept: Kept,
    progress: Callable[[float, str], None] = lambda fraction, message: None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    strategy: tf.distribute.Strategy | None = None,
    place: Place = ALONE,
) -> Trained:
    """Train, or go on from the checkpoint. Of several workers, each calls it.

    Args:
        task: what is learnt; its `score` on the validation split chooses the best epoch (see `Preset.keep`).
        preset: network and settings.
        dataset: prepared data.
        seed: weights, order and random changes follow from it.
        kept: the checkpoint, which the chief alone reads and writes; one process at a time.
        progress: told (share of all steps, words).
        callbacks: Keras callbacks; they see the model, epochs, batches and logs. Those of `on_train_batch_end` are
            {sums: float32 [3]}, loss and score summed over the global batch; looking at them waits for the device.
        strategy: where to run; None: what this machine has.
        place: which of the workers this is.

    Raises:
        DataError: the training split has less than one batch.
        ConfigurationError: the batch cannot be shared by the devices, or the loss is no longer a number.
        Preempted: SIGTERM came, to this or another worker; the checkpoint is written.
        WorkerLostError: another worker has ended.
    """
    strategy = strategy or devices.strategy(place)
    steps = _steps_an_epoch(preset, dataset, strategy)
    keras.utils.set_random_seed(seed)
    problem = problem_of(task, tuple(dataset.manifest.classes))
    with together(place):
        model, optimizer = _network(task, preset, problem, steps, strategy)
        best, state = model.get_weights(), Progress()
        if content := from_chief(strategy, place, (kept.read() or b"") if place.chief else b""):
            best, state = checkpoints.restore(content, str(kept), model, optimizer)
            progress(share_done(state, steps, preset), f"{GOING_ON} {where(state, steps, preset)}")
        epochs = Epochs(
            task=task,
            preset=preset,
            steps=steps,
            place=place,
            strategy=strategy,
            model=model,
            optimizer=optimizer,
            train=training_step(strategy, model, optimizer, problem, preset),
            validate=validation_step(strategy, model, problem),
            checkpoints=Checkpoints(kept),
            following=keras.callbacks.CallbackList(list(callbacks), model=model),
            progress=progress,
            state=state,
            best=best,
        )
        batches = training_feed(strategy, place, problem, preset, dataset, seed, state)
        with in_words(dataset):
            epochs.run(batches, validation_feed(strategy, place, problem, dataset, seed))
    return epochs.trained()


def _network(
    task: Task, preset: Preset, problem: Problem, steps: int, strategy: tf.distribute.Strategy
) -> tuple[keras.Model, keras.optimizers.Optimizer]:
    """The network and its optimizer, both with their variables; `steps` of an epoch."""
    with strategy.scope(), _precision(preset.precision):
        model = networks.build(preset.network, task.image_shape, problem.outputs, preset.network_options)
        optimizer = optimizer_of(preset, steps * preset.epochs)
        optimizer.build(model.trainable_variables)
    return model, optimizer


@contextmanager
def _precision(policy: str) -> Iterator[None]:
    """The dtype policy of the layers built in the block: Keras has one for the whole process."""
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def _steps_an_epoch(preset: Preset, dataset: Dataset, strategy: tf.distribute.Strategy) -> int:
    replicas = strategy.num_replicas_in_sync
    if preset.batch_size % replicas:
        raise ConfigurationError(
            f"batch_size: found {preset.batch_size}, expected a multiple of the {replicas} devices"
        )
    count = usable(dataset.manifest.splits["train"])
    if count < preset.batch_size:
        raise DataError(f"{dataset.path}: {count} training images are less than one batch of {preset.batch_size}")
    return count // preset.batch_size
