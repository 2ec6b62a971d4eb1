"""Where a store's models are served, by one string: HOST:PORT of a server that shares the store, or a namespace.

Who asks for the champion, releases or rolls back does not know which of the two it is. No TensorFlow.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nightshift.serving import release as shared
from nightshift.serving.client import Client
from nightshift.serving.release import Released, Tell
from nightshift.serving.rules import rules_of
from nightshift.serving.store import Store
from nightshift.settings import address, namespace

CALL_SECONDS = 60.0


class Target(Protocol):
    """Something that serves the models of one store."""

    def champion(self, model: str) -> int:
        """The version that serves, 0 if none does.

        Raises:
            StoreError: it serves another store, or a version that is not in this one.
            ServingError: it does not answer, or does not serve what it should.
        """

    def release(self, model: str, saved_model: Path, tell: Tell = print, samples: str = "") -> Released:
        """Publish a SavedModel, prove that it answers, let it serve.

        Args:
            model: its name.
            saved_model: a folder that the export step wrote.
            tell: told what happens.
            samples: where sampled live requests are; '': by the environment.

        Raises:
            StoreError: the SavedModel's files are not those of its manifest; nothing was published.
            ReleaseError: the version was refused; what served before still does.
        """

    def rollback(self, model: str, version: int = 0, tell: Tell = print) -> Released:
        """Let an earlier version serve again; 0: the one before the present.

        Raises:
            ReleaseError: there is no such version, or it cannot serve; what serves now still does.
        """

    def address(self, model: str) -> str:
        """HOST:PORT that answers for the model over gRPC."""


@dataclass(frozen=True)
class SharedServer:
    """A model server that reads the store's folder and is told what to load (HandleReloadConfigRequest)."""

    store: Store
    client: Client

    def champion(self, model: str) -> int:
        """See Target."""
        return shared.champion(self.store, model, self.client)

    def release(self, model: str, saved_model: Path, tell: Tell = print, samples: str = "") -> Released:
        """See Target."""
        return shared.release(self.store, model, saved_model, self.client, tell, rules_of(samples))

    def rollback(self, model: str, version: int = 0, tell: Tell = print) -> Released:
        """See Target."""
        return shared.rollback(self.store, model, self.client, version, tell)

    def address(self, model: str) -> str:
        """See Target: one address for all models."""
        return self.client.target


@contextmanager
def target(server: str, store: Store) -> Iterator[Target]:
    """What `server` names, connected for the length of the block.

    Raises:
        ConfigurationError: it is neither HOST:PORT nor `kubernetes:NAMESPACE`.
    """
    if name := namespace(server):
        from nightshift.serving.kubernetes import kubernetes_serving

        with kubernetes_serving(name, store) as serving:
            yield serving
        return
    with Client(address(server), timeout=CALL_SECONDS) as client:
        yield SharedServer(store, client)
