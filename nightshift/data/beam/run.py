"""Runs a pipeline to its end: tells how far it is, stops it when this process is stopped, says in words what failed."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Any

from nightshift.data.beam.job import Job
from nightshift.data.beam.staging import Staging
from nightshift.data.beam.workers import end_workers, workers
from nightshift.errors import DataError

SECONDS = 2.0
"""Between two looks at how far it is."""

PATIENCE = 30.0
"""Seconds between the end of the worker processes and that of a pipeline, at most."""


def run(job: Job, pipeline: Any, uri: str) -> None:
    """Run a pipeline and wait for its end.

    Args:
        job: whose pipeline it is.
        pipeline: complete.
        uri: the source's name, for errors.

    Raises:
        DataError: it failed; the cause has all that Beam says.
    """
    try:
        state = _run_here(pipeline) if job.local else _run_elsewhere(pipeline)
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise DataError(f"{uri}: Apache Beam ({job}) failed: {lines[-1]}") from error
    if state != "DONE":
        raise DataError(f"{uri}: Apache Beam ({job}) ended in the state {state}, expected DONE")


def _run_elsewhere(pipeline: Any) -> str:
    """The state that another machine's job ended in; it is cancelled when this process is stopped."""
    result = pipeline.run()
    try:
        return str(result.wait_until_finish())
    except BaseException:
        result.cancel()
        raise


def _run_here(pipeline: Any) -> str:
    """The state that this machine's runner ended in; its processes are ended when this one is stopped.

    It runs in a thread: in the main one it would take a Ctrl-C for an order to wait for its processes, for ever. So it
    would for one that is killed.

    Raises:
        RuntimeError: a worker process ended before the pipeline did.
    """
    ended: Future[str] = Future()

    def work() -> None:
        try:
            ended.set_result(str(pipeline.run().wait_until_finish()))
        except BaseException as error:
            ended.set_exception(error)

    threading.Thread(target=work, name="beam", daemon=True).start()
    try:
        seen: set[int] = set()
        missing_since = math.inf
        while not wait([ended], SECONDS).done:  # a signal is looked at in between
            running = workers()
            seen |= running
            missing_since = min(missing_since, time.monotonic()) if seen - running else math.inf
            if time.monotonic() - missing_since > PATIENCE:
                raise RuntimeError("a worker process ended by itself; it may have taken too much memory")
    except BaseException:
        end_workers()
        raise
    return ended.result()


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Let SIGTERM, as a cancelled Pod gets it, end the block as an exception, so that jobs and files go with it.

    Who has a handler of their own keeps it.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def watched(staging: Staging, folder: str, report: Callable[[int], None]) -> Iterator[None]:
    """Tell how many files there are in one of staging's folders, now and then while the block runs.

    Beam's own counters of a runner on this machine are there at its end only; a bucket is not asked.
    """
    if not staging.local:
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(SECONDS):
            report(len(staging.names(folder)))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
