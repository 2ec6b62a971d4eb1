"""The serving store: ROOT/MODEL/VERSION/ holds a SavedModel, ROOT/MODEL/ledger/ what happened to the versions.

Version folders have numbers for names and are never changed, so a model server can watch them; everything else has a
name that servers ignore.
"""

import hashlib
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightshift.errors import StoreError
from nightshift.files import exclusive_lock, remove_stale_partials, sha256_of, staged_directory
from nightshift.serving.card import read_card
from nightshift.serving.config import model_config, server_config
from nightshift.serving.ledger import Event, Ledger, State
from nightshift.serving.manifest import NAME as MANIFEST
from nightshift.serving.manifest import check_manifest
from nightshift.settings import settings

STABLE = "stable"
STORE_SERVICE = "nightshift.store"
"""A name in a server's health service: one that serves a store has this and STORE_SERVICE/IDENTITY."""
LOCK_SECONDS = 600.0


@dataclass(frozen=True)
class Store:
    """A folder of models."""

    root: Path

    @property
    def identity(self) -> str:
        """Tells this store from others: a hash of where it is."""
        return hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:16]

    def models(self) -> list[str]:
        """The models that something was ever published for."""
        return sorted(path.parent.name for path in self.root.glob("*/ledger"))

    def ledger(self, model: str) -> Ledger:
        """A model's releases.

        Raises:
            StoreError: the name is not a plain one.
        """
        if not model or not all(c.isalnum() or c in "-_" for c in model):
            raise StoreError(f"model {model!r}: expected letters, digits, '-' and '_'")
        return Ledger(self.root / model / "ledger")

    def state(self, model: str) -> State:
        """What serves, and what has."""
        return self.ledger(model).state()

    def version_path(self, model: str, version: int) -> Path:
        """A version's SavedModel.

        Raises:
            StoreError: it is not there.
        """
        path = self.root / model / str(version)
        if not path.is_dir():
            raise StoreError(
                f"{path}: version {version} of model {model!r} is not there; is the server another store's?"
            )
        return path

    def has_version(self, model: str, version: int) -> bool:
        """Whether a version's folder is there."""
        return (self.root / model / str(version)).is_dir()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store while releasing: a server's list of models is replaced whole, so one releases at a time.

        Raises:
            StoreError: another process has held it for LOCK_SECONDS.
        """
        try:
            with exclusive_lock(self.root / ".lock", print, LOCK_SECONDS):
                yield
        except TimeoutError as error:
            raise StoreError(str(error)) from error

    def publish(self, model: str, saved_model: Path) -> int:
        """Copy a SavedModel into the store under a fresh number and record it; nothing serves it yet.

        The caller holds the lock.

        Raises:
            StoreError: its files are not those of its manifest, before the copy or after, or its card lacks a fact.
        """
        check_manifest(saved_model)
        facts = _facts(saved_model)
        ledger, version = self.ledger(model), self._fresh(model)
        remove_stale_partials(self.root / model, older_than=0)  # their writers are dead: the store is locked
        with staged_directory(self.root / model / str(version)) as staging:
            shutil.copytree(saved_model, staging, dirs_exist_ok=True)
            check_manifest(staging)
        ledger.append(Event("published", version, facts=facts))
        return version

    def _fresh(self, model: str) -> int:
        """The time as YYYYMMDDhhmmss, UTC; higher than every number in use."""
        numbers = (int(path.name) for path in (self.root / model).glob("[0-9]*") if path.name.isdigit())
        return max(int(time.strftime("%Y%m%d%H%M%S", time.gmtime())), max(numbers, default=0) + 1)

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
                base = (self.root / model).resolve()
                configs.append(
                    model_config(model, base, versions=sorted(versions), labels={STABLE: named} if named else {})
                )
        return server_config(configs)


def open_store(folder: Path) -> Store:
    """The store that the environment names, or else the one in this folder."""
    return Store(Path(settings().store) if settings().store else folder)


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
