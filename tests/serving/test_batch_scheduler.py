"""When batches are formed, with tasks that only know their size."""

import threading
from dataclasses import dataclass, field

import grpc
import pytest

from nightshift.serving.batch_scheduler import BatchScheduler
from nightshift.serving.batching_parameters import BatchingParameters
from nightshift.serving.status import StatusError

SECONDS = 20
LONG = 3_600_000_000


@dataclass
class Sized:
    size: int = 1
    errors: list[Exception] = field(default_factory=list)

    def fail(self, error):
        self.errors.append(error)


class Worker:
    """Notes the batches that it is given; each waits until it is let go."""

    def __init__(self, free=True):
        self.batches = []
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()
        if free:
            self.go.set()

    def __call__(self, tasks):
        self.batches.append([task.size for task in tasks])
        self.begun.release()
        assert self.go.wait(SECONDS)

    def wait(self, count=1):
        for _ in range(count):
            assert self.begun.acquire(timeout=SECONDS), self.batches


@pytest.fixture
def started():
    schedulers, workers = [], []

    def start(free=True, **parameters):
        workers.append(Worker(free))
        schedulers.append(BatchScheduler(BatchingParameters(**{"num_batch_threads": 1, **parameters})))
        return schedulers[-1], workers[-1]

    yield start
    for worker in workers:
        worker.go.set()
    for scheduler in schedulers:
        scheduler.close()


def test_what_comes_while_all_threads_are_busy_is_joined(started):
    scheduler, worker = started(free=False)
    scheduler.schedule("k", worker, [Sized(1)])
    worker.wait()
    for size in (2, 3, 4):
        scheduler.schedule("k", worker, [Sized(size)])
    worker.go.set()
    worker.wait()
    assert worker.batches == [[1], [2, 3, 4]]


def test_a_batch_is_never_larger_than_the_largest(started):
    scheduler, worker = started(free=False, max_batch_size=4)
    scheduler.schedule("k", worker, [Sized(4)])
    worker.wait()
    for size in (3, 2, 2, 1):
        scheduler.schedule("k", worker, [Sized(size)])
    worker.go.set()
    worker.wait(3)
    assert worker.batches == [[4], [3], [2, 2], [1]]


def test_a_full_batch_does_not_wait_for_the_timeout(started):
    scheduler, worker = started(max_batch_size=2, batch_timeout_micros=LONG)
    scheduler.schedule("k", worker, [Sized()])
    assert not worker.begun.acquire(timeout=0.05)
    scheduler.schedule("k", worker, [Sized()])
    worker.wait()
    assert worker.batches == [[1, 1]]


def test_a_batch_that_is_not_full_waits_for_the_timeout_and_no_longer(started):
    scheduler, worker = started(max_batch_size=2, batch_timeout_micros=50_000)
    scheduler.schedule("k", worker, [Sized()])
    worker.wait()
    assert worker.batches == [[1]]


def test_a_timeout_is_seen_to_while_the_thread_that_saw_it_first_is_busy(started):
    scheduler, worker = started(free=False, max_batch_size=2, batch_timeout_micros=50_000, num_batch_threads=2)
    scheduler.schedule("waiting", worker, [Sized()])
    scheduler.schedule("full", worker, [Sized(2)])
    worker.wait(2)
    assert sorted(worker.batches) == [[1], [2]]


def test_kinds_are_not_joined_and_take_turns(started):
    scheduler, worker = started(free=False, max_batch_size=1)
    scheduler.schedule("first", worker, [Sized(1)])
    worker.wait()
    order = []
    for name, times in (("a", 3), ("b", 2)):
        for _ in range(times):
            scheduler.schedule(name, lambda tasks, name=name: (order.append(name), worker(tasks)), [Sized()])
    worker.go.set()
    worker.wait(5)
    assert order == ["a", "b", "a", "b", "a"]


def test_a_full_queue_refuses_and_takes_nothing_of_what_it_refuses(started):
    scheduler, worker = started(free=False, max_batch_size=2, max_enqueued_batches=2)
    scheduler.schedule("k", worker, [Sized(2)])
    worker.wait()
    scheduler.schedule("k", worker, [Sized(1), Sized(2)])
    with pytest.raises(StatusError, match=r"is full; currently 2 batches enqueued and max_enqueued_batches is 2") as no:
        scheduler.schedule("k", worker, [Sized(1)])
    assert no.value.code is grpc.StatusCode.UNAVAILABLE
    scheduler.schedule("other", worker, [Sized(1)])
    worker.go.set()
    worker.wait(3)
    assert worker.batches[0] == [2]
    assert sorted(worker.batches[1:]) == [[1], [1], [2]]


def test_a_request_of_several_batches_is_refused_whole(started):
    scheduler, worker = started(free=False, max_batch_size=2, max_enqueued_batches=2)
    scheduler.schedule("k", worker, [Sized(2)])
    worker.wait()
    with pytest.raises(StatusError, match="is full"):
        scheduler.schedule("k", worker, [Sized(2), Sized(2), Sized(2)])
    worker.go.set()
    scheduler.schedule("k", worker, [Sized(1)])
    worker.wait()
    assert worker.batches == [[2], [1]]


def test_a_failure_reaches_its_batch_and_the_thread_goes_on(started):
    scheduler, worker = started()
    broken, told = Sized(), threading.Event()
    broken.fail = lambda error: (broken.errors.append(error), told.set())

    def fail(tasks):
        raise RuntimeError("no")

    scheduler.schedule("broken", fail, [broken])
    assert told.wait(SECONDS)
    assert str(broken.errors[0]) == "no"
    scheduler.schedule("k", worker, [Sized()])
    worker.wait()


def test_closing_works_off_what_waits():
    worker = Worker()
    scheduler = BatchScheduler(BatchingParameters(num_batch_threads=2, batch_timeout_micros=LONG))
    scheduler.schedule("k", worker, [Sized(3)])
    scheduler.close()
    assert worker.batches == [[3]]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batch_threads")]
