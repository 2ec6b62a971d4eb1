"""The import: a published SavedModel becomes one that takes photographs as bytes, described and proven by a server."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nightshift
from nightshift.data.bundled import package_folder
from nightshift.errors import DataError, NightshiftError
from nightshift.export.complete import Progress, complete, new_saved_model
from nightshift.importing.contract import Contract, contract_of, described
from nightshift.importing.graph import check_ops, read_graph
from nightshift.importing.object_graph import rebuilt_objects
from nightshift.importing.recipe import recipe
from nightshift.importing.session_graph import rebuilt_graph
from nightshift.importing.source import Published
from nightshift.provenance import versions
from nightshift.serving.card import write_imported_card
from nightshift.tasks.imported import ImportedTask

PHOTOGRAPH = ("skimage", "data/astronaut.png")
"""The golden batch: a package and a file in it; a person before a rocket."""


@dataclass(frozen=True)
class Imported:
    """A SavedModel's folder, its card, its signatures in words, and how far a server was from the published model."""

    path: Path
    card: str
    signatures: Mapping[str, Any]
    parity: Mapping[str, Mapping[str, float]]


def import_model(
    task: ImportedTask,
    model_name: str,
    published: Published,
    target: Path,
    *,
    progress: Progress = lambda fraction, message: None,
    tell: Callable[[str], None] = print,
) -> Imported:
    """Check a published SavedModel and write it anew, with a bytes signature, to a folder that is there whole or not.

    From here on the model's code runs.

    Args:
        task: what it has to do.
        model_name: the name it will be served by.
        published: its files.
        target: made anew; what an earlier import left there is replaced.
        progress: told (share done, words).
        tell: told the signatures, a line each.

    Raises:
        DataError: its graph holds what is refused, it cannot be loaded, or no signature does the task.
        StoreError: a server does not answer as the published model does.
    """
    uri = published.uri
    graph = read_graph(published.path, uri)
    check_ops(graph, uri)
    contract = contract_of(task, graph.signatures, uri)
    for line in _listed(described(graph.signatures)):
        tell(line)
    progress(0.2, "loading the published model")
    contents = (package_folder(PHOTOGRAPH[0]) / PHOTOGRAPH[1]).read_bytes()
    rebuilt = rebuilt_objects if graph.has_objects else rebuilt_graph
    with ExitStack() as stack, new_saved_model(target, progress) as staging:
        with _errors_in_words(uri):
            model = stack.enter_context(rebuilt(task, published, graph, contract, contents))
            progress(0.4, "writing the SavedModel")
            model.save(staging)
        written = read_graph(staging, uri)
        check_ops(written, uri)
        signatures = described(written.signatures)
        card = write_imported_card(staging, task, _facts(task, published, contract, signatures))
        parity = complete(staging, model_name, model.golden, progress)
    return Imported(target, card, signatures, parity)


@contextmanager
def _errors_in_words(uri: str) -> Iterator[None]:
    try:
        yield
    except NightshiftError:
        raise
    except Exception as error:  # The folder's content decides what is raised: KeyError, ValueError, OpError, ...
        said = (str(error).splitlines() or [""])[0]
        raise DataError(f"{uri}: TensorFlow cannot use it: {type(error).__name__}: {said}") from error


def _facts(
    task: ImportedTask, published: Published, contract: Contract, signatures: Mapping[str, Any]
) -> dict[str, Any]:
    made = recipe(task, published)
    return {
        "recipe": vars(made),
        "recipe_key": made.key,
        "imported": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "signature": contract.signature,
        "signatures": signatures,
        "metrics": {},
        "code_version": nightshift.__version__,
        "tensorflow": versions(["tensorflow"])["tensorflow"],
    }


def _listed(signatures: Mapping[str, Any]) -> list[str]:
    def words(tensors: Mapping[str, str]) -> str:
        return ", ".join(f"{name} {kind}" for name, kind in tensors.items()) or "nothing"

    return [
        f"signature {name}: takes {words(each['inputs'])}; gives {words(each['outputs'])}"
        for name, each in signatures.items()
    ]
