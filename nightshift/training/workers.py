"""Several workers: how they come together, what the chief tells the others, and how one that is lost ends them all."""

import contextlib
import socket
import time
from collections.abc import Iterator
from functools import cache

import numpy as np
import tensorflow as tf
from tensorflow.python.distribute.collective_all_reduce_strategy import CollectiveAllReduceExtended
from tensorflow.python.eager import context

from nightshift.errors import NightshiftError
from nightshift.training.place import Place

JOIN_SECONDS = 2100
"""That the workers may take to come together. On Kubernetes the train step gives up before that, after 30 minutes in
which no node took one of them: if the workers did, all would begin again, and the waiting with them."""

HEALTH_SECONDS = 10
"""Between two looks at whether the others are there."""

PROBE_SECONDS = 2.0
FRAMES = ("Graph execution error", "Detected at node", 'File "', "[[")
"""What lines of an error of TensorFlow's begin with that say where in the program it was."""

LONGEST_WORDS = 300
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
    tf.errors.CancelledError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)
"""What TensorFlow raises in the collectives of the others when a worker has ended."""


class WorkerLostError(NightshiftError):
    """Not all workers are there: all have to be started again, and go on from the last checkpoint."""


@cache
def join(place: Place) -> tf.distribute.Strategy:
    """Wait for the other workers; one strategy a process.

    Raises:
        WorkerLostError: they did not all come within JOIN_SECONDS.
    """
    # TensorFlow's coordination service, on by default, waits for ever for a worker that never comes, and takes SIGTERM
    # for itself. Without it the collectives' own health check is in force, which has no public settings. No timeout in
    # the communication options: with one, every single collective leaves a thread asleep for that long.
    context.context().configure_coordination_service(service_type="")
    CollectiveAllReduceExtended._check_health_initial_timeout = JOIN_SECONDS
    CollectiveAllReduceExtended._check_health_interval = HEALTH_SECONDS
    began = time.monotonic()
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (RuntimeError, *LOST) as error:
        raise WorkerLostError(
            f"worker {place.index} of {place.count} has not come together with the others in "
            f"{time.monotonic() - began:.0f} s; {_whereabouts(_absent(place))}; {_said(error)}"
        ) from error


@contextlib.contextmanager
def together(place: Place) -> Iterator[None]:
    """In the block, the error of a collective in which another worker is missing is a WorkerLostError.

    TensorFlow has no error for that alone: an accelerator's own comes as one, too, and its words with it.
    """
    try:
        yield
    except LOST as error:
        if place.count == 1:
            raise
        absent = _absent(place)
        raise WorkerLostError(
            f"worker {place.index} of {place.count} can go on no longer{', another has ended' if absent else ''}; "
            f"{_whereabouts(absent)}; {_said(error)}; all have to be started again, and go on from the last checkpoint"
        ) from error


def _said(error: BaseException) -> str:
    """TensorFlow's own words, in one line, without the source lines and nodes that it names."""
    lines = (line.strip() for line in str(error).splitlines())
    words = " ".join(line for line in lines if line and not line.startswith(FRAMES))
    return f"TensorFlow says: {words[:LONGEST_WORDS]}"


def _absent(place: Place) -> list[str]:
    """Which of the other workers cannot be reached."""
    others = [(number, worker) for number, worker in enumerate(place.workers) if number != place.index]
    return [f"{number} ({worker})" for number, worker in others if not _answers(worker)]


def _whereabouts(absent: list[str]) -> str:
    return f"not there: worker {', '.join(absent)}" if absent else "all others can be reached"


def _answers(worker: str) -> bool:
    host, _, port = worker.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), PROBE_SECONDS).close()
    except OSError:
        return False
    return True


def from_chief(strategy: tf.distribute.Strategy, place: Place, content: bytes) -> bytes:
    """What the chief gives, at every worker; all have to call it. What the others give does not count."""
    if place.count == 1:
        return content
    with together(place):
        size = int(_sum(strategy, np.array([len(content)]))[0])
        words = np.zeros(-(-size // 8), np.int64)
        if place.chief:
            words.view(np.uint8)[:size] = np.frombuffer(content, np.uint8)
        return _sum(strategy, words).tobytes()[:size] if size else b""


def dismiss(strategy: tf.distribute.Strategy, place: Place) -> None:
    """Wait until all workers have come to their end: none misses another from here on. All have to call it."""
    if place.count == 1:
        return
    strategy.extended._check_health_thread_should_stop.set()
    from_chief(strategy, place, b"")
    # The first to leave takes with it what it has still to send. Whoever is past here has had all it needs, and whom
    # this fails has, too: the second round only keeps everyone until the first is over.
    with contextlib.suppress(WorkerLostError):
        from_chief(strategy, place, b"")


def _sum(strategy: tf.distribute.Strategy, numbers: np.ndarray) -> np.ndarray:
    """The first device's numbers, int64, at every worker: all others add zeros."""
    none = np.zeros_like(numbers)
    shares = strategy.experimental_distribute_values_from_function(
        lambda device: tf.constant(none if device.replica_id_in_sync_group else numbers)
    )
    return np.asarray(strategy.reduce("SUM", shares, axis=None))
