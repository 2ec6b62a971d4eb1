"""Following a TrainJob to its end: its chief's log and progress, its restarts, and why it does not get on."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from nightshift.kubernetes.asking import ClusterError
from nightshift.kubernetes.cluster import Cluster
from nightshift.kubernetes.objects import Object, condition, name_of
from nightshift.training.kubernetes import causes
from nightshift.training.kubernetes.errors import TrainJobError
from nightshift.training.kubernetes.job import NODE
from nightshift.training.kubernetes.log import Log
from nightshift.training.kubernetes.ownership import COMPLETE, FAILED, JOBSET, KIND, ended_as
from nightshift.training.kubernetes.patience import Holdups, Limits
from nightshift.training.lines import GOING_ON, read_progress

TICK_SECONDS = 1
LAST_LINES_SECONDS = 10.0
FUTILE = 3
"""Attempts that ended by themselves and had begun no further than those before: the next one would not, either."""


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
        attempt: how often all workers were started again; -1 until their Pods were seen.
    """

    cluster: Cluster
    name: str
    asked: Callable[[], bool]
    finished: Callable[[], bool]
    progress: Callable[[float, str], None]
    say: Callable[[str], None]
    limits: Limits
    attempt: int = -1
    _log: Log | None = None
    _start: float = 0.0  # share of all work at which the present attempt began
    _reached: float = 0.0  # the same of the furthest one before
    _futile: int = 0
    _cause: str = ""
    _by_itself: bool = False
    _told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._holdups = Holdups(self.limits)
        self._began = time.monotonic()

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
                if away is None:
                    away = time.monotonic()
                    if error.passing:
                        self.say(f"{error}; the training goes on without us")
                if not error.passing or time.monotonic() - away > self.limits.away:
                    raise

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
        latest = max((causes.attempt_of(pod) for pod in pods), default=self.attempt)
        if latest <= self.attempt:
            return
        if self.attempt >= 0:  # else it was taken over: what has been before is not ours to tell
            self._begun_again(latest)
        self.attempt = latest
        self._log, self._start, self._cause, self._by_itself = None, 0.0, "", False
        self._told.clear()

    def _begun_again(self, latest: int) -> None:
        """Tell why, and give up if it is of no use."""
        self._last_lines()
        if self._start > self._reached:
            self._reached, self._futile = self._start, 0
        elif self._by_itself:
            self._futile += 1
        cause = self._cause or "the cluster does not say why"
        self.say(f"TrainJob {self.name}: all workers begin again (restart {latest}): {cause}")
        if self._futile >= FUTILE:
            raise TrainJobError(f"TrainJob {self.name}: {self._futile} attempts got no further; at last {cause}")

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
                # Said once, by an attempt that found a checkpoint; lines before it may tell of a share of 0.
                self._start = known[0] if known[1].startswith(GOING_ON) else self._start
                self.progress(*known)

    def _last_lines(self) -> None:
        if self._log:
            self._log.end(LAST_LINES_SECONDS)
            self._show()

    def _be_patient(self, pods: list[Object]) -> None:
        """Give up if something keeps workers from beginning for longer than is borne with."""
        for words in self._holdups.look(pods):
            self._tell(words)
        exhausted = self._holdups.exhausted()
        if exhausted:
            raise TrainJobError(f"TrainJob {self.name}: {exhausted.kind}: {exhausted.text}")
        if pods:
            self._began = time.monotonic()
        elif time.monotonic() - self._began > self.limits.beginning:
            raise TrainJobError(
                f"TrainJob {self.name}: no Pods after {self.limits.beginning:g} s: do the controllers of Kubeflow "
                f"Trainer and JobSet run, and what do they say? kubectl describe trainjob/{self.name} "
                f"jobset/{self.name} job/{self.name}-{NODE}-0"
            )

    def _failed(self, job: Object) -> str:
        self._last_lines()
        said = (condition(job, FAILED) or {}).get("message", "")
        return f"TrainJob {self.name} failed: {said}" + (f"; {self._cause}" if self._cause else "")

    def _tell(self, words: str) -> None:
        """Say what holds things up, once an attempt."""
        if words and words not in self._told:
            self._told.add(words)
            self.say(words)
