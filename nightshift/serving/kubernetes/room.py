"""Room for a new version where there is none: blue/green takes twice the Pods, the predecessor's are a third time."""

from dataclasses import dataclass

from nightshift.kubernetes.objects import annotation
from nightshift.serving.kubernetes.names import TAKEN, number
from nightshift.serving.kubernetes.rollout import Rollout


@dataclass(frozen=True)
class Room:
    """The predecessor's Pods, taken if a version finds no room beside them; rolling back to it then starts them anew.

    How many there were stands on its Deployment, so that they are given back also after whoever took them was killed.

    Attributes:
        rollout: of the model.
        version: that needs the room; 0: none does.
    """

    rollout: Rollout
    version: int = 0

    def make(self) -> None:
        """Scale the predecessor to zero, if it is not yet, and unless it is what is started, or the only way back."""
        history = self.rollout.history()
        taken = history.predecessor
        # A version that the Service selects already may have to give way to its predecessor yet.
        if not taken or self.version in (taken, history.live):
            return
        replicas = self.rollout.replicas(taken)
        if replicas:
            self.rollout.tell(f"no room: taking that of version {taken}, which served before the present one")
            self.rollout.scale(taken, 0, taken=replicas)

    def give_back(self) -> None:
        """The predecessor is what one rolls back to again, as large as it was."""
        predecessor = self.rollout.history().predecessor
        found = self.rollout.deployment(predecessor) if predecessor else None
        replicas = number(annotation(found, TAKEN)) if found else 0
        if found and replicas and not found["spec"].get("replicas"):
            self.rollout.tell(f"giving version {predecessor} its room back: {replicas} Pods")
            self.rollout.scale(predecessor, replicas)
