"""What releases of a model left in the cluster and the store that has no business there."""

import re
from collections import Counter
from typing import Any

from deployer import Deployer
from installation import VERSION, Installation, Object
from kubectl import until

KEEP = 3  # the manifests' nightshift/keep
ENDING_SECONDS = 90.0
"""For Pods that were told to end, and for the cluster's own collector of what nobody owns any more."""


def leftovers(installation: Installation, releaser: Deployer, model: str) -> list[str]:
    """In words, a thing each; empty if all is as it should be."""
    serving = releaser.state(model)["serving"]
    live, before, kept = serving[-1], serving[-2:-1], serving[-KEEP:]
    deployments = installation.made("deployments", model)
    found = [f"Service selects {selected}" for selected in [installation.selected(model)] if selected != live]
    found += [] if live in _versions(deployments) else [f"no Deployment of {live}"]
    found += [f"Deployment {_name(one)}" for one in deployments if _version(one) not in kept]
    # Only what serves holds up the draining of nodes.
    once = {"configmaps": deployments, "replicasets": deployments, "poddisruptionbudgets": _of(deployments, live)}
    for kind, owners in once.items():
        others, expected = Counter(_versions(installation.made(kind, model))), Counter(_versions(owners))
        found += [f"{kind} of {version}: {count} too many" for version, count in (others - expected).items()]
        found += [f"{kind} of {version}: {count} missing" for version, count in (expected - others).items()]
    wanted = Counter({_version(one): one["spec"]["replicas"] for one in deployments})
    pods = Counter(_versions(installation.made("pods", model)))
    found += [f"{count} Pods of {version} too many" for version, count in (pods - wanted).items()]
    found += [f"{count} Pods of {version} missing" for version, count in (wanted - pods).items()]
    idle = [version for version, count in wanted.items() if count and version not in (live, *before)]
    found += [f"Deployment of {version} not at zero" for version in idle]
    holders = [one["spec"].get("holderIdentity") for one in installation.made("leases", model)]
    found += [f"Lease held by {holder}" for holder in holders if holder]
    return found + _unfinished(releaser, model)


def expect_none(installation: Installation, releaser: Deployer, model: str) -> None:
    """Wait until there are none: Pods take a while to end.

    Raises:
        AssertionError: there still are.
    """
    found: list[str] = []

    def none() -> bool:
        found[:] = leftovers(installation, releaser, model)
        return not found

    try:
        until(none, ENDING_SECONDS, "nothing is left over", every=2)
    except AssertionError:
        raise AssertionError(f"left over of {model}: {'; '.join(found)}") from None


def _unfinished(releaser: Deployer, model: str) -> list[str]:
    """Names in the model's folder of the store that are neither versions nor the ledger."""
    names = releaser("ls", "-A", f"/workspace/models/{model}").split()
    return [f"{name} in the store" for name in names if name != "ledger" and not re.fullmatch("[0-9]+", name)]


def _of(items: list[Object], version: int) -> list[Object]:
    return [item for item in items if _version(item) == version]


def _versions(items: list[Object]) -> list[int]:
    return [_version(item) for item in items]


def _version(item: Any) -> int:
    return int(item["metadata"]["labels"][VERSION])


def _name(item: Any) -> str:
    return str(item["metadata"]["name"])
