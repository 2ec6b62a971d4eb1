"""The serving store: ROOT/MODEL/VERSION/ holds a SavedModel, ROOT/MODEL/ledger/ what happened to the versions.

ROOT is a folder or gs://BUCKET/PREFIX. Version folders have numbers for names and are never changed, so a model server
can watch them; everything else has a name that servers ignore. A server is told the versions it serves by number, so it
never serves one whose upload to a bucket was interrupted, which no ledger names.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightshift.errors import ConfigurationError, StoreError
from nightshift.files import sha256_of
from nightshift.serving.card import read_card
from nightshift.serving.config import model_config, server_config
from nightshift.serving.folder import Folder
from nightshift.serving.ledger import Event, Ledger, State
from nightshift.serving.manifest import NAME as MANIFEST
from nightshift.serving.manifest import check_manifest
from nightshift.serving.storage import Files, Hold
from nightshift.settings import settings

STABLE = "stable"
STORE_SERVICE = "nightshift.store"
"""A name in a server's health service: one that serves a store has this and STORE_SERVICE/IDENTITY."""
LOCK_SECONDS = 600.0
COPIES = ".copies"
"""In the folder that a store without a bucket would have."""


@dataclass(frozen=True)
class Store:
    """Models and their versions.

    Attributes:
        root: the folder, or the files of a bucket.
    """

    root: Path | Files

    @property
    def files(self) -> Files:
        """Where everything is kept."""
        return Folder(self.root) if isinstance(self.root, Path) else self.root

    @property
    def identity(self) -> str:
        """Tells this store from others: a hash of where it is."""
        return hashlib.sha256(self.files.url().encode()).hexdigest()[:16]

    def models(self) -> list[str]:
        """The models that something was ever published for."""
        return [model for model in self.files.folders() if self.files.names(_ledger_of(model))]

    def ledger(self, model: str) -> Ledger:
        """A model's releases.

        Raises:
            StoreError: the name is not a plain one.
        """
        if not model or not all(c.isalnum() or c in "-_" for c in model):
            raise StoreError(f"model {model!r}: expected letters, digits, '-' and '_'")
        return Ledger(self.files, _ledger_of(model))

    def state(self, model: str) -> State:
        """What serves, and what has."""
        return self.ledger(model).state()

    def version_path(self, model: str, version: int) -> Path:
        """A version's SavedModel: the folder itself, or a copy of what is in the bucket.

        Raises:
            StoreError: it is not there, or cannot be copied as a whole.
        """
        if not self.has_version(model, version):
            removed = self.state(model).removed.get(version)
            why = f"it was removed, {removed}" if removed else "is the server another store's?"
            raise StoreError(
                f"{self.files.url(_version_of(model, version))}: version {version} of model {model!r} is not there; "
                f"{why}"
            )
        return self.files.get_version(_version_of(model, version))

    def has_version(self, model: str, version: int) -> bool:
        """Whether a version is there as a whole."""
        return self.files.has_version(_version_of(model, version))

    @contextmanager
    def lock(self, tell: Callable[[str], None] = print, *, wanted_for: str = "") -> Iterator[Hold]:
        """Hold the store while releasing: a server's list of models is replaced whole, so one releases at a time.

        Args:
            tell: told once for whom this process waits.
            wanted_for: a model for which whoever holds it is asked to give way; '': this process can wait.

        Raises:
            StoreError: another process has held it for LOCK_SECONDS.
        """
        try:
            with self.files.lock(LOCK_SECONDS, tell, wanted_for) as hold:
                yield hold
        except TimeoutError as error:
            raise StoreError(str(error)) from error

    def publish(self, model: str, saved_model: Path, proceed: Callable[[], None] = lambda: None) -> int:
        """Copy a SavedModel into the store under a fresh number and record it; nothing serves it yet.

        The caller is the only one that releases the model: it holds the lock, or on Kubernetes the model's Lease.

        Args:
            model: its name.
            saved_model: a folder that the export step wrote.
            proceed: called before each file and before the record; what it raises ends the publishing.

        Raises:
            StoreError: its files are not those of its manifest, before the copy or after, or its card lacks a fact;
                or another process publishes at the same moment.
        """
        check_manifest(saved_model)
        facts = _facts(saved_model)
        ledger, version = self.ledger(model), self._fresh(model)
        try:
            self.files.put_version(_version_of(model, version), saved_model, proceed)
        except FileExistsError as error:
            raise StoreError(f"{error.filename}: another process publishes this version right now") from error
        proceed()
        ledger.append(Event("published", version, facts=facts))
        return version

    def _fresh(self, model: str) -> int:
        """The time as YYYYMMDDhhmmss, UTC; higher than every number used, also for what is half written or gone."""
        highest = max([*self.folders(model), *self.state(model).published], default=0)
        return max(int(time.strftime("%Y%m%d%H%M%S", time.gmtime())), highest + 1)

    def folders(self, model: str) -> list[int]:
        """The numbers under which there is something of a model, were it half a version."""
        return [int(name) for name in self.files.folders(model) if name.isascii() and name.isdigit()]

    def remove_version(self, model: str, version: int) -> None:
        """Delete a version's files, or what is left of them."""
        self.files.remove_version(_version_of(model, version))

    def age(self, model: str, version: int) -> float:
        """Seconds since something was last written of a version."""
        return self.files.age(_version_of(model, version))

    def server_config(self, candidate: tuple[str, int] | None = None, label: tuple[str, int] | None = None) -> Any:
        """The ModelServerConfig of what serves: each model's stable version under the label `stable`.

        Args:
            candidate: a model and a version to be loaded beside it.
            label: a model and the version that `stable` shall name instead; it has to be loaded by then.
        """
        configs = []
        for model in self.models():
            stable = self.state(model).stable
            versions = {stable} if stable else set()
            if candidate and candidate[0] == model:
                versions.add(candidate[1])
            named = label[1] if label and label[0] == model else stable
            if versions:
                labels = {STABLE: named} if named else {}
                configs.append(model_config(model, self.files.url(model), versions=sorted(versions), labels=labels))
        return server_config(configs)


def open_store(folder: Path) -> Store:
    """The store that the environment names, or else the one in this folder, which then has copies from a bucket.

    Raises:
        ConfigurationError: the environment names neither a folder nor gs://BUCKET/PREFIX, or what Google Cloud Storage
            needs is not installed.
    """
    named = settings().store
    if "://" not in named:
        return Store(Path(named) if named else folder)
    try:
        from nightshift.serving.bucket import bucket  # not before it is needed: it takes time to load
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"store: {named} needs the package {error.name}, see the extra `train`") from error
    return Store(bucket(named, folder / COPIES))


def _ledger_of(model: str) -> str:
    return f"{model}/ledger"


def _version_of(model: str, version: int) -> str:
    return f"{model}/{version}"


def _facts(saved_model: Path) -> dict[str, Any]:
    """What the ledger says of a version."""
    card = read_card(saved_model)
    return {
        "metrics": card["metrics"],
        "dataset": card["recipe"]["dataset"],
        "recipe": card["recipe_key"],
        "code_version": card["code_version"],
        "manifest": sha256_of(saved_model / MANIFEST),
    }
