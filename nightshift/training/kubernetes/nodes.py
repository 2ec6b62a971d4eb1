"""How many nodes train, and what each of them gets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from nightshift.data.lanes import LANES
from nightshift.errors import ConfigurationError
from nightshift.kubernetes.objects import Object
from nightshift.kubernetes.placing import LEAST_CPU, Count, Cpu, Memory, NodeSelector, Tolerations

GPU = "nvidia.com/gpu"


class PerNode(BaseModel):
    """What each of several nodes gets that train; what is not given is as the train step's Pod has it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    gpus: Count | None = None
    cpu: Cpu | None = None
    memory: Memory | None = None
    tolerations: Tolerations | None = None
    node_selector: NodeSelector | None = None


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
            ConfigurationError: the count cannot be used, `other` has a name that there is not, or a value is none that
                Kubernetes takes.
        """
        if unknown := set(other) - set(own):
            raise ConfigurationError(f"per_node: found {min(unknown)!r}, expected only {', '.join(own)}")
        found = _checked(other, "per_node.")
        if count == 1:
            return cls()
        return cls(count, **_checked({name: own[name] for name in own if name not in found}, "train_"), **found)

    def resources(self) -> Object:
        """Of each node's container."""
        rest = {"memory": self.memory, **({GPU: self.gpus} if int(self.gpus) else {})}
        return {"requests": {"cpu": LEAST_CPU, **rest}, "limits": {"cpu": self.cpu, **rest}}


def _checked(given: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """What is given of PerNode, as Kubernetes takes it; `prefix` goes before the names that a person knows it by."""
    try:
        return PerNode.model_validate(dict(given)).model_dump(exclude_none=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"{prefix}{place}: found {repr(first['input'])[:80]}: {said}") from None


def check_count(count: int) -> int:
    """A number of nodes, as it is.

    Raises:
        ConfigurationError: the lanes of the data cannot be shared by so many.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1 or LANES % count:
        possible = ", ".join(str(number) for number in range(1, LANES + 1) if LANES % number == 0)
        raise ConfigurationError(f"nodes: found {count!r}, expected one of {possible}: the data are in {LANES} lanes")
    return count
