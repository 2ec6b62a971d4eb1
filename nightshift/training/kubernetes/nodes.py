"""How many nodes train, and what each of them gets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nightshift.data.lanes import LANES
from nightshift.errors import ConfigurationError
from nightshift.kubernetes.objects import Object

LEAST_CPU = "500m"
"""Asked for, whatever the limit: a node with other work takes a worker that may use all its processors."""

GPU = "nvidia.com/gpu"


@dataclass(frozen=True)
class Nodes:
    """The nodes of a training.

    Attributes:
        count: how many; 1: the train step's own Pod.
        gpus: of each, a whole number.
        cpu: processors of each, as Kubernetes writes them.
        memory: of each, as Kubernetes writes it.
        tolerations: taints that they may have, as in a Pod.
        node_selector: labels that they have to have.
    """

    count: int = 1
    gpus: str = "0"
    cpu: str = "2"
    memory: str = "4Gi"
    tolerations: Sequence[Mapping[str, Any]] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_count(self.count)

    @classmethod
    def of(cls, count: int, own: Mapping[str, Any], other: Mapping[str, Any]) -> "Nodes":
        """From parameters of the pipeline.

        Args:
            count: how many.
            own: what the train step's Pod gets.
            other: what each node gets instead.

        Raises:
            ConfigurationError: the count cannot be used, or `other` has a name that there is not.
        """
        if unknown := set(other) - set(own):
            raise ConfigurationError(f"per_node: found {min(unknown)!r}, expected only {', '.join(own)}")
        return cls(count, **{**own, **other})

    def resources(self) -> Object:
        """Of each node's container."""
        # Numbers in a parameter's JSON may arrive as floats.
        gpus = {GPU: str(int(float(self.gpus)))} if float(self.gpus) else {}
        rest = {"memory": str(self.memory), **gpus}
        return {"requests": {"cpu": LEAST_CPU, **rest}, "limits": {"cpu": str(self.cpu), **rest}}


def check_count(count: int) -> int:
    """A number of nodes, as it is.

    Raises:
        ConfigurationError: the lanes of the data cannot be shared by so many.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1 or LANES % count:
        possible = ", ".join(str(number) for number in range(1, LANES + 1) if LANES % number == 0)
        raise ConfigurationError(f"nodes: found {count!r}, expected one of {possible}: the data are in {LANES} lanes")
    return count
