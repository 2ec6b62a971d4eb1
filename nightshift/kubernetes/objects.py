"""Objects of the API as their JSON has them, and what is read of each."""

from typing import Any

Object = dict[str, Any]
"""An object of the API, or a part of one, as its JSON has it."""

MANAGER = "nightshift"
"""Our name in metadata.managedFields."""


def query(labels: dict[str, str]) -> str:
    """Labels as the API's `labelSelector`."""
    return ",".join(f"{key}={value}" for key, value in labels.items())


def name_of(item: Object) -> str:
    """An object's name."""
    return str(item["metadata"]["name"])


def annotation(item: Object, key: str) -> str:
    """An object's annotation, '' if it has none of that key."""
    return str((item["metadata"].get("annotations") or {}).get(key, ""))


def condition(item: Object, kind: str) -> Object | None:
    """A condition of an object's status, None if it has none of that type."""
    conditions: list[Object] = (item.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == kind), None)


def is_ending(item: Object) -> bool:
    """Whether an object was told to end."""
    return "deletionTimestamp" in item["metadata"]
