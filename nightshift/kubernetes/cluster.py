"""One namespace of a cluster: its objects, read, watched and written as JSON."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from nightshift.errors import ConfigurationError
from nightshift.kubernetes.asking import ClusterError, patiently
from nightshift.kubernetes.objects import MANAGER, Object

GROUPS = {
    "configmaps": "api/v1",
    "events": "api/v1",
    "pods": "api/v1",
    "podtemplates": "api/v1",
    "services": "api/v1",
    "deployments": "apis/apps/v1",
    "horizontalpodautoscalers": "apis/autoscaling/v2",
    "leases": "apis/coordination.k8s.io/v1",
    "poddisruptionbudgets": "apis/policy/v1",
    "trainjobs": "apis/trainer.kubeflow.org/v1alpha1",
}
BAD_REQUEST, FORBIDDEN, NOT_FOUND, CONFLICT, GONE = 400, 403, 404, 409, 410
CONNECT_SECONDS, READ_SECONDS = 5.0, 30.0
PATIENCE_SECONDS = 20.0
"""For an API server that is away or busy: it restarts now and then."""

LOOK_SECONDS = 5.0
"""The same for a person who only looks, and waits for the answer."""

LOG_BYTES = 4000
LOG_LINES = 12


@dataclass(frozen=True)
class Cluster:
    """A namespace, spoken to through the client library's connections.

    Attributes:
        api: the client library's.
        namespace: which one.
        patience: seconds that the API server may be away.
    """

    api: Any
    namespace: str
    patience: float

    def get(self, kind: str, name: str) -> Object | None:
        """An object, None if there is none of that name."""
        try:
            return self._ask("GET", kind, name)
        except ClusterError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def find(self, kind: str, selector: str = "", fields: str = "") -> list[Object]:
        """The objects whose labels (and fields) a selector picks, by name."""
        found = self._ask("GET", kind, query=_selecting(selector, fields))
        items: list[Object] = found["items"]
        for item in items:
            item["kind"] = found["kind"].removesuffix("List")  # which the API leaves out in a list's items
        return sorted(items, key=lambda item: str(item["metadata"]["name"]))

    def create(self, kind: str, body: Object, *, dry_run: bool = False) -> Object | None:
        """Create an object; None if one of its name is there already.

        Raises:
            ClusterError: admission, quota or validation refused it.
        """
        query = [("fieldManager", MANAGER), ("fieldValidation", "Strict")] + ([("dryRun", "All")] if dry_run else [])
        try:
            return self._ask("POST", kind, query=query, body=body)
        except ClusterError as error:
            if error.status == CONFLICT:
                return None
            raise

    def patch(self, kind: str, name: str, change: Object) -> Object:
        """Merge a change (RFC 7396) into an object; with metadata.resourceVersion, only into that state of it.

        Raises:
            ClusterError: CONFLICT: the object is in another state; NOT_FOUND: it is gone.
        """
        return self._ask("PATCH", kind, name, query=[("fieldManager", MANAGER)], body=change)

    def replace(self, kind: str, name: str, body: Object) -> Object:
        """Put an object in the place of the one whose metadata.resourceVersion it has.

        Raises:
            ClusterError: CONFLICT: that one has changed since.
        """
        return self._ask("PUT", kind, name, query=[("fieldManager", MANAGER)], body=body)

    def delete(self, kind: str, name: str, version: str = "") -> None:
        """Delete an object and, in the background, what it owns; one that is gone is deleted.

        Args:
            kind: of it.
            name: of it.
            version: its metadata.resourceVersion: only in that state; empty: whatever there is of that name.

        Raises:
            ClusterError: CONFLICT: the object is in another state.
        """
        how: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        how |= {"preconditions": {"resourceVersion": version}} if version else {}
        try:
            self._ask("DELETE", kind, name, body=how)
        except ClusterError as error:
            if error.status != NOT_FOUND:
                raise

    def logs(self, pod: str, container: str, *, previous: bool) -> str:
        """The last lines that a container wrote, or the one before it; '' if there are none."""
        query = [("container", container), ("tailLines", str(LOG_LINES)), ("limitBytes", str(LOG_BYTES))]
        query += [("previous", "true")] if previous else []
        try:
            response = self._ask("GET", "pods", f"{pod}/log", query=query, stream=True)
        except ClusterError as error:
            if error.status in (400, NOT_FOUND):  # no such container yet, or its log is gone
                return ""
            raise
        try:
            return str(response.data.decode(errors="replace").strip())
        finally:
            response.close()

    def follow_log(self, pod: str, container: str, since: str = "") -> Iterator[str]:
        """What a container writes, a line each behind its time, until it ends or the connection breaks.

        Args:
            pod: its name.
            container: of it.
            since: the time of a line, whose second the first is of; empty: from the beginning.

        Raises:
            ClusterError: 400: the container has not begun; NOT_FOUND: there is no such Pod.
        """
        query = [("container", container), ("follow", "true"), ("timestamps", "true")]
        query += [("sinceTime", since)] if since else []
        response = self._ask("GET", "pods", f"{pod}/log", query=query, stream=True, read_seconds=2 * READ_SECONDS)
        try:
            for line in _lines(response):
                yield line.decode(errors="replace")
        finally:
            response.close()

    def follow(self, kind: str, selector: str, *, tick: int) -> Iterator[list[Object]]:
        """The objects that a selector picks, each time one changed and at least every `tick` seconds, without end."""
        while True:
            found = self._ask("GET", kind, query=_selecting(selector))
            present = {str(item["metadata"]["name"]): item for item in found["items"]}
            version: str = found["metadata"]["resourceVersion"]
            yield list(present.values())
            while version:
                for event in self._watch(kind, selector, version, tick):
                    item = event["object"]
                    if event["type"] == "ERROR":
                        version = ""  # compacted away: begin with a list again
                        break
                    version = item["metadata"]["resourceVersion"]
                    if event["type"] == "BOOKMARK":
                        continue
                    present.pop(str(item["metadata"]["name"]), None)
                    if event["type"] != "DELETED":
                        present[str(item["metadata"]["name"])] = item
                    yield list(present.values())
                else:
                    yield list(present.values())

    def _watch(self, kind: str, selector: str, version: str, seconds: int) -> Iterator[Any]:
        query = [*_selecting(selector), ("watch", "true"), ("resourceVersion", version)]
        query += [("timeoutSeconds", str(seconds)), ("allowWatchBookmarks", "true")]
        try:
            response = self._ask("GET", kind, query=query, stream=True, read_seconds=seconds + READ_SECONDS)
        except ClusterError as error:
            if error.status != GONE:
                raise
            yield {"type": "ERROR", "object": {}}
            return
        try:
            yield from map(json.loads, _lines(response))
        finally:
            response.close()

    def _ask(
        self,
        method: str,
        kind: str,
        name: str = "",
        *,
        query: list[tuple[str, str]] | None = None,
        body: Object | None = None,
        stream: bool = False,
        read_seconds: float = 0.0,
    ) -> Any:
        path = f"/{GROUPS[kind]}/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/merge-patch+json" if method == "PATCH" else "application/json"
        return patiently(
            lambda: self.api.call_api(
                path,
                method,
                query_params=query or [],
                header_params=dict(headers),
                body=body,
                response_type="object",
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _preload_content=not stream,
                _request_timeout=(CONNECT_SECONDS, read_seconds or min(READ_SECONDS, 2 * self.patience)),
            ),
            f"{method} {kind}{f' {name}' if name else ''} in namespace {self.namespace}",
            self.api.configuration.host,
            self.patience,
        )


def _lines(response: Any) -> Iterator[bytes]:
    """The lines of a stream; a connection that breaks ends them, as the server's timeout does."""
    from urllib3.exceptions import HTTPError

    rest = b""
    try:
        for chunk in response.stream(amt=None, decode_content=False):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
    except HTTPError:
        return


def _selecting(selector: str, fields: str = "") -> list[tuple[str, str]]:
    given: Mapping[str, str] = {"labelSelector": selector, "fieldSelector": fields}
    return [(key, value) for key, value in given.items() if value]


@contextmanager
def connect(namespace: str, patience: float = PATIENCE_SECONDS) -> Iterator[Cluster]:
    """A namespace of the cluster that this process runs in, or else of the one that the kubeconfig names.

    Args:
        namespace: which one.
        patience: seconds that the API server may be away.

    Raises:
        ConfigurationError: neither is there.
    """
    from kubernetes import client, config  # type: ignore[import-untyped]

    configuration = client.Configuration()
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(os.environ.get("KUBECONFIG"), client_configuration=configuration)
    except config.ConfigException as error:
        raise ConfigurationError(
            f"server kubernetes:{namespace}: no cluster: this is not a Pod, and KUBECONFIG or ~/.kube/config names "
            f"none ({error})"
        ) from error
    configuration.retries = False  # the client library's own come on top of ours, and hide why
    with client.ApiClient(configuration) as api:
        try:
            yield Cluster(api, namespace, patience)
        finally:
            api.rest_client.pool_manager.clear()
