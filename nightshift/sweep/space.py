"""The settings that a sweep tries: a grid of listed values, or random samples of lists and ranges. No TensorFlow."""

import itertools
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nightshift.errors import ConfigurationError
from nightshift.tasks.base import Preset

MOST_TRIALS = 100
RANGE = ".."
DIGITS = 4
"""Significant digits of a number drawn from a range: a person has to read it."""

DECADE = 10
"""A range whose ends are so many times apart is sampled in its logarithm."""

DRAWS = 100
"""For each sample wanted, before a space counts as exhausted."""

Settings = dict[str, Any]


@dataclass(frozen=True)
class Listed:
    """Values of one setting, each once."""

    values: tuple[Any, ...]

    @property
    def size(self) -> float:
        """How many values there are."""
        return len(self.values)

    def draw(self, chance: random.Random) -> Any:
        """One of them."""
        return self.values[math.floor(chance.random() * len(self.values))]


@dataclass(frozen=True)
class Between:
    """Numbers from `low` to `high`, both included: whole ones if both are of type int."""

    low: int | float
    high: int | float

    @property
    def size(self) -> float:
        """How many values there are: of fractions too many to count."""
        return self.high - self.low + 1 if isinstance(self.low, int) else math.inf

    def draw(self, chance: random.Random) -> int | float:
        """One of them: in the logarithm evenly where the range spans a decade, unless it is of whole numbers."""
        share = chance.random()
        if isinstance(self.low, int):
            return self.low + math.floor(share * (self.high - self.low + 1))
        if self.low > 0 and self.high >= DECADE * self.low:
            value = self.low * (self.high / self.low) ** share
        else:
            value = self.low + share * (self.high - self.low)
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)


Space = Mapping[str, Listed | Between]


def space_of(preset: Preset, tried: Mapping[str, Any]) -> Space:
    """Read what is to be tried, by name: Kubeflow keeps no order of settings, and samples depend on it.

    Args:
        preset: whose settings vary.
        tried: setting -> its values: a list, one value, or a text: `16,25,32`, or a range `1e-4..1e-2`.

    Raises:
        ConfigurationError: nothing to try, no such setting, or a value that it cannot have.
    """
    if not tried:
        raise ConfigurationError("nothing to try: give at least one setting and its values, such as epochs=5,10")
    return {name: _axis(preset, name, given) for name, given in sorted(tried.items())}


def _axis(preset: Preset, name: str, given: Any) -> Listed | Between:
    if isinstance(given, str) and RANGE in given:
        low, high = (_value(preset, name, end.strip()) for end in given.split(RANGE, 1))
        if type(low) not in (int, float):
            raise ConfigurationError(f"--try {name}: found {given!r}, expected a list: only numbers have ranges")
        if not low < high:
            raise ConfigurationError(f"--try {name}: found {given!r}, expected LOW..HIGH with LOW below HIGH")
        return Between(low, high)
    texts = given if isinstance(given, list | tuple) else given.split(",") if isinstance(given, str) else [given]
    values = [_value(preset, name, text.strip() if isinstance(text, str) else text) for text in texts]
    if not values:
        raise ConfigurationError(f"--try {name}: found no value, expected at least one")
    return Listed(tuple(dict.fromkeys(values)))


def _value(preset: Preset, name: str, given: Any) -> Any:
    """A value as the setting's own type."""
    try:
        # Settings that bear on each other (patience, keep) are looked at together, with every trial.
        return preset.with_settings({name: given}).settings()[name]
    except ConfigurationError as error:
        raise ConfigurationError(str(error).replace("--set ", "--try ", 1)) from None


def grid(space: Space) -> list[Settings]:
    """Every combination, the last setting varying fastest.

    Raises:
        ConfigurationError: a range, or more combinations than MOST_TRIALS.
    """
    lists = {}
    for name, axis in space.items():
        if isinstance(axis, Between):
            raise ConfigurationError(
                f"--try {name}: found a range, expected a list of values; ranges are for random samples (--random N)"
            )
        lists[name] = axis.values
    size = math.prod(len(values) for values in lists.values())
    if size > MOST_TRIALS:
        raise ConfigurationError(
            f"the grid has {size:,} combinations, expected at most {MOST_TRIALS}: list fewer values, or sample them "
            "(--random N)"
        )
    return [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]


def samples(space: Space, count: int, seed: int) -> list[Settings]:
    """Random combinations, no two of them equal; the same seed draws the same ones.

    Raises:
        ConfigurationError: more than MOST_TRIALS, or more than there are.
    """
    if not 1 <= count <= MOST_TRIALS:
        raise ConfigurationError(f"random: found {count}, expected 1 to {MOST_TRIALS} samples")
    size = math.prod(axis.size for axis in space.values())
    if count > size:
        raise ConfigurationError(f"random: found {count} samples, expected at most the {size:,} that there are")
    chance = random.Random(seed)
    if size <= DRAWS * MOST_TRIALS:
        return _shuffled(space, chance)[:count]
    drawn: dict[tuple[Any, ...], Settings] = {}
    for _ in range(DRAWS * count):
        settings = {name: axis.draw(chance) for name, axis in space.items()}
        drawn.setdefault(tuple(settings.values()), settings)
        if len(drawn) == count:
            return list(drawn.values())
    raise ConfigurationError(f"random: found only {len(drawn)} different samples, expected {count}: widen the ranges")


def _shuffled(space: Space, chance: random.Random) -> list[Settings]:
    """All combinations of a small space in random order."""
    values = [a.values if isinstance(a, Listed) else range(int(a.low), int(a.high) + 1) for a in space.values()]
    combinations = list(itertools.product(*values))
    # Python promises that random() gives the same numbers in every version; of shuffle() it does not.
    keys = [chance.random() for _ in combinations]
    order = sorted(range(len(combinations)), key=keys.__getitem__)
    return [dict(zip(space, combinations[index], strict=True)) for index in order]
