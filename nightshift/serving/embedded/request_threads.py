"""The threads that answer requests, those of gRPC and those of REST: what they may take together is bounded."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class RequestThreads(ThreadPoolExecutor):
    """A pool that knows how many requests wait for a thread."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads, thread_name_prefix="request")
        self._count = 0
        self._counting = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return self._count

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a function on one of the threads, when there is one."""

        def begin() -> Any:
            self._add(-1)
            return fn(*args, **kwargs)

        self._add(1)
        try:
            future = super().submit(begin)
        except BaseException:
            self._add(-1)
            raise
        future.add_done_callback(lambda done: self._add(-1) if done.cancelled() else None)
        return future

    def _add(self, count: int) -> None:
        with self._counting:
            self._count += count
