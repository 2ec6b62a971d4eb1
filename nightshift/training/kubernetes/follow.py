"""Following a TrainJob to its end: its chief's log and progress, its restarts, and why it does not get on."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from nightshift.kubernetes.asking import ClusterError
from nightshift.kubernetes.cluster import Cluster
from nightshift.kubernetes.objects import Object, condition, name_of
from nightshift.kubernetes.pods import Patience
from nightshift.training.kubernetes import causes
from nightshift.training.kubernetes.errors import TrainJobError
from nightshift.training.kubernetes.lines import read_progress
from nightshift.training.kubernetes.log import Log
from nightshift.training.kubernetes.ownership import COMPLETE, FAILED, JOBSET, KIND, ended_as

TICK_SECONDS = 1
LAST_LINES_SECONDS = 10.0
FUTILE = 3
"""Failed attempts in a row that got no further than where they began: the next one would not, either."""


@dataclass(frozen=True)
class Limits:
    """How long what is waited for: seconds.

    Attributes:
        unschedulable: for a node; a cluster that adds one, a spot node at that, takes its time.
        beginning: until the TrainJob has its Pods; its controller makes them.
        away: for an API server that does not answer.
        image: for an image that cannot be pulled just now.
    """

    unschedulable: int = 1800
    image: int = 60
    beginning: float = 120.0
    away: float = 600.0


@dataclass
class Following:
    """A TrainJob at work.

    Attributes:
        cluster: where it is.
        name: its name.
        asked: whether this process was asked to end.
        finished: whether the model is there.
        progress: told (share of all work, words).
        say: told what is worth a line.
        limits: of patience.
        attempt: how often all workers were started again.
    """

    cluster: Cluster
    name: str
    asked: Callable[[], bool]
    finished: Callable[[], bool]
    progress: Callable[[float, str], None]
    say: Callable[[str], None]
    limits: Limits = Limits()
    attempt: int = 0
    _began: float = field(default_factory=time.monotonic)
    _patience: Patience = field(default_factory=Patience)
    _log: Log | None = None
    _first: float | None = None  # share of the work at which the present attempt began
    _further: bool = False
    _futile: int = 0
    _cause: str = ""
    _by_itself: bool = False
    _told: str = ""

    def until_it_ends(self) -> bool:
        """Follow it; False if this process was asked to end before that.

        Raises:
            TrainJobError: it failed, cannot begin, or was deleted.
            ClusterError: the API server refused something, or was away for too long.
        """
        away: float | None = None
        while True:
            try:
                for pods in self.cluster.follow("pods", f"{JOBSET}={self.name}", tick=TICK_SECONDS):
                    if self.asked():
                        return False
                    if self._look(pods):
                        return True
                    away = None
            except ClusterError as error:
                if self.asked():
                    return False
                away = away or time.monotonic()
                if not error.passing or time.monotonic() - away > self.limits.away:
                    raise
                self._tell(f"{error}; the training goes on without us")

    def _look(self, pods: list[Object]) -> bool:
        """Take in how things are; whether it has ended well."""
        self._attempts(pods)
        present = [pod for pod in pods if causes.attempt_of(pod) == self.attempt]
        if not self._cause:
            self._cause, by_itself = causes.failure(present)
            # One that waited in vain for another which no node has taken yet is not to blame.
            self._by_itself = by_itself and not any(causes.is_pending(pod) for pod in present)
        self._read_log(present)
        job = self.cluster.get(KIND, self.name)
        if job is None:
            if self.finished():  # another step that followed it has taken it away
                return True
            raise TrainJobError(f"TrainJob {self.name}: it was deleted by somebody before it had a model")
        ended = ended_as(job)
        if ended == FAILED:
            raise TrainJobError(self._failed(job))
        if ended == COMPLETE:
            self._last_lines()
            return True
        self._be_patient(present)
        return False

    def _attempts(self, pods: list[Object]) -> None:
        """Notice that all workers were started again."""
        latest = max((causes.attempt_of(pod) for pod in pods), default=0)
        if latest <= self.attempt:
            return
        self._last_lines()
        self._futile = self._futile + 1 if self._by_itself and not self._further else 0
        self.attempt = latest
        cause = self._cause or "the cluster does not say why"
        self.say(f"TrainJob {self.name}: all workers begin again (restart {latest}): {cause}")
        if self._futile >= FUTILE:
            raise TrainJobError(
                f"TrainJob {self.name}: it got no further {self._futile} times in a row; at last {cause}"
            )
        self._log, self._cause, self._by_itself, self._first, self._further = None, "", False, None, False

    def _read_log(self, pods: list[Object]) -> None:
        chief = next((pod for pod in pods if causes.index_of(pod) == 0), None)
        if self._log is None and chief and not causes.is_pending(chief):
            self._log = Log(self.cluster, name_of(chief))
        if self._log is None:
            count = sum(map(causes.is_at_work, pods))
            self._tell(f"TrainJob {self.name}: {count} of {len(pods)} Pods run" if pods else "")
        self._show()

    def _show(self) -> None:
        """The chief's new lines: into our own log, its progress into ours."""
        for line in self._log.lines() if self._log else ():
            print(line, flush=True)
            known = read_progress(line)
            if known:
                self._first = known[0] if self._first is None else self._first
                self._further = self._further or known[0] > self._first
                self.progress(*known)

    def _last_lines(self) -> None:
        if self._log:
            self._log.end(LAST_LINES_SECONDS)
            self._show()

    def _be_patient(self, pods: list[Object]) -> None:
        """Give up if something keeps workers from beginning for longer than is borne with."""
        found = [one for pod in pods if (one := causes.trouble(pod, self.limits.unschedulable, self.limits.image))]
        for one in found:
            self._tell(one.text)
        exhausted = self._patience.exhausted(found)
        if exhausted:
            raise TrainJobError(f"TrainJob {self.name}: {exhausted.kind}: {exhausted.text}")
        if pods:
            self._began = time.monotonic()
        elif time.monotonic() - self._began > self.limits.beginning:
            raise TrainJobError(
                f"TrainJob {self.name}: no Pods after {self.limits.beginning:g} s: do the controllers of Kubeflow "
                f"Trainer and JobSet run, and what do they say? kubectl describe trainjob,jobset {self.name}"
            )

    def _failed(self, job: Object) -> str:
        self._last_lines()
        said = (condition(job, FAILED) or {}).get("message", "")
        return f"TrainJob {self.name} failed: {said}" + (f"; {self._cause}" if self._cause else "")

    def _tell(self, words: str) -> None:
        """Say what holds things up, once."""
        if words and words != self._told:
            self._told = words
            self.say(words)
