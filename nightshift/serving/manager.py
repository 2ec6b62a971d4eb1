"""The life of versions: found in a folder, loaded beside the old one, served, and unloaded when nothing needs them."""

import contextlib
import enum
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import grpc

from nightshift.serving.config import check_config
from nightshift.serving.status import StatusError, failed_precondition, invalid_argument, not_found, unavailable
from nightshift.serving.versions import aspired_versions

logger = logging.getLogger(__name__)


class State(enum.IntEnum):
    """Where a version is in its life; the numbers are those of ModelVersionStatus."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


class Closable(Protocol):
    """What a loader gives: something to serve that can be freed."""

    def close(self) -> None:
        """Free it."""


@dataclass
class Version:
    """One version of a model, as the manager knows it."""

    model: str
    number: int
    path: Path
    state: State = State.START
    error: StatusError | None = None
    servable: Any = None
    aspired: bool = True
    in_flight: int = 0


@dataclass
class _Model:
    config: Any
    listed: bool = False
    complaint: str = ""
    labels: dict[str, int] = field(default_factory=dict)


class Manager:
    """Serves the versions that a configuration and the file system ask for.

    The rules are TensorFlow Serving's: the old version stays until the new one answers; a version that failed to load
    is at its end and stays there until it is no longer asked for; a version is freed after its last request.

    Attributes:
        starting: whether a version that is not there is UNAVAILABLE rather than NOT_FOUND. TensorFlow Serving opens its
            ports once all models are loaded, so a client that knows to ask again should hear nothing else before.
    """

    def __init__(
        self,
        load: Callable[[Path], Closable],
        *,
        poll_seconds: float = 1.0,
        labels_for_unavailable: bool = False,
        load_retries: int = 0,
        load_retry_seconds: float = 0.0,
    ) -> None:
        """Start with no model.

        Args:
            load: loads a version's folder, or raises StatusError.
            poll_seconds: how often folders are listed; 0 means only when a configuration is applied.
            labels_for_unavailable: whether a new label may name a version that is not available.
            load_retries: how often a version that fails to load is tried again; it is LOADING all the while.
            load_retry_seconds: the pause before each further try, in which nothing else is loaded.
        """
        self.starting = False
        self._load = load
        self._load_retries = load_retries
        self._load_retry_seconds = load_retry_seconds
        self._labels_for_unavailable = labels_for_unavailable
        self._models: dict[str, _Model] = {}
        self._versions: dict[str, dict[int, Version]] = {}
        self._changed = threading.Condition()
        self._listing = threading.Lock()
        self._stopping = threading.Event()
        # One thread, so that two versions never load side by side and need the memory of both.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="model-loader")
        self._poller = threading.Thread(
            target=self._poll_for_ever, args=(poll_seconds,), name="model-poller", daemon=True
        )
        if poll_seconds > 0:
            self._poller.start()

    # Configuration

    def apply(self, config: Any, *, require_versions: bool = False) -> set[str]:
        """Replace the list of models and return the names that are new in it.

        Args:
            config: a ModelServerConfig.
            require_versions: refuse a new model whose folder has no version that is asked for.

        Raises:
            StatusError: it is refused, and nothing has changed.
        """
        check_config(config)
        configs = config.model_config_list.config
        models = {model.name: _Model(model, labels=dict(model.version_labels)) for model in configs}
        with self._listing:
            new = models.keys() - self._models.keys()
            if require_versions:
                for name in sorted(new):
                    _check_has_versions(models[name].config)
            with self._changed:
                for name, model in models.items():
                    self._check_labels(name, model.labels)
                gone = self._models.keys() - models.keys()
                self._models = models
                for name in gone:
                    self._aspire(name, {})
            for name in models:
                self._list(name)
        return set(new)

    def _check_labels(self, name: str, labels: dict[str, int]) -> None:
        old = self._models[name].labels if name in self._models else {}
        for label, number in labels.items():
            if self._labels_for_unavailable and old.get(label, number) == number:
                continue
            version = self._versions.get(name, {}).get(number)
            if version is None or version.state is not State.AVAILABLE:
                raise failed_precondition(
                    f"Request to assign label to version {number} of model {name}, "
                    "which is not currently available for inference"
                )

    # Requests

    @contextlib.contextmanager
    def serving(self, spec: Any) -> Iterator[Version]:
        """Hold the version that a ModelSpec names; it is not freed inside the block.

        Raises:
            StatusError: there is none.
        """
        if not spec.name:
            raise invalid_argument("ModelSpec has no name specified.")
        with self._changed:
            try:
                version = self._find(spec)
            except StatusError as error:
                if self.starting and error.code is grpc.StatusCode.NOT_FOUND:
                    raise unavailable(f"the server starts, and its models are not all loaded yet: {error}") from error
                raise
            version.in_flight += 1
        try:
            yield version
        finally:
            with self._changed:
                version.in_flight -= 1
                self._free_if_idle(version)

    def _find(self, spec: Any) -> Version:
        versions = self._versions.get(spec.name, {})
        choice = spec.WhichOneof("version_choice")
        if choice is None:
            ready = [version for version in versions.values() if version.state is State.AVAILABLE]
            if not ready:
                raise not_found(f"Servable not found for request: Latest({spec.name})")
            return max(ready, key=lambda version: version.number)
        number = spec.version.value if choice == "version" else self._labelled(spec.name, spec.version_label)
        found = versions.get(number)
        if found is None or found.state is not State.AVAILABLE:
            raise not_found(f"Servable not found for request: Specific({spec.name}, {number})")
        return found

    def _labelled(self, name: str, label: str) -> int:
        labels = self._models[name].labels if name in self._models else {}
        if label not in labels:
            raise invalid_argument(f"Unrecognized servable version label: {label}")
        return labels[label]

    # What is known

    def knows(self, name: str) -> bool:
        """Whether the configuration has a model of this name."""
        return name in self._models

    def models(self) -> list[str]:
        """The names in the configuration."""
        return sorted(self._models)

    def versions(self, name: str) -> list[tuple[int, State, StatusError | None]]:
        """Number, state and error of every version that a model has or had, the highest first."""
        with self._changed:
            known = self._versions.get(name, {}).values()
            return sorted(((v.number, v.state, v.error) for v in known), key=lambda row: -row[0])

    def wait_settled(self, names: set[str] | None = None, *, waiting: Callable[[], bool] = lambda: True) -> bool:
        """Wait until nothing that is asked for is still to be loaded.

        Args:
            names: the models to wait for; None means all.
            waiting: asked several times a second whether to go on; when it says no, the answer is False.
        """
        with self._changed:
            while not all(self._settled(name) for name in (self._models if names is None else names)):
                if not waiting():
                    return False
                self._changed.wait(0.2)
        return True

    def _settled(self, name: str) -> bool:
        model = self._models.get(name)
        pending = (version.aspired and version.state < State.AVAILABLE for version in self._of(name))
        return model is None or (model.listed and not any(pending))

    def check_available(self, names: set[str]) -> None:
        """Refuse unless each of these models has an available version.

        Raises:
            StatusError: UNKNOWN, with what failed.
        """
        with self._changed:
            failures = []
            for name in sorted(names & self._models.keys()):
                versions = self._of(name)
                if not any(version.state is State.AVAILABLE for version in versions):
                    failures += [_failure(version) for version in versions]
        if failures:
            text = "".join(f"{failure}, " for failure in failures)
            raise StatusError(grpc.StatusCode.UNKNOWN, f"{len(failures)} model(s) did not become available: {{{text}}}")

    # Polling and loading

    def _poll_for_ever(self, seconds: float) -> None:
        while not self._stopping.wait(seconds):
            with self._listing:
                for name in list(self._models):
                    self._list(name)

    def _list(self, name: str) -> None:
        model = self._models[name]
        found, complaint = None, ""
        try:
            found = aspired_versions(Path(model.config.base_path), model.config.model_version_policy)
        except OSError as error:
            # A folder that cannot be read now is no reason to stop serving what came from it.
            complaint = f"model {name}: {error}"
        if complaint and complaint != model.complaint:
            logger.warning("%s", complaint)
        with self._changed:
            model.complaint = complaint
            model.listed = True
            if found is not None:
                self._aspire(name, found)
            self._changed.notify_all()

    def _aspire(self, name: str, found: dict[int, Path]) -> None:
        versions = self._versions.setdefault(name, {})
        for number, version in versions.items():
            if number not in found:
                version.aspired = False
        for number in sorted(found, reverse=True):
            old = versions.get(number)
            if old is None or (old.state is State.END and not old.aspired):
                versions[number] = Version(name, number, found[number])
                self._worker.submit(self._bring_up, versions[number])
            elif old.state is not State.UNLOADING:
                old.aspired = True
        self._unload_unaspired(name)
        self._changed.notify_all()

    def _bring_up(self, version: Version) -> None:
        with self._changed:
            if not version.aspired or self._stopping.is_set():
                self._set(version, State.END)
                return
            self._set(version, State.LOADING)
        servable, failure = self._try_to_load(version)
        for _ in range(self._load_retries):
            if failure is None or not self._still_asked_for(version, self._load_retry_seconds):
                break
            logger.warning("model %s version %d: trying again: %s", version.model, version.number, failure.message)
            servable, failure = self._try_to_load(version)
        with self._changed:
            version.servable, version.error = servable, failure
            self._set(version, State.END if failure else State.AVAILABLE)
            self._unload_unaspired(version.model)

    def _try_to_load(self, version: Version) -> tuple[Closable | None, StatusError | None]:
        try:
            return self._load(version.path), None
        except StatusError as error:
            return None, error
        except Exception as error:
            logger.exception("model %s version %d: loading failed", version.model, version.number)
            return None, StatusError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")

    def _still_asked_for(self, version: Version, seconds: float) -> bool:
        """Wait, and answer whether the version is still to be loaded; no sooner than it is not."""
        with self._changed:
            return not self._changed.wait_for(lambda: self._stopping.is_set() or not version.aspired, seconds)

    def _unload_unaspired(self, name: str) -> None:
        aspired = [version for version in self._of(name) if version.aspired]
        ready = [version for version in self._of(name) if version.state is State.AVAILABLE]
        idle = sorted((version for version in ready if not version.aspired), key=lambda version: version.number)
        if aspired and not any(version.aspired for version in ready):
            # Nothing that is asked for answers yet: the best of the others goes on.
            idle = idle[:-1]
        for version in idle:
            self._set(version, State.UNLOADING)
            self._free_if_idle(version)

    def _free_if_idle(self, version: Version) -> None:
        if version.state is State.UNLOADING and version.in_flight == 0 and version.servable is not None:
            servable, version.servable = version.servable, None
            self._worker.submit(self._free, version, servable)

    def _free(self, version: Version, servable: Closable) -> None:
        try:
            servable.close()
        finally:
            with self._changed:
                self._set(version, State.END)

    def _set(self, version: Version, state: State) -> None:
        version.state = state
        reason = f": {version.error.message}" if version.error else ""
        logger.info("model %s version %d: %s%s", version.model, version.number, state.name, reason)
        self._changed.notify_all()

    def _of(self, name: str) -> list[Version]:
        return list(self._versions.get(name, {}).values())

    def stop(self) -> None:
        """Stop polling and free everything; no request may be under way."""
        self._stopping.set()
        if self._poller.ident is not None:
            self._poller.join()
        with self._listing, self._changed:
            for name in list(self._versions):
                self._aspire(name, {})
            self._models = {}
            versions = [version for name in self._versions for version in self._of(name)]
            self._changed.wait_for(lambda: all(version.state is State.END for version in versions))
        self._worker.shutdown()


def _failure(version: Version) -> str:
    reason = f" due to error: {version.error.code.name}: {version.error.message}" if version.error else ""
    return f"{{{{name: {version.model} version: {version.number}}}{reason}}}"


def _check_has_versions(config: Any) -> None:
    try:
        found = aspired_versions(Path(config.base_path), config.model_version_policy)
    except OSError as error:
        raise invalid_argument(
            f"Could not find base path {config.base_path} for servable {config.name} with error {error}"
        ) from error
    if not found:
        raise not_found(f"Unable to find a numerical version path for servable {config.name} at: {config.base_path}")
