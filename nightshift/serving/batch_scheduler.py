"""Tasks gathered into batches, one queue a kind of task, worked off by a few threads in turn.

The rules are those of TensorFlow's SharedBatchScheduler
(tensorflow/core/kernels/batching_util/shared_batch_scheduler.h): a batch is ready when it is full, when its first task
has waited for the timeout, or when another stands behind it; threads go round the queues; a queue that is full refuses.
"""

import logging
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from nightshift.serving.batching_parameters import BatchingParameters
from nightshift.serving.status import invalid_argument, unavailable

logger = logging.getLogger(__name__)


class Task(Protocol):
    """What is joined with others."""

    @property
    def size(self) -> int:
        """Rows; at least 1."""

    def fail(self, error: Exception) -> None:
        """Be told that it has not been worked off; nothing follows."""


AnyTask = TypeVar("AnyTask", bound=Task)
Process = Callable[[list[AnyTask]], None]


class _Batch(Generic[AnyTask]):
    def __init__(self) -> None:
        self.tasks: list[AnyTask] = []
        self.size = 0
        self.begun = 0.0

    def add(self, task: AnyTask) -> None:
        if not self.tasks:
            self.begun = time.monotonic()
        self.tasks.append(task)
        self.size += task.size


class _Queue(Generic[AnyTask]):
    """Batches of one kind; the last one is open."""

    def __init__(self, process: Process[AnyTask]) -> None:
        self.process = process
        self.batches: deque[_Batch[AnyTask]] = deque([_Batch()])


class BatchScheduler:
    """Works off tasks in batches, on threads of its own.

    Attributes:
        parameters: how they are gathered.
    """

    def __init__(self, parameters: BatchingParameters) -> None:
        """Start the threads.

        Args:
            parameters: num_batch_threads must be set.
        """
        self.parameters = parameters
        self._timeout = parameters.batch_timeout_micros / 1e6
        self._most_batches = max(1, parameters.max_enqueued_batches)
        # Only those that hold tasks: callers choose signatures and shapes, and so how many there can be.
        self._queues: OrderedDict[Hashable, _Queue[Any]] = OrderedDict()
        self._changed = threading.Condition()
        self._idle = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{parameters.thread_pool_name}_{index}", daemon=True)
            for index in range(parameters.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def schedule(self, kind: Hashable, process: Process[AnyTask], tasks: Sequence[AnyTask]) -> None:
        """Queue tasks, all of them or none.

        Args:
            kind: only tasks of one kind are joined.
            process: works off a batch, on one of several threads: it has to tell each task what came of it.
            tasks: each of at most `parameters.rows` rows.

        Raises:
            StatusError: UNAVAILABLE, the queue is full.
        """
        with self._changed:
            queue = self._queues.get(kind)
            if queue is None:
                queue = self._queues[kind] = _Queue(process)
            self._check_room(queue, tasks)
            for task in tasks:
                if queue.batches[-1].size + task.size > self.parameters.rows:
                    queue.batches.append(_Batch())
                queue.batches[-1].add(task)
            if self._idle:
                self._changed.notify()

    def check_size(self, rows: int) -> None:
        """Refuse a request that is larger than the configuration allows.

        Raises:
            StatusError: INVALID_ARGUMENT.
        """
        if rows > self.parameters.max_batch_size:
            raise invalid_argument(
                f"Task size {rows} is larger than maximum input batch size {self.parameters.max_batch_size}"
            )

    def close(self) -> None:
        """Work off what is queued and end the threads; nothing may be queued any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _check_room(self, queue: _Queue[Any], tasks: Sequence[Task]) -> None:
        batches, size = len(queue.batches), queue.batches[-1].size
        for task in tasks:
            if size + task.size > self.parameters.rows:
                batches, size = batches + 1, 0
            size += task.size
        if batches > max(self._most_batches, len(queue.batches)):
            raise unavailable(
                "The batch scheduling queue to which this task was submitted is full; "
                f"currently {len(queue.batches)} batches enqueued and max_enqueued_batches is {self._most_batches}"
            )

    def _work(self) -> None:
        while (found := self._next()) is not None:
            process, tasks = found
            try:
                process(tasks)
            except Exception as error:
                logger.exception("a batch failed")
                for task in tasks:
                    task.fail(error)
            # A thread that waits holds on to nothing: the tasks have the requests' arrays.
            del found, process, tasks

    def _next(self) -> tuple[Process[Any], list[Any]] | None:
        """Wait for a batch that is ready; None when there will be no more."""
        with self._changed:
            while True:
                found, wait = self._take()
                if found is not None:
                    if self._queues and self._idle:
                        # Somebody has to see to what is left, and to when it will be ready.
                        self._changed.notify()
                    return found
                if self._closed and not self._queues:
                    return None
                self._idle += 1
                self._changed.wait(None if math.isinf(wait) else wait)
                self._idle -= 1

    def _take(self) -> tuple[tuple[Process[Any], list[Any]] | None, float]:
        """A batch that is ready, or None and the seconds until one will be."""
        now, wait = time.monotonic(), math.inf
        for kind, queue in self._queues.items():
            first = queue.batches[0]
            ready_in = first.begun + self._timeout - now
            if len(queue.batches) > 1 or first.size >= self.parameters.rows or ready_in <= 0 or self._closed:
                queue.batches.popleft()
                if queue.batches:
                    self._queues.move_to_end(kind)
                else:
                    del self._queues[kind]
                return (queue.process, first.tasks), 0.0
            wait = min(wait, ready_in)
        return None, wait
