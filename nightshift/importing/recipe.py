"""All that determines an imported model. No TensorFlow."""

import hashlib
import json
from dataclasses import dataclass

from nightshift.importing.source import Published
from nightshift.provenance import hash_of_sources
from nightshift.tasks.imported import ImportedTask

SOURCES = (
    "importing/adapt.py",
    "importing/contract.py",
    "importing/importing.py",
    "importing/object_graph.py",
    "importing/session_graph.py",
    "data/decode.py",
    "data/limits.py",
)


@dataclass(frozen=True)
class Recipe:
    """Two equal ones give models that answer alike.

    Attributes:
        task: name.
        source: where the published model came from; what it holds counts, not where it lies.
        dataset: SHA-256 of the source's content; under the name that releases are compared by.
        sources: SHA-256 of the code that imports.
    """

    task: str
    source: str
    dataset: str
    sources: str

    @property
    def key(self) -> str:
        """A name for it: 20 hex digits of its hash."""
        facts = {name: value for name, value in vars(self).items() if name != "source"}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]


def recipe(task: ImportedTask, published: Published) -> Recipe:
    """The recipe of an import."""
    return Recipe(task.name, published.uri, published.sha256, hash_of_sources((*SOURCES, f"tasks/{task.name}.py")))
