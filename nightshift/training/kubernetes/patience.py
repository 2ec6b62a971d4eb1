"""How long is borne with what keeps workers from beginning. A worker's new Pod, after a restart, is no new wait."""

from dataclasses import dataclass, field

from nightshift.kubernetes.objects import Object
from nightshift.kubernetes.pods import Patience, Trouble
from nightshift.training.kubernetes import causes


@dataclass(frozen=True)
class Limits:
    """How long what is waited for: seconds.

    Attributes:
        unschedulable: for a node; a cluster that adds one, a spot node at that, takes its time.
        starting: until a Pod that has a node runs: its image is pulled, its volumes are mounted.
        image: for an image that cannot be pulled just now.
        beginning: until the TrainJob has its Pods; its controller makes them.
        away: for an API server that does not answer.
    """

    unschedulable: int = 1800
    starting: int = 900
    image: int = 60
    beginning: float = 120.0
    away: float = 600.0


@dataclass
class Holdups:
    """What keeps each worker from beginning, from the first time it was seen until the worker runs."""

    limits: Limits
    _troubles: dict[int, Trouble] = field(default_factory=dict)
    _patience: Patience = field(default_factory=Patience)

    def look(self, pods: list[Object]) -> list[str]:
        """Take in how the Pods are; what is worth telling of what holds them up."""
        for pod in pods:
            index = causes.index_of(pod)
            found = causes.trouble(pod, self.limits.unschedulable, self.limits.image, self.limits.starting)
            if found:
                self._troubles[index] = found
            elif not causes.is_pending(pod):
                self._troubles.pop(index, None)
        return [one.text for one in self._troubles.values() if one.kind != causes.NOT_STARTED]

    def exhausted(self) -> Trouble | None:
        """The first that has lasted as long as it is borne with."""
        return self._patience.exhausted(list(self._troubles.values()))
