"""SIGTERM, by which a cluster takes a node back, ends a training at the next step, its state written. No TensorFlow."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from nightshift.errors import NightshiftError


class Preempted(NightshiftError):  # noqa: N818  nothing has gone wrong
    """A training was asked to end and has written its checkpoint: started again, it goes on."""

    exit_code = 128 + signal.SIGTERM


class Preemption:
    """A context manager: in the block SIGTERM is only noted; a second one changes nothing.

    Only a process's main thread can do so; in another the signal keeps its effect.

    Attributes:
        asked: whether the signal has come.
    """

    def __init__(self) -> None:
        self.asked = False
        self._earlier: Any = None

    def __enter__(self) -> "Preemption":
        if threading.current_thread() is threading.main_thread():
            self._earlier = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._earlier is not None:
            signal.signal(signal.SIGTERM, self._earlier)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
