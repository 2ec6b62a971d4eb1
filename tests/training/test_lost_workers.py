"""What a worker says that cannot go on: who is not there, if anybody is not, and TensorFlow's own words."""

import contextlib
import socket
from collections.abc import Iterator

import pytest
import tensorflow as tf

from nightshift.training import workers
from nightshift.training.place import ALONE, Place
from nightshift.training.workers import LONGEST_WORDS, WorkerLostError, join, together

IN_A_GRAPH = """Graph execution error:

Detected at node Conv2D defined at (most recent call last):
  File "/app/nightshift/training/steps.py", line 30, in replica_step

CUDNN_STATUS_INTERNAL_ERROR in the forward pass
\t [[{{node Conv2D}}]] [Op:__inference_step_4711]"""


@contextlib.contextmanager
def others(*, there: bool) -> Iterator[Place]:
    """The first of two workers; the second listens, or does not."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if there:
            listening.listen()
        yield Place(0, 2, ("127.0.0.1:1", f"127.0.0.1:{listening.getsockname()[1]}"))


def test_an_accelerators_error_is_no_end_of_another_worker():
    with others(there=True) as place, pytest.raises(WorkerLostError) as error, together(place):
        raise tf.errors.InternalError(None, None, IN_A_GRAPH)
    assert str(error.value) == (
        "worker 0 of 2 can go on no longer; all others can be reached; TensorFlow says: CUDNN_STATUS_INTERNAL_ERROR in "
        "the forward pass; all have to be started again, and go on from the last checkpoint"
    )


def test_a_worker_that_has_ended_is_named():
    with others(there=False) as place, pytest.raises(WorkerLostError) as error, together(place):
        raise tf.errors.UnavailableError(None, None, "Connection reset by peer")
    told = rf"can go on no longer, another has ended; not there: worker 1 \({place.workers[1]}\); TensorFlow says: Conn"
    assert error.match(told)


def test_what_tensorflow_says_is_one_line_and_bounded():
    with others(there=True) as place, pytest.raises(WorkerLostError) as error, together(place):
        raise tf.errors.AbortedError(None, None, "x" * 10_000 + "\nmore")
    assert "\n" not in str(error.value)
    assert str(error.value).count("x") == LONGEST_WORDS


def test_alone_an_error_stays_what_it_is():
    with pytest.raises(tf.errors.InternalError), together(ALONE):
        raise tf.errors.InternalError(None, None, IN_A_GRAPH)


def test_a_join_that_fails_at_once_claims_no_waiting(monkeypatch):
    def refuse() -> None:
        raise RuntimeError("Collective ops must be configured at program startup")

    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", refuse)
    for name in ("_check_health_initial_timeout", "_check_health_interval"):
        monkeypatch.setattr(workers.CollectiveAllReduceExtended, name, 0)
    monkeypatch.setattr(workers.context.context(), "configure_coordination_service", lambda service_type: None)
    with others(there=True) as place, pytest.raises(WorkerLostError) as error:
        join(place)
    assert error.match(
        r"has not come together with the others in 0 s; all others can be reached; TensorFlow says: Collective ops must"
    )
