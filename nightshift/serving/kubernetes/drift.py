"""What others than Nightshift and the cluster's controllers changed, from metadata.managedFields: pure functions.

The API server itself writes there who set which field last
(https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management).
"""

import json
from collections.abc import Iterator

from nightshift.kubernetes.objects import MANAGER, Object, name_of

CONTROLLERS = {
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "cloud-controller-manager",
    "cluster-autoscaler",
    "vpa-updater",
    "vpa-admission-controller",
}
MOST = 6


def edits(item: Object) -> list[str]:
    """A sentence for each of the others who own a part of an object's specification, or of what it is selected by."""
    found = []
    for entry in item["metadata"].get("managedFields") or []:
        manager = entry.get("manager", "")
        if manager == MANAGER or manager in CONTROLLERS or entry.get("subresource") == "status":
            continue
        paths = [path for path in _paths(entry.get("fieldsV1") or {}) if _matters(path)]
        if paths:
            more = f" and {len(paths) - MOST} more" if len(paths) > MOST else ""
            when = f", {entry['time']}" if "time" in entry else ""
            who = f"{manager or 'somebody'}{when}"
            found.append(f"{item['kind']} {name_of(item)}: {', '.join(paths[:MOST])}{more}, by {who}")
    return found


def _matters(path: str) -> bool:
    return path.startswith(
        ("spec", "data", "immutable", "metadata.labels.app.kubernetes.io", "metadata.annotations.nightshift")
    )


def _paths(fields: Object, above: str = "") -> Iterator[str]:
    """The fields that are owned, the deepest only."""
    for key, below in fields.items():
        if key == ".":
            continue
        path = _joined(above, key)
        inner = {name: value for name, value in below.items() if name != "."} if isinstance(below, dict) else {}
        if inner:
            yield from _paths(inner, path)
        else:
            yield path


def _joined(above: str, key: str) -> str:
    kind, _, name = key.partition(":")
    if kind == "f":
        return f"{above}.{name}" if above else name
    if kind == "k":
        chosen = ",".join(f"{field}={value}" for field, value in json.loads(name).items())
        return f"{above}[{chosen}]"
    return f"{above}[{name}]"
