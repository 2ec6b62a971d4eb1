"""What each service account may do is what the documentation says, and nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from installation import Installation
from overlays import MANIFESTS

pytestmark = pytest.mark.cluster
TABLE = Path(MANIFESTS.parent / "docs" / "kubernetes.md")
HEADER = "| service account | namespace | resource | verbs |"
PLACES = {"kubeflow": "runs", "nightshift-serving": "serving"}

Rights = dict[str, frozenset[str]]
"""A resource, with a name behind it where only that one may be touched, to verbs."""


def documented() -> dict[tuple[str, str], Rights]:
    """The table: service account and namespace to what is allowed there."""
    lines = TABLE.read_text().splitlines()
    found: dict[tuple[str, str], Rights] = {}
    for line in lines[lines.index(HEADER) + 2 :]:
        if not line.startswith("|"):
            break
        accounts, places, resources, verbs = (parts(cell) for cell in line.strip("|").split("|"))
        for account in accounts:
            for place in places:
                rights = found.setdefault((account, PLACES[place]), {})
                for resource in resources:
                    rights[resource] = rights.get(resource, frozenset()) | set(verbs)
    return found


def parts(cell: str) -> list[str]:
    """What a cell lists, code marks taken off."""
    return [part.strip() for part in cell.replace("`", "").split(",") if part.strip()]


def allowed(installation: Installation, account: str, place: str) -> Rights:
    """What `kubectl auth can-i --list` says, beyond what an account without any role may."""
    own = set(listed(installation, account, place))
    common = set(listed(installation, "default:nobody", place))
    found: Rights = {}
    for resource, verbs in own - common:
        found[resource] = found.get(resource, frozenset()) | verbs
    return found


def listed(installation: Installation, account: str, place: str) -> Iterator[tuple[str, frozenset[str]]]:
    kubectl = getattr(installation, place)
    lines = kubectl("auth", "can-i", "--list", f"--as=system:serviceaccount:{account}").splitlines()
    starts = [lines[0].index(column) for column in ("Resources", "Non-Resource URLs", "Resource Names", "Verbs")]
    for line in lines[1:]:
        resource, url, names, verbs = (
            line[begin:end].strip() for begin, end in zip(starts, [*starts[1:], None], strict=True)
        )
        what = resource or url
        for subject in [f"{what} {name}" for name in words(names)] or [what]:
            yield subject, frozenset(words(verbs))


def words(bracketed: str) -> list[str]:
    """What kubectl lists as [a b c]."""
    return bracketed.strip("[]").split()


def test_each_service_account_may_do_what_the_documentation_lists_and_nothing_else(installation: Installation):
    table = documented()
    accounts = [
        (item["metadata"]["name"], place)
        for place in ("runs", "serving")
        for item in getattr(installation, place).get("serviceaccounts")
        if item["metadata"]["name"] != "default"
    ]
    assert {name for name, _ in accounts} == {"nightshift-runner", "deployer", "server"}
    found = {
        (name, place): allowed(installation, f"{getattr(installation, home).namespace}:{name}", place)
        for name, home in accounts
        for place in ("runs", "serving")
    }
    assert {key: rights for key, rights in found.items() if rights} == {
        key: rights for key, rights in table.items() if rights
    }


def test_no_service_account_may_do_anything_elsewhere(installation: Installation):
    for name, home in (("nightshift-runner", "runs"), ("deployer", "serving"), ("server", "serving")):
        account = f"{getattr(installation, home).namespace}:{name}"
        assert not allowed(installation, account, "asking"), name
