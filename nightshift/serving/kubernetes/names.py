"""What things are called in the cluster: names from models' names, labels, annotations."""

import re
from dataclasses import dataclass

from nightshift.errors import ConfigurationError
from nightshift.kubernetes.objects import Object

MANAGED_BY, COMPONENT = "app.kubernetes.io/managed-by", "app.kubernetes.io/name"
INSTANCE, VERSION = "app.kubernetes.io/instance", "app.kubernetes.io/version"
OURS = {MANAGED_BY: "nightshift", COMPONENT: "model-server"}

MODEL = "nightshift/model"
SERVED = "nightshift/served"
WITHDRAWN = "nightshift/withdrawn"
METRICS = "nightshift/metrics"
RECIPE = "nightshift/recipe"
DATASET = "nightshift/dataset"
CODE_VERSION = "nightshift/code-version"
REPLICAS = "nightshift/replicas"
TAKEN = "nightshift/taken"
"""How many Pods a Deployment had before they made room for another version's."""

GRPC_PORT, REST_PORT = 8500, 8501
MAX_SLUG = 30
"""Leaves room in a label's 63 characters for a version and the suffixes of ReplicaSet and Pod."""


@dataclass(frozen=True)
class Names:
    """A model's names: as requests call it, and as the cluster does (also of its Service)."""

    model: str
    slug: str

    @classmethod
    def of(cls, model: str) -> "Names":
        """The names of a model: `_` becomes `-`, capitals become small.

        Raises:
            ConfigurationError: what comes out is no name of a Service (RFC 1035 label), or longer than MAX_SLUG.
        """
        slug = model.lower().replace("_", "-")
        if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", slug) or len(slug) > MAX_SLUG:
            raise ConfigurationError(
                f"model {model!r}: cannot be the name of a Service: expected at most {MAX_SLUG} letters, digits, '-' "
                "and '_', a letter first, no '-' or '_' last"
            )
        return cls(model, slug)

    def version(self, version: int) -> str:
        """The name of what exists once a version."""
        return f"{self.slug}-v{version}"

    def selector(self, version: int) -> dict[str, str]:
        """What tells a version's Pods from all others."""
        return {INSTANCE: self.slug, VERSION: str(version)}

    def labels(self, version: int = 0) -> dict[str, str]:
        """The labels of what exists once a model or, with one given, once a version."""
        return OURS | {INSTANCE: self.slug} | (self.selector(version) if version else {})


def version_of(item: Object) -> int:
    """The version that an object's label names, 0 if that is no version."""
    return number((item["metadata"].get("labels") or {}).get(VERSION, ""))


def number(text: str) -> int:
    """A version from its text, 0 if that is no version."""
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,18}", text) else 0
