"""The graph of a SavedModel, read before anything of it runs: what it holds, and what it may not hold.

A SavedModel is a program. Refused is what reaches out of the arithmetic of a model: files, network, Python. That stops
accidents and known ways, it is no wall: import only what you trust.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf.meta_graph_pb2 import AssetFileDef, CollectionDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.framework import op_def_registry

from nightshift.errors import DataError
from nightshift.importing.source import GRAPH

SERVE = frozenset({"serve"})
TAGS: tuple[frozenset[str], ...] = (SERVE, frozenset())
"""TensorFlow Hub's first format has no tags on the graph that is for use."""

FORBIDDEN = re.compile(
    "|".join(
        (
            r".*PyFunc.*",
            r"ReadFile|WriteFile|.*MatchingFiles.*|Skipgram|FixedUnigramCandidateSampler|(De|En)codeProtoV2",
            r".*Reader.*",  # TextLineReader, ReaderRead, ...
            r".*(TextLine|Record|CSV|Sql|LMDB|Snapshot|Save|Load|DataService|Cache)\w*Dataset.*",
            r".*DatasetToTFRecord|RegisterDataset.*|DistributedSave|DatasetFromGraph",
            r".*SummaryWriter|Create\w*Summary\w*|Write\w*Summary|ImportEvent",
            r"Debug.*|DumpTensor|ImmutableConst|GenerateVocabRemapping|LoadAndRemapMatrix|CalibrationStatisticsSaver",
            r"Rpc.*|_?(Host)?(Send|Recv)|RemoteCall|WorkerHeartbeat|FileSystemSetConfiguration|XlaCustomCall.*",
            r"DTensor.*|.*TPU.*",
        )
    )
)
"""Ops that touch files, other processes or Python, or run what they get as data."""

CHECKPOINTS = frozenset({"Save", "SaveSlices", "SaveV2", "Restore", "RestoreSlice", "RestoreV2", "MergeV2Checkpoints"})
"""Ops that every SavedModel has, to load its weights, and no signature may use."""

TABLES = ("InitializeTableFromTextFile", "InitializeTableFromTextFileV2")
CARRIED = ("Placeholder", "ReadVariableOp")
INIT_SIGNATURE = "__saved_model_init_op"
ASSETS_COLLECTION = "saved_model_assets"
INIT_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")


@dataclass(frozen=True)
class Graph:
    """The part of a SavedModel that is served.

    Attributes:
        tags: that name it.
        definition: a MetaGraphDef.
    """

    tags: frozenset[str]
    definition: Any

    @property
    def has_objects(self) -> bool:
        """Whether TensorFlow 2 wrote it."""
        return bool(self.definition.object_graph_def.nodes)

    @property
    def signatures(self) -> Mapping[str, Any]:
        """SignatureDefs by name, those for use."""
        found = self.definition.signature_def
        return {name: found[name] for name in sorted(found) if not name.startswith("__")}


def read_graph(saved_model: Path, uri: str) -> Graph:
    """Parse saved_model.pb.

    Raises:
        DataError: it is none, or has no graph for serving.
    """
    try:
        content = SavedModel.FromString((saved_model / GRAPH).read_bytes())
    except DecodeError as error:
        raise DataError(f"{uri}: {GRAPH} cannot be read: {error}") from None
    by_tags = {frozenset(graph.meta_info_def.tags): graph for graph in content.meta_graphs}
    for tags in TAGS:
        if tags in by_tags:
            return Graph(tags, by_tags[tags])
    found = "; ".join(", ".join(sorted(tags)) for tags in by_tags) or "no graph"
    raise DataError(f"{uri}: {GRAPH} has {found}, expected a graph with the tag 'serve' or with none")


def check_ops(graph: Graph, uri: str) -> None:
    """Look at every op of the graph and of its functions.

    Raises:
        DataError: one is forbidden, or not TensorFlow's own; it says which, and where.
    """
    functions = {function.signature.name: function for function in graph.definition.graph_def.library.function}
    assets = {asset.tensor_info.name.split(":")[0] for asset in assets_of(graph.definition)}
    for asset in assets_of(graph.definition):
        _check_asset(asset.filename, uri)
    for place, nodes in _places(graph):
        for node in nodes:
            if node.op not in functions:
                _check_op(node, place, uri)
            if node.op in TABLES:
                _check_table(node, {other.name: other for other in nodes}, assets, place, uri)
    for place, node in _used(graph, functions):
        if node.op in CHECKPOINTS:
            raise DataError(f"{uri}: {_named(node, place)} reads or writes files where the model answers; refused")


def _places(graph: Graph) -> Iterator[tuple[str, Any]]:
    yield "", graph.definition.graph_def.node
    for function in graph.definition.graph_def.library.function:
        yield function.signature.name, function.node_def


def _check_op(node: Any, place: str, uri: str) -> None:
    if FORBIDDEN.fullmatch(node.op):
        raise DataError(f"{uri}: {_named(node, place)} touches files, the network or Python; refused")
    if node.op == "PrintV2" and node.attr["output_stream"].s.startswith(b"file:"):
        raise DataError(f"{uri}: {_named(node, place)} writes a file; refused")
    if op_def_registry.get(node.op) is None:
        raise DataError(f"{uri}: {_named(node, place)} is not one of TensorFlow's own; a model server has it not")


def _check_asset(name: str, uri: str) -> None:
    """An asset is a file of the SavedModel: TensorFlow would read, and copy, whatever the graph names."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or not name.isprintable():
        raise DataError(f"{uri}: the asset {name!r} lies outside the SavedModel; refused")


def _check_table(node: Any, nodes: Mapping[str, Any], assets: set[str], place: str, uri: str) -> None:
    """A vocabulary comes out of the SavedModel's own assets."""
    name = node.input[1].split(":")[0] if len(node.input) > 1 else ""
    passed: set[str] = set()
    while name in nodes and nodes[name].op == "Identity" and nodes[name].input and name not in passed:
        passed.add(name)
        name = nodes[name].input[0].split(":")[0]
    # In a function an asset is an argument, so no node at all.
    unknown = name in nodes and nodes[name].op not in CARRIED and (place or name not in assets)
    if unknown or not name:
        raise DataError(f"{uri}: {_named(node, place)} reads a file that is none of the SavedModel's assets; refused")


def assets_of(definition: Any) -> list[Any]:
    """The AssetFileDefs of a MetaGraphDef: which tensor holds the path of which file."""
    # TensorFlow 1 lists them in a collection.
    packed = collection(definition, ASSETS_COLLECTION).any_list.value
    return [*definition.asset_file_def, *(AssetFileDef.FromString(each.value) for each in packed)]


def collection(definition: Any, name: str) -> Any:
    """A collection of a MetaGraphDef, empty if there is none; asking the map itself would add it."""
    return definition.collection_def[name] if name in definition.collection_def else CollectionDef()


def _used(graph: Graph, functions: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What answering and initialising may run, each with the function it is in: all but the saver's part."""
    nodes = {node.name: node for node in graph.definition.graph_def.node}
    waiting = [name.split(":")[0] for name in _fetched(graph)]
    called = set(graph.definition.object_graph_def.concrete_functions)
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in nodes:
            continue
        seen.add(name)
        yield "", nodes[name]
        called |= _called(nodes[name])
        waiting += [source.lstrip("^").split(":")[0] for source in nodes[name].input]
    done: set[str] = set()
    while called - done:
        name = (called - done).pop()
        done.add(name)
        for node in functions[name].node_def if name in functions else ():
            yield name, node
            called |= _called(node)


def _fetched(graph: Graph) -> Iterator[str]:
    """The tensors and operations that are asked for."""
    for signature in graph.definition.signature_def.values():
        yield from (output.name for output in signature.outputs.values())
    for name in INIT_COLLECTIONS:
        yield from collection(graph.definition, name).node_list.value


def _called(node: Any) -> set[str]:
    """The functions that a node calls: itself, or by its attributes."""
    found = {node.op}
    for attribute in node.attr.values():
        found |= {attribute.func.name, *(function.name for function in attribute.list.func)}
    return found


def _named(node: Any, place: str) -> str:
    return f"the op {node.op} ({node.name!r}{f' in function {place!r}' if place else ''})"
