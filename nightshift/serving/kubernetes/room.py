"""Room for a new version where there is none: blue/green takes twice the Pods, the predecessor's are a third time."""

from dataclasses import dataclass

from nightshift.serving.kubernetes.rollout import Rollout


@dataclass
class Room:
    """The predecessor's Pods, taken if a version finds no room beside them; rolling back to it then starts them anew.

    Attributes:
        rollout: of the model.
        version: whose Pods were taken; 0: none.
        replicas: how many.
    """

    rollout: Rollout
    version: int = 0
    replicas: int = 0

    def make(self) -> None:
        """Scale the predecessor to zero, if it is not yet."""
        predecessor = self.rollout.history().predecessor
        if self.version or not predecessor:
            return
        replicas = self.rollout.replicas(predecessor)
        if replicas:
            self.version, self.replicas = predecessor, replicas
            self.rollout.tell(f"no room: taking that of version {predecessor}, which served before the present one")
            self.rollout.scale(predecessor, 0)

    def give_back(self) -> None:
        """The predecessor is what one rolls back to again."""
        if self.version and self.rollout.history().predecessor == self.version:
            self.rollout.scale(self.version, self.replicas)
