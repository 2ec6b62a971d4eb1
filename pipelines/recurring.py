"""The recurring runs in Kubeflow Pipelines that schedules are made into, and how the one is told from the other."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import kfp_server_api

from pipelines.endpoint import Endpoint
from pipelines.schedule_file import Schedule, Schedules

CONCURRENCY = 1
MARK = "Kept by `python -m pipelines.schedule`, group {}: what is changed here, the next apply changes back."
MARKED = re.compile(re.escape(MARK).replace(r"\{\}", "([a-z0-9-]+)"))
PAGE = 100
KEPT = (
    "display_name",
    "description",
    "pipeline_version_reference",
    "runtime_config",
    "service_account",
    "max_concurrency",
    "trigger",
    "no_catchup",
    "experiment_id",
)
"""Fields of a recurring run that are given when it is made, but for whether it is on."""


@dataclass(frozen=True)
class Place:
    """What a file's recurring runs share: ids of the pipeline, empty if it is not uploaded, and of the experiment."""

    pipeline_id: str
    experiment_id: str


@dataclass(frozen=True)
class Recurring:
    """A recurring run: `fields` are all that apply compares."""

    recurring_run_id: str
    name: str
    enabled: bool
    fields: Mapping[str, Any]


def fields_of(schedule: Schedule, declared: Schedules, place: Place) -> dict[str, Any]:
    """What a schedule asks for, a flat name -> value."""
    return {
        "cron": schedule.cron.six_fields(),
        **{f"parameters.{name}": value for name, value in schedule.arguments().items()},
        "pipeline": place.pipeline_id,
        "version": "the newest",
        "experiment": place.experiment_id,
        "service account": declared.service_account,
        "concurrency": CONCURRENCY,
        "catch-up": False,
    }


def read_recurring(endpoint: Endpoint, group: str) -> list[Recurring]:
    """The recurring runs of a group, the oldest first."""
    found: list[Any] = []
    token = ""
    while True:
        answer = endpoint.recurring_runs.recurring_run_service_list_recurring_runs(
            page_size=PAGE, page_token=token, sort_by="created_at asc", **endpoint.in_namespace
        )
        found += answer.recurring_runs or []
        token = answer.next_page_token or ""
        if not token:
            break
    return [_recurring(each) for each in found if _group(each) == group]


def create_recurring(
    endpoint: Endpoint, schedule: Schedule, declared: Schedules, place: Place, *, enabled: bool
) -> None:
    """Make a recurring run: of the newest version there is at each firing, one at a time, missed firings left out."""
    # The SDK's client insists on a version; a version that is named would be run for ever.
    new = kfp_server_api.V2beta1RecurringRun(
        display_name=schedule.name,
        description=MARK.format(declared.group),
        pipeline_version_reference=kfp_server_api.V2beta1PipelineVersionReference(pipeline_id=place.pipeline_id),
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=schedule.arguments()),
        service_account=declared.service_account,
        max_concurrency=str(CONCURRENCY),
        trigger=kfp_server_api.V2beta1Trigger(
            cron_schedule=kfp_server_api.V2beta1CronSchedule(cron=schedule.cron.six_fields())
        ),
        mode="ENABLE" if enabled else "DISABLE",
        no_catchup=True,
        experiment_id=place.experiment_id,
    )
    endpoint.recurring_runs.recurring_run_service_create_recurring_run(new)


def delete_recurring(endpoint: Endpoint, recurring: Recurring) -> None:
    """Take a recurring run away, but not a run of it that is under way."""
    # The workflows belong to it and, unless told otherwise, Kubernetes deletes them with it.
    endpoint.recurring_runs.recurring_run_service_delete_recurring_run(
        recurring.recurring_run_id, propagation_policy="ORPHAN"
    )


def switch_off(endpoint: Endpoint, recurring: Recurring) -> None:
    """Have a recurring run start no more runs; one that is under way goes on."""
    endpoint.recurring_runs.recurring_run_service_disable_recurring_run(recurring.recurring_run_id)


def switch_on(endpoint: Endpoint, recurring: Recurring) -> None:
    """Have a recurring run start runs again, from its next firing on: by a new one in its place."""
    # One that is enabled again runs at once for the last firing that it has missed, catch-up or not.
    old = endpoint.recurring_runs.recurring_run_service_get_recurring_run(recurring.recurring_run_id)
    kept = {name: getattr(old, name) for name in KEPT}
    new = kfp_server_api.V2beta1RecurringRun(mode="ENABLE", **kept)
    endpoint.recurring_runs.recurring_run_service_create_recurring_run(new)
    delete_recurring(endpoint, recurring)


@dataclass(frozen=True)
class LastRun:
    """The last run that a schedule started."""

    run_id: str
    state: str
    created: datetime


def last_run(endpoint: Endpoint, recurring: Recurring) -> LastRun | None:
    """The last run that was started, None if there is none."""
    named = '{"predicates": [{"operation": "EQUALS", "key": "recurring_run_id", "string_value": "%s"}]}'
    answer = endpoint.runs.run_service_list_runs(
        filter=named % recurring.recurring_run_id, sort_by="created_at desc", page_size=1, **endpoint.in_namespace
    )
    runs = answer.runs or []
    return LastRun(runs[0].run_id, runs[0].state or "PENDING", runs[0].created_at) if runs else None


def _group(found: Any) -> str:
    mark = MARKED.search(found.description or "")
    return mark[1] if mark else ""


def _recurring(found: Any) -> Recurring:
    cron = found.trigger.cron_schedule if found.trigger else None
    pinned = found.pipeline_version_reference
    parameters = (found.runtime_config.parameters if found.runtime_config else None) or {}
    fields = {
        "cron": cron.cron if cron else "",
        **{f"parameters.{name}": value for name, value in parameters.items()},
        "pipeline": pinned.pipeline_id or "" if pinned else "",
        "version": (pinned.pipeline_version_id if pinned else "") or "the newest",
        "experiment": found.experiment_id or "",
        "service account": found.service_account or "",
        "concurrency": int(found.max_concurrency or 0),
        "catch-up": not found.no_catchup,
    }
    return Recurring(found.recurring_run_id, found.display_name, found.status == "ENABLED", fields)
