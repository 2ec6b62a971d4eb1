"""A worker's log as it grows, read in a thread; a connection that breaks is made again, and no line comes twice."""

import queue
import re
import threading
from collections.abc import Iterator

from nightshift.kubernetes.asking import ClusterError
from nightshift.kubernetes.cluster import Cluster
from nightshift.training.kubernetes.job import NODE

AGAIN_SECONDS = 0.5
STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(\S*)")


class Log:
    """The log of one Pod's worker.

    Args:
        cluster: where the Pod is.
        pod: its name.
    """

    def __init__(self, cluster: Cluster, pod: str) -> None:
        self.pod = pod
        self._cluster = cluster
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._last, self._since = ("", 0), ""
        self._thread = threading.Thread(target=self._follow, name=f"log of {pod}", daemon=True)
        self._thread.start()

    def lines(self) -> Iterator[str]:
        """Those that have come since the last call."""
        while True:
            try:
                yield self._lines.get_nowait()
            except queue.Empty:
                return

    def end(self, seconds: float) -> None:
        """The container has ended: wait for its last lines, for that long at most."""
        self._ended.set()
        self._thread.join(seconds)

    def _follow(self) -> None:
        while True:
            ended = self._ended.is_set()  # before reading: then what is read is all
            try:
                for line in self._cluster.follow_log(self.pod, NODE, self._since):
                    self._take(line)
            except ClusterError as error:
                if not error.passing and error.status != 400:  # 400: it has not begun
                    return  # the Pod is gone
            if ended:
                return
            self._ended.wait(AGAIN_SECONDS)

    def _take(self, line: str) -> None:
        stamp, _, text = line.partition(" ")
        found = STAMP.fullmatch(stamp)
        if found is None:
            return  # the rest of a line whose beginning the server has cut
        time = (found[1], int((found[2] or "").ljust(9, "0")))
        if time > self._last:
            self._last, self._since = time, f"{found[1]}{found[3]}"
            self._lines.put(text)
