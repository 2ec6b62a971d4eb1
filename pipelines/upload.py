"""Uploading the compiled pipeline: a version is named by its content, so that the same content is uploaded once."""

import hashlib
import json
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import kfp_server_api
import yaml

from pipelines.endpoint import Endpoint, EndpointError

DIGITS = 12
"""Of the SHA-256 in a version's name."""

NEWEST = "created_at desc"
NOT_FOUND, CONFLICT = 404, 409


@dataclass(frozen=True)
class Package:
    """A compiled pipeline: the YAML that is uploaded."""

    text: str

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return str(self.specification["pipelineInfo"]["name"])

    @property
    def version(self) -> str:
        """A name of the content that is good for a Kubernetes resource, too."""
        return f"{self.pipeline}-{hashlib.sha256(self.text.encode()).hexdigest()[:DIGITS]}"

    @cached_property
    def specification(self) -> dict[str, Any]:
        """The pipeline's intermediate representation."""
        return dict(next(iter(yaml.safe_load_all(self.text))))


@dataclass(frozen=True)
class Version:
    """A pipeline's version in Kubeflow Pipelines.

    Attributes:
        pipeline_id: of its pipeline.
        version_id: its own.
        name: its own.
        uploaded: whether it was not there before.
    """

    pipeline_id: str
    version_id: str
    name: str
    uploaded: bool


def upload(endpoint: Endpoint, package: Package, *, newest: bool = False) -> Version:
    """The package's version, uploaded if it is not there.

    Args:
        endpoint: where to.
        package: what.
        newest: it has to be the pipeline's newest version, the one that schedules run; where newer ones stand above
            it, it is uploaded again under its name and a number.

    Raises:
        EndpointError: that was refused.
    """
    pipeline_id = find_pipeline(endpoint, package.pipeline) or _create_pipeline(endpoint, package)
    found = current_version(endpoint, package, pipeline_id, newest=newest)
    return found or _create_version(endpoint, package, pipeline_id, _free_name(endpoint, package, pipeline_id))


def find_pipeline(endpoint: Endpoint, name: str) -> str:
    """The id of the pipeline of that name, empty if there is none."""
    try:
        found = endpoint.pipelines.pipeline_service_get_pipeline_by_name(name, **endpoint.in_namespace)
    except EndpointError as error:
        if error.status != NOT_FOUND:
            raise
        return ""
    return str(found.pipeline_id)


def current_version(endpoint: Endpoint, package: Package, pipeline_id: str, *, newest: bool) -> Version | None:
    """The version with the package's content, with `newest` only if none is newer; None if it is not there."""
    if newest:
        found = _versions(endpoint, pipeline_id, sort_by=NEWEST, page_size=1)
        found = [each for each in found if _is_of(package, each.name)]
    else:
        named = {"predicates": [{"operation": "EQUALS", "key": "name", "string_value": package.version}]}
        found = _versions(endpoint, pipeline_id, filter=json.dumps(named))
    return Version(pipeline_id, found[0].pipeline_version_id, found[0].name, False) if found else None


def _is_of(package: Package, name: str) -> bool:
    """Whether a version of that name has the package's content: its own name, or that and a number."""
    return name == package.version or name.rpartition(".")[0] == package.version


def _versions(endpoint: Endpoint, pipeline_id: str, **options: Any) -> list[Any]:
    answer = endpoint.pipelines.pipeline_service_list_pipeline_versions(pipeline_id, **options)
    return answer.pipeline_versions or []


def _create_pipeline(endpoint: Endpoint, package: Package) -> str:
    new = kfp_server_api.V2beta1Pipeline(
        name=package.pipeline,
        display_name=package.pipeline,
        description=package.specification["pipelineInfo"].get("description"),
        **endpoint.in_namespace,
    )
    try:
        return str(endpoint.pipelines.pipeline_service_create_pipeline(new).pipeline_id)
    except EndpointError as error:
        if error.status != CONFLICT:
            raise
        return find_pipeline(endpoint, package.pipeline)  # another process was faster


def _free_name(endpoint: Endpoint, package: Package, pipeline_id: str) -> str:
    """The content's name; if that is there already, though no longer the newest, with a number."""
    alike = {"predicates": [{"operation": "IS_SUBSTRING", "key": "name", "string_value": package.version}]}
    number = len(_versions(endpoint, pipeline_id, filter=json.dumps(alike)))
    return f"{package.version}.{number}" if number else package.version


def _create_version(endpoint: Endpoint, package: Package, pipeline_id: str, name: str) -> Version:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.yaml"
        file.write_text(package.text)
        try:
            made = endpoint.uploads.upload_pipeline_version(
                str(file), name=name, display_name=name, pipelineid=pipeline_id
            )
        except EndpointError as error:
            # Another process was faster.
            there = current_version(endpoint, package, pipeline_id, newest=False) if error.status == CONFLICT else None
            if not there:
                raise
            return there
    return Version(pipeline_id, made.pipeline_version_id, name, True)
