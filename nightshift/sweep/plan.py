"""The plan of a sweep: its trials by name, each with the settings in which it differs from the preset."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from nightshift.errors import ConfigurationError, WorkspaceError
from nightshift.files import write_json
from nightshift.sweep.space import grid, samples, space_of
from nightshift.tasks.base import Preset

PLAN = "plan.json"
PREFIX = "trial-"


class Plan(BaseModel):
    """What is tried.

    Attributes:
        settings: the names of those that vary.
        trials: name -> setting -> value.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    settings: list[str]
    trials: dict[str, dict[str, bool | int | float | str]]

    def of(self, name: str) -> dict[str, Any]:
        """The settings of a trial.

        Raises:
            WorkspaceError: the plan has no trial of that name.
        """
        if name not in self.trials:
            raise WorkspaceError(f"trial {name!r}: not in the plan, which has {', '.join(self.trials)}")
        return dict(self.trials[name])

    def write(self, folder: Path) -> None:
        """Keep it in a folder."""
        write_json(folder / PLAN, self.model_dump(mode="json"))

    @classmethod
    def read(cls, folder: Path) -> "Plan":
        """The plan of a folder.

        Raises:
            WorkspaceError: there is none, or it cannot be read.
        """
        try:
            return cls.model_validate_json((folder / PLAN).read_bytes())
        except FileNotFoundError:
            raise WorkspaceError(f"{folder / PLAN}: not there; the sweep has not been planned") from None
        except ValidationError as error:
            raise WorkspaceError(f"{folder / PLAN}: cannot be read: {error.errors()[0]['msg']}") from None


def plan_of(preset: Preset, tried: Mapping[str, Any], count: int, seed: int) -> Plan:
    """Plan a sweep.

    Args:
        preset: that the trials change.
        tried: setting -> values, as `space_of` takes them.
        count: of random samples; 0: the whole grid.
        seed: of the samples.

    Raises:
        ConfigurationError: a setting or value that cannot be, too many trials, or no two that differ.
    """
    space = space_of(preset, tried)
    chosen = samples(space, count, seed) if count else grid(space)
    if len(chosen) < 2:
        raise ConfigurationError("found 1 trial, expected at least 2: give a setting more than one value")
    for settings in chosen:
        preset.with_settings(settings)
    digits = len(str(len(chosen)))
    return Plan(
        settings=list(space),
        trials={f"{PREFIX}{number:0{digits}}": settings for number, settings in enumerate(chosen, 1)},
    )
