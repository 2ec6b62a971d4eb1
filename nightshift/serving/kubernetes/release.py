"""Release and roll back in a namespace of Kubernetes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nightshift.serving.kubernetes.status import ModelStatus, VersionRecord
from nightshift.serving.release import Released, Tell
from nightshift.serving.store import Store


@dataclass(frozen=True)
class KubernetesServing:
    """The models of one namespace; a `nightshift.serving.target.Target`.

    Attributes:
        namespace: where they are served.
        store: of the versions; None: whoever asks cannot read it (`rollback`, `status` and `releases` need none).
    """

    namespace: str
    store: Store | None

    def champion(self, model: str) -> int:
        """The version that the model's Service selects, 0 if there is none."""
        raise NotImplementedError

    def release(self, model: str, saved_model: Path, tell: Tell = print) -> Released:
        """Publish, create green, prove every Pod, switch the Service, bake."""
        raise NotImplementedError

    def rollback(self, model: str, version: int = 0, tell: Tell = print) -> Released:
        """Let an earlier version serve again; 0: the one before the present. Needs the API server only."""
        raise NotImplementedError

    def address(self, model: str) -> str:
        """HOST:PORT that answers for the model over gRPC."""
        raise NotImplementedError

    def status(self, model: str = "") -> list[ModelStatus]:
        """What serves, a model each; ''. all models."""
        raise NotImplementedError

    def releases(self, model: str = "") -> list[VersionRecord]:
        """The versions that the cluster knows, the newest of a model first."""
        raise NotImplementedError


@contextmanager
def kubernetes_serving(namespace: str, store: Store | None) -> Iterator[KubernetesServing]:
    """The namespace of the cluster: of the Pod that this runs in, else of the kubeconfig.

    Raises:
        ConfigurationError: no cluster is configured.
    """
    yield KubernetesServing(namespace, store)
