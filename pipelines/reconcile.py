"""The difference between the schedules that are declared and those that there are, and what ends it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.endpoint import Endpoint
from pipelines.recurring import Place, Recurring, create_recurring, delete_recurring, fields_of, switch_off, switch_on
from pipelines.schedule_file import Schedule, Schedules

Kind = Literal["created", "changed", "switched on", "switched off", "deleted", "unchanged"]


@dataclass(frozen=True)
class Difference:
    """A field, what it is and what it is to be; None: it is not given."""

    field: str
    found: Any
    expected: Any


@dataclass(frozen=True)
class Change:
    """What is done about one recurring run.

    Attributes:
        kind: what.
        name: of the schedule.
        differences: why, field by field.
        found: the recurring run that there is.
        schedule: the one that is declared.
        enabled: whether it is on afterwards.
    """

    kind: Kind
    name: str
    differences: tuple[Difference, ...] = ()
    found: Recurring | None = None
    schedule: Schedule | None = None
    enabled: bool = False


def plan(declared: Schedules, found: Sequence[Recurring], place: Place) -> list[Change]:
    """What apply has to do, in the order of the file and then of what is there."""
    changes = []
    kept = set()
    for schedule in declared.schedules:
        wanted = fields_of(schedule, declared, place)
        of_name = [each for each in found if each.name == schedule.name]
        # Of two, which an apply that was killed leaves, the one that is as declared stays, or else the newer one.
        chosen = next((each for each in of_name if not differences(each.fields, wanted)), (of_name or [None])[-1])
        kept.add(chosen.recurring_run_id if chosen else "")
        changes.append(_change(schedule, chosen, wanted))
    gone = [each for each in found if each.recurring_run_id not in kept]
    return changes + [Change("deleted", each.name, found=each) for each in gone]


def _change(schedule: Schedule, found: Recurring | None, wanted: dict[str, Any]) -> Change:
    if not found:
        new = tuple(Difference(name, None, value) for name, value in wanted.items())
        return Change("created", schedule.name, new, None, schedule, schedule.enabled is not False)
    enabled = found.enabled if schedule.enabled is None else schedule.enabled
    different = differences(found.fields, wanted)
    kind: Kind = "changed" if different else "unchanged"
    if not different and enabled != found.enabled:
        kind = "switched on" if enabled else "switched off"
    return Change(kind, schedule.name, different, found, schedule, enabled)


def differences(found: Any, wanted: dict[str, Any]) -> tuple[Difference, ...]:
    """The fields that are not as wanted. Kubeflow keeps every number as a float, so that 3 and 3.0 are the same."""
    names = [*wanted, *(name for name in found if name not in wanted)]
    return tuple(
        Difference(name, found.get(name), wanted.get(name)) for name in names if found.get(name) != wanted.get(name)
    )


def carry_out(endpoint: Endpoint, change: Change, declared: Schedules, place: Place) -> None:
    """Do what a change says. Recurring runs cannot be edited: a new one takes the place of the old."""
    if change.kind in ("created", "changed") and change.schedule:
        # In this order, so that whoever kills it leaves one too many rather than none; the next apply mends that.
        create_recurring(endpoint, change.schedule, declared, place, enabled=change.enabled)
    if change.kind in ("changed", "deleted") and change.found:
        delete_recurring(endpoint, change.found)
    if change.kind == "switched on" and change.found:
        switch_on(endpoint, change.found)
    if change.kind == "switched off" and change.found:
        switch_off(endpoint, change.found)
