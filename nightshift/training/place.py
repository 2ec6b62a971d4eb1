"""Which of the workers this process is, as TF_CONFIG says. No TensorFlow here."""

import json
import os
from dataclasses import dataclass

from nightshift.data.lanes import LANES, Part
from nightshift.errors import ConfigurationError

TF_CONFIG = "TF_CONFIG"


@dataclass(frozen=True)
class Place:
    """One of `count` workers that train one network together.

    Attributes:
        index: of this one, from 0.
        count: how many there are.
        workers: HOST:PORT of each, empty if there is only one.
    """

    index: int
    count: int
    workers: tuple[str, ...] = ()

    @property
    def chief(self) -> bool:
        """Whether this is the worker that writes."""
        return self.index == 0

    @property
    def part(self) -> Part:
        """The share of the examples that this worker reads."""
        return Part(self.index, self.count)


ALONE = Place(0, 1)


def place_from_environment() -> Place:
    """What TF_CONFIG says; ALONE where it is not set.

    Raises:
        ConfigurationError: it cannot be understood, or so many workers cannot share the data evenly.
    """
    text = os.environ.get(TF_CONFIG, "")
    if not text:
        return ALONE
    try:
        config = json.loads(text)
        workers = tuple(str(worker) for worker in config["cluster"]["worker"])
        kind, index = config["task"]["type"], int(config["task"]["index"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{TF_CONFIG}: found {text!r}, expected a cluster of workers and a task") from error
    if kind != "worker" or set(config["cluster"]) != {"worker"} or not 0 <= index < len(workers):
        raise ConfigurationError(f"{TF_CONFIG}: found {text!r}, expected workers only, and the task to be one of them")
    if LANES % len(workers):
        raise ConfigurationError(f"{TF_CONFIG}: found {len(workers)} workers, expected a number that divides {LANES}")
    return Place(index, len(workers), workers) if len(workers) > 1 else ALONE
