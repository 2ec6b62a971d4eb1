"""The schedules as they are declared: one YAML file in git, read strictly."""

from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from nightshift.errors import ConfigurationError
from pipelines.arguments import Arguments, in_words
from pipelines.cron import Cron
from pipelines.runs import EXPERIMENT, SERVICE_ACCOUNT

FILE = Path(__file__).parent / "schedules.yaml"
LARGEST = 1 << 20
"""Bytes of a file."""

MOST = 200


def _cron(value: Any) -> Cron:
    if not isinstance(value, str):
        raise ValueError('expected five fields in quotation marks, as in "0 2 * * *"')
    try:
        return Cron.parse(value)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


def _zone(value: Any) -> ZoneInfo:
    try:
        return ZoneInfo(value)
    except (TypeError, ValueError, OSError, LookupError):
        raise ValueError("expected a time zone such as UTC or Europe/Berlin") from None


Label = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Title = Annotated[str, StringConstraints(min_length=1, max_length=128)]
STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)


class Schedule(BaseModel):
    """One schedule: a run of `train_and_deploy` for a task.

    Attributes:
        name: of the recurring run; no other of the file has it.
        task: what is trained.
        cron: when.
        enabled: true: it is on; false: it is off; left out: on when it is made, then whoever pauses it decides.
        parameters: of the run; what is left out keeps the default of the pipeline's version that runs.
    """

    model_config = STRICT

    name: Label
    task: str
    cron: Annotated[Cron, BeforeValidator(_cron)]
    enabled: bool | None = None
    parameters: Arguments = Arguments()

    def arguments(self) -> dict[str, Any]:
        """The pipeline's."""
        return self.parameters.of_task(self.task)


class Schedules(BaseModel):
    """The file.

    Attributes:
        group: marks the recurring runs that are this file's; others are not touched.
        time_zone: of the cluster's schedule controller (its CRON_SCHEDULE_TIMEZONE), which knows but one.
        experiment: that the runs belong to.
        service_account: of the runs' Pods.
        schedules: all of them.
    """

    model_config = STRICT

    group: Label = "nightshift"
    time_zone: Annotated[ZoneInfo, BeforeValidator(_zone)] = ZoneInfo("UTC")
    experiment: Title = EXPERIMENT
    service_account: Label = SERVICE_ACCOUNT
    schedules: Annotated[list[Schedule], Field(max_length=MOST)]

    @model_validator(mode="after")
    def _check(self) -> "Schedules":
        names = [schedule.name for schedule in self.schedules]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"schedules: found the name {min(twice)!r} twice")
        return self

    def named(self, name: str) -> Schedule:
        """The schedule of that name.

        Raises:
            ConfigurationError: there is none.
        """
        for schedule in self.schedules:
            if schedule.name == name:
                return schedule
        there = ", ".join(schedule.name for schedule in self.schedules) or "none"
        raise ConfigurationError(f"schedule {name!r}: no such schedule; there are {there}")


def read_schedules(path: Path) -> Schedules:
    """Read the file and check all that can be checked without a cluster.

    Raises:
        ConfigurationError: what it says cannot be used.
    """
    with open(path, "rb") as file:
        text = file.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise ConfigurationError(f"{path}: found more than {LARGEST} bytes")
    try:
        declared = Schedules.model_validate(yaml.load(text, _Loader))
        for schedule in declared.schedules:
            schedule.arguments()
    except RecursionError:
        raise ConfigurationError(f"{path}: nested too deeply") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {in_words(error)}") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: schedule {schedule.name}: {error}") from None
    return declared


class _Loader(yaml.SafeLoader):
    """Takes no aliases, which make a small file large, and no key that stands twice, of which the last would win."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="found an alias; write it out", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for (key, _), value in zip(node.value, keys, strict=True):
            if keys.count(value) > 1:
                raise yaml.MarkedYAMLError(problem=f"found {value!r} twice", problem_mark=key.start_mark)
        return super().construct_mapping(node, deep)
